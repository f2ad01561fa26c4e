#include "kernels/lanes.h"

#include "kernels/lanes_common.h"
#include "kernels/math.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

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

// ---- loss

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
      best = larger<T>(z, best);
      picked = select<T>(label == Mask<T>{} + static_cast<int>(c), z, picked);
    }
    Vec<T> sum = {};
    for (index c = 0; c < classes; ++c) {
      const Vec<T> e = exp_nonpositive_fast<T>(load(logits + c * kBlock + lane) - best);
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
  return {relu<T>,         relu_backward<T>, cross_entropy<T>, to_lanes<T>,
          gather_lanes<T>, from_lanes<T>,    sum_lanes<T>,     sum_plane<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(LaneKernels, make_table)
