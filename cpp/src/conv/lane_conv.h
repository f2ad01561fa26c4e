// Convolution with 16 images in the vector lanes (kernels/lanes.h): planes are turned to [channel][row][column][16] and
// back, so that no vector is lost at the end of a row. For many small images with few channels.
#pragma once

#include <vector>

#include "kernels/lanes.h"
#include "kernels/lanes_conv.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

enum class LaneOperator { apply, adjoint, weight_gradient };

// Whether the form exists for a geometry and is clearly better than the direct one, from shapes only.
bool lane_conv_choice(const ConvGeometry& geometry, LaneOperator op, std::size_t element_size);

// Rows of 16 images in lanes, with room for the padding beside each row; rows outside of the image are padding too.
struct LaneRows {
  index channels = 1, rows = 1;  // that there is room for
  index height = 1, width = 1;   // of an image
  index left = 0, right = 0;

  index row() const { return (left + width + right) * kLaneBlock; }
  index plane() const { return rows * row(); }
  index elements() const { return channels * plane(); }
  index pixels() const { return channels * height * width; }  // of an image
};

// What the operators share: blocks of 16 images, and in each strips of rows of the target (of dy, for the weight
// gradient) that stay in the second-level cache with what they look at.
template <class T>
class LaneStrips {
 protected:
  LaneStrips(const ConvGeometry& geometry, const ConvOptions& options, LaneOperator op);

  // Rows of x that rows begin .. end - 1 of y look at begin here (perhaps above the image).
  index first_row(index begin) const;

  ConvGeometry geometry_;
  const LaneKernels<T>& k_;
  const LaneConvKernels<T>& conv_;
  T fill_;
  LaneRows x_, y_;
  std::vector<index> tap_;  // see LaneConv
  index strip_ = 1, strips_ = 1, blocks_ = 1;
};

// y = A x or x = A^T y.
template <class T>
class LaneProduct : LaneStrips<T> {
 public:
  LaneProduct(const ConvGeometry& geometry, const ConvOptions& options, LaneOperator op);

  std::size_t workspace(int threads) const;
  // bias (of the target's channels) may be null.
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  // Of the adjoint of a stride: elements of x that look at dy by the same taps.
  struct Part {
    std::vector<index> taps;               // their numbers in the kernel
    std::vector<index> tap, pixel, place;  // see LaneConv: dy is what is looked at
    std::vector<index> pixels;             // how many lie in the rows of a strip up to this one
  };
  // Of a member: rows of x, rows of y, and the weights' points or order and scratch of the forms that need them.
  struct Own {
    T *x, *y, *points, *scratch;
  };

  void apply(index block, index begin, index end, const T* x, const T* weight, const T* bias, T* y,
             const Own& own) const;
  void apply_rows(index rows, const T* bias, const Own& own) const;
  void apply_direct(index rows, const T* weight, const T* bias, const Own& own) const;
  index points() const;
  index scratch() const;
  void make_parts();
  void sort_weights(const T* weight, T* sorted) const;
  void gather(index block, index begin, index end, const T* dy, const T* bias, T* dx, const Own& own) const;
  void scatter(index block, index begin, index end, const T* dy, const T* weight, const T* bias, T* dx,
               const Own& own) const;

  LaneOperator op_;
  bool relu_;
  bool rows_ = false;                 // apply by Winograd along rows (kernels/lanes_row_winograd.h), ...
  index row_pairs_ = 1;               // ... so many pairs of rows at a time
  std::vector<index> pixel_, place_;  // see LaneConv
  std::vector<Part> parts_;           // of the adjoint, where it gathers
};

// dw = <dy, x>: sums of all lanes in a slot per chunk of strips, added in order.
template <class T>
class LaneGradient : LaneStrips<T> {
 public:
  LaneGradient(const ConvGeometry& geometry, const ConvOptions& options);

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;

 private:
  index sums() const { return this->geometry_.filters * static_cast<index>(this->tap_.size()); }

  index chunks_, near_rows_;
};

}  // namespace tenfold
