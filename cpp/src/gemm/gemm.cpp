#include "tenfold/gemm.h"

#include <chrono>

#include "gemm/strided.h"
#include "tenfold/error.h"
#include "tenfold/team_choice.h"

namespace tenfold {
namespace {

using Clock = std::chrono::steady_clock;

// Products often come again, and small ones take no longer than their plan: some are kept.
template <class T>
struct Recent {
  Recent() = default;
  explicit Recent(const StridedPlan<T>& made) : plan(made) {}

  StridedPlan<T> plan;
  TeamChoice choice;
  Clock::time_point left{};
};

template <class T>
Recent<T>& recent(index m, index n, index k, MatrixLayout a, MatrixLayout b) {
  constexpr std::size_t kKept = 8;
  thread_local Recent<T> kept[kKept];
  std::size_t slot = 0;
  for (index value : {m, n, k, a.row, b.row}) slot = slot * 31 + static_cast<std::size_t>(value);
  Recent<T>& found = kept[(slot ^ slot >> 3 ^ slot >> 6) % kKept];
  const StridedPlan<T>& plan = found.plan;
  const bool same = plan.tiles.kernels == &kernels<GemmKernels, T>() && plan.m == m && plan.n == n &&
                    plan.k == k && plan.a == a && plan.b == b;
  if (!same) found = Recent<T>(plan_strided<T>(m, n, k, a, b));
  return found;
}

// Runs body(team) for a product: small ones alone, large ones with the team, and those between in whichever way was
// faster of late.
template <class T, class Body>
void run(Recent<T>& product, Body&& body) {
  constexpr double kSmall = 8000, kMedium = 32000, kLarge = 64000;  // in multiply-adds of a vector
  constexpr std::chrono::milliseconds kAwake{1};                    // the team's threads spin for longer
  const double time = product.plan.time;
  if (time < kSmall || time > kLarge || num_threads() == 1) {
    return parallel(time < kSmall ? 0 : kSerialWork, body);
  }
  const Clock::time_point begin = Clock::now();
  const bool asleep = begin - product.left > kAwake;
  const bool alone = asleep ? time < kMedium : product.choice.alone();
  parallel(alone ? 0 : kSerialWork, body);
  product.left = Clock::now();
  if (!asleep) product.choice.took(std::chrono::duration<double>(product.left - begin).count());
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
  Recent<T>& product = recent<T>(m, n, k, layout(transpose_a, lda), layout(transpose_b, ldb));
  const StridedPlan<T>& plan = product.plan;
  const std::size_t bytes = plan.workspace(num_threads());
  const Buffer workspace = bytes > 0 ? Buffer(bytes) : Buffer();
  run(product, [&](const Team& team) {
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
