// Whole numbers of a byte in lanes.
#pragma once

#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

#if defined(TENFOLD_ISA_avx512)
// The low bytes of the lanes, one behind the other. (GCC 12 warns of the intrinsics without a mask.)
template <class T>
TENFOLD_INLINE __m128i low_bytes(Mask<T> v) {
  if constexpr (sizeof(T) == 4) {
    return _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v);
  } else {
    return _mm512_maskz_cvtepi64_epi8(0xff, (__m512i)v);
  }
}
#endif

// p[i] = lane i, which is in the range of a Byte.
template <class T, class Byte>
TENFOLD_INLINE void store_bytes(Byte* p, Mask<T> v) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), low_bytes<T>(v));
  } else {
    _mm_storeu_si64(p, low_bytes<T>(v));
  }
#else
#if defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    const __m128i bytes =
        __is_same(Byte, int8_t) ? _mm_packs_epi16(words, words) : _mm_packus_epi16(words, words);
    return _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes);
  }
#endif
  // The compiler takes a conversion to bytes apart, which is slower than this.
  decltype(Mask<T>{}[0] + 0) lanes[kLanes<T>];
  __builtin_memcpy(lanes, &v, sizeof lanes);
  for (index i = 0; i < kLanes<T>; ++i) p[i] = static_cast<Byte>(lanes[i]);
#endif
}

// Lane i = p[i], with its sign where bytes have one.
template <class T, class Byte>
TENFOLD_INLINE Mask<T> load_bytes(const Byte* p) {
#if defined(TENFOLD_ISA_avx512)
  static_assert(__is_same(Byte, int8_t));
  if constexpr (sizeof(T) == 4) {
    return (Mask<T>)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  } else {
    return (Mask<T>)_mm512_cvtepi8_epi64(_mm_loadu_si64(p));
  }
#else
#if defined(TENFOLD_ISA_avx2)
  constexpr bool kSigned = __is_same(Byte, int8_t);
  if constexpr (sizeof(T) == 4) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return (Mask<T>)(kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
  } else if constexpr (!kSigned) {
    return (Mask<T>)_mm256_cvtepu8_epi64(_mm_loadu_si32(p));
  }
#endif
  typedef Byte Bytes __attribute__((vector_size(kLanes<T>), may_alias, aligned(1)));
  return __builtin_convertvector(*reinterpret_cast<const Bytes*>(p), Mask<T>);
#endif
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
