// Winograd's convolution F(4x4, 5x5) on blocks of 16 samples in the vector lanes (kernels/lanes.h has the layout), for
// windows of 5 x 5 with stride 1 and no dilation:
//
//   y = A^T [ sum_c u . (B^T d B) ] A,      u = G w G^T, d a tile's 8 x 8 look at a channel
//
// with nine points an axis, of which one pair is complex (kernels/winograd_nine_points.h): 81 multiplications for 16 outputs,
// where F(2x2, 5x5) takes 144 and the definition 400. Where one or two outputs of an axis are left over they are made of six
// points, as in F(2, 5). Tiles are as many of four as fit and at most one of two, along each axis for itself.
#pragma once

#include "kernels/lanes.h"
#include "kernels/lanes_winograd.h"

namespace tenfold {

// The tiles of an axis, from its beginning: `fours` of four outputs and nine points, then `twos` (0 or 1) of two outputs and
// six points.
struct NineTiles {
  ptrdiff_t fours, twos;
  constexpr ptrdiff_t outputs() const { return 4 * fours + 2 * twos; }
  constexpr ptrdiff_t points() const { return 9 * fours + 6 * twos; }
};
constexpr NineTiles nine_tiles(ptrdiff_t outputs) {
  return {(outputs + 1) / 4, outputs % 4 == 1 || outputs % 4 == 2 ? 1 : 0};
}

constexpr ptrdiff_t kNineFilters = 16;     // transformed weights lie in blocks of so many filters
constexpr ptrdiff_t kNineLinePoints = 15;  // of both sizes of tiles
constexpr ptrdiff_t nine_weights(ptrdiff_t channels, ptrdiff_t filters) {
  return (filters + kNineFilters - 1) / kNineFilters * kNineFilters * channels * kNineLinePoints *
         kNineLinePoints;
}
// Vectors of 16 of a call's scratch.
constexpr ptrdiff_t nine_scratch(ptrdiff_t channels, ptrdiff_t out_w) {
  const NineTiles tiles = nine_tiles(out_w);
  return 8 * (channels * tiles.points() + tiles.outputs() + 4) + 2 * kNineFilters * 4 * 9;
}

// What a point takes in multiply-adds of 16 lanes at the peak: `product` for each channel and filter, `look` for each channel
// and `part` for each filter.
struct LaneNineWinogradCost {
  double product, look, part;
};

constexpr double nine_winograd_cost(const LaneNineWinogradCost& cost, ptrdiff_t channels, ptrdiff_t filters,
                                    ptrdiff_t out_h, ptrdiff_t out_w) {
  const double looks = static_cast<double>(channels), parts = static_cast<double>(filters);
  return static_cast<double>(nine_tiles(out_h).points() * nine_tiles(out_w).points()) *
         (looks * parts * cost.product + looks * cost.look + parts * cost.part);
}

// Filled for float where a block is one vector and registers are many; null otherwise.
template <class T>
struct LaneNineWinogradKernels {
  // y, where call.u is [F / 16][15][C][15][16]. x has rows and columns for whole tiles; pooling windows are 2 x 2.
  void (*forward)(const LaneWinograd<T>& call);
  // u <-- w[F][C][5][5]
  void (*transform)(ptrdiff_t channels, ptrdiff_t filters, const T* w, T* u);
  LaneNineWinogradCost cost;
};
TENFOLD_DECLARE_KERNELS(LaneNineWinogradKernels)

}  // namespace tenfold
