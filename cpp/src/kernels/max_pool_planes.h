// Windows that are the whole plane: one maximum each, of elements that lie side by side.
#pragma once

#include "kernels/max_pool_rows.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

TENFOLD_INLINE bool takes_all(const PoolAxis& a) {
  return a.output == 1 && a.pad == 0 && a.kernel == a.size && (a.dilation == 1 || a.size == 1);
}

// The first maximum of n >= kLanes numbers. Where one is none, `finite` is left none as well, or where one is infinite.
template <class T>
TENFOLD_INLINE index place_of_maximum(index n, const T* x, Vec<T>& finite) {
  constexpr index lanes = kLanes<T>;
  Vec<T> best = load(x);
  Mask<T> at = {};  // of a lane, less its number
  finite = best * T(0);
  const auto take = [&](index i) __attribute__((always_inline)) {
    const Vec<T> v = load(x + i);
    const Mask<T> larger = v > best;
    best = select<T>(larger, v, best);
    at = larger ? splat_int<T>(i) : at;
    finite += v * T(0);
  };
  index i = lanes;
  for (; i + lanes <= n; i += lanes) take(i);
  if (i < n) take(n - lanes);
  const Mask<T> candidates = best == splat(max_of_lanes<T>(best)) ? at + iota<T>() : splat_int<T>(n);
  using Lane = decltype(candidates[0] + 0);
  return fold_lanes<Lane, lanes>(candidates, [](auto upper, auto lower) __attribute__((always_inline)) {
    return upper < lower ? upper : lower;
  });
}

// False where another form must take it.
template <class T, class P>
bool max_of_planes(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
  const index n = g.d.size * g.h.size * g.w.size;
  if (!takes_all(g.d) || !takes_all(g.h) || !takes_all(g.w) || n < kLanes<T>) return false;
  for (index p = 0; p < planes; ++p, x += n, ++y, positions = later(positions, 1)) {
    Vec<T> finite;
    const index place = place_of_maximum(n, x, finite);
    const T sum = sum_of_lanes<T>(finite);
    if (sum != sum) {
      max_plane(g, x, y, positions);
    } else {
      *y = x[place];
      if constexpr (kKept<P>) *positions = static_cast<P>(place);  // the number of its tap, too
    }
  }
  return true;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
