// The elements of a tensor in another order of its axes.
//
// Some are neighbours in the input, others in the output, and neither may be walked line by line while the other is
// touched a piece of a line at a time. So a tile of both is gathered in the first-level cache, from runs of the input, and
// leaves it in runs of the output.
#pragma once

#include <vector>

#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

struct PermutationAxis {
  index extent = 1;
  index from = 0, to = 0;  // elements between neighbours in the input and in the output
};

class Permutation {
 public:
  Permutation() = default;
  // Axes in the order of the output, none of which could be one with the next; `from` is given, `to` follows.
  explicit Permutation(std::vector<PermutationAxis> axes);
  Permutation inverse() const;

  template <class T>
  void run(const Team& team, const T* x, T* y) const;

 private:
  template <class T>
  void gather(index rows, index columns, const T* x, T* tile) const;

  std::vector<PermutationAxis> axes_;   // all of them
  std::vector<PermutationAxis> outer_;  // all but the three that follow
  PermutationAxis row_, column_;        // neighbours in the input, and in the output, that are no unit
  index unit_ = 1;                      // elements that stay side by side
  index count_ = 0, outer_count_ = 1;
};

}  // namespace tenfold
