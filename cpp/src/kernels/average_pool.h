// Average-pooling of planes: sums over windows, divided.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

// One axis of windows whose elements are summed: output o takes begin[o] .. end[o] - 1, and neither ever falls from one
// output to the next. Where stride > 0, these are the elements inside of o * stride - pad .. o * stride - pad + kernel - 1.
// A sum is divided by the product of the axes' divisors; share[o] = 1 / divisor[o].
template <class T>
struct SumAxis {
  ptrdiff_t size, output;
  const ptrdiff_t *begin, *end;
  const T *divisor, *share;
  ptrdiff_t kernel, stride, pad;
};
template <class T>
struct SumGeometry {
  SumAxis<T> d, h, w;
};

// x is one contiguous plane [D][H][W], y one [OD][OH][OW]; nothing is aligned or shared. `planes` of them follow each
// other in all arrays. `past`: dx leaves past the caches (kernels/past.h).
template <class T>
struct AveragePoolKernels {
  // y[o] = sum of the elements of window o / its divisor; 0 for a window without any.
  void (*sum)(const SumGeometry<T>& g, ptrdiff_t planes, const T* x, T* y);
  // dx = 0; dx[p] += dy[o] / divisor of o, for every p in window o.
  void (*sum_backward)(const SumGeometry<T>& g, ptrdiff_t planes, const T* dy, bool past, T* dx);
};
TENFOLD_DECLARE_KERNELS(AveragePoolKernels)

}  // namespace tenfold
