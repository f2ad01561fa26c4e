#include "tenfold/gemm.h"

#include "gemm/strided.h"
#include "tenfold/error.h"

namespace tenfold {
namespace {

// Products often come again, and small ones take no longer than their plan: the last one is kept.
template <class T>
const StridedPlan<T>& recent_plan(index m, index n, index k, MatrixLayout a, MatrixLayout b) {
  thread_local StridedPlan<T> plan;
  const bool same = plan.tiles.kernels == &kernels<GemmKernels, T>() && plan.m == m && plan.n == n &&
                    plan.k == k && plan.a == a && plan.b == b;
  if (!same) plan = plan_strided<T>(m, n, k, a, b);
  return plan;
}

// Whether a product of this time, in multiply-adds of a vector, gains by waking so many threads.
bool worth_sharing(double time, int threads) {
  constexpr double kRegion = 24000, kThread = 4000;  // a region, and what each thread adds to it
  return time >= kRegion + kThread * threads;
}

}  // namespace

template <class T>
void gemm(const Team& team, Transpose transpose_a, Transpose transpose_b, index m, index n, index k, T alpha,
          const T* a, index lda, const T* b, index ldb, T beta, T* c, index ldc, std::byte* workspace) {
  run_strided(team, plan_strided<T>(m, n, k, layout(transpose_a, lda), layout(transpose_b, ldb)), a, b,
              StridedC<T>{c, ldc, alpha, beta}, workspace);
}

template <class T>
std::size_t gemm_workspace(Transpose transpose_a, Transpose transpose_b, index m, index n, index k, index lda,
                           index ldb, int threads) {
  return plan_strided<T>(m, n, k, layout(transpose_a, lda), layout(transpose_b, ldb)).workspace(threads);
}

template <class T>
void gemm(Transpose transpose_a, Transpose transpose_b, index m, index n, index k, T alpha, const T* a,
          index lda, const T* b, index ldb, T beta, T* c, index ldc) {
  if (m < 0 || n < 0 || k < 0) {
    reject("gemm", "m, n, k", "must not be negative; received ", m, ", ", n, ", ", k);
  }
  const auto check = [](const char* name, index pitch, index row) {
    if (pitch < row) reject("gemm", name, "must be at least the row length ", row, "; received ", pitch);
  };
  check("lda", lda, transpose_a == Transpose::yes ? m : k);
  check("ldb", ldb, transpose_b == Transpose::yes ? k : n);
  check("ldc", ldc, n);
  const StridedPlan<T>& plan = recent_plan<T>(m, n, k, layout(transpose_a, lda), layout(transpose_b, ldb));
  const std::size_t bytes = plan.workspace(num_threads());
  const Buffer workspace = bytes > 0 ? Buffer(bytes) : Buffer();
  parallel(worth_sharing(plan.time, num_threads()) ? kSerialWork : 0, [&](const Team& team) {
    run_strided(team, plan, a, b, StridedC<T>{c, ldc, alpha, beta}, workspace.data());
  });
}

#define TENFOLD_INSTANTIATE(T)                                                                             \
  template void gemm<T>(const Team&, Transpose, Transpose, index, index, index, T, const T*, index,        \
                        const T*, index, T, T*, index, std::byte*);                                        \
  template std::size_t gemm_workspace<T>(Transpose, Transpose, index, index, index, index, index, int);    \
  template void gemm<T>(Transpose, Transpose, index, index, index, T, const T*, index, const T*, index, T, \
                        T*, index);
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)

}  // namespace tenfold
