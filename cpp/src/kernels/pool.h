// Max-pooling of planes (or volumes); kernels/average_pool.h has the other one.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dispatch.h"

namespace tenfold {

// One axis of a pooling geometry. Output o looks at o * stride - pad + k * dilation for 0 <= k < kernel.
struct PoolAxis {
  ptrdiff_t size, kernel, stride, dilation, pad, output;
  ptrdiff_t inner_begin, inner_end;  // outputs whose taps all lie inside 0 .. size - 1
};

// Depth, height and width; axes that do not exist have size, kernel, stride and output 1 and no padding.
struct PoolGeometry {
  PoolAxis d, h, w;
};

// What backward knows of a maximum: its position in the flattened input plane, or the number of its tap in the window,
// (kd * KH + kh) * KW + kw, where a window has at most kMostTapNumbers of them. A window without any element inside has
// the maximum -inf, the position -1 and the tap kNoTap.
using TapNumber = uint8_t;
using Position = int64_t;
constexpr ptrdiff_t kMostTapNumbers = 255;
constexpr TapNumber kNoTap = 255;

// x is one contiguous plane [D][H][W] with fewer than 2^31 elements, y one [OD][OH][OW]; nothing is aligned or shared.
// Functions that take `planes` do so many, which follow each other in all arrays. `past`: dx leaves past the caches.
template <class T>
struct PoolKernels {
  // The first maximum of every window in the order of the input; the first NaN counts as the maximum.
  void (*max)(const PoolGeometry& g, ptrdiff_t planes, const T* x, T* y);
  void (*max_taps)(const PoolGeometry& g, ptrdiff_t planes, const T* x, T* y, TapNumber* taps);
  void (*max_positions)(const PoolGeometry& g, ptrdiff_t planes, const T* x, T* y, Position* positions);
  // dx = 0; dx[the element that o chose] += dy[o].
  void (*max_taps_backward)(const PoolGeometry& g, ptrdiff_t planes, const T* dy, const TapNumber* taps,
                            bool past, T* dx);
  void (*max_positions_backward)(const PoolGeometry& g, ptrdiff_t planes, const T* dy,
                                 const Position* positions, T* dx);
  // n copies of a number.
  void (*fill)(ptrdiff_t n, T value, T* x);
};
TENFOLD_DECLARE_KERNELS(PoolKernels)

}  // namespace tenfold
