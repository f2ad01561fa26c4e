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

// Whether the last block of a row writes whole vectors too, before the others and the next rows: stores of a part are
// slow without mask registers, and one loop takes all blocks.
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
  const auto store_whole = [](T* to, const Vec<T>* pair) __attribute__((always_inline)) {
    Vec<T> first, second;
    interleave<T>(pair[0], pair[1], first, second);
    store(to, first);
    store(to + n, second);
  };
  const auto store_last = [&](T* to, const Vec<T>* pair) __attribute__((always_inline)) {
    Vec<T> first, second;
    interleave<T>(pair[0], pair[1], first, second);
    store_front<T>(to, low, first);
    if (high) store_front<T>(to + (kTwo ? in : n), high, second);
  };
  // Which lanes of a block have an output, for each look. Blocks up to inner_end, but the first one, have all.
  constexpr index kMostEdges = 4;
  const index inner_end = most(1, least(blocks - 1, (w.output - shift - kTo) / n));
  Bits<T> lanes_of[2 + kMostEdges][kLooks];
  const auto looks_of = [&](index b) __attribute__((always_inline)) {
    return lanes_of[b == 0 ? 0 : b < inner_end ? 1 : 2 + b - inner_end];
  };
  for (index b = 0; b < blocks; b = b == 0 || b >= inner_end ? b + 1 : inner_end) {
    for (int i = 0; i < kLooks; ++i) {
      const index first = b * n + shift + kFrom + i;
      Bits<T> lanes = static_cast<Bits<T>>(first_bits<T>(w.output - first) & ~first_bits<T>(-first));
      if (kTwo) lanes = static_cast<Bits<T>>(lanes & first_bits<T>(n / 2));
      looks_of(b)[i] = lanes;
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
      // Outputs of these lanes, or of all. `inside`: whole vectors may be stored, and with kOverhang loaded as well, of rows
      // that all are inside.
      const auto block = [&](index b, const Bits<T>* bits, auto inside) __attribute__((always_inline)) {
        constexpr bool kInside = decltype(inside)::value == 1, kAllInside = kInside && kOverhang;
        Vec<T> v[kLooks];
        TapLanes<T> chosen[kLooks];
        Bits<T> lanes[kLooks];
        const index at = b * n + shift + kFrom;
#pragma GCC unroll 3
        for (int i = 0; i < kLooks; ++i) {
          lanes[i] = bits == nullptr ? first_bits<T>(n) : bits[i];
          if constexpr (kAllInside) {
            // Not with a mask: the processor would not fetch ahead.
            v[i] = (Vec<T>)((Mask<T>)load(dy + at + i) & lanes[i]);
            chosen[i] = load_taps<T>(taps + at + i, n);
          } else {
            v[i] = bits == nullptr ? load(dy + at + i) : load_bits<T>(lanes[i], dy + at + i);
            chosen[i] = load_tap_bits<T>(lanes[i], taps + at + i, taps_begin, taps_end);
          }
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
          bool empty[2] = {kHeight > 0 && k >= carried, kHeight > 0 && k >= carried};
          if (k < carried) pair[0] = before[0], pair[1] = before[1];
          if (k < height) {
#pragma GCC unroll 3
            for (int i = 0; i < kLooks; ++i) {
#pragma GCC unroll 2
              for (int c = 0; c < 2; ++c) {
                const int column = kFirst - 2 * (kFrom + i) + c;
                if (column < 0 || column >= kTaps) continue;
                pair[c] = kOverhang && empty[c] ? where_chosen<T>(chosen[i], k * kTaps + column, v[i])
                                                : add_chosen<T>(pair[c], v[i], lanes[i], chosen[i],
                                                                splat_tap<T>(k * kTaps + column));
                empty[c] = false;
              }
            }
          }
          if (k >= stride) {
            Vec<T>* const after = carry[b * carried + k - stride];
            after[0] = pair[0], after[1] = pair[1];
            continue;
          }
          if (!kAllInside && (k < begin || k >= end)) continue;
          T* const to = dx + (kAllInside ? k : k - begin) * w.size + b * 2 * n;
          if (kInside || (kOverhang && b + 1 < blocks)) {
            store_whole(to, pair);
          } else {
            store_last(to, pair);
          }
        }
      };
      if constexpr (kOverhang) {
        const index first = shift + kFrom, behind = blocks * n + shift + kTo;
        if (end - begin == stride && taps + first >= taps_begin && taps + behind <= taps_end &&
            dx + (stride - 1) * w.size + blocks * 2 * n <= out.limit(dx)) {
          for (index i = 0, b = blocks - 1; i < blocks; b = i++) block(b, looks_of(b), Number<1>{});
        } else {
          for (index i = 0, b = blocks - 1; i < blocks; b = i++) block(b, looks_of(b), Number<0>{});
        }
      } else {
        if (blocks > 1) {
          block(0, looks_of(0), Number<1>{});
          for (index b = 1; b < inner_end; ++b) block(b, nullptr, Number<1>{});
          for (index b = inner_end; b + 1 < blocks; ++b) block(b, looks_of(b), Number<1>{});
        }
        block(blocks - 1, looks_of(blocks - 1), Number<0>{});
      }
    }
    // Rows behind the last window.
    const index base = h.output * stride - h.pad;
    for (index r = most(0, base); r < h.size; ++r) {
      T* const dx = next_rows(1);
      for (index b = 0; b < blocks; ++b) {
        const Vec<T> none[2] = {};
        const Vec<T>* const pair = r - base < carried ? carry[b * carried + r - base] : none;
        if (b + 1 < blocks) {
          store_whole(dx + b * 2 * n, pair);
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
