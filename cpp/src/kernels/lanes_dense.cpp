#include "kernels/lanes_dense.h"

#include "kernels/lanes_common.h"
#include "kernels/line.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Asks for so many rows `ahead` of its own, which may come from memory: others may have written them.
template <class T, int Rows>
TENFOLD_INLINE void forward_tile(index inputs, index ahead, const T* x, const T* w, const T* bias,
                                 bool relu_after, T* y) {
  constexpr int V = kTogether<T>;
  static_assert(Rows <= kLine<T>, "a line of the next rows with every input is enough for all of them");
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
    const index lines = lane == 0 ? (ahead * inputs + kLine<T> - 1) / kLine<T> : 0;
    for (index i = 0; i < inputs; ++i) {
      if (i < lines) __builtin_prefetch(w + Rows * inputs + i * kLine<T>, 0, 2);
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
    const index left = outputs - o - rows.value;
    forward_tile<T, rows.value>(inputs, left < rows.value ? left : rows.value, x, w + o * inputs,
                                bias ? bias + o : nullptr, relu_after, y + o * kBlock);
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

// dw[Rows][Columns vectors] = scale * sum_n dy[.][n] * rows[n][.]; asks for what lies `ahead` elements behind.
template <class T, int Rows, int Columns>
TENFOLD_INLINE void weight_tile(index samples, const T* dy, index dy_block, const T* rows, index pitch,
                                index ahead, T scale, T* dw, index inputs, index count) {
  Vec<T> acc[Rows][Columns] = {};
  for (index n0 = 0; n0 < samples; n0 += kBlock, dy += dy_block) {
    const index end = samples - n0 < kBlock ? samples - n0 : kBlock;
    TENFOLD_UNROLL_SUM
    for (index n = 0; n < end; ++n, rows += pitch) {
      TENFOLD_UNROLL
      for (int i = 0; i < Columns * kLanes<T>; i += kLine<T>) __builtin_prefetch(rows + ahead + i);
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

// ---- gradients behind a ReLU: elements of dy that are 0 are skipped
// --------------------------------------------------------------------------------------------------------------

template <class T>
constexpr bool kLists = sizeof(T) == sizeof(float);
// Lists cover so many elements: their rows, so many vectors wide, stay in the first-level cache for all lists.
constexpr index kNear = 64;
template <class T>
constexpr int kNearVectors = kManyRegisters ? 8 : 12;
static_assert(kNear % kBlock == 0, "");
// Outputs whose lists of samples are made together, and how many outputs a sample's lists have at most.
constexpr index kListedOutputs = 16, kMostOutputs = 256;
// Lists pay from so many vectors of inputs on, and where at most so many of 8 elements are not 0.
constexpr index kLeastVectors = 4, kMostOf8 = 6;

// What is not 0 of some elements, and where the row begins that each of them is a factor of.
template <class T>
struct Listed {
  index count = 0;
  T value[kNear + kBlock];  // written a block at a time
  int32_t row[kNear + kBlock];

  // Lists what is not 0 of d[0] .. d[n - 1], whose rows begin at `first` and a pitch apart.
  void add(index n, const T* d, index first, index pitch) {
#if defined(TENFOLD_ISA_avx512)
    if constexpr (sizeof(T) == 4) {
      const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
      const __m512i at =
          _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(static_cast<int>(pitch))),
                           _mm512_set1_epi32(static_cast<int>(first)));
      const __m512 v = (__m512)load_first(d, n);
      const __mmask16 open = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
      _mm512_storeu_ps(value + count, _mm512_maskz_compress_ps(open, v));
      _mm512_storeu_ps(reinterpret_cast<float*>(row + count),
                       _mm512_maskz_compress_ps(open, _mm512_castsi512_ps(at)));
      count += __builtin_popcount(open);
      return;
    }
#endif
    for (index i = 0; i < n; ++i) {
      value[count] = d[i];  // written either way: a branch would be guessed wrong too often
      row[count] = static_cast<int32_t>(first + i * pitch);
      count += d[i] != T{0};
    }
  }
};

// sum[0 .. count - 1] = scale * (sum, or 0 for the first list, + the list's sum of value * row)
template <class T, int Vectors>
__attribute__((noinline)) void add_listed(const Listed<T>& list, const T* rows, bool first, T scale,
                                          index count, T* sum) {
  constexpr index L = kLanes<T>;
  const bool whole = count == Vectors * L;
  Vec<T> acc[Vectors] = {};
  if (!first) {
    TENFOLD_UNROLL
    for (int i = 0; i < Vectors; ++i)
      acc[i] = i + 1 < Vectors || whole ? load(sum + i * L) : load_first(sum + i * L, count - i * L);
  }
  for (index e = 0; e < list.count; ++e) {
    const T* const row = rows + list.row[e];
    const Vec<T> g = splat(list.value[e]);
    TENFOLD_UNROLL
    for (int i = 0; i < Vectors; ++i) acc[i] = fma<T>(g, load(row + i * L), acc[i]);
  }
  const Vec<T> factor = splat(scale);
  TENFOLD_UNROLL
  for (int i = 0; i < Vectors; ++i) {
    if (i + 1 < Vectors || whole) {
      store(sum + i * L, acc[i] * factor);
    } else {
      store_first(sum + i * L, acc[i] * factor, count - i * L);
    }
  }
}

template <class T>
void listed_weight(index outputs, index inputs, index samples, const T* dy, index dy_block, const T* rows,
                   index pitch, T scale, T* dw) {
  for (index o0 = 0; o0 < outputs; o0 += kListedOutputs) {
    const index piece = outputs - o0 < kListedOutputs ? outputs - o0 : kListedOutputs;
    for (index first = 0; first < samples; first += kNear) {
      const index end = samples - first < kNear ? samples : first + kNear;
      Listed<T> lists[kListedOutputs];
      for (index n = first; n < end; n += kBlock) {
        const T* const d = dy + n / kBlock * dy_block + o0 * kBlock;
        for (index o = 0; o < piece; ++o)
          lists[o].add(end - n < kBlock ? end - n : kBlock, d + o * kBlock, (n - first) * pitch, pitch);
      }
      in_pieces<kNearVectors<T>>((inputs + kLanes<T> - 1) / kLanes<T>, [&](index v, auto vectors) {
        const index i = v * kLanes<T>, left = inputs - i, wide = vectors.value * kLanes<T>;
        for (index o = 0; o < piece; ++o) {
          add_listed<T, vectors.value>(lists[o], rows + first * pitch + i, first == 0,
                                       end == samples ? scale : T{1}, left < wide ? left : wide,
                                       dw + (o0 + o) * inputs + i);
        }
      });
    }
  }
}

// Does whole vectors of inputs, and returns how many inputs these are.
template <class T>
index listed_input(index outputs, index inputs, const T* dy, const T* w, T* dx) {
  Listed<T> lists[kMostOutputs / kNear][kBlock];
  T turned[kBlock * kBlock];
  for (index o = 0; o < outputs; o += kBlock) {
    const index count = outputs - o < kBlock ? outputs - o : kBlock;
    from_lanes<T>(count, dy + o * kBlock, turned, kBlock, kBlock);
    for (index n = 0; n < kBlock; ++n)
      lists[o / kNear][n].add(count, turned + n * kBlock, o * inputs, inputs);
  }
  constexpr index L = kLanes<T>, most = kNearVectors<T> * L;
  T sums[kBlock * most];
  const index vectors = inputs / L, pieces = (vectors + kNearVectors<T> - 1) / kNearVectors<T>;
  for (index piece = 0; piece < pieces; ++piece) {
    const index begin = vectors * piece / pieces, end = vectors * (piece + 1) / pieces;
    with_count<kNearVectors<T>>(end - begin, [&](auto count) {
      for (index part = 0; part * kNear < outputs; ++part) {
        for (index n = 0; n < kBlock; ++n) {
          add_listed<T, count.value>(lists[part][n], w + begin * L, part == 0, T{1}, count.value * L,
                                     sums + n * most);
        }
      }
    });
    to_lanes<T>((end - begin) * L, sums, most, kBlock, dx + begin * L * kBlock);
  }
  return vectors * L;
}

// Whether so much of dy is 0 that lists pay; its blocks are dy_block apart.
template <class T>
bool mostly_zero(index outputs, index inputs, index samples, const T* dy, index dy_block) {
  if (inputs < kLeastVectors * kLanes<T>) return false;
  index open = 0;
  for (index n = 0; n < samples; n += kBlock, dy += dy_block) {
    const index lanes = samples - n < kBlock ? samples - n : kBlock;
    for (index o = 0; o < outputs; ++o) {
      int count = 0;
      for (index lane = 0; lane < lanes; ++lane) count += dy[o * kBlock + lane] != T{0};
      open += count;
    }
  }
  return 8 * open <= kMostOf8 * outputs * samples;
}

// ---- both gradients
// --------------------------------------------------------------------------------------------------------------

template <class T>
void input(index outputs, index inputs, const T* dy, const T* w, T* dx) {
  index i = 0;
  if constexpr (kLists<T>) {
    if (outputs <= kMostOutputs && mostly_zero<T>(outputs, inputs, kBlock, dy, 0))
      i = listed_input<T>(outputs, inputs, dy, w, dx);
  }
  const auto tiles_of = [&](auto n) {
    for (; i + n.value <= inputs; i += n.value)
      input_tile<T, n.value>(outputs, inputs, dy, w + i, dx + i * kBlock);
  };
  tiles_of(Constant<kSumsTogether<T>>{});
  if constexpr (kSumsTogether<T> > 8) tiles_of(Constant<8>{});
  tiles_of(Constant<4>{});
  tiles_of(Constant<1>{});
}

template <class T>
void weight(index outputs, index inputs, index samples, const T* dy, index dy_block, const T* rows,
            index pitch, T scale, T* dw, T* db) {
  constexpr int kRows = kManyRegisters ? 6 : 3;
  if (db != nullptr) bias_sums<T>(outputs, samples, dy, dy_block, scale, db);
  if (dw == nullptr) return;
  if constexpr (kLists<T>) {
    if (mostly_zero<T>(outputs, inputs, samples, dy, dy_block))
      return listed_weight<T>(outputs, inputs, samples, dy, dy_block, rows, pitch, scale, dw);
  }
  const index vectors = (inputs + kLanes<T> - 1) / kLanes<T>;
  in_pieces<4>(vectors, [&](index v, auto columns) {  // of samples that stay near for all outputs
    in_pieces<kRows>(outputs, [&](index o, auto row_count) {
      const index i = v * kLanes<T>;
      weight_tile<T, row_count.value, columns.value>(samples, dy + o * kBlock, dy_block, rows + i, pitch,
                                                     o == 0 ? columns.value * kLanes<T> : 0, scale,
                                                     dw + o * inputs + i, inputs, inputs - i);
    });
  });
}

template <class T>
constexpr LaneDenseKernels<T> make_table() {
  return {forward<T>, input<T>, weight<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneDenseKernels, make_table)
