// Matrix products.
#pragma once

#include <cstddef>

#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

enum class Transpose { no, yes };

// C = alpha * op(A) op(B) + beta * C, row-major: op(A) is M x K, op(B) K x N, C M x N. A lies as M x K with
// row pitch lda, or as K x M when transpose_a is yes; likewise B. C is not read when beta is 0 and must not
// overlap A or B.
//
// SPMD: every member of the team calls it with the same arguments; it returns when all is done. `workspace`
// points to gemm_workspace bytes aligned to 64, shared by the team. The result has the same bits for every
// team size.
template <class T>
void gemm(const Team& team, Transpose transpose_a, Transpose transpose_b, index m, index n, index k, T alpha,
          const T* a, index lda, const T* b, index ldb, T beta, T* c, index ldc, std::byte* workspace);

template <class T>
std::size_t gemm_workspace(Transpose transpose_a, Transpose transpose_b, index m, index n, index k, index lda,
                           index ldb, int threads);

// The same in a region and with a workspace of its own, on one thread where waking others takes longer. Throws
// InvalidArgument for negative extents and for leading dimensions shorter than a row.
template <class T>
void gemm(Transpose transpose_a, Transpose transpose_b, index m, index n, index k, T alpha, const T* a,
          index lda, const T* b, index ldb, T beta, T* c, index ldc);

}  // namespace tenfold
