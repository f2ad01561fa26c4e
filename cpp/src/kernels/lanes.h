// Kernels on blocks of 16 samples that lie in the vector lanes.
//
// An activation is a plane stack [C][H][W][16]: 16 samples of one value are contiguous, so that spatial
// windows have no tails, masks are vector code and weights are scalar broadcasts out of their own torch
// layout ([F][C][KH][KW] and [O][I]). Offsets, rows and planes below count elements of T and include the 16
// lanes. Every pointer to lanes is aligned to 64 bytes. Nothing overlaps unless it says so. "Overwrites" is
// the rule; what adds says so.
//
// Letters: C input channels, F filters, K = C * KH * KW taps, O and I the features of a dense layer, P
// pixels.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dispatch.h"
#include "kernels/max_pool.h"

namespace tenfold {

constexpr ptrdiff_t kLaneBlock = 16;  // samples in a block, on every ISA: one 512-bit vector of floats

// The code of a pooled value is the winning tap, or kNoTap where no gradient passes: a ReLU in front of the pool was shut.

// y[f][p] = bias[f] + sum_k w[f][k] * x[pixel[p] + tap[k]], then ReLU, then max over groups of four pixels.
// x carries its zero padding, so that every tap of every pixel lies inside. y[f][p] is at f * y_plane +
// place[p] (with pool: place[p / 4], codes at f * code_plane + 16 * (p / 4)).
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
struct LaneKernels {
  void (*conv)(const LaneConv<T>& call);
  void (*conv_weight)(const LaneConvWeight<T>& call);
  void (*conv_input)(const LaneConvInput<T>& call);
  // dy of a pooled convolution, one plane: dy[place[4 * p + tap]] = d[d_place[p]] where the code of window p
  // is tap, else 0. sum[16] += all of it.
  void (*unpool)(ptrdiff_t windows, const T* d, const ptrdiff_t* d_place, const unsigned char* codes,
                 const ptrdiff_t* place, T* dy, T* sum);
  void (*max_pool)(const LanePool<T>& call);
  void (*max_pool_backward)(const LanePool<T>& call);
  // y = x < 0 ? -0 : x over n elements; y may be x.
  void (*relu)(ptrdiff_t n, const T* x, T* y);
  // d = gradient behind a ReLU whose output (with -0 for negative inputs) is y.
  void (*relu_backward)(ptrdiff_t n, const T* y, T at_zero, T* d);

  // y[o] = bias[o] + sum_i w[o][i] * x[i], then ReLU as in conv.
  void (*dense)(ptrdiff_t outputs, ptrdiff_t inputs, const T* x, const T* w, const T* bias, bool relu, T* y);
  // dx[i] = sum_o w[o][i] * dy[o].
  void (*dense_input)(ptrdiff_t outputs, ptrdiff_t inputs, const T* dy, const T* w, T* dx);
  // dw[o][i] = scale * sum_n dy[n / 16][o][n % 16] * rows[n][i] for `outputs` o; blocks of dy are dy_block
  // apart, rows a pitch apart, with zeros behind the inputs up to a multiple of 16. db[o] likewise. Either may
  // be null.
  void (*dense_weight)(ptrdiff_t outputs, ptrdiff_t inputs, ptrdiff_t samples, const T* dy,
                       ptrdiff_t dy_block, const T* rows, ptrdiff_t pitch, T scale, T* dw, T* db);

  // Cross-entropy of one block: losses[n] = log(sum exp(z)) - z[label], d[c] = (softmax - onehot) * scale,
  // both 0 for a label outside 0 .. classes - 1 (which is how lanes beyond the batch are masked). d may be
  // null.
  void (*cross_entropy)(ptrdiff_t classes, const T* logits, const int64_t* labels, T scale, T* losses, T* d);

  // lanes[i][16] <-- rows[n * pitch + i] for n < samples, zeros above.
  void (*to_lanes)(ptrdiff_t count, const T* rows, ptrdiff_t pitch, ptrdiff_t samples, T* lanes);
  // lanes[i][16] <-- rows[n][first + i] for n < samples, zeros above; all 16 of rows can be read.
  void (*gather_lanes)(ptrdiff_t count, const T* const* rows, ptrdiff_t first, ptrdiff_t samples, T* lanes);
  // rows[n * pitch + i] <-- lanes[i][16] for n < samples; -0 becomes +0. `past`: past the caches where that is easy
  // (kernels/past.h); rows then begin at cache lines.
  void (*from_lanes)(ptrdiff_t count, const T* lanes, T* rows, ptrdiff_t pitch, ptrdiff_t samples, bool past);
  // sums[i] = sum over the lanes of acc[i][16]; `past` as for from_lanes.
  void (*sum_lanes)(ptrdiff_t count, const T* acc, T* sums, bool past);
  // acc[16] += sum over rows x cols of x.
  void (*sum_plane)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row, const T* x, T* acc);
};
TENFOLD_DECLARE_KERNELS(LaneKernels)

}  // namespace tenfold
