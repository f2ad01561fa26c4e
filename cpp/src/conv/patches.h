// Windows that tile the image, as long as their strides and without padding, are rows of a matrix once they are copied side
// by side, and a convolution is its product with the weights as they lie:
//
//   y[n][f][p] = sum over c, tap of w[f][c][tap] u[n p][c tap] + bias[f],      u[n p][c tap] = x[n][c][pixel tap of window p]
//
// Every pixel is copied once, in runs as long as a window. Some images at a time, so that u stays near.
#pragma once

#include <array>
#include <cstddef>

#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Whether the form exists for a geometry, and is worth it.
bool patches_apply(const ConvGeometry& geometry);

// y = A x
template <class T>
class Patches {
 public:
  Patches(const ConvGeometry& geometry, GemmActivation activation);

  std::size_t workspace(int threads) const;
  // bias (F) may be null.
  void run(const Team& team, const T* x, const T* w, const T* bias, T* y, std::byte* workspace) const;

 private:
  std::size_t patches_bytes() const;
  std::size_t product_bytes() const;
  // The images first .. first + count - 1.
  void copy(const Team& team, index first, index count, const T* x, T* u) const;

  ConvGeometry geometry_;
  GemmActivation activation_;
  index pixels_, row_, pitch_;           // windows of an image; elements of one; and from one to the next
  index together_;                       // images of a product
  std::array<StridedPlan<T>, 2> plans_;  // of so many, and of the rest
};

}  // namespace tenfold
