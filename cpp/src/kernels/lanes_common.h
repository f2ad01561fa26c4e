// What the kernels on lanes share: cutting into register tiles, the codes of pooled values, the turn of 16 samples.
#pragma once

// GCC 12 warns of its own _mm512_undefined_ps(); Clang does not know the warning.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "kernels/bytes.h"
#include "kernels/lanes.h"
#include "kernels/shuffle.h"
#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

constexpr index kBlock = kLaneBlock;
constexpr bool kManyRegisters = TENFOLD_VECTOR_REGISTERS >= 32;

// Vectors of a block that a tile of one input takes together: they share the weights' broadcasts.
template <class T>
constexpr int kTogether =
    kBlock / kLanes<T> < (kManyRegisters ? 4 : 2) ? kBlock / kLanes<T> : (kManyRegisters ? 4 : 2);
// What of them fits beside the operands.
template <class T>
constexpr int kSumsTogether = (kManyRegisters ? 24 : 12) / kTogether<T>;
// Rows of a dense layer: enough to hide the latency of a multiply-add, with a pointer for each.
template <class T>
constexpr int kDenseRows = kSumsTogether<T> < 8 ? kSumsTogether<T> : 8;

// Loops over accumulator tiles must vanish: every index into a tile is then a constant and the tile lives in
// registers.
#define TENFOLD_UNROLL _Pragma("GCC unroll 32")

// Calls f(Constant<n>) for 1 <= n <= Max, so that n can be a template argument.
template <int N>
struct Constant {
  static constexpr int value = N;
};
template <int Max, class F>
TENFOLD_INLINE void with_count(index n, const F& f) {
  if constexpr (Max > 1) {
    if (n < Max) return with_count<Max - 1>(n, f);
  }
  f(Constant<Max>{});
}

// Cuts 0 .. count into ceil(count / Max) nearly equal pieces: f(begin, Constant<size>).
template <int Max, class F>
TENFOLD_INLINE void in_pieces(index count, const F& f) {
  const index pieces = (count + Max - 1) / Max;
  for (index piece = 0, begin = 0; piece < pieces; ++piece) {
    const index end = count * (piece + 1) / pieces;
    with_count<Max>(end - begin, [&](auto size) { f(begin, size); });
    begin = end;
  }
}

template <class T>
TENFOLD_INLINE void load_together(const T* p, Vec<T> (&x)[kTogether<T>]) {
  TENFOLD_UNROLL
  for (int v = 0; v < kTogether<T>; ++v) {
    Vec<T> value = load(p + v * kLanes<T>);
    pin<T>(value);
    x[v] = value;
  }
}
template <class T>
TENFOLD_INLINE void add_together(T weight, const Vec<T> (&x)[kTogether<T>], Vec<T> (&sum)[kTogether<T>]) {
  const Vec<T> w = splat(weight);
  TENFOLD_UNROLL
  for (int v = 0; v < kTogether<T>; ++v) sum[v] = fma<T>(w, x[v], sum[v]);
}

// sum[r][c] += factor(r) * the vector at(c). The vectors stay in registers and factors come one by one, or, where those do not
// fit beside the sums, the other way round.
template <class T, int Rows, int Columns, class Factor, class At>
TENFOLD_INLINE void add_products(const Factor& factor, const At& at, Vec<T> (&sum)[Rows][Columns]) {
  if constexpr (Rows * Columns + Columns < TENFOLD_VECTOR_REGISTERS) {
    Vec<T> x[Columns];
    TENFOLD_UNROLL
    for (int c = 0; c < Columns; ++c) {
      Vec<T> value = load(at(c));
      if constexpr (!kManyRegisters) pin<T>(value);
      x[c] = value;
    }
    TENFOLD_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> w = splat(factor(r));
      TENFOLD_UNROLL
      for (int c = 0; c < Columns; ++c) sum[r][c] = fma<T>(w, x[c], sum[r][c]);
    }
  } else {
    Vec<T> w[Rows];
    TENFOLD_UNROLL
    for (int r = 0; r < Rows; ++r) w[r] = splat(factor(r));
    TENFOLD_UNROLL
    for (int c = 0; c < Columns; ++c) {
      const Vec<T> x = load(at(c));
      TENFOLD_UNROLL
      for (int r = 0; r < Rows; ++r) sum[r][c] = fma<T>(w[r], x, sum[r][c]);
    }
  }
}

// Lane k <-- the sum of v[k]'s lanes.
template <class T>
TENFOLD_INLINE Vec<T> add_up_lanes(Vec<T> (&v)[kLanes<T>]) {
  transpose_lanes<T>(v);
  TENFOLD_UNROLL
  for (index step = kLanes<T> / 2; step > 0; step /= 2) {
    TENFOLD_UNROLL
    for (index k = 0; k < step; ++k) v[k] += v[k + step];
  }
  return v[0];
}

template <class T>
TENFOLD_INLINE Vec<T> signed_relu(Vec<T> v) {
  return select<T>(v < Vec<T>{}, -Vec<T>{}, v + Vec<T>{});  // -0 + 0 = +0
}

// Codes of pooled values as lanes of T's width; kNoTap is -1 there.
template <class T>
TENFOLD_INLINE void store_codes(uint8_t* p, Mask<T> codes) {
  store_bytes<T>(reinterpret_cast<int8_t*>(p), codes);
}
template <class T>
TENFOLD_INLINE Mask<T> load_codes(const uint8_t* p) {
  return load_bytes<T>(reinterpret_cast<const int8_t*>(p));
}

// The maximum of four pixels and which of them it is, behind a ReLU if there is one.
template <class T>
struct Pooled {
  Vec<T> best;
  Mask<T> code;
};
#if defined(TENFOLD_ISA_avx2)
// The same as below where there is no NaN, by a tree of maxima.
TENFOLD_INLINE Pooled<float> pool_four_numbers(const Vec<float>* pixels, bool relu, bool pass_zero) {
  const __m256 zero = _mm256_setzero_ps();
  const __m256 a = (__m256)pixels[0], b = (__m256)pixels[1], c = (__m256)pixels[2], d = (__m256)pixels[3];
  // Of equal operands the second one is returned; a true comparison is -1.
  const __m256 upper = _mm256_max_ps(b, a), lower = _mm256_max_ps(d, c);
  const Mask<float> of_upper = -(Mask<float>)_mm256_cmp_ps(b, a, _CMP_GT_OQ);
  const Mask<float> of_lower = 2 - (Mask<float>)_mm256_cmp_ps(d, c, _CMP_GT_OQ);
  const __m256 below = _mm256_cmp_ps(lower, upper, _CMP_GT_OQ);
  __m256 best = _mm256_max_ps(lower, upper),
         code = _mm256_blendv_ps((__m256)of_upper, (__m256)of_lower, below);
  if (relu) {
    const __m256 shut = _mm256_cmp_ps(best, zero, _CMP_LE_OQ);
    const __m256 none = pass_zero ? _mm256_and_ps(shut, _mm256_cmp_ps(a, zero, _CMP_LT_OQ)) : shut;
    best = _mm256_andnot_ps(shut, best);
    code = _mm256_or_ps(_mm256_andnot_ps(shut, code), none);
  }
  return {(Vec<float>)best, (Mask<float>)code};
}
#endif

#if defined(TENFOLD_ISA_avx512)
// The same as below where there is no NaN, by a tree of maxima; what is added to `check` is NaN where there is one (or
// infinities that leave one). What chooses is the sign of a difference: on Zen 4 a comparison takes the place of a
// multiply-add, which all else here does not.
TENFOLD_INLINE Pooled<float> pool_four_numbers(const Vec<float>* pixels, bool relu, bool pass_zero,
                                               Vec<float>& check) {
  const __m512 zero = _mm512_setzero_ps();
  const auto rounded = [](Vec<float> v) {  // not a product that the difference is contracted with
    pin<float>(v);
    return (__m512)v;
  };
  __m512 a = rounded(pixels[0]), b = rounded(pixels[1]), c = rounded(pixels[2]), d = rounded(pixels[3]);
  if (!relu) {  // -0 - 0 is less than 0; behind a ReLU it does not matter which of them it is
    a = _mm512_add_ps(a, zero), b = _mm512_add_ps(b, zero);
    c = _mm512_add_ps(c, zero), d = _mm512_add_ps(d, zero);
  }
  // Less than 0 where the second one is larger.
  const __m512 first = _mm512_sub_ps(a, b), second = _mm512_sub_ps(c, d);
  const __m512 upper = _mm512_max_ps(b, a), lower = _mm512_max_ps(d, c);  // the second one of equal operands
  const __m512 rows = _mm512_sub_ps(upper, lower);
  check = (Vec<float>)_mm512_add_ps((__m512)check, _mm512_add_ps(_mm512_add_ps(first, second), rows));
  __m512 best = _mm512_max_ps(lower, upper);
  const __m512i below = _mm512_srai_epi32(_mm512_castps_si512(rows), 31);
  // below ? second : first, whose sign is the last bit
  const __m512i column =
      _mm512_ternarylogic_epi32(below, _mm512_castps_si512(second), _mm512_castps_si512(first), 0xca);
  __m512i code = _mm512_sub_epi32(_mm512_srli_epi32(column, 31), _mm512_add_epi32(below, below));
  if (relu) {
    const __m512i open = _mm512_srai_epi32(_mm512_castps_si512(_mm512_sub_ps(zero, best)), 31);
    best = _mm512_max_ps(best, zero);
    if (pass_zero) {  // open ? code : a < 0 ? -1 : 0
      const __m512i none = _mm512_srai_epi32(_mm512_castps_si512(_mm512_add_ps(a, zero)), 31);
      code = _mm512_ternarylogic_epi32(open, code, none, 0xca);
    } else {
      code = _mm512_ternarylogic_epi32(open, code, code, 0xcf);  // code | ~open
    }
  }
  return {(Vec<float>)best, (Mask<float>)code};
}
TENFOLD_INLINE bool has_nan(Vec<float> v) {
  return _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q) != 0;
}
TENFOLD_INLINE Pooled<float> pool_four_by_comparisons(const Vec<float>* pixels, bool relu, bool pass_zero) {
  const __m512 zero = _mm512_setzero_ps(), a = (__m512)pixels[0];
  __m512 best = a;
  __m512i code = _mm512_setzero_si512();
  TENFOLD_UNROLL
  for (int p = 1; p < 4; ++p) {
    const __m512 v = (__m512)pixels[p];
    const __mmask16 number = _mm512_cmp_ps_mask(best, best, _CMP_ORD_Q);
    const __mmask16 better = _mm512_mask_cmp_ps_mask(number, v, best, _CMP_NLE_UQ);
    best = _mm512_mask_mov_ps(best, better, v);
    code = _mm512_mask_mov_epi32(code, better, _mm512_set1_epi32(p));
  }
  if (relu) {
    const __mmask16 shut = _mm512_cmp_ps_mask(best, zero, _CMP_LE_OQ);
    best = _mm512_mask_mov_ps(best, shut, zero);
    const __mmask16 none = pass_zero ? _mm512_mask_cmp_ps_mask(shut, a, zero, _CMP_LT_OQ) : shut;
    code = _mm512_mask_mov_epi32(code, shut, _mm512_setzero_si512());
    code = _mm512_mask_mov_epi32(code, none, _mm512_set1_epi32(-1));
  }
  return {(Vec<float>)best, (Mask<float>)code};
}
TENFOLD_INLINE Pooled<float> pool_four_floats(const Vec<float>* pixels, bool relu, bool pass_zero) {
  Vec<float> check = {};
  const Pooled<float> pooled = pool_four_numbers(pixels, relu, pass_zero, check);
  if (__builtin_expect(!has_nan(check), 1)) return pooled;
  return pool_four_by_comparisons(pixels, relu, pass_zero);
}
#endif

template <class T>
TENFOLD_INLINE Pooled<T> pool_four(const Vec<T>* pixels, bool relu, bool pass_zero) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) return pool_four_floats(pixels, relu, pass_zero);
#elif defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    const __m256 sum = (__m256)((pixels[0] + pixels[1]) + (pixels[2] + pixels[3]));
    if (__builtin_expect(_mm256_movemask_ps(_mm256_cmp_ps(sum, sum, _CMP_UNORD_Q)) == 0, 1))
      return pool_four_numbers(pixels, relu, pass_zero);
  }
#endif
  const Vec<T> zero = {};
  Vec<T> best = pixels[0];
  Mask<T> code = {};
  TENFOLD_UNROLL
  for (int p = 1; p < 4; ++p) {
    // The first maximum wins, a NaN wins over every number.
    const Mask<T> better = (pixels[p] > best) | ((pixels[p] != pixels[p]) & (best == best));
    best = select<T>(better, pixels[p], best);
    code = better ? Mask<T>{} + p : code;
  }
  if (relu) {
    // ReLU comes first: where no pixel is positive all four are 0, and the first one wins.
    const Mask<T> shut = best <= zero;
    const Mask<T> none = Mask<T>{} - 1;
    const Mask<T> first = pass_zero ? (pixels[0] < zero ? none : Mask<T>{}) : none;
    code = shut ? first : code;
    best = select<T>(shut, zero, best);
  }
  return {best, code};
}

#if defined(TENFOLD_ISA_avx512)
// r[i][j] <-- r[j][i] of 16 x 16 floats.
TENFOLD_INLINE void transpose(__m512 r[16]) {
  __m512 t[16];
  TENFOLD_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  TENFOLD_UNROLL
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
  }
  TENFOLD_UNROLL
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
  TENFOLD_UNROLL
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
  }
}
#endif

// lanes[i][16] <-- row(n)[i] for n < samples, zeros above.
template <class T, class Row>
TENFOLD_INLINE void turn_rows(index count, const Row& row, index samples, T* lanes) {
  index i = 0;
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    for (; i < count; i += 16) {
      const index left = count - i;
      const __mmask16 mask = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
      __m512 r[16];
      TENFOLD_UNROLL
      for (int n = 0; n < 16; ++n) r[n] = _mm512_maskz_loadu_ps(n < samples ? mask : 0, row(n) + i);
      transpose(r);
      if (left >= 16) {
        TENFOLD_UNROLL
        for (int k = 0; k < 16; ++k) _mm512_storeu_ps(lanes + (i + k) * kBlock, r[k]);
      } else {
        TENFOLD_UNROLL
        for (int k = 0; k < 16; ++k) {
          if (k < left) _mm512_storeu_ps(lanes + (i + k) * kBlock, r[k]);
        }
      }
    }
    return;
  }
#endif
  constexpr index L = kLanes<T>;
  for (const index whole = count - count % L; i < whole; i += L) {
    for (index lane = 0; lane < kBlock; lane += L) {
      Vec<T> square[L];
      TENFOLD_UNROLL
      for (index n = 0; n < L; ++n) square[n] = lane + n < samples ? load(row(lane + n) + i) : Vec<T>{};
      transpose_lanes<T>(square);
      TENFOLD_UNROLL
      for (index k = 0; k < L; ++k) store(lanes + (i + k) * kBlock + lane, square[k]);
    }
  }
  for (; i < count; ++i) {
    for (index n = 0; n < kBlock; ++n) lanes[i * kBlock + n] = n < samples ? row(n)[i] : T{0};
  }
}
template <class T>
void to_lanes(index count, const T* rows, index pitch, index samples, T* lanes) {
  turn_rows<T>(count, [=](index n) { return rows + n * pitch; }, samples, lanes);
}
template <class T>
void gather_lanes(index count, const T* const* rows, index first, index samples, T* lanes) {
  turn_rows<T>(count, [=](index n) { return rows[n] + first; }, samples, lanes);
}

template <class T>
void from_lanes(index count, const T* lanes, T* rows, index pitch, index samples, bool past = false) {
  static_cast<void>(past);
  index i = 0;
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    for (; i < count; i += 16) {
      const index left = count - i;
      const __mmask16 mask = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
      __m512 r[16];
      TENFOLD_UNROLL
      for (int k = 0; k < 16; ++k)
        r[k] = k < left ? _mm512_loadu_ps(lanes + (i + k) * kBlock) : _mm512_setzero_ps();
      transpose(r);
      TENFOLD_UNROLL
      for (int n = 0; n < 16; ++n) {
        if (n >= samples) continue;
        const __m512 row = _mm512_add_ps(r[n], _mm512_setzero_ps());
        if (past && left >= 16) {
          _mm512_stream_ps(rows + n * pitch + i, row);
        } else {
          _mm512_mask_storeu_ps(rows + n * pitch + i, mask, row);
        }
      }
    }
    return;
  }
#endif
  constexpr index L = kLanes<T>;
  for (const index whole = count - count % L; i < whole; i += L) {
    for (index lane = 0; lane < samples; lane += L) {
      Vec<T> square[L];
      TENFOLD_UNROLL
      for (index k = 0; k < L; ++k) square[k] = load(lanes + (i + k) * kBlock + lane);
      transpose_lanes<T>(square);
      TENFOLD_UNROLL
      for (index n = 0; n < L; ++n) {
        if (lane + n < samples) store(rows + (lane + n) * pitch + i, square[n] + Vec<T>{});
      }
    }
  }
  for (; i < count; ++i) {
    for (index n = 0; n < samples; ++n) rows[n * pitch + i] = lanes[i * kBlock + n] + T{0};
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
