// Windows that lie side by side, as long as their strides and without padding, look at every pixel once: a convolution
// and its adjoint are for every image one product of the weights as they lie and the image's windows,
//
//   apply     y[f][p]           = sum over c, tap of w[f][c][tap] x[c][pixel tap of window p] + bias
//   adjoint   x[c][pixel (...)] = sum over f of w[f][c][tap] y[f][p] + bias
//
// Nothing is copied but the panels: apply picks its pixels when it packs them, the adjoint puts them back when some tiles
// of a row are finished. For windows of two pixels along the rows.
#pragma once

#include <cstddef>
#include <vector>

#include "conv/pixel_rows.h"
#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Whether the form exists for a geometry, and is worth it.
bool side_by_side_applies(const ConvGeometry& geometry, bool adjoint);

template <class T>
class SideBySide {
 public:
  SideBySide(const ConvGeometry& geometry, bool adjoint, GemmActivation activation);

  std::size_t workspace(int threads) const;
  // bias (of the target's channels) may be null.
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  ConvGeometry geometry_;
  bool adjoint_;
  GemmActivation activation_;
  GemmPlan<T> plan_;
  PixelRows rows_;                     // of windows
  std::vector<std::ptrdiff_t> pairs_;  // of apply, by c and pair of taps: where the first window looks
};

}  // namespace tenfold
