#include "kernels/gemm.h"

#include "kernels/line.h"
#include "kernels/shuffle.h"
#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Accumulators + one row of b + one broadcast of a must fit the register file: 24 accumulators of 32
// registers and 12 of 16 hide the latency of the multiply-adds; without a fused one the product needs a
// register too.
#if TENFOLD_VECTOR_REGISTERS == 32
constexpr int kRowsAtMost[kGemmMaxVectors] = {12, 12, 9, 6};
#if defined(TENFOLD_ISA_avx512)
constexpr int kRows = 12, kVectors = 2;
#else
constexpr int kRows = 8, kVectors = 3;
#endif
#elif defined(TENFOLD_ISA_avx2)
constexpr int kRowsAtMost[kGemmMaxVectors] = {12, 6, 4, 0};
constexpr int kRows = 6, kVectors = 2;
#else
constexpr int kRowsAtMost[kGemmMaxVectors] = {8, 4, 3, 0};
constexpr int kRows = 4, kVectors = 2;
#endif

#if defined(TENFOLD_ISA_avx512)
constexpr bool kMasksAreFree = true;
#else
constexpr bool kMasksAreFree = false;
#endif

// Measured on Zen 4 with AVX-512 and on Zen 3 with AVX2; the other ISAs take what AVX2 has.
constexpr GemmCosts measured_costs() {
  GemmCosts costs{};
#if defined(TENFOLD_ISA_avx512)
  costs.pack_a = 30, costs.pack_b = 5;
  costs.across = 0, costs.across_aliased = 2, costs.along_aliased = 0;
  costs.apart = 2048, costs.deep = costs.large = index{1} << 30;
  costs.b_apart = 0.11, costs.b_aliased = 0.6;
  costs.turn = 6, costs.turn_far = 18, costs.stream_rows = 16;
#else
  costs.pack_a = 30, costs.pack_b = 8;
  costs.across = 2.5, costs.across_aliased = 7, costs.along_aliased = 1;
  costs.apart = 1024, costs.deep = 400, costs.large = 112 * 1024;
  costs.b_apart = 1.6, costs.b_aliased = 3.6;
  costs.turn = costs.turn_far = 30, costs.stream_rows = 64;
#endif
  return costs;
}

// The tallest tiles go along their sum by several steps at a time. With few registers a step has nearly as many other
// instructions as multiply-adds, and the loop's own are worth saving.
#if defined(TENFOLD_ISA_avx2)
template <int R, int V>
constexpr bool kUnrolls = V >= 2 && R >= kRowsAtMost[V - 1] - 1;
#else
template <int R, int V>
constexpr bool kUnrolls = false;
#endif

// Steps of the sum from which on fetching C ahead is worth its instructions.
constexpr index kFetchC = 32;

// The dot form: as many sums as above, a vector for every row of a and one for a row of b at a time.
#if TENFOLD_VECTOR_REGISTERS == 32
constexpr int kDotRows = 4, kDotColumns = 6;
#else
constexpr int kDotRows = 2, kDotColumns = 5;
#endif

template <class T>
TENFOLD_INLINE Vec<T> activate(Vec<T> v, int activation) {
  if (activation == kGemmRelu) return select<T>(v < Vec<T>{}, Vec<T>{}, v);
  if (activation == kGemmReluKeepSign) return select<T>(v < Vec<T>{}, -Vec<T>{}, v + Vec<T>{});
  return v;
}

// The value to store for column vector `v` of row i, whose sum is s.
template <class T>
TENFOLD_INLINE Vec<T> finished(const GemmTile<T>& t, Vec<T> s, index i, index j, bool whole) {
  s *= splat(t.alpha);
  const T* c = t.c + i * t.ldc + j;
  const index rest = t.n - j;
  if (t.beta != 0) s += splat(t.beta) * (whole ? load(c) : load_first(c, rest));
  if (t.bias_row) s += splat(t.bias_row[i]);
  if (t.bias_column) s += whole ? load(t.bias_column + j) : load_first(t.bias_column + j, rest);
  return activate<T>(s, t.activation);
}

template <class T>
TENFOLD_INLINE void put(const GemmTile<T>& t, Vec<T> s, index i, index j) {
  const bool whole = t.n - j >= kLanes<T>;
  const Vec<T> v = finished(t, s, i, j, whole);
  if (whole) {
    store(t.c + i * t.ldc + j, v);
  } else {
    store_first(t.c + i * t.ldc + j, v, t.n - j);
  }
}

template <class T>
__attribute__((noinline)) void finish(index rows, index lds, const T* s, const GemmTile<T>& t) {
  for (index i = 0; i < rows; ++i) {
    for (index j = 0; j < t.n; j += kLanes<T>) {
      const index rest = t.n - j;
      put(t, rest >= kLanes<T> ? load(s + i * lds + j) : load_first(s + i * lds + j, rest), i, j);
    }
  }
}

// Where a tile is in its sum: so many steps are left. Rows are addressed in groups of three, group + {0, 1, 2} * a_row: one
// pointer per group and scaled-index addressing.
template <class T, int R>
struct TilePlace {
  static constexpr int kGroups = (R + 2) / 3;
  index k;
  const T* a[kGroups];
  index a_row, a_step;
  const T* b;
  index b_step;
  const T* next;
  index next_step;
};

// Step by step.
template <bool kAsks, class T, int R, int V, class Last>
TENFOLD_INLINE void add_up(TilePlace<T, R>& at, Last get_last, Vec<T> (&sum)[R][V]) {
#pragma GCC unroll 1
  for (; at.k > 0; --at.k) {
    const T* row = at.b;
    Vec<T> x[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      x[v] = v == V - 1 ? get_last(row + v * kLanes<T>) : load(row + v * kLanes<T>);
      pin<T>(x[v]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec<T> w = splat(at.a[i / 3][(i % 3) * at.a_row]);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[i][v] = fma_onto<T>(w, x[v], sum[i][v]);
    }
#pragma GCC unroll 16
    for (int g = 0; g < at.kGroups; ++g) at.a[g] += at.a_step;
    if (kAsks) {
      __builtin_prefetch(at.next, 0, 2);
      at.next += at.next_step;
    }
    at.b += at.b_step;
  }
}

// Four steps at a time, as many as there are, of an A whose elements lie side by side: along the sum or across it. A load
// adds up its address by itself: an index that is opaque anew for each one keeps the compiler from doing it beforehand.
template <bool kAcross, bool kAsks, class T, int R, int V>
TENFOLD_INLINE void add_up_by_four(TilePlace<T, R>& at, Vec<T> (&sum)[R][V]) {
  constexpr ptrdiff_t kElement = sizeof(T);
  const ptrdiff_t steps = at.k & ~ptrdiff_t{3};
  if (steps == 0) return;
  const auto bytes = [](const T* p)
                         __attribute__((always_inline)) { return reinterpret_cast<const char*>(p); };
  const auto elements = [](const char* p)
                            __attribute__((always_inline)) { return reinterpret_cast<const T*>(p); };
  // Rows of A, or steps of it, where the sum ends; i goes up to 0.
  constexpr int kRuns = kAcross ? 4 : R;
  const char* run[kRuns];
#pragma GCC unroll 16
  for (int r = 0; r < kRuns; ++r) {
    run[r] = bytes(kAcross ? at.a[0] + (steps + r) * at.a_step : at.a[r / 3] + (r % 3) * at.a_row + steps);
  }
  const ptrdiff_t i_step = 4 * kElement * (kAcross ? at.a_step : 1);
  ptrdiff_t i = -(steps >> 2) * i_step;
  const char *b = bytes(at.b), *next = bytes(at.next);
  const ptrdiff_t b_step = at.b_step * kElement, b_steps = 3 * b_step, next_step = at.next_step * kElement;
  do {
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      const char* row = b;
      Vec<T> x[V];
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        TENFOLD_OPAQUE(row);
        const char* from = u == 0 ? row : u == 3 ? row + b_steps : row + u * b_step;
        x[v] = load(elements(from + v * kLanes<T> * kElement));
        pin<T>(x[v]);
      }
      b = row;
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        TENFOLD_OPAQUE(i);
        const Vec<T> w = splat(*elements(run[kAcross ? u : r] + i + (kAcross ? r : u) * kElement));
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sum[r][v] = fma_onto<T>(w, x[v], sum[r][v]);
      }
      if (kAsks) {
        TENFOLD_OPAQUE(next);
        __builtin_prefetch(u % 2 == 0 ? next : next + next_step, 0, 2);
        if (u % 2 == 1) next += 2 * next_step;
      }
    }
    b += b_step + b_steps;
    i += i_step;
  } while (i != 0);
  at.k -= steps;
#pragma GCC unroll 16
  for (int g = 0; g < at.kGroups; ++g) at.a[g] += steps * at.a_step;
  at.b = elements(b), at.next = elements(next);
}

template <bool kAsks, class T, int R, int V>
TENFOLD_INLINE void add_all_up(TilePlace<T, R>& at, Vec<T> (&sum)[R][V]) {
  if constexpr (kUnrolls<R, V>) {
    if (at.a_step == 1) {
      add_up_by_four<false, kAsks>(at, sum);
    } else if (at.a_row == 1) {
      add_up_by_four<true, kAsks>(at, sum);
    }
  }
  const auto whole = [](const T* p) __attribute__((always_inline)) { return load(p); };
  add_up<kAsks>(at, whole, sum);
}

template <class T, int R, int V>
void tile(const GemmTile<T>& t) {
  Vec<T> sum[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[i][v] = Vec<T>{};
  }
  TilePlace<T, R> at;
  at.k = t.k, at.a_row = t.a_row, at.a_step = t.a_step;
#pragma GCC unroll 16
  for (int g = 0; g < at.kGroups; ++g) at.a[g] = t.a + 3 * g * t.a_row;
  at.b = t.b, at.b_step = t.b_step;
  at.next = t.next ? t.next : t.a, at.next_step = t.next_step;
  const index rest = t.n - (V - 1) * kLanes<T>;
  // C is asked for while the sum is made: its rows are too far apart for the processor to guess.
  if (t.k >= kFetchC) {
#pragma GCC unroll 1
    for (int i = 0; i < R; ++i) {
      const T* c = t.c + i * t.ldc;
#pragma GCC unroll 8
      for (index j = 0; j < V * kLanes<T>; j += kLine<T>) __builtin_prefetch(c + j, 1);
      __builtin_prefetch(c + t.n - 1, 1);
    }
  }
  // The end of a row that is no whole vector is read with a mask; all else without, which is 2 % faster.
  if (kMasksAreFree && rest < kLanes<T>) {
    const auto first = [rest](const T* p) __attribute__((always_inline)) { return load_first(p, rest); };
    add_up<true>(at, first, sum);
  } else if (kMasksAreFree || t.next) {
    add_all_up<true>(at, sum);
  } else {  // to ask for one and the same line costs AVX2 a tenth of the time
    add_all_up<false>(at, sum);
  }
  // Tiles that need nothing but their sums and a bias are stored from registers, ragged ones where a mask costs nothing;
  // all else goes through a buffer, so that the code for the rest exists once.
  if ((kMasksAreFree || rest == kLanes<T>) && t.alpha == 1 && !t.bias_column && t.activation == kGemmNone &&
      (t.beta == 0 || t.beta == 1)) {
    const bool add = t.beta == 1;
    const T none = T(-0.0);  // x + -0 is x for every x
    const T* bias = t.bias_row ? t.bias_row : &none;
    const index bias_step = t.bias_row ? 1 : 0;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i, bias += bias_step) {
      const Vec<T> start = splat(*bias);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        T* c = t.c + i * t.ldc + v * kLanes<T>;
        if (!kMasksAreFree || v < V - 1) {
          store(c, (add ? load(c) + sum[i][v] : sum[i][v]) + start);
        } else {
          store_first(c, (add ? load_first(c, rest) + sum[i][v] : sum[i][v]) + start, rest);
        }
      }
    }
    return;
  }
  alignas(TENFOLD_VECTOR_BYTES) T buffer[R * V * kLanes<T>];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) store(buffer + (i * V + v) * kLanes<T>, sum[i][v]);
  }
  finish<T>(R, V * kLanes<T>, buffer, t);
}

template <class T, int N>
void few_columns(index rows, const GemmTile<T>& t) {
  constexpr int V = static_cast<int>((kRows + kLanes<T> - 1) / kLanes<T>);  // vectors of rows
  constexpr int kChains = N * V >= 3 ? 1 : 4 / (N * V);  // hide the latency of the multiply-adds
  Vec<T> sum[kChains][N][V] = {};
  const T *a = t.a, *b = t.b;
  const auto step = [&](auto& of) __attribute__((always_inline)) {
    Vec<T> x[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) x[v] = load(a + v * kLanes<T>);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) of[j][v] = fma<T>(x[v], splat(b[j]), of[j][v]);
    }
    a += t.a_step, b += t.b_step;
  };
  index k = t.k;
  for (; k >= kChains; k -= kChains) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) step(sum[chain]);
  }
  for (; k > 0; --k) step(sum[0]);
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {
    alignas(TENFOLD_VECTOR_BYTES) T column[V * kLanes<T>];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
#pragma GCC unroll 4
      for (int chain = 1; chain < kChains; ++chain) sum[0][j][v] += sum[chain][j][v];
      store(column + v * kLanes<T>, sum[0][j][v]);
    }
    for (index i = 0; i < rows; ++i) {
      T* c = t.c + i * t.ldc + j;
      *c = t.beta == 0 ? column[i] : *c + column[i];
    }
  }
}

// ---- packing ----

// x[q] <-- from[p * stride + q], a square of kLanes. Of a part of a square only `rows` rows and `columns` columns exist, and the rest is 0.
template <class T, bool kPart>
TENFOLD_INLINE void load_transposed(const T* from, index stride, index rows, index columns,
                                    Vec<T> (&x)[kLanes<T>]) {
  constexpr int L = static_cast<int>(kLanes<T>);
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if constexpr (kPart) {
      x[i] = i >= rows      ? Vec<T>{}
             : columns == L ? load(from + i * stride)
                            : load_first(from + i * stride, columns);
    } else {
      x[i] = load(from + i * stride);
    }
  }
  transpose_lanes<T>(x);
}

// to[q * width + p] <-- from[p * stride + q]: load_transposed, stored. Rows are stored in ascending order and
// whole, beyond `width` too, as long as they end before `end`.
template <class T, bool kPart>
TENFOLD_INLINE void transpose_square(const T* from, index stride, index rows, index columns, index width,
                                     T* to, const T* end) {
  constexpr int L = static_cast<int>(kLanes<T>);
  Vec<T> x[L];
  load_transposed<T, kPart>(from, stride, rows, columns, x);
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if constexpr (kPart) {
      if (i >= columns) return;
      if (to + i * width + L > end) {
        store_first(to + i * width, x[i], end - (to + i * width));
        continue;
      }
    }
    store(to + i * width, x[i]);
  }
}

// to[j] <-- from[j] for j < n, zeros up to `room`; whole vectors are written where there is room for them.
template <class T>
TENFOLD_INLINE void copy(const T* from, index n, index room, T* to) {
  index j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>) store(to + j, load(from + j));
  if (j < n) {
    const Vec<T> rest = load_first(from + j, n - j);
    if (j + kLanes<T> <= room) {
      store(to + j, rest);
      j += kLanes<T>;
    } else {
      store_first(to + j, rest, n - j);
      j = n;
    }
  }
  for (; j + kLanes<T> <= room; j += kLanes<T>) store(to + j, Vec<T>{});
  for (; j < room; ++j) to[j] = 0;
}

// Rows of V vectors, one behind the other.
template <class T, int V>
TENFOLD_INLINE void copy_vectors(index k, const T* from, index k_stride, T* to) {
  for (; k > 0; --k, from += k_stride, to += V * kLanes<T>) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(to + v * kLanes<T>, load(from + v * kLanes<T>));
  }
}

// Rows in whole vectors, of which each runs into the next row before that one is written; returns how many rows can be
// copied so. They are at least V vectors apart.
template <class T, int V>
TENFOLD_INLINE index copy_whole(index k, const T* from, index k_stride, index width, T* to) {
  const index rows = k - (V * kLanes<T> + width - 1) / width;
  for (index kk = 0; kk < rows; ++kk) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v)
      store(to + kk * width + v * kLanes<T>, load(from + kk * k_stride + v * kLanes<T>));
  }
  return rows > 0 ? rows : 0;
}

// Rows of no more than a vector.
template <class T>
TENFOLD_INLINE void copy_first(index k, const T* from, index k_stride, index width, T* to) {
  for (; k > 0; --k, from += k_stride, to += width) store_first(to, load_first(from, width), width);
}

// Rows of `width` elements, one behind the other; returns how many of them it has copied.
template <class T>
TENFOLD_INLINE index copy_rows(index k, const T* from, index k_stride, index width, T* to) {
  constexpr index L = kLanes<T>;
  switch (width) {
    case 2 * L:
      copy_vectors<T, 2>(k, from, k_stride, to);
      return k;
    case 3 * L:
      copy_vectors<T, 3>(k, from, k_stride, to);
      return k;
    case 4 * L:
      copy_vectors<T, 4>(k, from, k_stride, to);
      return k;
    default:
      break;
  }
  if (kMasksAreFree && width <= L) {
    copy_first(k, from, k_stride, width, to);
    return k;
  }
  if (!kMasksAreFree && width <= L && k_stride >= L) return copy_whole<T, 1>(k, from, k_stride, width, to);
  if (!kMasksAreFree && width <= 2 * L && k_stride >= 2 * L)
    return copy_whole<T, 2>(k, from, k_stride, width, to);
  return 0;
}

template <class T>
TENFOLD_INLINE void clear_tail(index count, index k, index width, T* to) {
  if (count == width) return;
  for (index kk = 0; kk < k; ++kk) {
    for (index p = count; p < width; ++p) to[kk * width + p] = 0;
  }
}

// pack where k_stride is 1: by squares. The last ones overlap those before them, so that only what is smaller
// than a square needs a part of one.
template <class T>
void pack_transposed(index count, index k, const T* from, index stride, index width, T* to) {
  constexpr index L = kLanes<T>;
  const T* const end = to + k * width;
  const bool part = count < L || k < L;
  const index rows = count < L ? count : L, columns = k < L ? k : L;
  // Zeros behind the panel's elements; where they begin inside a square they are written over.
  for (index p = width - L; p + L > count && p > 0; p -= L) {
    for (index kk = 0; kk < k; ++kk) store(to + kk * width + p, Vec<T>{});
  }
  for (index at = 0; at < k; at += L) {
    const index kk = at + L <= k || k < L ? at : k - L;
    for (index first = 0; first < count; first += L) {
      const index p = first + L <= count || count < L ? first : count - L;
      if (part) {
        transpose_square<T, true>(from + p * stride + kk, stride, rows, columns, width, to + kk * width + p,
                                  end);
      } else {
        transpose_square<T, false>(from + p * stride + kk, stride, L, L, width, to + kk * width + p, end);
      }
    }
  }
}

// pack of groups of K that lie side by side, as the channels of pixels do.
template <class T, int K>
void pack_groups(index count, const T* __restrict from, index width, T* __restrict to) {
  for (index p = 0; p < count; ++p) {
#pragma GCC unroll 4
    for (int kk = 0; kk < K; ++kk) to[kk * width + p] = from[p * K + kk];
  }
}

template <class T>
void pack(index count, index k, const T* from, index panel_stride, index k_stride, index width, T* to) {
  if (panel_stride == 1) {
    index kk = count == width ? copy_rows(k, from, k_stride, width, to) : 0;
    for (; kk < k; ++kk) copy(from + kk * k_stride, count, width, to + kk * width);
    return;
  }
  if (k_stride == 1 && panel_stride == k && (k == 2 || k == 3) && count >= kLanes<T>) {
    clear_tail(count, k, width, to);
    return k == 2 ? pack_groups<T, 2>(count, from, width, to) : pack_groups<T, 3>(count, from, width, to);
  }
  // A row of squares is stored in ascending order: one narrower than a vector spills into the next row only.
  if (k_stride == 1 && (width >= kLanes<T> || count == width)) {
    return pack_transposed<T>(count, k, from, panel_stride, width, to);
  }
  clear_tail(count, k, width, to);
  for (index p = 0; p < count; ++p) {
    for (index kk = 0; kk < k; ++kk) to[kk * width + p] = from[p * panel_stride + kk * k_stride];
  }
}

// Squares are turned one by one and stored; where more is to be done with the sums, through a buffer.
template <class T>
void finish_transposed(index rows, index lds, const T* s, const GemmTile<T>& t) {
  constexpr index L = kLanes<T>;
  const bool add = t.beta == 1;
  const bool plain =
      t.alpha == 1 && (add || t.beta == 0) && !t.bias_row && !t.bias_column && t.activation == kGemmNone;
  for (index i = 0; i < rows; i += L) {
    const index height = rows - i < L ? rows - i : L;
    for (index j = 0; j < t.n; j += L) {
      const index rest = t.n - j;
      Vec<T> x[L];
      load_transposed<T, true>(s + j * lds + i, lds, rest, L, x);
      if (plain && (kMasksAreFree || rest >= L)) {
        const index columns = rest < L ? rest : L;
#pragma GCC unroll 16
        for (index r = 0; r < L; ++r) {
          if (r >= height) break;
          T* const to = t.c + (i + r) * t.ldc + j;
          if (kMasksAreFree) {
            store_first(to, add ? load_first(to, columns) + x[r] : x[r], columns);
          } else {
            store(to, add ? load(to) + x[r] : x[r]);
          }
        }
        continue;
      }
      alignas(TENFOLD_VECTOR_BYTES) T buffer[L * L];
#pragma GCC unroll 16
      for (index r = 0; r < L; ++r) store(buffer + r * L, x[r]);
      if (plain && !add) {
        for (index r = 0; r < height; ++r) store_first(t.c + (i + r) * t.ldc + j, load(buffer + r * L), rest);
        continue;
      }
      GemmTile<T> square = t;
      square.c = t.c + i * t.ldc + j;
      square.bias_row = t.bias_row ? t.bias_row + i : nullptr;
      square.bias_column = t.bias_column ? t.bias_column + j : nullptr;
      square.n = rest < L ? rest : L;
      finish<T>(height, L, buffer, square);
    }
  }
}

// ---- dot products ----

// The sums of the lanes of kLanes vectors, the sum of x[i] in lane i: in every round the halves of two vectors
// are added, so that the order of the additions is the same for all of them.
template <class T>
TENFOLD_INLINE Vec<T> sum_lanes(Vec<T> (&x)[kLanes<T>]) {
  constexpr int L = static_cast<int>(kLanes<T>);
#pragma GCC unroll 16
  for (int half = L / 2; half >= 1; half /= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < half; ++i) {
      Vec<T> low, high;
      interleave<T>(x[i], x[i + half], low, high);
      x[i] = low + high;
    }
  }
  return x[0];
}

template <class T, int R, int S>
void dot_tile(const GemmDot<T>& d) {
  constexpr index L = kLanes<T>;
  constexpr int kSums = R * S, kSquares = (kSums + static_cast<int>(L) - 1) / static_cast<int>(L);
  Vec<T> sum[kSums];
#pragma GCC unroll 32
  for (int i = 0; i < kSums; ++i) sum[i] = d.resumes ? load(d.parts + i * L) : Vec<T>{};
  const T* a = d.a;
  const T* b = d.b;
  const index a_row = d.a_row, b_row = d.b_row;
  const auto step = [&](auto get) __attribute__((always_inline)) {
    Vec<T> x[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      x[i] = get(a + i * a_row);
      pin<T>(x[i]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < S; ++j) {
      Vec<T> y = get(b + j * b_row);
      pin<T>(y);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) sum[i * S + j] = fma<T>(x[i], y, sum[i * S + j]);
    }
  };
  index k = d.k;
  const auto plain = [](const T* p) __attribute__((always_inline)) { return load(p); };
  if (d.next && d.all_rows) {
    const T* next = d.next;
    for (; k >= L; k -= L, a += L, b += L, next += L) {
#pragma GCC unroll 8
      for (int j = 0; j < S; ++j) __builtin_prefetch(next + j * d.next_row, 0, 2);
      step(plain);
    }
  } else if (d.next) {
    const T* next = d.next;
#pragma GCC unroll 1
    for (; k >= L; k -= L, a += L, b += L, next += L) {
      __builtin_prefetch(next, 0, 2);
      __builtin_prefetch(next + d.next_row, 0, 2);
      step(plain);
    }
  } else {
#pragma GCC unroll 1
    for (; k >= L; k -= L, a += L, b += L) step(plain);
  }
  if (k > 0) step([k](const T* p) __attribute__((always_inline)) { return load_first(p, k); });
  if (d.pauses) {
#pragma GCC unroll 32
    for (int i = 0; i < kSums; ++i) store(d.parts + i * L, sum[i]);
    return;
  }
#pragma GCC unroll 32
  for (int g = 0; g < kSquares; ++g) {
    Vec<T> x[L];
#pragma GCC unroll 16
    for (int i = 0; i < static_cast<int>(L); ++i) {
      const int at = g * static_cast<int>(L) + i;
      x[i] = at < kSums ? sum[at < kSums ? at : 0] : Vec<T>{};
    }
    store(d.s + g * L, sum_lanes<T>(x));
  }
}

// ---- what stands beside a product ----

template <class T>
void relu_backward(index n, const T* y, const T* dy, T at_zero, T* dv) {
  const auto apply = [at_zero](Vec<T> v, Vec<T> d) {
    const Vec<T> zero = {};
    const Mask<T> negative = (Mask<T>)v < Mask<T>{};  // the sign bit
    const Vec<T> at = select<T>(negative, zero, d * splat(at_zero));
    return select<T>(v > zero, d, select<T>(v == zero, at, v));
  };
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(dv + i, apply(load(y + i), load(dy + i)));
  if (i < n) store_first(dv + i, apply(load_first(y + i, n - i), load_first(dy + i, n - i)), n - i);
}

template <class T>
void add_rows(index rows, index n, const T* x, index stride, bool accumulate, T* sum) {
  index j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>) {
    Vec<T> s = accumulate ? load(sum + j) : Vec<T>{};
    for (index r = 0; r < rows; ++r) s += load(x + r * stride + j);
    store(sum + j, s);
  }
  if (j < n) {
    Vec<T> s = accumulate ? load_first(sum + j, n - j) : Vec<T>{};
    for (index r = 0; r < rows; ++r) s += load_first(x + r * stride + j, n - j);
    store_first(sum + j, s, n - j);
  }
}

template <class T>
double burn(index rounds, T* sink) {
  constexpr int kChains = TENFOLD_VECTOR_REGISTERS == 32 ? 24 : 12;
  Vec<T> s[kChains];
  const Vec<T> factor = splat(*sink), addend = splat(*sink * T(0.5));
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) s[i] = splat(T(i));
  for (index r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) s[i] = fma<T>(s[i], factor, addend);
  }
  Vec<T> total = {};
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) total += s[i];
  *sink = reinterpret_cast<const T*>(&total)[0];
  return double(rounds) * kChains * kLanes<T>;
}

// ---- the table ----

template <class T, int V, int R>
constexpr auto tile_or_null() -> void (*)(const GemmTile<T>&) {
  if constexpr (R <= kRowsAtMost[V - 1]) {
    return tile<T, R, V>;
  } else {
    return nullptr;
  }
}

template <class T, int R, int S>
constexpr auto dot_or_null() -> void (*)(const GemmDot<T>&) {
  if constexpr (R <= kDotRows && S <= kDotColumns) {
    return dot_tile<T, R, S>;
  } else {
    return nullptr;
  }
}

#define TENFOLD_DOT_ROW(r)                                                 \
  {dot_or_null<T, r, 1>(), dot_or_null<T, r, 2>(), dot_or_null<T, r, 3>(), \
   dot_or_null<T, r, 4>(), dot_or_null<T, r, 5>(), dot_or_null<T, r, 6>()}
#define TENFOLD_TILE_ROW(v)                                                                              \
  {tile_or_null<T, v, 1>(), tile_or_null<T, v, 2>(),  tile_or_null<T, v, 3>(),  tile_or_null<T, v, 4>(), \
   tile_or_null<T, v, 5>(), tile_or_null<T, v, 6>(),  tile_or_null<T, v, 7>(),  tile_or_null<T, v, 8>(), \
   tile_or_null<T, v, 9>(), tile_or_null<T, v, 10>(), tile_or_null<T, v, 11>(), tile_or_null<T, v, 12>()}

template <class T>
constexpr GemmKernels<T> make_table() {
  return {static_cast<int>(kLanes<T>),
          {kRowsAtMost[0], kRowsAtMost[1], kRowsAtMost[2], kRowsAtMost[3]},
          kRows,
          kVectors,
          {TENFOLD_TILE_ROW(1), TENFOLD_TILE_ROW(2), TENFOLD_TILE_ROW(3), TENFOLD_TILE_ROW(4)},
          {few_columns<T, 1>, few_columns<T, 2>, few_columns<T, 3>, few_columns<T, 4>},
          measured_costs(),
          kMasksAreFree ? 2 : 12,
          kMasksAreFree,
          kDotRows,
          kDotColumns,
          {TENFOLD_DOT_ROW(1), TENFOLD_DOT_ROW(2), TENFOLD_DOT_ROW(3), TENFOLD_DOT_ROW(4)},
          pack<T>,
          finish<T>,
          finish_transposed<T>,
          relu_backward<T>,
          add_rows<T>,
          burn<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(GemmKernels, make_table)
