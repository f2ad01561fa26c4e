// Where windows share no element, or have a stride of 2, the gradient of every element is computed from the outputs that
// may have chosen it; elsewhere gradients are scattered.
#include "kernels/max_pool_taps.h"
#include "kernels/row_writer.h"
#if defined(TENFOLD_ISA_avx512)
#include "kernels/max_pool_gradient_flat.h"
#endif
#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
#include "kernels/max_pool_gradient_rows.h"
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T>
void write_zeros(index rows, index width, RowWriter<T>& out) {
  for (index r = 0; r < rows; ++r) fill(width, T(0), out.next(width));
}

// Windows of width 2 that tile the rows: every element belongs to one window and is computed, not scattered to.
// kHeight: their height, 0 if not known. kNarrow: rows have fewer outputs than a vector. Behind the `readable` outputs
// from dy on nothing may be read.
template <int kHeight, bool kNarrow, class T>
void max_backward_pairs(const PoolGeometry& g, const T* dy, const TapNumber* taps, index readable,
                        RowWriter<T>& out) {
  constexpr index n = kLanes<T>;
  const index width = g.w.size, outputs = g.w.output, height = kHeight > 0 ? kHeight : g.h.kernel;
  T* dx = nullptr;
  // Outputs ow .. ow + m - 1 of all rows of their windows.
  const auto block = [&](auto whole, index ow, index m) __attribute__((always_inline)) {
    constexpr bool kWhole = decltype(whole)::value == 1;
    const Vec<T> v = load_part<kWhole>(dy + ow, m);
    const TapLanes<T> tap = load_taps<T>(taps + ow, kWhole ? n : m);
    T* to = dx + 2 * ow;
#pragma GCC unroll 2
    for (index h = 0; h < height; ++h, to += width) {
      const Vec<T> left = where_chosen<T>(tap, 2 * h, v), right = where_chosen<T>(tap, 2 * h + 1, v);
      Vec<T> low, high;
      interleave<T>(left, right, low, high);
      if constexpr (kWhole) {
        store(to, low);
        store(to + n, high);
      } else if (2 * m >= n) {
        store(to, low);
        store_first(to + n, high, 2 * m - n);
      } else {
        store_first(to, low, 2 * m);
      }
    }
  };
  for (index oh = 0; oh < g.h.output; ++oh, dy += outputs, taps += outputs, readable -= outputs) {
    dx = out.next(height * width);
    if constexpr (!kNarrow) {
      // The last block overlaps the one before it.
      for (index ow = 0; ow < outputs; ow += n) block(Number<1>{}, least(ow, outputs - n), n);
    } else if (readable >= n && dx + (height - 1) * width + 2 * n <= out.limit(dx)) {
      block(Number<1>{}, 0, n);  // what is behind a row is written later
    } else {
      block(Number<0>{}, 0, outputs);
    }
    for (index h = 0; h < height; ++h) {
      for (index i = 2 * outputs; i < width; ++i) dx[h * width + i] = T(0);
    }
  }
  write_zeros(g.h.size - g.h.output * height, width, out);
}

bool tiled_by_pairs(const PoolGeometry& g) {
  return flat(g) && g.w.kernel == 2 && g.w.stride == 2 && g.w.dilation == 1 && g.w.inner_begin == 0 &&
         g.w.inner_end == g.w.output && g.h.kernel == g.h.stride && g.h.dilation == 1 &&
         g.h.inner_begin == 0 && g.h.inner_end == g.h.output && g.w.pad == 0 && g.h.pad == 0;
}

template <class T>
void scatter_by_taps(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps, T* dx) {
  index offset[kMostTapNumbers];  // of a tap from the first one
  index tap = 0;
  for (index d = 0; d < g.d.kernel; ++d) {
    for (index h = 0; h < g.h.kernel; ++h) {
      const index row = (d * g.d.dilation * g.h.size + h * g.h.dilation) * g.w.size;
      for (index w = 0; w < g.w.kernel; ++w) offset[tap++] = row + w * g.w.dilation;
    }
  }
  const index in = g.d.size * g.h.size * g.w.size;
  for (index p = 0; p < planes; ++p, dx += in) {
    fill(in, T(0), dx);
    for (index od = 0; od < g.d.output; ++od) {
      for (index oh = 0; oh < g.h.output; ++oh) {
        index first =
            ((od * g.d.stride - g.d.pad) * g.h.size + oh * g.h.stride - g.h.pad) * g.w.size - g.w.pad;
        for (index ow = 0; ow < g.w.output; ++ow, first += g.w.stride, ++dy, ++taps) {
          if (*taps != kNoTap) dx[first + offset[*taps]] += *dy;
        }
      }
    }
  }
}

#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
// False where gradients are better scattered.
template <class T>
bool max_backward_gathered(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps,
                           RowWriter<T>& out) {
  const PoolAxis &h = g.h, &w = g.w;
  if (!flat(g)) return false;
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == sizeof(float)) {
    if (max_backward_flat(g, planes, dy, taps, out)) return true;
  }
#endif
  if (w.stride != 2 || w.dilation != 1 || h.dilation != 1 || w.size > 2 * (w.output + kLanes<T>) ||
      w.pad > kLanes<T> || tiled_by_pairs(g)) {
    return false;
  }
  const auto by_parity = [&](const auto& rows) __attribute__((always_inline)) {
    return w.pad % 2 == 0 ? rows(Number<0>{}) : rows(Number<1>{});
  };
  if (w.kernel == 3 && h.kernel == 3 && h.stride == 2) {
    return by_parity([&](auto first) __attribute__((always_inline)) {
      constexpr int kFirst = decltype(first)::value;
      index paired = 0;
#if defined(TENFOLD_ISA_avx512)
      // Narrow planes go in pairs.
      if constexpr (sizeof(T) == sizeof(float)) {
        if (w.size <= kLanes<T> && w.output <= kLanes<T> / 2) paired = planes / 2 * 2;
        if (!max_backward_rows<3, kFirst, 3, 2, true>(g, paired, dy, taps, out)) return false;
      }
#endif
      const index done = paired * h.output * w.output;
      return max_backward_rows<3, kFirst, 3, 2, false>(g, planes - paired, dy + done, taps + done, out);
    });
  }
  // Other windows are rare enough in float64 not to have code of their own.
  if constexpr (sizeof(T) == sizeof(float)) {
    const auto rows = [&](auto width) __attribute__((always_inline)) {
      constexpr int kTaps = decltype(width)::value;
      return by_parity([&](auto first) __attribute__((always_inline)) {
        return max_backward_rows<kTaps, decltype(first)::value, 0, 0, false>(g, planes, dy, taps, out);
      });
    };
    if (w.kernel == 2) return rows(Number<2>{});
    if (w.kernel == 3) return rows(Number<3>{});
  }
  return false;
}
#endif

template <class T>
void max_taps_backward(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps, bool past,
                       T* dx) {
  const index outputs = g.d.output * g.h.output * g.w.output;
  RowWriter<T> out(dx, planes * g.d.size * g.h.size * g.w.size, past);
#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
  if (max_backward_gathered(g, planes, dy, taps, out)) return out.finish();
#endif
  if (tiled_by_pairs(g)) {
    const bool narrow = g.w.output < kLanes<T>;
    const auto pairs = g.h.kernel == 2
                           ? (narrow ? max_backward_pairs<2, true, T> : max_backward_pairs<2, false, T>)
                           : (narrow ? max_backward_pairs<0, true, T> : max_backward_pairs<0, false, T>);
    for (index p = 0; p < planes; ++p)
      pairs(g, dy + p * outputs, taps + p * outputs, (planes - p) * outputs, out);
    return out.finish();
  }
  scatter_by_taps(g, planes, dy, taps, dx);
}

template <class T>
void max_positions_backward(const PoolGeometry& g, index planes, const T* dy, const Position* positions,
                            T* dx) {
  const index in = g.d.size * g.h.size * g.w.size, outputs = g.d.output * g.h.output * g.w.output;
  for (index p = 0; p < planes; ++p, dy += outputs, positions += outputs, dx += in) {
    fill(in, T(0), dx);
    for (index o = 0; o < outputs; ++o) {
      if (positions[o] >= 0) dx[positions[o]] += dy[o];
    }
  }
}

template <class T>
constexpr MaxPoolGradientKernels<T> make_table() {
  return {max_taps_backward<T>, max_positions_backward<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(MaxPoolGradientKernels, make_table)
