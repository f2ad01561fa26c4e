#include "kernels/loss.h"

#include "kernels/math.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// -1, 0 or 1; NaN stays.
template <class T>
TENFOLD_INLINE Vec<T> sign(Vec<T> d) {
  const Vec<T> one = splat(T(1));
  return select<T>(d > Vec<T>{}, one, select<T>(d < Vec<T>{}, -one, d));
}

// (x - t)^2
template <class T>
struct Mse {
  TENFOLD_INLINE Vec<T> value(Vec<T> x, Vec<T> t, Vec<T>) { return (x - t) * (x - t); }
  TENFOLD_INLINE Vec<T> dx(Vec<T> x, Vec<T> t, Vec<T>) { return T(2) * (x - t); }
  TENFOLD_INLINE Vec<T> dt(Vec<T> x, Vec<T> t, Vec<T>) { return T(2) * (t - x); }
};

// |x - t|
template <class T>
struct L1 {
  TENFOLD_INLINE Vec<T> value(Vec<T> x, Vec<T> t, Vec<T>) { return magnitude<T>(x - t); }
  TENFOLD_INLINE Vec<T> dx(Vec<T> x, Vec<T> t, Vec<T>) { return sign<T>(x - t); }
  TENFOLD_INLINE Vec<T> dt(Vec<T> x, Vec<T> t, Vec<T>) { return sign<T>(t - x); }
};

// d^2 / (2 beta) for |d| < beta, else |d| - beta / 2, with d = x - t
template <class T>
struct SmoothL1 {
  TENFOLD_INLINE Vec<T> value(Vec<T> x, Vec<T> t, Vec<T> beta) {
    const Vec<T> d = magnitude<T>(x - t);
    return select<T>(d < beta, T(0.5) * d * d / beta, d - T(0.5) * beta);
  }
  TENFOLD_INLINE Vec<T> dx(Vec<T> x, Vec<T> t, Vec<T> beta) {
    const Vec<T> d = x - t;
    return select<T>(magnitude<T>(d) < beta, d / beta, sign<T>(d));
  }
  TENFOLD_INLINE Vec<T> dt(Vec<T> x, Vec<T> t, Vec<T> beta) { return dx(t, x, beta); }
};

// d^2 / 2 for |d| <= delta, else delta (|d| - delta / 2)
template <class T>
struct Huber {
  TENFOLD_INLINE Vec<T> value(Vec<T> x, Vec<T> t, Vec<T> delta) {
    const Vec<T> d = magnitude<T>(x - t);
    return select<T>(d <= delta, T(0.5) * d * d, delta * (d - T(0.5) * delta));
  }
  TENFOLD_INLINE Vec<T> dx(Vec<T> x, Vec<T> t, Vec<T> delta) {
    const Vec<T> d = x - t;
    return select<T>(magnitude<T>(d) <= delta, d, delta * sign<T>(d));
  }
  TENFOLD_INLINE Vec<T> dt(Vec<T> x, Vec<T> t, Vec<T> delta) { return dx(t, x, delta); }
};

// -t log x - (1 - t) log(1 - x), the logarithms at least -100 so that 0 log 0 = 0
template <class T>
struct Bce {
  TENFOLD_INLINE Vec<T> bounded_log(Vec<T> x) { return at_least<T>(log<T>(x), T(-100)); }
  TENFOLD_INLINE Vec<T> value(Vec<T> x, Vec<T> t, Vec<T>) {
    return (t - T(1)) * bounded_log(T(1) - x) - t * bounded_log(x);
  }
  TENFOLD_INLINE Vec<T> dx(Vec<T> x, Vec<T> t, Vec<T>) {
    return (x - t) / at_least<T>(x * (T(1) - x), T(1e-12));
  }
  TENFOLD_INLINE Vec<T> dt(Vec<T> x, Vec<T>, Vec<T>) { return bounded_log(T(1) - x) - bounded_log(x); }
};

// the same of sigmoid(x): max(x, 0) - x t + log(1 + exp(-|x|))
template <class T>
struct BceWithLogits {
  TENFOLD_INLINE Vec<T> value(Vec<T> x, Vec<T> t, Vec<T>) {
    const Vec<T> positive = larger<T>(Vec<T>{}, x);
    return positive - x * t + log1p_of_unit<T>(exp_nonpositive<T>(minus_magnitude<T>(x)));
  }
  TENFOLD_INLINE Vec<T> dx(Vec<T> x, Vec<T> t, Vec<T>) { return sigmoid<T>(x) - t; }
  TENFOLD_INLINE Vec<T> dt(Vec<T> x, Vec<T>, Vec<T>) { return -x; }
};

template <class T, class Loss>
T sum(index n, const T* x, const T* t, T parameter) {
  const Vec<T> p = splat(parameter);
  Vec<T> total = {};
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
    total += at.only(Loss::value(at.load(x + i), at.load(t + i), p));
  });
  return sum_of_lanes<T>(total);
}

template <class T, class Loss>
void map(index n, const T* x, const T* t, T parameter, T* y) {
  const Vec<T> p = splat(parameter);
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
    at.store(y + i, Loss::value(at.load(x + i), at.load(t + i), p));
  });
}

template <class T, class Loss, bool of_target>
void gradient(index n, const T* x, const T* t, T parameter, T scale, const T* dy, T* d) {
  const Vec<T> p = splat(parameter), factor = splat(scale);
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> slope =
        of_target ? Loss::dt(at.load(x + i), at.load(t + i), p) : Loss::dx(at.load(x + i), at.load(t + i), p);
    at.store(d + i, dy == nullptr ? factor * slope : factor * at.load(dy + i) * slope);
  });
}

template <class T>
constexpr PointwiseLossKernels<T> make_table() {
  return {{sum<T, Mse<T>>, sum<T, L1<T>>, sum<T, SmoothL1<T>>, sum<T, Huber<T>>, sum<T, Bce<T>>,
           sum<T, BceWithLogits<T>>},
          {map<T, Mse<T>>, map<T, L1<T>>, map<T, SmoothL1<T>>, map<T, Huber<T>>, map<T, Bce<T>>,
           map<T, BceWithLogits<T>>},
          {gradient<T, Mse<T>, false>, gradient<T, L1<T>, false>, gradient<T, SmoothL1<T>, false>,
           gradient<T, Huber<T>, false>, gradient<T, Bce<T>, false>, gradient<T, BceWithLogits<T>, false>},
          {gradient<T, Mse<T>, true>, gradient<T, L1<T>, true>, gradient<T, SmoothL1<T>, true>,
           gradient<T, Huber<T>, true>, gradient<T, Bce<T>, true>, gradient<T, BceWithLogits<T>, true>}};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(PointwiseLossKernels, make_table)
