// The gradient of a bias, summed by a weight gradient while dy is near: a pass of its own would read all of dy once more.
#pragma once

#include "tenfold/memory.h"
#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

// slot[part][filter]: parts of dy are cut by shape alone, each is summed by one member, and they are added in order.
class BiasSums {
 public:
  BiasSums() = default;
  BiasSums(index parts, index filters) : parts_(parts), filters_(filters) {}

  std::size_t bytes() const { return align_up(static_cast<std::size_t>(parts_ * filters_) * sizeof(double)); }
  double* of(std::byte* slots, index part) const {
    return reinterpret_cast<double*>(slots) + part * filters_;
  }

  template <class T>
  void add(const Team& team, std::byte* slots, T* db) const {
    constexpr index kFilters = 256;  // of an item
    team.for_range(filters_, kFilters, [&](index begin, index end) {
      for (index f = begin; f < end; ++f) {
        double total = 0;
        for (index part = 0; part < parts_; ++part) total += of(slots, part)[f];
        db[f] = static_cast<T>(total);
      }
    });
  }

 private:
  index parts_ = 0, filters_ = 0;
};

}  // namespace tenfold
