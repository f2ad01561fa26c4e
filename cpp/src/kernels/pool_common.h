// What the pools share: columns of a stride of 2, parts of vectors, and numbers.
#pragma once

#include "kernels/shuffle.h"
#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// Elements 0, 2, 4, ... of a followed by b; elements 1, 3, 5, ...
template <class T>
TENFOLD_INLINE Vec<T> evens(Vec<T> a, Vec<T> b) {
  Vec<T> even, odd;
  separate<T>(a, b, even, odd);
  return even;
}
template <class T>
TENFOLD_INLINE Vec<T> odds(Vec<T> a, Vec<T> b) {
  Vec<T> even, odd;
  separate<T>(a, b, even, odd);
  return odd;
}
// The even elements of a, then the odd ones of b: what two loads that overlap by one element need.
template <class T>
TENFOLD_INLINE Vec<T> evens_odds(Vec<T> a, Vec<T> b) {
  if constexpr (kLanes<T> == 16) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
  } else if constexpr (kLanes<T> == 8) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 4, 6, 9, 11, 13, 15);
  } else if constexpr (kLanes<T> == 4) {
    return TENFOLD_SHUFFLE(T, a, b, 0, 2, 5, 7);
  } else {
    return TENFOLD_SHUFFLE(T, a, b, 0, 3);
  }
}
TENFOLD_INLINE index least(index a, index b) {
  return a < b ? a : b;
}
TENFOLD_INLINE index most(index a, index b) {
  return a > b ? a : b;
}

// How far ahead of its reader the input is asked for, into the second-level cache: what is asked for too late comes no
// sooner.
constexpr index kAheadBytes = 8 * 1024;

// load_first for 0 <= n <= kLanes.
template <bool kWhole, class T>
TENFOLD_INLINE Vec<T> load_part(const T* p, index n) {
  if constexpr (kWhole) {
    static_cast<void>(n);
    return load(p);
  } else {
    return n > 0 ? load_first(p, least(n, kLanes<T>)) : Vec<T>{};
  }
}

template <int N>
struct Number {
  static constexpr int value = N;
};

template <class T>
void fill(index n, T value, T* x) {
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(x + i, splat(value));
  for (; i < n; ++i) x[i] = value;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
