// Alone or with the team? For work of some microseconds that comes again and again, by how long it took.
//
// A team's members lose time when they wait for each other and fetch what the others wrote: several times as much when
// they sit on different parts of the processor, which a virtual machine does not see and which changes while a program
// runs. No rule by shapes knows that. Results do not depend on the choice (parallel.h).
#pragma once

#include <chrono>

#include "tenfold/parallel.h"

namespace tenfold {

class TeamChoice {
 public:
  // Work below this many multiply-adds (some hundred microseconds) may be faster alone: it is tried.
  static constexpr double kSmallWork = 32e6;

  // Runs body(team), which does `work` so many times, in the way that was faster of late where the work is small.
  template <class Body>
  void run(double work, index times, Body&& body) {
    if (work < kSerialWork || work > kSmallWork || num_threads() == 1) return parallel(work, body);
    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    parallel(alone() ? 0 : work, body);
    took(std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(times));
  }

  // How the next run is to be made.
  bool alone() const { return alone_; }
  // It took so long, in seconds.
  void took(double time);

 private:
  // The other way is tried for some runs in a row, because the first ones find members asleep, and seldom enough to
  // cost little: waking them takes longer than a small run.
  static constexpr int kTrial = 4, kBetween = 250;
  static constexpr double kBetweenWakes = 0.01;
  bool due() const;

  double time_[2] = {0, 0};  // with the team, alone; 0: not known
  bool alone_ = false, trying_ = true;
  int runs_ = 0;  // since the way or the trial changed
};

}  // namespace tenfold
