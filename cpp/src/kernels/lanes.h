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
//
// Here are the layout, ReLU and the loss; lanes_conv.h, lanes_dense.h and lanes_pool.h have the layers.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dispatch.h"

namespace tenfold {

constexpr ptrdiff_t kLaneBlock = 16;  // samples in a block, on every ISA: one 512-bit vector of floats

template <class T>
struct LaneKernels {
  // y = x < 0 ? -0 : x over n elements; y may be x.
  void (*relu)(ptrdiff_t n, const T* x, T* y);
  // d = gradient behind a ReLU whose output (with -0 for negative inputs) is y.
  void (*relu_backward)(ptrdiff_t n, const T* y, T at_zero, T* d);

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
