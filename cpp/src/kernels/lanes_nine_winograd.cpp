#include "kernels/lanes_nine_winograd.h"

#include "kernels/lanes_winograd_common.h"
#include "kernels/winograd_nine_points.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

constexpr int r = 5;
static_assert(kNineLinePoints == kNinePoints + kSide && kNinePoints == 9 && kNineLooks == 8, "");

// Fitted to measurements on Zen 4.
constexpr LaneNineWinogradCost kCost = {1.15, 5, 2};

// Tiles of an axis: m outputs, their points and what they look at.
template <int m>
constexpr int kPoints = m == 4 ? kNinePoints : kSide;
template <int m>
constexpr int kKept = m == 4 ? kNineLooks : kSide;  // vectors of a line of looks
template <int m>
constexpr int kLooks = m + r - 1;
template <int m>
constexpr int kFirstPoint = m == 4 ? 0 : kNinePoints;  // among those of both sizes

// Every point of a line, or what they are kept as.
template <class T, int m, bool Kept>
TENFOLD_INLINE void line_of_looks(const Vec<T>* d, Vec<T>* v) {
  if constexpr (m != 4) {
    look_line<T>(d, v);
  } else if constexpr (Kept) {
    kept_looks_nine<T>(d, v);
  } else {
    look_nine<T>(d, v);
  }
}
template <class T>
TENFOLD_INLINE void line_of_weights(const Vec<T>* g, Vec<T>* u) {
  weights_nine<T>(g, u);
  weight_line<T, r>(g, u + kNinePoints);
}
template <class T, int m>
TENFOLD_INLINE void line_of_outputs(const Vec<T>* s, Vec<T>* y) {
  if constexpr (m == 4) {
    first_part_nine<T>(s, y);
    add_last_part_nine<T>(s + kNineFirst, y);
  } else {
    output_line<T, m>(s, y);
  }
}

// ---- weights, 16 filters of them in the lanes
// ----------------------------------------------------------------------------

template <class T>
void transform(index channels, index filters, const T* w, T* u) {
  T taps[r * r * kBlock];
  for (index f = 0; f < filters; f += kBlock) {
    const index rows = filters - f < kBlock ? filters - f : kBlock;
    for (index c = 0; c < channels; ++c) {
      to_lanes<T>(r * r, w + (f * channels + c) * r * r, channels * r * r, rows, taps);
      Vec<T> lines[r][kNineLinePoints];  // w G^T
      for (int kh = 0; kh < r; ++kh) {
        Vec<T> g[r];
        TENFOLD_UNROLL
        for (int kw = 0; kw < r; ++kw) g[kw] = load(taps + (kh * r + kw) * kBlock);
        line_of_weights<T>(g, lines[kh]);
      }
      for (int column = 0; column < kNineLinePoints; ++column) {
        Vec<T> g[r], points[kNineLinePoints];
        TENFOLD_UNROLL
        for (int kh = 0; kh < r; ++kh) g[kh] = lines[kh][column];
        line_of_weights<T>(g, points);
        T* const to = u + ((f / kBlock * kNineLinePoints + column) * channels + c) * kNineLinePoints * kBlock;
        TENFOLD_UNROLL
        for (int row = 0; row < kNineLinePoints; ++row) store(to + row * kBlock, points[row]);
      }
    }
  }
}

// ---- forward
// -----------------------------------------------------------------------------------------------------

// A^T s of a tile of some filters, where A is still to come: [filter][row][column]
template <class T>
using Lines = T[kNineFilters][4][kNinePoints][kBlock];

// A tile of some filters whose outputs are still to be made of lines: beside the multiply-adds of the next tile, which do
// not wait for them.
template <class T>
struct Unfinished {
  const Lines<T>* lines = nullptr;
  index filters = 0, f0 = 0, rows = 0, top = 0, left = 0;
  bool wide = false;
  index pairs() const { return filters * rows / 2; }
};

// Two rows of a tile's outputs.
template <class T, int m, bool Pool>
TENFOLD_INLINE void finish_rows(const LaneWinograd<T>& a, const Unfinished<T>& tile, index f, index row) {
  const Vec<T> bias = a.bias ? splat(a.bias[tile.f0 + f]) : Vec<T>{};
  Vec<T> y[2][m];
  TENFOLD_UNROLL
  for (int p = 0; p < 2; ++p) {
    Vec<T> line[kPoints<m>];
    TENFOLD_UNROLL
    for (int column = 0; column < kPoints<m>; ++column)
      line[column] = load((*tile.lines)[f][row + p][column]);
    line_of_outputs<T, m>(line, y[p]);
    TENFOLD_UNROLL
    for (int q = 0; q < m; ++q) y[p][q] += bias;
  }
  put_tile<T, 2, m, Pool ? 2 : 0>(a, tile.f0 + f, tile.top + row, tile.left, 0, y);
}
template <class T, bool Pool>
__attribute__((noinline)) void finish_pair(const LaneWinograd<T>& a, const Unfinished<T>& tile, index pair) {
  const index pairs = tile.rows / 2, f = pair / pairs, row = pair % pairs * 2;
  if (tile.wide) {
    finish_rows<T, 4, Pool>(a, tile, f, row);
  } else {
    finish_rows<T, 2, Pool>(a, tile, f, row);
  }
}

// sum[f][k] += sum over c of u[c][k][f] * v[c][k] for Count points of a column.
template <class T, int m, int Filters, int Count>
TENFOLD_INLINE void sum_points(index channels, const T* u, const T* v, Vec<T> (&sum)[Filters][Count]) {
  _Pragma("GCC unroll 1") for (index c = 0; c < channels; ++c) {
    TENFOLD_OPAQUE(u);
    TENFOLD_OPAQUE(v);
    const auto add_point = [&](int k, Vec<T> x) __attribute__((always_inline)) {
      TENFOLD_UNROLL
      for (int f = 0; f < Filters; ++f) sum[f][k] = fma<T>(splat(u[k * kBlock + f]), x, sum[f][k]);
    };
    for_points<T, m == 4, Count>(v, kBlock, add_point);
    u += kNineLinePoints * kBlock;
    v += kKept<m> * kBlock;
  }
}

// A column of a tile's points, of some filters, to lines of m rows.
template <class T, int m, int Filters>
TENFOLD_INLINE void sum_column(index channels, const T* u, const T* v, T* lines) {
  Vec<T> y[Filters][m];
  if constexpr (m == 4) {
    constexpr int kLast = kNinePoints - kNineFirst;
    Vec<T> first[Filters][kNineFirst] = {}, last[Filters][kLast] = {};
    sum_points<T, m, Filters>(channels, u, v, first);
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) first_part_nine<T>(first[f], y[f]);
    sum_points<T, m, Filters>(channels, u + kNineFirst * kBlock, v + kNineFirst * kBlock, last);
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) add_last_part_nine<T>(last[f], y[f]);
  } else {
    Vec<T> sum[Filters][kSide] = {};
    sum_points<T, m, Filters>(channels, u, v, sum);
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) output_line<T, m>(sum[f], y[f]);
  }
  TENFOLD_UNROLL
  for (int f = 0; f < Filters; ++f) {
    TENFOLD_UNROLL
    for (int p = 0; p < m; ++p) store(lines + (f * 4 + p) * kNinePoints * kBlock, y[f][p]);
  }
}

// The register tile: filters x the points of a column, of nine a part at a time. Beyond the last filter weights are 0.
template <int m>
constexpr int kFilters = m == 4 ? 2 : 4;

// The lines of a tile of m rows and `columns` points; finishes the one before.
template <class T, int m, bool Pool>
TENFOLD_INLINE void forward_tile(const LaneWinograd<T>& a, index columns, const T* u, const T* v,
                                 index filters, const Unfinished<T>& before, Lines<T>& lines) {
  const index pairs = before.pairs();
  index pair = 0;
  for (index column = 0; column < columns; ++column) {
    for (index f = 0; f < filters; f += kFilters<m>) {
      sum_column<T, m, kFilters<m>>(a.channels, u + f, v, lines[f][0][column]);
      if (pair < pairs) finish_pair<T, Pool>(a, before, pair);
      ++pair;
    }
    u += a.channels * kNineLinePoints * kBlock;
    v += a.channels * kKept<m> * kBlock;
  }
  for (; pair < pairs; ++pair) finish_pair<T, Pool>(a, before, pair);
}

// v[column of points][c][kept][16] of a row of tiles; `columns` holds the points of every column that they look at.
template <class T, int m>
TENFOLD_INLINE void look_at_row(const LaneWinograd<T>& a, const T* from, const NineTiles& across, T* v,
                                T* columns) {
  constexpr int P = kKept<m>;
  const index step = a.channels * P * kBlock;
  for (index c = 0; c < a.channels; ++c, from += a.x_plane, v += P * kBlock) {
    for (index column = 0; column < across.outputs() + r - 1; ++column) {
      Vec<T> d[kLooks<m>], line[P];
      TENFOLD_UNROLL
      for (int row = 0; row < kLooks<m>; ++row) d[row] = load(from + row * a.x_row + column * kBlock);
      line_of_looks<T, m, true>(d, line);
      TENFOLD_UNROLL
      for (int k = 0; k < P; ++k) store(columns + (column * P + k) * kBlock, line[k]);
    }
    const auto look = [&](const T* p, auto outputs, T* to) __attribute__((always_inline)) {
      constexpr int n = outputs.value;
      for (index k = 0; k < P; ++k, p += kBlock, to += kBlock) {
        Vec<T> d[kLooks<n>], line[kPoints<n>];
        TENFOLD_UNROLL
        for (int q = 0; q < kLooks<n>; ++q) d[q] = load(p + q * P * kBlock);
        line_of_looks<T, n, false>(d, line);
        TENFOLD_UNROLL
        for (int q = 0; q < kPoints<n>; ++q) store(to + q * step, line[q]);
      }
    };
    for (index j = 0; j < across.fours; ++j)
      look(columns + 4 * j * P * kBlock, Constant<4>{}, v + j * kNinePoints * step);
    if (across.twos > 0)
      look(columns + 4 * across.fours * P * kBlock, Constant<2>{}, v + across.fours * kNinePoints * step);
  }
}

template <class T, bool Pool>
TENFOLD_INLINE void forward_pooled(const LaneWinograd<T>& a) {
  const NineTiles down = nine_tiles(a.out_h), across = nine_tiles(a.out_w);
  T* const v = a.scratch;
  T* const columns = v + a.channels * across.points() * kNineLooks * kBlock;
  Lines<T>* const lines =
      reinterpret_cast<Lines<T>*>(columns + (across.outputs() + r - 1) * kNineLooks * kBlock);
  Unfinished<T> before;
  index made = 0;
  const auto row_of_tiles = [&](index top, auto outputs) {
    constexpr int m = outputs.value;
    look_at_row<T, m>(a, a.x + top * a.x_row, across, v, columns);
    for (index f = 0; f < a.filters; f += kNineFilters) {
      const index filters = a.filters - f < kNineFilters ? a.filters - f : kNineFilters;
      const T* const u = a.u + f * kNineLinePoints * a.channels * kNineLinePoints + kFirstPoint<m> * kBlock;
      for (index j = 0; j < across.fours + across.twos; ++j) {
        const bool wide = j < across.fours;
        const index first = wide ? 0 : kNinePoints;
        forward_tile<T, m, Pool>(
            a, wide ? kNinePoints : kSide, u + first * a.channels * kNineLinePoints * kBlock,
            v + j * kNinePoints * a.channels * kKept<m> * kBlock, filters, before, lines[made % 2]);
        before = {lines + made % 2, filters, f, m, top, 4 * j, wide};
        ++made;
      }
    }
  };
  for (index i = 0; i < down.fours; ++i) row_of_tiles(4 * i, Constant<4>{});
  if (down.twos > 0) row_of_tiles(4 * down.fours, Constant<2>{});
  for (index pair = 0; pair < before.pairs(); ++pair) finish_pair<T, Pool>(a, before, pair);
}

template <class T>
void forward(const LaneWinograd<T>& a) {
  if (a.pool_h == 0) return forward_pooled<T, false>(a);
  forward_pooled<T, true>(a);
}

template <class T>
constexpr LaneNineWinogradKernels<T> make_table() {
  if constexpr (sizeof(T) == sizeof(float) && kNineOnLanes) {
    return {forward<T>, transform<T>, kCost};
  } else {
    return {nullptr, nullptr, kCost};
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneNineWinogradKernels, make_table)
