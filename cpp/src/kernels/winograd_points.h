// The six points of Winograd's forms with 6 x 6 elements a tile (docs/numerics.md says why these), and the transforms of a
// line between them and m outputs or r taps, m + r = 7, whatever lies in the lanes.
#pragma once

#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Interpolation at 0, +-a, +-b and infinity with a^2 = 1/2, b^2 = 2; 1, -3/2 and 6 are the products of the distances
// of 0, +-a and +-b to the other finite points.
template <class T>
struct Points {
  static constexpr T a = T(0.70710678118654752440), b = T(1.41421356237309504880);
  static constexpr T over_a = T(-2.0 / 3), over_b = T(1.0 / 6);
};

// B^T d of six looks. B^T has the rows (1 0 -5/2 0 1 0), (0 -+2a -2 +-a 1 0), (0 -+b/2 -1/2 +-b 1 0), (0 1 0 -5/2 0 1).
template <class T>
TENFOLD_INLINE void look_line(const Vec<T>* d, Vec<T>* v) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  const Vec<T> even_a = d[4] - d[2] * T(2), odd_a = d[3] - d[1] * T(2);
  const Vec<T> even_b = d[4] - d[2] * T(0.5), odd_b = d[3] - d[1] * T(0.5);
  v[0] = d[0] + d[4] - d[2] * T(2.5);
  v[1] = even_a + odd_a * a;
  v[2] = even_a - odd_a * a;
  v[3] = even_b + odd_b * b;
  v[4] = even_b - odd_b * b;
  v[5] = d[1] + d[5] - d[3] * T(2.5);
}

// p^n of +-a and +-b, without the sign.
template <class T>
constexpr T power(T p, int n) {
  return n == 0 ? T(1) : n == 1 ? p : (p < 1 ? T(0.5) : T(2)) * power(p, n - 2);
}

// n outputs of A^T s, where points +-a and +-b count so many times.
template <class T, int n>
TENFOLD_INLINE void combine_line(const Vec<T>* s, T times_a, T times_b, Vec<T>* y) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  const Vec<T> sum_a = s[1] + s[2], difference_a = s[1] - s[2];
  const Vec<T> sum_b = s[3] + s[4], difference_b = s[3] - s[4];
  y[0] = s[0] + sum_a * times_a + sum_b * times_b;
  _Pragma("GCC unroll 8") for (int o = 1; o < n; ++o) {
    const T at_a = power(a, o) * times_a, at_b = power(b, o) * times_b;
    y[o] = o % 2 == 0 ? sum_a * at_a + sum_b * at_b : difference_a * at_a + difference_b * at_b;
  }
  y[n - 1] += s[5];
}
// A^T s
template <class T, int m>
TENFOLD_INLINE void output_line(const Vec<T>* s, Vec<T>* y) {
  if constexpr (m == 2) {
    // b = 2 a: additions instead of multiplications, which are what there is too little of beside a product.
    static_assert(Points<T>::b == 2 * Points<T>::a, "");
    const Vec<T> difference_a = s[1] - s[2], difference_b = s[3] - s[4];
    y[0] = s[0] + (s[1] + s[2]) + (s[3] + s[4]);
    y[1] = s[5] + (difference_a + (difference_b + difference_b)) * Points<T>::a;
  } else {
    combine_line<T, m>(s, T(1), T(1), y);
  }
}
// Points +-p of A e
template <class T, int m, class Part>
TENFOLD_INLINE Vec<T> even_part(T p, const Part& e) {
  Vec<T> sum = e(0);
  _Pragma("GCC unroll 8") for (int o = 2; o < m; o += 2) sum += e(o) * power(p, o);
  return sum;
}
template <class T, int m, class Part>
TENFOLD_INLINE Vec<T> odd_part(T p, const Part& e) {
  Vec<T> sum = e(1);
  _Pragma("GCC unroll 8") for (int o = 3; o < m; o += 2) sum += e(o) * power(p, o - 1);
  return sum * p;
}
// A e
template <class T, int m>
TENFOLD_INLINE void spread_line(const Vec<T>* e, Vec<T>* w) {
  const auto part = [&](int o) __attribute__((always_inline)) { return e[o]; };
  const Vec<T> even_a = even_part<T, m>(Points<T>::a, part), odd_a = odd_part<T, m>(Points<T>::a, part);
  const Vec<T> even_b = even_part<T, m>(Points<T>::b, part), odd_b = odd_part<T, m>(Points<T>::b, part);
  w[0] = e[0];
  w[1] = even_a + odd_a;
  w[2] = even_a - odd_a;
  w[3] = even_b + odd_b;
  w[4] = even_b - odd_b;
  w[5] = e[m - 1];
}
// G g: A g, over the products of distances.
template <class T, int r>
TENFOLD_INLINE void weight_line(const Vec<T>* g, Vec<T>* u) {
  spread_line<T, r>(g, u);
  u[1] *= Points<T>::over_a, u[2] *= Points<T>::over_a;
  u[3] *= Points<T>::over_b, u[4] *= Points<T>::over_b;
}
// G^T s
template <class T, int r>
TENFOLD_INLINE void weight_line_adjoint(const Vec<T>* s, Vec<T>* g) {
  combine_line<T, r>(s, Points<T>::over_a, Points<T>::over_b, g);
}

// The same for t = 6 points, or for 4: at 0, 1, -1 and infinity (with the other sign), for two outputs and three taps.
template <class T, int t>
TENFOLD_INLINE void tile_looks(const Vec<T>* d, Vec<T>* v) {
  if constexpr (t == 4) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
  } else {
    look_line<T>(d, v);
  }
}

template <class T, int t, int r>
TENFOLD_INLINE void tile_weights(const Vec<T>* g, Vec<T>* u) {
  if constexpr (t == 4) {
    const Vec<T> even = (g[0] + g[2]) * T(0.5), odd = g[1] * T(0.5);
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
  } else {
    weight_line<T, r>(g, u);
  }
}

template <class T, int m, int t>
TENFOLD_INLINE void tile_outputs(const Vec<T>* s, Vec<T>* y) {
  if constexpr (t == 4) {
    y[0] = s[0] + (s[1] + s[2]);
    y[1] = (s[1] - s[2]) - s[3];
  } else {
    output_line<T, m>(s, y);
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
