// Gradients of max-pooling whose windows share no element, in planes with short rows, with AVX-512.
#pragma once

#include "kernels/max_pool_taps.h"
#include "kernels/row_writer.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Windows that share no element, in planes with short rows: n elements of the flattened plane at a time. The output
// of each of them is known beforehand.
template <class T>
bool max_backward_flat(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps,
                       RowWriter<T>& out) {
  constexpr index n = kLanes<T>;
  constexpr index kMostVectors = 64;   // of a plane: 7 KB of tables
  constexpr index kFewestPlanes = 16;  // that pay for the tables
  struct Gather {
    Mask<T> lane;  // which output, from `first` on
    TapNumber byte[16],
        tap[16];  // the same for its tap number; what that is where the element is the maximum
    index first;
    Bits<T> outputs, inside;  // outputs to load; elements with an output
  };
  const PoolAxis &h = g.h, &w = g.w;
  const index in = h.size * w.size, outputs = h.output * w.output, vectors = (in + n - 1) / n;
  if (2 * w.output >= n || vectors > kMostVectors || h.kernel > h.stride || w.kernel > w.stride ||
      h.dilation != 1 || w.dilation != 1 || planes < kFewestPlanes) {
    return false;
  }
  Gather gather[kMostVectors];
  // Output and tap of the element, by counting: divisions would cost more than the gradients.
  index row = 0, column = 0, oh = h.pad / h.stride, kh = h.pad % h.stride;
  const index first_ow = w.pad / w.stride, first_kw = w.pad % w.stride;
  index ow = first_ow, kw = first_kw;
  for (index v = 0; v < vectors; ++v) {
    Gather& at = gather[v];
    decltype(Mask<T>{}[0] + 0) lanes[n] = {};
    index chosen[n], first = outputs, last = -1;
    for (index i = 0; i < n; ++i) {
      const bool inside = row < h.size && oh < h.output && ow < w.output && kh < h.kernel && kw < w.kernel;
      chosen[i] = inside ? oh * w.output + ow : -1;
      at.tap[i] = static_cast<TapNumber>(inside ? kh * w.kernel + kw : 0);
      if (inside) first = least(first, chosen[i]), last = most(last, chosen[i]);
      if (++kw == w.stride) kw = 0, ++ow;
      if (++column == w.size) {
        column = 0, ow = first_ow, kw = first_kw, ++row;
        if (++kh == h.stride) kh = 0, ++oh;
      }
    }
    if (last - first >= n) return false;
    at.inside = 0;
    for (index i = 0; i < n; ++i) {
      at.byte[i] = 0;
      if (chosen[i] < 0) continue;
      lanes[i] = static_cast<int>(chosen[i] - first);
      at.byte[i] = static_cast<TapNumber>(chosen[i] - first);
      at.inside = static_cast<Bits<T>>(at.inside | 1u << i);
    }
    at.first = last < 0 ? 0 : first;
    at.outputs = first_bits<T>(outputs - at.first);
    __builtin_memcpy(&at.lane, lanes, sizeof lanes);
  }
  for (index p = 0; p < planes; ++p, dy += outputs, taps += outputs) {
    T* const dx = out.next(in);
    for (index v = 0; v < vectors; ++v) {
      const Gather& at = gather[v];
      const Vec<T> d = load_bits<T>(at.outputs, dy + at.first);
      const __m128i tap = _mm_shuffle_epi8(_mm_maskz_loadu_epi8(at.outputs, taps + at.first),
                                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(at.byte)));
      const Vec<T> sum = add_chosen<T>(Vec<T>{}, pick<T>(d, at.lane, d), at.inside, tap,
                                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(at.tap)));
      store_bits<T>(dx + v * n, first_bits<T>(in - v * n), sum);
    }
  }
  return true;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
