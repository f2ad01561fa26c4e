// Kernels that walk contiguous memory element by element.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

template <class T>
struct ElementwiseKernels {
  // y[i] = max(x[i], 0), NaN passes. y may be x.
  void (*relu)(ptrdiff_t n, const T* x, T* y);
  // dx[i] = y[i] > 0 ? dy[i] : x[i] == 0 ? at_zero * dy[i] : 0. dx may be dy.
  void (*relu_backward)(ptrdiff_t n, const T* x, const T* dy, T at_zero, T* dx);
};
TENFOLD_DECLARE_KERNELS(ElementwiseKernels)

}  // namespace tenfold
