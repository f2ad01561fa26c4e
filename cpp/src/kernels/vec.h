// Vectors for the kernels: one source for every ISA through the compiler's vector extensions.
//
// Rules of this folder (each file is compiled once per ISA, see cpp/cmake/TenfoldKernels.cmake):
// - no C++ standard headers, and everything in an anonymous namespace or static except the one table a file exports:
//   an inline function shared between ISAs would be merged by the linker, and the wrong copy could win;
// - no vector constants at namespace scope: they would be computed before the processor is asked;
// - no checks, no allocation, no exceptions: pointers and counts come checked from the operations above.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(TENFOLD_ISA_avx512)
#define TENFOLD_VECTOR_BYTES 64
#define TENFOLD_VECTOR_REGISTERS 32
#elif defined(TENFOLD_ISA_avx2)
#define TENFOLD_VECTOR_BYTES 32
#define TENFOLD_VECTOR_REGISTERS 16
#elif defined(TENFOLD_ISA_neon)
#define TENFOLD_VECTOR_BYTES 16
#define TENFOLD_VECTOR_REGISTERS 32
#else
#define TENFOLD_VECTOR_BYTES 16
#define TENFOLD_VECTOR_REGISTERS 16
#endif

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

typedef ptrdiff_t index;

template <class T>
constexpr index kLanes = TENFOLD_VECTOR_BYTES / sizeof(T);

// Vectors of n elements, kLanes unless it says so.
template <class T, index n>
struct Vectors {
  typedef T vector __attribute__((vector_size(n * sizeof(T)), may_alias));
  typedef T unaligned __attribute__((vector_size(n * sizeof(T)), aligned(sizeof(T)), may_alias));
};
template <class T>
struct Masks;
template <>
struct Masks<float> {
  typedef int32_t mask __attribute__((vector_size(TENFOLD_VECTOR_BYTES), may_alias));
};
template <>
struct Masks<double> {
  typedef int64_t mask __attribute__((vector_size(TENFOLD_VECTOR_BYTES), may_alias));
};

// Vec<float> holds kLanes<float> floats; + - * / and comparisons work element by element (comparisons give -1 / 0).
template <class T, index n = kLanes<T>>
using Vec = typename Vectors<T, n>::vector;
template <class T>
using Mask = typename Masks<T>::mask;

#define TENFOLD_INLINE static inline __attribute__((always_inline))

template <class T, index n = kLanes<T>>
TENFOLD_INLINE Vec<T, n> load(const T* p) {
  return *reinterpret_cast<const typename Vectors<T, n>::unaligned*>(p);
}
template <class T, index n = kLanes<T>>
TENFOLD_INLINE void store(T* p, Vec<T, n> v) {
  *reinterpret_cast<typename Vectors<T, n>::unaligned*>(p) = v;
}
// A store past the caches (kernels/past.h), to a multiple of the vector's size.
template <class T>
TENFOLD_INLINE void store_past(T* p, Vec<T> v) {
#if defined(TENFOLD_ISA_avx512)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
#elif defined(TENFOLD_ISA_avx2)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)v);
#elif defined(__SSE2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)v);
#else
  store(p, v);
#endif
}
template <class T, index n = kLanes<T>>
TENFOLD_INLINE Vec<T, n> splat(T value) {
  return value - Vec<T, n>{};  // x - 0 is x for every x, signed zeros included
}
template <class T>
TENFOLD_INLINE Vec<T> select(Mask<T> mask, Vec<T> yes, Vec<T> no) {
  return mask ? yes : no;
}
// v where it is greater (less), else best: also where either is NaN, or both are zero.
template <class T>
TENFOLD_INLINE Vec<T> larger(Vec<T> v, Vec<T> best) {
#if defined(TENFOLD_ISA_avx512)  // maskz: GCC 12 warns about the undefined source of the plain form.
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_max_ps((__mmask16)-1, (__m512)v, (__m512)best);
  } else {
    return (Vec<T>)_mm512_maskz_max_pd((__mmask8)-1, (__m512d)v, (__m512d)best);
  }
#elif defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_max_ps((__m256)v, (__m256)best);
  } else {
    return (Vec<T>)_mm256_max_pd((__m256d)v, (__m256d)best);
  }
#else
  return select<T>(v > best, v, best);
#endif
}
template <class T>
TENFOLD_INLINE Vec<T> lesser(Vec<T> v, Vec<T> best) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_min_ps((__mmask16)-1, (__m512)v, (__m512)best);
  } else {
    return (Vec<T>)_mm512_maskz_min_pd((__mmask8)-1, (__m512d)v, (__m512d)best);
  }
#elif defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_min_ps((__m256)v, (__m256)best);
  } else {
    return (Vec<T>)_mm256_min_pd((__m256d)v, (__m256d)best);
  }
#else
  return select<T>(v < best, v, best);
#endif
}
// a * b + c, fused where the ISA can (kFused).
#if defined(__AVX512F__) || defined(__aarch64__) || \
    (defined(__FMA__) && !defined(TENFOLD_ISA_avx512))  // which is emulated then
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif
template <class T>
TENFOLD_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return a * b + c;
}

// The same in the register that c is in. Where a loop is unrolled and registers are few, GCC else moves sums from one to
// another, and spills some.
template <class T>
TENFOLD_INLINE Vec<T> fma_onto(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  } else {
    __asm__("vfmadd231pd %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  }
  return c;
#else
  return fma<T>(a, b, c);
#endif
}

// The first n lanes (0 <= n <= kLanes), zeros above; touches no memory beyond them.
template <class T>
TENFOLD_INLINE Vec<T> load_first(const T* p, index n) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
  } else {
    return (Vec<T>)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
  }
#elif defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return (Vec<T>)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes));
  } else {
    const __m256i lanes = _mm256_set_epi64x(3, 2, 1, 0);
    return (Vec<T>)_mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lanes));
  }
#else
  Vec<T> v = {};
  for (index i = 0; i < n; ++i) reinterpret_cast<T*>(&v)[i] = p[i];
  return v;
#endif
}
template <class T>
TENFOLD_INLINE void store_first(T* p, Vec<T> v, index n) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
  } else {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
  }
#elif defined(TENFOLD_ISA_avx2)
  // By halves: AMD's processors take long for a store with a mask.
  if (n == kLanes<T>) return store(p, v);
  if constexpr (sizeof(T) == 4) {
    __m128 rest = _mm256_castps256_ps128((__m256)v);
    if (n & 4) {
      _mm_storeu_ps(p, rest);
      rest = _mm256_extractf128_ps((__m256)v, 1);
      p += 4;
    }
    if (n & 2) {
      _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
      rest = _mm_movehl_ps(rest, rest);
      p += 2;
    }
    if (n & 1) _mm_store_ss(p, rest);
  } else {
    __m128d rest = _mm256_castpd256_pd128((__m256d)v);
    if (n & 2) {
      _mm_storeu_pd(p, rest);
      rest = _mm256_extractf128_pd((__m256d)v, 1);
      p += 2;
    }
    if (n & 1) _mm_store_sd(p, rest);
  }
#else
  for (index i = 0; i < n; ++i) p[i] = reinterpret_cast<const T*>(&v)[i];
#endif
}

// The lanes whose bit is set of what lies at p, `other` elsewhere; touches no memory beyond them.
template <class T>
TENFOLD_INLINE Vec<T> load_lanes(const T* p, unsigned lanes, Vec<T> other) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_loadu_ps((__m512)other, (__mmask16)lanes, p);
  } else {
    return (Vec<T>)_mm512_mask_loadu_pd((__m512d)other, (__mmask8)lanes, p);
  }
#else
  constexpr unsigned all = ~(~0u << kLanes<T>);
  if (lanes == all) return load(p);
#if defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    const __m256i bits = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
    const __m256i mask =
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(lanes)), bits), bits);
    return (Vec<T>)_mm256_blendv_ps((__m256)other, _mm256_maskload_ps(p, mask), (__m256)mask);
  } else {
    const __m256i bits = _mm256_set_epi64x(8, 4, 2, 1);
    const __m256i mask = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(lanes), bits), bits);
    return (Vec<T>)_mm256_blendv_pd((__m256d)other, _mm256_maskload_pd(p, mask), (__m256d)mask);
  }
#else
  for (index i = 0; i < kLanes<T>; ++i) {
    if (lanes >> i & 1) reinterpret_cast<T*>(&other)[i] = p[i];
  }
  return other;
#endif
#endif
}
// p[i] <-- lane i for 0 <= begin <= i < end <= kLanes; touches no memory beyond them.
template <class T>
TENFOLD_INLINE void store_between(T* p, Vec<T> v, index begin, index end) {
#if defined(TENFOLD_ISA_avx512)
  const unsigned lanes = ((1u << end) - 1) & ~((1u << begin) - 1);
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, (__mmask16)lanes, (__m512)v);
  } else {
    _mm512_mask_storeu_pd(p, (__mmask8)lanes, (__m512d)v);
  }
#elif defined(TENFOLD_ISA_avx2)
  constexpr int parts = sizeof(T) / 4;
  const __m256i from = _mm256_add_epi32(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0),
                                        _mm256_set1_epi32(static_cast<int>(begin) * parts));
  store_first(p + begin, (Vec<T>)_mm256_permutevar8x32_ps((__m256)v, from), end - begin);
#else
  for (index i = begin; i < end; ++i) p[i] = reinterpret_cast<const T*>(&v)[i];
#endif
}

// Hides from the compiler where a pointer or an index comes from. It would otherwise carry a pointer per plane through a
// loop, or add up an address beforehand that a load adds up by itself, or keep what it has loaded for a look that overlaps
// this one, in registers that the sums need.
#define TENFOLD_OPAQUE(pointer) __asm__("" : "+r"(pointer))

// Steps of a sum that are taken together: with few registers a step is short, and the loop's own instructions are worth saving.
#if defined(TENFOLD_ISA_avx2)
#define TENFOLD_UNROLL_SUM _Pragma("GCC unroll 4")
#else
#define TENFOLD_UNROLL_SUM
#endif

// Keeps a value in a register: GCC would otherwise fold the load into every multiply-add that uses it.
template <class T>
TENFOLD_INLINE void pin(Vec<T>& v) {
#if defined(__AVX512F__)
  __asm__("" : "+v"(v));
#elif defined(__aarch64__)
  __asm__("" : "+w"(v));
#elif defined(__x86_64__) && !defined(TENFOLD_ISA_avx512)  // which is emulated then
  __asm__("" : "+x"(v));
#else
  static_cast<void>(v);
#endif
}

// Has a value computed here, and not where it is used.
template <class T>
TENFOLD_INLINE void hold(Vec<T>& v) {
#if defined(__AVX512F__)
  __asm__ volatile("" : "+v"(v));
#else
  static_cast<void>(v);
#endif
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
