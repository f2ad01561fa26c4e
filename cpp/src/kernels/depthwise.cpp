// Vectors lie along the width. A register tile is a few target rows high, so that a loaded pixel serves all the rows
// that look at it. Rows of at most half a vector go in pairs, see DepthwiseTarget::halves.
#include "kernels/depthwise.h"

#include "kernels/shuffle.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Target rows of a tile, and its widest width in vectors: with the nine weights of a 3 x 3 window, 4 x 2 sums and the
// pixels fit into 32 registers.
constexpr int kTileRows = 4;
constexpr int kTileVectors = TENFOLD_VECTOR_REGISTERS >= 32 ? 2 : 1;
template <class T>
constexpr bool kHalves = kLanes<T> == 16;

template <int N>
struct Int {
  static constexpr int value = N;
};

template <class T>
TENFOLD_INLINE Vec<T> load_once(const T* p) {
  Vec<T> v = load(p);
  pin<T>(v);
  return v;
}

// Sums become outputs: one branch for all of them.
template <class T, int R, int V>
TENFOLD_INLINE void activate(Vec<T> (&sum)[R][V], ConvActivation activation) {
  if (activation == ConvActivation::none) return;
  // v + 0 turns a -0 that was not negative into +0: only negative sums carry the sign.
  const Vec<T> zero = {}, low = activation == ConvActivation::relu_keep_sign ? -zero : zero;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = select<T>(sum[r][v] < zero, low, sum[r][v] + zero);
  }
}

// The upper half in the lower place.
template <class T>
TENFOLD_INLINE Vec<T> upper_half(Vec<T> v) {
  if constexpr (kLanes<T> == 16) {
    return TENFOLD_SHUFFLE(T, v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  } else {
    return v;
  }
}

// ---- padding

template <class T>
TENFOLD_INLINE void copy(index n, const T* x, T* y) {
  if (n >= kLanes<T>) {
    index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) store(y + i, load(x + i));
    if (i < n) store(y + n - kLanes<T>, load(x + n - kLanes<T>));
  } else {
#if defined(TENFOLD_ISA_avx512)
    store_first(y, load_first(x, n), n);
#else
    for (index i = 0; i < n; ++i) y[i] = x[i];
#endif
  }
}

// even[i], odd[i] <- x[2 i], x[2 i + 1] for i < n.
template <class T>
TENFOLD_INLINE void split(index n, const T* x, T* even, T* odd) {
  index i = 0;
  Vec<T> e, o;
  if (n >= kLanes<T>) {
    while (i < n) {
      if (i + kLanes<T> > n) i = n - kLanes<T>;
      load_separated(x + 2 * i, e, o);
      store(even + i, e);
      store(odd + i, o);
      i += kLanes<T>;
    }
    return;
  }
#if defined(TENFOLD_ISA_avx512)
  const index all = 2 * n;
  const Vec<T> low = all >= kLanes<T> ? load(x) : load_first(x, all);
  const Vec<T> high = all > kLanes<T> ? load_first(x + kLanes<T>, all - kLanes<T>) : Vec<T>{};
  separate<T>(low, high, e, o);
  store_first(even, e, n);
  store_first(odd, o, n);
#else
  for (; i < n; ++i) {
    even[i] = x[2 * i];
    odd[i] = x[2 * i + 1];
  }
#endif
}

template <class T>
TENFOLD_INLINE void fill_row(index n, T value, T* y) {
  const Vec<T> v = splat(value);
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(y + i, v);
#if defined(TENFOLD_ISA_avx512)
  if (i < n) store_first(y + i, v, n - i);
#else
  for (; i < n; ++i) y[i] = value;
#endif
}

template <class T>
void pad(const DepthwisePadding& p, index rows, const index* row_source, const T* plane, T fill, bool fresh,
         T* to) {
  // Two phases of a step of 2 whose first positions are neighbours are split in one go.
  index first = 0, second = 0, both = 0;
  if (p.phases == 2 && p.step == 2) {
    const index at0 = p.first[0] + 2 * p.begin[0], at1 = p.first[1] + 2 * p.begin[1];
    if (at1 - at0 == 1 || at0 - at1 == 1) {
      first = at0 < at1 ? 0 : 1;
      second = 1 - first;
      const index n0 = p.end[0] - p.begin[0], n1 = p.end[1] - p.begin[1];
      both = n0 < n1 ? n0 : n1;
    }
  }
  if (p.constant && !fresh) {
    // Nothing but rows of the source, and of the fill: a plane of few columns has no time for more.
    const index n0 = p.end[0] - p.begin[0], width = p.width, pitch = p.row;
    const auto all = [&](const auto& body) __attribute__((always_inline)) {
      for (index r = 0; r < rows; ++r, to += pitch) {
        if (row_source[r] >= 0) {
          body(plane + row_source[r] * width);
        } else {
          for (index f = 0; f < p.phases; ++f) fill_row(p.count, fill, to + f * p.pitch);
        }
      }
    };
    if (p.phases == 1 && p.step == 1) {
      const index from = p.first[0] + p.begin[0], at = p.begin[0];
      all([&](const T* x) __attribute__((always_inline)) { copy(n0, x + from, to + at); });
      return;
    }
    if (both > 0 && both == n0 && both == p.end[1] - p.begin[1]) {
      const index from = p.first[first] + 2 * p.begin[first];
      const index even = first * p.pitch + p.begin[first], odd = second * p.pitch + p.begin[second];
      all([&](const T* x) __attribute__((always_inline)) { split(both, x + from, to + even, to + odd); });
      return;
    }
  }
  for (index r = 0; r < rows; ++r, to += p.row) {
    if (row_source[r] < 0) {
      const index all = fresh && p.pitch > p.count ? p.pitch : p.count;
      for (index f = 0; f < p.phases; ++f) fill_row(all, fill, to + f * p.pitch);
      continue;
    }
    const T* from = plane + row_source[r] * p.width;
    if (both > 0) {
      split(both, from + p.first[first] + 2 * p.begin[first], to + first * p.pitch + p.begin[first],
            to + second * p.pitch + p.begin[second]);
    }
    for (index f = 0; f < p.phases; ++f) {
      T* row = to + f * p.pitch;
      const index begin = p.begin[f], end = p.end[f];
      if (p.step == 1) {
        copy(end - begin, from + p.first[f] + begin, row + begin);
      } else {
        for (index u = begin + both; u < end; ++u) row[u] = from[p.first[f] + u * p.step];
      }
      if (p.constant) {
        if (!fresh) continue;
        fill_row(begin, fill, row);
        if (end < p.pitch) fill_row(p.pitch - end, fill, row + end);
      } else {
        for (index u = 0; u < begin; ++u) row[u] = p.table[f][u] < 0 ? fill : from[p.table[f][u]];
        for (index u = end; u < p.count; ++u) row[u] = p.table[f][u] < 0 ? fill : from[p.table[f][u]];
      }
    }
  }
  if (fresh && p.count > p.pitch) fill_row(p.count - p.pitch, fill, to);
}

// ---- sums of one target

// Asks for the pixels that will be copied next, a few lines for every vector that is computed.
struct Ahead {
  const char* p;
  index left, lines;
  __attribute__((always_inline)) void fetch(index vectors) {
    if (left <= 0) return;
    for (index i = 0; i < vectors * lines; ++i, p += 64) __builtin_prefetch(p);
    left -= vectors * lines * 64;
  }
};

// sum[r][v] += the 3 x 3 taps of R rows, S source rows apart.
template <class T, int R, int V, int S>
TENFOLD_INLINE void add_three(const T* source, index pitch, const index* column, const Vec<T>* w,
                              Vec<T> (&sum)[R][V]) {
#pragma GCC unroll 16
  for (int row = 0; row < (R - 1) * S + 3; ++row) {
    const T* p = source + row * pitch;
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        const Vec<T> pixels = load_once(p + column[j] + v * kLanes<T>);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          const int i = row - r * S;
          if (i >= 0 && i < 3) sum[r][v] = fma<T>(w[i * 3 + j], pixels, sum[r][v]);
        }
      }
    }
  }
}

// body(Int<first>, Int<count>): some of R rows that follow each other, made constants.
template <int R, int First = 0, int Count = R, class Body>
TENFOLD_INLINE void with_rows(index first, index count, const Body& body) {
  if (first == First && count == Count) {
    body(Int<First>{}, Int<Count>{});
  } else if constexpr (Count > 1) {
    with_rows<R, First, Count - 1>(first, count, body);
  } else if constexpr (First + 1 < R) {
    with_rows<R, First + 1, R - First - 1>(first, count, body);
  }
}
// The same for any window whose rows are regular, `apart` source rows from target to target: one or two.
template <class T, int R, int V>
TENFOLD_INLINE void add_regular(const T* source, index pitch, index apart, const DepthwiseLooks& looks,
                                const T* w, Vec<T> (&sum)[R][V]) {
  const index height = looks.taps_h, width = looks.taps_w;
  for (index row = 0; row < (R - 1) * apart + height; ++row, source += pitch) {
    const index last = row >> (apart - 1) < R ? row >> (apart - 1) : R - 1;
    const index first = row < height ? 0 : ((row - height) >> (apart - 1)) + 1;
    with_rows<R>(first, last - first + 1, [&](auto from, auto count) __attribute__((always_inline)) {
      constexpr int kFirst = decltype(from)::value, kCount = decltype(count)::value;
      const T* weight[kCount];
#pragma GCC unroll 4
      for (int r = 0; r < kCount; ++r) weight[r] = w + (row - (kFirst + r) * apart) * width;
      for (index j = 0; j < width; ++j) {
        Vec<T> pixels[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) pixels[v] = load_once(source + looks.column[j] + v * kLanes<T>);
#pragma GCC unroll 4
        for (int r = 0; r < kCount; ++r) {
          const Vec<T> each = splat(weight[r][j]);
#pragma GCC unroll 2
          for (int v = 0; v < V; ++v) sum[kFirst + r][v] = fma<T>(each, pixels[v], sum[kFirst + r][v]);
        }
      }
    });
  }
}

// The same, tap by tap, for tiles of one vector: each of its sums is a chain, and a tap adds to all of them.
template <class T, int R>
TENFOLD_INLINE void add_narrow(const T* source, index pitch, index step, const DepthwiseLooks& looks,
                               const T* w, Vec<T> (&sum)[R][1]) {
  for (index i = 0; i < looks.taps_h; ++i, source += pitch) {
    for (index j = 0; j < looks.taps_w; ++j, ++w) {
      const T* p = source + looks.column[j];
      const Vec<T> weight = splat(*w);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r][0] = fma<T>(weight, load(p + r * step), sum[r][0]);
    }
  }
}

// One row of any window.
template <class T, int V>
TENFOLD_INLINE void add_row(const T* source, const DepthwiseLooks& looks, const T* w, Vec<T> (&sum)[1][V]) {
  for (index i = 0; i < looks.taps_h; ++i) {
    for (index j = 0; j < looks.taps_w; ++j) {
      const Vec<T> weight = splat(w[i * looks.taps_w + j]);
      const T* p = source + looks.row[i] + looks.column[j];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[0][v] = fma<T>(weight, load(p + v * kLanes<T>), sum[0][v]);
    }
  }
}

// R rows of the target, all columns, V vectors at a time. add(Int<R>, Int<V>, source, sum) adds the taps.
template <class T, int R, int kMostVectors, class Add>
TENFOLD_INLINE void tile_rows(const DepthwiseTarget& t, const T* source, T bias, ConvActivation activation,
                              Ahead& ahead, T* to, const Add& add) {
  constexpr index n = kLanes<T>;
  const auto block = [&](auto vectors, auto whole, index column) __attribute__((always_inline)) {
    constexpr int V = decltype(vectors)::value;
    Vec<T> sum[R][V];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = splat(bias);
    }
    ahead.fetch(R * V);
    add(Int<R>{}, vectors, source + column, sum);
    activate<T>(sum, activation);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        T* at = to + r * t.pitch + column + v * n;
        if (v + 1 < V || decltype(whole)::value == 1) {
          store(at, sum[r][v]);
        } else {
          store_first(at, sum[r][v], t.columns - column - v * n);
        }
      }
    }
  };
  index c = 0;
  if constexpr (kMostVectors > 1) {
    for (; c + 2 * n <= t.columns; c += 2 * n) block(Int<2>{}, Int<1>{}, c);
    if (t.columns - c > n) return block(Int<2>{}, Int<0>{}, c);
  }
  if (t.columns >= n) {
    while (c < t.columns) {
      // The last one overlaps the one before: computed twice, with the same result.
      block(Int<1>{}, Int<1>{}, c + n <= t.columns ? c : t.columns - n);
      c += n;
    }
  } else {
    block(Int<1>{}, Int<0>{}, 0);
  }
}

// R vectors of two target rows each; the last may have only one.
template <class T, int R, class Add>
TENFOLD_INLINE void tile_halves(const DepthwiseTarget& t, index rows, const T* source, T bias,
                                ConvActivation activation, T* to, const Add& add) {
  Vec<T> sum[R][1];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) sum[r][0] = splat(bias);
  add(Int<R>{}, Int<1>{}, source, sum);
  activate<T>(sum, activation);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    store_first(to + 2 * r * t.pitch, sum[r][0], t.columns);
    if (2 * r + 1 < rows) store_first(to + (2 * r + 1) * t.pitch, upper_half<T>(sum[r][0]), t.columns);
  }
}

// All rows, as many at a time as `kMost` allows. `step` source elements lie between the rows (pairs) of the target.
template <class T, int kMost, int kMostVectors = kTileVectors, class Add>
TENFOLD_INLINE void all_rows(const DepthwiseTarget& t, index step, const T* source, T bias,
                             ConvActivation activation, T* to, const Add& add) {
  if constexpr (kHalves<T>) {
    if (t.halves) {
      index r = 0;
      const auto some = [&](auto pairs) __attribute__((always_inline)) {
        constexpr int R = decltype(pairs)::value;
        tile_halves<T, R>(t, t.rows - r, source + r / 2 * step, bias, activation, to + r * t.pitch, add);
        r += 2 * R;
      };
      if constexpr (kMost >= 4) {
        while (t.rows - r > 6) some(Int<4>{});
        if (t.rows - r > 2) some(Int<2>{});
      }
      while (r < t.rows) some(Int<1>{});
      return;
    }
  }
  index r = 0;
  Ahead ahead{static_cast<const char*>(t.ahead), t.ahead_bytes, t.ahead_lines};
  const auto some = [&](auto rows) __attribute__((always_inline)) {
    constexpr int R = decltype(rows)::value;
    tile_rows<T, R, R == kMost ? kMostVectors : 1>(t, source + r * step, bias, activation, ahead,
                                                   to + r * t.pitch, add);
    r += R;
  };
  if constexpr (kMost >= 4) {
    while (r + 4 <= t.rows) some(Int<4>{});
    if (r + 2 <= t.rows) some(Int<2>{});
  }
  while (r < t.rows) some(Int<1>{});
}

// Source elements between vectors of target rows, and in units of a source row.
struct Steps {
  index step, pitch;
  index rows() const { return step / pitch; }
};
template <class T>
TENFOLD_INLINE Steps steps_of(const DepthwiseLooks& looks, const DepthwiseTarget& t) {
  const index pitch = looks.taps_h > 1 ? looks.row[1] - looks.row[0] : looks.row_step;
  return {t.halves ? 2 * looks.row_step : looks.row_step, pitch};
}

template <class T>
void correlate(const DepthwiseLooks& looks, const DepthwiseTarget& t, const T* source, const T* w, T bias,
               ConvActivation activation, T* to) {
  const Steps s = steps_of<T>(looks, t);
  const bool regular = looks.regular && s.rows() <= 2;
  if (regular && looks.taps_h == 3 && looks.taps_w == 3) {
    Vec<T> weights[9];
#pragma GCC unroll 9
    for (int k = 0; k < 9; ++k) weights[k] = splat(w[k]);
    const index column[3] = {looks.column[0], looks.column[1], looks.column[2]};
    const auto run = [&](auto rows) __attribute__((always_inline)) {
      constexpr int S = decltype(rows)::value;
      all_rows<T, kTileRows>(t, s.step, source, bias, activation, to,
                             [&](auto r, auto v, const T* p, auto& sum) __attribute__((always_inline)) {
                               add_three<T, decltype(r)::value, decltype(v)::value, S>(p, s.pitch, column,
                                                                                       weights, sum);
                             });
    };
    if (s.rows() == 1) {
      run(Int<1>{});
    } else {
      run(Int<2>{});
    }
  } else if (regular && t.columns <= kLanes<T> && !t.halves) {
    Ahead ahead{static_cast<const char*>(t.ahead), t.ahead_bytes, t.ahead_lines};
    index r = 0;
    const auto some = [&](auto rows) __attribute__((always_inline)) {
      constexpr int R = decltype(rows)::value;
      for (; r + R <= t.rows; r += R) {
        tile_rows<T, R, 1>(t, source + r * s.step, bias, activation, ahead, to + r * t.pitch,
                           [&](auto, auto, const T* p, auto& sum) __attribute__((always_inline)) {
                             add_narrow<T, R>(p, s.pitch, s.step, looks, w, sum);
                           });
      }
    };
    // Each sum is a chain of multiply-adds: as many as hide its latency, and the seven rows that many planes have.
    some(Int<8>{}), some(Int<7>{}), some(Int<4>{}), some(Int<2>{}), some(Int<1>{});
  } else if (regular) {
    all_rows<T, kTileRows, 2>(t, s.step, source, bias, activation, to,
                              [&](auto rows, auto vectors, const T* p, auto& sum)
                                  __attribute__((always_inline)) {
                                    constexpr int R = decltype(rows)::value, V = decltype(vectors)::value;
                                    if constexpr (V == 1) {
                                      add_narrow<T, R>(p, s.pitch, s.step, looks, w, sum);
                                    } else {
                                      add_regular<T, R, V>(p, s.pitch, s.rows(), looks, w, sum);
                                    }
                                  });
  } else {
    all_rows<T, 1>(t, s.step, source, bias, activation, to,
                   [&](auto, auto v, const T* p, auto& sum)
                       __attribute__((always_inline)) { add_row<T, decltype(v)::value>(p, looks, w, sum); });
  }
}

// ---- windows of 3 x 3 on rows where they lie

// The first `count` elements, which may be none or more than there are lanes, and the fill behind them.
template <class T>
TENFOLD_INLINE Vec<T> load_within(const T* p, index count, Vec<T> fill) {
  constexpr index n = kLanes<T>;
#if defined(TENFOLD_ISA_avx512)
  const unsigned mask = count >= n ? ~0u : count > 0 ? (1u << count) - 1 : 0u;
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_loadu_ps((__m512)fill, (__mmask16)mask, p);
  } else {
    return (Vec<T>)_mm512_mask_loadu_pd((__m512d)fill, (__mmask8)mask, p);
  }
#else
  if (count >= n) return load(p);
  if (count <= 0) return fill;
  return select<T>(lane_numbers<T>() < (Mask<T>{} + static_cast<int>(count)), load_first(p, count), fill);
#endif
}

// R target rows from row r on. A row of the source is loaded once, vector by vector: its neighbours in the row come
// from the vectors before and behind it, and it serves all target rows that look at it.
template <class T, int S, int R>
TENFOLD_INLINE void rows_of_plane(const DepthwisePlane& p, index r, const T* source, const T* missing, T fill,
                                  const Vec<T>* w, T bias, ConvActivation activation, T* to) {
  constexpr index n = kLanes<T>;
  constexpr int kRows = (R - 1) * S + 3;
  const Vec<T> outside = splat(fill);
  const index start = 1 - p.pad, length = p.width - start;  // the first column that a middle tap looks at
  const T* row[kRows];
  Vec<T> before[kRows], here[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const index at = p.row_source[S * r + i];
    row[i] = (at < 0 ? missing : source + at * p.width) + start;
    before[i] = p.pad ? outside : splat(row[i][-1]);
    if (S == 1) here[i] = load_within<T>(row[i], length, outside);
  }
  to += r * p.columns;
  const auto step = [&](auto inside, index c) __attribute__((always_inline)) {
    constexpr bool kInside = decltype(inside)::value;
    const auto get = [&](int i, index at) __attribute__((always_inline)) {
      return kInside ? load(row[i] + at) : load_within<T>(row[i] + at, length - at, outside);
    };
    Vec<T> sum[R][1];
#pragma GCC unroll 4
    for (int k = 0; k < R; ++k) sum[k][0] = splat(bias);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      Vec<T> look[3];
      if constexpr (S == 1) {
        const Vec<T> next = get(i, c + n);
        look[0] = slide_up<T>(before[i], here[i]), look[1] = here[i], look[2] = slide_down<T>(here[i], next);
        before[i] = here[i], here[i] = next;
      } else {
        separate<T>(get(i, 2 * c), get(i, 2 * c + n), look[1], look[2]);
        look[0] = slide_up<T>(before[i], look[2]);
        before[i] = look[2];
      }
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
#pragma GCC unroll 4
        for (int k = 0; k < R; ++k) {
          const int tap = i - k * S;
          if (tap >= 0 && tap < 3) sum[k][0] = fma<T>(w[tap * 3 + j], look[j], sum[k][0]);
        }
      }
    }
    activate<T>(sum, activation);
#pragma GCC unroll 4
    for (int k = 0; k < R; ++k) {
      if (kInside || c + n <= p.columns) {
        store(to + k * p.columns + c, sum[k][0]);
      } else {
        store_first(to + k * p.columns + c, sum[k][0], p.columns - c);
      }
    }
  };
  index c = 0;
  for (; c + n <= p.columns && S * c + 2 * n <= length; c += n) step(Int<1>{}, c);
  for (; c < p.columns; c += n) step(Int<0>{}, c);
}

template <class T>
void correlate_plane(const DepthwisePlane& p, index begin, index end, const T* source, const T* missing,
                     T fill, const T* w, T bias, ConvActivation activation, T* to) {
  Vec<T> weights[9];
#pragma GCC unroll 9
  for (int k = 0; k < 9; ++k) weights[k] = splat(w[k]);
  index r = begin;
  const auto some = [&](auto stride, auto rows) __attribute__((always_inline)) {
    constexpr int S = decltype(stride)::value, R = decltype(rows)::value;
    for (; r + R <= end; r += R) {
      rows_of_plane<T, S, R>(p, r, source, missing, fill, weights, bias, activation, to);
    }
  };
  if (p.stride == 1) {
    some(Int<1>{}, Int<kTileRows>{});
    some(Int<1>{}, Int<2>{});
    some(Int<1>{}, Int<1>{});
  } else {
    some(Int<2>{}, Int<2>{});
    some(Int<2>{}, Int<1>{});
  }
}

// ---- even and odd columns

// Taps known at compile time where H, E, O > 0.
template <class T, int H, int E, int O>
TENFOLD_INLINE void pairs(const DepthwiseLooks& even, const DepthwiseLooks& odd, const DepthwiseTarget& t,
                          const T* source, const T* w_even, const T* w_odd, T bias, T* to) {
  constexpr index n = kLanes<T>;
  const index height = H > 0 ? H : even.taps_h, width_even = E > 0 ? E : even.taps_w,
              width_odd = O > 0 ? O : odd.taps_w;
  for (index r = 0; r < t.rows; ++r, source += even.row_step, to += t.pitch) {
    for (index c = 0; 2 * c < t.columns; c += n) {
      index left = t.columns - 2 * c;
      // The last pair of vectors overlaps the one before where that leaves whole vectors.
      if (left < 2 * n && t.columns >= 2 * n && t.columns % 2 == 0) {
        c = t.columns / 2 - n;
        left = 2 * n;
      }
      Vec<T> a = splat(bias), b = splat(bias);
#pragma GCC unroll 2
      for (index i = 0; i < height; ++i) {
        const T* p = source + even.row[i] + c;
#pragma GCC unroll 2
        for (index j = 0; j < width_even; ++j) {
          a = fma<T>(splat(w_even[i * width_even + j]), load(p + even.column[j]), a);
        }
#pragma GCC unroll 2
        for (index j = 0; j < width_odd; ++j) {
          b = fma<T>(splat(w_odd[i * width_odd + j]), load(p + odd.column[j]), b);
        }
      }
      Vec<T> low, high;
      interleave<T>(a, b, low, high);
      if (left >= 2 * n) {
        store(to + 2 * c, low);
        store(to + 2 * c + n, high);
      } else if (left >= n) {
        store(to + 2 * c, low);
        if (left > n) store_first(to + 2 * c + n, high, left - n);
      } else {
        store_first(to + 2 * c, low, left);
      }
    }
  }
}

template <class T>
void correlate_pairs(const DepthwiseLooks& even, const DepthwiseLooks& odd, const DepthwiseTarget& t,
                     const T* source, const T* w_even, const T* w_odd, T bias, T* to) {
  const index h = even.taps_h, e = even.taps_w, o = odd.taps_w;
  if (h == 1 && e == 1 && o == 2) {
    pairs<T, 1, 1, 2>(even, odd, t, source, w_even, w_odd, bias, to);
  } else if (h == 2 && e == 1 && o == 2) {
    pairs<T, 2, 1, 2>(even, odd, t, source, w_even, w_odd, bias, to);
  } else if (h == 1 && e == 2 && o == 1) {
    pairs<T, 1, 2, 1>(even, odd, t, source, w_even, w_odd, bias, to);
  } else if (h == 2 && e == 2 && o == 1) {
    pairs<T, 2, 2, 1>(even, odd, t, source, w_even, w_odd, bias, to);
  } else {
    pairs<T, 0, 0, 0>(even, odd, t, source, w_even, w_odd, bias, to);
  }
}

// ---- the gradient of the weights

// Pixels in lanes where dy has no column must not be multiplied by its zero: infinity times zero is no zero.

// sum[i][j] += dy[r] * pixels for R rows of dy and 3 x 3 taps. kAll: all lanes are present.
template <class T, int R, int S, bool kAll>
TENFOLD_INLINE void dot_three(const T* source, index pitch, const index* column, Mask<T> present,
                              const Vec<T> (&dy)[R], Vec<T> (&sum)[9]) {
#pragma GCC unroll 16
  for (int row = 0; row < (R - 1) * S + 3; ++row) {
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
      Vec<T> pixels = load(source + row * pitch + column[j]);
      if constexpr (!kAll) pixels = select<T>(present, pixels, Vec<T>{});
      pin<T>(pixels);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const int i = row - r * S;
        if (i >= 0 && i < 3) sum[i * 3 + j] = fma<T>(dy[r], pixels, sum[i * 3 + j]);
      }
    }
  }
}

// body(all, at, present, get) for the vectors of a row: all says whether every lane counts, lane 0 is column `at`, and
// get(p) reads dy's lanes from the row at p, with zero in those that do not count.
template <class T, class Body>
TENFOLD_INLINE void vectors_of_row(const DepthwiseTarget& t, const Body& body) {
  constexpr index n = kLanes<T>;
  index c = 0;
  for (; c + n <= t.columns; c += n) {
    body(Int<1>{}, c, Mask<T>{}, [c](const T* p) __attribute__((always_inline)) { return load(p + c); });
  }
  if (c == t.columns) return;
  if (t.columns >= n) {
    const index at = t.columns - n;
    const Mask<T> present = lane_numbers<T>() >= (Mask<T>{} + static_cast<int>(c - at));
    body(Int<0>{}, at, present, [at, present](const T* p) __attribute__((always_inline)) {
      return select<T>(present, load(p + at), Vec<T>{});
    });
  } else {
    const index columns = t.columns;
    const Mask<T> present = lane_numbers<T>() < (Mask<T>{} + static_cast<int>(columns));
    body(Int<0>{}, 0, present,
         [columns](const T* p) __attribute__((always_inline)) { return load_first(p, columns); });
  }
}

// Two rows of dy in one vector; `second` is null where there is one only.
template <class T>
TENFOLD_INLINE Vec<T> two_rows(const T* first, const T* second, index columns) {
  const Vec<T> low = load_first(first, columns);
  if (second == nullptr) return low;
  const Mask<T> upper = lane_numbers<T>() >= (Mask<T>{} + static_cast<int>(kLanes<T> / 2));
  return select<T>(upper, upper_half<T>(load_first(second, columns)), low);
}

template <class T, int S>
TENFOLD_INLINE void dots_three(const DepthwiseLooks& looks, const DepthwiseTarget& t, const Steps& s,
                               const T* source, const T* dy, T* sums) {
  Vec<T> sum[9];
#pragma GCC unroll 9
  for (int k = 0; k < 9; ++k) sum[k] = load(sums + k * kLanes<T>);
  const index column[3] = {looks.column[0], looks.column[1], looks.column[2]};
  if constexpr (kHalves<T>) {
    if (t.halves) {
      const Mask<T> lane = lane_numbers<T>() & (Mask<T>{} + static_cast<int>(kLanes<T> / 2 - 1));
      const Mask<T> inside = lane < (Mask<T>{} + static_cast<int>(t.columns));
      const Mask<T> lower = lane_numbers<T>() < (Mask<T>{} + static_cast<int>(kLanes<T> / 2));
      for (index r = 0; r < t.rows; r += 2, dy += 2 * t.pitch, source += s.step) {
        const bool whole = r + 1 < t.rows;
        const Vec<T> rows[1] = {two_rows<T>(dy, whole ? dy + t.pitch : nullptr, t.columns)};
        dot_three<T, 1, S, false>(source, s.pitch, column, whole ? inside : inside & lower, rows, sum);
      }
#pragma GCC unroll 9
      for (int k = 0; k < 9; ++k) store(sums + k * kLanes<T>, sum[k]);
      return;
    }
  }
  index r = 0;
  const auto some = [&](auto count) __attribute__((always_inline)) {
    constexpr int R = decltype(count)::value;
    vectors_of_row<T>(
        t, [&](auto all, index at, Mask<T> present, const auto& get) __attribute__((always_inline)) {
          Vec<T> rows[R];
#pragma GCC unroll 4
          for (int k = 0; k < R; ++k) rows[k] = get(dy + (r + k) * t.pitch);
          dot_three<T, R, S, decltype(all)::value == 1>(source + r * s.step + at, s.pitch, column, present,
                                                        rows, sum);
        });
    r += R;
  };
  while (r + kTileRows <= t.rows) some(Int<kTileRows>{});
  while (r < t.rows) some(Int<1>{});
#pragma GCC unroll 9
  for (int k = 0; k < 9; ++k) store(sums + k * kLanes<T>, sum[k]);
}

// N taps of one kernel row.
template <class T, int N>
TENFOLD_INLINE void dots_of_taps(const DepthwiseTarget& t, index step, const T* source, const index* column,
                                 const T* dy, T* sums) {
  Vec<T> sum[N];
#pragma GCC unroll 4
  for (int k = 0; k < N; ++k) sum[k] = load(sums + k * kLanes<T>);
  for (index r = 0; r < t.rows; ++r, source += step, dy += t.pitch) {
    vectors_of_row<T>(
        t, [&](auto all, index at, Mask<T> present, const auto& get) __attribute__((always_inline)) {
          const Vec<T> row = get(dy);
#pragma GCC unroll 4
          for (int k = 0; k < N; ++k) {
            Vec<T> pixels = load(source + column[k] + at);
            if constexpr (decltype(all)::value == 0) pixels = select<T>(present, pixels, Vec<T>{});
            sum[k] = fma<T>(row, pixels, sum[k]);
          }
        });
  }
#pragma GCC unroll 4
  for (int k = 0; k < N; ++k) store(sums + k * kLanes<T>, sum[k]);
}

template <class T>
void dot(const DepthwiseLooks& looks, const DepthwiseTarget& t, const T* source, const T* dy, T* sums) {
  const Steps s = steps_of<T>(looks, t);
  if (looks.regular && s.rows() <= 2 && looks.taps_h == 3 && looks.taps_w == 3) {
    if (s.rows() == 1) {
      dots_three<T, 1>(looks, t, s, source, dy, sums);
    } else {
      dots_three<T, 2>(looks, t, s, source, dy, sums);
    }
    return;
  }
  for (index i = 0; i < looks.taps_h; ++i) {
    for (index j = 0; j < looks.taps_w; j += 4) {
      const T* p = source + looks.row[i];
      const index left = looks.taps_w - j;
      T* to = sums + (i * looks.taps_w + j) * kLanes<T>;
      if (left >= 4) {
        dots_of_taps<T, 4>(t, looks.row_step, p, looks.column + j, dy, to);
      } else if (left == 3) {
        dots_of_taps<T, 3>(t, looks.row_step, p, looks.column + j, dy, to);
      } else if (left == 2) {
        dots_of_taps<T, 2>(t, looks.row_step, p, looks.column + j, dy, to);
      } else {
        dots_of_taps<T, 1>(t, looks.row_step, p, looks.column + j, dy, to);
      }
    }
  }
}

// Neighbouring lanes of two vectors are added into one, until one vector holds the sums of kLanes.
template <class T>
void sum_lanes(index taps, const T* sums, T* to) {
  constexpr int n = static_cast<int>(kLanes<T>);
  for (index t = 0; t < taps; t += n) {
    const index count = taps - t;
    Vec<T> v[n];
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) v[i] = i < count ? load(sums + (t + i) * n) : Vec<T>{};
#pragma GCC unroll 4
    for (int left = n / 2; left > 0; left /= 2) {
#pragma GCC unroll 8
      for (int i = 0; i < left; ++i) {
        Vec<T> even, odd;
        separate<T>(v[2 * i], v[2 * i + 1], even, odd);
        v[i] = even + odd;
      }
    }
    if (count >= n) {
      store(to + t, v[0]);
    } else {
      store_first(to + t, v[0], count);
    }
  }
}

template <class T>
constexpr DepthwiseKernels<T> make_table() {
#if defined(TENFOLD_ISA_avx512)
  constexpr index kPlaneColumns = 1;
#else
  constexpr index kPlaneColumns = 4 * kLanes<T>;
#endif
  return {kLanes<T>,          kHalves<T>,         pad<T>, correlate<T>, kPlaneColumns,
          correlate_plane<T>, correlate_pairs<T>, dot<T>, sum_lanes<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(DepthwiseKernels, make_table)
