// Broadcasting and reductions: the geometry, and the loops over it.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

// Two operands stretched to a common shape by NumPy's rule: trailing axes are matched, an extent of 1 (or a
// missing axis) repeats. The common shape is walked as `rows` rows of `inner` elements, along which an
// operand moves by 1 or stands still.
struct Broadcast {
  struct Axis {
    index size, stride_a, stride_b;
  };
  Shape shape;              // of the result
  std::vector<Axis> outer;  // axes over the rows, outermost first
  index rows = 1, inner = 1;
  index step_a = 0, step_b = 0;
  bool repeats_a = false, repeats_b = false;  // has fewer elements than the result

  index count() const { return rows * inner; }
  // Whether the operands lie like the result; one that is null is not asked.
  bool lies_whole(const void* a, const void* b) const {
    return (a == nullptr || !repeats_a) && (b == nullptr || !repeats_b);
  }
  // Where row `row` starts in a and b.
  void offsets(index row, index* a, index* b) const;
};

// Throws InvalidArgument (naming `function`, and the arguments as "input" and "other") where the shapes do
// not match.
Broadcast make_broadcast(const char* function, const Shape& a, const Shape& b);

// Consecutive elements of a result, and its operands there: from a[0], step_a apart (1 or 0), and likewise b.
template <class T>
struct BroadcastPart {
  index offset, n;
  const T* a;
  index step_a;
  const T* b;
  index step_b;
};

// Rows shorter than this are taken many at a time, for which operands that repeat are laid out in a scratch.
constexpr index kShortRow = 64;
constexpr index kLaidOut = 2048;
template <class T>
struct LaidOut {
  T a[kLaidOut + 16 / sizeof(T)], b[kLaidOut + 16 / sizeof(T)];  // a row's last 16 bytes may run over its end
};

// The elements of one row from `begin` on, n at most, or n in any rows where no operand repeats. An operand that is null
// stays null, here and below.
template <class T>
BroadcastPart<T> part_of_row(const Broadcast& geometry, index row, index begin, index n, const T* a,
                             const T* b);
// Some whole rows, with kLaidOut elements at most.
template <class T>
BroadcastPart<T> part_of_rows(const Broadcast& geometry, index row, index rows, const T* a, const T* b,
                              LaidOut<T>& scratch);

// body(part) for the n elements from `offset` on, one part after the other.
template <class T, class Body>
void parts_between(const Broadcast& g, index offset, index n, const T* a, const T* b, const Body& body) {
  const bool together = g.inner < kShortRow && !g.lies_whole(a, b);
  LaidOut<T> scratch;
  while (n > 0) {
    const index row = offset / g.inner, begin = offset % g.inner;
    const index rows = together && begin == 0 ? std::min(n, kLaidOut) / g.inner : 0;
    const BroadcastPart<T> part =
        rows > 1 ? part_of_rows(g, row, rows, a, b, scratch) : part_of_row(g, row, begin, n, a, b);
    body(part);
    offset += part.n, n -= part.n;
  }
}

// body(part) for all elements of the result, by all members. SPMD.
template <class T, class Body>
void for_parts(const Team& team, const Broadcast& g, const T* a, const T* b, const Body& body) {
  constexpr index kBlock = 4096;
  const bool whole = g.lies_whole(a, b);
  if (whole || g.inner < kShortRow) {
    const index block = whole ? kBlock : kLaidOut / g.inner * g.inner, count = g.count();
    team.for_each(divide_up(count, block), [&](index i) {
      parts_between(g, i * block, std::min(block, count - i * block), a, b, body);
    });
    return;
  }
  const index per_row = divide_up(g.inner, kBlock);
  team.for_each(g.rows * per_row,
                [&](index i) { body(part_of_row(g, i / per_row, i % per_row * kBlock, kBlock, a, b)); });
}

enum class Reduction { sum, mean, max, min };

// An array folded over some of its axes. Its elements are walked in three levels: outer kept axes, outer
// folded axes and the innermost (collapsed) axis, which is either kept or folded.
struct Reduce {
  struct Axis {
    index size, stride;
  };
  std::vector<Axis> kept, folded;          // outer axes, outermost first
  index kept_count = 1, folded_count = 1;  // of the outer axes
  index inner = 1;
  bool inner_folded = false;
  Shape shape;  // of the result, with extents of 1 for the folded axes

  index outputs() const { return inner_folded ? kept_count : kept_count * inner; }
  index terms() const { return inner_folded ? folded_count * inner : folded_count; }  // per output
  index count() const { return outputs() * terms(); }
  index kept_offset(index i) const;
  index folded_offset(index i) const;

  // How the terms of an output are cut into pieces that are summed apart, by shape alone.
  index piece_rows() const;    // outer folded positions in a piece
  index piece_length() const;  // inner elements in a piece, where the inner axis is folded
  index pieces() const;
  // Elements of scratch memory that reduce() needs.
  index workspace_count() const;
  index produced_workspace_count(int threads) const;  // and reduce_produced()
};

// `folded[axis]` says whether an axis of `shape` goes away.
Reduce make_reduce(const Shape& shape, const std::vector<bool>& folded);
// The reduction that undoes a broadcast of `operand` to `shape`.
Reduce make_unbroadcast(const Shape& operand, const Shape& shape);

// y <- x folded. SPMD; the same bits for every number of threads. workspace has workspace_count() elements.
template <class T>
void reduce(const Team& team, const Reduce& geometry, Reduction kind, const T* x, T* workspace, T* y);

// The same, with copy <- x on the way; x is read once.
template <class T>
void reduce_copied(const Team& team, const Reduce& geometry, Reduction kind, const T* x, T* workspace, T* y,
                   T* copy);

// The same of elements that are not stored: produce(offset, n, out) writes n consecutive elements, a piece at
// a time. The workspace has produced_workspace_count(threads) elements for a team of at most that size.
template <class T>
using Producer = std::function<void(index offset, index n, T* out)>;
template <class T>
void reduce_produced(const Team& team, const Reduce& geometry, Reduction kind, const Producer<T>& produce,
                     T* workspace, T* y);

// The gradient of a sum or mean: dx <- dy / divisor, repeated. `spread`: of dx (a) and dy (b).
template <class T>
void spread_backward(const Team& team, const Broadcast& spread, T divisor, const T* dy, T* dx);
// That of an extreme: dy at the first extreme element (NaN being the most extreme), zero elsewhere.
template <class T>
void extreme_backward(const Team& team, const Reduce& geometry, const T* x, const T* y, const T* dy, T* dx);

}  // namespace tenfold
