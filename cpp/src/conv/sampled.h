// A convolution with windows of one element and a stride looks at some pixels of x only; with padding, it makes some
// pixels of y only, and the others are a constant. Those pixels are gathered, convolved with stride 1 and no padding, and
// put where they belong.
#pragma once

#include <array>
#include <cstddef>

#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// The positions begin, begin + step, ... of an axis.
struct Samples {
  index size = 1, begin = 0, step = 1, count = 1;
  bool all() const { return count == size; }
};

// The samples of a plane of pixels, in rows of samples.
struct SampledPlane {
  std::array<Samples, 3> axes;

  bool all() const { return axes[0].all() && axes[1].all() && axes[2].all(); }
  index rows() const { return axes[0].count * axes[1].count; }
  index width() const { return axes[2].count; }
  index count() const { return rows() * width(); }
  index pixel_rows() const { return axes[0].size * axes[1].size; }
  index pixels() const { return pixel_rows() * axes[2].size; }
  // Which row of pixels holds this row of samples.
  index pixel_row(index row) const {
    const auto& [depth, height, width] = axes;
    return (depth.begin + row / height.count * depth.step) * height.size + height.begin +
           row % height.count * height.step;
  }
};

// Whether the form exists for a geometry, and is not the geometry itself.
bool sampled_applies(const ConvGeometry& geometry, const ConvOptions& options);

// y = A x or x = A^T y.
template <class T>
class SampledProduct {
 public:
  SampledProduct(const ConvGeometry& geometry, const ConvOptions& options, bool adjoint);

  std::size_t workspace(int threads) const;
  // bias (of the target's channels) may be null.
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  std::size_t source_bytes(index images) const;
  std::size_t target_bytes(index images) const;
  std::size_t image_bytes() const;
  bool apart(int members) const;
  void run_apart(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                 std::byte* workspace) const;
  T rest(const T* bias, index channel) const;

  bool adjoint_, relu_, keep_sign_;
  index images_, source_channels_, target_channels_;
  SampledPlane source_, target_;
  Convolution<T> inner_;  // of the samples
  bool large_ = false;    // each image fills its tiles, and what it looks at stays in the second-level cache
  StridedPlan<T> plan_;   // of a large image's samples
};

// dw = <dy, x>
template <class T>
class SampledGradient {
 public:
  SampledGradient(const ConvGeometry& geometry, const ConvOptions& options);

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;

 private:
  index x_planes_, y_planes_;
  SampledPlane x_, y_;
  Convolution<T> inner_;
};

}  // namespace tenfold
