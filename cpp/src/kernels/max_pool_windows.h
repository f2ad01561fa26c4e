// Windows of max-pooling, and what is kept of their maxima.
#pragma once

#include "kernels/bytes.h"
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

// Whether every output of an axis has a tap inside.
TENFOLD_INLINE bool all_inside(const PoolAxis& a) {
  for (index o = 0; o < a.output; ++o) {
    if (o == a.inner_begin && a.inner_end > o) o = a.inner_end;
    if (o < a.output && taps_inside(a, o).count == 0) return false;
  }
  return true;
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

// Input of the rows that are walked down before the next block of columns. Few, so that memory is read nearly in order:
// 16 KB took 1.2 times as long where the input lies in no cache.
constexpr index kStripBytes = 4 * 1024;

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
    _mm_mask_storeu_epi8(p, bits, low_bytes<T>(v));
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

// P of m outputs from the lanes of v.
template <bool kWhole, class T, class P>
TENFOLD_INLINE void store_positions(P* p, Mask<T> v, index m) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (kTapNumbers<P>) {
    store_positions_bits<T>(p, first_bits<T>(m), v);
    return;
  }
#endif
  if constexpr (kTapNumbers<P> && kWhole) return store_bytes<T>(p, v);
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

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
