// dw = <dy, x> with 16 images in the vector lanes (lane_strips.h).
#pragma once

#include "conv/lane_strips.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Sums of all lanes in a slot per chunk of strips, added in order.
template <class T>
class LaneGradient : LaneStrips<T> {
 public:
  LaneGradient(const ConvGeometry& geometry, const ConvOptions& options);

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;

 private:
  index sums() const { return this->geometry_.filters * static_cast<index>(tap_.size()); }

  std::vector<index> tap_;  // see LaneConv
  index chunks_, near_rows_;
};

}  // namespace tenfold
