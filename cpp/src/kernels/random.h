// Random masks, from the counter-based generator of tenfold/random.h.
//
// Elements are taken in groups of 64: group g draws the Philox blocks 16 g .. 16 g + 15, and element j of it
// belongs to word j / 16 of block 16 g + j % 16. The mapping is the same for every ISA and element type.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dispatch.h"

namespace tenfold {

struct PhiloxKey {
  uint64_t seed;
  uint32_t stream;
  uint64_t step;
};
constexpr int kRandomGroup = 64;

template <class T>
struct RandomKernels {
  // y[i] = word(first_group * 64 + i) >= threshold ? scale * x[i] : 0; y may be x.
  void (*dropout)(ptrdiff_t n, uint64_t first_group, const PhiloxKey& key, uint32_t threshold, T scale,
                  const T* x, T* y);
};
TENFOLD_DECLARE_KERNELS(RandomKernels)

}  // namespace tenfold
