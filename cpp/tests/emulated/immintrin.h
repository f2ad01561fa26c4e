// The instructions of AVX-512 that the kernels use, element by element: with TENFOLD_EMULATE_AVX512 the kernels for it are
// compiled with this header before the compiler's own, and run on processors that have AVX2 only. An instruction that is
// missing here does not compile: its own header asks for a processor that has it.
//
// Masks tell lanes apart; where kernels give all of them only to spare GCC 12 a warning, they are not looked at.
#pragma once

#include_next <immintrin.h>

#include <math.h>
#include <string.h>

#pragma GCC system_header  // other compilers have macros of the same names

namespace avx512_emulated {

typedef int32_t Int32s __attribute__((vector_size(64), may_alias));
typedef int64_t Int64s __attribute__((vector_size(64), may_alias));
typedef uint32_t Uint32s __attribute__((vector_size(64), may_alias));
typedef uint64_t Uint64s __attribute__((vector_size(64), may_alias));
typedef int8_t Bytes __attribute__((vector_size(16), may_alias));

template <class V>
constexpr int kLanes = sizeof(V) / sizeof(V{}[0]);

// Lanes whose bit in the mask is set come from `yes`, which is called with their number; the others are those of `v`.
template <class V, class Yes>
static inline V blend(V v, unsigned mask, Yes yes) {
  for (int i = 0; i < kLanes<V>; ++i) {
    if (mask >> i & 1) v[i] = yes(i);
  }
  return v;
}
template <class V>
static inline V move(V no, unsigned mask, V yes) {
  return blend(no, mask, [&](int i) { return yes[i]; });
}
template <class V, class T>
static inline V load(V no, unsigned mask, const T* p) {
  return blend(no, mask, [&](int i) { return p[i]; });
}
template <class V, class T>
static inline void store(T* p, unsigned mask, V v) {
  for (int i = 0; i < kLanes<V>; ++i) {
    if (mask >> i & 1) p[i] = static_cast<T>(v[i]);
  }
}
template <class V>
static inline V load_all(const void* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
static inline void store_all(void* p, V v) {
  memcpy(p, &v, sizeof v);
}
// Every lane by its number.
template <class V, class Lane>
static inline V each(Lane lane) {
  V v = {};
  for (int i = 0; i < kLanes<V>; ++i) v[i] = lane(i);
  return v;
}

template <class Predicate>
static inline unsigned bits(int lanes, Predicate predicate) {
  unsigned mask = 0;
  for (int i = 0; i < lanes; ++i) mask |= static_cast<unsigned>(predicate(i)) << i;
  return mask;
}
template <class V>
static inline unsigned compare(unsigned mask, V a, V b, int how) {
  return mask & bits(kLanes<V>, [&](int i) {
           const bool unordered = a[i] != a[i] || b[i] != b[i];
           switch (how) {
             case _CMP_GT_OQ:
               return a[i] > b[i];
             case _CMP_LT_OQ:
               return a[i] < b[i];
             case _CMP_LE_OQ:
               return a[i] <= b[i];
             case _CMP_NLE_UQ:
               return !(a[i] <= b[i]);
             case _CMP_NEQ_UQ:
               return a[i] != b[i];
             case _CMP_UNORD_Q:
               return unordered;
             case _CMP_ORD_Q:
               return !unordered;
             default:
               __builtin_trap();
           }
         });
}

// The second operand where one is no number.
template <class V>
static inline V maximum(V a, V b) {
  return each<V>([&](int i) { return a[i] > b[i] ? a[i] : b[i]; });
}
template <class V>
static inline V minimum(V a, V b) {
  return each<V>([&](int i) { return a[i] < b[i] ? a[i] : b[i]; });
}
template <class V>
static inline V square_root(V v) {
  return each<V>([&](int i) { return sqrt(v[i]); });  // the double's root, rounded again, is the float's
}
// v 2^floor(n)
template <class V>
static inline V scale(V v, V n) {
  constexpr double kEnough = 5000;  // all is infinite or 0 beyond
  return each<V>(
      [&](int i) { return ldexp(v[i], static_cast<int>(fmin(fmax(floor(n[i]), -kEnough), kEnough))); });
}

// Bit by bit: the bit of the table that those of a, b and c number.
static inline __m512i look_up_bits(Int32s a, Int32s b, Int32s c, int table) {
  Int32s found = {};
  for (int n = 0; n < 8; ++n) {
    if (table >> n & 1) found |= (n & 4 ? a : ~a) & (n & 2 ? b : ~b) & (n & 1 ? c : ~c);
  }
  return (__m512i)found;
}

template <class V, class Lanes>
static inline V permute_two(V a, Lanes lanes, V b) {
  constexpr int n = kLanes<V>;
  return each<V>([&](int i) { return lanes[i] & n ? b[lanes[i] & (n - 1)] : a[lanes[i] & (n - 1)]; });
}
template <class V, class Lanes>
static inline V permute_one(Lanes lanes, V v) {
  return each<V>([&](int i) { return v[lanes[i] & (kLanes<V> - 1)]; });
}
// b:a, the lanes from n on.
template <class V>
static inline V align(V b, V a, int n) {
  return each<V>([&](int i) { return i + n < kLanes<V> ? a[i + n] : b[i + n - kLanes<V>]; });
}
// Of every 16 bytes the lower or the upper half of both, one lane of each in turn.
template <class V>
static inline V unpack(V a, V b, int upper) {
  constexpr int n = 16 / sizeof(a[0]);
  return each<V>([&](int i) {
    const int from = i / n * n + upper * n / 2 + i % n / 2;
    return i % 2 == 0 ? a[from] : b[from];
  });
}
// 16 bytes at a time, two of a and two of b.
static inline __m512 shuffle_fours(__m512 a, __m512 b, int choice) {
  return each<__m512>([&](int i) {
    const int from = (choice >> 2 * (i / 4) & 3) * 4 + i % 4;
    return i < 8 ? a[from] : b[from];
  });
}
// Within every 16 bytes.
static inline __m512 permute_fours(__m512 a, Int32s lanes) {
  return each<__m512>([&](int i) { return a[i / 4 * 4 + (lanes[i] & 3)]; });
}
static inline __m512 compress(unsigned mask, __m512 v) {
  __m512 packed = {};
  int n = 0;
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) packed[n++] = v[i];
  }
  return packed;
}
template <class Part, class V>
static inline Part extract(V v, int part) {
  return each<Part>([&](int i) { return v[part * kLanes<Part> + i]; });
}

static inline Int32s splat(int value) {
  return Int32s{} + value;
}
// Elements of eight bits of the first bytes, and back.
template <class V>
static inline V widen(Bytes bytes) {
  return each<V>([&](int i) { return bytes[i]; });
}
template <class V>
static inline __m128i narrow(V v) {
  Bytes bytes = {};
  for (int i = 0; i < kLanes<V>; ++i) bytes[i] = static_cast<int8_t>(v[i]);
  return (__m128i)bytes;
}
// Of the lower halves.
static inline __m512i multiply_wide(Uint64s a, Uint64s b) {
  constexpr uint64_t kLower = 0xffffffff;
  return (__m512i)((a & kLower) * (b & kLower));
}
static inline unsigned equal_bytes(unsigned mask, __m128i a, __m128i b) {
  return mask & static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(a, b)));
}

}  // namespace avx512_emulated

#define TENFOLD_512 avx512_emulated

#define _mm512_setzero_ps() (__m512{})
#define _mm512_setzero_pd() (__m512d{})
#define _mm512_setzero_si512() (__m512i{})
#define _mm512_set1_epi32(value) ((__m512i)TENFOLD_512::splat(value))
#define _mm512_set_epi32(p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a) \
  ((__m512i)TENFOLD_512::Int32s{a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p})
#define _mm512_set1_epi64(value) ((__m512i)(TENFOLD_512::Int64s{} + (value)))
#define _mm512_set_epi64(h, g, f, e, d, c, b, a) ((__m512i)TENFOLD_512::Int64s{a, b, c, d, e, f, g, h})
#define _mm512_castpd_ps(v) ((__m512)(v))
#define _mm512_castps_pd(v) ((__m512d)(v))
#define _mm512_castps_si512(v) ((__m512i)(v))
#define _mm512_castsi512_ps(v) ((__m512)(v))
#define _mm512_castps512_ps256(v) TENFOLD_512::extract<__m256>(v, 0)

#define _mm512_loadu_ps(p) TENFOLD_512::load_all<__m512>(p)
#define _mm512_storeu_ps(p, v) TENFOLD_512::store_all<__m512>(p, v)
#define _mm512_stream_ps(p, v) TENFOLD_512::store_all<__m512>(p, v)
#define _mm512_stream_si512(p, v) TENFOLD_512::store_all<__m512i>(p, v)
#define _mm512_maskz_loadu_ps(mask, p) TENFOLD_512::load(__m512{}, mask, p)
#define _mm512_maskz_loadu_pd(mask, p) TENFOLD_512::load(__m512d{}, mask, p)
#define _mm512_mask_loadu_ps(no, mask, p) TENFOLD_512::load(no, mask, p)
#define _mm512_mask_loadu_pd(no, mask, p) TENFOLD_512::load(no, mask, p)
#define _mm512_mask_storeu_ps(p, mask, v) TENFOLD_512::store(p, mask, v)
#define _mm512_mask_storeu_pd(p, mask, v) TENFOLD_512::store(p, mask, v)
#define _mm256_mask_storeu_ps(p, mask, v) TENFOLD_512::store(p, mask, v)
#define _mm256_mask_storeu_pd(p, mask, v) TENFOLD_512::store(p, mask, v)
#define _mm512_mask_storeu_epi64(p, mask, v) \
  TENFOLD_512::store(reinterpret_cast<int64_t*>(p), mask, (TENFOLD_512::Int64s)(v))
#define _mm_maskz_loadu_epi8(mask, p) \
  ((__m128i)TENFOLD_512::load(TENFOLD_512::Bytes{}, mask, reinterpret_cast<const int8_t*>(p)))
#define _mm_mask_loadu_epi8(no, mask, p) \
  ((__m128i)TENFOLD_512::load((TENFOLD_512::Bytes)(no), mask, reinterpret_cast<const int8_t*>(p)))
#define _mm_mask_storeu_epi8(p, mask, v) \
  TENFOLD_512::store(reinterpret_cast<int8_t*>(p), mask, (TENFOLD_512::Bytes)(v))

#define _mm512_mask_mov_ps(no, mask, yes) TENFOLD_512::move<__m512>(no, mask, yes)
#define _mm512_mask_mov_pd(no, mask, yes) TENFOLD_512::move<__m512d>(no, mask, yes)
#define _mm512_mask_mov_epi32(no, mask, yes) \
  ((__m512i)TENFOLD_512::move((TENFOLD_512::Int32s)(no), mask, (TENFOLD_512::Int32s)(yes)))
#define _mm512_mask_set1_epi32(no, mask, value) _mm512_mask_mov_epi32(no, mask, TENFOLD_512::splat(value))
#define _mm512_maskz_set1_epi32(mask, value) _mm512_mask_set1_epi32(__m512i{}, mask, value)

#define _mm512_cmp_ps_mask(a, b, how) ((__mmask16)TENFOLD_512::compare<__m512>(0xffff, a, b, how))
#define _mm512_cmp_pd_mask(a, b, how) ((__mmask8)TENFOLD_512::compare<__m512d>(0xff, a, b, how))
#define _mm512_mask_cmp_ps_mask(mask, a, b, how) ((__mmask16)TENFOLD_512::compare<__m512>(mask, a, b, how))
#define _mm512_mask_cmp_pd_mask(mask, a, b, how) ((__mmask8)TENFOLD_512::compare<__m512d>(mask, a, b, how))
#define _mm_cmpeq_epi8_mask(a, b) ((__mmask16)TENFOLD_512::equal_bytes(0xffff, a, b))
#define _mm_mask_cmpeq_epi8_mask(mask, a, b) ((__mmask16)TENFOLD_512::equal_bytes(mask, a, b))
#define _mm512_movepi32_mask(v) \
  ((__mmask16)TENFOLD_512::bits(16, [&](int lane) { return ((TENFOLD_512::Int32s)(v))[lane] < 0; }))

#define _mm512_add_ps(a, b) ((__m512)(a) + (__m512)(b))
#define _mm512_sub_ps(a, b) ((__m512)(a) - (__m512)(b))
#define _mm512_mask_add_ps(no, mask, a, b) TENFOLD_512::move<__m512>(no, mask, a + b)
#define _mm512_mask_add_pd(no, mask, a, b) TENFOLD_512::move<__m512d>(no, mask, a + b)
#define _mm512_add_epi32(a, b) ((__m512i)((TENFOLD_512::Int32s)(a) + (TENFOLD_512::Int32s)(b)))
#define _mm512_add_epi64(a, b) ((__m512i)((TENFOLD_512::Int64s)(a) + (TENFOLD_512::Int64s)(b)))
#define _mm512_sub_epi32(a, b) ((__m512i)((TENFOLD_512::Int32s)(a) - (TENFOLD_512::Int32s)(b)))
#define _mm512_srai_epi32(v, n) ((__m512i)((TENFOLD_512::Int32s)(v) >> (n)))
#define _mm512_srli_epi32(v, n) ((__m512i)((TENFOLD_512::Uint32s)(v) >> (n)))
#define _mm512_ternarylogic_epi32(a, b, c, table)                                                         \
  TENFOLD_512::look_up_bits((TENFOLD_512::Int32s)(a), (TENFOLD_512::Int32s)(b), (TENFOLD_512::Int32s)(c), \
                            table)
#define _mm512_mullo_epi32(a, b) ((__m512i)((TENFOLD_512::Int32s)(a) * (TENFOLD_512::Int32s)(b)))
#define _mm512_maskz_mul_epu32(all, a, b) \
  TENFOLD_512::multiply_wide((TENFOLD_512::Uint64s)(a), (TENFOLD_512::Uint64s)(b))
#define _mm512_max_ps(a, b) TENFOLD_512::maximum<__m512>(a, b)
#define _mm512_maskz_max_ps(all, a, b) TENFOLD_512::maximum<__m512>(a, b)
#define _mm512_maskz_max_pd(all, a, b) TENFOLD_512::maximum<__m512d>(a, b)
#define _mm512_maskz_min_ps(all, a, b) TENFOLD_512::minimum<__m512>(a, b)
#define _mm512_maskz_min_pd(all, a, b) TENFOLD_512::minimum<__m512d>(a, b)
#define _mm512_maskz_sqrt_ps(all, v) TENFOLD_512::square_root<__m512>(v)
#define _mm512_maskz_sqrt_pd(all, v) TENFOLD_512::square_root<__m512d>(v)
#define _mm512_maskz_scalef_ps(all, v, n) TENFOLD_512::scale<__m512>(v, n)
#define _mm512_maskz_scalef_pd(all, v, n) TENFOLD_512::scale<__m512d>(v, n)

#define _mm512_permutex2var_ps(a, lanes, b) \
  TENFOLD_512::permute_two<__m512>(a, (TENFOLD_512::Int32s)(lanes), b)
#define _mm512_permutex2var_pd(a, lanes, b) \
  TENFOLD_512::permute_two<__m512d>(a, (TENFOLD_512::Int64s)(lanes), b)
#define _mm512_maskz_permutexvar_ps(all, lanes, v) \
  TENFOLD_512::permute_one<__m512>((TENFOLD_512::Int32s)(lanes), v)
#define _mm512_maskz_alignr_epi32(all, b, a, n) \
  ((__m512i)TENFOLD_512::align((TENFOLD_512::Int32s)(b), (TENFOLD_512::Int32s)(a), n))
#define _mm512_maskz_alignr_epi64(all, b, a, n) \
  ((__m512i)TENFOLD_512::align((TENFOLD_512::Int64s)(b), (TENFOLD_512::Int64s)(a), n))
#define _mm512_unpacklo_ps(a, b) TENFOLD_512::unpack<__m512>(a, b, 0)
#define _mm512_unpackhi_ps(a, b) TENFOLD_512::unpack<__m512>(a, b, 1)
#define _mm512_unpacklo_pd(a, b) TENFOLD_512::unpack<__m512d>(a, b, 0)
#define _mm512_unpackhi_pd(a, b) TENFOLD_512::unpack<__m512d>(a, b, 1)
#define _mm512_shuffle_f32x4(a, b, choice) TENFOLD_512::shuffle_fours(a, b, choice)
#define _mm512_permutevar_ps(a, lanes) TENFOLD_512::permute_fours(a, (TENFOLD_512::Int32s)(lanes))
#define _mm512_maskz_compress_ps(mask, v) TENFOLD_512::compress(mask, v)
#define _mm512_broadcast_f32x4(four) \
  TENFOLD_512::each<__m512>([four_ = (four)](int lane) { return four_[lane % 4]; })
#define _mm512_extractf32x4_ps(v, part) TENFOLD_512::extract<__m128>(v, part)
#define _mm512_extractf32x8_ps(v, part) TENFOLD_512::extract<__m256>(v, part)
#define _mm512_maskz_extractf32x8_ps(mask, v, part) \
  TENFOLD_512::move(__m256{}, mask, TENFOLD_512::extract<__m256>(v, part))

#define _mm512_cvtepi8_epi32(bytes) \
  ((__m512i)TENFOLD_512::widen<TENFOLD_512::Int32s>((TENFOLD_512::Bytes)(bytes)))
#define _mm512_cvtepi8_epi64(bytes) \
  ((__m512i)TENFOLD_512::widen<TENFOLD_512::Int64s>((TENFOLD_512::Bytes)(bytes)))
#define _mm512_maskz_cvtepi32_epi8(all, v) TENFOLD_512::narrow((TENFOLD_512::Int32s)(v))
#define _mm512_maskz_cvtepi64_epi8(all, v) TENFOLD_512::narrow((TENFOLD_512::Int64s)(v))
