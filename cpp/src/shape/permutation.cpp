#include "shape/permutation.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/gemm.h"
#include "kernels/past.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kTileBytes = 16384, kLongUnitBytes = 256;
constexpr index kSide = 64;  // of a tile, where both axes are that long

}  // namespace

Permutation::Permutation(std::vector<PermutationAxis> axes) : axes_(std::move(axes)) {
  count_ = 1;
  for (std::size_t a = axes_.size(); a-- > 0;) {
    axes_[a].to = count_;
    count_ *= axes_[a].extent;
  }
  outer_ = axes_;
  if (!outer_.empty() && outer_.back().from == 1) {
    unit_ = outer_.back().extent;
    outer_.pop_back();
  }
  if (!outer_.empty()) {
    column_ = outer_.back();
    outer_.pop_back();
  }
  const auto row = std::find_if(outer_.begin(), outer_.end(),
                                [this](const PermutationAxis& a) { return a.from == unit_; });
  if (row != outer_.end()) {
    row_ = *row;
    outer_.erase(row);
  }
  for (const PermutationAxis& axis : outer_) outer_count_ *= axis.extent;
}

Permutation Permutation::inverse() const {
  std::vector<PermutationAxis> axes = axes_;
  std::sort(axes.begin(), axes.end(),
            [](const PermutationAxis& a, const PermutationAxis& b) { return a.from > b.from; });
  for (PermutationAxis& axis : axes) axis.from = axis.to;
  return Permutation(std::move(axes));
}

// tile[r][c] = x[r][c], units as they are.
template <class T>
void Permutation::gather(index rows, index columns, const T* x, T* tile) const {
  const index width = columns * unit_;
  if constexpr (!std::is_same_v<T, index>) {
    if (unit_ == 1) return kernels<GemmKernels, T>().pack(columns, rows, x, column_.from, 1, columns, tile);
  }
  for (index c = 0; c < columns; ++c) {
    const T* const source = x + c * column_.from;
    T* const target = tile + c * unit_;
    if (unit_ == 1) {
      for (index r = 0; r < rows; ++r) target[r * width] = source[r];
    } else {
      for (index r = 0; r < rows; ++r) std::copy_n(source + r * unit_, unit_, target + r * width);
    }
  }
}

template <class T>
void Permutation::run(const Team& team, const T* x, T* y) const {
  if (count_ == 0) return;
  const index element = static_cast<index>(sizeof(T)), room = kTileBytes / element;
  const bool past = passes_caches(static_cast<std::size_t>(count_ * element));
  const auto copy = [past](const T* from, index n, T* to) {
    if (past) {
      write_past(to, from, n * static_cast<index>(sizeof(T)));
    } else {
      copy_elements(from, n, to);
    }
  };
  const bool direct = unit_ * element >= kLongUnitBytes;
  const index piece_units = std::max<index>(1, room / unit_);
  // Long units are written in order; of short ones both sides of a tile are runs.
  index tile_rows = direct ? 1 : std::min({row_.extent, piece_units, kSide});
  const index tile_columns = std::min(column_.extent, std::max<index>(1, piece_units / tile_rows));
  tile_rows = std::min(row_.extent, std::max<index>(1, piece_units / tile_columns));
  const index across = divide_up(row_.extent, tile_rows), along = divide_up(column_.extent, tile_columns);
  const index chunks = divide_up(unit_, room);  // of a unit that is longer than a tile
  team.for_each(outer_count_ * across * along * chunks, [&](index piece) {
    index rest = piece / chunks;
    const index row = rest % across * tile_rows;
    rest /= across;
    const index column = rest % along * tile_columns;
    rest /= along;
    const T* from = x + row * row_.from + column * column_.from;
    T* to = y + row * row_.to + column * column_.to;
    for (std::size_t a = outer_.size(); a-- > 0;) {
      const index at = rest % outer_[a].extent;
      rest /= outer_[a].extent;
      from += at * outer_[a].from, to += at * outer_[a].to;
    }
    const index rows = std::min(tile_rows, row_.extent - row);
    const index columns = std::min(tile_columns, column_.extent - column), width = columns * unit_;
    if (direct) {
      const index begin = piece % chunks * room, n = std::min(room, unit_ - begin);
      for (index r = 0; r < rows; ++r) {
        for (index c = 0; c < columns; ++c) {
          copy(from + r * row_.from + c * column_.from + begin, n, to + r * row_.to + c * unit_ + begin);
        }
      }
      return;
    }
    alignas(kLineBytes) T tile[kTileBytes / sizeof(T)];
    gather(rows, columns, from, tile);
    if (row_.to == width) return copy(tile, rows * width, to);
    for (index r = 0; r < rows; ++r) copy(tile + r * width, width, to + r * row_.to);
  });
}

template void Permutation::run(const Team&, const float*, float*) const;
template void Permutation::run(const Team&, const double*, double*) const;
template void Permutation::run(const Team&, const index*, index*) const;

}  // namespace tenfold
