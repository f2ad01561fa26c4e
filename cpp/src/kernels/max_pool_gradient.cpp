// Where windows share no element, or have a stride of 2, the gradient of every element is computed from the outputs that
// may have chosen it; elsewhere gradients are scattered.
#include "kernels/max_pool_common.h"
#include "kernels/row_writer.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Tap numbers of a vector of outputs.
#if defined(TENFOLD_ISA_avx512)
template <class T>
using TapLanes = __m128i;
template <class T>
TENFOLD_INLINE TapLanes<T> load_taps(const TapNumber* p, index count) {
  return _mm_maskz_loadu_epi8(first_bits<T>(count), p);
}
// v in the lanes whose tap is `number`, else 0.
template <class T>
TENFOLD_INLINE Vec<T> where_chosen(TapLanes<T> taps, index number, Vec<T> v) {
  const __mmask16 chosen = _mm_cmpeq_epi8_mask(taps, _mm_set1_epi8(static_cast<char>(number)));
  return blend<T>(chosen, v, Vec<T>{});
}
#else
template <class T>
using TapLanes = Mask<T>;
template <class T>
TENFOLD_INLINE TapLanes<T> load_taps(const TapNumber* p, index count) {
  // Conversions of bytes to lanes are left to the compiler only where it does not take them apart.
#if defined(TENFOLD_ISA_avx2)
  TapNumber bytes[kLanes<T>] = {};
  if (count == kLanes<T>) {
    __builtin_memcpy(bytes, p, sizeof bytes);
  } else {
    for (index i = 0; i < count; ++i) bytes[i] = p[i];
  }
  if constexpr (sizeof(T) == 4) {
    long long all;
    __builtin_memcpy(&all, bytes, sizeof all);
    return (Mask<T>)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(all));
  } else {
    int all;
    __builtin_memcpy(&all, bytes, sizeof all);
    return (Mask<T>)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(all));
  }
#else
  Mask<T> lanes = {};
  for (index i = 0; i < count; ++i) lanes[i] = p[i];
  return lanes;
#endif
}
template <class T>
TENFOLD_INLINE Vec<T> where_chosen(TapLanes<T> taps, index number, Vec<T> v) {
  return select<T>(taps == splat_int<T>(number), v, Vec<T>{});
}
#endif

template <class T>
void write_zeros(index rows, index width, RowWriter<T>& out) {
  for (index r = 0; r < rows; ++r) fill(width, T(0), out.next(width));
}

// Windows of width 2 that tile the rows: every element belongs to one window and is computed, not scattered to.
// kHeight: their height, 0 if not known.
template <int kHeight, class T>
void max_backward_pairs(const PoolGeometry& g, const T* dy, const TapNumber* taps, RowWriter<T>& out) {
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
  for (index oh = 0; oh < g.h.output; ++oh, dy += outputs, taps += outputs) {
    dx = out.next(height * width);
    if (outputs >= n) {
      // The last block overlaps the one before it.
      for (index ow = 0; ow < outputs; ow += n) block(Number<1>{}, least(ow, outputs - n), n);
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
void scatter_by_taps(const PoolGeometry& g, const T* dy, const TapNumber* taps, T* dx) {
  index offset[kMostTapNumbers];  // of a tap from the first one
  index tap = 0;
  for (index d = 0; d < g.d.kernel; ++d) {
    for (index h = 0; h < g.h.kernel; ++h) {
      const index row = (d * g.d.dilation * g.h.size + h * g.h.dilation) * g.w.size;
      for (index w = 0; w < g.w.kernel; ++w) offset[tap++] = row + w * g.w.dilation;
    }
  }
  fill(g.d.size * g.h.size * g.w.size, T(0), dx);
  for (index od = 0; od < g.d.output; ++od) {
    for (index oh = 0; oh < g.h.output; ++oh) {
      index first = ((od * g.d.stride - g.d.pad) * g.h.size + oh * g.h.stride - g.h.pad) * g.w.size - g.w.pad;
      for (index ow = 0; ow < g.w.output; ++ow, first += g.w.stride, ++dy, ++taps) {
        if (*taps != kNoTap) dx[first + offset[*taps]] += *dy;
      }
    }
  }
}

#if defined(TENFOLD_ISA_avx512)
// Every gradient of the input is computed from the outputs that may have chosen it.

// sum + v in the lanes of `bits` where tap == here.
template <class T>
TENFOLD_INLINE Vec<T> add_chosen(Vec<T> sum, Vec<T> v, Bits<T> bits, __m128i tap, __m128i here) {
  const __mmask16 chosen = _mm_mask_cmpeq_epi8_mask(bits, tap, here);
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_add_ps((__m512)sum, chosen, (__m512)sum, (__m512)v);
  } else {
    return (Vec<T>)_mm512_mask_add_pd((__m512d)sum, static_cast<__mmask8>(chosen), (__m512d)sum, (__m512d)v);
  }
}

// Windows that share no element, in planes with short rows: n elements of the flattened plane at a time. The output
// of each of them is known beforehand.
template <class T>
bool max_backward_flat(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps,
                       RowWriter<T>& out) {
  constexpr index n = kLanes<T>;
  constexpr index kMostVectors = 64;   // of a plane: 7 KB of tables
  constexpr index kFewestPlanes = 16;  // that pay for the tables
  struct Gather {
    Mask<T> lane;  // which output, from `first` on
    TapNumber byte[16],
        tap[16];  // the same for its tap number; what that is where the element is the maximum
    index first;
    Bits<T> outputs, inside;  // outputs to load; elements with an output
  };
  const PoolAxis &h = g.h, &w = g.w;
  const index in = h.size * w.size, outputs = h.output * w.output, vectors = (in + n - 1) / n;
  if (2 * w.output >= n || vectors > kMostVectors || h.kernel > h.stride || w.kernel > w.stride ||
      h.dilation != 1 || w.dilation != 1 || planes < kFewestPlanes) {
    return false;
  }
  Gather gather[kMostVectors];
  // Output and tap of the element, by counting: divisions would cost more than the gradients.
  index row = 0, column = 0, oh = h.pad / h.stride, kh = h.pad % h.stride;
  const index first_ow = w.pad / w.stride, first_kw = w.pad % w.stride;
  index ow = first_ow, kw = first_kw;
  for (index v = 0; v < vectors; ++v) {
    Gather& at = gather[v];
    decltype(Mask<T>{}[0] + 0) lanes[n] = {};
    index chosen[n], first = outputs, last = -1;
    for (index i = 0; i < n; ++i) {
      const bool inside = row < h.size && oh < h.output && ow < w.output && kh < h.kernel && kw < w.kernel;
      chosen[i] = inside ? oh * w.output + ow : -1;
      at.tap[i] = static_cast<TapNumber>(inside ? kh * w.kernel + kw : 0);
      if (inside) first = least(first, chosen[i]), last = most(last, chosen[i]);
      if (++kw == w.stride) kw = 0, ++ow;
      if (++column == w.size) {
        column = 0, ow = first_ow, kw = first_kw, ++row;
        if (++kh == h.stride) kh = 0, ++oh;
      }
    }
    if (last - first >= n) return false;
    at.inside = 0;
    for (index i = 0; i < n; ++i) {
      at.byte[i] = 0;
      if (chosen[i] < 0) continue;
      lanes[i] = static_cast<int>(chosen[i] - first);
      at.byte[i] = static_cast<TapNumber>(chosen[i] - first);
      at.inside = static_cast<Bits<T>>(at.inside | 1u << i);
    }
    at.first = last < 0 ? 0 : first;
    at.outputs = first_bits<T>(outputs - at.first);
    __builtin_memcpy(&at.lane, lanes, sizeof lanes);
  }
  for (index p = 0; p < planes; ++p, dy += outputs, taps += outputs) {
    T* const dx = out.next(in);
    for (index v = 0; v < vectors; ++v) {
      const Gather& at = gather[v];
      const Vec<T> d = load_bits<T>(at.outputs, dy + at.first);
      const __m128i tap = _mm_shuffle_epi8(_mm_maskz_loadu_epi8(at.outputs, taps + at.first),
                                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(at.byte)));
      const Vec<T> sum = add_chosen<T>(Vec<T>{}, pick<T>(d, at.lane, d), at.inside, tap,
                                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(at.tap)));
      store_bits<T>(dx + v * n, first_bits<T>(in - v * n), sum);
    }
  }
  return true;
}

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
  const Bits<T> low = first_bits<T>(w.size - last), high = kTwo ? low : first_bits<T>(w.size - last - n);
  const auto store_last = [&](T* to, const Vec<T>* pair) __attribute__((always_inline)) {
    Vec<T> first, second;
    interleave<T>(pair[0], pair[1], first, second);
    store_bits<T>(to, low, first);
    if (high) store_bits<T>(to + (kTwo ? in : n), high, second);
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
        __m128i chosen[kLooks];
        Bits<T> lanes[kLooks];
        const index at = b * n + shift + kFrom;
#pragma GCC unroll 3
        for (int i = 0; i < kLooks; ++i) {
          lanes[i] = bits == nullptr ? first_bits<T>(n) : bits[i];
          v[i] = load_bits<T>(lanes[i], dy + at + i);
          chosen[i] = _mm_maskz_loadu_epi8(lanes[i], taps + at + i);
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
                const auto tap = static_cast<char>(k * kTaps + column);
                pair[c] = add_chosen<T>(pair[c], v[i], lanes[i], chosen[i], _mm_set1_epi8(tap));
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
      if (blocks > 1) {
        block(0, edges[0], Number<1>{});
        for (index b = 1; b < inner_end; ++b) block(b, nullptr, Number<1>{});
        for (index b = inner_end; b + 1 < blocks; ++b) block(b, edges[1 + b - inner_end], Number<1>{});
      }
      block(blocks - 1, edges[blocks > 1 ? blocks - inner_end : 0], Number<0>{});
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

// False where gradients are better scattered.
template <class T>
bool max_backward_gathered(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps,
                           RowWriter<T>& out) {
  const PoolAxis &h = g.h, &w = g.w;
  if (!flat(g)) return false;
  if (max_backward_flat(g, planes, dy, taps, out)) return true;
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
      // Narrow planes go in pairs.
      const index paired = w.size <= kLanes<T> && w.output <= kLanes<T> / 2 ? planes / 2 * 2 : 0;
      const index done = paired * h.output * w.output;
      if (!max_backward_rows<3, kFirst, 3, 2, true>(g, paired, dy, taps, out)) return false;
      return max_backward_rows<3, kFirst, 3, 2, false>(g, planes - paired, dy + done, taps + done, out);
    });
  }
  const auto rows = [&](auto width) __attribute__((always_inline)) {
    constexpr int kTaps = decltype(width)::value;
    return by_parity([&](auto first) __attribute__((always_inline)) {
      return max_backward_rows<kTaps, decltype(first)::value, 0, 0, false>(g, planes, dy, taps, out);
    });
  };
  if (w.kernel == 2) return rows(Number<2>{});
  if (w.kernel == 3) return rows(Number<3>{});
  return false;
}
#endif

template <class T>
void max_taps_backward(const PoolGeometry& g, index planes, const T* dy, const TapNumber* taps, bool past,
                       T* dx) {
  const index in = g.d.size * g.h.size * g.w.size, outputs = g.d.output * g.h.output * g.w.output;
  RowWriter<T> out(dx, past);
#if defined(TENFOLD_ISA_avx512)
  if (max_backward_gathered(g, planes, dy, taps, out)) return out.finish();
#endif
  if (tiled_by_pairs(g)) {
    for (index p = 0; p < planes; ++p) {
      if (g.h.kernel == 2) {
        max_backward_pairs<2>(g, dy + p * outputs, taps + p * outputs, out);
      } else {
        max_backward_pairs<0>(g, dy + p * outputs, taps + p * outputs, out);
      }
    }
    return out.finish();
  }
  for (index p = 0; p < planes; ++p) scatter_by_taps(g, dy + p * outputs, taps + p * outputs, dx + p * in);
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
