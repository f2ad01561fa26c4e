#include "kernels/lanes_background.h"

#include "kernels/lanes_common.h"
#include "kernels/past.h"
#include "kernels/shuffle.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// A column in vectors.
template <class T>
constexpr index kPart = kLanes<T> < kColumn ? kLanes<T> : kColumn;
template <class T>
using PartVec = Vec<T, kPart<T>>;
template <class T>
constexpr int kParts = kColumn / kPart<T>;

// Whether one of the elements is not 0.
template <class T, index n>
TENFOLD_INLINE bool any(Vec<T, n> v) {
#if defined(TENFOLD_ISA_avx512)
  if constexpr (sizeof v == 64 && sizeof(T) == 4) {
    return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NEQ_UQ) != 0;
  } else if constexpr (sizeof v == 64) {
    return _mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_NEQ_UQ) != 0;
  }
#endif
#if defined(TENFOLD_ISA_avx512) || defined(TENFOLD_ISA_avx2)
  if constexpr (sizeof v == 32 && sizeof(T) == 4) {
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NEQ_UQ)) != 0;
  } else if constexpr (sizeof v == 32) {
    return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)v, _mm256_setzero_pd(), _CMP_NEQ_UQ)) != 0;
  }
#endif
  bool found = false;
  for (index i = 0; i < n; ++i) found |= v[i] != T{0};
  return found;
}

template <class T>
TENFOLD_INLINE T sum(Vec<T> v) {
  T total = 0;
  for (index i = 0; i < kLanes<T>; ++i) total += v[i];
  return total;
}

template <class T>
T background(index count, const T* x) {
  const T first = count > 0 ? x[0] : T{0};
  const Vec<T> wanted = splat(first);
  Mask<T> found = {};
  index i = 0, same = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) found -= load(x + i) == wanted;
  for (; i < count; ++i) same += x[i] == first;
  for (index lane = 0; lane < kLanes<T>; ++lane) same += found[lane];
  return 2 * same > count && first - first == T{0} ? first : T{0};
}

template <class T>
index list(index count, const T* background, T* lanes, int32_t* list) {
  constexpr int kVectors = kBlock / kLanes<T>;
  Vec<T> subtracted[kVectors];
  TENFOLD_UNROLL
  for (int v = 0; v < kVectors; ++v) subtracted[v] = load(background + v * kLanes<T>);
  index listed = 0;
  for (index i = 0; i < count; ++i) {
    bool found = false;
    TENFOLD_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const Vec<T> e = load(lanes + i * kBlock + v * kLanes<T>) - subtracted[v];
      // Written either way, over what has been read.
      store(lanes + listed * kBlock + v * kLanes<T>, e);
      found |= any<T, kLanes<T>>(e);
    }
    list[listed] = static_cast<int32_t>(i);
    listed += found;
  }
  return listed;
}

template <class T>
TENFOLD_INLINE T sum_row(index inputs, const T* w) {
  Vec<T> part[4] = {};
  index i = 0;
  for (; i + 4 * kLanes<T> <= inputs; i += 4 * kLanes<T>) {
    TENFOLD_UNROLL
    for (int k = 0; k < 4; ++k) part[k] += load(w + i + k * kLanes<T>);
  }
  T rest = 0;
  for (; i < inputs; ++i) rest += w[i];
  return sum<T>((part[0] + part[1]) + (part[2] + part[3])) + rest;
}

// Listed inputs begin .. end - 1 of the sums; y holds what came before.
template <class T, int Rows>
TENFOLD_INLINE void dense_tile(const LaneBackgroundDense<T>& a, index o0, index begin, index end) {
  constexpr int V = kTogether<T>;
  for (index lane = 0; lane < kBlock; lane += V * kLanes<T>) {
    T* const y = a.y + o0 * kBlock + lane;
    Vec<T> background[V], acc[Rows][V];
    load_together<T>(a.background + lane, background);
    const T* row[Rows];
    TENFOLD_UNROLL
    for (int o = 0; o < Rows; ++o) {
      row[o] = a.w + (o0 + o) * a.inputs;
      if (begin > 0) {
        TENFOLD_UNROLL
        for (int v = 0; v < V; ++v) acc[o][v] = load(y + o * kBlock + v * kLanes<T>);
        continue;
      }
      if (a.sum && lane == 0) a.row_sums[o0 + o] = sum_row<T>(a.inputs, row[o]);
      const Vec<T> start = a.bias ? splat(a.bias[o0 + o]) : Vec<T>{};
      TENFOLD_UNROLL
      for (int v = 0; v < V; ++v) acc[o][v] = start;
      if (a.row_sums != nullptr) add_together<T>(a.row_sums[o0 + o], background, acc[o]);
    }
    const auto add = [&](index j) __attribute__((always_inline)) {
      const index i = a.list[j];
      Vec<T> e[V];
      load_together<T>(a.e + j * kBlock + lane, e);
      TENFOLD_UNROLL
      for (int o = 0; o < Rows; ++o) add_together<T>(row[o][i], e, acc[o]);
    };
    const index lines = lane == 0 && o0 == 0 ? (a.ahead_count + kLine<T> - 1) / kLine<T> : 0;
    const index asked = lines < end ? lines : end;
    index j = begin;
    for (; j < asked; ++j) {
      __builtin_prefetch(a.ahead + j * kLine<T>, 0, 2);
      add(j);
    }
    TENFOLD_UNROLL_SUM
    for (; j < end; ++j) add(j);
    const bool last = end == a.count;
    TENFOLD_UNROLL
    for (int o = 0; o < Rows; ++o) {
      TENFOLD_UNROLL
      for (int v = 0; v < V; ++v)
        store(y + o * kBlock + v * kLanes<T>, a.relu && last ? signed_relu<T>(acc[o][v]) : acc[o][v]);
    }
  }
}

// As many inputs as stay in the first-level cache for all tiles of a share.
template <class T>
constexpr index kListed = 16384 / (kBlock * sizeof(T));
template <class T>
constexpr index kShare = (kManyRegisters ? 1 : 2) * kDenseRows<T>;
static_assert(kShare<float> <= kMostShare && kShare<double> <= kMostShare);

template <class T>
void dense(const LaneBackgroundDense<T>& a) {
  const bool whole = a.outputs <= kDenseRows<T> || a.count <= kListed<T>;
  const index parts = whole ? 1 : (a.count + kListed<T> - 1) / kListed<T>;
  for (index part = 0; part < parts; ++part) {
    const index begin = a.count * part / parts, end = a.count * (part + 1) / parts;
    in_pieces<kDenseRows<T>>(a.outputs,
                             [&](index o, auto rows) { dense_tile<T, rows.value>(a, o, begin, end); });
  }
}

template <class T>
void columns(const LaneColumns<T>& to, index begin, index end, index inputs, const T* x, const index* order,
             const T* background) {
  for (index c = begin; c < end; ++c) to.counts[c] = 0;
  for (index n = 0; n < to.samples; ++n) {
    const T* const row = x + (order != nullptr ? order[n] : n) * inputs;
    const PartVec<T> subtracted = splat<T, kPart<T>>(background[n]);
    const auto place = static_cast<int32_t>(n * to.dy_pitch);
    for (index c = begin; c < end; ++c) {
      const T* from = row + c * kColumn;
      T rest[kColumn];
      if (inputs - c * kColumn < kColumn) {  // what lies beyond is background as well
        for (index i = 0; i < kColumn; ++i) rest[i] = i < inputs - c * kColumn ? from[i] : background[n];
        from = rest;
      }
      const index at = c * to.pitch + to.counts[c];
      bool found = false;
      TENFOLD_UNROLL
      for (int p = 0; p < kParts<T>; ++p) {
        const PartVec<T> e = load<T, kPart<T>>(from + p * kPart<T>) - subtracted;
        store<T, kPart<T>>(to.e + at * kColumn + p * kPart<T>, e);
        found |= any<T, kPart<T>>(e);
      }
      to.places[at] = place;
      to.counts[c] += found;
    }
  }
}

// rows[o * pitch + i] <-- x[i][o] for o < count, i < width
template <class T>
TENFOLD_INLINE void store_turned(Vec<T>* x, T* rows, index pitch, index count, index width) {
  // Each round moves the first bit of an element's number, that of the inputs, behind the last one, of the outputs.
  TENFOLD_UNROLL
  for (int round = 0; round < 3; ++round) {
    Vec<T> next[kColumn];
    TENFOLD_UNROLL
    for (int i = 0; i < kColumn / 2; ++i)
      interleave<T>(x[i], x[i + kColumn / 2], next[2 * i], next[2 * i + 1]);
    TENFOLD_UNROLL
    for (int i = 0; i < kColumn; ++i) x[i] = next[i];
  }
  if (width == kColumn && count == kLanes<T>) {
    TENFOLD_UNROLL
    for (int i = 0; i < kColumn; ++i) {
      const index at = i * kLanes<T>;
      T* const row = rows + at / kColumn * pitch + at % kColumn;
#if defined(TENFOLD_ISA_avx512)
      if constexpr (sizeof(T) == 4) {  // two rows
        _mm256_storeu_ps(row, _mm512_castps512_ps256((__m512)x[i]));
        _mm256_storeu_ps(row + pitch, _mm512_extractf32x8_ps((__m512)x[i], 1));
        continue;
      }
#endif
      store(row, x[i]);
    }
    return;
  }
  T turned[kColumn * kLanes<T>];
  TENFOLD_UNROLL
  for (int i = 0; i < kColumn; ++i) store(turned + i * kLanes<T>, x[i]);
  for (index o = 0; o < count; ++o) {
    for (index i = 0; i < width; ++i) rows[o * pitch + i] = turned[o * kColumn + i];
  }
}

// Inputs of a column whose sums stay in registers together: the fewer, the more vectors of outputs share their broadcasts.
template <int Vectors>
constexpr int kInputsTogether = kManyRegisters || Vectors == 1 ? kColumn : kColumn / 2;
constexpr int kMostVectors = kManyRegisters ? 2 : 3;

// sums[v][first ..] = start[v] + sum_n dy[n][v ..] * e[n][.] for some inputs of a column.
template <class T, int Vectors, int Inputs>
TENFOLD_INLINE void weight_tile(index count, const T* e, const int32_t* places, const T* dy,
                                const Vec<T>* start, int first, Vec<T> (&sums)[Vectors][kColumn]) {
  Vec<T> acc[Vectors][Inputs];
  TENFOLD_UNROLL
  for (int v = 0; v < Vectors; ++v) {
    TENFOLD_UNROLL
    for (int i = 0; i < Inputs; ++i) acc[v][i] = start[v];
  }
  TENFOLD_UNROLL_SUM
  for (index j = 0; j < count; ++j, e += kColumn) {
    const T* const from = dy + places[j];
    Vec<T> d[Vectors];
    TENFOLD_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      d[v] = load(from + v * kLanes<T>);
      pin<T>(d[v]);
    }
    TENFOLD_UNROLL
    for (int i = 0; i < Inputs; ++i) {
      Vec<T> input = splat(e[first + i]);
      pin<T>(input);
      TENFOLD_UNROLL
      for (int v = 0; v < Vectors; ++v) acc[v][i] = fma<T>(input, d[v], acc[v][i]);
    }
  }
  TENFOLD_UNROLL
  for (int v = 0; v < Vectors; ++v) {
    TENFOLD_UNROLL
    for (int i = 0; i < Inputs; ++i) sums[v][first + i] = acc[v][i];
  }
}

// dw[o][kColumn] = scale * (start[o] + sum_n dy[n][o] * e[n][.]) for some vectors of outputs. Inlined, GCC keeps a vector
// of the inner loop on the stack.
template <class T, int Vectors>
__attribute__((noinline)) void weight_column(const LaneColumns<T>& from, index column, const Vec<T>* start,
                                             const T* dy, T scale, index outputs, index inputs, T* dw) {
  constexpr int kInputs = kInputsTogether<Vectors>;
  Vec<T> sums[Vectors][kColumn];
  TENFOLD_UNROLL
  for (int first = 0; first < kColumn; first += kInputs) {
    weight_tile<T, Vectors, kInputs>(from.counts[column], from.e + column * from.pitch * kColumn,
                                     from.places + column * from.pitch, dy, start, first, sums);
  }
  const index width = inputs - column * kColumn < kColumn ? inputs - column * kColumn : kColumn;
  TENFOLD_UNROLL
  for (int v = 0; v < Vectors; ++v) {
    const index left = outputs - v * kLanes<T>;
    TENFOLD_UNROLL
    for (int i = 0; i < kColumn; ++i) sums[v][i] *= splat(scale);
    store_turned<T>(sums[v], dw + v * kLanes<T> * inputs + column * kColumn, inputs,
                    left < kLanes<T> ? left : kLanes<T>, width);
  }
}

// sums[o] = sum_n dy[n][o] * factor[n]; without factor: of dy.
template <class T, int Vectors>
TENFOLD_INLINE void sum_samples(const LaneColumns<T>& from, const T* dy, const T* factor, Vec<T>* sums) {
  TENFOLD_UNROLL
  for (int v = 0; v < Vectors; ++v) sums[v] = Vec<T>{};
  for (index n = 0; n < from.samples; ++n, dy += from.dy_pitch) {
    const Vec<T> f = splat(factor != nullptr ? factor[n] : T{1});
    TENFOLD_UNROLL
    for (int v = 0; v < Vectors; ++v) sums[v] = fma<T>(f, load(dy + v * kLanes<T>), sums[v]);
  }
}

template <class T, int Vectors>
TENFOLD_INLINE void weight_rows(index outputs, index inputs, const LaneColumns<T>& from, const T* background,
                                const T* dy, T scale, T* dw, T* db) {
  Vec<T> start[Vectors];
  if (dw != nullptr) {
    sum_samples<T, Vectors>(from, dy, background, start);
    for (index column = 0; column * kColumn < inputs; ++column)
      weight_column<T, Vectors>(from, column, start, dy, scale, outputs, inputs, dw);
  }
  if (db == nullptr) return;
  sum_samples<T, Vectors>(from, dy, nullptr, start);
  for (int v = 0; v < Vectors; ++v) {
    for (index o = 0; o < kLanes<T> && v * kLanes<T> + o < outputs; ++o)
      db[v * kLanes<T> + o] = scale * start[v][o];
  }
}

template <class T>
void dense_weight(index outputs, index inputs, const LaneColumns<T>& from, const T* background, const T* dy,
                  T scale, T* dw, T* db) {
  in_pieces<kMostVectors>((outputs + kLanes<T> - 1) / kLanes<T>, [&](index first, auto vectors) {
    const index o = first * kLanes<T>, left = outputs - o, most = vectors.value * kLanes<T>;
    weight_rows<T, vectors.value>(left < most ? left : most, inputs, from, background, dy + o, scale,
                                  dw != nullptr ? dw + o * inputs : nullptr,
                                  db != nullptr ? db + o : nullptr);
  });
}

template <class T>
constexpr LaneBackgroundKernels<T> make_table() {
  return {background<T>, list<T>, dense<T>, kShare<T>, columns<T>, dense_weight<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneBackgroundKernels, make_table)
