// Dense layers on blocks of 16 samples (kernels/lanes.h has the layout), and their gradients.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"
#include "kernels/lanes.h"

namespace tenfold {

template <class T>
struct LaneDenseKernels {
  // y[o] = bias[o] + sum_i w[o][i] * x[i], then ReLU as in LaneConv.
  void (*forward)(ptrdiff_t outputs, ptrdiff_t inputs, const T* x, const T* w, const T* bias, bool relu,
                  T* y);
  // dx[i] = sum_o w[o][i] * dy[o].
  void (*input)(ptrdiff_t outputs, ptrdiff_t inputs, const T* dy, const T* w, T* dx);
  // dw[o][i] = scale * sum_n dy[n / 16][o][n % 16] * rows[n][i] for `outputs` o; blocks of dy are dy_block
  // apart, rows a pitch apart, with zeros behind the inputs up to a multiple of 16. db[o] likewise. Either may
  // be null.
  void (*weight)(ptrdiff_t outputs, ptrdiff_t inputs, ptrdiff_t samples, const T* dy, ptrdiff_t dy_block,
                 const T* rows, ptrdiff_t pitch, T scale, T* dw, T* db);
};
TENFOLD_DECLARE_KERNELS(LaneDenseKernels)

}  // namespace tenfold
