// Gradients of max-pooling with a stride of 2 along the width: every gradient of the input is computed from the outputs
// that may have chosen it. With AVX-512 and AVX2.
#pragma once

#include "kernels/max_pool_taps.h"
#include "kernels/row_writer.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

#if defined(TENFOLD_ISA_avx512)
// The first lanes of a vector, as stores like them best.
template <class T>
using Front = Bits<T>;
template <class T>
TENFOLD_INLINE Front<T> front(index count) {
  return first_bits<T>(count);
}
template <class T>
TENFOLD_INLINE void store_front(T* p, Front<T> lanes, Vec<T> v) {
  store_bits<T>(p, lanes, v);
}
#else
template <class T>
using Front = index;
template <class T>
TENFOLD_INLINE Front<T> front(index count) {
  return most(0, least(count, kLanes<T>));
}
template <class T>
TENFOLD_INLINE void store_front(T* p, Front<T> lanes, Vec<T> v) {
  store_first(p, v, lanes);
}
#endif

// Whether the last block of a row writes whole vectors, before the others: stores of a part are slow without mask
// registers.
constexpr bool kOverhang = TENFOLD_VECTOR_BYTES < 64;

// Strides of 2 along the width. Lane l of block b stands for the columns 2 (b n + l) and one more; output b n + l +
// shift + i looks at them by the taps kFirst - 2 i and kFirst - 2 i + 1, where kFirst is the parity of the padding.
// Windows are taken row by row: the rows of the input that the next ones do not look at are finished, what the others
// have got is carried on. kHeight and kStride: of the windows' rows, 0 if not known. kTwo: the upper half of the lanes
// stands for the same columns of the next plane.
template <int kTaps, int kFirst, int kHeight, int kStride, bool kTwo, class T>
bool max_backward_rows(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps,
                       RowWriter<T>& out) {
  constexpr index n = kLanes<T>;
  constexpr int kFrom = -((kTaps - 1 - kFirst) / 2), kTo = (kFirst + 1) / 2, kLooks = kTo - kFrom + 1;
  constexpr index kMostCarried = 64;
  const PoolAxis h = g.h, w = g.w;  // copies: no store can change them
  const index height = kHeight > 0 ? kHeight : h.kernel, stride = kStride > 0 ? kStride : h.stride;
  const index carried = most(0, height - stride), rows = most(height, stride);
  const index in = h.size * w.size, outputs = h.output * w.output;
  const index blocks = (w.size + 2 * n - 1) / (2 * n), shift = w.pad / 2, last = (blocks - 1) * 2 * n;
  if (carried > stride || carried * blocks > kMostCarried) return false;
  const Front<T> low = front<T>(w.size - last), high = kTwo ? low : front<T>(w.size - last - n);
  // Whole vectors of a row's end, where what follows is written later: but not behind `limit`.
  T* const limit = kOverhang ? out.end() : nullptr;
  const auto store_last = [&](T* to, const Vec<T>* pair) __attribute__((always_inline)) {
    Vec<T> first, second;
    interleave<T>(pair[0], pair[1], first, second);
    if (kOverhang && limit != nullptr && to + 2 * n <= limit) {
      store(to, first);
      store(to + n, second);
      return;
    }
    store_front<T>(to, low, first);
    if (high) store_front<T>(to + (kTwo ? in : n), high, second);
  };
  // Which lanes of a block have an output, for each look. Blocks up to inner_end, but the first one, have all.
  constexpr index kMostEdges = 4;
  const index inner_end = most(1, least(blocks - 1, (w.output - shift - kTo) / n));
  Bits<T> edges[1 + kMostEdges][kLooks];
  for (index b = 0, e = 0; b < blocks; b = b == 0 ? inner_end : b + 1, ++e) {
    for (int i = 0; i < kLooks; ++i) {
      const index first = b * n + shift + kFrom + i;
      edges[e][i] = static_cast<Bits<T>>(first_bits<T>(w.output - first) & ~first_bits<T>(-first));
      if (kTwo) edges[e][i] = static_cast<Bits<T>>(edges[e][i] & first_bits<T>(n / 2));
    }
  }
  const TapNumber *const taps_begin = taps, *const taps_end = taps + planes * outputs;
  Vec<T> carry[kMostCarried][2];
  for (index p = 0; p < planes; p += kTwo ? 2 : 1) {
    T* plane = kTwo ? out.next(2 * in) : nullptr;
    const auto next_rows = [&](index count) __attribute__((always_inline)) {
      if constexpr (!kTwo) return out.next(count * w.size);
      T* const dx = plane;
      plane += count * w.size;
      return dx;
    };
    for (index i = 0; i < carried * blocks; ++i) carry[i][0] = carry[i][1] = Vec<T>{};
    for (index oh = 0; oh < h.output; ++oh, dy += w.output, taps += w.output) {
      // Of the rows that this window finishes, those inside.
      const index base = oh * stride - h.pad, begin = most(0, -base);
      const index end = most(begin, least(stride, h.size - base));
      T* const dx = next_rows(end - begin);
      const auto block = [&](index b, const Bits<T>* bits, auto whole) __attribute__((always_inline)) {
        Vec<T> v[kLooks];
        TapLanes<T> chosen[kLooks];
        Bits<T> lanes[kLooks];
        const index at = b * n + shift + kFrom;
#pragma GCC unroll 3
        for (int i = 0; i < kLooks; ++i) {
          lanes[i] = bits == nullptr ? first_bits<T>(n) : bits[i];
          v[i] = bits == nullptr ? load(dy + at + i) : load_bits<T>(lanes[i], dy + at + i);
          chosen[i] = load_tap_bits<T>(lanes[i], taps + at + i, taps_begin, taps_end);
          if constexpr (kTwo) {
            const auto upper = static_cast<Bits<T>>(lanes[i] << n / 2);
            v[i] += load_bits<T>(upper, dy + outputs + at + i - n / 2);
            chosen[i] = _mm_mask_loadu_epi8(chosen[i], upper, taps + outputs + at + i - n / 2);
            lanes[i] = static_cast<Bits<T>>(lanes[i] | upper);
          }
        }
#pragma GCC unroll 3
        for (index k = 0; k < rows; ++k) {
          Vec<T>* const before = carry[b * carried + k];
          Vec<T> pair[2] = {};
          if (k < carried) pair[0] = before[0], pair[1] = before[1];
          if (k < height) {
#pragma GCC unroll 3
            for (int i = 0; i < kLooks; ++i) {
#pragma GCC unroll 2
              for (int c = 0; c < 2; ++c) {
                const int column = kFirst - 2 * (kFrom + i) + c;
                if (column < 0 || column >= kTaps) continue;
                pair[c] = add_chosen<T>(pair[c], v[i], lanes[i], chosen[i], splat_tap<T>(k * kTaps + column));
              }
            }
          }
          if (k >= stride) {
            Vec<T>* const after = carry[b * carried + k - stride];
            after[0] = pair[0], after[1] = pair[1];
            continue;
          }
          if (k < begin || k >= end) continue;
          T* const to = dx + (k - begin) * w.size + b * 2 * n;
          if constexpr (decltype(whole)::value == 1) {
            Vec<T> first, second;
            interleave<T>(pair[0], pair[1], first, second);
            store(to, first);
            store(to + n, second);
          } else {
            store_last(to, pair);
          }
        }
      };
      const auto last_block = [&]() __attribute__((always_inline)) {
        block(blocks - 1, edges[blocks > 1 ? blocks - inner_end : 0], Number<0>{});
      };
      if (kOverhang) last_block();
      if (blocks > 1) {
        block(0, edges[0], Number<1>{});
        for (index b = 1; b < inner_end; ++b) block(b, nullptr, Number<1>{});
        for (index b = inner_end; b + 1 < blocks; ++b) block(b, edges[1 + b - inner_end], Number<1>{});
      }
      if (!kOverhang) last_block();
    }
    // Rows behind the last window.
    const index base = h.output * stride - h.pad;
    for (index r = most(0, base); r < h.size; ++r) {
      T* const dx = next_rows(1);
      for (index b = 0; b < blocks; ++b) {
        const Vec<T> none[2] = {};
        const Vec<T>* const pair = r - base < carried ? carry[b * carried + r - base] : none;
        if (b + 1 < blocks) {
          Vec<T> first, second;
          interleave<T>(pair[0], pair[1], first, second);
          store(dx + b * 2 * n, first);
          store(dx + b * 2 * n + n, second);
        } else {
          store_last(dx + last, pair);
        }
      }
    }
    if (kTwo) dy += outputs, taps += outputs;
  }
  return true;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
