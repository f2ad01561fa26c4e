// Threads: one team, one region, static shares.
//
// Operations are written SPMD: every member of the team calls the operation with the same arguments, and the
// operation shares its loops out with Team::for_each / for_range. Everything outside those loops runs on every
// member and therefore must not have side effects. Nothing may throw inside a region: validate and allocate before.
//
// Determinism: how work is cut into pieces never depends on the number of threads, only which member takes a piece.
#pragma once

#include <algorithm>
#include <atomic>
#include <type_traits>

#include "tenfold/types.h"

namespace tenfold {

// Threads a region uses: TENFOLD_NUM_THREADS, else min(CPU affinity, cgroup quota). In a forked child: 1.
int num_threads();
// Legal from 1 to 1024; throws InvalidArgument otherwise. Takes effect at the next region.
void set_num_threads(int threads);

// Where the members of a team wait for each other. A member spins for a moment, since the others are usually close, and
// then gives its processor away: on a machine with other work the one it waits for may need it.
class Barrier {
 public:
  void wait(int members);

 private:
  alignas(64) std::atomic<int> waiting_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

// One member's view of the threads that execute a region together.
class Team {
 public:
  Team(int rank, int size, Barrier* barrier) : rank_(rank), size_(size), barrier_(barrier) {}
  static Team alone() { return Team(0, 1, nullptr); }

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Waits for all members; memory written before is visible after.
  void barrier() const {
    if (size_ > 1) barrier_->wait(size_);
  }

  // body(i) for 0 <= i < count, each i on exactly one member (contiguous shares); then a barrier.
  template <class Body>
  void for_each(index count, Body&& body) const {
    for (index i = share_begin(count, rank_), end = share_begin(count, rank_ + 1); i < end; ++i) body(i);
    barrier();
  }

  // body(begin, end) over contiguous shares of 0 .. count whose borders are multiples of grain; then a barrier.
  template <class Body>
  void for_range(index count, index grain, Body&& body) const {
    const index pieces = (count + grain - 1) / grain;
    const index begin = std::min(count, share_begin(pieces, rank_) * grain);
    const index end = std::min(count, share_begin(pieces, rank_ + 1) * grain);
    if (begin < end) body(begin, end);
    barrier();
  }

 private:
  index share_begin(index count, int rank) const { return count * rank / size_; }
  int rank_, size_;
  Barrier* barrier_;
};

namespace detail {
// Calls body(context, team) on every member of a team of num_threads() (of one when already inside a region, or when
// `alone`), denormals flushed to zero.
void run_region(bool alone, void (*body)(void*, const Team&), void* context);
}  // namespace detail

// Work below this many multiply-adds (or elements moved) is not worth waking other threads for.
constexpr double kSerialWork = 100e3;

// Runs body(team) on a team; alone on the calling thread when `work` (multiply-adds or elements) is small.
template <class Body>
void parallel(double work, Body&& body) {
  auto call = [](void* context, const Team& team) {
    (*static_cast<std::remove_reference_t<Body>*>(context))(team);
  };
  detail::run_region(work < kSerialWork, call, &body);
}

}  // namespace tenfold
