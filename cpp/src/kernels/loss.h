// Losses that compare a prediction x with a target t element by element.
//
// x, t, dy and the results have n elements of unit stride; nothing is aligned. `parameter` is smooth_l1's
// beta or huber's delta and means nothing to the others.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

enum class PointwiseLoss { mse, l1, smooth_l1, huber, bce, bce_with_logits };
constexpr int kPointwiseLosses = 6;

template <class T>
struct PointwiseLossKernels {
  // sum of f(x[i], t[i])
  T (*sum[kPointwiseLosses])(ptrdiff_t n, const T* x, const T* t, T parameter);
  // y[i] = f(x[i], t[i])
  void (*map[kPointwiseLosses])(ptrdiff_t n, const T* x, const T* t, T parameter, T* y);
  // dx[i] = scale dy[i] df/dx (x[i], t[i]), with dy = 1 where dy is null; dt the same for df/dt
  void (*dx[kPointwiseLosses])(ptrdiff_t n, const T* x, const T* t, T parameter, T scale, const T* dy, T* dx);
  void (*dt[kPointwiseLosses])(ptrdiff_t n, const T* x, const T* t, T parameter, T scale, const T* dy, T* dt);
};
TENFOLD_DECLARE_KERNELS(PointwiseLossKernels)

}  // namespace tenfold
