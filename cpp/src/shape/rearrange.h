// Permute, slice, pad, broadcast and flip are one operation: every output axis looks through a table at one
// input axis.
//
//   y[o_0, o_1, ...] = x[t_0[o_0], t_1[o_1], ...], or the constant where any t is -1
//
// The axes stand in the order of the output; `stride` says where an axis lies in the input, so a permutation
// is a matter of strides. The gradient adds: dx[i] = sum of dy[o] over all o with t[o] = i.
#pragma once

#include <vector>

#include "shape/permutation.h"
#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

struct RearrangeAxis {
  index output = 1;          // extent in the output
  index input = 1;           // extent in the input
  index stride = 0;          // elements between neighbours of this axis in the input
  std::vector<index> table;  // table[o]: the input position of output o, or -1; empty: o itself
};

class Rearrange {
 public:
  static constexpr int kMaxAxes = 16;

  // The product of the input extents is the size of the input: an axis that the output drops has output 1 or
  // none of its positions in the table.
  explicit Rearrange(std::vector<RearrangeAxis> axes);

  template <class T>
  void forward(const Team& team, const T* x, T constant, T* y) const;
  // Overwrites dx. Every element of dx is summed by one member: lines in the order of the output, of each its run first.
  template <class T>
  void backward(const Team& team, const T* dy, T* dx) const;

 private:
  // An axis, and for backward the outputs that read each input: readers[first[i]] .. readers[first[i + 1] -
  // 1].
  struct Axis : RearrangeAxis {
    index output_stride = 1;
    std::vector<index> first, readers;
  };

  // Where nothing is left out, repeated or turned round.
  bool permutes_ = false;
  Permutation permutation_, inverse_;

  std::vector<Axis> outer_;  // all but the last axis
  Axis line_;                // the last axis
  index run_begin_ = 0, run_end_ = 0,
        run_start_ = 0;    // outputs run_begin .. run_end read run_start, run_start + 1, ...
  bool repeats_ = false;   // a line is one element again and again
  bool reverses_ = false;  // a line is one of the input turned round
  bool covers_ = false;    // the run is all of a line, whose elements lie side by side
  index output_lines_ = 1, input_lines_ = 1;
};

}  // namespace tenfold
