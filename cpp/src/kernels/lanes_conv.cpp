#include "kernels/lanes_conv.h"

#include "kernels/lanes_common.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Register tiles, rows of weights x vectors: 24 accumulators of 32 registers, 12 of 16; the rest holds
// operands.
constexpr int kConvFilters = kManyRegisters ? 6 : 3;  // x 4 pixels
constexpr int kPixelFilters = 8;                      // x 1 pixel: enough to hide the latency of an FMA

// Register tiles of Filters x Pixels x Vectors of a block, the whole sum over the taps in registers, for pixels first ..
// end - 1. Several vectors share a weight's broadcasts, and use the line that they are read from, which many taps bring
// from the second-level cache. Pooling takes one vector of four pixels.
template <class T, int Filters, int Pixels, int Vectors, bool Pool>
TENFOLD_INLINE void forward_tiles(const LaneConv<T>& call, index f0, index first, index end) {
  constexpr int kColumns = Pixels * Vectors;  // vector v of pixel p is column p * Vectors + v
  const LaneConv<T> a = call;                 // a copy: no store can change it
  const T* row[Filters];
  TENFOLD_UNROLL
  for (int f = 0; f < Filters; ++f) row[f] = a.w + (f0 + f) * a.taps;
  for (index p0 = first; p0 < end; p0 += Pixels) {
    for (index lane = 0; lane < kBlock; lane += Vectors * kLanes<T>) {
      const T* x[Pixels];
      Vec<T> acc[Filters][kColumns];
      TENFOLD_UNROLL
      for (int p = 0; p < Pixels; ++p) x[p] = a.x + a.pixel[p0 + p] + lane;
      TENFOLD_UNROLL
      for (int f = 0; f < Filters; ++f) {
        const Vec<T> start = a.bias ? splat(a.bias[f0 + f]) : Vec<T>{};
        TENFOLD_UNROLL
        for (int c = 0; c < kColumns; ++c) acc[f][c] = start;
      }
      TENFOLD_UNROLL_SUM
      for (index k = 0; k < a.taps; ++k) {
        const index offset = a.tap[k];
        add_products<T>([&](int f) { return row[f][k]; },
                        [&](int c) { return x[c / Vectors] + offset + c % Vectors * kLanes<T>; }, acc);
      }
      T* y = a.y + f0 * a.y_plane + lane;
      if constexpr (Pool) {
        y += a.place[p0 / 4];
        uint8_t* codes = a.codes + f0 * a.code_plane + p0 / 4 * kBlock + lane;
        TENFOLD_UNROLL
        for (int f = 0; f < Filters; ++f, y += a.y_plane, codes += a.code_plane) {
          const Pooled<T> pooled = pool_four<T>(acc[f], a.relu, a.pass_zero);
          store(y, pooled.best);
          store_codes<T>(codes, pooled.code);
        }
      } else {
        TENFOLD_UNROLL
        for (int f = 0; f < Filters; ++f, y += a.y_plane) {
          TENFOLD_UNROLL
          for (int c = 0; c < kColumns; ++c) {
            store(y + a.place[p0 + c / Vectors] + c % Vectors * kLanes<T>,
                  a.relu ? signed_relu<T>(acc[f][c]) : acc[f][c]);
          }
        }
      }
    }
  }
}

// The input that so many pixels look at stays near for all filters.
constexpr index kConvPixels = 32;

// With few registers, without pooling.
template <class T, int Filters>
TENFOLD_INLINE void forward_filters(const LaneConv<T>& a, index f, index first, index end) {
  if constexpr (3 * Filters <= kSumsTogether<T>) {  // three would leave no register for the second pixel
    const index pairs = first + (end - first) / 2 * 2;
    forward_tiles<T, Filters, 2, kTogether<T>, false>(a, f, first, pairs);
    first = pairs;
  }
  forward_tiles<T, Filters, 1, kTogether<T>, false>(a, f, first, end);
}

template <class T, bool Pool>
TENFOLD_INLINE void forward_by_fours(const LaneConv<T>& a, index pixels) {
  for (index first = 0; first < pixels; first += kConvPixels) {
    const index end = pixels - first < kConvPixels ? pixels : first + kConvPixels;
    in_pieces<kConvFilters>(a.filters, [&](index f, auto filters) {
      forward_tiles<T, filters.value, 4, 1, Pool>(a, f, first, end);
    });
  }
}

template <class T>
void forward(const LaneConv<T>& a) {
  const index fours = a.pixels / 4 * 4;
  if (a.pool) {
    forward_by_fours<T, true>(a, fours);
  } else if constexpr (kManyRegisters) {
    forward_by_fours<T, false>(a, fours);
    if (fours == a.pixels) return;
    in_pieces<kPixelFilters>(a.filters, [&](index f, auto filters) {
      forward_tiles<T, filters.value, 1, 1, false>(a, f, fours, a.pixels);
    });
  } else {
    for (index first = 0; first < a.pixels; first += kConvPixels) {
      const index end = a.pixels - first < kConvPixels ? a.pixels : first + kConvPixels;
      in_pieces<kSumsTogether<T>>(
          a.filters, [&](index f, auto filters) { forward_filters<T, filters.value>(a, f, first, end); });
    }
  }
}

// acc[Filters][Taps] stays in registers over the whole strip.
template <class T, int Filters, int Taps>
TENFOLD_INLINE void weight_tile(const LaneConvWeight<T>& a, index f0, index k0) {
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    T* const sums = a.acc + (f0 * a.taps + k0) * kBlock + lane;
    Vec<T> acc[Filters][Taps];
    index tap[Taps];
    TENFOLD_UNROLL
    for (int k = 0; k < Taps; ++k) tap[k] = a.tap[k0 + k];
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) {
      TENFOLD_UNROLL
      for (int k = 0; k < Taps; ++k) acc[f][k] = load(sums + (f * a.taps + k) * kBlock);
    }
    for (index r = 0; r < a.rows; ++r) {
      const T* x[Taps];
      TENFOLD_UNROLL
      for (int k = 0; k < Taps; ++k) x[k] = a.x + r * a.x_row + tap[k] + lane;
      const T* dy = a.dy + f0 * a.dy_plane + r * a.dy_row + lane;
      for (index j = 0; j < a.cols; ++j) {
        Vec<T> in[Taps];
        TENFOLD_UNROLL
        for (int k = 0; k < Taps; ++k) {
          Vec<T> v = load(x[k]);
          if constexpr (Filters > 1) pin<T>(v);
          in[k] = v;
          x[k] += a.x_col;
        }
        TENFOLD_UNROLL
        for (int f = 0; f < Filters; ++f) {
          const Vec<T> d = load(dy + f * a.dy_plane);
          TENFOLD_UNROLL
          for (int k = 0; k < Taps; ++k) acc[f][k] = fma<T>(d, in[k], acc[f][k]);
        }
        dy += kBlock;
      }
    }
    TENFOLD_UNROLL
    for (int f = 0; f < Filters; ++f) {
      TENFOLD_UNROLL
      for (int k = 0; k < Taps; ++k) store(sums + (f * a.taps + k) * kBlock, acc[f][k]);
    }
  }
}

template <class T, int Filters>
TENFOLD_INLINE void weight_rows(const LaneConvWeight<T>& a, index f) {
  // Filters * kTaps accumulators, kTaps inputs and one dy.
  constexpr int kFit = (TENFOLD_VECTOR_REGISTERS - 1) / (Filters + 1);
  constexpr int kTaps = kFit > 7 ? 7 : kFit;  // and a pointer for each
  index k = 0;
  for (; k + kTaps <= a.taps; k += kTaps) weight_tile<T, Filters, kTaps>(a, f, k);
  if constexpr (kTaps / 2 > 1) {
    if (k + kTaps / 2 <= a.taps) {
      weight_tile<T, Filters, kTaps / 2>(a, f, k);
      k += kTaps / 2;
    }
  }
  for (; k < a.taps; ++k) weight_tile<T, Filters, 1>(a, f, k);
}

template <class T>
void weight(const LaneConvWeight<T>& a) {
  if (kManyRegisters && a.filters % 6 == 0) {
    for (index f = 0; f < a.filters; f += 6) weight_rows<T, 6>(a, f);
  } else {
    in_pieces<4>(a.filters, [&](index f, auto filters) { weight_rows<T, filters.value>(a, f); });
  }
}

// The taps kh, kh + kh_step, ... that reach a row of dx, and where the row of dy that the first one sees
// lies; the next ones see rows dy_step elements before each other.
struct TapRows {
  index count, kh, kh_step, dy, dy_step;
};

// Columns j0 .. j0 + Columns - 1 of dy, taps kw0 .. kw0 + Taps - 1, into Channels rows of dx; column stride 1
// unless Columns is 1.
template <class T, int Channels, int Columns, int Taps>
TENFOLD_INLINE void input_tile(const LaneConvInput<T>& a, index c0, index h, const TapRows& rows, index j0,
                               index kw0) {
  constexpr int kWidth = Columns + Taps - 1;
  const index taps = a.kernel_h * a.kernel_w;
  // Neighbouring accumulators are neighbouring columns, or the dilated taps of a single column.
  const index step = (Columns == 1 ? a.dilation_w : 1) * kBlock;
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    T* const dx =
        a.dx + c0 * a.dx_plane + h * a.dx_row + (j0 * a.stride_w + kw0 * a.dilation_w) * kBlock + lane;
    Vec<T> acc[Channels][kWidth];
    TENFOLD_UNROLL
    for (int c = 0; c < Channels; ++c) {
      TENFOLD_UNROLL
      for (int i = 0; i < kWidth; ++i) acc[c][i] = load(dx + c * a.dx_plane + i * step);
    }
    for (index f = 0; f < a.filters; ++f) {
      const T* w = a.w + (f * a.channels + c0) * taps + rows.kh * a.kernel_w + kw0;
      const T* dy = a.dy + f * a.dy_plane + rows.dy + j0 * kBlock + lane;
      for (index n = 0; n < rows.count; ++n, w += rows.kh_step * a.kernel_w, dy -= rows.dy_step) {
        Vec<T> in[Columns];
        TENFOLD_UNROLL
        for (int j = 0; j < Columns; ++j) in[j] = load(dy + j * kBlock);
        TENFOLD_UNROLL
        for (int k = 0; k < Taps; ++k) {
          TENFOLD_UNROLL
          for (int c = 0; c < Channels; ++c) {
            const Vec<T> weight = splat(w[c * taps + k]);
            TENFOLD_UNROLL
            for (int j = 0; j < Columns; ++j) acc[c][j + k] = fma<T>(weight, in[j], acc[c][j + k]);
          }
        }
      }
    }
    TENFOLD_UNROLL
    for (int c = 0; c < Channels; ++c) {
      TENFOLD_UNROLL
      for (int i = 0; i < kWidth; ++i) store(dx + c * a.dx_plane + i * step, acc[c][i]);
    }
  }
}

template <class T, int Channels, int Taps>
TENFOLD_INLINE void input_row(const LaneConvInput<T>& a, index c0, index h, const TapRows& rows, index kw0) {
  index j = 0;
  if (a.stride_w == 1 && a.dilation_w == 1) {
    constexpr int kColumns = 9 - Taps;  // 8 accumulators a channel
    for (; j + kColumns <= a.out_w; j += kColumns) {
      input_tile<T, Channels, kColumns, Taps>(a, c0, h, rows, j, kw0);
    }
    if (j + kColumns / 2 <= a.out_w) {
      input_tile<T, Channels, kColumns / 2, Taps>(a, c0, h, rows, j, kw0);
      j += kColumns / 2;
    }
  }
  for (; j < a.out_w; ++j) input_tile<T, Channels, 1, Taps>(a, c0, h, rows, j, kw0);
}

template <class T>
void input(const LaneConvInput<T>& a) {
  constexpr int kChannels = kManyRegisters ? 3 : 1;
  in_pieces<kChannels>(a.channels, [&](index c, auto channels) {
    for (index h = a.first_row; h < a.last_row; ++h) {
      for (index i = 0; i < channels.value; ++i) {
        T* dx = a.dx + (c + i) * a.dx_plane + h * a.dx_row;
        for (index n = 0; n < a.width * kBlock; n += kLanes<T>) store(dx + n, Vec<T>{});
      }
      TapRows rows = {0, 0, 1, 0, 0};
      for (index kh = 0; kh < a.kernel_h; ++kh) {
        const index top = h - kh * a.dilation_h;  // = oh * stride of the row that this tap sees
        if (top < 0 || top % a.stride_h != 0 || top / a.stride_h >= a.out_h) continue;
        const index dy = top / a.stride_h * a.dy_row;
        if (rows.count == 0) {
          rows.kh = kh;
          rows.dy = dy;
        } else if (rows.count == 1) {
          rows.kh_step = kh - rows.kh;
          rows.dy_step = rows.dy - dy;
        }
        ++rows.count;
      }
      if (rows.count == 0) continue;
      for (index kw = 0; kw < a.kernel_w;) {
        const index taps = a.kernel_w - kw < 5 ? a.kernel_w - kw : 5;
        with_count<5>(taps,
                      [&](auto count) { input_row<T, channels.value, count.value>(a, c, h, rows, kw); });
        kw += taps;
      }
    }
  });
}

template <class T>
void unpool(index windows, const T* d, const index* d_place, const unsigned char* codes, const index* place,
            T* dy, T* sum) {
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    Vec<T> total = load(sum + lane);
    for (index p = 0; p < windows; ++p) {
      const Vec<T> value = load(d + d_place[p] + lane);
      const Mask<T> code = load_codes<T>(codes + p * kBlock + lane);
      TENFOLD_UNROLL
      for (int tap = 0; tap < 4; ++tap) {
        store(dy + place[4 * p + tap] + lane, select<T>(code == Mask<T>{} + tap, value, Vec<T>{}));
      }
      total += select<T>(code < Mask<T>{}, Vec<T>{}, value);
    }
    store(sum + lane, total);
  }
}

// Measured with vectors of 16 lanes (but for the rows), and of 8.
constexpr LaneConvCosts kWholeVectors = {6, 0}, kShorterVectors = {36, 60};

template <class T>
constexpr LaneConvKernels<T> make_table() {
  return {
      forward<T>,   weight<T>, input<T>, unpool<T>, kLanes<float> < kBlock ? kShorterVectors : kWholeVectors,
      kWholeVectors};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneConvKernels, make_table)
