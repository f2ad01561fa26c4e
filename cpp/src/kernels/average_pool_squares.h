// Averages of 2 x 2 windows that share no element and lie inside of the image: no sums wait in memory.
#pragma once

#include "kernels/average_pool.h"
#include "kernels/pool_common.h"
#include "kernels/row_writer.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T>
bool takes_pairs(const SumAxis<T>& a) {
  if (a.stride != 2 || a.kernel != 2 || a.pad != 0 || a.output == 0 || 2 * a.output > a.size) return false;
  for (index o = 1; o < a.output; ++o) {
    if (a.divisor[o] != a.divisor[0]) return false;
  }
  return true;
}
template <class T>
bool takes_squares(const SumGeometry<T>& g) {
  const bool flat = g.d.size == 1 && g.d.output == 1 && g.d.begin[0] == 0 && g.d.end[0] == 1;
  return flat && takes_pairs(g.h) && takes_pairs(g.w);
}

// Rows shorter than a vector are written over the ones behind them, which come later, as long as these exist.
template <class T>
void sum_squares(const SumGeometry<T>& g, index planes, const T* x, T* y) {
  constexpr index n = kLanes<T>, ahead = kAheadBytes / static_cast<index>(sizeof(T));
  const index width = g.w.size, outputs = g.w.output, in = g.h.size * width;
  const T* const x_end = x + planes * in;
  const T* const y_end = y + planes * g.h.output * outputs;
  const Vec<T> divisor = splat(g.d.divisor[0] * g.h.divisor[0] * g.w.divisor[0]);
  for (index p = 0; p < planes; ++p, x += in) {
    for (index oh = 0; oh < g.h.output; ++oh, y += outputs) {
      const T *const top = x + 2 * oh * width, *const bottom = top + width;
      const auto average = [&](auto whole, index o, index m) __attribute__((always_inline)) {
        __builtin_prefetch(top + 2 * o + ahead, 0, 2);
        __builtin_prefetch(bottom + 2 * o + ahead, 0, 2);
        constexpr bool kWhole = decltype(whole)::value == 1;
        const Vec<T> a = load_part<kWhole>(top + 2 * o, 2 * m) + load_part<kWhole>(bottom + 2 * o, 2 * m);
        const Vec<T> b =
            load_part<kWhole>(top + 2 * o + n, 2 * m - n) + load_part<kWhole>(bottom + 2 * o + n, 2 * m - n);
        return (evens<T>(a, b) + odds<T>(a, b)) / divisor;
      };
      index o = 0;
      for (; o + n <= outputs; o += n) store(y + o, average(Number<1>{}, o, n));
      if (o == outputs) continue;
      if (o > 0) {  // The last vector repeats some outputs.
        store(y + outputs - n, average(Number<1>{}, outputs - n, n));
      } else if (bottom + 2 * n <= x_end && y + n <= y_end) {
        store(y, average(Number<1>{}, 0, n));
      } else {
        store_first(y, average(Number<0>{}, 0, outputs), outputs);
      }
    }
  }
}

template <class T>
void sum_squares_backward(const SumGeometry<T>& g, index planes, const T* dy, RowWriter<T>& writer) {
  constexpr index n = kLanes<T>;
  const index width = g.w.size, outputs = g.w.output;
  const T* const dy_end = dy + planes * g.h.output * outputs;
  const Vec<T> rows_share = splat(g.d.share[0] * g.h.share[0]), share = splat(g.w.share[0]);
  for (index p = 0; p < planes; ++p) {
    for (index oh = 0; oh < g.h.output; ++oh, dy += outputs) {
      T* const dx = writer.next(2 * width);
      const auto spread = [&](auto whole, T* row, index o, index m) __attribute__((always_inline)) {
        constexpr bool kWhole = decltype(whole)::value == 1;
        const Vec<T> v = load_part<kWhole>(dy + o, m) * rows_share * share;
        Vec<T> low, high;
        interleave<T>(v, v, low, high);
        if constexpr (kWhole) {
          store(row + 2 * o, low);
          store(row + 2 * o + n, high);
        } else {
          store_first(row + 2 * o, low, least(2 * m, n));
          if (2 * m > n) store_first(row + 2 * o + n, high, 2 * m - n);
        }
      };
      const bool room = dy + n <= dy_end && dx + width + 2 * n <= writer.limit(dx);
      for (T* row = dx; row != dx + 2 * width; row += width) {
        index o = 0;
        for (; o + n <= outputs; o += n) spread(Number<1>{}, row, o, n);
        if (o > 0 && o < outputs) {
          spread(Number<1>{}, row, outputs - n, n);
        } else if (o < outputs && room) {
          spread(Number<1>{}, row, 0, n);
        } else if (o < outputs) {
          spread(Number<0>{}, row, 0, outputs);
        }
        for (index c = 2 * outputs; c < width; ++c) row[c] = T(0);
      }
    }
    for (index r = 2 * g.h.output; r < g.h.size; ++r) fill(width, T(0), writer.next(width));
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
