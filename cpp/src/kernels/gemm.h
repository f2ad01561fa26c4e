// The register tile of every matrix product, and the packing that feeds it.
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

enum GemmActivation {
  kGemmNone = 0,
  kGemmRelu = 1,  // v < 0 ? +0 : v
  kGemmReluKeepSign =
      2,  // v < 0 ? -0 : v, and a zero is +0: backward tells v < 0 from v == 0 by the sign bit
};

// One call of the register tile:
//
//   s[i][j] = sum over kk < k, ascending, of a[kk * a_step + i * a_row] * b[kk * b_step + j]
//   c[i * ldc + j] = activation(alpha * s[i][j] + beta * c[i * ldc + j] + bias_row[i] + bias_column[j])
//
// for 0 <= i < rows, 0 <= j < n, where rows and the number of vectors are chosen by the function taken from
// the table. A packed panel has a_row = 1, a_step = rows; a row-major matrix has a_row = lda, a_step = 1. No
// alignment is assumed. c overlaps nothing else. c is not read when beta is 0. Every row of b is read in
// whole vectors (up to `vectors` * lanes elements) unless the table says `reads_ends`, c is written for j < n
// only. The sum of an element has the same bits in every tile of a table, however large the tile is.
template <class T>
struct GemmTile {
  ptrdiff_t k;
  const T* a;
  ptrdiff_t a_row, a_step;
  const T* b;
  ptrdiff_t b_step;
  T* c;
  ptrdiff_t ldc;
  ptrdiff_t n;  // (vectors - 1) * lanes < n <= vectors * lanes
  T alpha, beta;
  const T* bias_row;     // null: none
  const T* bias_column;  // null: none
  int activation;        // GemmActivation
  const T* next;         // what is needed soon, or null: next[kk * next_step] is fetched on the way
  ptrdiff_t next_step;
};

// One call of the dot form, for operands that both run along k in memory:
//
//   s[i * columns + j] = sum over kk < k of a[i * a_row + kk] * b[j * b_row + kk]
//
// for i < rows and j < columns, which the function taken from the table stands for. Lane l of a vector
// sums the kk with kk % lanes == l in ascending order, then the lanes are added in a fixed order: an element has
// the same bits in every tile of the table, but other ones than in GemmTile. A long sum may be made in parts, all but
// the last one a multiple of `lanes` long: a part with `pauses` leaves its vectors in `parts` (rows * columns of them)
// instead of s, and one that `resumes` goes on from there, to the same bits. Two rows of `next`, or as many as b has,
// are asked for on the way; asking for what is no memory does no harm.
template <class T>
struct GemmDot {
  ptrdiff_t k;
  const T* a;
  ptrdiff_t a_row;
  const T* b;
  ptrdiff_t b_row;
  T* s;      // written in whole vectors, zeros behind the sums
  T* parts;  // null where the sum is in one part
  bool resumes, pauses;
  const T* next;  // null: nothing
  ptrdiff_t next_row;
  bool all_rows;  // as many as b has
};

constexpr int kGemmMaxRows = 12;  // of any ISA's tiles
constexpr int kGemmMaxVectors = 4;
constexpr int kGemmMaxFew = 4;  // columns
constexpr int kGemmMaxDotRows = 4;
constexpr int kGemmMaxDotColumns = 6;

// What operands take that are packed, or read where they lie, in multiply-adds of a vector for each vector of elements.
struct GemmCosts {
  // Packed: A, little by itself, but others read what one member packed; B, whose rows lie side by side.
  double pack_a, pack_b;
  // Each time that an A is read across its rows where the sum is long, since a tile uses little of each line; the same of a
  // large A whose rows alias, and of one that is read along them.
  double across, across_aliased, along_aliased;
  // Each time that a B is read in place of which a panel does not stay in the first-level cache, or is not fetched ahead by
  // the processor: from so many bytes from row to row, so many rows or so many bytes in all on. The same of a B whose rows
  // alias.
  ptrdiff_t apart, deep, large;
  double b_apart, b_aliased;
  // To write C in the transposed form, of a square that has it; the same of a large C.
  double turn, turn_far;
  // Rows, at most, that are worth a pass of their sums for each part of a B that no cache holds.
  ptrdiff_t stream_rows;
};

template <class T>
struct GemmKernels {
  int lanes;                          // elements of a vector
  int rows_at_most[kGemmMaxVectors];  // [v]: tallest tile that is v + 1 vectors wide without spilling; 0:
                                      // none
  int rows, vectors;                  // the tile for products large in both directions
  // tile[v][r]: v + 1 vectors wide, r + 1 rows high. Null where it would spill.
  void (*tile[kGemmMaxVectors][kGemmMaxRows])(const GemmTile<T>&);
  // few[n - 1]: n columns, with the rows (at most `rows` above) of a packed panel in the lanes. A sum has other bits than
  // in a tile. alpha is 1, beta 0 or 1, without bias and activation. Reads every row of the panel as whole vectors for
  // `rows` elements, so up to 15 elements behind its last one.
  void (*few[kGemmMaxFew])(ptrdiff_t rows, const GemmTile<T>&);
  GemmCosts costs;
  int ragged_store;  // time to write the end of a row that is no whole vector, in multiply-adds of a vector
  bool reads_ends;   // a tile reads a row of b up to n only
  int dot_rows, dot_columns;  // the largest tile of the dot form
  // dot[r][c]: r + 1 rows of a, c + 1 rows of b. Null beyond dot_rows and dot_columns.
  void (*dot[kGemmMaxDotRows][kGemmMaxDotColumns])(const GemmDot<T>&);

  // to[kk * width + p] = from[p * panel_stride + kk * k_stride] for p < count, 0 for count <= p < width. Fast
  // where one of the strides is 1.
  void (*pack)(ptrdiff_t count, ptrdiff_t k, const T* from, ptrdiff_t panel_stride, ptrdiff_t k_stride,
               ptrdiff_t width, T* to);
  // c[i * ldc + j] = activation(alpha * s + beta * c + bias) as above, from a buffer of sums s[i * lds + j].
  void (*finish)(ptrdiff_t rows, ptrdiff_t lds, const T* s, const GemmTile<T>& tile);
  // The same from sums that lie the other way, s[j * lds + i].
  void (*finish_transposed)(ptrdiff_t rows, ptrdiff_t lds, const T* s, const GemmTile<T>& tile);
  // dv from y = activation(v) with kGemmReluKeepSign: y > 0 ? dy : y == +0 ? at_zero * dy : y == -0 ? 0 : y
  // (NaN). dv may be dy.
  void (*relu_backward)(ptrdiff_t n, const T* y, const T* dy, T at_zero, T* dv);
  // sum[j] (+)= the sum over rows r, ascending, of x[r * stride + j], for j < n.
  void (*add_rows)(ptrdiff_t rows, ptrdiff_t n, const T* x, ptrdiff_t stride, bool accumulate, T* sum);
  // Keeps the multiply-add units busy for `rounds` rounds and returns the multiply-adds done; for peak
  // probes.
  double (*burn)(ptrdiff_t rounds, T* sink);
};
TENFOLD_DECLARE_KERNELS(GemmKernels)

}  // namespace tenfold
