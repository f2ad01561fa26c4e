#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tenfold/parallel.h"
#include "tenfold/probe.h"

namespace tenfold {
namespace {

constexpr index kTrips = 20;  // in one run
constexpr int kRuns = 5;      // the best of them counts

struct alignas(64) Line {
  std::atomic<index> count{0};

  void await(index value) const {
    constexpr int kSpins = 100000;  // then the other thread has lost its processor
    for (int i = 0; count.load(std::memory_order_acquire) != value; ++i) {
      if (i > kSpins) std::this_thread::yield();
    }
  }
};

}  // namespace

double round_trip() {
  using Clock = std::chrono::steady_clock;
  Line line;
  std::vector<double> best(static_cast<std::size_t>(num_threads()));
  parallel(1e9, [&](const Team& team) {
    index count = 0;
    for (int other = 1; other < team.size(); ++other) {
      for (int run = 0; run < kRuns; ++run, count += 2 * kTrips) {
        team.barrier();
        if (team.rank() != 0 && team.rank() != other) continue;
        const auto begin = Clock::now();
        // The caller makes even counts odd, the other one odd ones even.
        for (index i = count + (team.rank() != 0); i < count + 2 * kTrips; i += 2) {
          line.await(i);
          line.count.store(i + 1, std::memory_order_release);
        }
        if (team.rank() != 0) continue;
        line.await(count + 2 * kTrips);
        const double seconds = std::chrono::duration<double>(Clock::now() - begin).count() / kTrips;
        double& least = best[static_cast<std::size_t>(other)];
        least = run == 0 ? seconds : std::min(least, seconds);
      }
    }
  });
  return *std::max_element(best.begin(), best.end());
}

}  // namespace tenfold
