// Winograd's convolution along rows only, F(m, r) with r = 3 or 5, on blocks of 16 samples in the vector lanes
// (kernels/lanes.h has the layout), for windows of r x r with stride 1 and no dilation. Columns of the kernel are summed
// as the definition says:
//
//   y[h][mj .. mj + m - 1] = A^T sum_{c, kh} u[kh] . v[h + kh][j],
//   u[kh] = G w[kh],   v[h][j] = B^T x[h][mj .. mj + m + r - 2]
//
// with P points "." a line, for transforms that are cheap beside even one channel, and with little more rounding
// (docs/numerics.md): F(2, 3) at 0, 1, -1 and infinity; F(2, 5) at 0, +-sqrt(1/2), +-sqrt(2) and infinity; where registers are
// many and long, F(4, 5) at +-i besides, with nine points (kernels/winograd_nine_points.h). They take two thirds, three fifths
// and 9 twentieths of the definition's multiplications.
#pragma once

#include "kernels/lanes.h"
#include "kernels/lanes_winograd.h"

namespace tenfold {

// What a tile is, of two rows of `outputs` side by side, and what it takes in multiply-adds of 16 lanes at the peak.
struct LaneRowWinogradForm {
  ptrdiff_t outputs, points;
  double product;  // for each multiplication
  double look;     // for each line of points of x
  double part;     // for each row of outputs, and filter
};

constexpr double row_winograd_cost(const LaneRowWinogradForm& form, ptrdiff_t r, ptrdiff_t channels,
                                   ptrdiff_t filters, ptrdiff_t rows, ptrdiff_t columns) {
  const ptrdiff_t products = channels * filters * r * form.points;
  const ptrdiff_t lines = rows * ((columns + form.outputs - 1) / form.outputs);
  return static_cast<double>(lines) *
         (static_cast<double>(products) * form.product + static_cast<double>(channels) * form.look +
          static_cast<double>(filters) * form.part);
}

// Index: lane_winograd_number. Only float's table is filled.
template <class T>
struct LaneRowWinogradKernels {
  // y, where call.u is [F][C][r][P]; two rows of outputs at a time, `tiles` such pairs between looks. x has rows and
  // columns for whole tiles; pooling windows are 2 x 2. Scratch of C P (2 tiles + r - 1) vectors of 16.
  void (*forward[2])(const LaneWinograd<T>& call);
  // u[i][r][P] <-- w[i][r][r] for i < count
  void (*transform[2])(ptrdiff_t count, const T* w, T* u);
  LaneRowWinogradForm form[2];
};
TENFOLD_DECLARE_KERNELS(LaneRowWinogradKernels)

}  // namespace tenfold
