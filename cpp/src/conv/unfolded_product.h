// A convolution is the product of the weights as they lie, a row (C K) for every filter, and the transposed matrix of what
// every pixel looks at, in the same order:
//
//   y[n][f][p] = sum over c, tap of w[f][c][tap] u[n p][c tap] + bias[f],      u[n p][c tap] = x[n][c][look(p, tap)]
//
// To copy u is worth it in two cases. Few pixels and many weights: the weights go by once and are not packed, u is small and
// stays near. Patches, windows that tile the image: every pixel is copied once, in runs as long as a window.
#pragma once

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Whether the form takes less time than others, but for Winograd's.
template <class T>
bool few_pixels_applies(const ConvGeometry& geometry);
bool patches_apply(const ConvGeometry& geometry);

// y = A x
template <class T>
class UnfoldedProduct {
 public:
  UnfoldedProduct(const ConvGeometry& geometry, double border_value, GemmActivation activation);

  std::size_t workspace(int threads) const;
  // bias (F) may be null.
  void run(const Team& team, const T* x, const T* w, const T* bias, T* y, std::byte* workspace) const;

 private:
  std::size_t unfolded_bytes() const;
  std::size_t product_bytes() const;
  // u of the images first .. first + count - 1.
  void unfold(const Team& team, index first, index count, const T* x, T* u) const;
  void turn(const Team& team, index first, index count, const T* x, T* u) const;
  void copy_runs(const Team& team, index first, index count, const T* x, T* u) const;
  void look_up(const Team& team, index first, index count, const T* x, T* u) const;
  void look_up(index first_channel, index last_channel, const T* image, T* u) const;

  ConvGeometry geometry_;
  T border_value_;
  GemmActivation activation_;
  index plane_, pixels_, taps_;          // of a channel; of an image's output; of a window
  index pitch_;                          // of a row of u
  index together_;                       // images of a product
  std::array<StridedPlan<T>, 2> plans_;  // of so many, and of the rest

  bool in_runs_;                                  // windows tile the image
  bool identity_ = false;                         // every pixel looks at itself
  std::vector<index> look_;                       // else, by pixel and tap: element of a plane
  std::vector<std::pair<index, index>> outside_;  // pixels and taps that look at the constant border
};

}  // namespace tenfold
