// Vector maths on Vec<T>: exp, expm1, log, sigmoid, tanh, the normal distribution.
//
// Every function works lane by lane. Largest errors in units of the last place (ULP): exp 1.1, expm1 1.9, log
// 0.9, sigmoid 2.5, tanh 2.5; tests/functional/test_elementwise.py holds them to it. Results that would be
// denormal are zero where the region flushes denormals, as everywhere in the core. NaN in, NaN out.
#pragma once

#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T>
struct Unsigned;
template <>
struct Unsigned<float> {
  typedef uint32_t element;
  typedef uint32_t vector __attribute__((vector_size(TENFOLD_VECTOR_BYTES), may_alias));
};
template <>
struct Unsigned<double> {
  typedef uint64_t element;
  typedef uint64_t vector __attribute__((vector_size(TENFOLD_VECTOR_BYTES), may_alias));
};

// How T is laid out in memory.
template <class T>
constexpr bool kSingle = sizeof(T) == 4;
template <class T>
constexpr int kMantissa = kSingle<T> ? 23 : 52;
template <class T>
constexpr int kBias = kSingle<T> ? 127 : 1023;
template <class T>
constexpr T kSmallestNormal = kSingle<T> ? T(1.17549435e-38) : T(2.2250738585072014e-308);

template <class T>
TENFOLD_INLINE Vec<T> infinity() {
  return splat(T(__builtin_inf()));
}
// NaN where x is.
template <class T>
TENFOLD_INLINE Vec<T> at_most(Vec<T> x, T bound) {
  return lesser<T>(splat(bound), x);
}
template <class T>
TENFOLD_INLINE Vec<T> at_least(Vec<T> x, T bound) {
  return larger<T>(splat(bound), x);
}
template <class T>
TENFOLD_INLINE Vec<T> magnitude(Vec<T> x) {
  typedef typename Unsigned<T>::vector Bits;
  return (Vec<T>)((Bits)x & ((Bits){} - 1) >> 1);
}
// -|x|
template <class T>
TENFOLD_INLINE Vec<T> minus_magnitude(Vec<T> x) {
  typedef typename Unsigned<T>::vector Bits;
  return (Vec<T>)((Bits)x | ~(((Bits){} - 1) >> 1));
}
// value, which is not negative, with the sign of `sign`.
template <class T>
TENFOLD_INLINE Vec<T> with_sign(Vec<T> value, Vec<T> sign) {
  typedef typename Unsigned<T>::vector Bits;
  return (Vec<T>)((Bits)value | ((Bits)sign & ~(((Bits){} - 1) >> 1)));
}

// c[0] + c[1] x + c[2] x^2 + ..., by pairs of terms and Horner's rule in x^2: half as many steps wait for each other.
// Loops over vectors are bound by that, as a processor looks only a few vectors ahead.
template <class T, int N>
TENFOLD_INLINE Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {
  const Vec<T> square = x * x;
  const auto pair = [&](int i)
                        __attribute__((always_inline)) { return fma<T>(x, splat(c[i + 1]), splat(c[i])); };
  constexpr int last = N % 2 == 0 ? N - 2 : N - 3;  // where the last whole pair begins
  Vec<T> sum = N % 2 == 0 ? pair(last) : fma<T>(square, splat(c[N - 1]), pair(last));
#pragma GCC unroll 16
  for (int i = last - 2; i >= 0; i -= 2) sum = fma<T>(sum, square, pair(i));
  return sum;
}

// x = n ln 2 + r with |r| <= ln 2 / 2, n a whole number.
template <class T>
struct Reduced {
  typedef typename Unsigned<T>::vector Bits;
  // 1.5 * 2^mantissa: adding it leaves round(value) in the low bits.
  static constexpr T kRound = kSingle<T> ? T(12582912.0) : T(6755399441055744.0);
  Vec<T> shifted;  // n + kRound
  Vec<T> n, r;
  // n + more in the low bits; the others vanish when these are shifted to where an exponent is.
  __attribute__((always_inline)) Bits low_bits(typename Unsigned<T>::element more) const {
    return (Bits)shifted + more;
  }
};
template <class T>
TENFOLD_INLINE Reduced<T> reduce(Vec<T> x) {
  constexpr T log2e = T(1.4426950408889634);
  // n * high is exact; high + low = ln 2.
  constexpr T high = kSingle<T> ? T(0.693359375) : T(0x1.62e42fefa3p-1);
  constexpr T low = kSingle<T> ? T(-2.12194440e-4) : T(2.8235290563031577e-13);
  const Vec<T> shifted = fma<T>(x, splat(log2e), splat(Reduced<T>::kRound));
  const Vec<T> n = shifted - Reduced<T>::kRound;
  return {shifted, n, fma<T>(n, splat(-low), fma<T>(n, splat(-high), x))};
}

// 2^n for whole n from the exponents of normal numbers; 0 for the next lower one.
template <class T>
TENFOLD_INLINE Vec<T> power_of_two(const Reduced<T>& e) {
  return (Vec<T>)(e.low_bits(kBias<T>) << kMantissa<T>);
}

// exp(r) - 1 on |r| <= 0.36, by Chebyshev interpolation of (exp(r) - 1 - r) / r^2; relative error of exp 1.4e-8 and 4e-19.
template <class T>
TENFOLD_INLINE Vec<T> expm1_near_zero(Vec<T> r) {
  Vec<T> tail;
  if constexpr (kSingle<T>) {
    constexpr T c[] = {0.5f, 0.166665623f, 0.0416665363f, 0.00836553411f, 0.00139291254f};
    tail = polynomial(r, c);
  } else {
    constexpr T c[] = {0.5,
                       0.16666666666666674,
                       0.041666666666666671,
                       0.0083333333333235841,
                       0.0013888888888881927,
                       0.00019841269883394329,
                       2.4801587331670256e-05,
                       2.7557244942221745e-06,
                       2.7557266175047446e-07,
                       2.5109404672957823e-08,
                       2.091767738180507e-09};
    tail = polynomial(r, c);
  }
  return fma<T>(r * r, tail, r);
}

// exp(x): infinity above 88.72 / 709.78, zero below -87.33 / -708.39 (where the result is no normal number).
template <class T>
TENFOLD_INLINE Vec<T> exp(Vec<T> x) {
  const Reduced<T> e =
      reduce<T>(at_least<T>(at_most<T>(x, kSingle<T> ? T(89.5) : T(710.5)), kSingle<T> ? T(-104) : T(-746)));
  const Vec<T> p = expm1_near_zero<T>(e.r);
#if defined(TENFOLD_ISA_avx512)
  // maskz: GCC 12 warns about the undefined source of the plain form.
  if constexpr (kSingle<T>) {
    return (Vec<T>)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)(p + T(1)), (__m512)e.n);
  } else {
    return (Vec<T>)_mm512_maskz_scalef_pd((__mmask8)-1, (__m512d)(p + T(1)), (__m512d)e.n);
  }
#else
  // 2^n may be out of range where the result is not: two factors.
  const typename Reduced<T>::Bits both = e.low_bits(2 * kBias<T>), half = both >> 1;
  const Vec<T> factor = (Vec<T>)(half << kMantissa<T>);
  return fma<T>(factor, p, factor) * (Vec<T>)((both - half) << kMantissa<T>);
#endif
}

// exp and exp - 1 of what was reduced, where 2^n is a normal number or zero.
template <class T>
TENFOLD_INLINE Vec<T> exp_of(const Reduced<T>& e) {
  const Vec<T> s = power_of_two<T>(e), p = expm1_near_zero<T>(e.r);
  return kFused ? fma<T>(s, p, s) : s * (p + T(1));  // s p alone may be no normal number
}
template <class T>
TENFOLD_INLINE Vec<T> expm1_of(const Reduced<T>& e) {
  const Vec<T> s = power_of_two<T>(e);
  return fma<T>(s, expm1_near_zero<T>(e.r), s - T(1));
}

// exp(x) for x <= 0, in fewer steps.
template <class T>
TENFOLD_INLINE Reduced<T> reduce_nonpositive(Vec<T> x) {
  return reduce<T>(at_least<T>(x, kSingle<T> ? T(-88) : T(-709)));  // there 2^n is zero
}
template <class T>
TENFOLD_INLINE Vec<T> exp_nonpositive(Vec<T> x) {
  return exp_of<T>(reduce_nonpositive<T>(x));
}
// exp(x + low) for |low| so small that it only corrects the rounding of x (|low| < 0.01).
template <class T>
TENFOLD_INLINE Vec<T> exp_nonpositive(Vec<T> x, Vec<T> low) {
  Reduced<T> e = reduce_nonpositive<T>(x);
  e.r += low;
  return exp_of<T>(e);
}

// exp(x) for x <= 0 where errors of 1.05 ULP do not add up to more than they may, as in softmax: by a table of powers, which
// fills a vector and takes one permutation to look up. x = (k + j / kPowers) ln 2 + r leaves a shorter polynomial than
// x = k ln 2 + r.
#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
constexpr int kPowers = static_cast<int>(kLanes<float>);
// The bits of 2^(j / kPowers), less j where kPowers k + j has it once it is shifted so that k meets the exponent.
#if defined(TENFOLD_ISA_avx512)
constexpr uint32_t kPowerOf[kPowers] = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
#else
constexpr uint32_t kPowerOf[kPowers] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                        0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};
#endif
TENFOLD_INLINE Vec<float> exp_from_table(Vec<float> x) {
  typedef Unsigned<float>::vector Bits;
  constexpr int kShift = kPowers == 16 ? 4 : 3;
  static_assert(kPowers == 1 << kShift, "");
  x = at_least<float>(x, -88.0297f);  // -127 ln 2, where the power is zero
  // As in reduce; the low bits are kPowers k + j.
  const Vec<float> shifted = fma<float>(x, splat(1.44269504f * kPowers), splat(Reduced<float>::kRound));
  const Vec<float> n = shifted - Reduced<float>::kRound;
  const Vec<float> r =
      fma<float>(n, splat(2.12194440e-4f / kPowers), fma<float>(n, splat(-0.693359375f / kPowers), x));
  const Vec<float> powers = load(reinterpret_cast<const float*>(kPowerOf));
#if defined(TENFOLD_ISA_avx512)
  const Bits of_j = (Bits)_mm512_maskz_permutexvar_ps((__mmask16)-1, (__m512i)shifted, (__m512)powers);
#else
  const Bits of_j = (Bits)_mm256_permutevar8x32_ps((__m256)powers, (__m256i)shifted);
#endif
  const Vec<float> power = (Vec<float>)(of_j + ((Bits)shifted << (kMantissa<float> - kShift)));
  // exp(r) - 1 on |r| <= ln 2 / (2 kPowers), relative error of exp 9e-9 and 1e-9.
  const Vec<float> square = r * r;
  Vec<float> tail = fma<float>(r, splat(1.0f / 6), splat(0.5f));
  if (kPowers < 16) tail = fma<float>(square, splat(1.0f / 24), tail);
  return fma<float>(fma<float>(square, tail, r), power, power);
}
#endif
template <class T>
TENFOLD_INLINE Vec<T> exp_nonpositive_fast(Vec<T> x) {
#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
  if constexpr (kSingle<T>) return exp_from_table(x);
#endif
  return exp_nonpositive<T>(x);
}

// exp(x) - 1 for x <= 88 / 709, accurate near 0.
template <class T>
TENFOLD_INLINE Vec<T> expm1(Vec<T> x) {
  return expm1_of<T>(reduce<T>(at_least<T>(x, kSingle<T> ? T(-25) : T(-50))));
}

// log(1 + f) for 1 / sqrt 2 <= 1 + f <= sqrt 2, by 2 atanh(f / (2 + f)).
template <class T>
TENFOLD_INLINE Vec<T> log1p_near_zero(Vec<T> f, Vec<T> correction) {
  const Vec<T> s = f / (f + T(2)), z = s * s;
  Vec<T> w;  // (atanh(s) / s - 1) / z on 0 <= z <= 0.0295; error of z w: 2e-11 and 5e-18
  if constexpr (kSingle<T>) {
    constexpr T c[] = {0.333333333f, 0.20000061f, 0.142754013f, 0.11665482f};
    w = polynomial(z, c);
  } else {
    constexpr T c[] = {0.33333333333333348,  0.19999999999949619,  0.14285714313047945, 0.1111110555757208,
                       0.090914452783478011, 0.076658370150839303, 0.073085187743958252};
    w = polynomial(z, c);
  }
  // 2 s (1 + z w) = f - s (f - 2 z w): f is exact and the rest small.
  return f - (s * (f - T(2) * z * w) - correction);
}

// log(x): -infinity at 0 and denormals, NaN below.
template <class T>
TENFOLD_INLINE Vec<T> log(Vec<T> x) {
  typedef typename Unsigned<T>::vector Bits;
  constexpr T high = kSingle<T> ? T(0.693359375) : T(0x1.62e42fefa3p-1);
  constexpr T low = kSingle<T> ? T(-2.12194440e-4) : T(2.8235290563031577e-13);
  // x = 2^k m with m between 1 / sqrt 2 and sqrt 2.
  const Bits root_half = (Bits)splat(T(0.70710678118654752));
  const Bits k = ((Bits)x - root_half + (Bits)splat(T(1))) >> kMantissa<T>;  // biased
  const Vec<T> m = (Vec<T>)((Bits)x - ((k - kBias<T>) << kMantissa<T>));
  const Vec<T> n = (Vec<T>)((Bits)splat(Reduced<T>::kRound) + k) - (Reduced<T>::kRound + kBias<T>);
  Vec<T> y = fma<T>(n, splat(high), log1p_near_zero<T>(m - T(1), n * low));
  y = select<T>(x < infinity<T>(), y, x);
  y = select<T>(x < splat(kSmallestNormal<T>), -infinity<T>(), y);
  return select<T>(x < Vec<T>{}, splat(T(__builtin_nan(""))), y);
}

// log(1 + e) for 0 <= e <= 1.
template <class T>
TENFOLD_INLINE Vec<T> log1p_of_unit(Vec<T> e) {
  const Mask<T> large = e > splat(T(0.41421356237309503));
  const Vec<T> f = select<T>(large, (e - T(1)) * T(0.5), e);
  const Vec<T> y = log1p_near_zero<T>(f, Vec<T>{});
  return select<T>(large, y + T(0.69314718055994531), y);
}

// 1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows and small results keep their digits.
template <class T>
TENFOLD_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> e = exp_nonpositive<T>(minus_magnitude<T>(x));
  return select<T>(x < Vec<T>{}, e, splat(T(1))) / (e + T(1));
}

// tanh |x| = m / (m + 2) with m = exp(2 |x|) - 1.
template <class T>
TENFOLD_INLINE Vec<T> tanh(Vec<T> x) {
  const Vec<T> m = expm1_of<T>(reduce<T>(at_most<T>(magnitude<T>(x), kSingle<T> ? T(9.5) : T(19.5)) * T(2)));
  return with_sign<T>(m / (m + T(2)), x);
}

// The normal distribution Phi(x) = erfc(-x / sqrt 2) / 2 and exp(-x^2 / 2), both to a few ULP in the far tail
// too.
template <class T>
struct Normal {
  Vec<T> distribution, bell;
};
template <class T>
TENFOLD_INLINE Normal<T> normal(Vec<T> x) {
  typedef typename Unsigned<T>::vector Bits;
  const Vec<T> a = at_most<T>(magnitude<T>(x), kSingle<T> ? T(14.4) : T(38.5));
  // exp(-a^2 / 2) with a^2 / 2 = square + low; `high`, the leading half of a's digits, squares exactly.
  typedef typename Unsigned<T>::element Word;
  constexpr Word half = (Word(1) << (kMantissa<T> + 2) / 2) - 1;
  const Vec<T> high = (Vec<T>)((Bits)a & ~((Bits){} + half));
  const Vec<T> square = a * a * T(0.5);
  const Vec<T> low = (high * high * T(0.5) - square) + (a - high) * (a + high) * T(0.5);
  const Vec<T> bell = exp_nonpositive<T>(-square, -low);
  // erfc(z) = exp(-z^2) h(t) / (1 + 2 z) with t = (z - k) / (z + k), where h is smooth.
  const Vec<T> z = a * T(0.70710678118654752);
  constexpr T k = kSingle<T> ? T(3.25) : T(4.5);
  const Vec<T> t = (z - k) / (z + k);
  Vec<T> h;  // Chebyshev interpolation; relative error 2.4e-10 and 8e-19
  if constexpr (kSingle<T>) {
    constexpr T c[] = {1.24751511f,      -0.138611332f,  -0.0274567633f, 0.113507459f,
                       -0.118979403f,    0.0801488259f,  -0.036955661f,  0.0101552186f,
                       -0.000204156898f, -0.0011136817f, 0.00030792328f, 0.000140562448f};
    h = polynomial(t, c);
  } else {
    constexpr T c[] = {
        1.2248480427384141,      -0.13670709985543791,    0.033344063968230864,    0.043372220058863847,
        -0.083578354447891606,   0.09033360602511209,     -0.075197445439897218,   0.051613843329912056,
        -0.029681792254355951,   0.014166837373367861,    -0.005404217946623921,   0.0014843223555487093,
        -0.00018218607942580746, -6.7788476524328998e-05, 4.4052844401170586e-05,  -7.8137858028899627e-06,
        -2.5185132175822603e-06, 1.626112017079279e-06,   -1.031028272709431e-07,  -1.8703849409694112e-07,
        4.8615276493869287e-08,  1.9854624449365418e-08,  -6.8790351433046028e-09, -2.450138636434673e-09};
    h = polynomial(t, c);
  }
  const Vec<T> tail = bell * h / (z * T(4) + T(2));
  return {select<T>(x > Vec<T>{}, T(1) - tail, tail), bell};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
