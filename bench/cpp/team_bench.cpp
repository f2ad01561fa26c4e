// What members of a team lose to each other: empty regions and loops, a line that goes to and fro, and overwriting what
// another member holds. Two cores that share a cache and two that do not differ several times; a virtual machine may move
// from one to the other while this runs.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "common.h"
#include "kernels/past.h"
#include "tenfold/memory.h"

namespace tenfold::bench {
namespace {

constexpr double kAlways = 1e9;  // work for which others are woken
constexpr index kTimes = 1000;   // in one region

void region(benchmark::State& state) {
  for (auto _ : state) parallel(kAlways, [](const Team&) {});
}

// Reports the time of one of kTimes things that a region does.
template <class Body>
void each(benchmark::State& state, Body&& body) {
  const double begin = seconds();
  for (auto _ : state) parallel(kAlways, body);
  state.counters["ns"] = (seconds() - begin) * 1e9 / static_cast<double>(state.iterations() * kTimes);
}

void loop(benchmark::State& state) {
  each(state, [](const Team& team) {
    for (index i = 0; i < kTimes; ++i) team.for_each(team.size(), [](index) {});
  });
}

void to_and_fro(benchmark::State& state) {
  if (num_threads() < 2) return state.SkipWithError("needs two threads");
  double best = tenfold::round_trip();
  for (auto _ : state) best = std::min(best, tenfold::round_trip());
  state.counters["ns"] = best * 1e9;
}

// Member 0 overwrites lines that all members have read; nanoseconds a line of its writing alone.
void overwrite(benchmark::State& state, bool past) {
  if (num_threads() < 2) return state.SkipWithError("needs two threads");
  constexpr index kBytes = 128 * 1024;
  const Buffer shared(kBytes), source(kBytes);
  std::memset(shared.data(), 0, kBytes);
  std::memset(source.data(), 1, kBytes);
  double total = 0;
  std::atomic<index> sums{0};  // keeps the reading
  for (auto _ : state) {
    parallel(kAlways, [&](const Team& team) {
      index sum = 0;
      for (index i = 0; i < kBytes; i += kLineBytes) sum += static_cast<index>(shared.data()[i]);
      sums += sum;
      team.barrier();
      if (team.rank() == 0) {
        const double begin = seconds();
        if (past) {
          write_past(shared.data(), source.data(), kBytes);
        } else {
          std::memcpy(shared.data(), source.data(), kBytes);
        }
        total += seconds() - begin;
      }
      team.barrier();
    });
  }
  state.counters["ns"] = total * 1e9 / static_cast<double>(state.iterations() * (kBytes / kLineBytes));
}

void register_benchmarks() {
  benchmark::RegisterBenchmark("team/region", region)->UseRealTime();
  benchmark::RegisterBenchmark("team/loop", loop)->UseRealTime();
  benchmark::RegisterBenchmark("team/round_trip", to_and_fro)->UseRealTime();
  for (bool past : {false, true}) {
    benchmark::RegisterBenchmark(past ? "team/overwrite/past_the_caches" : "team/overwrite/ordinary",
                                 [past](benchmark::State& state) { overwrite(state, past); })
        ->UseRealTime();
  }
}

}  // namespace
}  // namespace tenfold::bench

TENFOLD_BENCH_MAIN(tenfold::bench::register_benchmarks)
