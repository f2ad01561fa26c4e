// Maxima of windows of two or three columns and a stride of two, with AVX2.
//
// The maxima of an input row go into one window and, where the next window begins with that row, into the next: in registers
// where a block of eight outputs walks down the plane, in memory where square windows are walked along the rows, which takes
// less for each block where rows have several. Without NaN an element that is greater is all there is to look for: what has
// met one is computed again, row by row. What lies in no cache is read in its order, row after row, which the processor
// fetches fastest.
#pragma once

#include "kernels/max_pool_rows.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Every second element of a followed by b, by quads: those of outputs 0 1 4 5 2 3 6 7. One instruction, where their order
// takes two.
template <int kFirstOfA, int kFirstOfB>
TENFOLD_INLINE Vec<float> second_quads(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm256_shuffle_ps((__m256)a, (__m256)b,
                                       _MM_SHUFFLE(kFirstOfB + 2, kFirstOfB, kFirstOfA + 2, kFirstOfA));
}
template <class V>
TENFOLD_INLINE V order_quads(V v) {
  return (V)_mm256_permute4x64_pd((__m256d)v, _MM_SHUFFLE(3, 1, 2, 0));
}

// Maxima of eight outputs, by quads, and where they lie.
template <class P>
struct Maxima {
  Vec<float> best;
  Mask<float> at;
  __attribute__((always_inline)) void take(Vec<float> v, Mask<float> where) {
    if constexpr (kKept<P>) at = v > best ? where : at;
    best = larger<float>(v, best);
  }
};

// Eight outputs of a row, those from `first` on. left, right: by quads, the lanes whose first and last column lies
// outside. They look at the middle one twice instead.
struct Block {
  index first;
  Mask<float> left, right;
};

// Caches, in the numbers of __builtin_prefetch: the first level's, for blocks that walk down, and the second level's, for
// those that walk along.
constexpr int kNear = 3, kFar = 2;

// The maxima over one row of the input and their columns in the window. What makes `sum` a NaN is a NaN, or an infinity of
// each sign, which costs no more than time. What lies `ahead` is read soon and asked for, into the cache kLevel.
template <int kTaps, bool kEdges, int kLevel, class P>
TENFOLD_INLINE Maxima<P> across(const Block& block, const float* x, index ahead, Vec<float>& sum) {
  constexpr index n = kLanes<float>;
  const Vec<float> a = load(x), b = load(x + n);
  __builtin_prefetch(x + ahead, 0, kLevel);
  sum += a + b;
  const Vec<float> first = second_quads<0, 0>(a, b);
  Vec<float> second = second_quads<1, 1>(a, b);
  Maxima<P> maxima{first, {}};
  if constexpr (kEdges) maxima = {select<float>(block.left, second, first), block.left & 1};
  if constexpr (kEdges && kTaps == 2) second = select<float>(block.right, first, second);
  maxima.take(second, splat_int<float>(1));
  if constexpr (kTaps == 3) {
    Vec<float> third = second_quads<0, 1>(load(x + 2), load(x + n + 1));
    sum += third;
    if constexpr (kEdges) third = select<float>(block.right, second, third);
    maxima.take(third, splat_int<float>(2));
  }
  return maxima;
}

TENFOLD_INLINE bool is_number(Vec<float> sum) {
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)sum, (__m256)sum, _CMP_UNORD_Q)) == 0;
}

// The rows begin .. end - 1 of a block. False where a NaN may have been met.
template <int kTaps, bool kEdges, class P>
__attribute__((noinline)) bool max_down(const PoolGeometry& g, const Block& block, index begin, index end,
                                        const float* x, index ahead, float* y, P* positions) {
  constexpr index n = kLanes<float>;
  const PoolAxis &h = g.h, &w = g.w;
  const index origin = block.first * 2 - w.pad;
  index carried = -1;  // the row whose maxima the window before ended with
  Maxima<P> last = {};
  Vec<float> sum = {};
  for (index oh = begin; oh < end; ++oh) {
    Inside rows{oh * h.stride - h.pad, h.kernel, 0};
    if (oh < h.inner_begin || oh >= h.inner_end) rows = taps_inside(h, oh);
    const auto row = [&](index k) __attribute__((always_inline)) {
      return across<kTaps, kEdges, kNear, P>(block, x + (rows.first + k * h.dilation) * w.size + origin,
                                             ahead, sum);
    };
    // What is added to a column of the window in its row k.
    const auto name = [&](index k) __attribute__((always_inline)) {
      return splat_int<float>(kTapNumbers<P> ? (rows.tap + k) * kTaps
                                             : (rows.first + k * h.dilation) * w.size);
    };
    if (rows.first != carried) last = row(0);
    Maxima<P> maxima = last;
    if constexpr (kKept<P>) maxima.at += name(0);
    for (index k = 1; k < rows.count; ++k) {
      last = row(k);
      maxima.take(last.best, last.at + name(k));
    }
    carried = rows.first + (rows.count - 1) * h.dilation;
    store(y + oh * w.output + block.first, order_quads(maxima.best));
    if constexpr (kKept<P>) {
      Mask<float> at = order_quads(maxima.at);
      if constexpr (!kTapNumbers<P>) at += splat_int<float>(origin) + 2 * iota<float>();
      store_positions<true, float>(positions + oh * w.output + block.first, at, n);
    }
  }
  return is_number(sum);
}

// The same where windows are square, their strides 2 in both directions, and all of them inside.
template <int kTaps, class P>
TENFOLD_INLINE bool max_down_squares(const PoolGeometry& g, const Block& block, index begin, index end,
                                     const float* x, index ahead, float* y, P* positions) {
  const index row = g.w.size, out = g.w.output;
  const float* from = x + (begin * 2 - g.h.pad) * row + block.first * 2 - g.w.pad;
  Vec<float> sums[2] = {};
  const auto of_row = [&](index k) __attribute__((always_inline)) {
    return across<kTaps, false, kNear, P>(block, from + k * row, ahead, sums[k % 2]);
  };
  Maxima<P> first = {};
  if constexpr (kTaps == 3) {
    if (begin < end) first = of_row(0);
  }
  for (index at = begin * out + block.first; begin < end; ++begin, at += out, from += 2 * row) {
    if constexpr (kTaps == 2) first = of_row(0);
    Maxima<P> maxima = first;
#pragma GCC unroll 2
    for (int k = 1; k < kTaps; ++k) {
      first = of_row(k);
      maxima.take(first.best, first.at + splat_int<float>(k * kTaps));
    }
    store(y + at, order_quads(maxima.best));
    if constexpr (kKept<P>)
      store_positions<true, float>(positions + at, order_quads(maxima.at), kLanes<float>);
  }
  return is_number(sums[0] + sums[1]);
}

// Outputs first .. first + count - 1 of the rows begin .. end - 1, whatever the input; count <= 8.
template <int kTaps, class P>
__attribute__((noinline)) void max_one_by_one(const PoolGeometry& g, index first, index count, index begin,
                                              index end, const float* x, float* y, P* positions) {
  const PoolAxis& w = g.w;
  const index inner = most(first, w.inner_begin), inner_end = least(first + count, w.inner_end);
  for (index oh = begin; oh < end; ++oh) {
    const Rows rows = rows_inside(g, 0, oh);
    float* const to = y + oh * w.output;
    P* const at = later(positions, oh * w.output);
    max_edge(w, rows, x, first, inner, to, at);
    max_block<2, kTaps, false>(w, rows, x, inner, inner_end - inner, to, at);
    max_edge(w, rows, x, inner_end, first + count, to, at);
  }
}

// What may be read and written from a plane on: a block reads what lies beside its rows and writes behind them, where it is
// written again, but not before the first plane nor behind the last one.
struct Room {
  bool before;    // another plane
  index in, out;  // so many elements
  bool plenty;    // for every row
};

// Windows as high as wide, with strides of 2.
template <int kTaps>
TENFOLD_INLINE bool squares(const PoolGeometry& g) {
  return g.h.kernel == kTaps && g.h.stride == 2 && g.h.dilation == 1;
}

// The outputs of a block whose first one is `first`.
TENFOLD_INLINE Block block_of(const PoolAxis& w, index first) {
  const Mask<float> outputs = Mask<float>{0, 1, 4, 5, 2, 3, 6, 7} + splat_int<float>(first);
  return {first, outputs < splat_int<float>(w.inner_begin), outputs >= splat_int<float>(w.inner_end)};
}
TENFOLD_INLINE bool has_edges(const PoolAxis& w, index first, index count) {
  return first < w.inner_begin || first + count > w.inner_end;
}
// Whether all blocks of an output row have room for what lies beside it; the last one begins at `first`.
template <int kTaps>
TENFOLD_INLINE bool has_room(const PoolGeometry& g, const Room& room, index oh, index first) {
  if (room.plenty) return true;
  constexpr index n = kLanes<float>;
  const Inside rows = taps_inside(g.h, oh);
  const index begin = rows.first * g.w.size - g.w.pad;
  const index end =
      (rows.first + (rows.count - 1) * g.h.dilation) * g.w.size + first * 2 - g.w.pad + 2 * n + kTaps - 2;
  return (room.before || begin >= 0) && end <= room.in && oh * g.w.output + first + n <= room.out;
}

// The rows begin .. end - 1 of a plane, blocks walking down strips of so many rows.
template <int kTaps, class P>
__attribute__((noinline)) void max_rows_down(const PoolGeometry& g, const Room& room, index strip,
                                             index begin, index end, const float* x, float* y, P* positions) {
  constexpr index n = kLanes<float>;
  const PoolAxis &h = g.h, &w = g.w;
  const index ahead = strip * h.stride * w.size, count = least(n, w.output);
  for (; begin < end; begin += strip) {
    const index strip_end = least(begin + strip, end);
    for (index ow = 0; ow < w.output; ow += n) {
      // The last block overlaps the one before it; computing an output twice does no harm.
      const index first = least(ow, w.output - count);
      index whole = begin, whole_end = strip_end;
      while (whole < whole_end && !has_room<kTaps>(g, room, whole, first)) ++whole;
      while (whole_end > whole && !has_room<kTaps>(g, room, whole_end - 1, first)) --whole_end;
      const Block block = block_of(w, first);
      const bool edges = has_edges(w, first, count);
      index inner = whole_end, inner_end = whole_end;
      const bool inside = squares<kTaps>(g) && !edges && (!kKept<P> || kTapNumbers<P>);
      if (inside) {
        inner = least(most(h.inner_begin, whole), whole_end);
        inner_end = least(most(h.inner_end, inner), whole_end);
      }
      bool numbers = true;
      const auto rest = [&](index from, index to) {
        if (from == to) return;
        numbers &= edges ? max_down<kTaps, true>(g, block, from, to, x, ahead, y, positions)
                         : max_down<kTaps, false>(g, block, from, to, x, ahead, y, positions);
      };
      // Downwards: a row narrower than a block is written into the next one.
      rest(whole, inner);
      if constexpr (!kKept<P> || kTapNumbers<P>) {
        if (inside) numbers &= max_down_squares<kTaps>(g, block, inner, inner_end, x, ahead, y, positions);
      }
      rest(inner_end, whole_end);
      if (!numbers) whole_end = whole;
      if (whole > begin) max_one_by_one<kTaps>(g, first, count, begin, whole, x, y, positions);
      if (whole_end < strip_end)
        max_one_by_one<kTaps>(g, first, count, whole_end, strip_end, x, y, positions);
    }
  }
}

// The rows begin .. end - 1 of a plane, of square windows with strides of 2 and all rows inside, walked along: the rows of
// a window together or, kInOrder, one after the other, while their maxima wait. False where a NaN may have been met.
template <int kTaps, bool kInOrder, class P>
__attribute__((noinline)) bool max_rows_along(const PoolGeometry& g, index begin, index end, const float* x,
                                              float* y, P* positions) {
  constexpr index n = kLanes<float>, ahead = kAheadBytes / static_cast<index>(sizeof(float));
  constexpr index kMostBlocks = 64;
  const PoolAxis& w = g.w;
  const index row = w.size, count = least(n, w.output), last = w.output - count;
  Vec<float> sums[2] = {};
  for (index chunk = 0; chunk < w.output; chunk += kMostBlocks * n) {
    const index chunk_end = least(chunk + kMostBlocks * n, w.output);
    const Block left = block_of(w, least(chunk, last)), right = block_of(w, last);
    Maxima<P> carried[kMostBlocks];  // of rows that windows share or, kInOrder, of those of a window so far
    const float* from = x + (begin * 2 - g.h.pad) * row - w.pad;
    const auto of_row = [&](auto edges, const Block& block, index k) __attribute__((always_inline)) {
      constexpr bool kEdges = decltype(edges)::value == 1;
      return across<kTaps, kEdges, kFar, P>(block, from + k * row + 2 * block.first, ahead, sums[k % 2]);
    };
    const auto for_blocks = [&](const auto& body) __attribute__((always_inline)) {
      Maxima<P>* at = carried;
      for (index ow = chunk; ow < chunk_end; ow += n, ++at) {
        // The last block overlaps the one before it; computing an output twice does no harm.
        const index first = least(ow, last);
        if (has_edges(w, first, count)) {
          body(Number<1>{}, ow == chunk ? left : right, at);
        } else {
          body(Number<0>{}, Block{first, {}, {}}, at);
        }
      }
    };
    const auto first_row = [&]() __attribute__((always_inline)) {
      for_blocks([&](auto edges, const Block& block, Maxima<P>* at)
                     __attribute__((always_inline)) { *at = of_row(edges, block, 0); });
    };
    if constexpr (kTaps == 3) first_row();
    for (index oh = begin; oh < end; ++oh, from += 2 * row) {
      if constexpr (kInOrder && kTaps == 2) {
        first_row();
      } else if constexpr (kInOrder) {
        for_blocks([&](auto edges, const Block& block, Maxima<P>* at) __attribute__((always_inline)) {
          const Maxima<P> below = of_row(edges, block, 1);
          at->take(below.best, below.at + splat_int<float>(kTaps));
        });
      }
      for_blocks([&](auto edges, const Block& block, Maxima<P>* at) __attribute__((always_inline)) {
        Maxima<P> below = kInOrder || kTaps == 3 ? *at : of_row(edges, block, 0), maxima = below;
#pragma GCC unroll 2
        for (int k = kInOrder ? kTaps - 1 : 1; k < kTaps; ++k) {
          below = of_row(edges, block, k);
          maxima.take(below.best, below.at + splat_int<float>(k * kTaps));
        }
        if constexpr (kTaps == 3) *at = below;
        const index to = oh * w.output + block.first;
        store(y + to, order_quads(maxima.best));
        if constexpr (kKept<P>) store_positions<true, float>(positions + to, order_quads(maxima.at), n);
      });
    }
  }
  return is_number(sums[0] + sums[1]);
}

// Outputs of a row from which on it is worth walking along it, where a cache holds the input.
constexpr index kAlong = 25;

template <int kTaps, class P>
void max_planes_strided(const PoolGeometry& g, index planes, const float* x, bool far, float* y,
                        P* positions) {
  constexpr index n = kLanes<float>;
  const PoolAxis &h = g.h, &w = g.w;
  const index in = h.size * w.size, out = h.output * w.output, last = most(0, w.output - n);
  const index strip = most(1, kStripBytes / (h.stride * w.size * static_cast<index>(sizeof(float))));
  const bool along = squares<kTaps>(g) && w.output >= (far ? n : kAlong);
  const bool narrow =
      squares<kTaps>(g) && w.output <= n && !has_edges(w, 0, w.output) && !has_edges(h, 0, h.output);
  for (index p = 0; p < planes; ++p, x += in, y += out, positions = later(positions, out)) {
    const index more = planes - p - 1;
    const Room room{p > 0, (more + 1) * in, (more + 1) * out,
                    (p > 0 || w.pad == 0) && more * in >= 2 * n + 1 && more * out >= n};
    index end = 0;
    bool numbers = true;
    if constexpr (!kKept<P> || kTapNumbers<P>) {
      if (narrow && room.plenty) {
        end = h.output;
        numbers = max_down_squares<kTaps>(g, Block{}, 0, end, x, n, y, positions);
      } else if (along) {
        index begin = h.inner_begin;
        end = most(begin, h.inner_end);
        while (begin < end && !has_room<kTaps>(g, room, begin, last)) ++begin;
        while (end > begin && !has_room<kTaps>(g, room, end - 1, last)) --end;
        // In order: blocks write behind the end of a row.
        max_rows_down<kTaps>(g, room, strip, 0, begin, x, y, positions);
        numbers = far ? max_rows_along<kTaps, true>(g, begin, end, x, y, positions)
                      : max_rows_along<kTaps, false>(g, begin, end, x, y, positions);
      }
    }
    max_rows_down<kTaps>(g, room, strip, end, h.output, x, y, positions);
    if (!numbers) max_plane(g, x, y, positions);
  }
}

// Eight outputs of 2 x 2 windows, the upper row of which begins at x.
template <class P>
TENFOLD_INLINE void max_squares(const float* x, index row, index ahead, float* y, P* positions,
                                Vec<float>& sum) {
  const Block all_inside{};
  Maxima<P> maxima = across<2, false, kFar, P>(all_inside, x, ahead, sum);
  const Maxima<P> lower = across<2, false, kFar, P>(all_inside, x + row, ahead, sum);
  maxima.take(lower.best, lower.at + splat_int<float>(2));
  store(y, order_quads(maxima.best));
  if constexpr (kKept<P>) store_positions<true, float>(positions, order_quads(maxima.at), kLanes<float>);
}

// Windows of 2 x 2 side by side, all inside, and eight of them at least in a row: rows share nothing, so that the input is
// walked along. Both halves of a plane take turns, since the processor fetches two places ahead of a reader faster than
// one.
template <class P>
void max_planes_of_squares(const PoolGeometry& g, index planes, const float* x, float* y, P* positions) {
  constexpr index n = kLanes<float>, ahead = kAheadBytes / static_cast<index>(sizeof(float));
  const index row = g.w.size, rows = g.h.output, columns = g.w.output;
  const index in = g.h.size * row, out = rows * columns;
  const index half = rows / 2;  // of an odd number of rows the middle one is computed twice
  for (index p = 0; p < planes; ++p, x += in, y += out, positions = later(positions, out)) {
    Vec<float> sums[2] = {};
    for (index r = half; r < rows; ++r) {
      for (index c = 0; c < columns; c += n) {
        // The last block overlaps the one before it; computing an output twice does no harm.
        const index first = least(c, columns - n);
        const auto block = [&](index at_row, Vec<float>& sum) __attribute__((always_inline)) {
          const index at = at_row * columns + first;
          max_squares(x + 2 * (at_row * row + first), row, ahead, y + at, later(positions, at), sum);
        };
        block(r - half, sums[0]);
        block(r, sums[1]);
      }
    }
    if (!is_number(sums[0] + sums[1])) max_plane(g, x, y, positions);
  }
}

// False where another form must take it.
template <class T, class P>
bool max_by_strided_blocks(const PoolGeometry& g, index planes, const T* x, bool far, T* y, P* positions) {
  if constexpr (sizeof(T) == sizeof(float)) {
    const PoolAxis& w = g.w;
    const index behind =
        (w.output - 1) * 2 - w.pad + w.kernel - w.size;  // columns of the last window outside
    if (!flat(g) || w.stride != 2 || w.dilation != 1 || w.pad > 1 || behind > 1 ||
        w.inner_begin >= w.inner_end || !all_inside(g.h)) {
      return false;
    }
    if constexpr (!kKept<P> || kTapNumbers<P>) {
      const auto halves = [](const PoolAxis& a) {
        return a.kernel == 2 && a.stride == 2 && a.dilation == 1 && a.pad == 0 && a.inner_end == a.output;
      };
      if (!far && halves(g.h) && halves(w) && w.output >= kLanes<float>)
        return max_planes_of_squares(g, planes, x, y, positions), true;
    }
    if (w.kernel == 2) return max_planes_strided<2>(g, planes, x, far, y, positions), true;
    if (w.kernel == 3) return max_planes_strided<3>(g, planes, x, far, y, positions), true;
  }
  return false;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
