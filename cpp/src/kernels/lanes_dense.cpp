#include "kernels/lanes_dense.h"

#include "kernels/lanes_common.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T, int Rows>
TENFOLD_INLINE void forward_tile(index inputs, const T* x, const T* w, const T* bias, bool relu_after, T* y) {
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
void forward(index outputs, index inputs, const T* x, const T* w, const T* bias, bool relu_after, T* y) {
  in_pieces<kDenseRows<T>>(outputs, [&](index o, auto rows) {
    forward_tile<T, rows.value>(inputs, x, w + o * inputs, bias ? bias + o : nullptr, relu_after,
                                y + o * kBlock);
  });
}

template <class T, int Inputs>
TENFOLD_INLINE void input_tile(index outputs, index inputs, const T* dy, const T* w, T* dx) {
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
void input(index outputs, index inputs, const T* dy, const T* w, T* dx) {
  index i = 0;
  const auto tiles_of = [&](auto n) {
    for (; i + n.value <= inputs; i += n.value)
      input_tile<T, n.value>(outputs, inputs, dy, w + i, dx + i * kBlock);
  };
  tiles_of(Constant<kSumsTogether<T>>{});
  if constexpr (kSumsTogether<T> > 8) tiles_of(Constant<8>{});
  tiles_of(Constant<4>{});
  tiles_of(Constant<1>{});
}

// dw[Rows][Columns vectors] = scale * sum_n dy[.][n] * rows[n][.]
template <class T, int Rows, int Columns>
TENFOLD_INLINE void weight_tile(index samples, const T* dy, index dy_block, const T* rows, index pitch,
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
void bias_sums(index outputs, index samples, const T* dy, index dy_block, T scale, T* db) {
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
void weight(index outputs, index inputs, index samples, const T* dy, index dy_block, const T* rows,
            index pitch, T scale, T* dw, T* db) {
  constexpr int kRows = kManyRegisters ? 6 : 3;
  const index vectors = (inputs + kLanes<T> - 1) / kLanes<T>;
  if (dw != nullptr)
    in_pieces<4>(vectors, [&](index v, auto columns) {  // of samples that stay near for all outputs
      in_pieces<kRows>(outputs, [&](index o, auto row_count) {
        const index i = v * kLanes<T>;
        weight_tile<T, row_count.value, columns.value>(samples, dy + o * kBlock, dy_block, rows + i, pitch,
                                                       scale, dw + o * inputs + i, inputs, inputs - i);
      });
    });
  if (db != nullptr) bias_sums<T>(outputs, samples, dy, dy_block, scale, db);
}

template <class T>
constexpr LaneDenseKernels<T> make_table() {
  return {forward<T>, input<T>, weight<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneDenseKernels, make_table)
