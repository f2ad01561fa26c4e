#include "kernels/lanes_winograd.h"

#include "kernels/lanes_winograd_common.h"
#include "kernels/winograd_nine_points.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Register tiles: points of a column x filters or channels x vectors of a block, which share the weights; filters x channels
// of one point.
template <class T>
constexpr int kColumnPoints = kTogether<T> == 1 ? kSide : 3;
template <class T>
constexpr int kColumnFilters = kSumsTogether<T> / kColumnPoints<T>;
static_assert(kColumnFilters<float> <= kMostFilters && kColumnFilters<double> <= kMostFilters, "");
constexpr int kWeightFilters = kManyRegisters ? 4 : 3;
constexpr int kWeightChannels = kManyRegisters ? 6 : 3;

// Fitted to measurements on Zen 4 with AVX-512 and Zen 3 with AVX2.
constexpr LaneWinogradCost kForwardCost[] = {
    kManyRegisters ? LaneWinogradCost{1.1, 190, 170} : LaneWinogradCost{1.25, 300, 150},
    kManyRegisters ? LaneWinogradCost{1.1, 160, 55} : LaneWinogradCost{1.25, 150, 55}};
constexpr LaneWinogradCost kInputCost[] = {
    kManyRegisters ? LaneWinogradCost{1.1, 190, 170} : LaneWinogradCost{1.25, 450, 80},
    kManyRegisters ? LaneWinogradCost{1.1, 160, 120} : LaneWinogradCost{1.25, 300, 50}};
constexpr LaneWinogradCost kWeightCost[] = {
    kManyRegisters ? LaneWinogradCost{1.2, 300, 300} : LaneWinogradCost{2.1, 400, 400},
    kManyRegisters ? LaneWinogradCost{1.3, 250, 130} : LaneWinogradCost{2.1, 300, 200}};

// ---- weights, 16 of them in the lanes
// -----------------------------------------------------------------------------

// Both axes: to[column * kSide + row] of a Rows x Columns line-by-line image, in lanes.
template <class T, int r>
void transform(index count, const T* w, T* u) {
  T taps[r * r * kBlock], points[kWinogradPoints * kBlock];
  for (index i = 0; i < count; i += kBlock) {
    const index samples = count - i < kBlock ? count - i : kBlock;
    to_lanes<T>(r * r, w + i * r * r, r * r, samples, taps);
    for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
      Vec<T> lines[r][kSide];  // w G^T
      TENFOLD_UNROLL
      for (int kh = 0; kh < r; ++kh) {
        Vec<T> g[r];
        TENFOLD_UNROLL
        for (int kw = 0; kw < r; ++kw) g[kw] = load(taps + (kh * r + kw) * kBlock + lane);
        weight_line<T, r>(g, lines[kh]);
      }
      TENFOLD_UNROLL
      for (int column = 0; column < kSide; ++column) {
        Vec<T> g[r], point[kSide];
        TENFOLD_UNROLL
        for (int kh = 0; kh < r; ++kh) g[kh] = lines[kh][column];
        weight_line<T, r>(g, point);
        TENFOLD_UNROLL
        for (int row = 0; row < kSide; ++row)
          store(points + (column * kSide + row) * kBlock + lane, point[row]);
      }
    }
    from_lanes<T>(kWinogradPoints, points, u + i * kWinogradPoints, kWinogradPoints, samples);
  }
}

template <class T, int r>
void transform_back(index count, const T* sums, T scale, T* dw) {
  T taps[r * r * kBlock], points[kWinogradPoints * kBlock];
  for (index i = 0; i < count; i += kBlock) {
    const index samples = count - i < kBlock ? count - i : kBlock;
    to_lanes<T>(kWinogradPoints, sums + i * kWinogradPoints, kWinogradPoints, samples, points);
    for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
      Vec<T> lines[kSide][r];  // [column][row of G^T s]
      TENFOLD_UNROLL
      for (int column = 0; column < kSide; ++column) {
        Vec<T> point[kSide];
        TENFOLD_UNROLL
        for (int row = 0; row < kSide; ++row)
          point[row] = load(points + (column * kSide + row) * kBlock + lane);
        weight_line_adjoint<T, r>(point, lines[column]);
      }
      TENFOLD_UNROLL
      for (int kh = 0; kh < r; ++kh) {
        Vec<T> line[kSide], g[r];
        TENFOLD_UNROLL
        for (int column = 0; column < kSide; ++column) line[column] = lines[column][kh];
        weight_line_adjoint<T, r>(line, g);
        TENFOLD_UNROLL
        for (int kw = 0; kw < r; ++kw) store(taps + (kh * r + kw) * kBlock + lane, g[kw] * splat(scale));
      }
    }
    from_lanes<T>(r * r, taps, dw + i * r * r, r * r, samples);
  }
}

// ---- forward
// -----------------------------------------------------------------------------------------------------

// acc[o][n] += sum_k u[o * u_step + k * u_next + n] * v[k * v_next + n * 16 ..], for some points of a column.
template <class T, int Outputs, int Points>
TENFOLD_INLINE void sum_points(index count, const T* u, index u_step, index u_next, const T* v, index v_next,
                               Vec<T> (&acc)[Outputs][Points][kTogether<T>]) {
  TENFOLD_UNROLL_SUM
  for (index k = 0; k < count; ++k, v += v_next) {
    TENFOLD_UNROLL
    for (int n = 0; n < Points; ++n) {
      Vec<T> in[kTogether<T>];
      load_together<T>(v + n * kBlock, in);
      TENFOLD_UNROLL
      for (int o = 0; o < Outputs; ++o) add_together<T>(u[o * u_step + k * u_next + n], in, acc[o][n]);
    }
  }
}

// A^T s of a filter's tile, where A is still to come.
template <class T, int m>
using Lines = T[m][kSide][kBlock];

// A tile of some filters whose outputs are still to be made of lines: beside the multiply-adds of the next tile, which do
// not wait for them.
template <class T, int m>
struct Unfinished {
  const Lines<T, m>* lines = nullptr;
  index filters = 0, f0 = 0, i = 0, j = 0;
};

template <class T, int r, int PoolH>
TENFOLD_INLINE void finish_filter(const LaneWinograd<T>& a, const Unfinished<T, kSide + 1 - r>& tile,
                                  index n) {
  constexpr int m = kSide + 1 - r;
  const Vec<T> bias = a.bias ? splat(a.bias[tile.f0 + n]) : Vec<T>{};
  constexpr int kRows = PoolH == 0 ? 1 : PoolH;
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    _Pragma("GCC unroll 1") for (int top = 0; top < m; top += kRows) {
      Vec<T> y[kRows][m];
      TENFOLD_UNROLL
      for (int p = 0; p < kRows; ++p) {
        Vec<T> line[kSide];
        TENFOLD_UNROLL
        for (int column = 0; column < kSide; ++column)
          line[column] = load(tile.lines[n][top + p][column] + lane);
        output_line<T, m>(line, y[p]);
        TENFOLD_UNROLL
        for (int q = 0; q < m; ++q) y[p][q] += bias;
      }
      put_tile<T, kRows, m, PoolH>(a, tile.f0 + n, tile.i * m + top, tile.j * m, lane, y);
    }
  }
}

// lines[filter] of a tile of some filters, whose looks are v[c][36][16]; finishes the tile before.
template <class T, int r, int Filters, int PoolH>
TENFOLD_INLINE void forward_tile(const LaneWinograd<T>& a, const T* v, index f0,
                                 const Unfinished<T, kSide + 1 - r>& before, Lines<T, kSide + 1 - r>* lines) {
  constexpr int m = kSide + 1 - r, V = kTogether<T>, kPoints = kColumnPoints<T>;
  const index u_row = a.channels * kWinogradPoints;
  for (int column = 0; column < kSide; ++column) {
    for (index lane = 0; lane < kBlock; lane += V * kLanes<T>) {
      for_constants<0, kSide / kPoints>([&](auto group) __attribute__((always_inline)) {
        constexpr int kFirst = group.value * kPoints;
        const index point = column * kSide + kFirst;
        Vec<T> acc[Filters][kPoints][V] = {};
        sum_points<T, Filters, kPoints>(a.channels, a.u + f0 * u_row + point, u_row, kWinogradPoints,
                                        v + point * kBlock + lane, kWinogradPoints * kBlock, acc);
        TENFOLD_UNROLL
        for (int f = 0; f < Filters; ++f) {
          TENFOLD_UNROLL
          for (int w = 0; w < V; ++w) {
            T* const to = lines[f][0][column] + lane + w * kLanes<T>;
            Vec<T> s[kPoints], y[m];
            TENFOLD_UNROLL
            for (int n = 0; n < kPoints; ++n) s[n] = acc[f][n][w];
            if (kFirst > 0) {
              TENFOLD_UNROLL
              for (int p = 0; p < m; ++p) y[p] = load(to + p * kSide * kBlock);
            }
            output_part<T, m, kFirst, kPoints>(s, y);
            TENFOLD_UNROLL
            for (int p = 0; p < m; ++p) store(to + p * kSide * kBlock, y[p]);
          }
        }
      });
    }
    if (column < before.filters) finish_filter<T, r, PoolH>(a, before, column);
  }
}

// v[tile][c][36][16] of `count` tiles side by side; `columns` holds 6 vectors for every column that they look at.
template <class T, int r>
TENFOLD_INLINE void look_at_row(const LaneWinograd<T>& a, const T* from, index count, T* v, T* columns) {
  constexpr int m = kSide + 1 - r;
  for (index c = 0; c < a.channels; ++c, from += a.x_plane) {
    for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
      for (index column = 0; column < count * m + r - 1; ++column) {
        const T* p = from + column * kBlock + lane;
        Vec<T> d[kSide], line[kSide];
        TENFOLD_UNROLL
        for (int row = 0; row < kSide; ++row) d[row] = load(p + row * a.x_row);
        look_line<T>(d, line);
        TENFOLD_UNROLL
        for (int row = 0; row < kSide; ++row)
          store(columns + (column * kSide + row) * kBlock + lane, line[row]);
      }
      for (index tile = 0; tile < count; ++tile) {
        T* to = v + (tile * a.channels + c) * kWinogradPoints * kBlock + lane;
        for (index row = 0; row < kSide; ++row) {
          const T* p = columns + (tile * m * kSide + row) * kBlock + lane;
          Vec<T> d[kSide], line[kSide];
          TENFOLD_UNROLL
          for (int k = 0; k < kSide; ++k) d[k] = load(p + k * kSide * kBlock);
          look_line<T>(d, line);
          TENFOLD_UNROLL
          for (int k = 0; k < kSide; ++k) store(to + (k * kSide + row) * kBlock, line[k]);
        }
      }
    }
  }
}

template <class T, int r, int PoolH>
TENFOLD_INLINE void forward_pooled(const LaneWinograd<T>& a) {
  constexpr int m = kSide + 1 - r;
  T* const v = a.scratch;
  T* const columns = v + a.tiles * a.channels * kWinogradPoints * kBlock;
  const index tiles_h = (a.out_h + m - 1) / m, tiles_w = (a.out_w + m - 1) / m;
  // Of the tile at hand and of the one before.
  const auto lines = reinterpret_cast<Lines<T, m>*>(columns + kSide * (a.tiles * m + r - 1) * kBlock);
  const auto finish = [&](const Unfinished<T, m>& tile) {
    for (index n = 0; n < tile.filters; ++n) finish_filter<T, r, PoolH>(a, tile, n);
  };
  Unfinished<T, m> before;
  int turn = 0;
  for (index i = 0; i < tiles_h; ++i) {
    for (index first = 0; first < tiles_w; first += a.tiles) {
      const index count = tiles_w - first < a.tiles ? tiles_w - first : a.tiles;
      look_at_row<T, r>(a, a.x + i * m * a.x_row + first * m * kBlock, count, v, columns);
      for (index tile = 0; tile < count; ++tile) {
        in_pieces<kColumnFilters<T>>(a.filters, [&](index f, auto filters) {
          Lines<T, m>* const to = lines + turn * kMostFilters;
          turn = 1 - turn;
          forward_tile<T, r, filters.value, PoolH>(a, v + tile * a.channels * kWinogradPoints * kBlock, f,
                                                   before, to);
          const Unfinished<T, m> made{to, filters.value, f, i, first + tile};
          if constexpr (kManyRegisters && m == 2) {
            before = made;
          } else {  // with 4 x 4 outputs a tile, or AVX2, waiting costs 2 %
            finish(made);
          }
        });
      }
    }
  }
  finish(before);
}

template <class T, int r>
void forward(const LaneWinograd<T>& a) {
  constexpr int m = kSide + 1 - r;
  if (a.pool_h == 0) return forward_pooled<T, r, 0>(a);
  if constexpr (m == 4) {
    if (a.pool_h == 1) return forward_pooled<T, r, 1>(a);
    if (a.pool_h == 4) return forward_pooled<T, r, 4>(a);
  }
  forward_pooled<T, r, 2>(a);
}

// ---- gradients
// ---------------------------------------------------------------------------------------------------

// Column j of A e A^T of the tile at dy; of its pixels, rows x cols exist.
template <class T, int m, int j, bool Whole>
TENFOLD_INLINE void spread_column(const T* dy, index row, index rows, index cols, Vec<T>* w) {
  Vec<T> line[m];
  TENFOLD_UNROLL
  for (int p = 0; p < m; ++p) {
    line[p] = spread_at<T, m, j>([&](int q) __attribute__((always_inline)) {
      return Whole || (p < rows && q < cols) ? load(dy + p * row + q * kBlock) : Vec<T>{};
    });
  }
  spread_line<T, m>(line, w);
}

// to[f * f_step + point * point_step] <-- column j of tile (ti, tj) for all filters
template <class T, int m, int j>
TENFOLD_INLINE void spread_filters(const LaneWinograd<T>& a, index ti, index tj, T* to, index f_step,
                                   index point_step) {
  const T* const from = a.dy + ti * m * a.y_row + tj * m * kBlock;
  const index rows = a.out_h - ti * m, cols = a.out_w - tj * m;
  const auto all = [&](auto whole) __attribute__((always_inline)) {
    for (index f = 0; f < a.filters; ++f) {
      for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
        Vec<T> w[kSide];
        spread_column<T, m, j, whole.value == 2>(from + f * a.y_plane + lane, a.y_row, rows, cols, w);
        TENFOLD_UNROLL
        for (int point = 0; point < kSide; ++point)
          store(to + f * f_step + point * point_step + lane, w[point]);
      }
    }
  };
  if (rows >= m && cols >= m) return all(Constant<2>{});
  all(Constant<1>{});
}

// lines[c][row][column][16] <-- column `column` of B s, s = sum_f u . w of some channels
template <class T, int Channels>
TENFOLD_INLINE void input_column(const LaneWinograd<T>& a, const T* w, index c0, index column, T* lines) {
  constexpr int V = kTogether<T>, kPoints = kColumnPoints<T>;
  for (index lane = 0; lane < kBlock; lane += V * kLanes<T>) {
    for_constants<0, kSide / kPoints>([&](auto group) __attribute__((always_inline)) {
      constexpr int kFirst = group.value * kPoints;
      // Rows of B s that these points begin or add to.
      constexpr int kBegin = kFirst == 0 ? 0 : 1, kEnd = kFirst + kPoints == kSide ? kSide : kSide - 1;
      Vec<T> acc[Channels][kPoints][V] = {};
      sum_points<T, Channels, kPoints>(a.filters, a.u + c0 * kWinogradPoints + column * kSide + kFirst,
                                       kWinogradPoints, a.channels * kWinogradPoints,
                                       w + kFirst * kBlock + lane, kSide * kBlock, acc);
      TENFOLD_UNROLL
      for (int c = 0; c < Channels; ++c) {
        TENFOLD_UNROLL
        for (int part = 0; part < V; ++part) {
          T* const to = lines + ((c0 + c) * kSide * kSide + column) * kBlock + lane + part * kLanes<T>;
          Vec<T> s[kPoints], line[kSide];
          TENFOLD_UNROLL
          for (int n = 0; n < kPoints; ++n) s[n] = acc[c][n][part];
          if (kFirst > 0) {
            TENFOLD_UNROLL
            for (int row = kBegin; row < kSide - 1; ++row) line[row] = load(to + row * kSide * kBlock);
          }
          look_part_adjoint<T, kFirst, kPoints>(s, line);
          TENFOLD_UNROLL
          for (int row = kBegin; row < kEnd; ++row) store(to + row * kSide * kBlock, line[row]);
        }
      }
    });
  }
}

template <class T, int r>
void input(const LaneWinograd<T>& a) {
  constexpr int m = kSide + 1 - r;
  const index tiles_h = (a.out_h + m - 1) / m, tiles_w = (a.out_w + m - 1) / m;
  T* const w = a.scratch;  // [F][6][16]
  T* const lines = w + a.filters * kSide * kBlock;
  for (index c = 0; c < a.channels; ++c) {
    for (index h = 0; h < tiles_h * m + r - 1; ++h) {
      T* const row = a.dx + c * a.x_plane + h * a.x_row;
      for (index n = 0; n < (tiles_w * m + r - 1) * kBlock; n += kLanes<T>) store(row + n, Vec<T>{});
    }
  }
  for (index i = 0; i < tiles_h; ++i) {
    for (index j = 0; j < tiles_w; ++j) {
      for (index column = 0; column < kSide; ++column) {
        with_count<kSide>(column + 1, [&](auto n) {
          spread_filters<T, m, n.value - 1>(a, i, j, w, kSide * kBlock, kBlock);
        });
        in_pieces<kColumnFilters<T>>(a.channels, [&](index c, auto channels) {
          input_column<T, channels.value>(a, w, c, column, lines);
        });
      }
      for (index c = 0; c < a.channels; ++c) {
        T* const to = a.dx + c * a.x_plane + i * m * a.x_row + j * m * kBlock;
        for (index row = 0; row < kSide; ++row) {
          for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
            const T* const from = lines + (c * kSide + row) * kSide * kBlock + lane;
            T* const p = to + row * a.x_row + lane;
            Vec<T> v[kSide], d[kSide];
            TENFOLD_UNROLL
            for (int k = 0; k < kSide; ++k) v[k] = load(from + k * kBlock);
            look_line_adjoint<T>(v, d);
            TENFOLD_UNROLL
            for (int k = 0; k < kSide; ++k) store(p + k * kBlock, load(p + k * kBlock) + d[k]);
          }
        }
      }
    }
  }
}

// Column j of B^T d B of all tiles of some rows: v[tile][6][C][16]; `lines` holds a vector for every row and tile.
template <class T, int r, int j>
TENFOLD_INLINE void look_columns(const LaneWinograd<T>& a, index first, index tile_rows, index tiles_w, T* v,
                                 T* lines) {
  constexpr int m = kSide + 1 - r;
  const index rows = tile_rows * m + r - 1;
  for (index c = 0; c < a.channels; ++c) {
    const T* const from = a.x + c * a.x_plane + first * m * a.x_row;
    for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
      for (index row = 0; row < rows; ++row) {
        for (index tile = 0; tile < tiles_w; ++tile) {
          const T* const p = from + row * a.x_row + tile * m * kBlock + lane;
          store(lines + (tile * rows + row) * kBlock + lane,
                look_at<T, j>([&](int k) __attribute__((always_inline)) { return load(p + k * kBlock); }));
        }
      }
      for (index i = 0; i < tile_rows; ++i) {
        for (index tile = 0; tile < tiles_w; ++tile) {
          const T* const p = lines + (tile * rows + i * m) * kBlock + lane;
          T* const to = v + ((i * tiles_w + tile) * kSide * a.channels + c) * kBlock + lane;
          Vec<T> d[kSide], line[kSide];
          TENFOLD_UNROLL
          for (int k = 0; k < kSide; ++k) d[k] = load(p + k * kBlock);
          look_line<T>(d, line);
          TENFOLD_UNROLL
          for (int k = 0; k < kSide; ++k) store(to + k * a.channels * kBlock, line[k]);
        }
      }
    }
  }
}

// sums[f][c][point] += sum over tiles of w[tile][point][f] . v[tile][point][c] for one point
template <class T, int Filters, int Channels>
TENFOLD_INLINE void weight_tile(const LaneWinograd<T>& a, index tiles, const T* w, const T* v, T* sums) {
  const index f_step = a.channels * kWinogradPoints * kBlock, c_step = kWinogradPoints * kBlock;
  const index w_step = kSide * a.filters * kBlock, v_step = kSide * a.channels * kBlock;
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    Vec<T> acc[Filters][Channels];
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) {
      TENFOLD_UNROLL
      for (int c = 0; c < Channels; ++c) acc[f][c] = load(sums + f * f_step + c * c_step + lane);
    }
    const T *left = w + lane, *right = v + lane;
    for (index tile = 0; tile < tiles; ++tile, left += w_step, right += v_step) {
      Vec<T> in[Channels];
      TENFOLD_UNROLL
      for (int c = 0; c < Channels; ++c) {
        Vec<T> value = load(right + c * kBlock);
        if constexpr (Filters > 1) pin<T>(value);
        in[c] = value;
      }
      TENFOLD_UNROLL
      for (int f = 0; f < Filters; ++f) {
        const Vec<T> d = load(left + f * kBlock);
        TENFOLD_UNROLL
        for (int c = 0; c < Channels; ++c) acc[f][c] = fma<T>(d, in[c], acc[f][c]);
      }
    }
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) {
      TENFOLD_UNROLL
      for (int c = 0; c < Channels; ++c) store(sums + f * f_step + c * c_step + lane, acc[f][c]);
    }
  }
}

template <class T, int r>
void weight(const LaneWinograd<T>& a) {
  constexpr int m = kSide + 1 - r;
  const index tiles_h = (a.out_h + m - 1) / m, tiles_w = (a.out_w + m - 1) / m;
  T* const w = a.scratch;
  T* const v = w + a.tiles * tiles_w * kSide * a.filters * kBlock;
  T* const lines = v + a.tiles * tiles_w * kSide * a.channels * kBlock;
  for (index first = 0; first < tiles_h; first += a.tiles) {
    const index rows = tiles_h - first < a.tiles ? tiles_h - first : a.tiles;
    for (index column = 0; column < kSide; ++column) {
      with_count<kSide>(column + 1, [&](auto n) {
        constexpr int j = n.value - 1;
        look_columns<T, r, j>(a, first, rows, tiles_w, v, lines);
        for (index tile = 0; tile < rows * tiles_w; ++tile) {
          spread_filters<T, m, j>(a, first + tile / tiles_w, tile % tiles_w,
                                  w + tile * kSide * a.filters * kBlock, kBlock, a.filters * kBlock);
        }
      });
      for (index row = 0; row < kSide; ++row) {
        in_pieces<kWeightChannels>(a.channels, [&](index c, auto channels) {
          in_pieces<kWeightFilters>(a.filters, [&](index f, auto filters) {
            weight_tile<T, filters.value, channels.value>(
                a, rows * tiles_w, w + (row * a.filters + f) * kBlock, v + (row * a.channels + c) * kBlock,
                a.sums + ((f * a.channels + c) * kWinogradPoints + column * kSide + row) * kBlock);
          });
        });
      }
    }
  }
}

template <class T>
constexpr LaneWinogradKernels<T> make_table() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return {{forward<T, 3>, kNineOnLanes ? nullptr : forward<T, 5>},
            {input<T, 3>, input<T, 5>},
            {weight<T, 3>, weight<T, 5>},
            {transform<T, 3>, transform<T, 5>},
            {transform_back<T, 3>, transform_back<T, 5>},
            {kForwardCost[0], kForwardCost[1]},
            {kInputCost[0], kInputCost[1]},
            {kWeightCost[0], kWeightCost[1]}};
  } else {
    return {};
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneWinogradKernels, make_table)
