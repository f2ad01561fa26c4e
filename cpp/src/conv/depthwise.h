// Depthwise convolution: one input channel a group, and one or a few filters on it.
//
// There is no sum over channels, so nothing pays for packing. Windows of 3 x 3 read the rows of a plane where they lie
// (DepthwiseThree). For the others, and for the gradient of the weights, a channel's plane is copied into scratch
// memory, padded and split by stride phase as shift.h describes, a strip of rows at a time, and the register tiles of
// kernels/depthwise.h slide over the copy while it lies in the first-level cache.
//
//   scratch[(u0, phase0)][phase1][u1] <-- source[p0][p1]
#pragma once

#include <cstddef>
#include <vector>

#include "conv/shift.h"
#include "kernels/depthwise.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Whether the classes below take a convolution's operators, and are the better choice.
bool depthwise_applies(const ConvGeometry& geometry);
bool depthwise_adjoint_applies(const ConvGeometry& geometry);

// The padded planes of a source, strip by strip.
template <class T>
class DepthwiseSource {
 public:
  // height and width outlive this.
  DepthwiseSource(const ShiftAxis& height, const ShiftAxis& width, T fill);

  index strips() const { return strips_; }
  index strip() const { return strip_; }  // grid rows
  bool halves() const { return halves_; }
  index row() const { return padding_.row; }
  index row_offset(const ShiftTap& tap) const {
    return (tap.shift * height_phases_ + tap.phase) * padding_.row;
  }
  index column_offset(const ShiftTap& tap) const { return tap.phase * padding_.pitch + tap.shift; }
  index row_step() const { return height_phases_ * padding_.row; }
  index source_plane() const { return height_.source * width_.source; }
  index elements() const { return elements_; }

  // Copies strip s of a plane; returns where grid row s * strip(), column 0 lies. A scratch is fresh until a strip of
  // the full number of rows has been loaded.
  const T* load(const T* plane, index s, bool fresh, T* scratch) const;
  // Where the rows begin that `load` copies after strip s, if the planes lie one behind the other.
  const T* next(const T* plane, index s) const;
  // Bytes of a strip; cache lines of the source for every vector of the target.
  index strip_bytes() const {
    return strip_ * height_phases_ * width_.source * static_cast<index>(sizeof(T));
  }
  index lines() const;

 private:
  const ShiftAxis &height_, &width_;
  const DepthwiseKernels<T>& k_;
  T fill_;
  DepthwisePadding padding_ = {};
  std::vector<index> row_source_;
  index height_phases_ = 1, strip_ = 1, strips_ = 1, lead_ = 0, elements_ = 0;
  bool halves_ = false;
};

// target[n][c * multiplier + q] = act(bias + the sums of all parts of source[n][c]): apply, or adjoint.
template <class T>
class DepthwiseProduct {
 public:
  DepthwiseProduct(ShiftAxis height, ShiftAxis width, index images, index channels, index multiplier,
                   index taps, double fill, ConvActivation activation);
  DepthwiseProduct(const DepthwiseProduct&) = delete;
  DepthwiseProduct& operator=(const DepthwiseProduct&) = delete;

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  // The target rows start, start + step, ... that the same taps make; and their columns, all of them or the even and
  // the odd ones.
  struct Part {
    index begin, count, start, step;                  // rows of the grid and of the target
    index source;                                     // the first row that is looked at
    std::vector<index> rows, columns[2], weights[2];  // rows from that one on
    bool in_order = false;                            // the weights are looked at as they lie
    DepthwiseLooks looks[2];
  };
  void plane(const Part& part, index strip, const T* scratch, const T* weight, T bias, T* local,
             const T* ahead, T* target) const;

  ShiftAxis height_, width_;
  index images_, channels_, multiplier_, taps_;
  ConvActivation activation_;
  DepthwiseSource<T> source_;
  const DepthwiseKernels<T>& k_;
  std::vector<Part> parts_;
  index block_;  // planes of an item
};

// The same for windows of 3 x 3 with one stride of 1 or 2 on both axes and no more than a column of padding before: read
// in place.
template <class T>
class DepthwiseThree {
 public:
  static bool applies(const ShiftAxis& height, const ShiftAxis& width);
  DepthwiseThree(const ShiftAxis& height, const ShiftAxis& width, index images, index channels,
                 index multiplier, double fill, ConvActivation activation);
  DepthwiseThree(const DepthwiseThree&) = delete;
  DepthwiseThree& operator=(const DepthwiseThree&) = delete;

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  const DepthwiseKernels<T>& k_;
  std::vector<index> row_source_;
  DepthwisePlane plane_;
  index weight_[9];  // by place in the window: which tap lies there
  T fill_;
  ConvActivation activation_;
  index planes_, channels_, multiplier_, source_plane_, rows_;
  index block_, pieces_;  // planes of an item, or items of a plane
};

template <class T>
class DepthwiseWeightGradient {
 public:
  DepthwiseWeightGradient(ShiftAxis height, ShiftAxis width, index images, index channels, index multiplier,
                          double fill);
  DepthwiseWeightGradient(const DepthwiseWeightGradient&) = delete;
  DepthwiseWeightGradient& operator=(const DepthwiseWeightGradient&) = delete;

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;

 private:
  ShiftAxis height_, width_;
  index images_, filters_, multiplier_, taps_;
  DepthwiseSource<T> source_;
  const DepthwiseKernels<T>& k_;
  std::vector<index> rows_, columns_;
  DepthwiseLooks looks_;
  index block_, chunks_;  // filters of an item; pieces of the strips of all images
};

}  // namespace tenfold
