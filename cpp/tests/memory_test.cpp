#include "tenfold/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace tenfold {
namespace {

// Long and short ones, with both ends anywhere in a line: the target some bytes behind the source, whole pages aside,
// before it, and elsewhere.
TEST(Memory, copies_every_byte_and_no_other) {
  constexpr std::size_t kPage = 4096, kMost = 3 * kPage;
  const Buffer memory(8 * kMost);
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{2047}, std::size_t{2048},
                                  std::size_t{4099}, std::size_t{8192}, kMost}) {
    for (const std::size_t from : {0, 4, 16, 60}) {
      for (const std::size_t behind : {0, 1, 4, 16, 31, 63, 64, 2048, 4080}) {
        std::byte* const source = memory.data() + from;
        std::byte* const target = memory.data() + 4 * kMost + from + behind;
        for (std::size_t i = 0; i < bytes; ++i) source[i] = static_cast<std::byte>(i * 7 + i / 256);
        std::fill(memory.data() + 4 * kMost, memory.data() + 8 * kMost, std::byte{0xa5});
        copy_bytes(target, source, bytes);
        ASSERT_TRUE(std::equal(source, source + bytes, target)) << bytes << ' ' << from << ' ' << behind;
        const auto untouched = [](std::byte b) { return b == std::byte{0xa5}; };
        ASSERT_TRUE(std::all_of(memory.data() + 4 * kMost, target, untouched));
        ASSERT_TRUE(std::all_of(target + bytes, memory.data() + 8 * kMost, untouched));
      }
    }
  }
}

TEST(Memory, elements_are_copied_like_bytes) {
  std::vector<double> from(1000), to(1000);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<double>(i);
  copy_elements(from.data(), 999, to.data());
  EXPECT_EQ(to[998], 998.0);
  EXPECT_EQ(to[999], 0.0);
}

}  // namespace
}  // namespace tenfold
