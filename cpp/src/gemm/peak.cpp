#include "tenfold/probe.h"

#include <chrono>
#include <numeric>
#include <vector>

#include "kernels/gemm.h"
#include "tenfold/parallel.h"

namespace tenfold {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

template <class T>
double fma_peak(double seconds) {
  const auto& k = kernels<GemmKernels, T>();
  constexpr index kRounds = 10000;  // some tenths of a millisecond
  std::vector<double> best(static_cast<std::size_t>(num_threads()));
  parallel(1e9, [&](const Team& team) {
    double& rate = best[static_cast<std::size_t>(team.rank())];
    const double end = now() + seconds;
    int runs = 0;
    do {
      T value = T(0.5);
      const double begin = now();
      const double operations = 2 * k.burn(kRounds, &value);
      rate = std::max(rate, operations / (now() - begin));
    } while (++runs < 3 || now() < end);
  });
  return std::accumulate(best.begin(), best.end(), 0.0);
}

template double fma_peak<float>(double);
template double fma_peak<double>(double);

}  // namespace tenfold
