// Batch normalisation of (N, C, inner): every channel c by its mean and variance over N and inner.
#pragma once

#include <cstddef>

#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

template <class T>
struct BatchNorm {
  index samples = 0, channels = 0, inner = 1;
  double eps = 1e-5;
  double momentum = 0.1;  // share of the new statistics in the running ones

  index values() const { return samples * inner; }  // per channel
  std::size_t workspace() const;

  // With C numbers each; weight and bias may be null (1 and 0).
  //   mean, variance (biased) of x;  inverse = 1 / sqrt(variance + eps)
  //   y = (x - mean) inverse weight + bias
  //   new = (1 - momentum) old + momentum (mean, unbiased variance), where old is not null
  // Without values (N = 0) the running statistics stay.
  void forward_training(const Team& team, const T* x, const T* weight, const T* bias, const T* old_mean,
                        const T* old_variance, T* y, T* mean, T* inverse, T* new_mean, T* new_variance,
                        std::byte* workspace) const;
  // mean and variance given; leaves inverse.
  void forward_inference(const Team& team, const T* x, const T* weight, const T* bias, const T* mean,
                         const T* variance, T* y, T* inverse, std::byte* workspace) const;
  // dbias = sum dy;  dweight = inverse sum dy (x - mean);
  // dx = inverse weight (dy - dbias / M - (x - mean) inverse dweight / M) in training, M = N inner; inverse
  // weight dy else. Results that are null are not computed.
  void backward(const Team& team, bool training, const T* x, const T* weight, const T* mean, const T* inverse,
                const T* dy, T* dx, T* dweight, T* dbias, std::byte* workspace) const;

 private:
  // Pieces: a part of one plane, some small planes, or a block of rows and columns where inner = 1. One row of `parts` per
  // channel.
  bool columns() const { return inner == 1; }
  index pieces_per_plane() const;
  index parts() const;
  template <class Planes, class Columns>
  void share(const Team& team, Planes&& planes, Columns&& block) const;
  void apply(const Team& team, const T* x, const T* weight, const T* bias, const T* mean, const T* inverse,
             T* y, std::byte* workspace) const;
};

}  // namespace tenfold
