// From the window of the public interface to the plain structs of the kernels.
#pragma once

#include "kernels/pool.h"
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

inline PoolGeometry pool_geometry(const Window& window) {
  return {pool_axis(window[0]), pool_axis(window[1]), pool_axis(window[2])};
}

}  // namespace tenfold
