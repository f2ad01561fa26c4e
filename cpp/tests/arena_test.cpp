// The memory plan: buffers that live at the same time never share memory, and memory is reused.
#include "program/arena.h"

#include <gtest/gtest.h>

#include <random>

#include "tenfold/memory.h"

namespace tenfold {
namespace {

bool collide(const std::vector<Lifetime>& buffers, const Placement& p, std::size_t a, std::size_t b) {
  const bool together = buffers[a].first <= buffers[b].last && buffers[b].first <= buffers[a].last;
  const bool overlap =
      p.offsets[a] < p.offsets[b] + buffers[b].bytes && p.offsets[b] < p.offsets[a] + buffers[a].bytes;
  return together && overlap;
}

TEST(Arena, ReusesMemoryOfABufferThatIsDead) {
  const Placement p = place({{640, 0, 1}, {640, 1, 2}, {640, 2, 3}});
  EXPECT_EQ(p.bytes, 1280u);
  EXPECT_EQ(p.offsets[0], p.offsets[2]);
}

TEST(Arena, FillsAGapBetweenLivingBuffers) {
  const Placement p = place({{1024, 0, 9}, {512, 0, 3}, {256, 0, 9}, {512, 5, 9}});
  EXPECT_EQ(p.offsets[1], p.offsets[3]);
  EXPECT_EQ(p.bytes, 1792u);
}

TEST(Arena, AlignsEveryBuffer) {
  for (std::size_t offset : place({{1, 0, 5}, {65, 0, 5}, {3, 0, 5}}).offsets)
    EXPECT_EQ(offset % kAlignment, 0u);
}

TEST(Arena, EmptyBuffersAndNoBuffers) {
  EXPECT_EQ(place({}).bytes, 0u);
  EXPECT_EQ(place({{0, 0, 3}, {0, 1, 2}}).bytes, 0u);
}

TEST(Arena, LivingBuffersNeverShareMemory) {
  std::mt19937 random(7);
  const auto draw = [&random](int limit) {
    return static_cast<int>(random() % static_cast<unsigned>(limit));
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> buffers;
    for (int i = 0; i < 24; ++i) {
      const int first = draw(20);
      buffers.push_back({static_cast<std::size_t>(draw(5000)), first, first + draw(8)});
    }
    const Placement p = place(buffers);
    for (std::size_t a = 0; a < buffers.size(); ++a) {
      EXPECT_LE(p.offsets[a] + buffers[a].bytes, p.bytes);
      for (std::size_t b = 0; b < a; ++b) EXPECT_FALSE(collide(buffers, p, a, b)) << a << " and " << b;
    }
  }
}

}  // namespace
}  // namespace tenfold
