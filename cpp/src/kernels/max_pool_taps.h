// Tap numbers of outputs in vectors.
#pragma once

#include "kernels/bytes.h"
#include "kernels/max_pool_common.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

#if defined(TENFOLD_ISA_avx512)
template <class T>
using TapLanes = __m128i;
template <class T>
TENFOLD_INLINE TapLanes<T> splat_tap(index number) {
  return _mm_set1_epi8(static_cast<char>(number));
}
template <class T>
TENFOLD_INLINE TapLanes<T> load_taps(const TapNumber* p, index count) {
  return _mm_maskz_loadu_epi8(first_bits<T>(count), p);
}
// Those of the lanes of `bits`, out of all taps from `begin` to `end`.
template <class T>
TENFOLD_INLINE TapLanes<T> load_tap_bits(Bits<T> bits, const TapNumber* p, const TapNumber*,
                                         const TapNumber*) {
  return _mm_maskz_loadu_epi8(bits, p);
}
// v in the lanes whose tap is `number`, else 0.
template <class T>
TENFOLD_INLINE Vec<T> where_chosen(TapLanes<T> taps, index number, Vec<T> v) {
  const __mmask16 chosen = _mm_cmpeq_epi8_mask(taps, splat_tap<T>(number));
  return blend<T>(chosen, v, Vec<T>{});
}
// sum + v in the lanes of `bits` where taps == here.
template <class T>
TENFOLD_INLINE Vec<T> add_chosen(Vec<T> sum, Vec<T> v, Bits<T> bits, TapLanes<T> taps, TapLanes<T> here) {
  const __mmask16 chosen = _mm_mask_cmpeq_epi8_mask(bits, taps, here);
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_add_ps((__m512)sum, chosen, (__m512)sum, (__m512)v);
  } else {
    return (Vec<T>)_mm512_mask_add_pd((__m512d)sum, static_cast<__mmask8>(chosen), (__m512d)sum, (__m512d)v);
  }
}
#else
template <class T>
using TapLanes = Mask<T>;
template <class T>
TENFOLD_INLINE TapLanes<T> splat_tap(index number) {
  return splat_int<T>(number);
}
template <class T>
TENFOLD_INLINE TapLanes<T> load_taps(const TapNumber* p, index count) {
  if (count == kLanes<T>) return load_bytes<T>(p);
  TapNumber bytes[kLanes<T>] = {};
  for (index i = 0; i < count; ++i) bytes[i] = p[i];
  return load_bytes<T>(bytes);
}
template <class T>
TENFOLD_INLINE Vec<T> where_chosen(TapLanes<T> taps, index number, Vec<T> v) {
  return select<T>(taps == splat_int<T>(number), v, Vec<T>{});
}
#endif
#if defined(TENFOLD_ISA_avx2)
// At least those of the lanes of `bits`, out of all taps from `begin` to `end`.
template <class T>
TENFOLD_INLINE TapLanes<T> load_tap_bits(Bits<T> bits, const TapNumber* p, const TapNumber* begin,
                                         const TapNumber* end) {
  if (p >= begin && p + kLanes<T> <= end) return load_bytes<T>(p);
  TapNumber bytes[kLanes<T>] = {};
  for (index i = 0; i < kLanes<T>; ++i) {
    if (bits[i]) bytes[i] = p[i];
  }
  return load_bytes<T>(bytes);
}
// The same where v is 0 in all other lanes than those of `bits`; a sum of -0 becomes 0.
template <class T>
TENFOLD_INLINE Vec<T> add_chosen(Vec<T> sum, Vec<T> v, Bits<T>, TapLanes<T> taps, TapLanes<T> here) {
  return sum + select<T>(taps == here, v, Vec<T>{});
}
#endif

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
