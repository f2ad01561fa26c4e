// Outputs that no cache holds are written past the caches: the processor then need not read each line before it is
// overwritten, which is a third of the traffic of a copy.
//
// What is written past the caches reaches other members of a team with the end of the loop, and other threads with the
// end of the region (parallel.h).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace tenfold {

constexpr ptrdiff_t kLine = 64;  // bytes; on a processor with other lines it is a little slower, not wrong

// Whether an output of so many bytes is better written past the caches: it does not fit into the largest one, so that
// no reader would find it there, and this platform can.
bool passes_caches(size_t bytes) noexcept;

// Copies bytes past the caches; parts of a line at both ends by ordinary stores. `from` should be in a cache.
void write_past(void* to, const void* from, ptrdiff_t bytes) noexcept;

// An output of n elements, made in blocks: body(begin, count, at) writes the elements begin .. begin + count - 1 to
// `at`, which is their place or, with `past`, memory from where they go past the caches. Never with an output that
// lies in the memory of an input: its lines have been read anyway.
template <class T, class Body>
void write_blocks(bool past, ptrdiff_t n, T* to, const Body& body) {
  if (!past) return body(ptrdiff_t{0}, n, to);
  // Blocks of 2 KB are as fast as streaming stores in the kernels themselves; 8 KB lose a quarter.
  constexpr ptrdiff_t kBlock = 2048 / sizeof(T);
  alignas(kLine) T block[kBlock];
  const auto offset = static_cast<ptrdiff_t>(reinterpret_cast<uintptr_t>(to) % kLine / sizeof(T));
  for (ptrdiff_t begin = 0, room = kBlock - offset; begin < n; room = kBlock) {
    const ptrdiff_t count = n - begin < room ? n - begin : room;
    body(begin, count, block);
    write_past(to + begin, block, count * static_cast<ptrdiff_t>(sizeof(T)));
    begin += count;
  }
}

}  // namespace tenfold
