// Kernels that walk contiguous memory element by element, or fold it.
//
// n is a number of elements (>= 0), pointers need the alignment of their element only, an output may be the very memory
// of an input but must not overlap it otherwise. `past`: the output leaves past the caches (kernels/past.h).
#pragma once

#include <stddef.h>

#include "kernels/dispatch.h"

namespace tenfold {

// y[i] = f(x[i]; p, q) and its gradient dx[i] = f'(s[i]) dy[i]. s is x or y, as the comment of the field
// says; p and q are the function's parameters.
template <class T>
struct UnaryKernel {
  void (*forward)(ptrdiff_t n, const T* x, T p, T q, bool past, T* y);
  void (*backward)(ptrdiff_t n, const T* s, const T* dy, T p, T q, bool past, T* dx);
};

// y[i] = f(a[i step_a], b[i step_b]) with steps of 0 or 1, and the gradients da[i] = df/da dy[i], db[i] =
// df/db dy[i] before any sum over broadcast elements. A null gradient kernel means that the gradient is dy
// itself.
template <class T>
struct BinaryKernel {
  void (*forward)(ptrdiff_t n, const T* a, ptrdiff_t step_a, const T* b, ptrdiff_t step_b, bool past, T* y);
  void (*backward_a)(ptrdiff_t n, const T* a, ptrdiff_t step_a, const T* b, ptrdiff_t step_b, const T* y,
                     const T* dy, bool past, T* da);
  void (*backward_b)(ptrdiff_t n, const T* a, ptrdiff_t step_a, const T* b, ptrdiff_t step_b, const T* y,
                     const T* dy, bool past, T* db);
};

// Folds by a binary operation (sum, maximum, minimum); the order of the folding depends on the extents only.
template <class T>
struct FoldKernel {
  // Folds x[0 .. n) to one number, n >= 1.
  T (*row)(ptrdiff_t n, const T* x);
  // y[j] = fold over r of x[r stride + j], r < rows, rows >= 1; goes on from y[j] unless `first`.
  void (*columns)(ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t n, const T* x, bool first, T* y);
};

template <class T>
struct ElementwiseKernels {
  // y[i] = max(x[i], 0), NaN passes. y may be x.
  void (*relu)(ptrdiff_t n, const T* x, bool past, T* y);
  // dx[i] = x[i] > 0 ? dy[i] : x[i] == 0 ? at_zero * dy[i] : 0. dx may be dy.
  void (*relu_backward)(ptrdiff_t n, const T* x, const T* dy, T at_zero, bool past, T* dx);
  // The same with -0 where x < 0, which tells it from x == 0; backward reads y.
  void (*relu_keep_sign)(ptrdiff_t n, const T* x, bool past, T* y);
  void (*relu_keep_sign_backward)(ptrdiff_t n, const T* y, const T* dy, T at_zero, bool past, T* dx);

  UnaryKernel<T> leaky_relu;  // x > 0 ? x : p x;                             s = x
  UnaryKernel<T> elu;         // x > 0 ? x : p (exp x - 1);                   s = x
  UnaryKernel<T> elu_output;  // the same for p >= 0;                         s = y
  UnaryKernel<T> gelu;        // x Phi(x), Phi the normal distribution;       s = x
  UnaryKernel<T> gelu_tanh;   // x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2;  s = x
  UnaryKernel<T> silu;        // x sigmoid(x);                                s = x
  UnaryKernel<T> sigmoid;     // s = y
  UnaryKernel<T> tanh;        // s = y
  UnaryKernel<T> softplus;    // log(1 + exp(p x)) / p, x where p x > q;      s = x
  UnaryKernel<T> exp;         // s = y
  UnaryKernel<T> log;         // s = x
  UnaryKernel<T> sqrt;        // s = y
  UnaryKernel<T> abs;         // s = x; the gradient at 0 is 0
  UnaryKernel<T> neg;         // s is not read
  UnaryKernel<T> square;      // s = x
  UnaryKernel<T> cube;        // s = x
  UnaryKernel<T> reciprocal;  // 1 / x;                                       s = y
  UnaryKernel<T> clip;  // min(max(x, p), q);                           s = x; p and q themselves pass dy

  BinaryKernel<T> add, sub, mul, div;  // the gradients of div read b and y
  BinaryKernel<T> maximum, minimum;    // NaN wins; a gets the gradient of a tie

  FoldKernel<T> sum, max, min;  // NaN wins in max and min
};
TENFOLD_DECLARE_KERNELS(ElementwiseKernels)

}  // namespace tenfold
