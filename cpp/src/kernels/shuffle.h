// Moves between the lanes of two vectors.
#pragma once

#include "kernels/vec.h"

#if defined(__clang__)
#define TENFOLD_SHUFFLE(T, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define TENFOLD_SHUFFLE(T, a, b, ...) __builtin_shuffle(a, b, Mask<T>{__VA_ARGS__})
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// The lower / upper halves of a and b, element by element in turn: a0 b0 a1 b1 ...
template <class T>
TENFOLD_INLINE void interleave(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high) {
  if constexpr (kLanes<T> == 2) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 2);
    high = TENFOLD_SHUFFLE(T, a, b, 1, 3);
  } else if constexpr (kLanes<T> == 4) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 4, 1, 5);
    high = TENFOLD_SHUFFLE(T, a, b, 2, 6, 3, 7);
  } else if constexpr (kLanes<T> == 8) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    high = TENFOLD_SHUFFLE(T, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  } else {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    high = TENFOLD_SHUFFLE(T, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
}

#if defined(TENFOLD_ISA_avx2)
// Halves that are put together as they are loaded need not cross over afterwards.
TENFOLD_INLINE Vec<float> load_halves(const float* low, const float* high) {
  return (Vec<float>)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}
TENFOLD_INLINE Vec<double> load_halves(const double* low, const double* high) {
  return (Vec<double>)_mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(low)), _mm_loadu_pd(high), 1);
}
#endif

// The inverse: the even and the odd elements of a followed by b.
template <class T>
TENFOLD_INLINE void separate(Vec<T> a, Vec<T> b, Vec<T>& even, Vec<T>& odd) {
  if constexpr (kLanes<T> == 2) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3);
  } else if constexpr (kLanes<T> == 4) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7);
  } else if constexpr (kLanes<T> == 8) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7, 9, 11, 13, 15);
  } else {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  }
}

// Likewise within every 16 bytes: one cheap instruction, where moves across them take two operands' places.
template <class T>
TENFOLD_INLINE void interleave_quads(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high) {
  if constexpr (kLanes<T> * sizeof(T) == 16) {
    interleave<T>(a, b, low, high);
  } else if constexpr (kLanes<T> == 4) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 4, 2, 6);
    high = TENFOLD_SHUFFLE(T, a, b, 1, 5, 3, 7);
  } else if constexpr (kLanes<T> == 8 && sizeof(T) == 8) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    high = TENFOLD_SHUFFLE(T, a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  } else if constexpr (kLanes<T> == 8) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 8, 1, 9, 4, 12, 5, 13);
    high = TENFOLD_SHUFFLE(T, a, b, 2, 10, 3, 11, 6, 14, 7, 15);
  } else {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    high = TENFOLD_SHUFFLE(T, a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  }
}

// The even and the odd ones of the 16 bytes of a followed by those of b.
template <class T>
TENFOLD_INLINE void separate_quads(Vec<T> a, Vec<T> b, Vec<T>& even, Vec<T>& odd) {
  if constexpr (kLanes<T> == 4) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 1, 4, 5);
    odd = TENFOLD_SHUFFLE(T, a, b, 2, 3, 6, 7);
  } else if constexpr (kLanes<T> == 8 && sizeof(T) == 8) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 1, 4, 5, 8, 9, 12, 13);
    odd = TENFOLD_SHUFFLE(T, a, b, 2, 3, 6, 7, 10, 11, 14, 15);
  } else if constexpr (kLanes<T> == 8) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    odd = TENFOLD_SHUFFLE(T, a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  } else {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    odd = TENFOLD_SHUFFLE(T, a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
}

// even[i] = p[2 i] and odd[i] = p[2 i + 1].
template <class T>
TENFOLD_INLINE void load_separated(const T* p, Vec<T>& even, Vec<T>& odd) {
#if defined(TENFOLD_ISA_avx2)
  constexpr index H = kLanes<T> / 2;
  const Vec<T> a = load_halves(p, p + 2 * H), b = load_halves(p + H, p + 3 * H);
  if constexpr (kLanes<T> == 4) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 4, 2, 6);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 5, 3, 7);
  } else {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2, 8, 10, 4, 6, 12, 14);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3, 9, 11, 5, 7, 13, 15);
  }
#else
  separate<T>(load(p), load(p + kLanes<T>), even, odd);
#endif
}

// every[j][i] = p[4 i + j] for j < 4.
template <class T>
TENFOLD_INLINE void load_fourths(const T* p, Vec<T>* every) {
  constexpr index L = kLanes<T>;
  Vec<T> low[2], high[2];
#if defined(TENFOLD_ISA_avx2)
  if constexpr (L == 8) {
    interleave_quads<T>(load_halves(p, p + 2 * L), load_halves(p + L, p + 3 * L), low[0], high[0]);
    interleave_quads<T>(load_halves(p + 4, p + 2 * L + 4), load_halves(p + L + 4, p + 3 * L + 4), low[1],
                        high[1]);
    interleave_quads<T>(low[0], low[1], every[0], every[1]);
    interleave_quads<T>(high[0], high[1], every[2], every[3]);
    return;
  }
#endif
  separate<T>(load(p), load(p + L), low[0], high[0]);
  separate<T>(load(p + 2 * L), load(p + 3 * L), low[1], high[1]);
  separate<T>(low[0], low[1], every[0], every[2]);
  separate<T>(high[0], high[1], every[1], every[3]);
}

// a's last lane and all of b's but the last. (GCC 12 warns of the intrinsic without a mask.)
template <class T>
TENFOLD_INLINE Vec<T> slide_up(Vec<T> a, Vec<T> b) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_alignr_epi32((__mmask16)-1, (__m512i)b, (__m512i)a, 15);
  } else {
    return (Vec<T>)_mm512_maskz_alignr_epi64((__mmask8)-1, (__m512i)b, (__m512i)a, 7);
  }
#else
  if constexpr (kLanes<T> == 2) {
    return TENFOLD_SHUFFLE(T, a, b, 1, 2);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 3, 4, 5, 6);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 7, 8, 9, 10, 11, 12, 13, 14);
  }
#endif
}

// All of a's lanes but the first and b's first.
template <class T>
TENFOLD_INLINE Vec<T> slide_down(Vec<T> a, Vec<T> b) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_alignr_epi32((__mmask16)-1, (__m512i)b, (__m512i)a, 1);
  } else {
    return (Vec<T>)_mm512_maskz_alignr_epi64((__mmask8)-1, (__m512i)b, (__m512i)a, 1);
  }
#else
  if constexpr (kLanes<T> == 2) {
    return TENFOLD_SHUFFLE(T, a, b, 1, 2);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 1, 2, 3, 4);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 1, 2, 3, 4, 5, 6, 7, 8);
  }
#endif
}

// x[i][j] <-- x[j][i] of a square of vectors. First squares of 16 bytes, by log2 of their elements rounds of the
// perfect shuffle; then the square that those of equal place in their 16 bytes make, by its inverse.
template <class T>
TENFOLD_INLINE void transpose_lanes(Vec<T>* x) {
  constexpr int L = static_cast<int>(kLanes<T>), E = 16 / static_cast<int>(sizeof(T)), Q = L / E;
  Vec<T> y[L];
#pragma GCC unroll 4
  for (int round = 1; round < E; round *= 2) {
#pragma GCC unroll 4
    for (int g = 0; g < L; g += E) {
#pragma GCC unroll 4
      for (int i = 0; i < E / 2; ++i) {
        interleave_quads<T>(x[g + i], x[g + i + E / 2], y[g + 2 * i], y[g + 2 * i + 1]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) x[i] = y[i];
  }
  if constexpr (Q > 1) {
#pragma GCC unroll 4
    for (int round = 1; round < Q; round *= 2) {
#pragma GCC unroll 4
      for (int e = 0; e < E; ++e) {
#pragma GCC unroll 4
        for (int q = 0; q < Q / 2; ++q) {
          separate_quads<T>(x[2 * q * E + e], x[(2 * q + 1) * E + e], y[q * E + e], y[(q + Q / 2) * E + e]);
        }
      }
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) x[i] = y[i];
    }
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
