// Walking contiguous memory by whole vectors, the last one partial; and sums over lanes.
#pragma once

#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

// The number of each lane.
template <class T>
TENFOLD_INLINE Mask<T> lane_numbers() {
  Mask<T> numbers = {};
  for (index i = 0; i < kLanes<T>; ++i) numbers[i] = i;
  return numbers;
}

// How body below loads and stores a whole vector, and the first `count` lanes of one.
template <class T>
struct Whole {
  __attribute__((always_inline)) Vec<T> load(const T* p) const { return TENFOLD_ISA::load(p); }
  __attribute__((always_inline)) Vec<T> load_or(const T* p, T) const { return TENFOLD_ISA::load(p); }
  __attribute__((always_inline)) void store(T* p, Vec<T> v) const { TENFOLD_ISA::store(p, v); }
  // `past`: past the caches, to a multiple of the vector's size.
  __attribute__((always_inline)) void store(T* p, Vec<T> v, bool past) const {
    if (past) {
      store_past(p, v);
    } else {
      TENFOLD_ISA::store(p, v);
    }
  }
  __attribute__((always_inline)) Vec<T> only(Vec<T> v) const { return v; }
};
template <class T>
struct Part {
  index count;
  __attribute__((always_inline)) Mask<T> present() const {
    return lane_numbers<T>() < (Mask<T>{} + (int)count);
  }
  __attribute__((always_inline)) Vec<T> load(const T* p) const { return load_first(p, count); }
  // `absent` in the lanes that do not exist
  __attribute__((always_inline)) Vec<T> load_or(const T* p, T absent) const {
    return select<T>(present(), load_first(p, count), splat(absent));
  }
  __attribute__((always_inline)) void store(T* p, Vec<T> v) const { store_first(p, v, count); }
  __attribute__((always_inline)) void store(T* p, Vec<T> v, bool) const { store_first(p, v, count); }
  // zero in the lanes that do not exist
  __attribute__((always_inline)) Vec<T> only(Vec<T> v) const { return select<T>(present(), v, Vec<T>{}); }
};

// body(at, i) for every vector of n elements; `at` loads and stores at pointer + i.
template <class T, class Body>
TENFOLD_INLINE void sweep(index n, Body body) {
  index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) body(Whole<T>{}, i);
  if (i < n) body(Part<T>{n - i}, i);
}

// y[i] = value(at, i) for n elements, where `at` loads; `past`: past the caches, never with y in an input's memory.
template <class T, class Value>
TENFOLD_INLINE void produce(index n, T* y, bool past, Value value) {
  constexpr index bytes = TENFOLD_VECTOR_BYTES;
  index i = 0, part = 0;
  if (past || n >= 8 * kLanes<T>) {  // whole vectors that lie in one line each are worth a part of one
    const index beyond = static_cast<index>(reinterpret_cast<uintptr_t>(y)) % bytes;
    if (beyond != 0) part = (bytes - beyond) / static_cast<index>(sizeof(T));
    if (part > n) part = n;
  }
  for (;;) {  // once for the first part of a vector, once for the last
    if (part > 0) store_first(y + i, value(Part<T>{part}, i), part);
    i += part;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      Whole<T>{}.store(y + i, value(Whole<T>{}, i), past);
    }
    part = n - i;
    if (part == 0) return;
  }
}

// fold(upper, lower) of the halves of a vector, of the halves of that, and so on.
template <class T, index n = kLanes<T>, class Fold>
TENFOLD_INLINE T fold_lanes(Vec<T, n> v, Fold fold) {
  if constexpr (n == 2) {
    return fold(v[1], v[0]);
  } else {
    Vec<T, n / 2> halves[2];
    __builtin_memcpy(halves, &v, sizeof v);
    return fold_lanes<T, n / 2>(fold(halves[1], halves[0]), fold);
  }
}
template <class T>
TENFOLD_INLINE T sum_of_lanes(Vec<T> v) {
  return fold_lanes<T>(v,
                       [](auto upper, auto lower) __attribute__((always_inline)) { return lower + upper; });
}
template <class T>
TENFOLD_INLINE T max_of_lanes(Vec<T> v) {
  return fold_lanes<T>(
      v, [](auto upper, auto lower) __attribute__((always_inline)) { return upper > lower ? upper : lower; });
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
