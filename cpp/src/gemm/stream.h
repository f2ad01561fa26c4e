// Products of few rows with a B that no cache holds and that lies row by row.
//
// Tiles that go down their columns would take a piece of a line from every row of B, and come back for the next one when
// lines and pages have been forgotten. Instead B goes by once, in long runs of some of its rows, and the sums stay near:
//
//   for each piece of the columns: an item
//     for each part of K: column panels (packed, where several row panels share them), row panels (packed)
//       sums += register tile
//     C <-- sums
//
// Same bits at every team size: parts and pieces depend on the shape alone, and an item is one member's.
#pragma once

#include <cstddef>

#include "gemm/driver.h"

namespace tenfold {

template <class T>
struct StreamPlan {
  GemmPlan<T> tiles;    // of the product as it is computed: transposed where A is what goes by
  bool turned = false;  // that is so, and C is turned when it is written
  index kc = 0;         // a part of K
  index pieces = 0;
  Cut by_piece;  // column panels

  index widest() const { return by_piece.begin(1) * tiles.width; }  // columns of a piece
  bool packs() const { return tiles.m_panels > 1; }
  index pitch() const;  // of the sums
  // Of one member: sums, packed columns and packed rows.
  index sums() const { return tiles.m * pitch(); }
  index packed_b() const { return kc * (packs() ? widest() : tiles.width); }
  index packed_a() const { return GemmPlan<T>::round_up(kc * kGemmMaxRows); }
  std::size_t workspace(int threads) const {
    return static_cast<std::size_t>(threads * (sums() + packed_b() + packed_a())) * sizeof(T);
  }
};

// Whether a product of so many rows with a B of k rows of n elements, side by side, is one of those.
template <class T>
bool streams(index rows, index n, index k);

template <class T>
StreamPlan<T> plan_stream(index rows, index n, index k, bool turned);

// C (or, turned, its transpose) = A B with A[i][k] = a.data[i * a.row + k * a.step], into c.
template <class T>
void run_stream(const Team& team, const StreamPlan<T>& plan, const StridedA<T>& a, const StridedB<T>& b,
                const StridedC<T>& c, std::byte* workspace);

}  // namespace tenfold
