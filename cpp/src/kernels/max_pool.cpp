// Vectors lie along the width of the output. A tap of stride 1 is a plain load, a tap of stride 2 every
// second element of two loads; larger strides go element by element. Columns whose window sticks out of the
// input are peeled.
#include "kernels/max_pool.h"

#include "kernels/max_pool_common.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Whether part of a vector of positions moves like one of elements of the same size: only bits move.
#if defined(TENFOLD_ISA_avx512)
template <class T, class P>
constexpr bool kMovesAlike = sizeof(P) == sizeof(T);
#else
template <class T, class P>
constexpr bool kMovesAlike = false;
#endif

template <class T>
TENFOLD_INLINE Mask<T> iota() {
  if constexpr (kLanes<T> == 16) {
    return Mask<T>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  } else if constexpr (kLanes<T> == 8) {
    return Mask<T>{0, 1, 2, 3, 4, 5, 6, 7};
  } else if constexpr (kLanes<T> == 4) {
    return Mask<T>{0, 1, 2, 3};
  } else {
    return Mask<T>{0, 1};
  }
}

// Calls f(k, v) for the taps k of one row: v holds p[i * kStride + k * dilation] for the outputs i = 0 ..
// m-1, and nothing behind the last one is read. kWhole: m = kLanes. kTaps: the number of taps, of dilation 1;
// 0 if not known.
template <int kStride, int kTaps, bool kWhole, class T, class F>
TENFOLD_INLINE void each_tap(const T* p, index taps, index dilation, index m, F&& f) {
  constexpr index n = kLanes<T>;
  if constexpr (kTaps == 2 && kStride == 2) {
    const Vec<T> a = load_part<kWhole>(p, 2 * m);
    const Vec<T> b = load_part<kWhole>(p + n, 2 * m - n);
    f(0, evens<T>(a, b));
    f(1, odds<T>(a, b));
  } else if constexpr (kTaps == 3 && kStride == 2) {
    const Vec<T> a = load_part<kWhole>(p, 2 * m);
    const Vec<T> b = load_part<kWhole>(p + n, 2 * m - n);
    f(0, evens<T>(a, b));
    f(1, odds<T>(a, b));
    f(2, evens_odds<T>(load_part<kWhole>(p + 2, 2 * m - 1), load_part<kWhole>(p + n + 1, 2 * m - n)));
  } else {
    const index count = kTaps > 0 ? kTaps : taps;
    for (index k = 0; k < count; ++k, p += kTaps > 0 ? 1 : dilation) {
      if constexpr (kStride == 2) {
        f(k, evens_odds<T>(load_part<kWhole>(p, 2 * m - 1), load_part<kWhole>(p + n - 1, 2 * m - n)));
      } else {
        f(k, load_part<kWhole>(p, m));
      }
    }
  }
}

// P, where it is kept which element is the maximum: TapNumber or Position; None where it is not.
struct None {};
template <class P>
constexpr bool kTapNumbers = __is_same(P, TapNumber);
template <class P>
constexpr bool kKept = !__is_same(P, None);

// The taps of output o that lie inside: first, first + dilation, ... (count of them, from tap `tap` on).
struct Inside {
  index first, count, tap;
};
TENFOLD_INLINE Inside taps_inside(const PoolAxis& a, index o) {
  const auto taps = [&](index n) { return a.dilation == 1 ? n : (n + a.dilation - 1) / a.dilation; };
  const index start = o * a.stride - a.pad;
  const index begin = start < 0 ? taps(-start) : 0;
  const index room = a.size - start;
  const index end = room <= 0 ? 0 : least(a.kernel, taps(room));
  return {start + begin * a.dilation, end > begin ? end - begin : 0, begin};
}

// The rows of the input that the windows of one output row look at.
struct Rows {
  index first;           // offset of the first row in the plane
  index nd, nh;          // how many in depth and height
  index step_d, step_h;  // offsets between them
  index tap;             // number of the first row's first tap, whether inside or not
  index taps_d, taps_h;  // ... and what is added to it
  // What P calls tap 0 of a row, were it inside and at column 0.
  template <class P>
  index name(index d, index h) const {
    return kTapNumbers<P> ? tap + d * taps_d + h * taps_h : first + d * step_d + h * step_h;
  }
};
TENFOLD_INLINE Rows rows_inside(const PoolGeometry& g, index od, index oh) {
  const Inside d = taps_inside(g.d, od), h = taps_inside(g.h, oh);
  const index taps_h = g.w.kernel, taps_d = g.h.kernel * taps_h;
  return {(d.first * g.h.size + h.first) * g.w.size,
          d.count,
          h.count,
          g.d.dilation * g.h.size * g.w.size,
          g.h.dilation * g.w.size,
          d.tap * taps_d + h.tap * taps_h,
          taps_d,
          taps_h};
}

template <class P>
TENFOLD_INLINE P* later(P* p, index count) {
  return kKept<P> ? p + count : p;
}

template <class T>
TENFOLD_INLINE bool replaces(T v, T best) {
  return v > best || (v != v && best == best);
}

#if defined(TENFOLD_ISA_avx512)
template <class T, class P>
TENFOLD_INLINE void store_positions_bits(P* p, Bits<T> bits, Mask<T> v) {
  if constexpr (kTapNumbers<P>) {
    __m128i bytes;
    if constexpr (sizeof(T) == 4) {
      bytes = _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v);
    } else {
      bytes = _mm512_maskz_cvtepi64_epi8(0xff, (__m512i)v);
    }
    _mm_mask_storeu_epi8(p, bits, bytes);
  } else if constexpr (sizeof(T) == sizeof(P)) {
    store_bits<T>(reinterpret_cast<T*>(p), bits, (Vec<T>)v);
  } else {
    typedef P Packed __attribute__((vector_size(kLanes<T> * sizeof(P))));
    const Packed packed = __builtin_convertvector(v, Packed);
    __m512i halves[2];
    __builtin_memcpy(halves, &packed, sizeof packed);
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>(bits), halves[0]);
    _mm512_mask_storeu_epi64(p + 8, static_cast<__mmask8>(bits >> 8), halves[1]);
  }
}
#endif

// P of m outputs from the lanes of v
template <bool kWhole, class T, class P>
TENFOLD_INLINE void store_positions(P* p, Mask<T> v, index m) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (kTapNumbers<P>) {
    store_positions_bits<T>(p, first_bits<T>(m), v);
    return;
  }
#endif
#if defined(TENFOLD_ISA_avx2)
  if constexpr (kTapNumbers<P> && kWhole && sizeof(T) == 4) {
    const __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
    const __m128i words = _mm_packs_epi32(low, high);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
    return;
  }
#endif
  if constexpr (kTapNumbers<P> && kWhole) {
    // The compiler takes a conversion to bytes apart, which is slower than this.
    decltype(Mask<T>{}[0] + 0) lanes[kLanes<T>];
    __builtin_memcpy(lanes, &v, sizeof lanes);
    for (index i = 0; i < kLanes<T>; ++i) p[i] = static_cast<P>(lanes[i]);
    return;
  }
  typedef P Packed __attribute__((vector_size(kLanes<T> * sizeof(P))));
  const Packed packed = __builtin_convertvector(v, Packed);
  if constexpr (kWhole) {
    static_cast<void>(m);
    __builtin_memcpy(p, &packed, sizeof packed);
  } else if constexpr (kMovesAlike<T, P>) {
    store_first(reinterpret_cast<T*>(p), reinterpret_cast<Vec<T>>(v), m);
  } else {
    P lanes[kLanes<T>];
    __builtin_memcpy(lanes, &packed, sizeof packed);
    for (index i = 0; i < m; ++i) p[i] = lanes[i];
  }
}

// Outputs ow .. ow + m - 1 of a row, all taps inside.
template <int kStride, int kTaps, bool kWhole, class T, class P>
TENFOLD_INLINE void max_block(const PoolAxis& w, const Rows& rows, const T* x, index ow, index m, T* y,
                              P* positions) {
  const index origin = ow * kStride - w.pad;
  Vec<T> best = {};
  Mask<T> chosen = splat_int<T>(rows.name<P>(0, 0));  // of a position less the output's own column
  bool started = false;
  for (index d = 0; d < rows.nd; ++d) {
    for (index h = 0; h < rows.nh; ++h) {
      const index row = rows.first + d * rows.step_d + h * rows.step_h, name = rows.name<P>(d, h);
      each_tap<kStride, kTaps, kWhole>(x + row + origin, w.kernel, w.dilation, m, [&](index k, Vec<T> v) {
        if (k == 0 && !started) {
          best = v;
          started = true;
          return;
        }
        const Mask<T> take = (v > best) | ((v != v) & (best == best));
        best = select<T>(take, v, best);
        if constexpr (kKept<P>) {
          chosen = take ? splat_int<T>(name + k * (kTapNumbers<P> ? 1 : w.dilation)) : chosen;
        }
      });
    }
  }
  if constexpr (kWhole) {
    store(y + ow, best);
  } else {
    store_first(y + ow, best, m);
  }
  if constexpr (kKept<P>) {
    if constexpr (!kTapNumbers<P>) chosen += splat_int<T>(origin) + iota<T>() * kStride;
    store_positions<kWhole, T>(positions + ow, chosen, m);
  }
}

#if defined(TENFOLD_ISA_avx2)
// n = 8 or 4 floats.
template <int n>
using Floats = Vec<float, n>;
template <int n>
struct Ints {
  typedef int32_t vector __attribute__((vector_size(n * sizeof(int32_t)), may_alias));
};

// Every second element of a followed by b, in quads: outputs 0 1 4 5 2 3 6 7 of eight. One instruction, where their order
// takes two.
template <int kFirstOfA, int kFirstOfB, int n>
TENFOLD_INLINE Floats<n> second_quads(Floats<n> a, Floats<n> b) {
  constexpr int kLanesOf = _MM_SHUFFLE(kFirstOfB + 2, kFirstOfB, kFirstOfA + 2, kFirstOfA);
  if constexpr (n == 8) {
    return (Floats<n>)_mm256_shuffle_ps((__m256)a, (__m256)b, kLanesOf);
  } else {
    return (Floats<n>)_mm_shuffle_ps((__m128)a, (__m128)b, kLanesOf);
  }
}
template <class V>
TENFOLD_INLINE V order_quads(V v) {
  if constexpr (sizeof v == 32) {
    return (V)_mm256_permute4x64_pd((__m256d)v, _MM_SHUFFLE(3, 1, 2, 0));
  } else {
    return v;
  }
}
// v where it is greater, else best.
template <int n>
TENFOLD_INLINE Floats<n> greater(Floats<n> v, Floats<n> best) {
  if constexpr (n == 8) {
    return (Floats<n>)_mm256_max_ps((__m256)v, (__m256)best);
  } else {
    return (Floats<n>)_mm_max_ps((__m128)v, (__m128)best);
  }
}
template <int n>
TENFOLD_INLINE bool any_nan(Floats<n> v) {
  if constexpr (n == 8) {
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, (__m256)v, _CMP_UNORD_Q)) != 0;
  } else {
    return _mm_movemask_ps(_mm_cmpunord_ps((__m128)v, (__m128)v)) != 0;
  }
}

// max_block of n outputs with a stride of 2 where there is no NaN; says whether there was none.
template <int kTaps, int n, class P>
TENFOLD_INLINE bool max_numbers(const PoolAxis& w, const Rows& rows, const float* x, index ow, float* y,
                                P* positions) {
  typedef Floats<n> V;
  typedef typename Ints<n>::vector Numbers;
  const index origin = ow * 2 - w.pad;
  V best = {}, sum = {};
  Numbers chosen = {};
  bool started = false;
  for (index d = 0; d < rows.nd; ++d) {
    for (index h = 0; h < rows.nh; ++h) {
      const float* const p = x + rows.first + d * rows.step_d + h * rows.step_h + origin;
      const V a = load<float, n>(p), b = load<float, n>(p + n);
      V tap[3] = {second_quads<0, 0, n>(a, b), second_quads<1, 1, n>(a, b)};
      if constexpr (kTaps == 3)
        tap[2] = second_quads<0, 1, n>(load<float, n>(p + 2), load<float, n>(p + n + 1));
      // An infinity of each sign makes a NaN as well, which costs the time of max_block.
      sum += a + b;
      if constexpr (kTaps == 3) sum += tap[2];
      Numbers name = Numbers{} + static_cast<int32_t>(rows.name<P>(d, h));
#pragma GCC unroll 3
      for (int k = 0; k < kTaps; ++k, name += 1) {
        if (k == 0 && !started) {
          best = tap[0];
          chosen = name;
          started = true;
          continue;
        }
        if constexpr (kKept<P>) chosen = tap[k] > best ? name : chosen;
        best = greater<n>(tap[k], best);
      }
    }
  }
  if (any_nan<n>(sum)) return false;
  store<float, n>(y + ow, order_quads(best));
  if constexpr (kKept<P>) {
    chosen = order_quads(chosen);
    if constexpr (!kTapNumbers<P>) {
      for (int i = 0; i < n; ++i) chosen[i] += static_cast<int32_t>(origin + 2 * i);
    }
    if constexpr (n == kLanes<float>) {
      store_positions<true, float>(positions + ow, chosen, n);
    } else {
      for (int i = 0; i < n; ++i) positions[ow + i] = static_cast<P>(chosen[i]);
    }
  }
  return true;
}
#endif

template <int kStride, int kTaps, class T, class P>
TENFOLD_INLINE void max_inner(const PoolAxis& w, const Rows& rows, const T* x, T* y, P* positions) {
  constexpr index n = kLanes<T>;
  const index count = w.inner_end - w.inner_begin;
  if (count >= n) {
    for (index ow = w.inner_begin; ow < w.inner_end; ow += n) {
      // The last block overlaps the one before it; computing an output twice does no harm.
      const index first = least(ow, w.inner_end - n);
#if defined(TENFOLD_ISA_avx2)
      if constexpr (kStride == 2 && kTaps > 0 && sizeof(T) == 4) {
        if (max_numbers<kTaps, n>(w, rows, x, first, y, positions)) continue;
      }
#endif
      max_block<kStride, kTaps, true>(w, rows, x, first, n, y, positions);
    }
    return;
  }
#if defined(TENFOLD_ISA_avx2)
  if constexpr (kStride == 2 && kTaps > 0 && sizeof(T) == 4) {
    if (count >= 4 && max_numbers<kTaps, 4>(w, rows, x, w.inner_begin, y, positions) &&
        (count == 4 || max_numbers<kTaps, 4>(w, rows, x, w.inner_end - 4, y, positions)))
      return;
  }
#endif
  if (count > 0) {
    max_block<kStride, kTaps, false>(w, rows, x, w.inner_begin, count, y, positions);
  }
}

// Outputs begin .. end - 1 of a row, element by element, taps outside left out.
template <class T, class P>
void max_edge(const PoolAxis& w, const Rows& rows, const T* x, index begin, index end, T* y, P* positions) {
  for (index ow = begin; ow < end; ++ow) {
    const Inside taps = taps_inside(w, ow);
    T best = static_cast<T>(-__builtin_inf());
    index where = -1;
    if (rows.nd > 0 && rows.nh > 0 && taps.count > 0) {
      where = rows.name<P>(0, 0) + (kTapNumbers<P> ? taps.tap : taps.first);
      best = x[rows.first + taps.first];
      for (index d = 0; d < rows.nd; ++d) {
        for (index h = 0; h < rows.nh; ++h) {
          index at = rows.first + d * rows.step_d + h * rows.step_h + taps.first;
          for (index k = 0; k < taps.count; ++k, at += w.dilation) {
            const T v = x[at];
            if constexpr (!kKept<P>) {
              const T larger = v > best ? v : best;
              best = v != v ? v : larger;
            } else if (replaces(v, best)) {
              best = v;
              where = kTapNumbers<P> ? rows.name<P>(d, h) + taps.tap + k : at;
            }
          }
        }
      }
    }
    y[ow] = best;
    if constexpr (kKept<P>) positions[ow] = static_cast<P>(where);  // -1 is kNoTap
  }
}

template <class T, class P>
void max_plane(const PoolGeometry& g, const T* x, T* y, P* positions) {
  const PoolAxis& w = g.w;
  const bool dense = w.dilation == 1;
  for (index od = 0; od < g.d.output; ++od) {
    for (index oh = 0; oh < g.h.output; ++oh) {
      const Rows rows = rows_inside(g, od, oh);
      if (rows.nd == 0 || rows.nh == 0 || w.stride > 2) {
        max_edge(w, rows, x, 0, w.output, y, positions);
      } else {
        max_edge(w, rows, x, 0, w.inner_begin, y, positions);
        if (w.stride == 2 && w.kernel == 2 && dense) {
          max_inner<2, 2>(w, rows, x, y, positions);
        } else if (w.stride == 2 && w.kernel == 3 && dense) {
          max_inner<2, 3>(w, rows, x, y, positions);
        } else if (w.stride == 2) {
          max_inner<2, 0>(w, rows, x, y, positions);
        } else if (w.kernel == 3 && dense) {
          max_inner<1, 3>(w, rows, x, y, positions);
        } else {
          max_inner<1, 0>(w, rows, x, y, positions);
        }
        max_edge(w, rows, x, w.inner_end, w.output, y, positions);
      }
      y += w.output;
      if constexpr (kKept<P>) positions += w.output;
    }
  }
}

#if defined(TENFOLD_ISA_avx512)
// ---- maxima of a stride of 2 or more along the width
//
// Two vectors hold 2 n columns of a row of the input, or the same row of two narrow planes. Permutations pick
// the taps from both; the maxima of a row go into one window and, where the next window begins with that row,
// into the next. Where a tap lies outside, its lane looks once more at the nearest tap inside, which is not
// greater than itself: borders need no other care.

constexpr index kMostTaps = 8;       // along the width: permutations are kept for each
constexpr index kFewestOutputs = 4;  // of a block, below which single elements are as fast

// Input of the rows that are walked down before the next block of columns. Few, so that memory is read nearly in order:
// 16 KB took 1.2 times as long where the input lies in no cache.
constexpr index kStripBytes = 4 * 1024;

// Lanes in which v is greater than best; kNan: or the first NaN.
template <bool kNan, class T>
TENFOLD_INLINE Bits<T> replaced(Vec<T> v, Vec<T> best) {
  if constexpr (sizeof(T) == 4) {
    const __m512 a = (__m512)v, b = (__m512)best;
    if constexpr (!kNan) return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NLE_UQ);
  } else {
    const __m512d a = (__m512d)v, b = (__m512d)best;
    if constexpr (!kNan) return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ);
    return _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NLE_UQ);
  }
}
// Lanes in which a or b is NaN.
template <class T>
TENFOLD_INLINE Bits<T> unordered(Vec<T> a, Vec<T> b) {
  if constexpr (sizeof(T) == 4) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_UNORD_Q);
  } else {
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_UNORD_Q);
  }
}
// v where it is greater, else best.
template <class T>
TENFOLD_INLINE Vec<T> greater(Vec<T> v, Vec<T> best) {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_max_ps(0xffff, (__m512)v, (__m512)best);
  } else {
    return (Vec<T>)_mm512_maskz_max_pd(0xff, (__m512d)v, (__m512d)best);
  }
}
// Some outputs of a row: those from `first` on, of the 2 n columns from `column` on.
template <class T>
struct Block {
  index first, column;
  Bits<T> columns[2], outputs[2];  // lanes to load; lanes to store, of the first and of the second plane
  Mask<T> tap[kMostTaps];          // the lanes of a tap
  Mask<T> number[kMostTaps];       // which taps these are, where a lane looks at another one
  template <class P>
  __attribute__((always_inline)) Mask<T> name(index k) const {
    return kTapNumbers<P> ? number[k] : tap[k];
  }
};

// kNumbers: tap numbers are wanted too.
template <bool kNumbers, class T>
void make_block(const PoolAxis& w, index first, index outputs, index column, bool two_planes,
                Block<T>& block) {
  constexpr index n = kLanes<T>;
  block.first = first, block.column = column;
  block.columns[0] = first_bits<T>(w.size - column);
  block.columns[1] = two_planes ? block.columns[0] : first_bits<T>(w.size - column - n);
  block.outputs[0] = first_bits<T>(outputs);
  block.outputs[1] = two_planes ? static_cast<Bits<T>>(block.outputs[0] << outputs) : Bits<T>{0};
  // Lanes of the second plane repeat the first one's, n further; what is in lanes without an output is not stored.
  const Mask<T> second = two_planes ? iota<T>() >= splat_int<T>(outputs) : Mask<T>{};
  const Mask<T> output = splat_int<T>(first) + iota<T>() - (second & splat_int<T>(outputs));
  const Mask<T> lane = output * splat_int<T>(w.stride) - splat_int<T>(w.pad + column);
  const Mask<T> begin = splat_int<T>(-column), end = splat_int<T>(w.size - column);
  Mask<T> later = {}, later_number = {};
  for (index k = w.kernel - 1; k >= 0; --k) {  // outside on the left: the next tap that is inside
    const Mask<T> at = lane + splat_int<T>(k * w.dilation), inside = at >= begin;
    block.tap[k] = later = inside ? at : later;
    if constexpr (kNumbers) block.number[k] = later_number = inside ? splat_int<T>(k) : later_number;
  }
  for (index k = 1; k < w.kernel; ++k) {  // outside on the right: the tap before
    const Mask<T> inside = lane + splat_int<T>(k * w.dilation) < end;
    block.tap[k] = inside ? block.tap[k] : block.tap[k - 1];
    if constexpr (kNumbers) block.number[k] = inside ? block.number[k] : block.number[k - 1];
  }
  for (index k = 0; k < w.kernel; ++k) block.tap[k] += second & splat_int<T>(n);
}

// Maxima and their positions.
template <class T>
struct Maxima {
  Vec<T> best;
  Mask<T> at;
  template <bool kNan, class P>
  __attribute__((always_inline)) void take(Vec<T> v, Mask<T> position) {
    if constexpr (!kNan && !kKept<P>) {
      best = greater<T>(v, best);
      return;
    }
    const Bits<T> bits = replaced<kNan, T>(v, best);
    best = kNan ? blend<T>(bits, v, best) : greater<T>(v, best);
    if constexpr (kKept<P>) at = (Mask<T>)blend<T>(bits, (Vec<T>)position, (Vec<T>)at);
  }
};

// The maxima over one row, whose columns lie at x and at `second`; what lies `ahead` is read soon. Without kNan, NaN is not looked for but noted.
template <int kTaps, bool kNan, class P, class T>
TENFOLD_INLINE Maxima<T> across(const Block<T>& block, index kernel, const T* x, const T* second,
                                index position, index ahead, Bits<T>& nan) {
  const Vec<T> a = load_bits<T>(block.columns[0], x), b = load_bits<T>(block.columns[1], second);
  __builtin_prefetch(x + ahead);
  __builtin_prefetch(second + ahead);
  if constexpr (!kNan) nan |= unordered<T>(a, b);
  Maxima<T> maxima{pick<T>(a, block.tap[0], b), block.template name<P>(0)};
  const index taps = kTaps > 0 ? kTaps : kernel;
#pragma GCC unroll 3
  for (index k = 1; k < taps; ++k) {
    maxima.template take<kNan, P>(pick<T>(a, block.tap[k], b), block.template name<P>(k));
  }
  if constexpr (__is_same(P, Position)) maxima.at += splat_int<T>(position);
  return maxima;
}

// Where the second vector of a block and the outputs of its lanes lie, from the first ones: in another plane, or
// just behind. What lies `ahead` elements further is read soon.
struct Offsets {
  index columns, outputs, ahead;
};

// Output rows begin .. end - 1 of one block.
template <int kTaps, bool kNan, class T, class P>
TENFOLD_INLINE void max_down(const PoolGeometry& g, const Block<T>& block, index begin, index end, const T* x,
                             const Offsets& offsets, T* y, P* positions);

// Rows that hold a NaN.
template <int kTaps, class T, class P>
__attribute__((noinline)) void max_down_nan(const PoolGeometry& g, const Block<T>& block, index begin,
                                            index end, const T* x, const Offsets& offsets, T* y,
                                            P* positions) {
  max_down<0, true>(g, block, begin, end, x, offsets, y, positions);
}

template <int kTaps, bool kNan, class T, class P>
TENFOLD_INLINE void max_down(const PoolGeometry& g, const Block<T>& block, index begin, index end, const T* x,
                             const Offsets& offsets, T* y, P* positions) {
  const PoolAxis &h = g.h, &w = g.w;
  index carried = -1;  // the row whose maxima the window before ended with
  Maxima<T> last = {};
  Bits<T> nan = 0;
  // The permutations count lanes of the second plane as columns behind those of the first.
  const Mask<T> second = (Mask<T>)blend<T>(block.outputs[1], (Vec<T>)splat_int<T>(kLanes<T>), Vec<T>{});
  const Bits<T> outputs0 = block.outputs[0], outputs1 = block.outputs[1];
  x += block.column;
  y += begin * w.output + block.first;
  positions = later(positions, begin * w.output + block.first);
  for (index oh = begin; oh < end; ++oh, y += w.output, positions = later(positions, w.output)) {
    Inside rows{oh * h.stride - h.pad, h.kernel, 0};
    if (oh < h.inner_begin || oh >= h.inner_end) rows = taps_inside(h, oh);
    const auto row = [&](index r) __attribute__((always_inline)) {
      const T* at = x + r * w.size;
      return across<kTaps, kNan, P>(block, w.kernel, at, at + offsets.columns, r * w.size + block.column,
                                    offsets.ahead, nan);
    };
    Maxima<T> maxima = rows.first == carried ? last : row(rows.first);
    // A row's maxima know the tap's column; its row depends on the window.
    const auto tap_row = [&](index k) __attribute__((always_inline)) {
      return kTapNumbers<P> ? splat_int<T>((rows.tap + k) * w.kernel) : Mask<T>{};
    };
    if constexpr (kTapNumbers<P>) maxima.at += tap_row(0);
    const auto next = [&](index k) __attribute__((always_inline)) {
      last = row(rows.first + k * h.dilation);
      maxima.template take<kNan, P>(last.best, last.at + tap_row(k));
    };
    if (kTaps > 0 && rows.count == kTaps) {
#pragma GCC unroll 3
      for (index k = 1; k < kTaps; ++k) next(k);
    } else {
      for (index k = 1; k < rows.count; ++k) next(k);
    }
    if (rows.count > 1) carried = rows.first + (rows.count - 1) * h.dilation;
    store_bits<T>(y, outputs0, maxima.best);
    if (outputs1) store_bits<T>(y + offsets.outputs, outputs1, maxima.best);
    if constexpr (kKept<P>) {
      const Mask<T> at = kTapNumbers<P> ? maxima.at : maxima.at - second;
      store_positions_bits<T>(positions, outputs0, at);
      if (outputs1) store_positions_bits<T>(positions + offsets.outputs, outputs1, at);
    }
  }
  if constexpr (!kNan) {
    if (nan) {
      y -= end * w.output + block.first;
      positions = later(positions, -(end * w.output + block.first));
      max_down_nan<kTaps>(g, block, begin, end, x - block.column, offsets, y, positions);
    }
  }
}

// Planes whose rows fit into a vector, and the outputs of two rows too.
template <int kTaps, class T, class P>
TENFOLD_INLINE void max_two_planes(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
  const index in = g.h.size * g.w.size, out = g.h.output * g.w.output;
  Block<T> block;
  make_block<kTapNumbers<P>>(g.w, 0, g.w.output, 0, true, block);
  for (index p = 0; p < planes; p += 2) {
    if (p + 1 == planes) block.columns[1] = block.outputs[1] = 0;
    // The second plane's lanes begin behind the first one's.
    max_down<kTaps, false>(g, block, 0, g.h.output, x + p * in, {in, out - g.w.output, 2 * in}, y + p * out,
                           later(positions, p * out));
  }
}

constexpr int kMostRightBlocks = 2;

// The first block, those whose loads and windows lie inside, the rest.
struct Blocks {
  index outputs, inner, right;  // outputs of a block; numbers of blocks
};
template <class T>
TENFOLD_INLINE Blocks cut_row(const PoolAxis& w, index outputs) {
  constexpr index n = kLanes<T>;
  index inner = 0, o = outputs;
  for (; o + outputs <= w.output; o += outputs, ++inner) {
    const index column = o * w.stride - w.pad;
    if (column < 0 || column + 2 * n > w.size) break;
  }
  return {outputs, inner, most(0, (w.output - o + outputs - 1) / outputs)};
}

template <int kTaps, class T, class P>
TENFOLD_INLINE void max_blocks(const PoolGeometry& g, const Blocks& cut, index planes, const T* x, T* y,
                               P* positions) {
  constexpr index n = kLanes<T>;
  const PoolAxis &h = g.h, &w = g.w;
  const index m = cut.outputs;
  const auto make = [&](index first, index column, Block<T>& block) {
    make_block<kTapNumbers<P>>(w, first, m, column, false, block);
  };
  Block<T> edges[1 + kMostRightBlocks], inner;
  make(0, 0, edges[0]);
  if (cut.inner > 0) make(m, m * w.stride - w.pad, inner);
  for (index i = 0; i < cut.right; ++i) {
    // The last one overlaps the one before it; computing an output twice does no harm.
    const index first = least((1 + cut.inner + i) * m, w.output - m);
    const index column = most(0, least(first * w.stride - w.pad, w.size - 2 * n));
    make(first, column, edges[1 + i]);
  }
  const index strip = most(1, kStripBytes / (h.stride * w.size * static_cast<index>(sizeof(T))));
  for (index p = 0; p < planes; ++p) {
    for (index begin = 0; begin < h.output; begin += strip) {
      const index end = least(begin + strip, h.output);
      const auto down = [&](const Block<T>& block) __attribute__((always_inline)) {
        max_down<kTaps, false>(g, block, begin, end, x, {n, 0, strip * h.stride * w.size}, y, positions);
      };
      for (index i = 0; i < 1 + cut.inner + cut.right; ++i) {
        const bool inside = 0 < i && i <= cut.inner;
        if (inside) inner.first = i * m, inner.column = i * m * w.stride - w.pad;
        down(inside ? inner : edges[i == 0 ? 0 : i - cut.inner]);
      }
    }
    x += h.size * w.size;
    y += h.output * w.output;
    positions = later(positions, h.output * w.output);
  }
}

// Whether every output of an axis has a tap inside.
TENFOLD_INLINE bool all_inside(const PoolAxis& a) {
  for (index o = 0; o < a.output; ++o) {
    if (o == a.inner_begin && a.inner_end > o) o = a.inner_end;
    if (o < a.output && taps_inside(a, o).count == 0) return false;
  }
  return true;
}

// False where the form for single rows must take it.
template <class T, class P>
bool max_by_permutations(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
  constexpr index n = kLanes<T>;
  const PoolAxis& w = g.w;
  const index extent = (w.kernel - 1) * w.dilation + 1;
  if (!flat(g) || w.stride < 2 || w.kernel > kMostTaps || extent > n || w.output == 0 || !all_inside(w) ||
      !all_inside(g.h)) {
    return false;
  }
  const auto by_taps = [&](const auto& body) __attribute__((always_inline)) {
    if (w.kernel == 2 && g.h.kernel == 2) {
      body(Number<2>{});
    } else if (w.kernel == 3 && g.h.kernel == 3) {
      body(Number<3>{});
    } else {
      body(Number<0>{});
    }
  };
  if (w.size <= n && 2 * w.output <= n) {
    by_taps([&](auto taps) __attribute__((always_inline)) {
      max_two_planes<decltype(taps)::value>(g, planes, x, y, positions);
    });
    return true;
  }
  const index outputs = least(w.output, least(n, (2 * n - extent) / w.stride + 1));
  const Blocks cut = cut_row<T>(w, outputs);
  if (outputs < least(w.output, kFewestOutputs) || cut.right > kMostRightBlocks) return false;
  by_taps([&](auto taps) __attribute__((always_inline)) {
    max_blocks<decltype(taps)::value>(g, cut, planes, x, y, positions);
  });
  return true;
}
#endif

template <class T, class P>
void max_planes(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
#if defined(TENFOLD_ISA_avx512)
  if (max_by_permutations(g, planes, x, y, positions)) return;
#endif
  const index in = g.d.size * g.h.size * g.w.size, out = g.d.output * g.h.output * g.w.output;
  for (index p = 0; p < planes; ++p) {
    max_plane(g, x + p * in, y + p * out, later(positions, p * out));
  }
}

template <class T>
void max_values(const PoolGeometry& g, index planes, const T* x, T* y) {
  max_planes(g, planes, x, y, static_cast<None*>(nullptr));
}
template <class T, class P>
void max_kept(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
  max_planes(g, planes, x, y, positions);
}

template <class T>
constexpr MaxPoolKernels<T> make_table() {
  return {max_values<T>, max_kept<T, TapNumber>, max_kept<T, Position>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(MaxPoolKernels, make_table)
