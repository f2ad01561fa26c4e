// Softmax along one axis of a tensor seen as (outer, n, inner), for two layouts:
//
//   rows     inner = 1: `rows` rows of n contiguous values; the lanes run along a row
//   columns  n planes, `pitch` values apart; the lanes run along `width` neighbouring columns
//
// Every pointer has unit stride in the lanes' direction; nothing is aligned; y may be x, dx may be dy or y.
// `past`: y, which is not x then, may leave past the caches (kernels/past.h).
// Sums of a row or column are made in an order that depends on n alone.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

// Elements of a row of softmax_rows that leaves past the caches, at most.
constexpr ptrdiff_t kSoftmaxMostPast = 4096;

template <class T>
struct SoftmaxKernels {
  // y = exp(x - max) / sum. largest (max) and log_sum (log of exp(x - max) summed), one per row, are written where not null.
  void (*softmax_rows)(ptrdiff_t rows, ptrdiff_t n, const T* x, T* y, T* largest, T* log_sum, bool past);
  void (*softmax_columns)(ptrdiff_t width, ptrdiff_t n, ptrdiff_t pitch, const T* x, T* y, T* largest,
                          T* log_sum);
  // y = x - max - log(sum)
  void (*log_softmax_rows)(ptrdiff_t rows, ptrdiff_t n, const T* x, T* y, bool past);
  void (*log_softmax_columns)(ptrdiff_t width, ptrdiff_t n, ptrdiff_t pitch, const T* x, T* y);
  // dx = y (dy - <dy, y>)
  void (*softmax_rows_backward)(ptrdiff_t rows, ptrdiff_t n, const T* y, const T* dy, T* dx);
  void (*softmax_columns_backward)(ptrdiff_t width, ptrdiff_t n, ptrdiff_t pitch, const T* y, const T* dy,
                                   T* dx);
  // dx = dy - exp(y) sum(dy)
  void (*log_softmax_rows_backward)(ptrdiff_t rows, ptrdiff_t n, const T* y, const T* dy, T* dx);
  void (*log_softmax_columns_backward)(ptrdiff_t width, ptrdiff_t n, ptrdiff_t pitch, const T* y, const T* dy,
                                       T* dx);
  // dx = y total - less, with one total and one less for a row or column; 0 where total is 0, whatever y is.
  void (*cross_entropy_rows_backward)(ptrdiff_t rows, ptrdiff_t n, const T* y, const T* total, const T* less,
                                      T* dx);
  void (*cross_entropy_columns_backward)(ptrdiff_t width, ptrdiff_t n, ptrdiff_t pitch, const T* y,
                                         const T* total, const T* less, T* dx);
};
TENFOLD_DECLARE_KERNELS(SoftmaxKernels)

}  // namespace tenfold
