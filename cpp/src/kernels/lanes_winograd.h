// Winograd's convolution F(m x m, r x r), r = 3 or 5 and m = 7 - r, on blocks of 16 samples in the vector lanes
// (kernels/lanes.h has the layout), for windows of stride 1 without dilation, and its two adjoints:
//
//   y  = A^T [ sum_c u . (B^T d B) ] A           u = G w G^T, d a tile's 6 x 6 look at a channel
//   dx = sum over tiles of B [ sum_f u . (A e A^T) ] B^T       e = the tile's m x m part of dy
//   dw = G^T [ sum over tiles and lanes of (B^T d B) . (A e A^T) ] G
//
// "." is elementwise over 6 x 6 points, so that every operator takes 36 multiplications a tile, filter and channel
// for m^2 r^2 of the definition (100 and 144). Both sizes interpolate at 0, +-sqrt(1/2), +-sqrt(2) and infinity
// (docs/numerics.md). Samples are in the lanes: the transforms are additions of whole vectors.
//
// Points are numbered column * 6 + row. Tiles cover the output from its corner; x and dx have rows and columns for
// all of them (ceil(out / m) * m + r - 1), dy and y only out_h x out_w.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

constexpr ptrdiff_t kWinogradPoints = 36;
// No ISA's forward pass takes a tile of more filters at a time.
constexpr ptrdiff_t kMostFilters = 4;

template <class T>
struct LaneWinograd {
  const T* x;
  const T* u;     // [F][C][36]
  const T* bias;  // or null
  const T* dy;
  T* y;
  T* dx;
  T* sums;  // [F][C][36][16]
  T* scratch;
  unsigned char* codes;
  ptrdiff_t channels, filters, out_h, out_w;
  ptrdiff_t x_plane, x_row;  // of x and dx
  ptrdiff_t y_plane, y_row;  // of y and dy
  ptrdiff_t tiles;           // forward: of a row at a time; weight: rows of tiles at a time
  // forward: what follows, as in LaneConv. The pooling windows are pool_h x 4 / pool_h pixels, pool_h divides m and
  // so does 4 / pool_h; 0: no pooling. pooled_h x pooled_w of them exist.
  bool relu, pass_zero;
  ptrdiff_t pool_h, pooled_h, pooled_w, code_plane;
};

// What a tile takes in multiply-adds of 16 lanes at the peak: `product` for each of its points, filters and channels,
// `look` for each channel and `part` for each filter.
struct LaneWinogradCost {
  double product, look, part;
};

// Index 0: r = 3, index 1: r = 5; -1: there are no kernels for this r.
constexpr int lane_winograd_number(ptrdiff_t r) {
  return r == 3 ? 0 : r == 5 ? 1 : -1;
}

// Only float's table is filled: float64 stays with the definition.
template <class T>
struct LaneWinogradKernels {
  // y; null where nine points an axis take less (kernels/lanes_nine_winograd.h). Scratch of
  // tiles * 36 C + 6 (tiles * m + r - 1) + 12 m kMostFilters vectors of 16.
  void (*forward[2])(const LaneWinograd<T>& call);
  // Overwrites dx, all of its rows and columns; scratch of 6 F + 36 C vectors.
  void (*input[2])(const LaneWinograd<T>& call);
  // Adds to sums; with w columns of tiles, scratch of 6 tiles w (F + C) + (tiles * m + r - 1) w vectors.
  void (*weight[2])(const LaneWinograd<T>& call);
  // u[i][36] <-- w[i][r * r] for i < count
  void (*transform[2])(ptrdiff_t count, const T* w, T* u);
  // dw[i][r * r] <-- scale * sums[i][36] for i < count
  void (*transform_back[2])(ptrdiff_t count, const T* sums, T scale, T* dw);
  LaneWinogradCost forward_cost[2], input_cost[2], weight_cost[2];
};
TENFOLD_DECLARE_KERNELS(LaneWinogradKernels)

}  // namespace tenfold
