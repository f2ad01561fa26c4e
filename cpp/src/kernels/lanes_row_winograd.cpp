#include "kernels/lanes_row_winograd.h"

#include "kernels/lanes_winograd_common.h"
#include "kernels/winograd_nine_points.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Whether four outputs of a row are made of nine points, instead of two of r + 1.
template <int r>
constexpr bool kNine = r == 5 && kNineOnLanes;
template <int r>
constexpr int kOutputs = kNine<r> ? 4 : 2;
template <int r>
constexpr int kPoints = kNine<r> ? kNinePoints : r + 1;
template <int r>
constexpr int kKept = kNine<r> ? kNineLooks : r + 1;  // vectors of a line of looks

// The register tile: filters x two rows x some of the points.
template <int r>
constexpr int kGroup = kManyRegisters ? (r == 3 ? 4 : 6) : 2;  // points
template <int r>
constexpr int kFilters = kManyRegisters ? (r == 3 ? 3 : 2) : 3;

// Costs are fitted to measurements on Zen 4 with AVX-512 and Zen 3 with AVX2.
constexpr LaneRowWinogradForm kForward[] = {
    {kOutputs<3>, kPoints<3>, kManyRegisters ? 1.05 : 1.0, 12, kManyRegisters ? 2.0 : 14.0},
    {kOutputs<5>, kPoints<5>, kManyRegisters ? 1.05 : 1.0,
     kNine<5>         ? 26.0
     : kManyRegisters ? 14.0
                      : 28.0,
     kNine<5>         ? 10.0
     : kManyRegisters ? 5.0
                      : 22.0}};

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
  constexpr int P = kPoints<r>;
  T taps[r * kBlock], points[P * kBlock];
  for (index i = 0; i < count * r; i += kBlock) {
    const index rows = count * r - i < kBlock ? count * r - i : kBlock;
    to_lanes<T>(r, w + i * r, r, rows, taps);
    for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
      Vec<T> g[r], p[P];
      TENFOLD_UNROLL
      for (int k = 0; k < r; ++k) g[k] = load(taps + k * kBlock + lane);
      if constexpr (kNine<r>) {
        weights_nine<T>(g, p);
      } else {
        tile_weights<T, P, r>(g, p);
      }
      TENFOLD_UNROLL
      for (int k = 0; k < P; ++k) store(points + k * kBlock + lane, p[k]);
    }
    from_lanes<T>(P, points, u + i * P, P, rows);
  }
}

// ---- forward
// -----------------------------------------------------------------------------------------------------

// v[row][P][16] <-- points of a tile's columns and what they look at
template <class T, int r>
TENFOLD_INLINE void look_at_rows(const T* x, index x_row, index rows, T* v) {
  constexpr int P = kKept<r>, kLooks = kOutputs<r> + r - 1;
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    for (index row = 0; row < rows; ++row) {
      Vec<T> d[kLooks], line[P];
      TENFOLD_UNROLL
      for (int k = 0; k < kLooks; ++k) d[k] = load(x + row * x_row + k * kBlock + lane);
      if constexpr (kNine<r>) {
        kept_looks_nine<T>(d, line);
      } else {
        tile_looks<T, P>(d, line);
      }
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

// sum[f][k] += sum over channels and kh of u . v for Count points of one row of outputs; beside(Constant<kh>) comes after each
// row of the first channel.
template <class T, int r, int Filters, int Count, class Beside>
TENFOLD_INLINE void sum_points(const LaneWinograd<T>& a, const T* v, index v_channel, const T* u,
                               Vec<T> (&sum)[Filters][Count], const Beside& beside) {
  constexpr int P = kPoints<r>;
  const index u_filter = a.channels * r * P;
  const T* weights[Filters];
  TENFOLD_UNROLL
  for (int f = 0; f < Filters; ++f) weights[f] = u + f * u_filter;
  const auto add = [&](const T* look) __attribute__((always_inline)) {
    TENFOLD_OPAQUE(look);
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) TENFOLD_OPAQUE(weights[f]);
    const auto add_point = [&](int k, Vec<T> x) __attribute__((always_inline)) {
      TENFOLD_UNROLL
      for (int f = 0; f < Filters; ++f) sum[f][k] = fma<T>(splat(weights[f][k]), x, sum[f][k]);
    };
    for_points<T, kNine<r>, Count>(look, kBlock, add_point);
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) weights[f] += P;
  };
  for_constants<0, r>([&](auto kh) __attribute__((always_inline)) {
    add(v + kh.value * kKept<r> * kBlock);
    beside(kh);
  });
  for (index c = 1; c < a.channels; ++c) {
    v += v_channel;
    _Pragma("GCC unroll 1") for (index kh = 0; kh < r; ++kh) add(v + kh * kKept<r> * kBlock);
  }
}

// `count` tiles below each other, where a block is one vector. A processor looks ahead over a few dozen instructions:
// what waits for a row's last sums stands between the multiply-adds of the next row, or these would wait, too.
template <class T, int r, int Filters, bool Pool>
TENFOLD_INLINE void forward_strip(const LaneWinograd<T>& a, const T* v, index v_channel, index f0, index top,
                                  index count, index left) {
  constexpr int P = r + 1, kAfter = 2 * Filters <= r ? 2 : 1;
  const T *const u = a.u + f0 * a.channels * r * P, *const bias = a.bias ? a.bias + f0 : nullptr;
  Vec<T> row[Filters][P], next[Filters][P], y[Filters][2][2];
  TENFOLD_UNROLL
  for (int f = 0; f < Filters; ++f) {
    TENFOLD_UNROLL
    for (int k = 0; k < P; ++k) row[f][k] = Vec<T>{};
    y[f][0][0] = y[f][0][1] = Vec<T>{};
  }
  const auto make = [&](int f, int h) __attribute__((always_inline)) {
    Vec<T> pair[2];
    tile_outputs<T, 2, P>(row[f], pair);
    Vec<T> even = pair[0], odd = pair[1];
    hold<T>(even);
    hold<T>(odd);
    y[f][h][0] = even, y[f][h][1] = odd;
  };
  T* to = nullptr;
  unsigned char* codes = nullptr;
  index windows = 0;
  if constexpr (Pool) {
    to = a.y + f0 * a.y_plane + top / 2 * a.y_row + left / 2 * kBlock;
    codes = a.codes + f0 * a.code_plane + (top / 2 * a.pooled_w + left / 2) * kBlock;
    windows = left / 2 < a.pooled_w ? a.pooled_h - top / 2 : 0;
  }
  const index y_plane = a.y_plane, y_row = a.y_row, code_plane = a.code_plane, code_row = a.pooled_w * kBlock;
  const bool relu = a.relu, pass_zero = a.pass_zero;
  const auto put = [&](int f, index i) __attribute__((always_inline)) {
    if constexpr (Pool) {
      if (static_cast<size_t>(i) >= static_cast<size_t>(windows)) return;
      const Vec<T> pixels[4] = {y[f][0][0], y[f][0][1], y[f][1][0], y[f][1][1]};
      const Pooled<T> pooled = pool_four<T>(pixels, relu, pass_zero);
      store(to + f * y_plane + i * y_row, pooled.best);
      store_codes<T>(codes + f * code_plane + i * code_row, pooled.code);
    } else if (i >= 0) {
      put_tile<T, 2, 2, 0>(a, f0 + f, top + 2 * i, left, 0, y[f]);
    }
  };
  const auto sum_row = [&](const T* look, const auto& beside) __attribute__((always_inline)) {
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) {
      const Vec<T> start = bias ? splat(bias[f]) : Vec<T>{};
      TENFOLD_UNROLL
      for (int k = 0; k < P; ++k) next[f][k] = k == 0 ? start : k == r ? start * point<T, r>(r) : Vec<T>{};
    }
    sum_points<T, r, Filters>(a, look, v_channel, u, next, beside);
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) {
      TENFOLD_UNROLL
      for (int k = 0; k < P; ++k) row[f][k] = next[f][k];
    }
  };
  for (index i = 0; i < count; ++i, v += 2 * P * kBlock) {
    sum_row(v, [&](auto kh) __attribute__((always_inline)) {
      constexpr int f = kh.value / kAfter;
      if (f < Filters && kh.value % kAfter == 0) make(f, 1);
      if (f < Filters && kh.value % kAfter == kAfter - 1) put(f, i - 1);
    });
    sum_row(v + P * kBlock, [&](auto kh) __attribute__((always_inline)) {
      if (kh.value < Filters) make(kh.value, 0);
    });
  }
  TENFOLD_UNROLL
  for (int f = 0; f < Filters; ++f) {
    make(f, 1);
    put(f, count - 1);
  }
}

template <class T>
TENFOLD_INLINE void hold_four(Vec<T>& a, Vec<T>& b, Vec<T>& c, Vec<T>& d) {
  hold<T>(a);
  hold<T>(b);
  hold<T>(c);
  hold<T>(d);
}

// forward_strip with nine points, four columns and two pooling windows. Sums of the first points become parts of outputs
// beside those of the last points, which are pooled beside the next rows'. Returns false if there may have been a NaN, which
// only `careful` pooling tells from numbers.
template <class T, int r, int Filters, bool Pool>
TENFOLD_INLINE bool forward_strip_of_four(const LaneWinograd<T>& a, const T* v, index v_channel, index f0,
                                          index top, index count, index left, bool careful) {
  constexpr int P = kPoints<r>, kLast = P - kNineFirst;
  static_assert(Filters <= 2, "");
  const T *const u = a.u + f0 * a.channels * r * P, *const bias = a.bias ? a.bias + f0 : nullptr;
  Vec<T> first[Filters][kNineFirst], last[Filters][kLast] = {}, y[Filters][2][4] = {};
  Vec<T> check = {};
  T* to = nullptr;
  unsigned char* codes = nullptr;
  index windows[2] = {0, 0};
  if constexpr (Pool) {
    to = a.y + f0 * a.y_plane + top / 2 * a.y_row + left / 2 * kBlock;
    codes = a.codes + f0 * a.code_plane + (top / 2 * a.pooled_w + left / 2) * kBlock;
    TENFOLD_UNROLL
    for (int w = 0; w < 2; ++w) windows[w] = left / 2 + w < a.pooled_w ? a.pooled_h - top / 2 : 0;
  }
  const index y_plane = a.y_plane, y_row = a.y_row, code_plane = a.code_plane, code_row = a.pooled_w * kBlock;
  const bool relu = a.relu, pass_zero = a.pass_zero;
  const auto begin = [&](int f, int h) __attribute__((always_inline)) {
    Vec<T> made[4];
    first_part_nine<T>(first[f], made);
    hold_four<T>(made[0], made[1], made[2], made[3]);
    y[f][h][0] = made[0], y[f][h][1] = made[1], y[f][h][2] = made[2], y[f][h][3] = made[3];
  };
  const auto finish = [&](int f, int h) __attribute__((always_inline)) {
    Vec<T> made[4] = {y[f][h][0], y[f][h][1], y[f][h][2], y[f][h][3]};
    add_last_part_nine<T>(last[f], made);
    hold_four<T>(made[0], made[1], made[2], made[3]);
    y[f][h][0] = made[0], y[f][h][1] = made[1], y[f][h][2] = made[2], y[f][h][3] = made[3];
  };
  const auto pool = [&](int f, index i, int w) __attribute__((always_inline)) {
    if constexpr (Pool) {
      if (static_cast<size_t>(i) >= static_cast<size_t>(windows[w])) return;
      const Vec<T> pixels[4] = {y[f][0][2 * w], y[f][0][2 * w + 1], y[f][1][2 * w], y[f][1][2 * w + 1]};
      const Pooled<T> pooled = __builtin_expect(careful, 0)
                                   ? pool_four_by_comparisons(pixels, relu, pass_zero)
                                   : pool_four_numbers(pixels, relu, pass_zero, check);
      store(to + f * y_plane + i * y_row + w * kBlock, pooled.best);
      store_codes<T>(codes + f * code_plane + i * code_row + w * kBlock, pooled.code);
    } else if (i >= 0 && w == 1) {
      put_tile<T, 2, 4, 0>(a, f0 + f, top + 2 * i, left, 0, y[f]);
    }
  };
  const auto add_first = [&](const T* row, const auto& beside) __attribute__((always_inline)) {
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) {
      TENFOLD_UNROLL
      for (int k = 0; k < kNineFirst; ++k) first[f][k] = Vec<T>{};
    }
    sum_points<T, r, Filters>(a, row, v_channel, u, first, beside);
  };
  const auto add_last = [&](const T* row, int h, const auto& beside) __attribute__((always_inline)) {
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) start_nine<T>(bias ? splat(bias[f]) : Vec<T>{}, last[f]);
    sum_points<T, r, Filters>(a, row + kNineFirst * kBlock, v_channel, u + kNineFirst, last,
                              [&](auto kh) __attribute__((always_inline)) {
                                beside(kh);
                                if (kh.value == 1) begin(0, h);
                                if (Filters > 1 && kh.value == 3) begin(Filters - 1, h);
                              });
    for_constants<0, Filters>([&](auto f) __attribute__((always_inline)) { finish(f.value, h); });
  };
  for (index i = 0; i < count; ++i, v += 2 * kKept<r> * kBlock) {
    add_first(v, [&](auto kh) __attribute__((always_inline)) {
      if (kh.value == 1) pool(0, i - 1, 0);
      if (kh.value == 3) pool(0, i - 1, 1);
    });
    add_last(v, 0, [&](auto kh) __attribute__((always_inline)) {
      if (Filters > 1 && kh.value == 0) pool(Filters - 1, i - 1, 0);
      if (Filters > 1 && kh.value == 2) pool(Filters - 1, i - 1, 1);
    });
    add_first(v + kKept<r> * kBlock, [](auto) {});
    add_last(v + kKept<r> * kBlock, 1, [](auto) {});
  }
  for_constants<0, Filters>([&](auto f) __attribute__((always_inline)) {
    pool(f.value, count - 1, 0);
    pool(f.value, count - 1, 1);
  });
  return !has_nan(check);
}

template <class T, int r, bool Pool>
TENFOLD_INLINE void forward_pooled(const LaneWinograd<T>& a) {
  constexpr int P = kKept<r>, m = kOutputs<r>;
  const index pairs = (a.out_h + 1) / 2, columns = (a.out_w + m - 1) / m;
  for (index first = 0; first < pairs; first += a.tiles) {
    const index count = pairs - first < a.tiles ? pairs - first : a.tiles;
    const index rows = 2 * count + r - 1, v_channel = rows * P * kBlock;
    for (index j = 0; j < columns; ++j) {
      for (index c = 0; c < a.channels; ++c) {
        look_at_rows<T, r>(a.x + c * a.x_plane + 2 * first * a.x_row + j * m * kBlock, a.x_row, rows,
                           a.scratch + c * v_channel);
      }
      in_pieces<kFilters<r>>(a.filters, [&](index f, auto filters) {
        if constexpr (kNine<r>) {
          for (bool careful = false, whole = false; !whole; careful = true) {
            whole = forward_strip_of_four<T, r, filters.value, Pool>(a, a.scratch, v_channel, f, 2 * first,
                                                                     count, j * m, careful);
          }
        } else if constexpr (kManyRegisters && kLanes<T> == kBlock) {
          forward_strip<T, r, filters.value, Pool>(a, a.scratch, v_channel, f, 2 * first, count, 2 * j);
        } else {
          for (index i = 0; i < count; ++i) {
            forward_tile<T, r, filters.value, Pool>(a, a.scratch + 2 * i * P * kBlock, v_channel, f,
                                                    2 * (first + i), 2 * j);
          }
        }
      });
    }
  }
}

template <class T, int r>
void forward(const LaneWinograd<T>& a) {
  if (a.pool_h == 0) return forward_pooled<T, r, false>(a);
  forward_pooled<T, r, true>(a);
}

template <class T>
constexpr LaneRowWinogradKernels<T> make_table() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return {{forward<T, 3>, forward<T, 5>}, {transform<T, 3>, transform<T, 5>}, {kForward[0], kForward[1]}};
  } else {
    return {};
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneRowWinogradKernels, make_table)
