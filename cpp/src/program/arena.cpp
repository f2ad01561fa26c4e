#include "program/arena.h"

#include <algorithm>
#include <numeric>

#include "tenfold/memory.h"

namespace tenfold {

Placement place(const std::vector<Lifetime>& buffers) {
  Placement placement;
  placement.offsets.assign(buffers.size(), 0);
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });

  std::vector<std::size_t> placed;  // sorted by offset
  for (std::size_t i : order) {
    const Lifetime& buffer = buffers[i];
    const std::size_t bytes = align_up(buffer.bytes);
    std::size_t offset = 0;
    for (std::size_t j : placed) {
      const bool overlaps = buffers[j].first <= buffer.last && buffer.first <= buffers[j].last;
      if (!overlaps) continue;
      if (offset + bytes <= placement.offsets[j]) break;
      offset = std::max(offset, placement.offsets[j] + align_up(buffers[j].bytes));
    }
    placement.offsets[i] = offset;
    placement.bytes = std::max(placement.bytes, offset + bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                   [&](std::size_t a, std::size_t b) {
                                     return placement.offsets[a] < placement.offsets[b];
                                   }),
                  i);
  }
  return placement;
}

}  // namespace tenfold
