// Products of matrices that lie in memory with two strides: in which form they are computed, which operand is
// packed and which is read where it lies.
#pragma once

#include "gemm/driver.h"
#include "gemm/stream.h"
#include "tenfold/gemm.h"

namespace tenfold {

// Element (i, j) of op(X) lies at x[i * row + j * column].
struct MatrixLayout {
  index row, column;
  bool operator==(const MatrixLayout& other) const { return row == other.row && column == other.column; }
};

inline MatrixLayout layout(Transpose transpose, index pitch) {
  return transpose == Transpose::yes ? MatrixLayout{1, pitch} : MatrixLayout{pitch, 1};
}

// Rows a multiple of so many bytes apart lie in the same sets of the caches, which hold those of a flat tile.
constexpr index kAliasedBytes = 4096;
constexpr index kFlatRows = 6;
template <class T>
bool aliased(index pitch) {
  return pitch * static_cast<index>(sizeof(T)) % kAliasedBytes == 0;
}

// From row to row of so many elements that begin at lines of the caches and do not alias.
template <class T>
index row_pitch(index elements) {
  const index pitch = divide_up(elements, kLine<T>) * kLine<T>;
  return aliased<T>(pitch) ? pitch + kLine<T> : pitch;
}

// Elements of an operand that stays near.
template <class T>
constexpr index kNear = 1024 * 1024 / static_cast<index>(sizeof(T));
// Whether an A of so many elements is large and read across rows that alias: no height of a tile helps.
template <class T>
bool aliased_across(MatrixLayout a, index elements) {
  return a.row == 1 && elements > kNear<T> && aliased<T>(a.column);
}
// The rows of a tile for which the sets hold an A that is read along its rows.
template <class T>
index tallest_tile(MatrixLayout a) {
  return a.row != 1 && aliased<T>(a.row) ? kFlatRows : kGemmMaxRows;
}

// tiles: rows of A in the rows of a register tile, columns of B in its vectors.
// transposed: the transposed product in that form; a tile is turned when it is written.
// dots: both operands run along k in the vectors; one that does not is copied, by every member for itself. The larger
// one goes by once, the other one stays near. For operands that are used a few times.
// streamed: few rows, or few columns, by an operand that no cache holds, which goes by once (gemm/stream.h).
enum class ProductForm { tiles, transposed, dots, streamed };

template <class T>
struct StridedPlan {
  ProductForm form = ProductForm::tiles;
  index m = 0, n = 0, k = 0;
  MatrixLayout a{}, b{};
  GemmPlan<T> tiles;  // of the transposed product in that form
  StreamPlan<T> stream;
  double time = 0;  // estimate for one thread, packing included, in multiply-adds of a vector
  // Of the dot form: whether it is A that goes by; how many panels of that an item takes, how many items share them, and
  // the part of K that a tile sums at a time.
  bool streams_a = false;
  index band = 0, cuts = 1, kc = 0;

  const GemmKernels<T>& kernels() const { return *tiles.kernels; }
  bool copies_a() const { return form == ProductForm::dots && a.column != 1; }
  bool copies_b() const { return form == ProductForm::dots && b.row != 1; }
  index copies() const { return GemmPlan<T>::round_up((copies_a() ? m * k : 0) + (copies_b() ? n * k : 0)); }
  // Panels of the operand that goes by, and of the one that stays near.
  index passing_panels() const { return divide_up(streams_a ? m : n, kernels().dot_columns); }
  index near_panels() const { return divide_up(streams_a ? n : m, kernels().dot_rows); }
  // What the tiles of an item leave between the parts of K.
  index parts() const {
    return kc >= k ? 0
                   : band * divide_up(near_panels(), cuts) * kernels().dot_rows * kernels().dot_columns *
                         kernels().lanes;
  }
  std::size_t workspace(int threads) const {
    switch (form) {
      case ProductForm::dots:
        return static_cast<std::size_t>(threads * (copies() + parts())) * sizeof(T);
      case ProductForm::streamed:
        return stream.workspace(threads);
      default:
        return tiles.workspace(threads);
    }
  }
};

// A plan for C (M x N) = A (M x K) B (K x N) with operands of these layouts.
template <class T>
StridedPlan<T> plan_strided(index m, index n, index k, MatrixLayout a, MatrixLayout b);

// The same in tiles, for a caller's own C; `grain` as for make_gemm_plan.
template <class T>
GemmPlan<T> plan_strided_tiles(index m, index n, index k, MatrixLayout a, MatrixLayout b, index grain = 1);

// Whether an A of this layout is cheaper to read where it lies, for every panel of columns again, than to pack.
template <class T>
bool reads_a_in_place(const GemmPlan<T>& plan, MatrixLayout a);

// C = A B into c, shared out among the team; `workspace` as plan.workspace(team.size()) says, aligned to 64.
template <class T>
void run_strided(const Team& team, const StridedPlan<T>& plan, const T* a, const T* b, const StridedC<T>& c,
                 std::byte* workspace);

}  // namespace tenfold
