// Maxima of a stride of 2 or more along the width, with AVX-512.
//
// Two vectors hold 2 n columns of a row of the input, or the same row of two narrow planes. Permutations pick the taps
// from both; the maxima of a row go into one window and, where the next window begins with that row, into the next.
// Where a tap lies outside, its lane looks once more at the nearest tap inside, which is not greater than itself: borders
// need no other care.
#pragma once

#include "kernels/max_pool_windows.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

constexpr index kMostTaps = 8;       // along the width: permutations are kept for each
constexpr index kFewestOutputs = 4;  // of a block, below which single elements are as fast

// Lanes in which v is greater than best; kNan: or the first NaN.
template <bool kNan, class T>
TENFOLD_INLINE Bits<T> replaced(Vec<T> v, Vec<T> best) {
  if constexpr (sizeof(T) == 4) {
    const __m512 a = (__m512)v, b = (__m512)best;
    if constexpr (!kNan) return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NLE_UQ);
  } else {
    const __m512d a = (__m512d)v, b = (__m512d)best;
    if constexpr (!kNan) return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ);
    return _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(b, b, _CMP_ORD_Q), a, b, _CMP_NLE_UQ);
  }
}
// Lanes in which a or b is NaN.
template <class T>
TENFOLD_INLINE Bits<T> unordered(Vec<T> a, Vec<T> b) {
  if constexpr (sizeof(T) == 4) {
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_UNORD_Q);
  } else {
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_UNORD_Q);
  }
}
// Some outputs of a row: those from `first` on, of the 2 n columns from `column` on.
template <class T>
struct Block {
  index first, column;
  Bits<T> columns[2];              // lanes to load, of both vectors
  Bits<T> outputs[2];              // lanes to store, of the first and of the second plane's half
  Mask<T> tap[kMostTaps] = {};     // the lanes of a tap
  Mask<T> number[kMostTaps] = {};  // which taps these are, where a lane looks at another one
  template <class P>
  __attribute__((always_inline)) Mask<T> name(index k) const {
    return kTapNumbers<P> ? number[k] : tap[k];
  }
};

// kNumbers: tap numbers are wanted too.
template <bool kNumbers, class T>
void make_block(const PoolAxis& w, index first, index outputs, index column, bool two_planes,
                Block<T>& block) {
  constexpr index n = kLanes<T>;
  block.first = first, block.column = column;
  block.columns[0] = first_bits<T>(w.size - column);
  block.columns[1] = two_planes ? block.columns[0] : first_bits<T>(w.size - column - n);
  block.outputs[0] = first_bits<T>(outputs);
  block.outputs[1] = two_planes ? block.outputs[0] : Bits<T>{0};
  // The upper half repeats the lower one for the second plane, n further; what is in lanes without an output is not stored.
  const Mask<T> second = two_planes ? iota<T>() >= splat_int<T>(n / 2) : Mask<T>{};
  const Mask<T> output = splat_int<T>(first) + iota<T>() - (second & splat_int<T>(n / 2));
  const Mask<T> lane = output * splat_int<T>(w.stride) - splat_int<T>(w.pad + column);
  const Mask<T> begin = splat_int<T>(-column), end = splat_int<T>(w.size - column);
  Mask<T> later = {}, later_number = {};
  for (index k = w.kernel - 1; k >= 0; --k) {  // outside on the left: the next tap that is inside
    const Mask<T> at = lane + splat_int<T>(k * w.dilation), inside = at >= begin;
    block.tap[k] = later = inside ? at : later;
    if constexpr (kNumbers) block.number[k] = later_number = inside ? splat_int<T>(k) : later_number;
  }
  for (index k = 1; k < w.kernel; ++k) {  // outside on the right: the tap before
    const Mask<T> inside = lane + splat_int<T>(k * w.dilation) < end;
    block.tap[k] = inside ? block.tap[k] : block.tap[k - 1];
    if constexpr (kNumbers) block.number[k] = inside ? block.number[k] : block.number[k - 1];
  }
  for (index k = 0; k < w.kernel; ++k) block.tap[k] += second & splat_int<T>(n);
}

// What a block has of its first taps, for registers: an array of them would be read from memory in every row.
template <class T>
struct FewTaps {
  template <class P>
  __attribute__((always_inline)) static FewTaps of(const Block<T>& block) {
    return {block.columns[0],
            block.columns[1],
            block.tap[0],
            block.tap[1],
            block.tap[2],
            block.template name<P>(0),
            block.template name<P>(1),
            block.template name<P>(2)};
  }
  Bits<T> columns0, columns1;
  Mask<T> tap0, tap1, tap2, name0, name1, name2;
};

// Maxima and their positions.
template <class T>
struct Maxima {
  Vec<T> best;
  Mask<T> at;
  template <bool kNan, class P>
  __attribute__((always_inline)) void take(Vec<T> v, Mask<T> position) {
    if constexpr (!kNan && !kKept<P>) {
      best = larger<T>(v, best);
      return;
    }
    const Bits<T> bits = replaced<kNan, T>(v, best);
    best = kNan ? blend<T>(bits, v, best) : larger<T>(v, best);
    if constexpr (kKept<P>) at = (Mask<T>)blend<T>(bits, (Vec<T>)position, (Vec<T>)at);
  }
};

// The maxima over one row, whose columns lie at x and at `second`; what lies `ahead` is read soon. Without kNan, NaN is not looked for but noted.
template <int kTaps, bool kNan, class P, class T>
TENFOLD_INLINE Maxima<T> across(const Block<T>& block, const FewTaps<T>& few, index kernel, const T* x,
                                const T* second, index position, index ahead, Bits<T>& nan) {
  const Vec<T> a = load_bits<T>(few.columns0, x), b = load_bits<T>(few.columns1, second);
  __builtin_prefetch(x + ahead, 0, 2);
  __builtin_prefetch(second + ahead, 0, 2);
  if constexpr (!kNan) nan |= unordered<T>(a, b);
  Maxima<T> maxima{pick<T>(a, few.tap0, b), few.name0};
  if constexpr (kTaps > 0) {
    maxima.template take<kNan, P>(pick<T>(a, few.tap1, b), few.name1);
    if constexpr (kTaps > 2) maxima.template take<kNan, P>(pick<T>(a, few.tap2, b), few.name2);
  } else {
    for (index k = 1; k < kernel; ++k) {
      maxima.template take<kNan, P>(pick<T>(a, block.tap[k], b), block.template name<P>(k));
    }
  }
  if constexpr (__is_same(P, Position)) maxima.at += splat_int<T>(position);
  return maxima;
}

// Where the second vector of a block and the outputs of its lanes lie, from the first ones: in another plane, or
// just behind. What lies `ahead` elements further is read soon and asked for, into the second-level cache.
struct Offsets {
  index columns, outputs, ahead;
};

// Output rows begin .. end - 1 of one block; kTwo: of two planes.
template <int kTaps, bool kTwo, bool kNan, class T, class P>
TENFOLD_INLINE void max_down(const PoolGeometry& g, const Block<T>& block, index begin, index end, const T* x,
                             const Offsets& offsets, T* y, P* positions);

// Rows that hold a NaN.
template <bool kTwo, class T, class P>
__attribute__((noinline)) void max_down_nan(const PoolGeometry& g, const Block<T>& block, index begin,
                                            index end, const T* x, const Offsets& offsets, T* y,
                                            P* positions) {
  max_down<0, kTwo, true>(g, block, begin, end, x, offsets, y, positions);
}

template <int kTaps, bool kTwo, bool kNan, class T, class P>
TENFOLD_INLINE void max_down(const PoolGeometry& g, const Block<T>& block, index begin, index end, const T* x,
                             const Offsets& offsets, T* y, P* positions) {
  const PoolAxis &h = g.h, &w = g.w;
  index carried = -1;  // the row whose maxima the window before ended with
  Maxima<T> last = {};
  Bits<T> nan = 0;
  // The permutations count lanes of the second plane as columns behind those of the first.
  const Mask<T> second =
      kTwo ? (iota<T>() >= splat_int<T>(kLanes<T> / 2)) & splat_int<T>(kLanes<T>) : Mask<T>{};
  const Bits<T> outputs0 = block.outputs[0], outputs1 = block.outputs[1];
  const FewTaps<T> few = FewTaps<T>::template of<P>(block);
  x += block.column;
  y += begin * w.output + block.first;
  positions = later(positions, begin * w.output + block.first);
  for (index oh = begin; oh < end; ++oh, y += w.output, positions = later(positions, w.output)) {
    Inside rows{oh * h.stride - h.pad, h.kernel, 0};
    if (oh < h.inner_begin || oh >= h.inner_end) rows = taps_inside(h, oh);
    const auto row = [&](index r) __attribute__((always_inline)) {
      const T* at = x + r * w.size;
      return across<kTaps, kNan, P>(block, few, w.kernel, at, at + offsets.columns, r * w.size + block.column,
                                    offsets.ahead, nan);
    };
    Maxima<T> maxima = rows.first == carried ? last : row(rows.first);
    // A row's maxima know the tap's column; its row depends on the window.
    const auto tap_row = [&](index k) __attribute__((always_inline)) {
      return kTapNumbers<P> ? splat_int<T>((rows.tap + k) * w.kernel) : Mask<T>{};
    };
    if constexpr (kTapNumbers<P>) maxima.at += tap_row(0);
    const auto next = [&](index k) __attribute__((always_inline)) {
      last = row(rows.first + k * h.dilation);
      maxima.template take<kNan, P>(last.best, last.at + tap_row(k));
    };
    if (kTaps > 0 && rows.count == kTaps) {
#pragma GCC unroll 3
      for (index k = 1; k < kTaps; ++k) next(k);
    } else {
      for (index k = 1; k < rows.count; ++k) next(k);
    }
    if (rows.count > 1) carried = rows.first + (rows.count - 1) * h.dilation;
    const Mask<T> at = kTapNumbers<P> ? maxima.at : maxima.at - second;
    if constexpr (kTwo) {
      store_half<false>(y, outputs0, maxima.best);
      store_half<true>(y + offsets.outputs, outputs1, maxima.best);
      if constexpr (kKept<P>) {
        constexpr int kHalf = kLanes<T> / 2;
        store_positions_bits<T>(positions, outputs0, at);
        store_positions_bits<T>(positions + offsets.outputs - kHalf, static_cast<Bits<T>>(outputs1 << kHalf),
                                at);
      }
    } else {
      store_bits<T>(y, outputs0, maxima.best);
      if constexpr (kKept<P>) store_positions_bits<T>(positions, outputs0, at);
    }
  }
  if constexpr (!kNan) {
    if (nan) {
      y -= end * w.output + block.first;
      positions = later(positions, -(end * w.output + block.first));
      max_down_nan<kTwo>(g, block, begin, end, x - block.column, offsets, y, positions);
    }
  }
}

// Planes whose rows fit into a vector, and the outputs of two rows too.
template <int kTaps, class T, class P>
TENFOLD_INLINE void max_two_planes(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
  const index in = g.h.size * g.w.size, out = g.h.output * g.w.output;
  Block<T> block;
  make_block<kTapNumbers<P>>(g.w, 0, g.w.output, 0, true, block);
  for (index p = 0; p < planes; p += 2) {
    if (p + 1 == planes) block.columns[1] = block.outputs[1] = 0;
    max_down<kTaps, true, false>(g, block, 0, g.h.output, x + p * in, {in, out, 2 * in}, y + p * out,
                                 later(positions, p * out));
  }
}

constexpr int kMostRightBlocks = 2;

// The first block, those whose loads and windows lie inside, the rest.
struct Blocks {
  index outputs, inner, right;  // outputs of a block; numbers of blocks
};
template <class T>
TENFOLD_INLINE Blocks cut_row(const PoolAxis& w, index outputs) {
  constexpr index n = kLanes<T>;
  index inner = 0, o = outputs;
  for (; o + outputs <= w.output; o += outputs, ++inner) {
    const index column = o * w.stride - w.pad;
    if (column < 0 || column + 2 * n > w.size) break;
  }
  return {outputs, inner, most(0, (w.output - o + outputs - 1) / outputs)};
}

template <int kTaps, class T, class P>
TENFOLD_INLINE void max_blocks(const PoolGeometry& g, const Blocks& cut, index planes, const T* x, T* y,
                               P* positions) {
  constexpr index n = kLanes<T>;
  const PoolAxis &h = g.h, &w = g.w;
  const index m = cut.outputs;
  const auto make = [&](index first, index column, Block<T>& block) {
    make_block<kTapNumbers<P>>(w, first, m, column, false, block);
  };
  Block<T> edges[1 + kMostRightBlocks], inner;
  make(0, 0, edges[0]);
  if (cut.inner > 0) make(m, m * w.stride - w.pad, inner);
  for (index i = 0; i < cut.right; ++i) {
    // The last one overlaps the one before it; computing an output twice does no harm.
    const index first = least((1 + cut.inner + i) * m, w.output - m);
    const index column = most(0, least(first * w.stride - w.pad, w.size - 2 * n));
    make(first, column, edges[1 + i]);
  }
  const index strip = most(1, kStripBytes / (h.stride * w.size * static_cast<index>(sizeof(T))));
  const index ahead = strip * h.stride * w.size + kAheadBytes / static_cast<index>(sizeof(T));
  for (index p = 0; p < planes; ++p) {
    for (index begin = 0; begin < h.output; begin += strip) {
      const index end = least(begin + strip, h.output);
      const auto down = [&](const Block<T>& block) __attribute__((always_inline)) {
        max_down<kTaps, false, false>(g, block, begin, end, x, {n, 0, ahead}, y, positions);
      };
      for (index i = 0; i < 1 + cut.inner + cut.right; ++i) {
        const bool inside = 0 < i && i <= cut.inner;
        if (inside) inner.first = i * m, inner.column = i * m * w.stride - w.pad;
        down(inside ? inner : edges[i == 0 ? 0 : i - cut.inner]);
      }
    }
    x += h.size * w.size;
    y += h.output * w.output;
    positions = later(positions, h.output * w.output);
  }
}

// False where the form for single rows must take it.
template <class T, class P>
bool max_by_permutations(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
  constexpr index n = kLanes<T>;
  const PoolAxis& w = g.w;
  const index extent = (w.kernel - 1) * w.dilation + 1;
  if (!flat(g) || w.stride < 2 || w.kernel > kMostTaps || extent > n || w.output == 0 || !all_inside(w) ||
      !all_inside(g.h)) {
    return false;
  }
  const auto by_taps = [&](const auto& body) __attribute__((always_inline)) {
    if constexpr (sizeof(T) == sizeof(float)) {  // code of its own for the usual ones
      if (w.kernel == 2 && g.h.kernel == 2) return body(Number<2>{});
      if (w.kernel == 3 && g.h.kernel == 3) return body(Number<3>{});
    }
    body(Number<0>{});
  };
  if (w.size <= n && 2 * w.output <= n) {
    by_taps([&](auto taps) __attribute__((always_inline)) {
      max_two_planes<decltype(taps)::value>(g, planes, x, y, positions);
    });
    return true;
  }
  const index outputs = least(w.output, least(n, (2 * n - extent) / w.stride + 1));
  const Blocks cut = cut_row<T>(w, outputs);
  if (outputs < least(w.output, kFewestOutputs) || cut.right > kMostRightBlocks) return false;
  by_taps([&](auto taps) __attribute__((always_inline)) {
    max_blocks<decltype(taps)::value>(g, cut, planes, x, y, positions);
  });
  return true;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
