// Kernels of convolution: products of a packed matrix and of shifted looks at a padded image, in three forms.
//
// - forward: c[m][n] = sum over k of a[k][m] * b[offset[k] + n]; n walks over pixels, side by side for every k.
// - dot: d[f][k] = sum over p of dy[f][p] * x[offset[k] + p]; both lie side by side along p.
// - outer: d[k][f] = sum over p of x[offset[k] + p] * dyt[p][f]; x is broadcast, dyt packed.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dispatch.h"

namespace tenfold {

constexpr ptrdiff_t kConvMaxRows = 12, kConvMaxVectors = 8;

// What happens to a finished sum: see the activation rule in conv.h of the public headers.
enum class ConvActivation : int { none = 0, relu = 1, relu_keep_sign = 2 };

// How elements are put to their place: instead of what is there, the same past the caches (past.h), or added to it.
enum ConvPut { kConvReplace, kConvReplacePast, kConvAdd };

// Columns [column, column + count) of a tile belong at target, target + step, target + 2 step, ...
struct ConvRun {
  ptrdiff_t column, count, target;
};

// Where a tile's columns belong that lie side by side in the target but for gaps in the tile: those of vector v that
// bit l of lanes[v] names, count[v] of them, at target[v] and behind.
struct ConvGaps {
  ptrdiff_t target[kConvMaxVectors], count[kConvMaxVectors];
  uint32_t lanes[kConvMaxVectors];
};

// Where the columns of a tile look that lie side by side in the target, but not in the source, since rows end between
// them. Lane l of vector v looks at at[v][0] + l; at at[v][p] + l, p < pieces, where bit l of lanes[v][p - 1] is set.
constexpr ptrdiff_t kConvMaxPieces = 3;
struct ConvLooks {
  ptrdiff_t pieces;  // 2 or more
  ptrdiff_t at[kConvMaxVectors][kConvMaxPieces];
  uint32_t lanes[kConvMaxVectors][kConvMaxPieces - 1];
};
// Of how many rows a vector of a tile so wide can be: masks and addresses stay in registers.
constexpr ptrdiff_t conv_pieces(ptrdiff_t vectors) {
  return vectors <= 3 ? kConvMaxPieces : 2;
}

template <class T>
struct ConvKernels {
  ptrdiff_t lanes;                      // elements of a vector
  ptrdiff_t max_rows;                   // largest legal MR below, at most kConvMaxRows
  ptrdiff_t vectors[kConvMaxRows + 1];  // widest legal NV below, by MR

  // c[m * ldc + n] = act(sum_{k < K} a[m * a_row + k * a_step] * b[offset[k] + n] + start), start = c itself
  // (resume), bias[m], or 0 (bias null), for m < MR, n < NV * lanes. Any alignment; c does not overlap a or b. An
  // element has the same bits whatever MR and NV are. By MR and NV. Legal only where joins_rows: with `gaps` columns
  // are moved together (c is the target's row 0, ldc its plane, and `resume` false); with `looks` column n looks at
  // b[offset[k] + its look] instead.
  bool joins_rows;
  void (*tile[kConvMaxRows + 1][kConvMaxVectors + 1])(ptrdiff_t K, const T* a, ptrdiff_t a_row,
                                                      ptrdiff_t a_step, const T* b, const ptrdiff_t* offset,
                                                      T* c, ptrdiff_t ldc, const T* bias, bool resume,
                                                      ConvActivation activation, const ConvGaps* gaps,
                                                      const ConvLooks* looks);

  // target[m * plane + run.target + i * step] <- c[m * ldc + run.column + i]  for m < rows and every run.
  void (*scatter)(ptrdiff_t rows, ptrdiff_t runs, const ConvRun* run, const T* c, ptrdiff_t ldc, T* target,
                  ptrdiff_t plane, ptrdiff_t step);

  // Two tiles in turn, for every second place each: target[m * plane + run.target + 2 i] <- even[m * ldc +
  // run.column + i] and target[... + 2 i + 1] <- odd[...], run.count elements in all, each plus bias[m] (bias null: none).
  void (*scatter_pair)(ptrdiff_t rows, ptrdiff_t runs, const ConvRun* run, const T* even, const T* odd,
                       ptrdiff_t ldc, T* target, ptrdiff_t plane, const T* bias, ConvPut put);

  // panel[k * columns + run.column + i] <- b[offset[k] + run.target + i]; other columns are left alone.
  void (*pack_panel)(ptrdiff_t K, const T* b, const ptrdiff_t* offset, ptrdiff_t runs, const ConvRun* run,
                     T* panel, ptrdiff_t columns);
  // Rows 2 p and 2 p + 1 of a panel, p < pairs: to[2 p * columns + run.column + i] <- b[offset[p] + run.target + 2 i] and
  // to[(2 p + 1) * columns + run.column + i] <- b[offset[p] + run.target + 2 i + 1], i < run.count. Reads nothing beyond.
  void (*pack_pairs)(ptrdiff_t pairs, const T* b, const ptrdiff_t* offset, ptrdiff_t runs, const ConvRun* run,
                     T* panel, ptrdiff_t columns);

  // packed[k * MR + m] <- weight[m * row_stride + map[k]]  for m < rows, 0 for rows <= m < MR.
  void (*pack_weights)(ptrdiff_t K, ptrdiff_t MR, ptrdiff_t rows, const T* weight, ptrdiff_t row_stride,
                       const ptrdiff_t* map, T* packed);

  // row[i] <- source[first + i * step] for begin <= i < end, source[table[i]] (fill where table[i] < 0)
  // elsewhere, 0 <= i < count.
  void (*pad_row)(ptrdiff_t count, const ptrdiff_t* table, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t first,
                  ptrdiff_t step, const T* source, T fill, T* row);
  // The adjoint: target[first + i * step] += row[i], target[table[i]] += row[i] where table[i] >= 0.
  void (*fold_row)(ptrdiff_t count, const ptrdiff_t* table, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t first,
                   ptrdiff_t step, const T* row, T* target);
  void (*fill)(ptrdiff_t n, T value, T* y);
  // to[r * count + i] <-- from[r * pitch + i * step]  for r < rows, i < count. Reads nothing beyond.
  void (*pick_rows)(ptrdiff_t rows, ptrdiff_t count, const T* from, ptrdiff_t pitch, ptrdiff_t step, T* to);
  // row[first + i * step] <-- from[i], i < count; the rest of the n elements of row <-- fill.
  void (*spread_row)(ptrdiff_t n, ptrdiff_t count, ptrdiff_t first, ptrdiff_t step, const T* from, T fill,
                     T* row);

  // sums[(m * taps + j) * lanes ...] (+)= lane-wise sums of dy[m * plane + dy_row[r] + i] * x[offset[j] +
  // x_row[r] + i] over r < rows, i < columns. m < filters <= dot_filters, j < taps <= dot_taps[filters].
  // Reads nothing beyond.
  ptrdiff_t dot_filters;
  ptrdiff_t dot_taps[7];  // by number of filters, 1 .. dot_filters
  void (*dot[7])(ptrdiff_t taps, ptrdiff_t rows, ptrdiff_t columns, const T* dy, ptrdiff_t plane,
                 const ptrdiff_t* dy_row, const T* x, const ptrdiff_t* offset, const ptrdiff_t* x_row,
                 T* sums, ptrdiff_t sums_stride, bool resume);

  // sums[j * V * lanes + f] (+)= sum_{p < pixels} x[offset[j] + position[p]] * dyt[p * V * lanes + f]
  // for j < taps <= outer_taps[V], f < V * lanes.
  ptrdiff_t outer_vectors;  // largest V
  ptrdiff_t outer_taps[5];
  void (*outer[5])(ptrdiff_t taps, ptrdiff_t pixels, const T* x, const ptrdiff_t* offset,
                   const ptrdiff_t* position, const T* dyt, T* sums, bool resume);
  // dyt[p * width + f] <- dy[f * plane + p] for p < pixels, f < filters; 0 for filters <= f < width.
  void (*pack_dy)(ptrdiff_t pixels, ptrdiff_t filters, ptrdiff_t width, const T* dy, ptrdiff_t plane, T* dyt);

  // Sum of n elements.
  T (*sum)(ptrdiff_t n, const T* x);
  // d[i] <- dy[i] where y[i] > 0 (or NaN), at_zero * dy[i] where y[i] is +0, 0 where its sign bit is set.
  void (*mask)(ptrdiff_t n, const T* y, const T* dy, T at_zero, T* d);
};
TENFOLD_DECLARE_KERNELS(ConvKernels)

}  // namespace tenfold
