// The transforms of Winograd's convolution F(m x m, 3 x 3), m = 2 and 4 (Lavin and Gray, "Fast algorithms for
// convolutional neural networks", CVPR 2016), with tiles or filters in the vector lanes:
//
//   y = A^T [ sum_c (G g G^T) . (B^T d B) ] A     for every filter and tile of m x m outputs, "." elementwise
//
//   input    v = B^T d B      d is the tile's t x t look at a channel, t = m + 2; tiles overlap by 2
//   weights  u = G g G^T      g are the 3 x 3 taps of a filter and channel
//   output   y = act(A^T s A + bias)
//
// The matrices come from interpolation at 0, +-1 and infinity for m = 2, and at 0, +-sqrt(1/2), +-sqrt(2) and
// infinity for m = 4: the numbers then stay near 1, and the error is several times less than at the usual
// points 0, +-1, +-2 (docs/numerics.md).
#pragma once

#include <stddef.h>

#include "kernels/conv.h"
#include "kernels/dispatch.h"

namespace tenfold {

// `count` tiles side by side: columns column ... of the products, their look begins at `source`, their output
// at `target`, where `rows` x `columns` outputs exist (the last tiles may reach beyond).
struct WinogradRun {
  ptrdiff_t column, count, source, target, rows, columns;
};

template <class T>
struct WinogradKernels {
  ptrdiff_t lanes;

  // Index 0: m = 2, index 1: m = 4.
  // to[j * step + run.column + i] <-- element j < t * t of v of the run's tile i, which looks at
  // from[run.source + i * m + row * pitch + ...]. Reads up to m * lanes elements beyond a row's last look;
  // writes the run's columns only.
  void (*input[2])(ptrdiff_t runs, const WinogradRun* run, const T* from, ptrdiff_t pitch, T* to,
                   ptrdiff_t step);
  // to[j * step + k * rows + f] <-- element j of u of filter f < rows, from taps[k * k_step + tap * tap_step +
  // f]. The lanes beyond `rows` are read up to the next whole vector.
  void (*weights[2])(ptrdiff_t K, ptrdiff_t rows, const T* taps, ptrdiff_t k_step, ptrdiff_t tap_step, T* to,
                     ptrdiff_t step);
  // y[run.target + ...] <-- the outputs of the run's tiles from s[j * step + run.column + i]; reads whole
  // vectors of s, writes only outputs that exist.
  void (*output[2])(ptrdiff_t runs, const WinogradRun* run, const T* s, ptrdiff_t step, T bias,
                    ConvActivation activation, T* y, ptrdiff_t pitch);
};
TENFOLD_DECLARE_KERNELS(WinogradKernels)

}  // namespace tenfold
