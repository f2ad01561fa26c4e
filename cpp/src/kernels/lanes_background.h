// A dense layer of data on blocks of 16 samples in the vector lanes (kernels/lanes.h has the layout), where most inputs of
// a sample have one value, its background: drawings, digits, masks, one-hot codes. With e = x - background,
//
//   y[o] = bias[o] + background sum_i w[o][i] + sum_i w[o][i] e[i],     dw[o] = sum_n dy[n][o] (e[n] + background[n])
//
// and what multiplies e = 0 is left out: inputs that are background in all 16 samples; of the weight gradient, samples in
// which kColumn inputs side by side are. A sample's background depends on that sample alone. More than half of its inputs
// have that value, so that e, where it is rounded, errs by no more than a sum of w x does anyway (docs/numerics.md).
#pragma once

#include "kernels/lanes.h"

namespace tenfold {

// Inputs of a weight gradient that are left out together.
constexpr ptrdiff_t kColumn = 8;

// y[o][16] of a block. e holds the listed inputs only.
template <class T>
struct LaneBackgroundDense {
  const T* e;  // [count][16]
  const int32_t* list;
  const T* w;           // [outputs][inputs]
  const T* bias;        // or null
  T* row_sums;          // of w; or null, where every background is 0
  const T* background;  // [16]
  T* y;
  ptrdiff_t count, outputs, inputs;
  const T* ahead;  // weights that are needed next, and how many elements of them are asked for meanwhile
  ptrdiff_t ahead_count;
  bool sum;   // row_sums have to be written first
  bool relu;  // as in LaneConv
};

// What is left of the inputs for the weight gradient, column by column of kColumn inputs: `count` samples each, in order.
template <class T>
struct LaneColumns {
  T* e;                // [columns][pitch][kColumn]
  int32_t* places;     // [columns][pitch]: n * dy_pitch
  int32_t* counts;     // [columns]
  ptrdiff_t samples;   // all of them
  ptrdiff_t pitch;     // samples of which a column has room, lane_columns_pitch
  ptrdiff_t dy_pitch;  // from the gradients of a sample to the next
};

// No ISA's kernels want more outputs in a call.
constexpr ptrdiff_t kMostShare = 16;

// Not all columns begin in the same sets of the cache.
constexpr ptrdiff_t lane_columns_pitch(ptrdiff_t samples) {
  return samples + 2;
}

template <class T>
struct LaneBackgroundKernels {
  // x[0], if it is finite and more than half of x are equal to it; else 0.
  T (*background)(ptrdiff_t count, const T* x);
  // lanes[j][16] <-- lanes[list[j]] - background, for the inputs where that is not 0 in all lanes; returns how many.
  ptrdiff_t (*list)(ptrdiff_t count, const T* background, T* lanes, int32_t* list);
  void (*dense)(const LaneBackgroundDense<T>& call);
  ptrdiff_t share;  // outputs that a call should have
  // Columns begin .. end - 1 of samples x + order[n] * inputs (without order: n * inputs).
  void (*columns)(const LaneColumns<T>& to, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t inputs, const T* x,
                  const ptrdiff_t* order, const T* background);
  // dw[o][i] = scale * sum_n dy[n][o] * x[n][i] and db[o] likewise; either may be null.
  void (*dense_weight)(ptrdiff_t outputs, ptrdiff_t inputs, const LaneColumns<T>& from, const T* background,
                       const T* dy, T scale, T* dw, T* db);
};
TENFOLD_DECLARE_KERNELS(LaneBackgroundKernels)

}  // namespace tenfold
