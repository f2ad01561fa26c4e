// Vectors lie along the columns of the input while rows are added, and along the outputs while columns are.
#include "kernels/average_pool.h"

#include "kernels/average_pool_squares.h"
#include "kernels/pool_common.h"
#include "kernels/row_writer.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Columns of the input that are worked on at a time, and zeros behind them for whole vectors of every tap.
constexpr index kColumns = 512;
template <class T>
constexpr index kMargin = 4 * kLanes<T>;

template <class T>
TENFOLD_INLINE void store_part(T* p, Vec<T> v, index m) {
  if (m >= kLanes<T>) {
    store(p, v);
  } else {
    store_first(p, v, m);
  }
}

// The sum of n contiguous elements.
template <class T>
TENFOLD_INLINE T total(index n, const T* x) {
  constexpr index m = kLanes<T>;
  Vec<T> a = {}, b = {}, c = {}, d = {};
  index i = 0;
  for (; i + 4 * m <= n; i += 4 * m) {
    a += load(x + i);
    b += load(x + i + m);
    c += load(x + i + 2 * m);
    d += load(x + i + 3 * m);
  }
  for (; i + m <= n; i += m) a += load(x + i);
  if (i < n) b += load_first(x + i, n - i);
  return sum_of_lanes<T>((a + b) + (c + d));
}

// An output row whose windows take whole rows of the input.
template <class T>
TENFOLD_INLINE T sum_of_rows(const SumGeometry<T>& g, index od, index oh, const T* x) {
  const index d = g.d.begin[od], h = g.h.begin[oh], rows = g.h.end[oh] - h, width = g.w.size;
  T sum = T(0);
  for (index i = d; i < g.d.end[od]; ++i) sum += total(rows * width, x + (i * g.h.size + h) * width);
  return sum;
}

// kTaps: their kernel, 0 if not known.
template <int kStride, int kTaps, class T>
TENFOLD_INLINE void sum_taps(index kernel, index count, const T* sums, T divisor, const T* divisors, T* y) {
  constexpr index n = kLanes<T>;
  const index taps = kTaps > 0 ? kTaps : kernel;
  for (index o = 0; o < count; o += n, sums += n * kStride) {
    Vec<T> sum = {};
    index k = 0;
    if constexpr (kStride == 1) {
#pragma GCC unroll 3
      for (; k < taps; ++k) sum += load(sums + k);
    } else {
#pragma GCC unroll 2
      for (; k + 2 <= taps; k += 2) {
        const Vec<T> a = load(sums + k), b = load(sums + k + n);
        sum += evens<T>(a, b) + odds<T>(a, b);
      }
      if (k < taps) sum += evens<T>(load(sums + k), load(sums + k + n));
    }
    const index m = count - o;
    if (m >= n) {
      store(y + o, sum / (splat(divisor) * load(divisors + o)));
    } else {
      store_first(y + o, sum / (splat(divisor) * load_first(divisors + o, m)), m);  // other lanes are dropped
    }
  }
}

// Outputs `first` .. `first` + count - 1 of a row, which look at the columns from `column` on; sums[i] is the sum of
// column + i over the rows of their windows.
template <class T>
TENFOLD_INLINE void sum_across(const SumAxis<T>& w, index first, index count, index column, const T* sums,
                               T divisor, T* y) {
  const T* const divisors = w.divisor + first;
  if (w.stride == 2 && w.kernel == 2) {
    sum_taps<2, 2>(2, count, sums, divisor, divisors, y);
  } else if (w.stride == 2 && w.kernel == 3) {
    sum_taps<2, 3>(3, count, sums, divisor, divisors, y);
  } else if (w.stride == 2) {
    sum_taps<2, 0>(w.kernel, count, sums, divisor, divisors, y);
  } else if (w.stride == 1 && w.kernel == 3) {
    sum_taps<1, 3>(3, count, sums, divisor, divisors, y);
  } else if (w.stride == 1) {
    sum_taps<1, 0>(w.kernel, count, sums, divisor, divisors, y);
  } else {
    for (index o = 0; o < count; ++o) {
      T sum = T(0);
      for (index c = w.begin[first + o]; c < w.end[first + o]; ++c) sum += sums[c - column];
      y[o] = sum / (divisor * divisors[o]);
    }
  }
}

// One window that takes everything.
template <class T>
TENFOLD_INLINE bool whole(const SumAxis<T>& a) {
  return a.output == 1 && a.begin[0] == 0 && a.end[0] == a.size;
}

template <class T>
TENFOLD_INLINE index first_column(const SumAxis<T>& w, index o) {
  return w.stride > 0 ? o * w.stride - w.pad : w.begin[o];
}
template <class T>
TENFOLD_INLINE index last_column(const SumAxis<T>& w, index o) {
  return w.stride > 0 ? o * w.stride - w.pad + w.kernel : w.end[o];
}

template <class T>
void sum(const SumGeometry<T>& g, index planes, const T* x, T* y) {
  constexpr index n = kLanes<T>;
  const SumAxis<T> w = g.w;
  const index in = g.d.size * g.h.size * w.size, out = g.d.output * g.h.output * w.output;
  const bool rows_whole = whole(w);
  if (rows_whole && whole(g.h) && whole(g.d)) {
    const T divisor = g.d.divisor[0] * g.h.divisor[0] * w.divisor[0];
    for (index p = 0; p < planes; ++p) y[p] = total(in, x + p * in) / divisor;
    return;
  }
  if (takes_squares(g)) return sum_squares(g, planes, x, y);
  T sums[kColumns + kMargin<T>] = {};
  for (index first = 0, next = 1; first < w.output; first = next, next = first + 1) {
    const index column = first_column(w, first);
    while (next < w.output && last_column(w, next) - column <= kColumns) ++next;
    const index from = most(column, 0), to = least(last_column(w, next - 1), w.size);
    const bool wide = last_column(w, first) - column > kColumns;  // even one window
    for (index i = 0; !wide && i < kColumns + kMargin<T>; i += n) store(sums + i, Vec<T>{});
    for (index p = 0; p < planes; ++p) {
      for (index od = 0; od < g.d.output; ++od) {
        for (index oh = 0; oh < g.h.output; ++oh) {
          const T* const plane = x + p * in;
          T* const row = y + p * out + (od * g.h.output + oh) * w.output;
          const T divisor = g.d.divisor[od] * g.h.divisor[oh];
          if (rows_whole) {
            row[0] = sum_of_rows(g, od, oh, plane) / (divisor * w.divisor[0]);
            continue;
          }
          const index d = g.d.begin[od], h = g.h.begin[oh];
          const index deep = g.d.end[od] - d, high = g.h.end[oh] - h, step = g.h.size * w.size;
          const T* const begin = plane + (d * g.h.size + h) * w.size;
          if (wide) {
            T sum = T(0);
            for (index i = 0; i < deep; ++i) {
              for (index j = 0; j < high; ++j) {
                sum += total(w.end[first] - w.begin[first], begin + i * step + j * w.size + w.begin[first]);
              }
            }
            row[first] = sum / (divisor * w.divisor[first]);
            continue;
          }
          const auto column_sums = [&](auto full, index c) __attribute__((always_inline)) {
            constexpr bool kWhole = decltype(full)::value == 1;
            Vec<T> sum = {};
            for (index i = 0; i < deep; ++i) {
              const T* at = begin + i * step + c;
              for (index j = 0; j < high; ++j, at += w.size) sum += load_part<kWhole>(at, to - c);
            }
            store(sums + (c - column), sum);
          };
          index c = from;
          for (; c + n <= to; c += n) column_sums(Number<1>{}, c);
          if (c < to) column_sums(Number<0>{}, c);
          sum_across(w, first, next - first, column, sums, divisor, row + first);
        }
      }
    }
  }
}

// The outputs that look at an element of the input: begin .. end - 1. To be asked for elements in order.
struct Lookers {
  index begin = 0, end = 0;
  template <class T>
  __attribute__((always_inline)) void at(const SumAxis<T>& a, index position) {
    while (end < a.output && a.begin[end] <= position) ++end;
    while (begin < end && a.end[begin] <= position) ++begin;
  }
};

// Columns `from` .. `to` - 1 of some rows that are the same, from the shares of the outputs `first` .. `last` - 1 that
// look at them: share[o] for output o, with zeros around.
template <class T>
TENFOLD_INLINE void spread(const SumAxis<T>& w, index from, index to, const T* share, index first, index last,
                           index rows, T* dx) {
  constexpr index n = kLanes<T>;
  const auto put = [&](index c, Vec<T> v) __attribute__((always_inline)) {
    T* at = dx + c;
    for (index r = 0; r < rows; ++r, at += w.size) store_part(at, v, to - c);
  };
  if (w.stride == 1) {
    for (index c = from; c < to; c += n) {
      Vec<T> sum = {};
      for (index k = w.kernel - 1; k >= 0; --k) sum += load(share + (c + w.pad - k));
      put(c, sum);
    }
  } else if (w.stride == 2) {
    // Lane 0 at p of the padded row; tap k is output (p - k) / 2.
    const auto looked = [&](index p) __attribute__((always_inline)) {
      const T* at = share + p / 2;
      Vec<T> sum = {};
      for (index k = p % 2; k < w.kernel; k += 2, --at) sum += load(at);
      return sum;
    };
    for (index c = from; c < to; c += 2 * n) {
      const Vec<T> even = looked(c + w.pad), odd = looked(c + w.pad + 1);
      Vec<T> low, high;
      interleave<T>(even, odd, low, high);
      put(c, low);
      if (c + n < to) put(c + n, high);
    }
  } else {
    for (index c = from; c < to; ++c) dx[c] = T(0);
    for (index o = first; o < last; ++o) {
      const index end = least(w.end[o], to);
      for (index c = most(w.begin[o], from); c < end; ++c) dx[c] += share[o];
    }
    for (index c = from; c < to; c += n) {
      const index m = least(n, to - c);
      const Vec<T> v = load_part<false>(dx + c, m);
      for (index r = 1; r < rows; ++r) store_part(dx + r * w.size + c, v, m);
    }
  }
}

// Outputs of a row around those that look at some columns, which whole vectors of every tap read.
template <class T>
TENFOLD_INLINE index margin_of(const SumAxis<T>& w) {
  return w.stride == 1 || w.stride == 2 ? w.kernel + kMargin<T> : 0;
}
// Shares of the outputs that look at kColumns columns, and margins.
constexpr index kShares = 2 * kColumns;
template <class T>
bool shares_fit(const SumAxis<T>& w) {
  Lookers columns;
  for (index from = 0; from < w.size; from += kColumns) {
    columns.at(w, from);
    index last = columns.end;
    while (last < w.output && w.begin[last] < from + kColumns) ++last;
    if (last - columns.begin + 2 * margin_of(w) + 2 * kLanes<T> > kShares) return false;
  }
  return true;
}

// Any geometry, element by element.
template <class T>
void sum_backward_scattered(const SumGeometry<T>& g, index planes, const T* dy, T* dx) {
  const index in = g.d.size * g.h.size * g.w.size;
  for (index p = 0; p < planes; ++p, dx += in) {
    fill(in, T(0), dx);
    for (index od = 0; od < g.d.output; ++od) {
      for (index oh = 0; oh < g.h.output; ++oh) {
        for (index ow = 0; ow < g.w.output; ++ow, ++dy) {
          const T share = *dy / (g.d.divisor[od] * g.h.divisor[oh] * g.w.divisor[ow]);
          for (index d = g.d.begin[od]; d < g.d.end[od]; ++d) {
            for (index h = g.h.begin[oh]; h < g.h.end[oh]; ++h) {
              T* const row = dx + (d * g.h.size + h) * g.w.size;
              for (index w = g.w.begin[ow]; w < g.w.end[ow]; ++w) row[w] += share;
            }
          }
        }
      }
    }
  }
}

template <class T>
void sum_backward(const SumGeometry<T>& g, index planes, const T* dy, bool past, T* dx) {
  constexpr index n = kLanes<T>;
  const SumAxis<T> w = g.w;
  const index in = g.d.size * g.h.size * w.size;
  const bool squares = takes_squares(g);
  if (!squares && !shares_fit(w)) return sum_backward_scattered(g, planes, dy, dx);
  RowWriter<T> writer(dx, planes * in, past);
  if (squares) {
    sum_squares_backward(g, planes, dy, writer);
    return writer.finish();
  }
  const index out = g.h.output * w.output, margin = margin_of(w);
  const bool one = whole(w), one_piece = w.size <= kColumns;
  T shares[kShares] = {};
  if (one && whole(g.h) && whole(g.d)) {
    const T divisor = g.d.divisor[0] * g.h.divisor[0] * w.divisor[0];
    for (index p = 0; p < planes; ++p) fill(in, dy[p] / divisor, writer.next(in));
    return writer.finish();
  }
  for (index p = 0; p < planes; ++p, dy += g.d.output * out) {
    Lookers d;
    for (index i = 0; i < g.d.size; ++i) {
      d.at(g.d, i);
      Lookers h, next;
      next.at(g.h, 0);
      for (index r = 0, same; r < g.h.size; r += same) {
        // Rows r .. r + same - 1 are looked at by the same outputs.
        h = next;
        for (same = 0; r + same < g.h.size && next.begin == h.begin && next.end == h.end;) {
          ++same;
          if (r + same < g.h.size) next.at(g.h, r + same);
        }
        // What output column o of these adds to each of its columns.
        const auto share_of = [&](auto full, index o, index m) __attribute__((always_inline)) {
          constexpr bool kWhole = decltype(full)::value == 1;
          Vec<T> sum = {};
          for (index od = d.begin; od < d.end; ++od) {
            for (index oh = h.begin; oh < h.end; ++oh) {
              const Vec<T> v = load_part<kWhole>(dy + od * out + oh * w.output + o, m);
              sum = fma<T>(v, splat(g.d.share[od] * g.h.share[oh]), sum);
            }
          }
          return sum * load_part<kWhole>(w.share + o, m);
        };
        T* const rows = writer.next(same * w.size);
        if (one) {
          fill(same * w.size, share_of(Number<0>{}, 0, 1)[0], rows);
          continue;
        }
        Lookers columns;
        for (index from = 0; from < w.size; from += kColumns) {
          const index to = least(w.size, from + kColumns);
          index first = 0, last = w.output;
          if (!one_piece) {
            columns.at(w, from);
            first = columns.begin, last = columns.end;
            while (last < w.output && w.begin[last] < to) ++last;
          }
          T* const share = shares + margin - first;
          index o = first;
          for (; o + n <= last; o += n) store(share + o, share_of(Number<1>{}, o, n));
          if (o < last) store(share + o, share_of(Number<0>{}, o, last - o));
          if (!one_piece) {
            for (index z = last; z < last + margin; z += n) store(share + z, Vec<T>{});
          }
          spread(w, from, to, static_cast<const T*>(share), first, last, same, rows);
        }
      }
    }
  }
  writer.finish();
}

template <class T>
constexpr AveragePoolKernels<T> make_table() {
  return {sum<T>, sum_backward<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(AveragePoolKernels, make_table)
