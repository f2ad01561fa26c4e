#include "kernels/elementwise.h"

#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T>
void relu(index n, const T* x, T* y) {
  const auto apply = [](Vec<T> v) { return select<T>(v < Vec<T>{}, Vec<T>{}, v); };
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(y + i, apply(load(x + i)));
  if (i < n) store_first(y + i, apply(load_first(x + i, n - i)), n - i);
}

template <class T>
void relu_backward(index n, const T* x, const T* dy, T at_zero, T* dx) {
  const auto apply = [at_zero](Vec<T> v, Vec<T> d) {
    const Vec<T> zero = {};
    return select<T>(v > zero, d, select<T>(v == zero, d * splat(at_zero), select<T>(v < zero, zero, v)));
  };
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(dx + i, apply(load(x + i), load(dy + i)));
  if (i < n) store_first(dx + i, apply(load_first(x + i, n - i), load_first(dy + i, n - i)), n - i);
}

template <class T>
constexpr ElementwiseKernels<T> make_table() {
  return {relu<T>, relu_backward<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(ElementwiseKernels, make_table)
