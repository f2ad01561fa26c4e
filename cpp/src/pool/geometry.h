// From the window of the public interface to the plain structs of the kernels.
#pragma once

#include <algorithm>

#include "kernels/max_pool.h"
#include "tenfold/parallel.h"
#include "tenfold/window.h"

namespace tenfold {

inline PoolAxis pool_axis(const Axis& axis) {
  PoolAxis a{axis.size, axis.kernel, axis.stride, axis.dilation, axis.pad_before, axis.output, 0, 0};
  a.inner_begin = std::min(axis.output, (axis.pad_before + axis.stride - 1) / axis.stride);
  const index room =
      axis.size + axis.pad_before - axis.extent();  // the last start of a window that ends inside
  a.inner_end = room < 0 ? a.inner_begin : std::min(axis.output, room / axis.stride + 1);
  a.inner_end = std::max(a.inner_end, a.inner_begin);
  return a;
}

struct Range {
  index begin, end;
  index size() const { return end - begin; }
};

// What output o of an adaptive geometry takes: floor(o * in / out) .. ceil((o + 1) * in / out), computed so that the
// products stay small.
inline Range adaptive_piece(index o, index in, index out) {
  const index whole = in / out, rest = in % out;
  return {o * whole + o * rest / out, (o + 1) * whole + ((o + 1) * rest + out - 1) / out};
}

// Planes that are handed out together: enough elements to be worth a call and its tables, pairs where they are small
// since pairs fill a vector, and enough pieces of work for many threads.
inline index planes_of_item(index planes, index elements) {
  constexpr index kMost = 16384, kFewest = 2048, kSmall = 512, kItems = 32;
  elements = std::max<index>(1, elements);
  const index pair = elements < kSmall ? 2 : 1;
  return std::max(divide_up(kFewest, elements * pair) * pair, std::min(kMost / elements, planes / kItems));
}

// body(first, count) for blocks of planes.
template <class Body>
void each_block(const Team& team, index planes, index elements, const Body& body) {
  const index block = planes_of_item(planes, elements);
  team.for_each((planes + block - 1) / block,
                [&](index i) { body(i * block, std::min(block, planes - i * block)); });
}

inline PoolGeometry pool_geometry(const Window& window) {
  return {pool_axis(window[0]), pool_axis(window[1]), pool_axis(window[2])};
}

}  // namespace tenfold
