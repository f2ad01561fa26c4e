// Convolution (cross-correlation, as in every framework) as a linear map A(w) and its relatives, 1-D to 3-D.
//
//   apply            y  = A(w) x     y[n][f][o] = bias[f] + sum_{c, k} w[f][c][k] x[n][g(f) + c][o * stride +
//   k * dilation - pad] adjoint          x  = A(w)^T y   convolution's input gradient, transposed
//   convolution's forward weight_gradient  dw = <y, x>     of both
//
// The geometry is that of A: a transposed convolution's output is the window's input. Letters: N images, C
// channels on the window's input side, F on its output side, G groups, K taps of the window; w is (F, C / G,
// K).
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "tenfold/parallel.h"
#include "tenfold/types.h"
#include "tenfold/window.h"

namespace tenfold {

enum class ConvAlgorithm {
  automatic,  // by geometry
  im2col,     // pixels are packed into panels tap by tap: every geometry, best for few pixels and big weights
  direct,     // taps are shifted loads from the padded image: best for images of some size
  winograd,   // fewer multiplications: 2-D 3 x 3 and 5 x 5 windows of stride 1, dilation 1, one group
  winograd2,  // the same with tiles of 2 x 2 outputs: 3 x 3 windows take 2.25 times fewer, more exact than direct
  winograd4,  // with tiles of 4 x 4: 4 times fewer, 3 x 3 windows less exact (docs/numerics.md)
};
// Throws InvalidArgument for an unknown name.
ConvAlgorithm conv_algorithm_from(const std::string& name, const char* function);

struct ConvGeometry {
  const char* function = "conv";  // named in errors
  Window window;
  index images = 1;    // N
  index channels = 1;  // C
  index filters = 1;   // F
  index groups = 1;    // G, divides C and F

  Shape input_shape() const;   // (N, C, size...)
  Shape output_shape() const;  // (N, F, output...)
  Shape weight_shape() const;  // (F, C / G, kernel...)
  double multiply_adds() const;
};

struct ConvOptions {
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;
  double border_value = 0;  // outside of x when the border is constant
  // apply ends with relu. With keep_sign a negative sum becomes -0 instead of +0, so that the derivative can
  // be told from y alone.
  bool relu = false;
  bool keep_sign = false;
};

// The three operators for one geometry. Making one checks the geometry (InvalidArgument), asking for an
// operator's workspace builds its index tables; after that the operators, which are SPMD (see parallel.h),
// neither allocate nor throw. Tensors are C-contiguous; workspaces are aligned to 64 bytes and have the size
// the function beside tells for a team of that size. Results do not depend on the team.
template <class T>
class Convolution {
 public:
  explicit Convolution(const ConvGeometry& geometry, const ConvOptions& options = {});
  ~Convolution();

  const ConvGeometry& geometry() const;

  // y (N, F, output) from x (N, C, size), w and bias (F), which may be null.
  void apply(const Team& team, const T* x, const T* w, const T* bias, T* y, std::byte* workspace) const;
  std::size_t apply_workspace(int threads) const;

  // x from y and w; the border's constant has no share in it. bias (C) may be null.
  void adjoint(const Team& team, const T* y, const T* w, const T* bias, T* x, std::byte* workspace) const;
  std::size_t adjoint_workspace(int threads) const;

  // dw (F, C / G, kernel) from x and dy, and the gradient of the bias, db (F), which may be null.
  void weight_gradient(const Team& team, const T* x, const T* dy, T* dw, T* db, std::byte* workspace) const;
  std::size_t weight_gradient_workspace(int threads) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// db[f] = sum over n and p of dy[n][f][p]: the gradient of a bias.
template <class T>
void bias_gradient(const Team& team, index images, index filters, index pixels, const T* dy, T* db);

// im2col and its transpose: unfold  y[n][c][k][o] = x[n][c][o * stride + k * dilation - pad], fold the
// adjoint (which overwrites x). x is (N, C, size), y is (N, C, K, output).
template <class T>
class Unfolding {
 public:
  Unfolding(const Window& window, index images, index channels, double border_value = 0);
  void unfold(const Team& team, const T* x, T* y) const;
  void fold(const Team& team, const T* y, T* x) const;

 private:
  Window window_;
  index planes_;
  T border_value_;
  std::array<std::vector<index>, 3> source_;  // [k * output + o]
};

// The definition, written as loops: the oracle of the C++ tests. dx and dw may be null.
template <class T>
void reference_convolution(const ConvGeometry& geometry, double border_value, const T* x, const T* w,
                           const T* bias, T* y);
template <class T>
void reference_convolution_backward(const ConvGeometry& geometry, double border_value, const T* x, const T* w,
                                    const T* dy, T* dx, T* dw);

}  // namespace tenfold
