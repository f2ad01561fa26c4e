#include "tenfold/random.h"

#include <gtest/gtest.h>

#include <array>

namespace tenfold {
namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(std::uint32_t k0, std::uint32_t k1, std::uint32_t c0, std::uint32_t c1, std::uint32_t c2,
             std::uint32_t c3) {
  const Philox generator{k0 | std::uint64_t{k1} << 32, c1, c2 | std::uint64_t{c3} << 32};
  Words out{};
  generator.block(c0, out.data());
  return out;
}

// The known answers that the authors publish for philox4x32 with ten rounds.
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox(0, 0, 0, 0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0u, ~0u, ~0u, ~0u, ~0u, ~0u), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0xa4093822, 0x299f31d0, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformStaysBelowOne) {
  EXPECT_EQ(Philox::uniform(0), 0.0f);
  EXPECT_EQ(Philox::uniform(0xffffffff), 1.0f - 1.0f / 16777216.0f);
  EXPECT_EQ(Philox::uniform(0x80000000), 0.5f);
}

}  // namespace
}  // namespace tenfold
