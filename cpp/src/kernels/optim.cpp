#include "kernels/optim.h"

#include "kernels/sweep.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(TENFOLD_ISA_neon)
#include <arm_neon.h>
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// (The masked form: GCC 12 warns about the undefined lanes inside the plain intrinsic.)
TENFOLD_INLINE Vec<float> square_root(Vec<float> v) {
#if defined(TENFOLD_ISA_avx512)
  return (Vec<float>)_mm512_maskz_sqrt_ps(0xffff, (__m512)v);
#elif defined(TENFOLD_ISA_avx2)
  return (Vec<float>)_mm256_sqrt_ps((__m256)v);
#elif defined(__SSE2__)
  return (Vec<float>)_mm_sqrt_ps((__m128)v);
#elif defined(TENFOLD_ISA_neon)
  return (Vec<float>)vsqrtq_f32((float32x4_t)v);
#else
  for (index i = 0; i < kLanes<float>; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}
TENFOLD_INLINE Vec<double> square_root(Vec<double> v) {
#if defined(TENFOLD_ISA_avx512)
  return (Vec<double>)_mm512_maskz_sqrt_pd(0xff, (__m512d)v);
#elif defined(TENFOLD_ISA_avx2)
  return (Vec<double>)_mm256_sqrt_pd((__m256d)v);
#elif defined(__SSE2__)
  return (Vec<double>)_mm_sqrt_pd((__m128d)v);
#elif defined(TENFOLD_ISA_neon)
  return (Vec<double>)vsqrtq_f64((float64x2_t)v);
#else
  for (index i = 0; i < kLanes<double>; ++i) v[i] = __builtin_sqrt(v[i]);
  return v;
#endif
}

template <class T>
void sgd(index n, T* p, const T* g, T* b, const SgdRates<T>& rates, bool past) {
  const Vec<T> rate = splat(rates.learning_rate), decay = splat(rates.weight_decay);
  if (b == nullptr) {
    sweep<T>(n, [=](auto at, index i) __attribute__((always_inline)) {
      const Vec<T> x = at.load(p + i);
      at.store(p + i, x - rate * (at.load(g + i) + decay * x), past);
    });
    return;
  }
  const Vec<T> keep = splat(rates.keep), share = splat(rates.share);
  if (rates.nesterov) {
    const Vec<T> momentum = splat(rates.momentum);
    sweep<T>(n, [=](auto at, index i) __attribute__((always_inline)) {
      const Vec<T> x = at.load(p + i), d = at.load(g + i) + decay * x;
      const Vec<T> moved = keep * at.load(b + i) + share * d;
      at.store(b + i, moved);
      at.store(p + i, x - rate * (d + momentum * moved), past);
    });
  } else {
    sweep<T>(n, [=](auto at, index i) __attribute__((always_inline)) {
      const Vec<T> x = at.load(p + i), d = at.load(g + i) + decay * x;
      const Vec<T> moved = keep * at.load(b + i) + share * d;
      at.store(b + i, moved);
      at.store(p + i, x - rate * moved, past);
    });
  }
}

template <class T>
void adam(index n, T* p, const T* g, T* m, T* v, const AdamRates<T>& rates, bool past) {
  const Vec<T> keep1 = splat(rates.keep1), share1 = splat(rates.share1), keep2 = splat(rates.keep2),
               share2 = splat(rates.share2), step_size = splat(rates.step_size),
               correction = splat(rates.root_correction), eps = splat(rates.eps),
               decay = splat(rates.weight_decay), shrink = splat(rates.shrink);
  sweep<T>(n, [=](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> x = at.load(p + i), d = at.load(g + i) + decay * x;
    const Vec<T> mean = keep1 * at.load(m + i) + share1 * d;
    const Vec<T> square = keep2 * at.load(v + i) + share2 * (d * d);
    at.store(m + i, mean);
    at.store(v + i, square);
    at.store(p + i, shrink * x - step_size * (mean / (square_root(square) * correction + eps)), past);
  });
}

template <class T>
void rmsprop(index n, T* p, const T* g, T* v, T* b, const RmspropRates<T>& rates, bool past) {
  const Vec<T> rate = splat(rates.learning_rate), keep = splat(rates.keep), share = splat(rates.share),
               eps = splat(rates.eps), decay = splat(rates.weight_decay), momentum = splat(rates.momentum);
  sweep<T>(n, [=](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> x = at.load(p + i), d = at.load(g + i) + decay * x;
    const Vec<T> square = keep * at.load(v + i) + share * (d * d);
    at.store(v + i, square);
    Vec<T> move = d / (square_root(square) + eps);
    if (b != nullptr) {
      move += momentum * at.load(b + i);
      at.store(b + i, move);
    }
    at.store(p + i, x - rate * move, past);
  });
}

template <class T>
constexpr OptimKernels<T> make_table() {
  return {sgd<T>, adam<T>, rmsprop<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(OptimKernels, make_table)
