// Convolution with 16 images in the vector lanes (kernels/lanes.h): planes are turned to [channel][row][column][16] and
// back, so that no vector is lost at the end of a row. For many small images with few channels.
#pragma once

#include <vector>

#include "kernels/lanes.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

enum class LaneOperator { apply, adjoint, weight_gradient };

// Whether the form exists for a geometry and is clearly better than the direct one, from shapes only.
bool lane_conv_choice(const ConvGeometry& geometry, LaneOperator op, std::size_t element_size);

// Images of one block in lanes, with room for the padding around each plane.
struct LanePlanes {
  index channels = 1, height = 1, width = 1, top = 0, bottom = 0, left = 0, right = 0;

  index row() const { return (left + width + right) * kLaneBlock; }
  index plane() const { return (top + height + bottom) * row(); }
  index origin() const { return top * row() + left * kLaneBlock; }
  index elements() const { return channels * plane(); }
  index pixels() const { return channels * height * width; }  // of an image
};

// y = A x or x = A^T y.
template <class T>
class LaneProduct {
 public:
  LaneProduct(const ConvGeometry& geometry, const ConvOptions& options, LaneOperator op);

  std::size_t workspace(int threads) const;
  // bias (of the target's channels) may be null.
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  void apply(const T* x, const T* weight, const T* bias, T* y) const;
  void adjoint(const T* dy, const T* weight, T* dx) const;

  ConvGeometry geometry_;
  const LaneKernels<T>& k_;
  LaneOperator op_;
  bool relu_;
  T fill_;
  LanePlanes x_, y_;
  std::vector<index> tap_, pixel_, place_;  // see LaneConv
};

// dw = <dy, x>: sums of all lanes in a slot per chunk of blocks, added in order.
template <class T>
class LaneGradient {
 public:
  LaneGradient(const ConvGeometry& geometry, const ConvOptions& options);

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;

 private:
  index sums() const { return geometry_.filters * static_cast<index>(tap_.size()); }

  ConvGeometry geometry_;
  const LaneKernels<T>& k_;
  T fill_;
  LanePlanes x_, y_;
  std::vector<index> tap_;
  index blocks_, chunks_, strip_;
};

}  // namespace tenfold
