// Optimiser steps over one piece of the flat parameter vector.
//
// p, the parameters, and the states (b, m, v) are read and written; g, the gradient, is read. All have n
// elements of unit stride, and none overlap. `past`: p is written past the caches (kernels/vec.h) and has to begin at a
// cache line; else no alignment is assumed. The formulas stand in tenfold/optim.h.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

template <class T>
struct SgdRates {
  T learning_rate, momentum, weight_decay;
  T keep;   // what stays of the old b: momentum, and 0 at the first step
  T share;  // what is taken of the gradient: 1 - dampening, and 1 at the first step
  bool nesterov;
};

template <class T>
struct AdamRates {
  T keep1, share1;    // beta1, 1 - beta1
  T keep2, share2;    // beta2, 1 - beta2
  T step_size;        // rate / (1 - beta1^t)
  T root_correction;  // 1 / sqrt(1 - beta2^t)
  T eps, weight_decay;
  T shrink;  // 1 - rate weight_decay (decoupled), or 1
};

template <class T>
struct RmspropRates {
  T learning_rate, keep, share, eps, weight_decay, momentum;  // keep = alpha, share = 1 - alpha
};

template <class T>
struct OptimKernels {
  // b is null without momentum.
  void (*sgd)(ptrdiff_t n, T* p, const T* g, T* b, const SgdRates<T>& rates, bool past);
  void (*adam)(ptrdiff_t n, T* p, const T* g, T* m, T* v, const AdamRates<T>& rates, bool past);
  // b is null without momentum.
  void (*rmsprop)(ptrdiff_t n, T* p, const T* g, T* v, T* b, const RmspropRates<T>& rates, bool past);
};
TENFOLD_DECLARE_KERNELS(OptimKernels)

}  // namespace tenfold
