// Products of matrices that lie in memory with two strides: which operand is packed, which is read where it
// lies.
#pragma once

#include "gemm/driver.h"
#include "tenfold/gemm.h"

namespace tenfold {

// Element (i, j) of op(X) lies at x[i * row + j * column].
struct MatrixLayout {
  index row, column;
};

inline MatrixLayout layout(Transpose transpose, index pitch) {
  return transpose == Transpose::yes ? MatrixLayout{1, pitch} : MatrixLayout{pitch, 1};
}

template <class T>
GemmPlan<T> plan_strided(index m, index n, index k, MatrixLayout a, MatrixLayout b) {
  // Packing costs about 16 / n of an n x n x n product and buys unit strides: small operands are read where
  // they lie.
  constexpr index kSmall = 512 * 512;
  const bool a_direct = m * k <= kSmall;
  const bool b_direct = b.column == 1 && k * n <= kSmall;
  static_cast<void>(a);
  return make_gemm_plan<T>(m, n, k, a_direct, b_direct);
}

}  // namespace tenfold
