#include "kernels/conv.h"

#include "kernels/shuffle.h"
#include "kernels/vec.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// A scalar in every lane.
template <class T>
TENFOLD_INLINE Vec<T> broadcast(const T* p) {
  Vec<T> v = splat<T>(*p);
  pin<T>(v);
  return v;
}

template <class T>
TENFOLD_INLINE Vec<T> activate(Vec<T> v, ConvActivation activation) {
  const Vec<T> zero = {};
  if (activation == ConvActivation::relu) return select<T>(v < zero, zero, v);
  // v + 0 turns a -0 that was not negative into +0: only negative sums carry the sign.
  if (activation == ConvActivation::relu_keep_sign) return select<T>(v < zero, -zero, v + zero);
  return v;
}

#if defined(TENFOLD_ISA_avx512)
// Not float64: its tiles take as much room in the package as those of float32, of which most convolutions are.
template <class T>
constexpr bool kJoinsRows = sizeof(T) == 4;

template <int kCount>
struct Pieces {
  static constexpr int value = kCount;
};

// The lanes of `mask` from p[lane], the others from v; touches no memory beyond them.
template <class T>
TENFOLD_INLINE Vec<T> load_lanes(Vec<T> v, uint32_t mask, const T* p) {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_loadu_ps((__m512)v, (__mmask16)mask, p);
  } else {
    return (Vec<T>)_mm512_mask_loadu_pd((__m512d)v, (__mmask8)mask, p);
  }
}

template <int MR, int NV>
TENFOLD_INLINE void store_without_gaps(const Vec<float> (&sum)[MR][NV], const ConvGaps& gaps, float* c,
                                       index ldc, ConvActivation activation) {
#pragma GCC unroll 16
  for (int v = 0; v < NV; ++v) {
    float* to = c + gaps.target[v];
    const index count = gaps.count[v];
    if (count == kLanes<float>) {
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) store(to + m * ldc, activate<float>(sum[m][v], activation));
      continue;
    }
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const Vec<float> value = activate<float>(sum[m][v], activation);
      store_first(to + m * ldc, (Vec<float>)_mm512_maskz_compress_ps((__mmask16)gaps.lanes[v], (__m512)value),
                  count);
    }
  }
}
#else
template <class T>
constexpr bool kJoinsRows = false;
#endif

template <class T, int MR, int NV>
void tile(index K, const T* a, index a_row, index a_step, const T* b, const index* offset, T* c, index ldc,
          const T* bias, bool resume, ConvActivation activation, [[maybe_unused]] const ConvGaps* gaps,
          [[maybe_unused]] const ConvLooks* looks) {
  Vec<T> sum[MR][NV];
  if (resume) {
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) sum[m][v] = load(c + m * ldc + v * kLanes<T>);
    }
  } else {
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const Vec<T> start = bias ? splat<T>(bias[m]) : Vec<T>{};
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) sum[m][v] = start;
    }
  }
  const auto add_up = [&](auto get, index row) __attribute__((always_inline)) {
    TENFOLD_UNROLL_SUM
    for (index k = 0; k < K; ++k) {
      const T* p = b + offset[k];
      Vec<T> pixels[NV];
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) {
        pixels[v] = get(p, v);
        if (MR > 1) pin<T>(pixels[v]);
      }
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        const Vec<T> weight = broadcast<T>(a + m * row);
#pragma GCC unroll 16
        for (int v = 0; v < NV; ++v) sum[m][v] = fma<T>(weight, pixels[v], sum[m][v]);
      }
      a += a_step;
    }
  };
  const auto add_up_side_by_side = [&]() __attribute__((always_inline)) {
    add_up([](const T* p, int v) __attribute__((always_inline)) { return load(p + v * kLanes<T>); }, a_row);
  };
#if defined(TENFOLD_ISA_avx512)
  if constexpr (kJoinsRows<T>) {
    const auto add_up_looks = [&](auto pieces) __attribute__((always_inline)) {
      const auto get = [looks](const T* p, int v) __attribute__((always_inline)) {
        Vec<T> pixels = load(p + looks->at[v][0]);
#pragma GCC unroll 4
        for (int piece = 1; piece < decltype(pieces)::value; ++piece)
          pixels = load_lanes<T>(pixels, looks->lanes[v][piece - 1], p + looks->at[v][piece]);
        return pixels;
      };
      // Rows side by side need no registers of their own, of which these looks leave few.
      if (a_row == 1) {
        add_up(get, 1);
      } else {
        add_up(get, a_row);
      }
    };
    if (looks && looks->pieces == 2) {
      add_up_looks(Pieces<2>{});
    } else if (conv_pieces(NV) == 3 && looks) {
      add_up_looks(Pieces<static_cast<int>(conv_pieces(NV))>{});
    } else {
      add_up_side_by_side();
    }
    if (gaps) return store_without_gaps(sum, *gaps, c, ldc, activation);
  } else {
    add_up_side_by_side();
  }
#else
  add_up_side_by_side();
#endif
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) store(c + m * ldc + v * kLanes<T>, activate<T>(sum[m][v], activation));
  }
}

// Short copies: whole vectors, then a masked or scalar rest.
template <class T>
TENFOLD_INLINE void copy(index n, const T* x, T* y) {
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(y + i, load(x + i));
#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
  if (i < n) store_first(y + i, load_first(x + i, n - i), n - i);
#else
  for (; i < n; ++i) y[i] = x[i];
#endif
}

template <class T>
void scatter(index rows, index runs, const ConvRun* run, const T* c, index ldc, T* target, index plane,
             index step) {
  for (index m = 0; m < rows; ++m) {
    for (index r = 0; r < runs; ++r) {
      const T* from = c + m * ldc + run[r].column;
      T* to = target + m * plane + run[r].target;
      if (step == 1) {
        copy(run[r].count, from, to);
      } else {
        for (index i = 0; i < run[r].count; ++i) to[i * step] = from[i];
      }
    }
  }
}

template <class T>
void scatter_pair(index rows, index runs, const ConvRun* run, const T* even, const T* odd, index ldc,
                  T* target, index plane, const T* bias, ConvPut how) {
  constexpr index L = kLanes<T>;
  for (index m = 0; m < rows; ++m) {
    const Vec<T> start = splat(bias ? bias[m] : T(-0.0));  // x + -0 is x for every x
    for (index r = 0; r < runs; ++r) {
      const T *e = even + m * ldc + run[r].column, *o = odd + m * ldc + run[r].column;
      T* to = target + m * plane + run[r].target;
      const bool past = how == kConvReplacePast && reinterpret_cast<uintptr_t>(to) % sizeof(Vec<T>) == 0;
      index left = run[r].count;
      Vec<T> both[2];
      for (; left >= 2 * L; left -= 2 * L, e += L, o += L, to += 2 * L) {
        interleave<T>(load(e), load(o), both[0], both[1]);
        for (index half = 0; half < 2; ++half) {
          T* const place = to + half * L;
          const Vec<T> value = both[half] + start;
          if (past) {
            store_past(place, value);
          } else {
            store(place, how == kConvAdd ? load(place) + value : value);
          }
        }
      }
      if (left <= 0) continue;
      // A tile is whole vectors: what lies behind a run's last column may be read.
      interleave<T>(load(e), load(o), both[0], both[1]);
      for (index half = 0; left > 0; ++half, left -= L, to += L) {
        const index rest = left < L ? left : L;
        const Vec<T> value = both[half] + start;
        store_first(to, how == kConvAdd ? load_first(to, rest) + value : value, rest);
      }
    }
  }
}

template <class T>
void pack_panel(index K, const T* b, const index* offset, index runs, const ConvRun* run, T* panel,
                index columns) {
  constexpr index L = kLanes<T>;
  const T* const end = panel + K * columns;
  for (index k = 0; k < K; ++k, panel += columns) {
    for (index r = 0; r < runs; ++r) {
      const T* from = b + offset[k] + run[r].target;
      T* to = panel + run[r].column;
      index left = run[r].count;
      // The next panel's, from more rows than the processor follows.
      __builtin_prefetch(from + 2 * columns - 1);
      for (; left >= L; left -= L, from += L, to += L) store(to, load(from));
      if (left == 0) continue;
      // What a whole vector spills into is written after it.
      const Vec<T> last = load_first(from, left);
      if (to + L <= end) {
        store(to, last);
      } else {
        store_first(to, last, left);
      }
    }
  }
}

template <class T>
void pack_pairs(index pairs, const T* b, const index* offset, index runs, const ConvRun* run, T* panel,
                index columns) {
  constexpr index L = kLanes<T>;
  for (index p = 0; p < pairs; ++p, panel += 2 * columns) {
    for (index r = 0; r < runs; ++r) {
      const T* from = b + offset[p] + run[r].target;
      T *even = panel + run[r].column, *odd = even + columns;
      index i = 0;
      Vec<T> evens, odds;
      for (; i + L <= run[r].count; i += L) {
        load_separated(from + 2 * i, evens, odds);
        store(even + i, evens);
        store(odd + i, odds);
      }
#if defined(TENFOLD_ISA_avx512)
      if (const index left = run[r].count - i; left > 0) {
        const index low = 2 * left < L ? 2 * left : L;
        separate<T>(load_first(from + 2 * i, low), load_first(from + 2 * i + low, 2 * left - low), evens,
                    odds);
        store_first(even + i, evens, left);
        store_first(odd + i, odds, left);
      }
#else
      for (; i < run[r].count; ++i) even[i] = from[2 * i], odd[i] = from[2 * i + 1];
#endif
    }
  }
}

#if defined(__SSE__)
// to[i * width + j] <- from[j * pitch + i] for i, j < 4.
TENFOLD_INLINE void turn(const float* from, index pitch, float* to, index width) {
  __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + pitch);
  __m128 c = _mm_loadu_ps(from + 2 * pitch), d = _mm_loadu_ps(from + 3 * pitch);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(to, a);
  _mm_storeu_ps(to + width, b);
  _mm_storeu_ps(to + 2 * width, c);
  _mm_storeu_ps(to + 3 * width, d);
}
#endif

// packed[i * MR + m] <-- from[m * row_stride + i] for i < run <= kLanes; `after` rows of `packed` follow these.
template <class T>
TENFOLD_INLINE void turn_weights(index run, index MR, index rows, const T* from, index row_stride, T* packed,
                                 index after) {
  constexpr int L = static_cast<int>(kLanes<T>);
  for (index first = 0; first < MR; first += L) {
    Vec<T> x[L];
#pragma GCC unroll 16
    for (int m = 0; m < L; ++m) {
      const T* p = from + (first + m) * row_stride;
      x[m] = first + m >= rows ? Vec<T>{} : run == L ? load(p) : load_first(p, run);
    }
    transpose_lanes<T>(x);
    T* to = packed + first;
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i, to += MR) {
      if (i >= run) break;
      // A whole vector where what it overwrites is written later.
      if (MR <= L && (run - i + after) * MR >= L) {
        store(to, x[i]);
      } else {
        store_first(to, x[i], MR - first < L ? MR - first : L);
      }
    }
  }
}

template <class T>
void pack_weights(index K, index MR, index rows, const T* weight, index row_stride, const index* map,
                  T* packed) {
  constexpr index kShortest = 4;  // a shorter run is not worth turning a square
  for (index k = 0; k < K;) {
    const T* from = weight + map[k];
    T* to = packed + k * MR;
    if (row_stride == 1) {
      copy(rows, from, to);
      for (index m = rows; m < MR; ++m) to[m] = 0;
      ++k;
      continue;
    }
    index run = 1;
    while (run < kLanes<T> && k + run < K && map[k + run] == map[k] + run) ++run;
    if (run >= kShortest) {
      turn_weights(run, MR, rows, from, row_stride, to, K - k - run);
    } else {
      for (index i = 0; i < run; ++i) {
        for (index m = 0; m < MR; ++m) to[i * MR + m] = m < rows ? from[m * row_stride + i] : 0;
      }
    }
    k += run;
  }
}

// to[i] <-- from[i * step], i < count. Reads nothing beyond.
template <class T>
TENFOLD_INLINE void pick(index count, index step, const T* from, T* to) {
  constexpr index L = kLanes<T>;
  if (step == 1) return copy(count, from, to);
  index i = 0;
  if (step == 2) {
    Vec<T> odd, even;
    // The last element of two vectors is read only because another one follows that is picked.
    for (; i + L < count; i += L) {
      load_separated(from + i * 2, even, odd);
      store(to + i, even);
    }
#if defined(TENFOLD_ISA_avx512)
    if (i < count) {
      const index span = 2 * (count - i) - 1, low = span < L ? span : L;
      separate<T>(load_first(from + i * 2, low), load_first(from + i * 2 + low, span - low), even, odd);
      store_first(to + i, even, count - i);
    }
    return;
#endif
  }
  if (step == 4) {
    for (; i + L < count; i += L) {
      Vec<T> every[4];
      load_fourths(from + i * 4, every);
      store(to + i, every[0]);
    }
  }
  for (; i < count; ++i) to[i] = from[i * step];
}

template <class T>
void pick_rows(index rows, index count, const T* from, index pitch, index step, T* to) {
  for (index r = 0; r < rows; ++r) pick<T>(count, step, from + r * pitch, to + r * count);
}

template <class T>
void pad_row(index count, const index* table, index begin, index end, index first, index step,
             const T* source, T fill, T* row) {
  for (index i = 0; i < begin; ++i) row[i] = table[i] < 0 ? fill : source[table[i]];
  if (end > begin) pick<T>(end - begin, step, source + first + begin * step, row + begin);
  for (index i = end; i < count; ++i) row[i] = table[i] < 0 ? fill : source[table[i]];
}

template <class T>
void fold_row(index count, const index* table, index begin, index end, index first, index step, const T* row,
              T* target) {
  for (index i = 0; i < begin; ++i) {
    if (table[i] >= 0) target[table[i]] += row[i];
  }
  index i = begin;
  if (step == 1) {
    for (; i + kLanes<T> <= end; i += kLanes<T>)
      store(target + first + i, load(target + first + i) + load(row + i));
  }
  for (; i < end; ++i) target[first + i * step] += row[i];
  for (; i < count; ++i) {
    if (table[i] >= 0) target[table[i]] += row[i];
  }
}

template <class T>
void fill(index n, T value, T* y) {
  const Vec<T> v = splat<T>(value);
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(y + i, v);
  for (; i < n; ++i) y[i] = value;
}

template <class T, int MF, int NT>
TENFOLD_INLINE void dot_tile(index rows, index columns, const T* dy, index plane, const index* dy_row,
                             const T* x, const index* offset, const index* x_row, T* sums, index sums_stride,
                             bool resume) {
  Vec<T> sum[MF][NT];
#pragma GCC unroll 16
  for (int m = 0; m < MF; ++m) {
#pragma GCC unroll 16
    for (int j = 0; j < NT; ++j) sum[m][j] = resume ? load(sums + m * sums_stride + j * kLanes<T>) : Vec<T>{};
  }
  const T* taps[NT];
#pragma GCC unroll 16
  for (int j = 0; j < NT; ++j) taps[j] = x + offset[j];
  for (index r = 0; r < rows; ++r) {
    const T* d = dy + dy_row[r];
    const index shift = x_row[r];
    index i = 0;
    for (; i + kLanes<T> <= columns; i += kLanes<T>) {
      Vec<T> looks[NT];
#pragma GCC unroll 16
      for (int j = 0; j < NT; ++j) {
        looks[j] = load(taps[j] + shift + i);
        if (MF > 1) pin<T>(looks[j]);
      }
#pragma GCC unroll 16
      for (int m = 0; m < MF; ++m) {
        Vec<T> value = load(d + m * plane + i);
        pin<T>(value);
#pragma GCC unroll 16
        for (int j = 0; j < NT; ++j) sum[m][j] = fma<T>(value, looks[j], sum[m][j]);
      }
    }
    if (i < columns) {
      const index rest = columns - i;
      Vec<T> looks[NT];
#pragma GCC unroll 16
      for (int j = 0; j < NT; ++j) {
        looks[j] = load_first(taps[j] + shift + i, rest);
        if (MF > 1) pin<T>(looks[j]);
      }
#pragma GCC unroll 16
      for (int m = 0; m < MF; ++m) {
        Vec<T> value = load_first(d + m * plane + i, rest);
        pin<T>(value);
#pragma GCC unroll 16
        for (int j = 0; j < NT; ++j) sum[m][j] = fma<T>(value, looks[j], sum[m][j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < MF; ++m) {
#pragma GCC unroll 16
    for (int j = 0; j < NT; ++j) store(sums + m * sums_stride + j * kLanes<T>, sum[m][j]);
  }
}

// A full tile of NT taps, or what is left of one tap by tap.
template <class T, int MF, int NT>
void dot(index taps, index rows, index columns, const T* dy, index plane, const index* dy_row, const T* x,
         const index* offset, const index* x_row, T* sums, index sums_stride, bool resume) {
  if (taps == NT) {
    dot_tile<T, MF, NT>(rows, columns, dy, plane, dy_row, x, offset, x_row, sums, sums_stride, resume);
    return;
  }
  for (index j = 0; j < taps; ++j) {
    dot_tile<T, MF, 1>(rows, columns, dy, plane, dy_row, x, offset + j, x_row, sums + j * kLanes<T>,
                       sums_stride, resume);
  }
}

template <class T, int NT, int NV>
TENFOLD_INLINE void outer_tile(index pixels, const T* x, const index* offset, const index* position,
                               const T* dyt, T* sums, bool resume) {
  Vec<T> sum[NT][NV];
  const T* taps[NT];
#pragma GCC unroll 16
  for (int j = 0; j < NT; ++j) {
    taps[j] = x + offset[j];
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) sum[j][v] = resume ? load(sums + (j * NV + v) * kLanes<T>) : Vec<T>{};
  }
  for (index p = 0; p < pixels; ++p) {
    const index at = position[p];
    Vec<T> filters[NV];
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      filters[v] = load(dyt + v * kLanes<T>);
      pin<T>(filters[v]);
    }
#pragma GCC unroll 16
    for (int j = 0; j < NT; ++j) {
      const Vec<T> value = broadcast<T>(taps[j] + at);
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) sum[j][v] = fma<T>(value, filters[v], sum[j][v]);
    }
    dyt += NV * kLanes<T>;
  }
#pragma GCC unroll 16
  for (int j = 0; j < NT; ++j) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) store(sums + (j * NV + v) * kLanes<T>, sum[j][v]);
  }
}

template <class T, int NT, int NV>
void outer(index taps, index pixels, const T* x, const index* offset, const index* position, const T* dyt,
           T* sums, bool resume) {
  if (taps == NT) {
    outer_tile<T, NT, NV>(pixels, x, offset, position, dyt, sums, resume);
    return;
  }
  for (index j = 0; j < taps; ++j) {
    outer_tile<T, 1, NV>(pixels, x, offset + j, position, dyt, sums + j * NV * kLanes<T>, resume);
  }
}

template <class T>
void spread_row(index n, index count, index first, index step, const T* from, T value, T* row) {
  fill<T>(first, value, row);
  row += first, n -= first;
  index i = 0;
  if (step == 2) {
    for (; i + kLanes<T> <= count && 2 * (i + kLanes<T>) <= n; i += kLanes<T>) {
      Vec<T> low, high;
      interleave<T>(load(from + i), splat<T>(value), low, high);
      store(row + 2 * i, low);
      store(row + 2 * i + kLanes<T>, high);
    }
#if defined(TENFOLD_ISA_avx512)
    if (i < count) {
      const index left = n - 2 * i;
      const Vec<T> rest = splat<T>(value);
      Vec<T> low, high;
      interleave<T>(load_lanes<T>(rest, (uint32_t{1} << (count - i)) - 1, from + i), rest, low, high);
      store_first(row + 2 * i, low, left < kLanes<T> ? left : kLanes<T>);
      const index above = left - kLanes<T>;
      if (above > 0) store_first(row + 2 * i + kLanes<T>, high, above < kLanes<T> ? above : kLanes<T>);
      if (above > kLanes<T>) fill<T>(above - kLanes<T>, value, row + 2 * (i + kLanes<T>));
      return;
    }
#endif
  }
  fill<T>(n - i * step, value, row + i * step);
  for (; i < count; ++i) row[i * step] = from[i];
}

template <class T>
void pack_dy(index pixels, index filters, index width, const T* dy, index plane, T* dyt) {
  index p = 0;
#if defined(__SSE__)
  if constexpr (sizeof(T) == 4) {
    for (; p + 4 <= pixels; p += 4) {
      index f = 0;
      for (; f + 4 <= filters; f += 4) turn(dy + f * plane + p, plane, dyt + p * width + f, width);
      for (; f < width; ++f) {
        for (index q = p; q < p + 4; ++q) dyt[q * width + f] = f < filters ? dy[f * plane + q] : 0;
      }
    }
  }
#endif
  for (; p < pixels; ++p) {
    for (index f = 0; f < width; ++f) dyt[p * width + f] = f < filters ? dy[f * plane + p] : 0;
  }
}

template <class T>
T sum(index n, const T* x) {
  Vec<T> s0 = {}, s1 = {}, s2 = {}, s3 = {};
  index i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>) {
    s0 += load(x + i), s1 += load(x + i + kLanes<T>);
    s2 += load(x + i + 2 * kLanes<T>), s3 += load(x + i + 3 * kLanes<T>);
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) s0 += load(x + i);
  if (i < n) s1 += load_first(x + i, n - i);
  const Vec<T> all = (s0 + s1) + (s2 + s3);
  T lane[kLanes<T>];
  store(lane, all);
  T total = 0;
  for (index l = 0; l < kLanes<T>; ++l) total += lane[l];
  return total;
}

template <class T>
void mask(index n, const T* y, const T* dy, T at_zero, T* d) {
  const Vec<T> zero = {}, at = splat<T>(at_zero), one = zero + 1;
  const auto apply = [&](Vec<T> v, Vec<T> g) {
    // The sign of a zero shows in its reciprocal.
    const Vec<T> at_nought = select<T>(one / v > zero, g * at, zero);
    return select<T>(v > zero, g, select<T>(v == zero, at_nought, v));
  };
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(d + i, apply(load(y + i), load(dy + i)));
  if (i < n) store_first(d + i, apply(load_first(y + i, n - i), load_first(dy + i, n - i)), n - i);
}

// The tile of MR x NV and the narrower ones for the rest of a row of tiles.
template <class T, int MR, int NV>
constexpr void add_tiles(ConvKernels<T>& t) {
  t.tile[MR][NV] = tile<T, MR, NV>;
  if constexpr (NV > 1) add_tiles<T, MR, NV - 1>(t);
}

template <class T>
constexpr ConvKernels<T> make_table() {
  ConvKernels<T> t = {};
  t.lanes = kLanes<T>;
  t.joins_rows = kJoinsRows<T>;
#define TENFOLD_TILE(MR, NV) t.vectors[MR] = NV, add_tiles<T, MR, NV>(t)
#if TENFOLD_VECTOR_REGISTERS == 32
  TENFOLD_TILE(1, 8);
  TENFOLD_TILE(2, 8);
  TENFOLD_TILE(3, 7);
  TENFOLD_TILE(4, 6);
  TENFOLD_TILE(5, 5);
  TENFOLD_TILE(6, 4);
  TENFOLD_TILE(7, 3);
  TENFOLD_TILE(8, 3);
  TENFOLD_TILE(9, 3);
  TENFOLD_TILE(10, 2);
  TENFOLD_TILE(11, 2);
  TENFOLD_TILE(12, 2);
  t.max_rows = 12;
  t.dot_filters = 6;
#define TENFOLD_DOT(MF, NT) t.dot_taps[MF] = NT, t.dot[MF] = dot<T, MF, NT>
  TENFOLD_DOT(1, 9);
  TENFOLD_DOT(2, 9);
  TENFOLD_DOT(3, 7);
  TENFOLD_DOT(4, 5);
  TENFOLD_DOT(5, 5);
  TENFOLD_DOT(6, 4);
  t.outer_vectors = 4;
#define TENFOLD_OUTER(NV, NT) t.outer_taps[NV] = NT, t.outer[NV] = outer<T, NT, NV>
  TENFOLD_OUTER(1, 9);
  TENFOLD_OUTER(2, 9);
  TENFOLD_OUTER(3, 8);
  TENFOLD_OUTER(4, 6);
#else
  TENFOLD_TILE(1, 8);
  TENFOLD_TILE(2, 4);
  TENFOLD_TILE(3, 3);
#if defined(TENFOLD_ISA_avx2)
  TENFOLD_TILE(4, 3);
#else  // without a fused multiply-add a product needs a register
  TENFOLD_TILE(4, 2);
#endif
  TENFOLD_TILE(5, 2);
  TENFOLD_TILE(6, 2);
  t.max_rows = 6;
  t.dot_filters = 4;
#define TENFOLD_DOT(MF, NT) t.dot_taps[MF] = NT, t.dot[MF] = dot<T, MF, NT>
  TENFOLD_DOT(1, 9);
  TENFOLD_DOT(2, 5);
  TENFOLD_DOT(3, 3);
  TENFOLD_DOT(4, 2);
  t.outer_vectors = 2;
#define TENFOLD_OUTER(NV, NT) t.outer_taps[NV] = NT, t.outer[NV] = outer<T, NT, NV>
  TENFOLD_OUTER(1, 8);
  TENFOLD_OUTER(2, 6);
#endif
  t.scatter = scatter<T>;
  t.scatter_pair = scatter_pair<T>;
  t.pack_panel = pack_panel<T>;
  t.pack_pairs = pack_pairs<T>;
  t.pack_weights = pack_weights<T>;
  t.pad_row = pad_row<T>;
  t.fold_row = fold_row<T>;
  t.fill = fill<T>;
  t.pick_rows = pick_rows<T>;
  t.spread_row = spread_row<T>;
  t.pack_dy = pack_dy<T>;
  t.sum = sum<T>;
  t.mask = mask<T>;
  return t;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(ConvKernels, make_table)
