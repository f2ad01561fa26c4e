// Vectors lie along the width of the output. A tap of stride 1 is a plain load, a tap of stride 2 every
// second element of two loads; larger strides go element by element. Columns whose window sticks out of the
// input are peeled.
#include "kernels/pool.h"

#include "kernels/shuffle.h"
#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Whether part of a vector of positions moves like one of elements of the same size: only bits move.
#if defined(TENFOLD_ISA_avx512)
template <class T, class P>
constexpr bool kMovesAlike = sizeof(P) == sizeof(T);
#else
template <class T, class P>
constexpr bool kMovesAlike = false;
#endif

constexpr index kGradientBlock = 256;  // gradients scaled at a time: 2 KB of stack at most

template <class T>
TENFOLD_INLINE Mask<T> splat_int(index value) {
  return Mask<T>{} + static_cast<decltype(Mask<T>{}[0] + 0)>(value);
}

template <class T>
TENFOLD_INLINE Mask<T> iota() {
  if constexpr (kLanes<T> == 16) {
    return Mask<T>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  } else if constexpr (kLanes<T> == 8) {
    return Mask<T>{0, 1, 2, 3, 4, 5, 6, 7};
  } else if constexpr (kLanes<T> == 4) {
    return Mask<T>{0, 1, 2, 3};
  } else {
    return Mask<T>{0, 1};
  }
}

// Elements 0, 2, 4, ... of a followed by b.
template <class T>
TENFOLD_INLINE Vec<T> evens(Vec<T> a, Vec<T> b) {
  if constexpr (kLanes<T> == 16) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  } else if constexpr (kLanes<T> == 8) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2);
  }
}
// Elements 1, 3, 5, ... of a followed by b.
template <class T>
TENFOLD_INLINE Vec<T> odds(Vec<T> a, Vec<T> b) {
  if constexpr (kLanes<T> == 16) {
    return TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  } else if constexpr (kLanes<T> == 8) {
    return TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7, 9, 11, 13, 15);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 1, 3);
  }
}
// The even elements of a, then the odd ones of b: what two loads that overlap by one element need.
template <class T>
TENFOLD_INLINE Vec<T> evens_odds(Vec<T> a, Vec<T> b) {
  if constexpr (kLanes<T> == 16) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
  } else if constexpr (kLanes<T> == 8) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 9, 11, 13, 15);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 5, 7);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 0, 3);
  }
}
// a[0], b[0], a[1], b[1], ...: the first and the second half.
template <class T>
TENFOLD_INLINE Vec<T> zip_low(Vec<T> a, Vec<T> b) {
  if constexpr (kLanes<T> == 16) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  } else if constexpr (kLanes<T> == 8) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 4, 1, 5);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2);
  }
}
template <class T>
TENFOLD_INLINE Vec<T> zip_high(Vec<T> a, Vec<T> b) {
  if constexpr (kLanes<T> == 16) {
    return TENFOLD_SHUFFLE(T, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  } else if constexpr (kLanes<T> == 8) {
    return TENFOLD_SHUFFLE(T, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 2, 6, 3, 7);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 1, 3);
  }
}

TENFOLD_INLINE index least(index a, index b) {
  return a < b ? a : b;
}
TENFOLD_INLINE index most(index a, index b) {
  return a > b ? a : b;
}

// load_first for 0 <= n <= kLanes.
template <bool kWhole, class T>
TENFOLD_INLINE Vec<T> load_part(const T* p, index n) {
  if constexpr (kWhole) {
    static_cast<void>(n);
    return load(p);
  } else {
    return n > 0 ? load_first(p, least(n, kLanes<T>)) : Vec<T>{};
  }
}

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

struct None {};  // no positions wanted

// The taps of output o that lie inside: first, first + dilation, ... (count of them; the first is tap `tap`).
struct Inside {
  index first, count;
};
TENFOLD_INLINE Inside taps_inside(const PoolAxis& a, index o) {
  const index start = o * a.stride - a.pad;
  const index begin = start < 0 ? (-start + a.dilation - 1) / a.dilation : 0;
  const index room = a.size - start;
  const index end = room <= 0 ? 0 : least(a.kernel, (room + a.dilation - 1) / a.dilation);
  return {start + begin * a.dilation, end > begin ? end - begin : 0};
}

// The rows of the input that the windows of one output row look at.
struct Rows {
  index first;           // offset of the first row in the plane
  index nd, nh;          // how many in depth and height
  index step_d, step_h;  // offsets between them
};
TENFOLD_INLINE Rows rows_inside(const PoolGeometry& g, index od, index oh) {
  const Inside d = taps_inside(g.d, od), h = taps_inside(g.h, oh);
  return {(d.first * g.h.size + h.first) * g.w.size, d.count, h.count, g.d.dilation * g.h.size * g.w.size,
          g.h.dilation * g.w.size};
}

template <class T>
TENFOLD_INLINE bool replaces(T v, T best) {
  return v > best || (v != v && best == best);
}

// positions of m outputs from the lanes of v
template <bool kWhole, class T, class P>
TENFOLD_INLINE void store_positions(P* p, Mask<T> v, index m) {
  typedef P Packed __attribute__((vector_size(kLanes<T> * sizeof(P))));
  const Packed packed = __builtin_convertvector(v, Packed);
  if constexpr (kWhole) {
    static_cast<void>(m);
    __builtin_memcpy(p, &packed, sizeof packed);
  } else if constexpr (kMovesAlike<T, P>) {
    store_first(reinterpret_cast<T*>(p), reinterpret_cast<Vec<T>>(v), m);
  } else {
    P lanes[kLanes<T>];
    __builtin_memcpy(lanes, &packed, sizeof packed);
    for (index i = 0; i < m; ++i) p[i] = lanes[i];
  }
}

// Outputs ow .. ow + m - 1 of a row, all taps inside.
template <int kStride, int kTaps, bool kWhole, class T, class P>
TENFOLD_INLINE void max_block(const PoolAxis& w, const Rows& rows, const T* x, index ow, index m, T* y,
                              P* positions) {
  const index origin = ow * kStride - w.pad;
  Vec<T> best = {};
  Mask<T> offset =
      splat_int<T>(rows.first);  // of the best tap's row and column, less the output's own column
  bool started = false;
  for (index d = 0; d < rows.nd; ++d) {
    for (index h = 0; h < rows.nh; ++h) {
      const index row = rows.first + d * rows.step_d + h * rows.step_h;
      each_tap<kStride, kTaps, kWhole>(x + row + origin, w.kernel, w.dilation, m, [&](index k, Vec<T> v) {
        if (k == 0 && !started) {
          best = v;
          started = true;
          return;
        }
        const Mask<T> take = (v > best) | ((v != v) & (best == best));
        best = select<T>(take, v, best);
        if constexpr (!__is_same(P, None)) offset = take ? splat_int<T>(row + k * w.dilation) : offset;
      });
    }
  }
  if constexpr (kWhole) {
    store(y + ow, best);
  } else {
    store_first(y + ow, best, m);
  }
  if constexpr (!__is_same(P, None)) {
    store_positions<kWhole, T>(positions + ow, offset + splat_int<T>(origin) + iota<T>() * kStride, m);
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
      where = rows.first + taps.first;
      best = x[where];
      for (index d = 0; d < rows.nd; ++d) {
        for (index h = 0; h < rows.nh; ++h) {
          index at = rows.first + d * rows.step_d + h * rows.step_h + taps.first;
          for (index k = 0; k < taps.count; ++k, at += w.dilation) {
            const T v = x[at];
            if (replaces(v, best)) {
              best = v;
              where = at;
            }
          }
        }
      }
    }
    y[ow] = best;
    if constexpr (!__is_same(P, None)) positions[ow] = static_cast<P>(where);
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
      if constexpr (!__is_same(P, None)) positions += w.output;
    }
  }
}

template <class T>
void max_values(const PoolGeometry& g, const T* x, T* y) {
  max_plane(g, x, y, static_cast<None*>(nullptr));
}
template <class T, class P>
void max_positions(const PoolGeometry& g, const T* x, T* y, P* positions) {
  max_plane(g, x, y, positions);
}

template <class T>
void fill(index n, T value, T* x) {
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(x + i, splat(value));
  for (; i < n; ++i) x[i] = value;
}

// Windows of width 2 that tile the rows: every element belongs to one window and is computed, not scattered
// to.
template <class T, class P>
void max_backward_pairs(const PoolGeometry& g, const T* dy, const P* positions, T* dx) {
  constexpr index n = kLanes<T>;
  typedef P Packed __attribute__((vector_size(kLanes<T> * sizeof(P))));
  const index width = g.w.size, outputs = g.w.output;
  const auto pair = [&](const T* d, const P* p, index at, T* to, bool whole, index m) {
    Packed packed = {};
    Vec<T> v;
    if (whole) {
      __builtin_memcpy(&packed, p, sizeof packed);
      v = load(d);
    } else if constexpr (kMovesAlike<T, P>) {
      packed = reinterpret_cast<Packed>(load_first(reinterpret_cast<const T*>(p), m));
      v = load_first(d, m);
    } else {
      P lanes[kLanes<T>] = {};
      for (index i = 0; i < m; ++i) lanes[i] = p[i];
      __builtin_memcpy(&packed, lanes, sizeof packed);
      v = load_first(d, m);
    }
    const Mask<T> chosen = __builtin_convertvector(packed, Mask<T>) - splat_int<T>(at) - iota<T>() * 2;
    const Vec<T> left = select<T>(chosen == 0, v, Vec<T>{}), right = select<T>(chosen == 1, v, Vec<T>{});
    const Vec<T> low = zip_low<T>(left, right), high = zip_high<T>(left, right);
    if (whole) {
      store(to, low);
      store(to + n, high);
    } else {
      if (2 * m >= n) {
        store(to, low);
        store_first(to + n, high, 2 * m - n);
      } else {
        store_first(to, low, 2 * m);
      }
    }
  };
  for (index oh = 0; oh < g.h.output; ++oh, dy += outputs, positions += outputs) {
    for (index h = 0; h < g.h.kernel; ++h) {
      const index row = (oh * g.h.stride + h) * width;
      index ow = 0;
      if (outputs >= n) {
        for (; ow < outputs; ow += n) {
          const index at = least(ow, outputs - n);
          pair(dy + at, positions + at, row + 2 * at, dx + row + 2 * at, true, n);
        }
      } else {
        pair(dy, positions, row, dx + row, false, outputs);
      }
      for (index i = 2 * outputs; i < width; ++i) dx[row + i] = T(0);
    }
  }
  const index done = g.h.output * g.h.kernel * width;
  fill(g.h.size * width - done, T(0), dx + done);
}

template <class T, class P>
void max_backward(const PoolGeometry& g, const T* dy, const P* positions, T* dx) {
  const bool pairs = g.w.kernel == 2 && g.w.stride == 2 && g.w.dilation == 1 && g.w.inner_begin == 0 &&
                     g.w.inner_end == g.w.output && g.h.kernel == g.h.stride && g.h.dilation == 1 &&
                     g.h.inner_begin == 0 && g.h.inner_end == g.h.output && g.d.size == 1 &&
                     g.d.output == 1 && g.d.kernel == 1 && g.d.pad == 0 && g.w.pad == 0 && g.h.pad == 0;
  if (pairs) {
    max_backward_pairs(g, dy, positions, dx);
    return;
  }
  fill(g.d.size * g.h.size * g.w.size, T(0), dx);
  const index outputs = g.d.output * g.h.output * g.w.output;
  for (index o = 0; o < outputs; ++o) {
    if (positions[o] >= 0) dx[positions[o]] += dy[o];
  }
}

template <int kStride, int kTaps, bool kWhole, class T>
TENFOLD_INLINE void sum_block(const PoolAxis& w, const Rows& rows, const T* x, T divisor, const T* divisors,
                              index ow, index m, T* y) {
  Vec<T> sum = {};
  for (index d = 0; d < rows.nd; ++d) {
    for (index h = 0; h < rows.nh; ++h) {
      const T* row = x + rows.first + d * rows.step_d + h * rows.step_h + ow * kStride - w.pad;
      each_tap<kStride, kTaps, kWhole>(row, w.kernel, w.dilation, m, [&](index, Vec<T> v) { sum += v; });
    }
  }
  // All taps are inside: the divisor along the row is one number.
  sum /= splat(divisor * divisors[ow]);
  if constexpr (kWhole) {
    store(y + ow, sum);
  } else {
    store_first(y + ow, sum, m);
  }
}

template <int kStride, int kTaps, class T>
TENFOLD_INLINE void sum_inner(const PoolAxis& w, const Rows& rows, const T* x, T divisor, const T* divisors,
                              T* y) {
  constexpr index n = kLanes<T>;
  const index count = w.inner_end - w.inner_begin;
  if (count >= n) {
    for (index ow = w.inner_begin; ow < w.inner_end; ow += n) {
      sum_block<kStride, kTaps, true>(w, rows, x, divisor, divisors, least(ow, w.inner_end - n), n, y);
    }
  } else if (count > 0) {
    sum_block<kStride, kTaps, false>(w, rows, x, divisor, divisors, w.inner_begin, count, y);
  }
}

template <class T>
void sum_edge(const PoolAxis& w, const Rows& rows, const T* x, T divisor, const T* divisors, index begin,
              index end, T* y) {
  for (index ow = begin; ow < end; ++ow) {
    const Inside taps = taps_inside(w, ow);
    T sum = T(0);
    for (index d = 0; d < rows.nd; ++d) {
      for (index h = 0; h < rows.nh; ++h) {
        const T* p = x + rows.first + d * rows.step_d + h * rows.step_h + taps.first;
        for (index k = 0; k < taps.count; ++k) sum += p[k * w.dilation];
      }
    }
    y[ow] = sum / (divisor * divisors[ow]);
  }
}

template <class T>
void sum(const PoolGeometry& g, const T* x, const T* dd, const T* dh, const T* dw, T* y) {
  const PoolAxis& w = g.w;
  for (index od = 0; od < g.d.output; ++od) {
    for (index oh = 0; oh < g.h.output; ++oh, y += w.output) {
      const Rows rows = rows_inside(g, od, oh);
      const T divisor = dd[od] * dh[oh];
      if (w.stride > 2) {
        sum_edge(w, rows, x, divisor, dw, 0, w.output, y);
        continue;
      }
      sum_edge(w, rows, x, divisor, dw, 0, w.inner_begin, y);
      if (w.stride == 2 && w.kernel == 2) {
        sum_inner<2, 2>(w, rows, x, divisor, dw, y);
      } else if (w.stride == 2 && w.kernel == 3) {
        sum_inner<2, 3>(w, rows, x, divisor, dw, y);
      } else if (w.stride == 2) {
        sum_inner<2, 0>(w, rows, x, divisor, dw, y);
      } else {
        sum_inner<1, 0>(w, rows, x, divisor, dw, y);
      }
      sum_edge(w, rows, x, divisor, dw, w.inner_end, w.output, y);
    }
  }
}

// to[i * stride + k * dilation] += from[i] for 0 <= i < n and every tap k.
template <class T>
TENFOLD_INLINE void spread(const PoolAxis& w, const T* from, index n, T* to) {
  constexpr index m = kLanes<T>;
  for (index k = 0; k < w.kernel; ++k) {
    T* at = to + k * w.dilation;
    index i = 0;
    if (w.stride == 1) {
      for (; i + m <= n; i += m) store(at + i, load(at + i) + load(from + i));
    } else if (w.stride == 2 && w.dilation == 1) {
      // Two neighbouring taps fill the gaps of each other; a tap alone adds zeros there, one of them behind
      // its last element, so that the last one is left to the loop below.
      const bool both = k + 1 < w.kernel;
      for (; i + m <= (both ? n : n - 1); i += m) {
        const Vec<T> g = load(from + i), gap = both ? g : Vec<T>{};
        store(at + 2 * i, load(at + 2 * i) + zip_low<T>(g, gap));
        store(at + 2 * i + m, load(at + 2 * i + m) + zip_high<T>(g, gap));
      }
      if (both) {
        for (index j = i; j < n; ++j) at[2 * j + 1] += from[j];
        ++k;
      }
    }
    for (; i < n; ++i) at[i * w.stride] += from[i];
  }
}

template <class T>
void sum_backward(const PoolGeometry& g, const T* dy, const T* dd, const T* dh, const T* dw, T* dx) {
  const PoolAxis& w = g.w;
  fill(g.d.size * g.h.size * w.size, T(0), dx);
  T gradient[kGradientBlock];
  for (index od = 0; od < g.d.output; ++od) {
    for (index oh = 0; oh < g.h.output; ++oh, dy += w.output) {
      const Rows rows = rows_inside(g, od, oh);
      const T divisor = dd[od] * dh[oh];
      for (index begin = 0; begin < w.output; begin += kGradientBlock) {
        const index end = least(w.output, begin + kGradientBlock);
        for (index ow = begin; ow < end; ++ow) gradient[ow - begin] = dy[ow] / (divisor * dw[ow]);
        for (index d = 0; d < rows.nd; ++d) {
          for (index h = 0; h < rows.nh; ++h) {
            T* row = dx + rows.first + d * rows.step_d + h * rows.step_h;
            const index inner_begin = least(most(w.inner_begin, begin), end);
            const index inner_end = most(least(w.inner_end, end), inner_begin);
            const auto edge = [&](index from, index to) {
              for (index ow = from; ow < to; ++ow) {
                const Inside taps = taps_inside(w, ow);
                for (index k = 0; k < taps.count; ++k)
                  row[taps.first + k * w.dilation] += gradient[ow - begin];
              }
            };
            edge(begin, inner_begin);
            spread(w, gradient + (inner_begin - begin), inner_end - inner_begin,
                   row + inner_begin * w.stride - w.pad);
            edge(inner_end, end);
          }
        }
      }
    }
  }
}

template <class T>
T total(index n, const T* x) {
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
  T lanes[m];
  store(lanes, (a + b) + (c + d));
  for (index half = m / 2; half > 0; half /= 2) {
    for (index k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  }
  T sum = lanes[0];
  for (; i < n; ++i) sum += x[i];
  return sum;
}

template <class T>
constexpr PoolKernels<T> make_table() {
  return {max_values<T>,
          max_positions<T, int32_t>,
          max_positions<T, int64_t>,
          max_backward<T, int32_t>,
          max_backward<T, int64_t>,
          sum<T>,
          sum_backward<T>,
          total<T>,
          fill<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(PoolKernels, make_table)
