#include "kernels/elementwise.h"

#include "kernels/math.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T>
void relu(index n, const T* x, bool past, T* y) {
  produce<T>(n, y, past, [&](auto at, index i) __attribute__((always_inline)) {
    return larger<T>(Vec<T>{}, at.load(x + i));
  });
}

template <class T>
void relu_keep_sign(index n, const T* x, bool past, T* y) {
  produce<T>(n, y, past, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> zero = {}, v = at.load(x + i);
    return select<T>(v < zero, -zero, v + zero);
  });
}

template <class T>
void relu_keep_sign_backward(index n, const T* y, const T* dy, T at_zero, bool past, T* dx) {
  produce<T>(n, dx, past, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> zero = {}, v = at.load(y + i), d = at.load(dy + i);
    const Vec<T> none = select<T>((Mask<T>)v < Mask<T>{}, zero, d * splat(at_zero));
    return select<T>(v > zero, d, select<T>(v == zero, none, v));
  });
}

template <class T>
void relu_backward(index n, const T* x, const T* dy, T at_zero, bool past, T* dx) {
  produce<T>(n, dx, past, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> zero = {}, v = at.load(x + i), d = at.load(dy + i);
    return select<T>(v > zero, d, select<T>(v == zero, d * splat(at_zero), select<T>(v < zero, zero, v)));
  });
}

// -- one argument
// ------------------------------------------------------------------------------------------------ Every
// function is a struct with value(x, p, q) and gradient(s, dy, p, q).

template <class T>
struct LeakyRelu {
  static Vec<T> value(Vec<T> x, Vec<T> p, Vec<T>) { return select<T>(x > Vec<T>{}, x, x * p); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T> p, Vec<T>) {
    return select<T>(s > Vec<T>{}, dy, dy * p);
  }
};

template <class T>
struct Elu {
  static Vec<T> value(Vec<T> x, Vec<T> p, Vec<T>) {
    return select<T>(x > Vec<T>{}, x, p * expm1<T>(at_most<T>(x, T(0))));
  }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T> p, Vec<T>) {
    return select<T>(s > Vec<T>{}, dy, dy * p * exp<T>(s));
  }
};
template <class T>
struct EluOutput {
  static Vec<T> value(Vec<T> x, Vec<T> p, Vec<T> q) { return Elu<T>::value(x, p, q); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T> p, Vec<T>) {
    return select<T>(s > Vec<T>{}, dy, dy * (s + p));
  }
};

// Where the functions below have reached their limits in T; keeps infinity * 0 away.
template <class T>
constexpr T kSaturated = kSingle<T> ? T(104) : T(746);

template <class T>
struct Gelu {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) {
    return at_least<T>(x, -kSaturated<T>) * normal<T>(x).distribution;
  }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) {
    const Normal<T> n = normal<T>(s);
    const Vec<T> x = at_least<T>(at_most<T>(s, kSaturated<T>), -kSaturated<T>);
    return dy * fma<T>(x * T(0.3989422804014327), n.bell, n.distribution);
  }
};

template <class T>
struct GeluTanh {
  // (1 + tanh u) / 2 = sigmoid(2 u).
  static constexpr T kScale = T(1.5957691216057308);  // 2 sqrt(2 / pi)
  static constexpr T kCubic = T(0.044715);
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) {
    const Vec<T> v = at_least<T>(at_most<T>(x, T(40)), T(-40));
    return at_least<T>(x, T(-40)) * sigmoid<T>(v * kScale * fma<T>(v * v, splat(kCubic), splat(T(1))));
  }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) {
    const Vec<T> v = at_least<T>(at_most<T>(s, T(40)), T(-40));
    const Vec<T> u = v * kScale * fma<T>(v * v, splat(kCubic), splat(T(1)));
    const Vec<T> g = sigmoid<T>(u), slope = fma<T>(v * v, splat(3 * kCubic), splat(T(1))) * kScale;
    return dy * (g + v * slope * (g * sigmoid<T>(-u)));
  }
};

template <class T>
struct Silu {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return at_least<T>(x, -kSaturated<T>) * sigmoid<T>(x); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) {
    const Vec<T> x = at_least<T>(at_most<T>(s, kSaturated<T>), -kSaturated<T>);
    return dy * sigmoid<T>(x) * fma<T>(x, sigmoid<T>(-x), splat(T(1)));
  }
};

template <class T>
struct Sigmoid {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return sigmoid<T>(x); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return dy * (s * (T(1) - s)); }
};

template <class T>
struct Tanh {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return tanh<T>(x); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return dy * (T(1) - s * s); }
};

template <class T>
struct Softplus {
  static Vec<T> value(Vec<T> x, Vec<T> p, Vec<T> q) {
    const Vec<T> z = x * p;
    const Vec<T> y = (at_least<T>(z, T(0)) + log1p_of_unit<T>(exp_nonpositive<T>(minus_magnitude<T>(z)))) / p;
    return select<T>(z > q, x, y);
  }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T> p, Vec<T> q) {
    const Vec<T> z = s * p;
    return select<T>(z > q, dy, dy * sigmoid<T>(z));
  }
};

template <class T>
struct Exp {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return exp<T>(x); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return dy * s; }
};

template <class T>
struct Log {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return log<T>(x); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return dy / s; }
};

template <class T>
struct Sqrt {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) {
#if defined(TENFOLD_ISA_avx512)
    if constexpr (kSingle<T>) {
      return (Vec<T>)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)x);
    } else {
      return (Vec<T>)_mm512_maskz_sqrt_pd((__mmask8)-1, (__m512d)x);
    }
#else
    for (index i = 0; i < kLanes<T>; ++i)
      x[i] = kSingle<T> ? __builtin_sqrtf((float)x[i]) : __builtin_sqrt(x[i]);
    return x;
#endif
  }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return dy * T(0.5) / s; }
};

template <class T>
struct Abs {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return magnitude<T>(x); }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) {
    const Vec<T> zero = {};
    return select<T>(s > zero, dy, select<T>(s < zero, -dy, select<T>(s == zero, zero, s)));
  }
};

template <class T>
struct Neg {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return -x; }
  static Vec<T> gradient(Vec<T>, Vec<T> dy, Vec<T>, Vec<T>) { return -dy; }
};

template <class T>
struct Square {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return x * x; }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return dy * (s * T(2)); }
};

template <class T>
struct Cube {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return x * x * x; }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return dy * (s * s * T(3)); }
};

template <class T>
struct Reciprocal {
  static Vec<T> value(Vec<T> x, Vec<T>, Vec<T>) { return T(1) / x; }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T>, Vec<T>) { return -dy * (s * s); }
};

template <class T>
struct Clip {
  static Vec<T> value(Vec<T> x, Vec<T> p, Vec<T> q) {
    const Vec<T> raised = select<T>(x < p, p, x);
    return select<T>(raised > q, q, raised);
  }
  static Vec<T> gradient(Vec<T> s, Vec<T> dy, Vec<T> p, Vec<T> q) {
    return select<T>((s < p) | (s > q), Vec<T>{}, dy);
  }
};

template <class T, template <class> class F>
void unary_forward(index n, const T* x, T p, T q, bool past, T* y) {
  const Vec<T> vp = splat(p), vq = splat(q);
  // A page ahead, where the processor itself would stop: what computes for long asks for too little at a time.
  constexpr index kAhead = 4096 / sizeof(T);
  produce<T>(n, y, past, [&](auto at, index i) __attribute__((always_inline)) {
    if (past) __builtin_prefetch(x + i + kAhead);
    return F<T>::value(at.load(x + i), vp, vq);
  });
}

template <class T, template <class> class F>
void unary_backward(index n, const T* s, const T* dy, T p, T q, bool past, T* dx) {
  const Vec<T> vp = splat(p), vq = splat(q);
  produce<T>(n, dx, past, [&](auto at, index i) __attribute__((always_inline)) {
    return F<T>::gradient(at.load(s + i), at.load(dy + i), vp, vq);
  });
}

template <class T, template <class> class F>
constexpr UnaryKernel<T> unary() {
  return {unary_forward<T, F>, unary_backward<T, F>};
}

// -- two arguments
// -----------------------------------------------------------------------------------------------

template <class T>
struct Add {
  static constexpr bool kTrivialA = true, kTrivialB = true;
  static Vec<T> value(Vec<T> a, Vec<T> b) { return a + b; }
  static Vec<T> gradient_a(Vec<T>, Vec<T>, Vec<T>, Vec<T> dy) { return dy; }
  static Vec<T> gradient_b(Vec<T>, Vec<T>, Vec<T>, Vec<T> dy) { return dy; }
};
template <class T>
struct Sub {
  static constexpr bool kTrivialA = true, kTrivialB = false;
  static Vec<T> value(Vec<T> a, Vec<T> b) { return a - b; }
  static Vec<T> gradient_a(Vec<T>, Vec<T>, Vec<T>, Vec<T> dy) { return dy; }
  static Vec<T> gradient_b(Vec<T>, Vec<T>, Vec<T>, Vec<T> dy) { return -dy; }
};
template <class T>
struct Mul {
  static constexpr bool kTrivialA = false, kTrivialB = false;
  static Vec<T> value(Vec<T> a, Vec<T> b) { return a * b; }
  static Vec<T> gradient_a(Vec<T>, Vec<T> b, Vec<T>, Vec<T> dy) { return dy * b; }
  static Vec<T> gradient_b(Vec<T> a, Vec<T>, Vec<T>, Vec<T> dy) { return dy * a; }
};
template <class T>
struct Div {
  static constexpr bool kTrivialA = false, kTrivialB = false;
  static Vec<T> value(Vec<T> a, Vec<T> b) { return a / b; }
  static Vec<T> gradient_a(Vec<T>, Vec<T> b, Vec<T>, Vec<T> dy) { return dy / b; }
  static Vec<T> gradient_b(Vec<T>, Vec<T> b, Vec<T> y, Vec<T> dy) { return -dy * y / b; }
};
template <class T>
struct Maximum {
  static constexpr bool kTrivialA = false, kTrivialB = false;
  static Mask<T> first(Vec<T> a, Vec<T> b) { return (a >= b) | (a != a); }
  static Vec<T> value(Vec<T> a, Vec<T> b) { return select<T>(first(a, b), a, b); }
  static Vec<T> gradient_a(Vec<T> a, Vec<T> b, Vec<T>, Vec<T> dy) {
    return select<T>(first(a, b), dy, Vec<T>{});
  }
  static Vec<T> gradient_b(Vec<T> a, Vec<T> b, Vec<T>, Vec<T> dy) {
    return select<T>(first(a, b), Vec<T>{}, dy);
  }
};
template <class T>
struct Minimum {
  static constexpr bool kTrivialA = false, kTrivialB = false;
  static Mask<T> first(Vec<T> a, Vec<T> b) { return (a <= b) | (a != a); }
  static Vec<T> value(Vec<T> a, Vec<T> b) { return select<T>(first(a, b), a, b); }
  static Vec<T> gradient_a(Vec<T> a, Vec<T> b, Vec<T>, Vec<T> dy) {
    return select<T>(first(a, b), dy, Vec<T>{});
  }
  static Vec<T> gradient_b(Vec<T> a, Vec<T> b, Vec<T>, Vec<T> dy) {
    return select<T>(first(a, b), Vec<T>{}, dy);
  }
};

// An operand that moves along (Step = 1) or stands still (Step = 0).
template <class T, int Step>
struct Operand {
  const T* p;
  Vec<T> still;
  explicit Operand(const T* pointer) : p(pointer), still(splat(*pointer)) {}
  template <class At>
  __attribute__((always_inline)) Vec<T> load(At at, index i) const {
    if constexpr (Step == 1) return at.load(p + i);
    return still;
  }
};

// body(Operand a, Operand b) with the steps as compile-time numbers.
template <class T, class Body>
TENFOLD_INLINE void with_steps(const T* a, index step_a, const T* b, index step_b, const Body& body) {
  if (step_a == 1 && step_b == 1) {
    body(Operand<T, 1>(a), Operand<T, 1>(b));
  } else if (step_a == 1) {
    body(Operand<T, 1>(a), Operand<T, 0>(b));
  } else if (step_b == 1) {
    body(Operand<T, 0>(a), Operand<T, 1>(b));
  } else {
    body(Operand<T, 0>(a), Operand<T, 0>(b));
  }
}

template <class T, template <class> class F>
void binary_forward(index n, const T* a, index step_a, const T* b, index step_b, bool past, T* y) {
  if (n == 0) return;
  with_steps<T>(a, step_a, b, step_b, [&](auto oa, auto ob) {
    produce<T>(n, y, past, [&](auto at, index i) __attribute__((always_inline)) {
      return F<T>::value(oa.load(at, i), ob.load(at, i));
    });
  });
}

template <class T, template <class> class F, bool ForA>
void binary_backward(index n, const T* a, index step_a, const T* b, index step_b, const T* y, const T* dy,
                     bool past, T* d) {
  if (n == 0) return;
  // What a gradient does not read may be null: dy stands in.
  if (a == nullptr) a = dy, step_a = 0;
  if (b == nullptr) b = dy, step_b = 0;
  if (y == nullptr) y = dy;
  with_steps<T>(a, step_a, b, step_b, [&](auto oa, auto ob) {
    produce<T>(n, d, past, [&](auto at, index i) __attribute__((always_inline)) {
      const Vec<T> va = oa.load(at, i), vb = ob.load(at, i), vy = at.load(y + i), vdy = at.load(dy + i);
      if constexpr (ForA) return F<T>::gradient_a(va, vb, vy, vdy);
      return F<T>::gradient_b(va, vb, vy, vdy);
    });
  });
}

template <class T, template <class> class F>
constexpr BinaryKernel<T> binary() {
  return {binary_forward<T, F>, F<T>::kTrivialA ? nullptr : binary_backward<T, F, true>,
          F<T>::kTrivialB ? nullptr : binary_backward<T, F, false>};
}

// -- folds
// -------------------------------------------------------------------------------------------------------

// Of numbers, or of vectors lane by lane.
struct Sum {
  template <class V>
  static V join(V sum, V x) {
    return sum + x;
  }
};
struct Max {
  template <class V>
  static V join(V best, V x) {
    return ((x > best) | (x != x)) ? x : best;
  }
  // One instruction, which leaves out an x that is no number.
  template <class V>
  static V join_numbers(V best, V x) {
    return x > best ? x : best;
  }
};
struct Min {
  template <class V>
  static V join(V best, V x) {
    return ((x < best) | (x != x)) ? x : best;
  }
  template <class V>
  static V join_numbers(V best, V x) {
    return x < best ? x : best;
  }
};

template <class T>
T sum_of_row(index n, const T* x) {
  constexpr index kStep = 4 * kLanes<T>;  // four chains hide the latency of an addition
  T result;
  index i = 0;
  if (n >= kStep) {
    Vec<T> v0 = load(x), v1 = load(x + kLanes<T>), v2 = load(x + 2 * kLanes<T>), v3 = load(x + 3 * kLanes<T>);
    for (i = kStep; i + kStep <= n; i += kStep) {
      v0 += load(x + i);
      v1 += load(x + i + kLanes<T>);
      v2 += load(x + i + 2 * kLanes<T>);
      v3 += load(x + i + 3 * kLanes<T>);
    }
    for (; i + kLanes<T> <= n; i += kLanes<T>) v0 += load(x + i);
    result = sum_of_lanes<T>((v0 + v1) + (v2 + v3));
  } else {
    result = x[0];
    i = 1;
  }
  for (; i < n; ++i) result += x[i];
  return result;
}

// A maximum or minimum, in which elements may count twice.
template <class T, class F>
T extreme_of_row(index n, const T* x) {
  constexpr index lanes = kLanes<T>;
  if (n >= lanes) {
    Vec<T> best[2] = {load(x), load(x + n - lanes)};  // the last one, whatever is behind the whole ones
    Mask<T> none = (best[0] != best[0]) | (best[1] != best[1]);  // where there was no number
    const auto join = [&](index chain, const T* p) __attribute__((always_inline)) {
      const Vec<T> v = load(p);
      best[chain] = F::join_numbers(best[chain], v);
      none |= v != v;
    };
    index i = lanes;
    for (; i + 2 * lanes <= n; i += 2 * lanes) join(0, x + i), join(1, x + i + lanes);
    if (i + lanes <= n) join(0, x + i);
    using Lane = decltype(none[0] + 0);
    if (fold_lanes<Lane, lanes>(
            none, [](auto upper, auto lower) __attribute__((always_inline)) { return lower | upper; }) == 0) {
      return fold_lanes<T>(F::join_numbers(best[0], best[1]),
                           [](auto upper, auto lower)
                               __attribute__((always_inline)) { return F::join_numbers(lower, upper); });
    }
  }
  T result = x[0];
  for (index i = 1; i < n; ++i) result = F::join(result, x[i]);
  return result;
}

template <class T, class F>
void fold_columns(index rows, index stride, index n, const T* x, bool first, T* y) {
  index j = 0;
  for (; j + 2 * kLanes<T> <= n; j += 2 * kLanes<T>) {
    const T* p = x + j;
    Vec<T> v0 = load(first ? p : y + j), v1 = load((first ? p : y + j) + kLanes<T>);
    for (index r = first ? 1 : 0; r < rows; ++r) {
      v0 = F::join(v0, load(p + r * stride));
      v1 = F::join(v1, load(p + r * stride + kLanes<T>));
    }
    store(y + j, v0);
    store(y + j + kLanes<T>, v1);
  }
  while (j < n) {
    const index width = n - j < kLanes<T> ? n - j : kLanes<T>;
    const auto at = [width](const T* p) { return width == kLanes<T> ? load(p) : load_first(p, width); };
    const T* p = x + j;
    Vec<T> v = at(first ? p : y + j);
    for (index r = first ? 1 : 0; r < rows; ++r) v = F::join(v, at(p + r * stride));
    if (width == kLanes<T>) {
      store(y + j, v);
    } else {
      store_first(y + j, v, width);
    }
    j += width;
  }
}

template <class T>
constexpr ElementwiseKernels<T> make_table() {
  ElementwiseKernels<T> table = {};
  table.relu = relu<T>;
  table.relu_backward = relu_backward<T>;
  table.relu_keep_sign = relu_keep_sign<T>;
  table.relu_keep_sign_backward = relu_keep_sign_backward<T>;
  table.leaky_relu = unary<T, LeakyRelu>();
  table.elu = unary<T, Elu>();
  table.elu_output = unary<T, EluOutput>();
  table.gelu = unary<T, Gelu>();
  table.gelu_tanh = unary<T, GeluTanh>();
  table.silu = unary<T, Silu>();
  table.sigmoid = unary<T, Sigmoid>();
  table.tanh = unary<T, Tanh>();
  table.softplus = unary<T, Softplus>();
  table.exp = unary<T, Exp>();
  table.log = unary<T, Log>();
  table.sqrt = unary<T, Sqrt>();
  table.abs = unary<T, Abs>();
  table.neg = unary<T, Neg>();
  table.square = unary<T, Square>();
  table.cube = unary<T, Cube>();
  table.reciprocal = unary<T, Reciprocal>();
  table.clip = unary<T, Clip>();
  table.add = binary<T, Add>();
  table.sub = binary<T, Sub>();
  table.mul = binary<T, Mul>();
  table.div = binary<T, Div>();
  table.maximum = binary<T, Maximum>();
  table.minimum = binary<T, Minimum>();
  table.sum = {sum_of_row<T>, fold_columns<T, Sum>};
  table.max = {extreme_of_row<T, Max>, fold_columns<T, Max>};
  table.min = {extreme_of_row<T, Min>, fold_columns<T, Min>};
  return table;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(ElementwiseKernels, make_table)
