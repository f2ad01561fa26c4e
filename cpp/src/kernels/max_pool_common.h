// What max-pooling and its gradient share: some lanes of a vector.
#pragma once

#include "kernels/max_pool.h"
#include "kernels/pool_common.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// No depth.
TENFOLD_INLINE bool flat(const PoolGeometry& g) {
  return g.d.size == 1 && g.d.output == 1 && g.d.kernel == 1 && g.d.pad == 0;
}

template <class T>
TENFOLD_INLINE Mask<T> splat_int(index value) {
  return Mask<T>{} + static_cast<decltype(Mask<T>{}[0] + 0)>(value);
}

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

#if defined(TENFOLD_ISA_avx512)
// Lanes by the bits of a mask register.
template <class T>
using Bits = unsigned short;

template <class T>
TENFOLD_INLINE Bits<T> first_bits(index count) {
  return static_cast<Bits<T>>((1u << most(0, least(count, kLanes<T>))) - 1);
}
template <class T>
TENFOLD_INLINE Vec<T> load_bits(Bits<T> bits, const T* p) {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_loadu_ps(bits, p);
  } else {
    return (Vec<T>)_mm512_maskz_loadu_pd(static_cast<__mmask8>(bits), p);
  }
}
template <class T>
TENFOLD_INLINE void store_bits(T* p, Bits<T> bits, Vec<T> v) {
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, bits, (__m512)v);
  } else {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(bits), (__m512d)v);
  }
}
// The lower or the upper half of v: a store of half a vector seldom runs into the next line.
template <bool kUpper, class T>
TENFOLD_INLINE void store_half(T* p, Bits<T> bits, Vec<T> v) {
  const __m256 half = _mm512_maskz_extractf32x8_ps(0xff, (__m512)v, kUpper);
  if constexpr (sizeof(T) == 4) {
    _mm256_mask_storeu_ps(p, static_cast<__mmask8>(bits), half);
  } else {
    _mm256_mask_storeu_pd(p, static_cast<__mmask8>(bits), (__m256d)half);
  }
}
template <class T>
TENFOLD_INLINE Vec<T> blend(Bits<T> bits, Vec<T> yes, Vec<T> no) {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_mov_ps((__m512)no, bits, (__m512)yes);
  } else {
    return (Vec<T>)_mm512_mask_mov_pd((__m512d)no, static_cast<__mmask8>(bits), (__m512d)yes);
  }
}
// Lanes of a followed by b.
template <class T>
TENFOLD_INLINE Vec<T> pick(Vec<T> a, Mask<T> lanes, Vec<T> b) {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_permutex2var_ps((__m512)a, (__m512i)lanes, (__m512)b);
  } else {
    return (Vec<T>)_mm512_permutex2var_pd((__m512d)a, (__m512i)lanes, (__m512d)b);
  }
}
#elif defined(TENFOLD_ISA_avx2)
// Lanes by a vector of -1 and 0.
template <class T>
using Bits = Mask<T>;

template <class T>
TENFOLD_INLINE Bits<T> first_bits(index count) {
  return iota<T>() < splat_int<T>(count);
}
template <class T>
TENFOLD_INLINE Vec<T> load_bits(Bits<T> bits, const T* p) {
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_maskload_ps(p, (__m256i)bits);
  } else {
    return (Vec<T>)_mm256_maskload_pd(p, (__m256i)bits);
  }
}
#endif

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
