// Matrix products: squares, the skinny shapes of small nets, and the dense layers of real models.
#include <cmath>
#include <limits>

#include "common.h"
#include "naive_gemm.h"
#include "tenfold/gemm.h"

namespace tenfold::bench {
namespace {

struct Shape3 {
  index m, n, k;
  bool ta, tb;
};

// Compares elements spread over the product (all of a small one) with the definition.
template <class T>
bool correct(const Shape3& s, const T* a, index lda, const T* b, index ldb, const T* c) {
  const Transpose ta = s.ta ? Transpose::yes : Transpose::no, tb = s.tb ? Transpose::yes : Transpose::no;
  const index count = s.m * s.n, step = std::max<index>(1, count * s.k / 20000000) * 2 - 1;
  for (index at = 0; at < count; at += step) {
    double magnitude = 0;
    const double exact = naive::product(ta, tb, s.k, a, lda, b, ldb, at / s.n, at % s.n, &magnitude);
    const double bound =
        std::numeric_limits<T>::epsilon() * (4 + 2 * std::sqrt(static_cast<double>(s.k))) * magnitude;
    if (!(std::fabs(static_cast<double>(c[at]) - exact) <= bound)) return false;
  }
  return true;
}

template <class T>
void product(benchmark::State& state, Shape3 s) {
  const Transpose ta = s.ta ? Transpose::yes : Transpose::no, tb = s.tb ? Transpose::yes : Transpose::no;
  const index lda = s.ta ? s.m : s.k, ldb = s.tb ? s.k : s.n;
  const std::vector<T> a = random_values<T>(s.m * s.k, 1), b = random_values<T>(s.k * s.n, 2);
  std::vector<T> c(static_cast<std::size_t>(s.m * s.n));
  const auto multiply = [&] {
    gemm<T>(ta, tb, s.m, s.n, s.k, 1, a.data(), lda, b.data(), ldb, 0, c.data(), s.n);
  };
  multiply();
  if (!correct(s, a.data(), lda, b.data(), ldb, c.data())) {
    state.SkipWithError("wrong result");
    return;
  }
  const double work = static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  run_flops<T>(state, 2 * work, multiply);
}

template <class T>
void add(const std::string& title, const Shape3& s) {
  benchmark::RegisterBenchmark((title + "/" + std::to_string(s.m) + "x" + std::to_string(s.n) + "x" +
                                std::to_string(s.k) + "/" + (s.ta ? "T" : "N") + (s.tb ? "T" : "N"))
                                   .c_str(),
                               [s](benchmark::State& state) { product<T>(state, s); })
      ->UseRealTime();
}

void register_benchmarks() {
  for (index n : {32, 64, 128, 256, 512, 1024, 2048}) add<float>("gemm/square", {n, n, n, false, false});
  for (index n : {64, 256, 1024}) {
    add<float>("gemm/square", {n, n, n, false, true});
    add<float>("gemm/square", {n, n, n, true, false});
    add<float>("gemm/square", {n, n, n, true, true});
    add<double>("gemm/double", {n, n, n, false, false});
  }
  add<float>("gemm/skinny", {6, 784, 25, false, false});
  add<float>("gemm/skinny", {16, 100, 150, false, false});
  add<float>("gemm/skinny", {64, 120, 400, false, true});
  add<float>("gemm/skinny", {64, 10, 84, false, true});
  for (const char* model : kModels) {
    for (const ShapeLine& line : read_shapes(model, "gemm")) {
      const auto& v = line.numbers;
      add<float>(line.title(), {v[0], v[1], v[2], v[3] != 0, v[4] != 0});
    }
  }
}

}  // namespace
}  // namespace tenfold::bench

TENFOLD_BENCH_MAIN(tenfold::bench::register_benchmarks)
