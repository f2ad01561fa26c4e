// Max-pooling on blocks of 16 samples (kernels/lanes.h has the layout), and its gradient.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"
#include "kernels/lanes.h"

namespace tenfold {

// Max-pooling of one plane; windows are clipped to height x width (every window has a tap inside).
// codes[oh][ow][16] = kh * kernel_w + kw of the first maximum.
template <class T>
struct LanePool {
  const T* x;   // forward
  T* y;         // forward
  const T* dy;  // backward
  T* dx;        // backward
  unsigned char* codes;
  ptrdiff_t height, width, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
  ptrdiff_t x_row, y_row;  // of x / dx and of y / dy
};

template <class T>
struct LanePoolKernels {
  void (*forward)(const LanePool<T>& call);
  void (*backward)(const LanePool<T>& call);
};
TENFOLD_DECLARE_KERNELS(LanePoolKernels)

}  // namespace tenfold
