#include "tenfold/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include "tenfold/error.h"
#include "tenfold/probe.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace tenfold {
namespace {

class WithThreads {
 public:
  explicit WithThreads(int threads) : before_(num_threads()) { set_num_threads(threads); }
  ~WithThreads() { set_num_threads(before_); }

 private:
  int before_;
};

constexpr double kMuch = 1e9, kLittle = 1;

TEST(Parallel, EveryIndexIsVisitedOnce) {
  for (int threads : {1, 2, 3, 7}) {
    const WithThreads with(threads);
    for (index count : {0, 1, 2, 3, 5, 1000}) {
      std::vector<int> visits(static_cast<std::size_t>(count));
      parallel(kMuch, [&](const Team& team) {
        team.for_each(count, [&](index i) { ++visits[static_cast<std::size_t>(i)]; });
      });
      EXPECT_EQ(visits, std::vector<int>(visits.size(), 1)) << count << " on " << threads;
    }
  }
}

TEST(Parallel, RangesCoverAllAndBeginAtTheGrain) {
  for (int threads : {1, 2, 3, 7}) {
    const WithThreads with(threads);
    for (index count : {0, 1, 15, 16, 17, 100}) {
      std::vector<int> visits(static_cast<std::size_t>(count));
      std::atomic<bool> aligned{true};
      parallel(kMuch, [&](const Team& team) {
        team.for_range(count, 16, [&](index begin, index end) {
          if (begin % 16 != 0) aligned = false;
          for (index i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
      });
      EXPECT_EQ(visits, std::vector<int>(visits.size(), 1)) << count << " on " << threads;
      EXPECT_TRUE(aligned);
    }
  }
}

TEST(Parallel, ALoopEndsInABarrier) {
  const WithThreads with(3);
  std::vector<int> first(300), second(300);
  parallel(kMuch, [&](const Team& team) {
    team.for_each(300, [&](index i) { first[static_cast<std::size_t>(i)] = static_cast<int>(i); });
    // Reads what other members wrote.
    team.for_each(300, [&](index i) {
      second[static_cast<std::size_t>(i)] = first[static_cast<std::size_t>(299 - i)];
    });
  });
  for (int i = 0; i < 300; ++i) ASSERT_EQ(second[static_cast<std::size_t>(i)], 299 - i);
}

TEST(Parallel, ALateMemberHoldsNobodyUpAndTouchesNothing) {
  const WithThreads with(3);
  std::atomic<bool> others_are_done{false};
  std::vector<std::atomic<int>> visits(50 * 40);
  parallel(kMuch, [&](const Team& team) {
    // Deadlocks if the loops needed member 2.
    while (team.rank() == 2 && !others_are_done) std::this_thread::yield();
    for (int loop = 0; loop < 50; ++loop) {
      team.for_each(40, [&](index i) {
        ++visits[static_cast<std::size_t>(40 * loop + i)];
        EXPECT_TRUE(team.size() == 1 || team.rank() != 2);
      });
    }
    if (team.rank() == 0) others_are_done = true;
  });
  for (const std::atomic<int>& count : visits) ASSERT_EQ(count, 1);
}

TEST(Parallel, OnceRunsOnceAndOnCallerOnTheCaller) {
  const WithThreads with(3);
  int once = 0;
  std::thread::id caller;
  parallel(kMuch, [&](const Team& team) {
    team.once([&] { ++once; });
    team.on_caller([&] { caller = std::this_thread::get_id(); });
    team.barrier();
    team.once([&] { ++once; });
  });
  EXPECT_EQ(once, 2);
  EXPECT_EQ(caller, std::this_thread::get_id());
}

TEST(Parallel, ManyLoopsOfUnevenLengthStayInOrder) {
  const WithThreads with(3);
  std::vector<index> value(17);
  parallel(kMuch, [&](const Team& team) {
    for (index loop = 0; loop < 2000; ++loop) {
      const index count = loop % 17 + 1;
      // Each loop reads what the one before wrote at another place.
      team.for_each(count, [&](index i) {
        if (i == 0)
          value[static_cast<std::size_t>(loop % 17)] =
              loop + value[static_cast<std::size_t>((loop + 16) % 17)];
      });
    }
  });
  index expected = 0;
  std::vector<index> serial(17);
  for (index loop = 0; loop < 2000; ++loop) {
    serial[static_cast<std::size_t>(loop % 17)] = loop + serial[static_cast<std::size_t>((loop + 16) % 17)];
    expected = serial[static_cast<std::size_t>(loop % 17)];
  }
  EXPECT_EQ(value, serial);
  EXPECT_GT(expected, 0);
}

TEST(Parallel, LittleWorkRunsOnTheCaller) {
  const WithThreads with(3);
  int size = 0;
  parallel(kLittle, [&](const Team& team) { size = team.size(); });
  EXPECT_EQ(size, 1);
}

TEST(Parallel, ARegionInARegionRunsOnItsCaller) {
  const WithThreads with(2);
  std::atomic<int> nested{0};
  parallel(kMuch, [&](const Team&) {
    parallel(kMuch, [&](const Team& inner) {
      if (inner.size() == 1) ++nested;
    });
  });
#ifdef _OPENMP
  EXPECT_EQ(nested, 2);
#else
  EXPECT_EQ(nested, 1);
#endif
}

TEST(Parallel, ALineGoesToEveryOtherThreadAndBack) {
  for (int threads : {1, 2, 3, 7}) {
    const WithThreads with(threads);
    const double seconds = round_trip();
#ifdef _OPENMP
    EXPECT_EQ(seconds > 0, threads > 1);
#endif
    EXPECT_GE(seconds, 0);
    EXPECT_LT(seconds, 1);
  }
  parallel(kMuch, [](const Team&) { EXPECT_EQ(round_trip(), 0); });
}

TEST(Parallel, ThreadsAreChecked) {
  EXPECT_THROW(set_num_threads(0), InvalidArgument);
  EXPECT_THROW(set_num_threads(-1), InvalidArgument);
  EXPECT_THROW(set_num_threads(1025), InvalidArgument);
}

#if defined(__unix__) || defined(__APPLE__)
TEST(Parallel, AForkedChildRunsSerially) {
  const WithThreads with(3);
  std::atomic<index> sum{0};
  const auto add = [&] {
    parallel(kMuch, [&](const Team& team) { team.for_each(100, [&](index i) { sum += i; }); });
  };
  add();  // the threads exist now, and the child will not have them
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // a hang ends the child, and thereby fails the test
    sum = 0;
    int size = 0;
    add();
    parallel(kMuch, [&](const Team& team) { size = team.size(); });
    _exit(sum == 4950 && size == 1 && num_threads() == 1 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  EXPECT_EQ(num_threads(), 3);
}
#endif

}  // namespace
}  // namespace tenfold
