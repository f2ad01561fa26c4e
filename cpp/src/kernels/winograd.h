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

// Lanes begin .. end - 1 of a vector of outputs, those at y[target + h * pitch + lane] of the rows h < rows that exist.
struct WinogradRun {
  ptrdiff_t target, begin, end, rows;
};
// A vector of staged looks, at `to`: lane i is element source + i of a plane where bit i of `lanes` is set.
struct WinogradMove {
  ptrdiff_t source, to;
  unsigned lanes;
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

  // rows[move.to + i] <-- plane[move.source + i] or, in the other lanes, `fill`, one move after the other. What lies `ahead`
  // elements further is asked for meanwhile.
  void (*stage)(ptrdiff_t moves, const WinogradMove* move, const T* plane, ptrdiff_t ahead, T fill, T* rows);
  // to[j * step + i] <-- element j < t * t of v of tile i < tiles, whose look at (r, c) is
  // from[i * form.step + r % form.step * pitch + r / form.step * down + c % form.step + c / form.step * right].
  // Reads and writes whole vectors.
  void (*input[kWinogradFormCount])(ptrdiff_t tiles, const T* from, ptrdiff_t pitch, ptrdiff_t down,
                                    ptrdiff_t right, T* to, ptrdiff_t step);
  // to[j * step + k * rows + f] <-- element j of u of filter f < rows, from taps[k * k_step + tap * tap_step +
  // f]. The lanes beyond `rows` are read up to the next whole vector.
  void (*weights[kWinogradFormCount])(ptrdiff_t K, ptrdiff_t rows, const T* taps, ptrdiff_t k_step,
                                      ptrdiff_t tap_step, T* to, ptrdiff_t step);
  // y[...] <-- the outputs of `tiles` tiles from s[j * step + i]: m rows of m vectors for each vector of tiles, of which
  // the c-th has the runs first[c] .. first[c + 1] - 1. Reads whole vectors of s.
  void (*output[kWinogradFormCount])(ptrdiff_t tiles, const ptrdiff_t* first, const WinogradRun* runs,
                                     const T* s, ptrdiff_t step, T bias, ConvActivation activation, T* y,
                                     ptrdiff_t pitch);

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
