// A convolution with windows of one element and a stride looks at some pixels of x only; with padding, it makes some
// pixels of y only, and the others are a constant. Those pixels are gathered, convolved with stride 1 and no padding, and
// put where they belong.
#pragma once

#include <array>
#include <cstddef>

#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// The positions begin, begin + step, ... of an axis.
struct Samples {
  index size = 1, begin = 0, step = 1, count = 1;
  bool all() const { return count == size; }
};

// Whether the form exists for a geometry, and is not the geometry itself.
bool sampled_applies(const ConvGeometry& geometry, const ConvOptions& options);

// What the operators share.
template <class T>
class Sampled {
 protected:
  using Axes = std::array<Samples, 3>;

  Sampled(const ConvGeometry& geometry, const ConvOptions& options);

  static bool all(const Axes& axes) { return axes[0].all() && axes[1].all() && axes[2].all(); }
  // Room for the samples of `planes` planes: none where they are all there is.
  std::size_t bytes(const Axes& axes, index planes) const;
  // to <-- the samples of planes of `from`
  void gather(const Team& team, const Axes& axes, index planes, const T* from, T* to) const;
  // to <-- planes with these samples; elsewhere the constant of the plane's channel: bias, with relu where it is asked for
  void spread(const Team& team, const Axes& axes, index channels, const T* from, const T* bias, bool relu,
              T* to) const;

  ConvGeometry geometry_;
  ConvOptions options_;
  Axes x_, y_;
  Convolution<T> inner_;  // of the samples
};

// y = A x or x = A^T y.
template <class T>
class SampledProduct : Sampled<T> {
 public:
  SampledProduct(const ConvGeometry& geometry, const ConvOptions& options, bool adjoint)
      : Sampled<T>(geometry, options), adjoint_(adjoint) {}

  std::size_t workspace(int threads) const;
  // bias (of the target's channels) may be null.
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  bool adjoint_;
};

// dw = <dy, x>
template <class T>
class SampledGradient : Sampled<T> {
 public:
  SampledGradient(const ConvGeometry& geometry, const ConvOptions& options) : Sampled<T>(geometry, options) {}

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;
};

}  // namespace tenfold
