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

constexpr ptrdiff_t kMostPlaneElements = 0x7fffffff;  // since lanes count them

// x is one contiguous plane [D][H][W] with at most so many elements, y one [OD][OH][OW]; nothing is aligned or shared.
// `planes` of them follow each other in all arrays.
template <class T>
struct MaxPoolKernels {
  // The first maximum of every window in the order of the input; the first NaN counts as the maximum. `far`: x lies in
  // no cache.
  void (*values)(const PoolGeometry& g, ptrdiff_t planes, const T* x, bool far, T* y);
  void (*with_taps)(const PoolGeometry& g, ptrdiff_t planes, const T* x, bool far, T* y, TapNumber* taps);
  void (*with_positions)(const PoolGeometry& g, ptrdiff_t planes, const T* x, bool far, T* y,
                         Position* positions);
};
TENFOLD_DECLARE_KERNELS(MaxPoolKernels)

template <class T>
struct MaxPoolGradientKernels {
  // dx = 0; dx[the element that o chose] += dy[o]. `past`: dx leaves past the caches (kernels/past.h).
  void (*by_taps)(const PoolGeometry& g, ptrdiff_t planes, const T* dy, const TapNumber* taps, bool past,
                  T* dx);
  void (*by_positions)(const PoolGeometry& g, ptrdiff_t planes, const T* dy, const Position* positions,
                       T* dx);
};
TENFOLD_DECLARE_KERNELS(MaxPoolGradientKernels)

}  // namespace tenfold
