// The rule of parallel.h that a member of a team touches scratch memory within a loop's pieces only, put to the test.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

// run(team, workspace) by two members, of which the second comes when the first has done everything. By then the
// workspace may be another operation's.
template <class Run>
void expect_untouched_by_a_late_member(const char* name, std::size_t bytes, const Run& run) {
  const Buffer workspace(bytes);
  std::memset(workspace.data(), 0, bytes);
  std::vector<std::byte> left;
  std::atomic<bool> over{false};
  parallel(1e9, [&](const Team& team) {
    while (team.rank() == 1 && !over) std::this_thread::yield();
    run(team, workspace.data());
    if (team.rank() == 0) {
      left.assign(workspace.data(), workspace.data() + bytes);
      over = true;
    }
  });
  EXPECT_TRUE(bytes == 0 || std::memcmp(left.data(), workspace.data(), bytes) == 0) << name;
}

}  // namespace tenfold
