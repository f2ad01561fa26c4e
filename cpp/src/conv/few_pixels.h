// A convolution of few pixels and many weights is the product of the weights as they lie, a row (C K) for every filter,
// and the transposed matrix of what every pixel looks at, in the same order:
//
//   y[n][f][p] = sum over c, tap of w[f][c][tap] u[n p][c tap] + bias[f],      u[n p][c tap] = x[n][c][look(p, tap)]
//
// The weights go by once and are not packed; u is small and stays near.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Whether it takes less time than other forms, but for Winograd's.
template <class T>
bool few_pixels_applies(const ConvGeometry& geometry);

// y = A x
template <class T>
class FewPixels {
 public:
  FewPixels(const ConvGeometry& geometry, double border_value, GemmActivation activation);

  std::size_t workspace(int threads) const;
  // bias (F) may be null.
  void run(const Team& team, const T* x, const T* w, const T* bias, T* y, std::byte* workspace) const;

 private:
  std::size_t looks_bytes() const;
  std::size_t target_bytes() const;
  void unfold(const Team& team, const T* x, T* u) const;
  void unfold(index first, index last, const T* x, T* u) const;

  index images_, channels_, filters_, plane_, pixels_, taps_;
  index pitch_;  // of a row of u
  T border_value_;
  GemmActivation activation_;
  bool identity_ = false;                         // every pixel looks at itself
  std::vector<index> look_;                       // by pixel and tap: element of a plane
  std::vector<std::pair<index, index>> outside_;  // pixels and taps that look at the constant border
  StridedPlan<T> plan_;
};

}  // namespace tenfold
