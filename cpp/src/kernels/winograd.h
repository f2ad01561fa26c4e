// The transforms of Winograd's convolution F(m x m, r x r) (Lavin and Gray, "Fast algorithms for convolutional neural
// networks", CVPR 2016), with tiles or filters in the vector lanes:
//
//   y = A^T [ sum_c (G g G^T) . (B^T d B) ] A     for every filter and tile of m x m outputs, "." elementwise
//
//   input    v = B^T d B      d is the tile's t x t look at a channel, t = m + r - 1; tiles overlap by r - 1
//   weights  u = G g G^T      g are the r x r taps of a filter and channel
//   output   y = act(A^T s A + bias)
//
// and of its weight gradient, the same form transposed, with channels or filters in the lanes:
//
//   dg = G^T [ sum over tiles of (A dy A^T) . (B^T d B) ] G
//
// With stride 2 the even and the odd taps are filters of their own with stride 1, F(2, 2) where they are two (three
// products for four, interpolation at 0, 1 and infinity):
//
//   y = A x    the looks' even and odd elements meet their filters, whose outputs are added
//   x = A^T y  each of them makes every second output
//
// so that a tile takes t * t products of t elements a line: 3 + 3 for four taps, 3 + 2 for three.
//
// The other matrices come from interpolation at 0, +-1 and infinity for t = 4, and at 0, +-sqrt(1/2), +-sqrt(2) and
// infinity for t = 6, and at +-i besides for t = 9: the numbers then stay near 1, and the error is several times less than
// at the usual points 0, +-1, +-2 (docs/numerics.md).
#pragma once

#include <stddef.h>

#include "kernels/conv.h"
#include "kernels/dispatch.h"

namespace tenfold {

// `count` tiles side by side: columns column ... of the products, their look begins at `source`, their output
// at `target`, where `rows` x `columns` outputs exist (the last tiles may reach beyond). What their transform writes into
// the `room` columns from `column` on but for its own, the next run writes again, or nothing uses it.
struct WinogradRun {
  ptrdiff_t column, count, room, source, target, rows, columns;
};

// Along an axis: r taps make m outputs of a tile from `looks` elements of the source, those of the next tile begin
// `step` further, in t products: one for each look, and a third one for a pair of complex points.
struct WinogradForm {
  ptrdiff_t m, r, step, looks, t;
};
// The forms there are, in the order of the tables below: stride 1, stride 2, and the
// adjoint of stride 2.
constexpr WinogradForm kWinogradForms[] = {{2, 3, 2, 4, 4}, {4, 3, 4, 6, 6}, {2, 5, 2, 6, 6},
                                           {4, 5, 4, 8, 9}, {2, 3, 4, 5, 5}, {2, 4, 4, 6, 6},
                                           {4, 3, 2, 3, 5}, {4, 4, 2, 4, 6}};
constexpr int kWinogradFormCount = 8;
constexpr int kWinogradFiveForm = 2, kWinogradNineForm = 3;       // of five taps, tiles of two and of four
constexpr int kWinogradStrideForm = 4, kWinogradAdjointForm = 6;  // + 1 for four taps
// Those that the weight gradient has, in the order of its tables; that of five taps in float32 only.
constexpr int kWinogradGradientForms[] = {0, 1, 4, 5, kWinogradNineForm};
constexpr int kWinogradGradientFormCount = 5, kWinogradGradientOfFive = 4;

template <class T>
struct WinogradKernels {
  ptrdiff_t lanes;

  // to[j * step + run.column + i] <-- element j < t * t of v of the run's tile i, which looks at
  // from[run.source + i * step + row * pitch + ...]. Reads up to form.step * lanes elements beyond a row's last look;
  // writes whole vectors, as far as the run has room.
  void (*input[kWinogradFormCount])(ptrdiff_t runs, const WinogradRun* run, const T* from, ptrdiff_t pitch,
                                    T* to, ptrdiff_t step);
  // The same, to the same bits, of a vector of tiles that may lie anywhere: tile i < lanes looks at
  // from[source[i] + row * pitch + ...]. Reads up to 3 elements beyond a row's last look.
  void (*gathered_input[kWinogradFormCount])(const ptrdiff_t* source, const T* from, ptrdiff_t pitch, T* to,
                                             ptrdiff_t step);
  // to[j * step + k * rows + f] <-- element j of u of filter f < rows, from taps[k * k_step + tap * tap_step +
  // f]. The lanes beyond `rows` are read up to the next whole vector.
  void (*weights[kWinogradFormCount])(ptrdiff_t K, ptrdiff_t rows, const T* taps, ptrdiff_t k_step,
                                      ptrdiff_t tap_step, T* to, ptrdiff_t step);
  // y[run.target + ...] <-- the outputs of the run's tiles from s[j * step + run.column + i]; reads whole
  // vectors of s, writes only outputs that exist.
  void (*output[kWinogradFormCount])(ptrdiff_t runs, const WinogradRun* run, const T* s, ptrdiff_t step,
                                     T bias, ConvActivation activation, T* y, ptrdiff_t pitch);

  // The weight gradient's. Pixel (r, c) of tile i is the vector at rows[r * pitch + (i * apart + c) * lanes], apart the
  // form's step or m; element j of its transform goes to the vector at to[j * step + i * tile_step].
  // v = B^T d B of the looks.
  void (*looks[kWinogradGradientFormCount])(ptrdiff_t tiles, const T* rows, ptrdiff_t pitch, T* to,
                                            ptrdiff_t step, ptrdiff_t tile_step);
  // A dy A^T of m x m pixels.
  void (*gradients[kWinogradGradientFormCount])(ptrdiff_t tiles, const T* rows, ptrdiff_t pitch, T* to,
                                                ptrdiff_t step, ptrdiff_t tile_step);
  // taps[(i * r * r + tap) * width + f] <-- G^T s G of s[j * step + i * width + f], i < rows, f < width, a multiple
  // of lanes.
  void (*taps[kWinogradGradientFormCount])(ptrdiff_t rows, ptrdiff_t width, const T* s, ptrdiff_t step,
                                           T* taps);
};
TENFOLD_DECLARE_KERNELS(WinogradKernels)

}  // namespace tenfold
