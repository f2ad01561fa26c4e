// The matrix product by its definition: what every other one is compared with.
#pragma once

#include <cmath>

#include "tenfold/gemm.h"

namespace tenfold::naive {

template <class T>
T element(const T* x, index pitch, Transpose transpose, index i, index j) {
  return transpose == Transpose::yes ? x[j * pitch + i] : x[i * pitch + j];
}

// Row i, column j of op(A) op(B), and the sum of the products' magnitudes (what rounding errors are measured
// by).
template <class T>
double product(Transpose ta, Transpose tb, index k, const T* a, index lda, const T* b, index ldb, index i,
               index j, double* magnitude = nullptr) {
  double sum = 0, absolute = 0;
  for (index q = 0; q < k; ++q) {
    const double term =
        static_cast<double>(element(a, lda, ta, i, q)) * static_cast<double>(element(b, ldb, tb, q, j));
    sum += term, absolute += std::fabs(term);
  }
  if (magnitude) *magnitude = absolute;
  return sum;
}

// C = alpha * op(A) op(B) + beta * C.
template <class T>
void gemm(Transpose ta, Transpose tb, index m, index n, index k, T alpha, const T* a, index lda, const T* b,
          index ldb, T beta, T* c, index ldc) {
  for (index i = 0; i < m; ++i) {
    for (index j = 0; j < n; ++j) {
      const double sum = static_cast<double>(alpha) * product(ta, tb, k, a, lda, b, ldb, i, j);
      T& to = c[i * ldc + j];
      to = static_cast<T>(beta == 0 ? sum : sum + static_cast<double>(beta) * static_cast<double>(to));
    }
  }
}

}  // namespace tenfold::naive
