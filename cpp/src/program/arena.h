// Places buffers with known lifetimes in one block of memory.
#pragma once

#include <cstddef>
#include <vector>

namespace tenfold {

struct Lifetime {
  std::size_t bytes = 0;
  int first = 0;  // instruction that writes it first
  int last = 0;   // last instruction that touches it
};

struct Placement {
  std::vector<std::size_t> offsets;  // aligned to kAlignment
  std::size_t bytes = 0;
};

// Two buffers whose lifetimes overlap never overlap in memory. Largest first, each at the lowest free offset: the
// greedy-by-size rule of Pisarchyk and Lee, "Efficient memory management for deep neural net inference" (2020).
Placement place(const std::vector<Lifetime>& buffers);

}  // namespace tenfold
