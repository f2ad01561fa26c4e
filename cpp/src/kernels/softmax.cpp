#include "kernels/softmax.h"

#include "kernels/line.h"
#include "kernels/math.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// The maximum of what it looks at; NaN is left out (it comes back through x - max).
template <class T>
struct RunningMax {
  template <class At>
  __attribute__((always_inline)) void look(At at, const T* x) {
    best = larger<T>(at.load_or(x, T(-__builtin_inf())), best);
  }
  T value() const { return max_of_lanes<T>(best); }

  Vec<T> best = splat(T(-__builtin_inf()));
};

template <class T>
TENFOLD_INLINE T row_max(index n, const T* x) {
  RunningMax<T> max;
  sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) { max.look(at, x + i); });
  return max.value();
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

// How far on the next row is, where asking for it while this one is computed pays: the processor itself stops at pages.
template <class T>
TENFOLD_INLINE index next_row(index r, index rows, index n) {
  constexpr index kMost = (index{1} << 18) / sizeof(T);  // longer ones do not stay near until they are read
  return r + 1 < rows && n <= kMost ? n : 0;
}

// Parts of lines that are stored past the caches with work between them leave one by one.
constexpr bool kPasses = TENFOLD_VECTOR_BYTES == kLineBytes;

template <class T>
void softmax_rows(index rows, index n, const T* x, T* y, T* largest, T* log_sum, bool past) {
  past = past && kPasses;
  // Exponentials wait for their sum where they go, unless that is past the caches.
  alignas(64) T scratch[kSoftmaxMostPast];
  T top = rows > 0 ? row_max(n, x) : T(0);
  for (index r = 0; r < rows; ++r, x += n, y += n) {
    const index ahead = next_row<T>(r, rows, n), then = next_row<T>(r + 1, rows, n) + ahead;
    const Vec<T> shift = splat(top);
    T* const waiting = past ? scratch : y;
    const T* const asked = past ? scratch : y + ahead;
    RunningMax<T> next;  // beside what waits for multiply-adds a maximum costs nothing
    const T total = row_sum<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      const Vec<T> e = at.only(exp_nonpositive_fast<T>(at.load(x + i) - shift));
      at.store(waiting + i, e);
      next.look(at, x + ahead + i);
      __builtin_prefetch(x + then + i);
      __builtin_prefetch(asked + i, 1);
      return e;
    });
    const Vec<T> scale = splat(T(1) / total);
    produce<T>(n, y, past,
               [&](auto at, index i) __attribute__((always_inline)) { return at.load(waiting + i) * scale; });
    if (largest != nullptr) largest[r] = top;
    if (log_sum != nullptr) log_sum[r] = log<T>(splat(total))[0];
    if (r + 1 < rows) top = ahead > 0 ? next.value() : row_max(n, x + n);
  }
}

template <class T>
void log_softmax_rows(index rows, index n, const T* x, T* y, bool past) {
  past = past && kPasses;
  T top = rows > 0 ? row_max(n, x) : T(0);
  for (index r = 0; r < rows; ++r, x += n, y += n) {
    const index ahead = next_row<T>(r, rows, n), then = next_row<T>(r + 1, rows, n) + ahead;
    const Vec<T> shift = splat(top);
    RunningMax<T> next;
    const T total = row_sum<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      next.look(at, x + ahead + i);
      __builtin_prefetch(x + then + i);
      return at.only(exp_nonpositive_fast<T>(at.load(x + i) - shift));
    });
    const Vec<T> log_total = log<T>(splat(total));
    produce<T>(n, y, past, [&](auto at, index i) __attribute__((always_inline)) {
      return at.load(x + i) - shift - log_total;
    });
    if (r + 1 < rows) top = ahead > 0 ? next.value() : row_max(n, x + n);
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
    const index ahead = next_row<T>(r, rows, n);
    const Vec<T> total = splat(
        row_sum<T>(n, [&](auto at, index i) __attribute__((always_inline)) { return at.load(dy + i); }));
    sweep<T>(n, [&](auto at, index i) __attribute__((always_inline)) {
      __builtin_prefetch(y + ahead + i);
      __builtin_prefetch(dy + ahead + i);
      at.store(dx + i, at.load(dy + i) - exp_nonpositive_fast<T>(at.load(y + i)) * total);
    });
  }
}

// Columns side by side, of which a plane has a few lines: what lies `pitch` apart would be fetched by the line, again and again.
constexpr index kTogether = 16;  // vectors

// One value of each column of a block, of which the first `count` are used.
template <class T>
struct ColumnValues {
  ColumnValues(T start, index count) {
    for (index i = 0; i < count; i += kLanes<T>) (*this)[i] = splat(start);
  }
  __attribute__((always_inline)) Vec<T>& operator[](index i) { return values[i / kLanes<T>]; }
  Vec<T> values[kTogether];
};

// body(begin, count) for blocks of columns.
template <class T, class Body>
TENFOLD_INLINE void column_blocks(index width, Body body) {
  constexpr index step = kTogether * kLanes<T>;
  for (index begin = 0; begin < width; begin += step)
    body(begin, width - begin < step ? width - begin : step);
}

// body(at, i, k) for all vectors of a block, plane by plane; i: within the plane, k: from the first plane's beginning.
template <class T, class Body>
TENFOLD_INLINE void planes(index count, index n, index pitch, Body body) {
  for (index c = 0; c < n; ++c) {
    sweep<T>(count, [&](auto at, index i) __attribute__((always_inline)) { body(at, i, c * pitch + i); });
  }
}

// The maxima of a block's columns.
template <class T>
TENFOLD_INLINE ColumnValues<T> column_max(index count, index n, index pitch, const T* x) {
  ColumnValues<T> top(T(-__builtin_inf()), count);
  planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
    top[i] = larger<T>(at.load(x + k), top[i]);
  });
  return top;
}

template <class T>
void softmax_columns(index width, index n, index pitch, const T* x, T* y, T* largest, T* log_sum) {
  column_blocks<T>(width, [&](index begin, index count) __attribute__((always_inline)) {
    const T* const from = x + begin;
    T* const to = y + begin;
    ColumnValues<T> top = column_max(count, n, pitch, from), total(0, count);
    planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
      const Vec<T> e = exp_nonpositive_fast<T>(at.load(from + k) - top[i]);
      at.store(to + k, e);
      total[i] += e;
    });
    sweep<T>(count, [&](auto at, index i) __attribute__((always_inline)) {
      if (largest != nullptr) at.store(largest + begin + i, top[i]);
      if (log_sum != nullptr) at.store(log_sum + begin + i, log<T>(total[i]));
      total[i] = T(1) / total[i];
    });
    planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
      at.store(to + k, at.load(to + k) * total[i]);
    });
  });
}

template <class T>
void log_softmax_columns(index width, index n, index pitch, const T* x, T* y) {
  column_blocks<T>(width, [&](index begin, index count) __attribute__((always_inline)) {
    const T* const from = x + begin;
    ColumnValues<T> top = column_max(count, n, pitch, from), total(0, count);
    planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
      total[i] += exp_nonpositive_fast<T>(at.load(from + k) - top[i]);
    });
    for (index i = 0; i < count; i += kLanes<T>) total[i] = log<T>(total[i]);
    planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
      at.store(y + begin + k, at.load(from + k) - top[i] - total[i]);
    });
  });
}

template <class T>
void softmax_columns_backward(index width, index n, index pitch, const T* y, const T* dy, T* dx) {
  column_blocks<T>(width, [&](index begin, index count) __attribute__((always_inline)) {
    const T *const value = y + begin, *const d = dy + begin;
    ColumnValues<T> dot(0, count);
    planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
      dot[i] += at.load(value + k) * at.load(d + k);
    });
    planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
      at.store(dx + begin + k, at.load(value + k) * (at.load(d + k) - dot[i]));
    });
  });
}

template <class T>
void log_softmax_columns_backward(index width, index n, index pitch, const T* y, const T* dy, T* dx) {
  column_blocks<T>(width, [&](index begin, index count) __attribute__((always_inline)) {
    const T *const value = y + begin, *const d = dy + begin;
    ColumnValues<T> total(0, count);
    planes<T>(count, n, pitch,
              [&](auto at, index i, index k) __attribute__((always_inline)) { total[i] += at.load(d + k); });
    planes<T>(count, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
      at.store(dx + begin + k, at.load(d + k) - exp_nonpositive_fast<T>(at.load(value + k)) * total[i]);
    });
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
  planes<T>(width, n, pitch, [&](auto at, index i, index k) __attribute__((always_inline)) {
    const Vec<T> scale = at.load(total + i);
    const Vec<T> d = fma<T>(at.load(y + k), scale, -at.load(less + i));
    at.store(dx + k, select<T>(scale == Vec<T>{}, Vec<T>{}, d));
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
