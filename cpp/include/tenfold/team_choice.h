// How many members of the team? For work of some microseconds that comes again and again, by how long it took.
//
// A team's members lose time when they wait for each other and fetch what the others wrote: the more, the more of them
// there are, and several times as much when they sit on different parts of the processor, which a virtual machine does
// not see and which changes while a program runs. No rule by shapes knows that. Results do not depend on the choice
// (parallel.h).
#pragma once

#include <chrono>

#include "tenfold/parallel.h"

namespace tenfold {

class TeamChoice {
 public:
  // Work below this many multiply-adds (some hundred microseconds a thread) may be faster with fewer members.
  static double small_work() { return 16e6 * num_threads(); }

  // Runs body(team), which does `work` so many times: with the members that were fastest of late, or with all where it
  // is not small.
  template <class Body>
  void run(double work, index times, Body&& body) {
    const int threads = num_threads();
    if (threads == 1 || work < kSerialWork || work > small_work()) return parallel(work, body);
    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    parallel_with(members(threads), body);
    took(std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(times));
  }

  // Members of a team of `threads` that are to make the next run: all, half of them, a quarter, ..., one.
  int members(int threads);
  // That run took so long, in seconds.
  void took(double time);

 private:
  // Another size is tried for some runs in a row, because the first ones find members asleep, and seldom enough to
  // cost little: waking them takes longer than a small run.
  static constexpr int kTrial = 4, kBetween = 250;
  static constexpr double kBetweenWakes = 0.01;
  static constexpr int kMaxHalvings = 10;  // of 1024 threads

  bool exists(int halvings) const { return halvings >= 0 && halvings <= last_; }
  bool seems_faster(int halvings) const;
  bool due() const;

  int threads_ = 0;
  int last_ = 0;                        // so many halvings leave one member
  double time_[kMaxHalvings + 1] = {};  // by halvings; 0: not known
  int best_ = 0, now_ = 0;              // halvings: those that took least time, and the next run's
  int step_ = 1;                        // from the last size that was tried to the next one
  bool trying_ = true;
  int runs_ = 0;  // since the size or the trial changed
};

}  // namespace tenfold
