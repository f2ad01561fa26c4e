// Threads: one team, one region, shared loops.
//
// Operations are written SPMD: every member of the team calls the operation with the same arguments, and the
// operation shares its loops out with Team::for_each / for_range. Everything outside those loops runs on every
// member, on a late one even after the loops are over: it must not have side effects (scratch memory of its own may
// belong to another operation by then), and what it reads may decide neither which loops follow nor their counts.
// Nothing may throw inside a region: validate and allocate before.
//
// Determinism: how work is cut into pieces never depends on the number of threads, only which member takes a piece.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <type_traits>

#include "tenfold/types.h"

namespace tenfold {

// Threads a region uses: TENFOLD_NUM_THREADS, else min(CPU affinity, cgroup quota). In a forked child: 1.
int num_threads();
// Legal from 1 to 1024; throws InvalidArgument otherwise. Takes effect at the next region.
void set_num_threads(int threads);

// What the members of a team share: how many pieces of each member's shares have been claimed, and how many pieces each
// has finished, in all loops of the region so far. The counters only grow: nothing is reset, and a member that comes
// late sees by them that a loop is over and catches up without touching anything. Every member writes lines of its own,
// but for the shares that others take from it: a line that several write goes to and fro between their caches.
class Progress {
 public:
  explicit Progress(int members)
      : members_(members),
        claimed_(new Counter[static_cast<std::size_t>(members)]),
        finished_(new Counter[static_cast<std::size_t>(members)]),
        before_(new index[static_cast<std::size_t>(members * row())]) {}
  int capacity() const { return members_; }
  // A region of so many members; all have left the one before.
  void begin(int members);
  std::atomic<index>& claimed(int member) const { return claimed_[static_cast<std::size_t>(member)].value; }
  // A member's own notes: by owner, what was claimed in the loops before the present one.
  index* before(int member) const { return before_.get() + member * row(); }
  // Makes what this member has stored visible, past the caches too, and says how many pieces it has finished in all.
  void report(int member, index pieces);
  // Until `pieces` have been finished by all members together. Spins for a moment, since the others are usually close, and
  // then gives the processor away: on a machine with other work the member it waits for may need it.
  void wait(index pieces) const;
  // Whether they have been, or are soon: in less than a microsecond.
  bool wait_briefly(index pieces) const;

 private:
  struct alignas(64) Counter {
    std::atomic<index> value{0};
  };
  // Of notes; no two members write to the same line.
  index row() const { return (members_ + 15) / 8 * 8; }
  bool reached(index pieces) const;

  int members_, present_ = 0;
  std::unique_ptr<Counter[]> claimed_, finished_;
  std::unique_ptr<index[]> before_;
};

// One member's view of the threads that execute a region together.
//
// A loop gives every member a contiguous share, so that data stays in its cache from loop to loop, and lets members
// that are done take pieces from the others. A loop ends when its pieces are finished, not when all members have come:
// a member that the system has put aside holds nobody up unless it is inside a piece.
class Team {
 public:
  Team(int rank, int size, Progress* progress)
      : rank_(rank), size_(size), progress_(progress), before_(progress ? progress->before(rank) : nullptr) {}
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  static Team alone() { return Team(0, 1, nullptr); }

  int rank() const { return rank_; }
  int size() const { return size_; }

  // body(i) for 0 <= i < count, each i once, on any member; returns when all are finished and visible.
  template <class Body>
  void for_each(index count, Body&& body) const {
    if (count <= 0) return;
    const bool alone = size_ == 1;
    all_before_ += count;
    for (int k = 0; k < size_; ++k) {
      // Shares of others, unless they are nearly done: to look at them takes their lines from them.
      if (k == 1 && progress_->wait_briefly(all_before_)) break;
      const int owner = (rank_ + k) % size_;
      const index begin = share_begin(count, owner), size = share_begin(count, owner + 1) - begin;
      index first = 0, last = size, finished = 0;
      // One call of `body` in the code: it is inlined once.
      for (bool more = alone || claim(owner, size, &first, &last); more;
           more = !alone && claim(owner, size, &first, &last)) {
        for (index i = first; i < last; ++i) body(begin + i);
        finished += last - first;
      }
      if (!alone) report(finished);
    }
    if (!alone) end_loop(count);
  }

  // body(begin, end) over ranges that cover 0 .. count and whose borders are multiples of grain; as for_each.
  template <class Body>
  void for_range(index count, index grain, Body&& body) const {
    if (count <= 0) return;
    if (size_ == 1) return body(index{0}, count);
    const index grains = (count + grain - 1) / grain;
    const index pieces =
        std::min<index>(grains, 4 * size_);  // enough to even out, few enough to cost nothing
    for_each(pieces, [&](index piece) {
      body(grains * piece / pieces * grain, std::min(count, grains * (piece + 1) / pieces * grain));
    });
  }

  // body() on one member, which one does not matter; returns when it is finished and visible.
  template <class Body>
  void once(Body&& body) const {
    for_each(1, [&](index) { body(); });
  }

  // body() on the thread that opened the region.
  template <class Body>
  void on_caller(Body&& body) const {
    if (rank_ == 0) body();
    if (size_ > 1) finish(rank_ == 0 ? 1 : 0, 1);
  }

  // Waits until all members have come here; loops do not need it.
  void barrier() const {
    if (size_ > 1) finish(1, size_);
  }

 private:
  index share_begin(index count, int rank) const { return count * rank / size_; }

  // Takes an eighth of what is left of a member's share of `size` pieces, at least one; false when nothing is left.
  bool claim(int owner, index size, index* first, index* last) const;
  // Notes what was claimed in a loop of so many pieces, and waits until they are finished.
  void end_loop(index count) const;
  void report(index pieces) const {
    if (pieces > 0) progress_->report(rank_, finished_ += pieces);
  }
  // Reports `mine` pieces of a loop of `all`, and waits for the rest.
  void finish(index mine, index all) const {
    all_before_ += all;
    report(mine);
    progress_->wait(all_before_);
  }

  int rank_, size_;
  Progress* progress_;
  index* before_;                 // see Progress
  mutable index all_before_ = 0;  // pieces of all loops up to the present one
  mutable index finished_ = 0;    // ... that this member has finished
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
