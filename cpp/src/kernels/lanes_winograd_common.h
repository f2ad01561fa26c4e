// What Winograd's forms on lanes share: single points and adjoints of the transforms, and how a tile is written.
#pragma once

#include "kernels/lanes_common.h"
#include "kernels/lanes_winograd.h"
#include "kernels/winograd_points.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

constexpr int kSide = 6;  // points of a line
static_assert(kSide * kSide == kWinogradPoints, "");

// Calls f(Constant<i>) for begin <= i < end.
template <int begin, int end, class F>
TENFOLD_INLINE void for_constants(const F& f) {
  if constexpr (begin < end) {
    f(Constant<begin>{});
    for_constants<begin + 1, end>(f);
  }
}

// ---- one-dimensional transforms beside those of kernels/winograd_points.h
// ---------------------------------------------------------------------------------------

// Point j of B^T d.
template <class T, int j, class Look>
TENFOLD_INLINE Vec<T> look_at(const Look& d) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  if constexpr (j == 0) return d(0) + d(4) - d(2) * T(2.5);
  if constexpr (j == 1) return (d(4) - d(2) * T(2)) + (d(3) - d(1) * T(2)) * a;
  if constexpr (j == 2) return (d(4) - d(2) * T(2)) - (d(3) - d(1) * T(2)) * a;
  if constexpr (j == 3) return (d(4) - d(2) * T(0.5)) + (d(3) - d(1) * T(0.5)) * b;
  if constexpr (j == 4) return (d(4) - d(2) * T(0.5)) - (d(3) - d(1) * T(0.5)) * b;
  return d(1) + d(5) - d(3) * T(2.5);
}
// B v
template <class T>
TENFOLD_INLINE void look_line_adjoint(const Vec<T>* v, Vec<T>* d) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  const Vec<T> sum_a = v[1] + v[2], difference_a = v[1] - v[2];
  const Vec<T> sum_b = v[3] + v[4], difference_b = v[3] - v[4];
  d[0] = v[0];
  d[1] = v[5] - difference_a * (2 * a) - difference_b * (b / 2);
  d[2] = v[0] * T(-2.5) - sum_a * T(2) - sum_b * T(0.5);
  d[3] = difference_a * a + difference_b * b - v[5] * T(2.5);
  d[4] = v[0] + (sum_a + sum_b);
  d[5] = v[5];
}
// What points First .. First + Count - 1 are to the m outputs of A^T s: the first ones overwrite y, others add to it.
template <class T, int m, int First, int Count>
TENFOLD_INLINE void output_part(const Vec<T>* s, Vec<T>* y) {
  if constexpr (Count == kSide) {
    output_line<T, m>(s, y);
  } else {  // 0, +-a or +-b, infinity
    static_assert(Count == 3, "");
    constexpr T p = First == 0 ? Points<T>::a : Points<T>::b;
    const Vec<T>* const pair = First == 0 ? s + 1 : s;
    const Vec<T> sum = pair[0] + pair[1], difference = pair[0] - pair[1];
    y[0] = (First == 0 ? s[0] : y[0]) + sum;
    TENFOLD_UNROLL
    for (int o = 1; o < m; ++o) {
      const Vec<T> term = (o % 2 == 0 ? sum : difference) * power(p, o);
      y[o] = First == 0 ? term : y[o] + term;
    }
    if (First != 0) y[m - 1] += s[2];
  }
}
// What they are to B v, likewise; d[0] belongs to the first and d[5] to the last.
template <class T, int First, int Count>
TENFOLD_INLINE void look_part_adjoint(const Vec<T>* v, Vec<T>* d) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  if constexpr (Count == kSide) {
    look_line_adjoint<T>(v, d);
  } else if constexpr (First == 0) {
    const Vec<T> sum = v[1] + v[2], difference = v[1] - v[2];
    d[0] = v[0];
    d[1] = difference * (-2 * a);
    d[2] = v[0] * T(-2.5) - sum * T(2);
    d[3] = difference * a;
    d[4] = v[0] + sum;
  } else {
    const Vec<T> sum = v[0] + v[1], difference = v[0] - v[1];
    d[1] += v[2] - difference * (b / 2);
    d[2] -= sum * T(0.5);
    d[3] += difference * b - v[2] * T(2.5);
    d[4] += sum;
    d[5] = v[2];
  }
}
// Point j of A e
template <class T, int m, int j, class Part>
TENFOLD_INLINE Vec<T> spread_at(const Part& e) {
  constexpr T a = Points<T>::a, b = Points<T>::b;
  if constexpr (j == 0) return e(0);
  if constexpr (j == 1) return even_part<T, m>(a, e) + odd_part<T, m>(a, e);
  if constexpr (j == 2) return even_part<T, m>(a, e) - odd_part<T, m>(a, e);
  if constexpr (j == 3) return even_part<T, m>(b, e) + odd_part<T, m>(b, e);
  if constexpr (j == 4) return even_part<T, m>(b, e) - odd_part<T, m>(b, e);
  return e(m - 1);
}
// ---- outputs
// -----------------------------------------------------------------------------------------------------

// Writes the part of Rows x Cols outputs from (top, left) on that exists: pixels, or the maxima of their pooling
// windows. PoolH 0: no pooling.
template <class T, int Rows, int Cols, int PoolH>
TENFOLD_INLINE void put_tile(const LaneWinograd<T>& a, index f, index top, index left, index lane,
                             const Vec<T> (*y)[Cols]) {
  if constexpr (PoolH == 0) {
    T* to = a.y + f * a.y_plane + top * a.y_row + left * kBlock + lane;
    const index rows = a.out_h - top, cols = a.out_w - left;
    TENFOLD_UNROLL
    for (int p = 0; p < Rows; ++p) {
      TENFOLD_UNROLL
      for (int q = 0; q < Cols; ++q) {
        if (p < rows && q < cols)
          store(to + p * a.y_row + q * kBlock, a.relu ? signed_relu<T>(y[p][q]) : y[p][q]);
      }
    }
  } else {
    constexpr int kPoolW = 4 / PoolH;
    const index first_h = top / PoolH, first_w = left / kPoolW;
    TENFOLD_UNROLL
    for (int p = 0; p < Rows / PoolH; ++p) {
      TENFOLD_UNROLL
      for (int q = 0; q < Cols / kPoolW; ++q) {
        const index oh = first_h + p, ow = first_w + q;
        if (oh >= a.pooled_h || ow >= a.pooled_w) continue;
        Vec<T> pixels[4];
        TENFOLD_UNROLL
        for (int n = 0; n < 4; ++n) pixels[n] = y[p * PoolH + n / kPoolW][q * kPoolW + n % kPoolW];
        const Pooled<T> pooled = pool_four<T>(pixels, a.relu, a.pass_zero);
        store(a.y + f * a.y_plane + oh * a.y_row + ow * kBlock + lane, pooled.best);
        store_codes<T>(a.codes + f * a.code_plane + (oh * a.pooled_w + ow) * kBlock + lane, pooled.code);
      }
    }
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
