// The six points of Winograd's forms with 6 x 6 elements a tile (docs/numerics.md says why these), whatever lies in the
// lanes.
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

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
