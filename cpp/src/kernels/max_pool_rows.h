// Maxima of any window, row by row of the output.
//
// Vectors lie along the width of the output. A tap of stride 1 is a plain load, a tap of stride 2 every second element of
// two loads; larger strides go element by element. Columns whose window sticks out of the input are peeled.
#pragma once

#include "kernels/max_pool_windows.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Calls f(k, v) for the taps k of one row: v holds p[i * kStride + k * dilation] for the outputs i = 0 ..
// m-1, and nothing behind the last one is read. kWhole: m = kLanes. kTaps: the number of taps, of dilation 1;
// 0 if not known.
template <int kStride, int kTaps, bool kWhole, class T, class F>
TENFOLD_INLINE void each_tap(const T* p, index taps, index dilation, index m, F&& f) {
  constexpr index n = kLanes<T>;
  if constexpr (kTaps == 2 && kStride == 2) {
    const Vec<T> a = load_part<kWhole>(p, 2 * m);
    const Vec<T> b = load_part<kWhole>(p + n, 2 * m - n);
    f(0, evens<T>(a, b));
    f(1, odds<T>(a, b));
  } else if constexpr (kTaps == 3 && kStride == 2) {
    const Vec<T> a = load_part<kWhole>(p, 2 * m);
    const Vec<T> b = load_part<kWhole>(p + n, 2 * m - n);
    f(0, evens<T>(a, b));
    f(1, odds<T>(a, b));
    f(2, evens_odds<T>(load_part<kWhole>(p + 2, 2 * m - 1), load_part<kWhole>(p + n + 1, 2 * m - n)));
  } else {
    const index count = kTaps > 0 ? kTaps : taps;
    for (index k = 0; k < count; ++k, p += kTaps > 0 ? 1 : dilation) {
      if constexpr (kStride == 2) {
        f(k, evens_odds<T>(load_part<kWhole>(p, 2 * m - 1), load_part<kWhole>(p + n - 1, 2 * m - n)));
      } else {
        f(k, load_part<kWhole>(p, m));
      }
    }
  }
}

// Outputs ow .. ow + m - 1 of a row, all taps inside.
template <int kStride, int kTaps, bool kWhole, class T, class P>
TENFOLD_INLINE void max_block(const PoolAxis& w, const Rows& rows, const T* x, index ow, index m, T* y,
                              P* positions) {
  const index origin = ow * kStride - w.pad;
  Vec<T> best = {};
  Mask<T> chosen = splat_int<T>(rows.name<P>(0, 0));  // of a position less the output's own column
  bool started = false;
  for (index d = 0; d < rows.nd; ++d) {
    for (index h = 0; h < rows.nh; ++h) {
      const index row = rows.first + d * rows.step_d + h * rows.step_h, name = rows.name<P>(d, h);
      each_tap<kStride, kTaps, kWhole>(x + row + origin, w.kernel, w.dilation, m, [&](index k, Vec<T> v) {
        if (k == 0 && !started) {
          best = v;
          started = true;
          return;
        }
        const Mask<T> take = (v > best) | ((v != v) & (best == best));
        best = select<T>(take, v, best);
        if constexpr (kKept<P>) {
          chosen = take ? splat_int<T>(name + k * (kTapNumbers<P> ? 1 : w.dilation)) : chosen;
        }
      });
    }
  }
  if constexpr (kWhole) {
    store(y + ow, best);
  } else {
    store_first(y + ow, best, m);
  }
  if constexpr (kKept<P>) {
    if constexpr (!kTapNumbers<P>) chosen += splat_int<T>(origin) + iota<T>() * kStride;
    store_positions<kWhole, T>(positions + ow, chosen, m);
  }
}

template <int kStride, int kTaps, class T, class P>
TENFOLD_INLINE void max_inner(const PoolAxis& w, const Rows& rows, const T* x, T* y, P* positions) {
  constexpr index n = kLanes<T>;
  const index count = w.inner_end - w.inner_begin;
  if (count >= n) {
    for (index ow = w.inner_begin; ow < w.inner_end; ow += n) {
      // The last block overlaps the one before it; computing an output twice does no harm.
      max_block<kStride, kTaps, true>(w, rows, x, least(ow, w.inner_end - n), n, y, positions);
    }
  } else if (count > 0) {
    max_block<kStride, kTaps, false>(w, rows, x, w.inner_begin, count, y, positions);
  }
}

// Outputs begin .. end - 1 of a row, element by element, taps outside left out.
template <class T, class P>
void max_edge(const PoolAxis& w, const Rows& rows, const T* x, index begin, index end, T* y, P* positions) {
  for (index ow = begin; ow < end; ++ow) {
    const Inside taps = taps_inside(w, ow);
    T best = static_cast<T>(-__builtin_inf());
    index where = -1;
    if (rows.nd > 0 && rows.nh > 0 && taps.count > 0) {
      where = rows.name<P>(0, 0) + (kTapNumbers<P> ? taps.tap : taps.first);
      best = x[rows.first + taps.first];
      for (index d = 0; d < rows.nd; ++d) {
        for (index h = 0; h < rows.nh; ++h) {
          index at = rows.first + d * rows.step_d + h * rows.step_h + taps.first;
          for (index k = 0; k < taps.count; ++k, at += w.dilation) {
            const T v = x[at];
            if constexpr (!kKept<P>) {
              const T larger = v > best ? v : best;
              best = v != v ? v : larger;
            } else if (replaces(v, best)) {
              best = v;
              where = kTapNumbers<P> ? rows.name<P>(d, h) + taps.tap + k : at;
            }
          }
        }
      }
    }
    y[ow] = best;
    if constexpr (kKept<P>) positions[ow] = static_cast<P>(where);  // -1 is kNoTap
  }
}

template <class T, class P>
void max_plane(const PoolGeometry& g, const T* x, T* y, P* positions) {
  const PoolAxis& w = g.w;
  const bool dense = w.dilation == 1;
  for (index od = 0; od < g.d.output; ++od) {
    for (index oh = 0; oh < g.h.output; ++oh) {
      const Rows rows = rows_inside(g, od, oh);
      if (rows.nd == 0 || rows.nh == 0 || w.stride > 2) {
        max_edge(w, rows, x, 0, w.output, y, positions);
      } else {
        max_edge(w, rows, x, 0, w.inner_begin, y, positions);
        if (w.stride == 2 && w.kernel == 2 && dense) {
          max_inner<2, 2>(w, rows, x, y, positions);
        } else if (w.stride == 2 && w.kernel == 3 && dense) {
          max_inner<2, 3>(w, rows, x, y, positions);
        } else if (w.stride == 2) {
          max_inner<2, 0>(w, rows, x, y, positions);
        } else if (w.kernel == 3 && dense) {
          max_inner<1, 3>(w, rows, x, y, positions);
        } else {
          max_inner<1, 0>(w, rows, x, y, positions);
        }
        max_edge(w, rows, x, w.inner_end, w.output, y, positions);
      }
      y += w.output;
      if constexpr (kKept<P>) positions += w.output;
    }
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
