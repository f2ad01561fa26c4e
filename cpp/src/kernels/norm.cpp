#include "kernels/norm.h"

#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T>
void moments_plane(index n, const T* x, T* shift, T* sum, T* squares) {
  Vec<T> total = {};
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) { total += at.load(x + i); });
  const T mean = sum_of_lanes<T>(total) / T(n);
  const Vec<T> m = splat(mean);
  Vec<T> first = {}, second = {};
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> d = at.only(at.load(x + i) - m);
    first += d;
    second += d * d;
  });
  *shift = mean;
  *sum = sum_of_lanes<T>(first);
  *squares = sum_of_lanes<T>(second);
}

template <class T>
void moments_columns(index rows, index width, index pitch, const T* x, T* shift, T* sum, T* squares) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    Vec<T> total = {};
    for (index r = 0; r < rows; ++r) total += at.load(x + r * pitch + i);
    const Vec<T> mean = total / splat(T(rows));
    Vec<T> first = {}, second = {};
    for (index r = 0; r < rows; ++r) {
      const Vec<T> d = at.load(x + r * pitch + i) - mean;
      first += d;
      second += d * d;
    }
    at.store(shift + i, mean);
    at.store(sum + i, first);
    at.store(squares + i, second);
  });
}

template <class T>
void apply_planes(index planes, index n, const T* x, const T* mean, const T* factor, const T* bias, bool past,
                  T* y) {
  for (index p = 0; p < planes; ++p, x += n, y += n) {
    const Vec<T> m = splat(mean[p]), f = splat(factor[p]), b = splat(bias[p]);
    produce<T>(n, y, past,
               [&](auto at, index i) __attribute__((always_inline)) { return (at.load(x + i) - m) * f + b; });
  }
}

template <class T>
void apply_columns(index rows, index width, index pitch, const T* x, const T* mean, const T* factor,
                   const T* bias, T* y) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> m = at.load(mean + i), f = at.load(factor + i), b = at.load(bias + i);
    for (index r = 0; r < rows; ++r) at.store(y + r * pitch + i, (at.load(x + r * pitch + i) - m) * f + b);
  });
}

template <class T>
void sums_plane(index n, const T* x, const T* dy, T mean, T* sum, T* product) {
  const Vec<T> m = splat(mean);
  Vec<T> first = {}, second = {};
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> d = at.load(dy + i);
    first += d;
    second += at.only(d * (at.load(x + i) - m));
  });
  *sum = sum_of_lanes<T>(first);
  *product = sum_of_lanes<T>(second);
}

template <class T>
void sums_columns(index rows, index width, index pitch, const T* x, const T* dy, const T* mean, T* sum,
                  T* product) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> m = at.load(mean + i);
    Vec<T> first = {}, second = {};
    for (index r = 0; r < rows; ++r) {
      const Vec<T> d = at.load(dy + r * pitch + i);
      first += d;
      second += d * (at.load(x + r * pitch + i) - m);
    }
    at.store(sum + i, first);
    at.store(product + i, second);
  });
}

template <class T>
void backward_planes(index planes, index n, const T* x, const T* dy, const T* mean, const T* factor,
                     const T* a, const T* b, bool past, T* dx) {
  for (index p = 0; p < planes; ++p, x += n, dy += n, dx += n) {
    const Vec<T> m = splat(mean[p]), f = splat(factor[p]), va = splat(a[p]), vb = splat(b[p]);
    produce<T>(n, dx, past, [&](auto at, index i) __attribute__((always_inline)) {
      return f * (at.load(dy + i) - va - (at.load(x + i) - m) * vb);
    });
  }
}

template <class T>
void backward_columns(index rows, index width, index pitch, const T* x, const T* dy, const T* mean,
                      const T* factor, const T* a, const T* b, T* dx) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> m = at.load(mean + i), f = at.load(factor + i), va = at.load(a + i), vb = at.load(b + i);
    for (index r = 0; r < rows; ++r) {
      const index k = r * pitch + i;
      at.store(dx + k, f * (at.load(dy + k) - va - (at.load(x + k) - m) * vb));
    }
  });
}

template <class T>
constexpr NormKernels<T> make_table() {
  return {moments_plane<T>, moments_columns<T>, apply_planes<T>,    apply_columns<T>,
          sums_plane<T>,    sums_columns<T>,    backward_planes<T>, backward_columns<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(NormKernels, make_table)
