#include "kernels/lanes.h"

#include "kernels/lanes_common.h"
#include "kernels/math.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Register tiles, rows of weights x vectors: 24 accumulators of 32 registers, 12 of 16; the rest holds
// operands.
constexpr int kConvFilters = kManyRegisters ? 6 : 3;  // x 4 pixels
constexpr int kPixelFilters = 8;                      // x 1 pixel: enough to hide the latency of an FMA

// ---- convolution
// -----------------------------------------------------------------------------------------------------

// Register tiles of Filters x Pixels x Vectors of a block, the whole sum over the taps in registers, for pixels first ..
// end - 1. Several vectors share a weight's broadcasts, and use the line that they are read from, which many taps bring
// from the second-level cache. Pooling takes one vector of four pixels.
template <class T, int Filters, int Pixels, int Vectors, bool Pool>
TENFOLD_INLINE void conv_tiles(const LaneConv<T>& call, index f0, index first, index end) {
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
TENFOLD_INLINE void conv_filters(const LaneConv<T>& a, index f, index first, index end) {
  if constexpr (3 * Filters <= kSumsTogether<T>) {  // three would leave no register for the second pixel
    const index pairs = first + (end - first) / 2 * 2;
    conv_tiles<T, Filters, 2, kTogether<T>, false>(a, f, first, pairs);
    first = pairs;
  }
  conv_tiles<T, Filters, 1, kTogether<T>, false>(a, f, first, end);
}

template <class T, bool Pool>
TENFOLD_INLINE void conv_by_fours(const LaneConv<T>& a, index pixels) {
  for (index first = 0; first < pixels; first += kConvPixels) {
    const index end = pixels - first < kConvPixels ? pixels : first + kConvPixels;
    in_pieces<kConvFilters>(a.filters, [&](index f, auto filters) {
      conv_tiles<T, filters.value, 4, 1, Pool>(a, f, first, end);
    });
  }
}

template <class T>
void conv(const LaneConv<T>& a) {
  const index fours = a.pixels / 4 * 4;
  if (a.pool) {
    conv_by_fours<T, true>(a, fours);
  } else if constexpr (kManyRegisters) {
    conv_by_fours<T, false>(a, fours);
    if (fours == a.pixels) return;
    in_pieces<kPixelFilters>(a.filters, [&](index f, auto filters) {
      conv_tiles<T, filters.value, 1, 1, false>(a, f, fours, a.pixels);
    });
  } else {
    for (index first = 0; first < a.pixels; first += kConvPixels) {
      const index end = a.pixels - first < kConvPixels ? a.pixels : first + kConvPixels;
      in_pieces<kSumsTogether<T>>(
          a.filters, [&](index f, auto filters) { conv_filters<T, filters.value>(a, f, first, end); });
    }
  }
}

// acc[Filters][Taps] stays in registers over the whole strip.
template <class T, int Filters, int Taps>
TENFOLD_INLINE void conv_weight_tile(const LaneConvWeight<T>& a, index f0, index k0) {
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
TENFOLD_INLINE void conv_weight_rows(const LaneConvWeight<T>& a, index f) {
  // Filters * kTaps accumulators, kTaps inputs and one dy.
  constexpr int kFit = (TENFOLD_VECTOR_REGISTERS - 1) / (Filters + 1);
  constexpr int kTaps = kFit > 7 ? 7 : kFit;  // and a pointer for each
  index k = 0;
  for (; k + kTaps <= a.taps; k += kTaps) conv_weight_tile<T, Filters, kTaps>(a, f, k);
  if constexpr (kTaps / 2 > 1) {
    if (k + kTaps / 2 <= a.taps) {
      conv_weight_tile<T, Filters, kTaps / 2>(a, f, k);
      k += kTaps / 2;
    }
  }
  for (; k < a.taps; ++k) conv_weight_tile<T, Filters, 1>(a, f, k);
}

template <class T>
void conv_weight(const LaneConvWeight<T>& a) {
  if (kManyRegisters && a.filters % 6 == 0) {
    for (index f = 0; f < a.filters; f += 6) conv_weight_rows<T, 6>(a, f);
  } else {
    in_pieces<4>(a.filters, [&](index f, auto filters) { conv_weight_rows<T, filters.value>(a, f); });
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
TENFOLD_INLINE void conv_input_tile(const LaneConvInput<T>& a, index c0, index h, const TapRows& rows,
                                    index j0, index kw0) {
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
TENFOLD_INLINE void conv_input_row(const LaneConvInput<T>& a, index c0, index h, const TapRows& rows,
                                   index kw0) {
  index j = 0;
  if (a.stride_w == 1 && a.dilation_w == 1) {
    constexpr int kColumns = 9 - Taps;  // 8 accumulators a channel
    for (; j + kColumns <= a.out_w; j += kColumns) {
      conv_input_tile<T, Channels, kColumns, Taps>(a, c0, h, rows, j, kw0);
    }
    if (j + kColumns / 2 <= a.out_w) {
      conv_input_tile<T, Channels, kColumns / 2, Taps>(a, c0, h, rows, j, kw0);
      j += kColumns / 2;
    }
  }
  for (; j < a.out_w; ++j) conv_input_tile<T, Channels, 1, Taps>(a, c0, h, rows, j, kw0);
}

template <class T>
void conv_input(const LaneConvInput<T>& a) {
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
                      [&](auto count) { conv_input_row<T, channels.value, count.value>(a, c, h, rows, kw); });
        kw += taps;
      }
    }
  });
}

// ---- pooling and ReLU
// ------------------------------------------------------------------------------------------------

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

struct Span {
  index begin, end;
};
// The taps of the window that starts at `start` which lie inside 0 .. size.
TENFOLD_INLINE Span inside(index start, index kernel, index size) {
  return {start < 0 ? -start : 0, start + kernel > size ? size - start : kernel};
}

template <class T>
void max_pool(const LanePool<T>& a) {
  for (index oh = 0; oh < a.out_h; ++oh) {
    const index top = oh * a.stride_h - a.pad_h;
    const Span kh_span = inside(top, a.kernel_h, a.height);
    for (index ow = 0; ow < a.out_w; ++ow) {
      const index left = ow * a.stride_w - a.pad_w;
      const Span kw_span = inside(left, a.kernel_w, a.width);
      for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
        Vec<T> best = load(a.x + (top + kh_span.begin) * a.x_row + (left + kw_span.begin) * kBlock + lane);
        Mask<T> code = Mask<T>{} + static_cast<signed char>(kh_span.begin * a.kernel_w + kw_span.begin);
        for (index kh = kh_span.begin; kh < kh_span.end; ++kh) {
          for (index kw = kw_span.begin; kw < kw_span.end; ++kw) {
            const Vec<T> v = load(a.x + (top + kh) * a.x_row + (left + kw) * kBlock + lane);
            const Mask<T> better = (v > best) | ((v != v) & (best == best));
            best = select<T>(better, v, best);
            code = better ? Mask<T>{} + static_cast<signed char>(kh * a.kernel_w + kw) : code;
          }
        }
        store(a.y + oh * a.y_row + ow * kBlock + lane, best);
        store_codes<T>(a.codes + (oh * a.out_w + ow) * kBlock + lane, code);
      }
    }
  }
}

template <class T>
void max_pool_backward(const LanePool<T>& a) {
  for (index h = 0; h < a.height; ++h) {
    for (index n = 0; n < a.width * kBlock; n += kLanes<T>) store(a.dx + h * a.x_row + n, Vec<T>{});
  }
  for (index oh = 0; oh < a.out_h; ++oh) {
    const index top = oh * a.stride_h - a.pad_h;
    const Span kh_span = inside(top, a.kernel_h, a.height);
    for (index ow = 0; ow < a.out_w; ++ow) {
      const index left = ow * a.stride_w - a.pad_w;
      const Span kw_span = inside(left, a.kernel_w, a.width);
      for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
        const Vec<T> d = load(a.dy + oh * a.y_row + ow * kBlock + lane);
        const Mask<T> code = load_codes<T>(a.codes + (oh * a.out_w + ow) * kBlock + lane);
        for (index kh = kh_span.begin; kh < kh_span.end; ++kh) {
          for (index kw = kw_span.begin; kw < kw_span.end; ++kw) {
            T* dx = a.dx + (top + kh) * a.x_row + (left + kw) * kBlock + lane;
            const Mask<T> here = code == Mask<T>{} + static_cast<signed char>(kh * a.kernel_w + kw);
            store(dx, load(dx) + select<T>(here, d, Vec<T>{}));
          }
        }
      }
    }
  }
}

template <class T>
void relu(index n, const T* x, T* y) {
  for (index i = 0; i < n; i += kLanes<T>) store(y + i, signed_relu<T>(load(x + i)));
}

template <class T>
void relu_backward(index n, const T* y, T at_zero, T* d) {
  const Vec<T> zero = {};
  for (index i = 0; i < n; i += kLanes<T>) {
    const Vec<T> v = load(y + i), g = load(d + i);
    const Mask<T> negative = (Mask<T>)v < Mask<T>{};  // the sign bit
    const Vec<T> at_zeros = select<T>(negative, zero, g * splat(at_zero));
    store(d + i, select<T>(v > zero, g, select<T>(v == zero, at_zeros, v)));
  }
}

// Lane k <-- the sum of v[k]'s lanes.
template <class T>
TENFOLD_INLINE Vec<T> add_up_lanes(Vec<T> (&v)[kLanes<T>]) {
  transpose_lanes<T>(v);
  TENFOLD_UNROLL
  for (index step = kLanes<T> / 2; step > 0; step /= 2) {
    TENFOLD_UNROLL
    for (index k = 0; k < step; ++k) v[k] += v[k + step];
  }
  return v[0];
}

// ---- dense layers
// ----------------------------------------------------------------------------------------------------

template <class T, int Rows>
TENFOLD_INLINE void dense_tile(index inputs, const T* x, const T* w, const T* bias, bool relu_after, T* y) {
  constexpr int V = kTogether<T>;
  for (index lane = 0; lane < kBlock; lane += V * kLanes<T>) {
    Vec<T> acc[Rows][V];
    const T* row[Rows];
    TENFOLD_UNROLL
    for (int o = 0; o < Rows; ++o) {
      row[o] = w + o * inputs;
      const Vec<T> start = bias ? splat(bias[o]) : Vec<T>{};
      TENFOLD_UNROLL
      for (int v = 0; v < V; ++v) acc[o][v] = start;
    }
    TENFOLD_UNROLL_SUM
    for (index i = 0; i < inputs; ++i) {
      Vec<T> in[V];
      load_together<T>(x + i * kBlock + lane, in);
      TENFOLD_UNROLL
      for (int o = 0; o < Rows; ++o) add_together<T>(row[o][i], in, acc[o]);
    }
    TENFOLD_UNROLL
    for (int o = 0; o < Rows; ++o) {
      TENFOLD_UNROLL
      for (int v = 0; v < V; ++v)
        store(y + o * kBlock + lane + v * kLanes<T>, relu_after ? signed_relu<T>(acc[o][v]) : acc[o][v]);
    }
  }
}

template <class T>
void dense(index outputs, index inputs, const T* x, const T* w, const T* bias, bool relu_after, T* y) {
  in_pieces<kDenseRows<T>>(outputs, [&](index o, auto rows) {
    dense_tile<T, rows.value>(inputs, x, w + o * inputs, bias ? bias + o : nullptr, relu_after,
                              y + o * kBlock);
  });
}

template <class T, int Inputs>
TENFOLD_INLINE void dense_input_tile(index outputs, index inputs, const T* dy, const T* w, T* dx) {
  constexpr int V = kTogether<T>;
  for (index lane = 0; lane < kBlock; lane += V * kLanes<T>) {
    Vec<T> acc[Inputs][V] = {};
    const T* row = w;
    TENFOLD_UNROLL_SUM
    for (index o = 0; o < outputs; ++o, row += inputs) {
      Vec<T> d[V];
      load_together<T>(dy + o * kBlock + lane, d);
      TENFOLD_UNROLL
      for (int i = 0; i < Inputs; ++i) add_together<T>(row[i], d, acc[i]);
    }
    TENFOLD_UNROLL
    for (int i = 0; i < Inputs; ++i) {
      TENFOLD_UNROLL
      for (int v = 0; v < V; ++v) store(dx + i * kBlock + lane + v * kLanes<T>, acc[i][v]);
    }
  }
}

template <class T>
void dense_input(index outputs, index inputs, const T* dy, const T* w, T* dx) {
  index i = 0;
  const auto tiles_of = [&](auto n) {
    for (; i + n.value <= inputs; i += n.value)
      dense_input_tile<T, n.value>(outputs, inputs, dy, w + i, dx + i * kBlock);
  };
  tiles_of(Constant<kSumsTogether<T>>{});
  if constexpr (kSumsTogether<T> > 8) tiles_of(Constant<8>{});
  tiles_of(Constant<4>{});
  tiles_of(Constant<1>{});
}

// dw[Rows][Columns vectors] = scale * sum_n dy[.][n] * rows[n][.]
template <class T, int Rows, int Columns>
TENFOLD_INLINE void dense_weight_tile(index samples, const T* dy, index dy_block, const T* rows, index pitch,
                                      T scale, T* dw, index inputs, index count) {
  Vec<T> acc[Rows][Columns] = {};
  for (index n0 = 0; n0 < samples; n0 += kBlock, dy += dy_block) {
    const index end = samples - n0 < kBlock ? samples - n0 : kBlock;
    TENFOLD_UNROLL_SUM
    for (index n = 0; n < end; ++n, rows += pitch) {
      add_products<T>([&](int o) { return dy[o * kBlock + n]; }, [&](int i) { return rows + i * kLanes<T>; },
                      acc);
    }
  }
  const Vec<T> factor = splat(scale);
  TENFOLD_UNROLL
  for (int o = 0; o < Rows; ++o) {
    TENFOLD_UNROLL
    for (int i = 0; i < Columns; ++i) {
      const index left = count - i * kLanes<T>;
      T* p = dw + o * inputs + i * kLanes<T>;
      if (left >= kLanes<T>) {
        store(p, acc[o][i] * factor);
      } else {
        store_first(p, acc[o][i] * factor, left);
      }
    }
  }
}

// db[o] = scale * sum_n dy[o][n]
template <class T>
void dense_bias(index outputs, index samples, const T* dy, index dy_block, T scale, T* db) {
  constexpr index L = kLanes<T>;
  const index blocks = samples / kBlock, rest = samples % kBlock;
  const auto by_lane = [=](index o) {
    const T* from = dy + o * kBlock;
    Vec<T> sum = {};
    for (index block = 0; block < blocks; ++block, from += dy_block) {
      TENFOLD_UNROLL
      for (index lane = 0; lane < kBlock; lane += L) sum += load(from + lane);
    }
    for (index lane = 0; lane < rest; lane += L)
      sum += load_first(from + lane, rest - lane < L ? rest - lane : L);
    return sum;
  };
  for (index o = 0; o < outputs; o += L) {
    const index count = outputs - o < L ? outputs - o : L;
    Vec<T> square[L];
    TENFOLD_UNROLL
    for (index k = 0; k < L; ++k) square[k] = k < count ? by_lane(o + k) : Vec<T>{};
    store_first(db + o, add_up_lanes<T>(square) * splat(scale), count);
  }
}

template <class T>
void dense_weight(index outputs, index inputs, index samples, const T* dy, index dy_block, const T* rows,
                  index pitch, T scale, T* dw, T* db) {
  constexpr int kRows = kManyRegisters ? 6 : 3;
  const index vectors = (inputs + kLanes<T> - 1) / kLanes<T>;
  if (dw != nullptr)
    in_pieces<4>(vectors, [&](index v, auto columns) {  // of samples that stay near for all outputs
      in_pieces<kRows>(outputs, [&](index o, auto row_count) {
        const index i = v * kLanes<T>;
        dense_weight_tile<T, row_count.value, columns.value>(samples, dy + o * kBlock, dy_block, rows + i,
                                                             pitch, scale, dw + o * inputs + i, inputs,
                                                             inputs - i);
      });
    });
  if (db != nullptr) dense_bias<T>(outputs, samples, dy, dy_block, scale, db);
}

// ---- loss
// ------------------------------------------------------------------------------------------------------------

template <class T>
void cross_entropy(index classes, const T* logits, const int64_t* labels, T scale, T* losses, T* d) {
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    Mask<T> label;
    for (index i = 0; i < kLanes<T>; ++i) {
      const int64_t wanted = labels[lane + i];
      label[i] = wanted >= 0 && wanted < classes ? static_cast<int>(wanted) : -1;
    }
    Vec<T> best = load(logits + lane), picked = {};
    for (index c = 0; c < classes; ++c) {
      const Vec<T> z = load(logits + c * kBlock + lane);
      best = select<T>(z > best, z, best);
      picked = select<T>(label == Mask<T>{} + static_cast<int>(c), z, picked);
    }
    Vec<T> sum = {};
    for (index c = 0; c < classes; ++c) {
      const Vec<T> e = exp<T>(load(logits + c * kBlock + lane) - best);
      sum += e;
      if (d != nullptr) store(d + c * kBlock + lane, e);
    }
    const Mask<T> counted = label >= Mask<T>{};
    store(losses + lane, select<T>(counted, log<T>(sum) + (best - picked), Vec<T>{}));
    if (d == nullptr) continue;
    const Vec<T> factor = select<T>(counted, splat(scale), Vec<T>{}), inverse = splat(T{1}) / sum;
    for (index c = 0; c < classes; ++c) {
      T* p = d + c * kBlock + lane;
      const Vec<T> hot = select<T>(label == Mask<T>{} + static_cast<int>(c), splat(T{1}), Vec<T>{});
      store(p, select<T>(counted, (load(p) * inverse - hot) * factor, Vec<T>{}));
    }
  }
}

// ---- layout
// ----------------------------------------------------------------------------------------------------------

template <class T>
void sum_lanes(index count, const T* acc, T* sums, bool past) {
  static_cast<void>(past);
  index i = 0;
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    for (; i + 16 <= count; i += 16) {
      __m512 r[16];
      TENFOLD_UNROLL
      for (int k = 0; k < 16; ++k) r[k] = _mm512_loadu_ps(acc + (i + k) * kBlock);
      transpose(r);
      TENFOLD_UNROLL
      for (int step = 8; step > 0; step /= 2) {
        for (int k = 0; k < step; ++k) r[k] = _mm512_add_ps(r[k], r[k + step]);
      }
      if (past) {
        _mm512_stream_ps(sums + i, r[0]);
      } else {
        _mm512_storeu_ps(sums + i, r[0]);
      }
    }
  }
#endif
  constexpr index L = kLanes<T>;
  for (const index whole = count - count % L; i < whole; i += L) {
    Vec<T> square[L];
    TENFOLD_UNROLL
    for (index k = 0; k < L; ++k) {
      Vec<T> part[kBlock / L];
      TENFOLD_UNROLL
      for (index v = 0; v < kBlock / L; ++v) part[v] = load(acc + (i + k) * kBlock + v * L);
      TENFOLD_UNROLL
      for (index step = kBlock / L / 2; step > 0; step /= 2) {
        for (index v = 0; v < step; ++v) part[v] += part[v + step];
      }
      square[k] = part[0];
    }
    store(sums + i, add_up_lanes<T>(square));
  }
  for (; i < count; ++i) {
    T part[8];
    for (int k = 0; k < 8; ++k) part[k] = acc[i * kBlock + k] + acc[i * kBlock + k + 8];
    for (int k = 0; k < 4; ++k) part[k] += part[k + 4];
    sums[i] = (part[0] + part[2]) + (part[1] + part[3]);
  }
}

template <class T>
void sum_plane(index rows, index cols, index row, const T* x, T* acc) {
  for (index lane = 0; lane < kBlock; lane += kLanes<T>) {
    Vec<T> sum = load(acc + lane);
    for (index r = 0; r < rows; ++r) {
      const T* p = x + r * row + lane;
      Vec<T> even = {}, odd = {};
      index j = 0;
      for (; j + 2 <= cols; j += 2) {
        even += load(p + j * kBlock);
        odd += load(p + (j + 1) * kBlock);
      }
      if (j < cols) even += load(p + j * kBlock);
      sum += even + odd;
    }
    store(acc + lane, sum);
  }
}

template <class T>
constexpr LaneKernels<T> make_table() {
  return {conv<T>,     conv_weight<T>,   conv_input<T>, unpool<T>,      max_pool<T>,     max_pool_backward<T>,
          relu<T>,     relu_backward<T>, dense<T>,      dense_input<T>, dense_weight<T>, cross_entropy<T>,
          to_lanes<T>, gather_lanes<T>,  from_lanes<T>, sum_lanes<T>,   sum_plane<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneKernels, make_table)
