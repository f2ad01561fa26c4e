// Rows of an output, written one after the other: straight to their place, or past the caches (kernels/past.h).
#pragma once

#include "kernels/past.h"
#include "kernels/vec.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T>
class RowWriter {
 public:
  // `count`: elements of all rows. `past`: rows are gathered in scratch memory, from where whole lines leave.
  RowWriter(T* to, index count, bool past) : to_(to), all_(to + count), past_(past) {
    if (past_) begin_ = end_ = reinterpret_cast<uintptr_t>(to) % kLineBytes / sizeof(T);
  }
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;
  // To be called after the last row. (A destructor would bring the exception tables' weak symbols into the kernels.)
  void finish() { flush(end_); }

  // How far what is written to `row`, which next() has returned last, may reach over the rows behind it, which are still to
  // be written.
  const T* limit(const T* row) const {
    const bool kept = past_ && row >= scratch_ && row < scratch_ + kRoom;
    return kept ? scratch_ + kRoom + kBehind : all_;
  }

  // Where the next n elements are to be written, before the next call; in any order.
  T* next(index n) {
    if (!past_) {
      T* const row = to_;
      to_ += n;
      return row;
    }
    if (end_ >= kBlock || end_ + n > kRoom) flush(end_ / kLine<T> * kLine<T>);
    if (end_ + n > kRoom) return wide(n);
    T* const row = scratch_ + end_;
    end_ += n;
    return row;
  }

 private:
  // Blocks of 2 KB are copied as fast as the kernels store past the caches themselves; 8 KB lose a quarter. The rest of
  // the room is for rows that are longer.
  static constexpr index kBlock = 2048 / sizeof(T), kRoom = 4 * kBlock;

  static constexpr index kBehind = 2 * kLanes<T>;  // for what reaches over the last row that has room

  // Elements up to `until` leave; `to_` is the place of element begin_.
  void flush(index until) {
    if (until <= begin_) return;
    write_past(to_, scratch_ + begin_, (until - begin_) * static_cast<index>(sizeof(T)));
    to_ += until - begin_;
    for (index i = until; i < end_; ++i) scratch_[i - until] = scratch_[i];
    begin_ = 0, end_ -= until;
  }
  // A row that has no room in the scratch memory.
  T* wide(index n) {
    flush(end_);
    T* const row = to_;
    to_ += n;
    begin_ = end_ = reinterpret_cast<uintptr_t>(to_) % kLineBytes / sizeof(T);
    return row;
  }

  T* to_;
  T* const all_;
  const bool past_;
  index begin_ = 0, end_ = 0;
  alignas(kLineBytes) T scratch_[kRoom + kBehind];
};

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
