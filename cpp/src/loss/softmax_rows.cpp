#include "loss/softmax_rows.h"

#include <algorithm>

#include "kernels/gemm.h"
#include "kernels/softmax.h"

namespace tenfold {
namespace {

// Elements of a row; longer ones have vectors enough.
constexpr index kShort = 32, kShortGradient = 12;
constexpr index kWidth = 32;  // rows that are turned together
constexpr index kGrain = 1024;
// Elements of a row that leaves past the caches, at least: the parts of lines at its ends do not.
constexpr index kLeastPast = 512;

// compute(row, width, turned) for some rows at a time: `turned` holds n rows of kWidth elements of each source, and the
// first one takes the results, which are turned back into y.
template <class T, int sources, class Compute>
void turned(index rows, index n, const T* const (&source)[sources], T* y, Compute compute) {
  const auto& k = kernels<GemmKernels, T>();
  alignas(64) T columns[sources][kShort * kWidth];
  for (index row = 0; row < rows; row += kWidth) {
    const index width = std::min(kWidth, rows - row), at = row * n;
    for (int i = 0; i < sources; ++i) k.pack(width, n, source[i] + at, n, 1, kWidth, columns[i]);
    compute(row, width, columns);
    k.pack(n, width, columns[0], kWidth, 1, n, y + at);
  }
}

template <class T>
T* at(T* p, index i) {
  return p == nullptr ? nullptr : p + i;
}

}  // namespace

index softmax_grain(index n) {
  return std::max<index>(4, kGrain / std::max<index>(1, n));
}

template <class T>
void softmax_rows(index rows, index n, const T* x, T* y, T* largest, T* log_sum, bool past) {
  const auto& k = kernels<SoftmaxKernels, T>();
  if (n > kShort)
    return k.softmax_rows(rows, n, x, y, largest, log_sum, past && n >= kLeastPast && n <= kSoftmaxMostPast);
  turned<T>(rows, n, {x}, y, [&](index row, index width, auto& t) {
    k.softmax_columns(width, n, kWidth, t[0], t[0], at(largest, row), at(log_sum, row));
  });
}

template <class T>
void log_softmax_rows(index rows, index n, const T* x, T* y, bool past) {
  const auto& k = kernels<SoftmaxKernels, T>();
  if (n > kShort) return k.log_softmax_rows(rows, n, x, y, past && n >= kLeastPast);
  turned<T>(rows, n, {x}, y, [&](index /*row*/, index width, auto& t) {
    k.log_softmax_columns(width, n, kWidth, t[0], t[0]);
  });
}

template <class T>
void log_softmax_rows_backward(index rows, index n, const T* y, const T* dy, T* dx) {
  const auto& k = kernels<SoftmaxKernels, T>();
  if (n > kShortGradient) return k.log_softmax_rows_backward(rows, n, y, dy, dx);
  turned<T>(rows, n, {y, dy}, dx, [&](index /*row*/, index width, auto& t) {
    k.log_softmax_columns_backward(width, n, kWidth, t[0], t[1], t[0]);
  });
}

template void softmax_rows(index, index, const float*, float*, float*, float*, bool);
template void softmax_rows(index, index, const double*, double*, double*, double*, bool);
template void log_softmax_rows(index, index, const float*, float*, bool);
template void log_softmax_rows(index, index, const double*, double*, bool);
template void log_softmax_rows_backward(index, index, const float*, const float*, float*);
template void log_softmax_rows_backward(index, index, const double*, const double*, double*);

}  // namespace tenfold
