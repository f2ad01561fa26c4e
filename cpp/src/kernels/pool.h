// Pooling of planes (or volumes): a maximum or a sum over every window.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dispatch.h"

namespace tenfold {

// One axis of a pooling geometry. Output o looks at o * stride - pad + k * dilation for 0 <= k < kernel.
struct PoolAxis {
  ptrdiff_t size, kernel, stride, dilation, pad, output;
  ptrdiff_t inner_begin, inner_end;  // outputs whose taps all lie inside 0 .. size - 1
};

// Depth, height and width; axes that do not exist have size, kernel, stride and output 1 and no padding.
struct PoolGeometry {
  PoolAxis d, h, w;
};

// x is one contiguous plane [D][H][W] with fewer than 2^31 elements, y one [OD][OH][OW]; nothing is aligned
// or shared. Functions that take `planes` do so many, which follow each other in all arrays. Positions count in the flattened input plane; a window without any element inside has the
// maximum -inf and the position -1.
template <class T>
struct PoolKernels {
  // The first maximum of every window in the order of the input; the first NaN counts as the maximum.
  void (*max)(const PoolGeometry& g, ptrdiff_t planes, const T* x, T* y);
  void (*max_positions32)(const PoolGeometry& g, ptrdiff_t planes, const T* x, T* y, int32_t* positions);
  void (*max_positions64)(const PoolGeometry& g, ptrdiff_t planes, const T* x, T* y, int64_t* positions);
  // dx = 0; dx[positions[o]] += dy[o].
  void (*max_backward32)(const PoolGeometry& g, ptrdiff_t planes, const T* dy, const int32_t* positions,
                         T* dx);
  void (*max_backward64)(const PoolGeometry& g, ptrdiff_t planes, const T* dy, const int64_t* positions,
                         T* dx);
  // y[o] = sum of the elements of window o inside / divisor(o); divisor(o) = dd[od] * dh[oh] * dw[ow], and dw
  // is one number over the inner outputs.
  void (*sum)(const PoolGeometry& g, const T* x, const T* dd, const T* dh, const T* dw, T* y);
  // dx = 0; dx[p] += dy[o] / divisor(o) for every p in window o.
  void (*sum_backward)(const PoolGeometry& g, const T* dy, const T* dd, const T* dh, const T* dw, T* dx);
  // The sum of n contiguous elements; n copies of a number.
  T (*total)(ptrdiff_t n, const T* x);
  void (*fill)(ptrdiff_t n, T value, T* x);
};
TENFOLD_DECLARE_KERNELS(PoolKernels)

}  // namespace tenfold
