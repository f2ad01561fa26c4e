#include "kernels/lanes_row_winograd.h"

#include "kernels/lanes_winograd_common.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// The register tile: filters x two rows x some of the points.
template <int r>
constexpr int kGroup = kManyRegisters ? (r == 3 ? 4 : 6) : 2;  // points
template <int r>
constexpr int kFilters = kManyRegisters ? (r == 3 ? 3 : 2) : 3;

// Fitted to measurements on Zen 4 with AVX-512 and Zen 3 with AVX2.
constexpr LaneRowWinogradCost kForwardCost[] = {
    kManyRegisters ? LaneRowWinogradCost{1.05, 12, 2} : LaneRowWinogradCost{1, 12, 14},
    kManyRegisters ? LaneRowWinogradCost{1.05, 14, 5} : LaneRowWinogradCost{1.05, 28, 22}};

// ---- one-dimensional transforms
// ---------------------------------------------------------------------------------------

// What point k of A^T s adds to the second output: the point itself, or infinity's sign.
template <class T, int r>
constexpr T point(int k) {
  if (k == 0) return T(0);
  if (k == r) return r == 3 ? T(-1) : T(1);
  const T p = r == 3 ? T(1) : k <= 2 ? Points<T>::a : Points<T>::b;
  return k % 2 == 1 ? p : -p;
}

// What points First .. First + Count - 1 are to A^T s: the first ones overwrite y, others add to it.
template <class T, int r, int First, int Count>
TENFOLD_INLINE void add_outputs(const Vec<T>* s, Vec<T>* y) {
  if constexpr (Count == r + 1) {
    tile_outputs<T, 2, r + 1>(s, y);
  } else {
    TENFOLD_UNROLL
    for (int k = 0; k < Count; ++k) {
      const int n = First + k;
      if (n < r) y[0] = n == 0 ? s[k] : y[0] + s[k];
      if (n > 0) y[1] = n == 1 ? s[k] * point<T, r>(n) : y[1] + s[k] * point<T, r>(n);
    }
  }
}

// ---- weights, 16 rows of them in the lanes
// ----------------------------------------------------------------------------

template <class T, int r>
void transform(index count, const T* w, T* u) {
  constexpr int P = r + 1;
  T taps[r * kBlock], points[P * kBlock];
  for (index i = 0; i < count * r; i += kBlock) {
    const index rows = count * r - i < kBlock ? count * r - i : kBlock;
    to_lanes<T>(r, w + i * r, r, rows, taps);
    for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
      Vec<T> g[r], p[P];
      TENFOLD_UNROLL
      for (int k = 0; k < r; ++k) g[k] = load(taps + k * kBlock + lane);
      tile_weights<T, P, r>(g, p);
      TENFOLD_UNROLL
      for (int k = 0; k < P; ++k) store(points + k * kBlock + lane, p[k]);
    }
    from_lanes<T>(P, points, u + i * P, P, rows);
  }
}

// ---- forward
// -----------------------------------------------------------------------------------------------------

// v[row][P][16] <-- points of two columns and what they look at
template <class T, int r>
TENFOLD_INLINE void look_at_rows(const T* x, index x_row, index rows, T* v) {
  constexpr int P = r + 1;
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    for (index row = 0; row < rows; ++row) {
      Vec<T> d[P], line[P];
      TENFOLD_UNROLL
      for (int k = 0; k < P; ++k) d[k] = load(x + row * x_row + k * kBlock + lane);
      tile_looks<T, P>(d, line);
      TENFOLD_UNROLL
      for (int k = 0; k < P; ++k) store(v + (row * P + k) * kBlock + lane, line[k]);
    }
  }
}

// Adds points First .. First + Count - 1 to two rows of two outputs of some filters. The bias is where 0's sum and
// infinity's begin: each is one output's alone.
template <class T, int r, int Filters, int First, int Count>
TENFOLD_INLINE void add_points(const LaneWinograd<T>& a, const T* v, index v_channel, const T* u,
                               const T* bias, Vec<T> (*y)[2][2]) {
  constexpr int P = r + 1;
  const index u_filter = a.channels * r * P;
  Vec<T> acc[Filters][2][Count];
  TENFOLD_UNROLL
  for (int f = 0; f < Filters; ++f) {
    const Vec<T> start = bias ? splat(bias[f]) : Vec<T>{};
    TENFOLD_UNROLL
    for (int k = 0; k < Count; ++k) {
      const bool alone = First + k == 0 || First + k == r;
      acc[f][0][k] = acc[f][1][k] = !alone ? Vec<T>{} : First + k == 0 ? start : start * point<T, r>(r);
    }
  }
  for (index c = 0; c < a.channels; ++c, v += v_channel - r * P * kBlock) {
    // Unrolled, GCC would keep sums on the stack.
    _Pragma("GCC unroll 1") for (index kh = 0; kh < r; ++kh, v += P * kBlock, u += P) {
      TENFOLD_OPAQUE(u);
      TENFOLD_OPAQUE(v);
      TENFOLD_UNROLL
      for (int k = 0; k < Count; ++k) {
        Vec<T> upper = load(v + (First + k) * kBlock), lower = load(v + (P + First + k) * kBlock);
        pin<T>(upper);
        pin<T>(lower);
        TENFOLD_UNROLL
        for (int f = 0; f < Filters; ++f) {
          Vec<T> weight = splat(u[f * u_filter + First + k]);
          pin<T>(weight);
          acc[f][0][k] = fma<T>(weight, upper, acc[f][0][k]);
          acc[f][1][k] = fma<T>(weight, lower, acc[f][1][k]);
        }
      }
    }
  }
  TENFOLD_UNROLL
  for (int f = 0; f < Filters; ++f) {
    TENFOLD_UNROLL
    for (int row = 0; row < 2; ++row) add_outputs<T, r, First, Count>(acc[f][row], y[f][row]);
  }
}

template <class T, int r, int Filters, bool Pool>
TENFOLD_INLINE void forward_tile(const LaneWinograd<T>& a, const T* v, index v_channel, index f0, index top,
                                 index left) {
  constexpr int P = r + 1, kStep = kGroup<r>;
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    Vec<T> y[Filters][2][2];
    const T* const bias = a.bias ? a.bias + f0 : nullptr;
    for_constants<0, P / kStep>([&](auto group) __attribute__((always_inline)) {
      add_points<T, r, Filters, group.value * kStep, kStep>(a, v + lane, v_channel,
                                                            a.u + f0 * a.channels * r * P, bias, y);
    });
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) put_tile<T, 2, 2, Pool ? 2 : 0>(a, f0 + f, top, left, lane, y[f]);
  }
}

template <class T, int r>
void forward(const LaneWinograd<T>& a) {
  constexpr int P = r + 1;
  const index pairs = (a.out_h + 1) / 2, columns = (a.out_w + 1) / 2;
  for (index first = 0; first < pairs; first += a.tiles) {
    const index count = pairs - first < a.tiles ? pairs - first : a.tiles;
    const index rows = 2 * count + r - 1, v_channel = rows * P * kBlock;
    for (index j = 0; j < columns; ++j) {
      for (index c = 0; c < a.channels; ++c) {
        look_at_rows<T, r>(a.x + c * a.x_plane + 2 * first * a.x_row + 2 * j * kBlock, a.x_row, rows,
                           a.scratch + c * v_channel);
      }
      in_pieces<kFilters<r>>(a.filters, [&](index f, auto filters) {
        for (index i = 0; i < count; ++i) {
          const T* const v = a.scratch + 2 * i * P * kBlock;
          const index top = 2 * (first + i);
          if (a.pool_h == 0) {
            forward_tile<T, r, filters.value, false>(a, v, v_channel, f, top, 2 * j);
          } else {
            forward_tile<T, r, filters.value, true>(a, v, v_channel, f, top, 2 * j);
          }
        }
      });
    }
  }
}

template <class T>
constexpr LaneRowWinogradKernels<T> make_table() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return {{forward<T, 3>, forward<T, 5>},
            {transform<T, 3>, transform<T, 5>},
            {kForwardCost[0], kForwardCost[1]}};
  } else {
    return {};
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneRowWinogradKernels, make_table)
