#include "kernels/softmax.h"

#include "kernels/math.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// The maximum; NaN is left out (it comes back through x - max).
template <class T>
TENFOLD_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
  return select<T>(b > a, b, a);
}

template <class T>
TENFOLD_INLINE T row_max(index n, const T* x) {
  Vec<T> best = splat(T(-__builtin_inf()));
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
    best = larger<T>(best, at.load_or(x + i, T(-__builtin_inf())));
  });
  return max_of_lanes<T>(best);
}

// body(at, i) returns the vector to add; absent lanes must be zero.
template <class T, class Body>
TENFOLD_INLINE T row_sum(index n, Body body) {
  constexpr index kBlock = 32 * kLanes<T>;  // partial sums keep the rounding error of long rows small
  Vec<T> total = {};
  for (index begin = 0; begin < n; begin += kBlock) {
    Vec<T> part = {};
    const index count = n - begin < kBlock ? n - begin : kBlock;
    sweep<T>(count, [&](auto at, index i) __attribute__((always_inline)) { part += body(at, begin + i); });
    total += part;
  }
  return sum_of_lanes<T>(total);
}

template <class T>
void softmax_rows(index rows, index n, const T* x, T* y, T* largest, T* log_sum) {
  for (index r = 0; r < rows; ++r, x += n, y += n) {
    const T top = row_max(n, x);
    const Vec<T> shift = splat(top);
    const T total = row_sum<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      const Vec<T> e = at.only(exp<T>(at.load(x + i) - shift));
      at.store(y + i, e);
      return e;
    });
    const Vec<T> scale = splat(T(1) / total);
    sweep<T>(
        n, [&](auto at, index i) __attribute__((always_inline)) { at.store(y + i, at.load(y + i) * scale); });
    if (largest != nullptr) largest[r] = top;
    if (log_sum != nullptr) log_sum[r] = log<T>(splat(total))[0];
  }
}

template <class T>
void log_softmax_rows(index rows, index n, const T* x, T* y) {
  for (index r = 0; r < rows; ++r, x += n, y += n) {
    const Vec<T> shift = splat(row_max(n, x));
    const T total = row_sum<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      return at.only(exp<T>(at.load(x + i) - shift));
    });
    const Vec<T> log_total = log<T>(splat(total));
    sweep<T>(n, [&](auto at, index i)
                    __attribute__((always_inline)) { at.store(y + i, at.load(x + i) - shift - log_total); });
  }
}

template <class T>
void softmax_rows_backward(index rows, index n, const T* y, const T* dy, T* dx) {
  for (index r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const Vec<T> dot = splat(row_sum<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      return at.load(y + i) * at.load(dy + i);
    }));
    sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      at.store(dx + i, at.load(y + i) * (at.load(dy + i) - dot));
    });
  }
}

template <class T>
void log_softmax_rows_backward(index rows, index n, const T* y, const T* dy, T* dx) {
  for (index r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const Vec<T> total = splat(
        row_sum<T>(n, [&](auto at, index i) __attribute__((always_inline)) { return at.load(dy + i); }));
    sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      at.store(dx + i, at.load(dy + i) - exp<T>(at.load(y + i)) * total);
    });
  }
}

template <class T>
void softmax_columns(index width, index n, index pitch, const T* x, T* y, T* largest, T* log_sum) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    Vec<T> top = splat(T(-__builtin_inf()));
    for (index c = 0; c < n; ++c) top = larger<T>(top, at.load(x + c * pitch + i));
    Vec<T> total = {};
    for (index c = 0; c < n; ++c) {
      const Vec<T> e = exp<T>(at.load(x + c * pitch + i) - top);
      at.store(y + c * pitch + i, e);
      total += e;
    }
    const Vec<T> scale = T(1) / total;
    for (index c = 0; c < n; ++c) at.store(y + c * pitch + i, at.load(y + c * pitch + i) * scale);
    if (largest != nullptr) at.store(largest + i, top);
    if (log_sum != nullptr) at.store(log_sum + i, log<T>(total));
  });
}

template <class T>
void log_softmax_columns(index width, index n, index pitch, const T* x, T* y) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    Vec<T> top = splat(T(-__builtin_inf()));
    for (index c = 0; c < n; ++c) top = larger<T>(top, at.load(x + c * pitch + i));
    Vec<T> total = {};
    for (index c = 0; c < n; ++c) total += exp<T>(at.load(x + c * pitch + i) - top);
    const Vec<T> log_total = log<T>(total);
    for (index c = 0; c < n; ++c) at.store(y + c * pitch + i, at.load(x + c * pitch + i) - top - log_total);
  });
}

template <class T>
void softmax_columns_backward(index width, index n, index pitch, const T* y, const T* dy, T* dx) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    Vec<T> dot = {};
    for (index c = 0; c < n; ++c) dot += at.load(y + c * pitch + i) * at.load(dy + c * pitch + i);
    for (index c = 0; c < n; ++c) {
      const index k = c * pitch + i;
      at.store(dx + k, at.load(y + k) * (at.load(dy + k) - dot));
    }
  });
}

template <class T>
void log_softmax_columns_backward(index width, index n, index pitch, const T* y, const T* dy, T* dx) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    Vec<T> total = {};
    for (index c = 0; c < n; ++c) total += at.load(dy + c * pitch + i);
    for (index c = 0; c < n; ++c) {
      const index k = c * pitch + i;
      at.store(dx + k, at.load(dy + k) - exp<T>(at.load(y + k)) * total);
    }
  });
}

template <class T>
void cross_entropy_rows_backward(index rows, index n, const T* y, const T* total, const T* less, T* dx) {
  for (index r = 0; r < rows; ++r, y += n, dx += n) {
    const Vec<T> scale = splat(total[r]), shift = splat(-less[r]);
    const bool counts = total[r] != 0;
    sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      at.store(dx + i, counts ? fma<T>(at.load(y + i), scale, shift) : Vec<T>{});
    });
  }
}

template <class T>
void cross_entropy_columns_backward(index width, index n, index pitch, const T* y, const T* total,
                                    const T* less, T* dx) {
  sweep<T>(width, [&](auto at, index i) __attribute__((always_inline)) {
    const Vec<T> scale = at.load(total + i), shift = -at.load(less + i);
    for (index c = 0; c < n; ++c) {
      const Vec<T> d = fma<T>(at.load(y + c * pitch + i), scale, shift);
      at.store(dx + c * pitch + i, select<T>(scale == Vec<T>{}, Vec<T>{}, d));
    }
  });
}

template <class T>
constexpr SoftmaxKernels<T> make_table() {
  return {softmax_rows<T>,
          softmax_columns<T>,
          log_softmax_rows<T>,
          log_softmax_columns<T>,
          softmax_rows_backward<T>,
          softmax_columns_backward<T>,
          log_softmax_rows_backward<T>,
          log_softmax_columns_backward<T>,
          cross_entropy_rows_backward<T>,
          cross_entropy_columns_backward<T>};
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold

TENFOLD_EXPORT_KERNELS(SoftmaxKernels, make_table)
