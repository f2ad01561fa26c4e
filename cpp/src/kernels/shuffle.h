// Moves between the lanes of two vectors.
#pragma once

#include "kernels/vec.h"

#if defined(__clang__)
#define TENFOLD_SHUFFLE(T, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define TENFOLD_SHUFFLE(T, a, b, ...) __builtin_shuffle(a, b, Mask<T>{__VA_ARGS__})
#endif

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// The lower / upper halves of a and b, element by element in turn: a0 b0 a1 b1 ...
template <class T>
TENFOLD_INLINE void interleave(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high) {
  if constexpr (kLanes<T> == 2) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 2);
    high = TENFOLD_SHUFFLE(T, a, b, 1, 3);
  } else if constexpr (kLanes<T> == 4) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 4, 1, 5);
    high = TENFOLD_SHUFFLE(T, a, b, 2, 6, 3, 7);
  } else if constexpr (kLanes<T> == 8) {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    high = TENFOLD_SHUFFLE(T, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  } else {
    low = TENFOLD_SHUFFLE(T, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    high = TENFOLD_SHUFFLE(T, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
}

// The inverse: the even and the odd elements of a followed by b.
template <class T>
TENFOLD_INLINE void separate(Vec<T> a, Vec<T> b, Vec<T>& even, Vec<T>& odd) {
  if constexpr (kLanes<T> == 2) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3);
  } else if constexpr (kLanes<T> == 4) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7);
  } else if constexpr (kLanes<T> == 8) {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7, 9, 11, 13, 15);
  } else {
    even = TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    odd = TENFOLD_SHUFFLE(T, a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  }
}

// x[i][j] <-- x[j][i] of a square of vectors: log2(kLanes) rounds of the perfect shuffle.
template <class T>
TENFOLD_INLINE void transpose_lanes(Vec<T>* x) {
  constexpr int L = static_cast<int>(kLanes<T>);
  Vec<T> y[L];
#pragma GCC unroll 16
  for (int round = 1; round < L; round *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < L / 2; ++i) interleave<T>(x[i], x[i + L / 2], y[2 * i], y[2 * i + 1]);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) x[i] = y[i];
  }
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
