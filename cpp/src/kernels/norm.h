// Statistics and affine maps of batch normalisation, for two layouts:
//
//   plane    n neighbouring values of one channel; planes: those of some channels, one after the other
//   columns  `rows` rows, `pitch` values apart, of `width` neighbouring channels each; per-channel numbers
//   are arrays
//
// Nothing is aligned; y may be x and dx may be dy. `past`: the output leaves past the caches. The sums of a piece are made in an order that depends on
// its extents alone; pieces are kept small (a few thousand values), so that single precision suffices within
// one.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

template <class T>
struct NormKernels {
  // shift = mean of x as computed; sum = sum of x - shift; squares = sum of (x - shift)^2
  void (*moments_plane)(ptrdiff_t n, const T* x, T* shift, T* sum, T* squares);
  void (*moments_columns)(ptrdiff_t rows, ptrdiff_t width, ptrdiff_t pitch, const T* x, T* shift, T* sum,
                          T* squares);
  // y = (x - mean) factor + bias
  void (*apply_planes)(ptrdiff_t planes, ptrdiff_t n, const T* x, const T* mean, const T* factor,
                       const T* bias, bool past, T* y);
  void (*apply_columns)(ptrdiff_t rows, ptrdiff_t width, ptrdiff_t pitch, const T* x, const T* mean,
                        const T* factor, const T* bias, T* y);
  // sum = sum of dy; product = sum of dy (x - mean)
  void (*sums_plane)(ptrdiff_t n, const T* x, const T* dy, T mean, T* sum, T* product);
  void (*sums_columns)(ptrdiff_t rows, ptrdiff_t width, ptrdiff_t pitch, const T* x, const T* dy,
                       const T* mean, T* sum, T* product);
  // dx = factor (dy - a - (x - mean) b)
  void (*backward_planes)(ptrdiff_t planes, ptrdiff_t n, const T* x, const T* dy, const T* mean,
                          const T* factor, const T* a, const T* b, bool past, T* dx);
  void (*backward_columns)(ptrdiff_t rows, ptrdiff_t width, ptrdiff_t pitch, const T* x, const T* dy,
                           const T* mean, const T* factor, const T* a, const T* b, T* dx);
};
TENFOLD_DECLARE_KERNELS(NormKernels)

}  // namespace tenfold
