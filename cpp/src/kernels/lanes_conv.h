// Convolution as the definition says on blocks of 16 samples (kernels/lanes.h has the layout), and its gradients.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"
#include "kernels/lanes.h"

namespace tenfold {

// y[f][p] = bias[f] + sum_k w[f][k] * x[pixel[p] + tap[k]], then ReLU, then max over groups of four pixels.
// x carries its zero padding, so that every tap of every pixel lies inside. y[f][p] is at f * y_plane +
// place[p] (with pool: place[p / 4], codes at f * code_plane + 16 * (p / 4)). The code of a pooled value is the winning tap,
// or kNoTap (kernels/max_pool.h) where no gradient passes: the ReLU was shut.
template <class T>
struct LaneConv {
  const T* x;
  const T* w;
  const T* bias;  // or null
  T* y;
  unsigned char* codes;
  ptrdiff_t filters, taps, pixels;
  const ptrdiff_t* tap;
  const ptrdiff_t* pixel;
  const ptrdiff_t* place;
  ptrdiff_t y_plane, code_plane;
  bool relu;       // without pool: writes -0 for negative values, so that backward can tell them from zeros
  bool pool;       // pixels come in groups of four, the taps of a pooling window in order
  bool pass_zero;  // the derivative of ReLU at 0 is 1 (else 0); only read with pool
};

// Adds to acc[f][k][16]: sum over a strip of rows x cols pixels of dy[f][r][j] * x[tap[k] + r * x_row + j *
// x_col].
template <class T>
struct LaneConvWeight {
  const T* x;
  const T* dy;
  T* acc;
  ptrdiff_t filters, taps, rows, cols;
  const ptrdiff_t* tap;
  ptrdiff_t x_row, x_col, dy_plane, dy_row;
};

// dx[c][h][w] = sum over f and the taps that reach it of w[f][c][kh][kw] * dy[f][oh][ow], in padded
// coordinates: h = oh * stride + kh * dilation. Exactly the multiply-adds of the forward convolution: rows
// are gathered, columns scattered into a register tile. Only rows first_row .. last_row - 1 of dx are written
// (all padded columns of them).
template <class T>
struct LaneConvInput {
  const T* dy;
  const T* w;
  T* dx;
  ptrdiff_t channels, filters, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  ptrdiff_t out_h, out_w, first_row, last_row, width;  // width: padded columns of dx
  ptrdiff_t dy_plane, dy_row, dx_plane, dx_row;
};

// Cycles beside the multiply-adds of a convolution whose images are turned into lanes for it: to turn a vector of 16 images,
// and to copy a row of pixels in the other forms.
struct LaneConvCosts {
  double turn, copied_row;
};

template <class T>
struct LaneConvKernels {
  void (*forward)(const LaneConv<T>& call);
  void (*weight)(const LaneConvWeight<T>& call);
  void (*input)(const LaneConvInput<T>& call);
  // dy of a pooled convolution, one plane: dy[place[4 * p + tap]] = d[d_place[p]] where the code of window p
  // is tap, else 0. sum[16] += all of it.
  void (*unpool)(ptrdiff_t windows, const T* d, const ptrdiff_t* d_place, const unsigned char* codes,
                 const ptrdiff_t* place, T* dy, T* sum);
  LaneConvCosts costs, weight_costs;
};
TENFOLD_DECLARE_KERNELS(LaneConvKernels)

}  // namespace tenfold
