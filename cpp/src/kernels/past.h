// What is written past the caches, and why:
//   - outputs that no cache holds: the processor then need not read each line before it is overwritten, which is a third
//     of the traffic of a copy. Never in the memory of an input: its lines have been read anyway. Max-pooling counts its
//     input with them, which pushes out what is written;
//   - what other members of a team hold from the step before and will read again (parameters, what a block of lanes
//     leaves): a line that others hold has to be asked for before it is overwritten.
//
// What is written past the caches reaches other members of a team with the end of the loop, and other threads with the
// end of the region (parallel.h).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/line.h"

namespace tenfold {

// Whether an output of so many bytes is better written past the caches: it does not fit into the largest one, so that
// no reader would find it there, and this platform can.
bool passes_caches(size_t bytes) noexcept;

// Copies bytes past the caches; parts of a line at both ends by ordinary stores.
void write_past(void* to, const void* from, ptrdiff_t bytes) noexcept;

}  // namespace tenfold
