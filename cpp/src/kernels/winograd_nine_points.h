// The nine points of Winograd's F(4, 5) along a line, one pair of which is complex, and their transforms.
//
// Eight points would do for four outputs and five taps; with 0, infinity and three real pairs they err three to four times as
// much as plain sums. Taking +-i for the third pair costs one multiplication more, three real ones for a complex one
// (Karatsuba), and errs less than F(2, 5) (docs/numerics.md): all points have magnitudes near 1.
#pragma once

#include "kernels/vec.h"
#include "kernels/winograd_points.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Points in this order: +-a; +-b; 0; the three products of +-i: real, imaginary and of both sums; infinity. The first four
// and the last five make outputs of their own, which add up.
constexpr int kNinePoints = 9, kNineFirst = 4;
// What B^T d is kept as: of the three products of +-i the odd and the even part, whose sum and difference the first two are.
constexpr int kNineLooks = 8;

// Kernels on lanes use them where a block is one vector and registers are many.
constexpr bool kNineOnLanes = TENFOLD_VECTOR_REGISTERS == 32 && TENFOLD_VECTOR_BYTES == 64;

// B^T d of eight looks, as it is kept. Up to factors that the weights bear, +-a has the row (0 +-b 2 +-a 1 -+a -1 0), +-b
// (0 -+b -1 +-b 1 +-2b 2 0), i (0 -1 -1 5/2 5/2 -1 -1 0), (0 -1 1 5/2 -5/2 -1 1 0) and (0 -1 0 5/2 0 -1 0 0),
// 0 and infinity (1 0 -3/2 0 -3/2 0 1 0) and (0 1 0 -3/2 0 -3/2 0 1).
template <class T>
TENFOLD_INLINE void kept_looks_nine(const Vec<T>* d, Vec<T>* v) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  // Additions instead of multiplications by 2, which would take a multiply-add's place.
  const Vec<T> even_a = (d[2] + d[2]) + (d[4] - d[6]), odd_a = (d[1] + d[1]) + (d[3] - d[5]);
  const Vec<T> even_b = (d[6] + d[6]) + (d[4] - d[2]), odd_b = (d[5] + d[5]) + (d[3] - d[1]);
  v[0] = even_a + odd_a * a;
  v[1] = even_a - odd_a * a;
  v[2] = even_b + odd_b * b;
  v[3] = even_b - odd_b * b;
  v[4] = (d[0] + d[6]) - (d[2] + d[4]) * T(1.5);
  v[5] = d[3] * T(2.5) - (d[1] + d[5]);
  v[6] = d[4] * T(2.5) - (d[2] + d[6]);
  v[7] = (d[1] + d[7]) - (d[3] + d[5]) * T(1.5);
}
// Calls use(k, point) for Count points whose looks v keeps, `step` elements apart: of nine the first or the last ones.
template <class T, bool Nine, int Count, class Use>
TENFOLD_INLINE void for_points(const T* v, index step, const Use& use) {
  const auto at = [&](int k) __attribute__((always_inline)) {
    Vec<T> x = load(v + k * step);
    pin<T>(x);
    return x;
  };
  if constexpr (!Nine || Count == kNineFirst) {
    _Pragma("GCC unroll 8") for (int k = 0; k < Count; ++k) use(k, at(k));
  } else {
    static_assert(Count == kNinePoints - kNineFirst, "");
    use(0, at(0));
    const Vec<T> odd = at(1), even = at(2);
    use(1, odd + even);
    use(2, odd - even);
    use(3, odd);
    use(4, at(3));
  }
}
// B^T d
template <class T>
TENFOLD_INLINE void look_nine(const Vec<T>* d, Vec<T>* v) {
  Vec<T> kept[kNineLooks];
  kept_looks_nine<T>(d, kept);
  _Pragma("GCC unroll 8") for (int k = 0; k < 5; ++k) v[k] = kept[k];
  v[5] = kept[5] + kept[6];
  v[6] = kept[5] - kept[6];
  v[7] = kept[5];
  v[8] = kept[7];
}

// G g of five taps
template <class T>
TENFOLD_INLINE void weights_nine(const Vec<T>* g, Vec<T>* u) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  const Vec<T> even_a = g[0] + g[2] * T(0.5) + g[4] * T(0.25), odd_a = (g[1] + g[3] * T(0.5)) * a;
  const Vec<T> even_b = g[0] + g[2] * T(2) + g[4] * T(4), odd_b = (g[1] + g[3] * T(2)) * b;
  const Vec<T> real = (g[0] - g[2]) + g[4], imaginary = g[1] - g[3];
  u[4] = g[0];
  u[5] = real * T(2.0 / 9);
  u[6] = imaginary * T(2.0 / 9);
  u[7] = (real + imaginary) * T(-2.0 / 9);
  u[8] = g[4];
  u[0] = (even_a + odd_a) * T(2.0 / 9);
  u[1] = (even_a - odd_a) * T(2.0 / 9);
  u[2] = (even_b + odd_b) * T(1.0 / 36);
  u[3] = (even_b - odd_b) * T(1.0 / 36);
}

// What the last five sums begin with so that `bias` is in every output.
template <class T>
TENFOLD_INLINE void start_nine(Vec<T> bias, Vec<T>* s) {
  s[0] = s[4] = bias + bias;
  s[1] = -bias;
  s[2] = bias;
  s[3] = Vec<T>{};
}
// What the first four sums are to A^T s; the outputs, of this and the last five sums. +-a has half of its weight in s, so that
// all is additions but for two multiplications.
template <class T>
TENFOLD_INLINE void first_part_nine(const Vec<T>* s, Vec<T>* y) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  const Vec<T> sum_a = s[0] + s[1], difference_a = s[0] - s[1];
  const Vec<T> sum_b = s[2] + s[3], difference_b = s[2] - s[3], twice = difference_b + difference_b;
  y[0] = (sum_a + sum_a) + sum_b;
  y[1] = (difference_a + difference_b) * b;
  y[2] = sum_a + (sum_b + sum_b);
  y[3] = (difference_a + (twice + twice)) * a;
}
template <class T>
TENFOLD_INLINE void add_last_part_nine(const Vec<T>* s, Vec<T>* y) {
  const Vec<T> real = s[1] + s[3], imaginary = s[2] + s[3];
  y[0] = (y[0] + s[0]) + real;
  y[1] = y[1] + imaginary;
  y[2] = y[2] - real;
  y[3] = (y[3] + s[4]) - imaginary;
}
// A y of four pixels: what the two parts are the transpose of.
template <class T>
TENFOLD_INLINE void spread_nine(const Vec<T>* y, Vec<T>* s) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  const Vec<T> even_a = (y[0] + y[0]) + y[2], even_b = y[0] + (y[2] + y[2]);
  const Vec<T> odd = y[1] * b, odd_a = odd + y[3] * a, odd_b = odd + y[3] * (4 * a);
  s[0] = even_a + odd_a;
  s[1] = even_a - odd_a;
  s[2] = even_b + odd_b;
  s[3] = even_b - odd_b;
  s[4] = y[0];
  s[5] = y[0] - y[2];
  s[6] = y[1] - y[3];
  s[7] = s[5] + s[6];
  s[8] = y[3];
}
// G^T s, five taps
template <class T>
TENFOLD_INLINE void taps_nine(const Vec<T>* s, Vec<T>* g) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  const Vec<T> even_a = (s[0] + s[1]) * T(2.0 / 9), odd_a = (s[0] - s[1]) * (T(2.0 / 9) * a);
  const Vec<T> even_b = (s[2] + s[3]) * T(1.0 / 36), odd_b = (s[2] - s[3]) * (T(1.0 / 36) * b);
  const Vec<T> real = (s[5] - s[7]) * T(2.0 / 9), imaginary = (s[6] - s[7]) * T(2.0 / 9);
  g[0] = (even_a + even_b) + (s[4] + real);
  g[1] = (odd_a + odd_b) + imaginary;
  g[2] = even_a * T(0.5) + even_b * T(2) - real;
  g[3] = odd_a * T(0.5) + odd_b * T(2) - imaginary;
  g[4] = even_a * T(0.25) + even_b * T(4) + (real + s[8]);
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
