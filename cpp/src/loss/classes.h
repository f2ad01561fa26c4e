// Losses and metrics over classes: the logits are (N, C, inner), the targets (N, inner) labels or (N, C,
// inner) shares.
#pragma once

#include <cstddef>

#include "loss/reduction.h"
#include "tenfold/op.h"

namespace tenfold {

struct ClassGeometry {
  index samples = 1, classes = 1, inner = 1;
  index ignore_index = -100;

  index positions() const { return samples * inner; }
  // Where class 0 of a position lies; class c is c * inner further on.
  index offset(index position) const { return position / inner * classes * inner + position % inner; }
  bool legal(index label) const { return label >= 0 && label < classes; }

  // Positions are walked in chunks of this many, whose sums are then added in order.
  static constexpr index kChunk = 256;
  index chunks() const { return (positions() + kChunk - 1) / kChunk; }
};

// -sum_c a_c log softmax(x)_c at every position. For labels a_c = (1 - smoothing) w_c [c = label] + smoothing
// / C w_c, for shares a_c = w_c ((1 - smoothing) t_c + smoothing / C). A mean divides by the sum of w[label]
// (labels) or by the number of positions (shares).
template <class T>
struct CrossEntropy {
  ClassGeometry geometry;
  Reduction reduction = Reduction::mean;
  double smoothing = 0;

  std::size_t forward_workspace() const;
  // Exactly one of labels and shares is not null; weight may be null. probabilities: like x; denominator: one
  // number. An illegal label counts as ignored and is reported to errors.
  void forward(const Team& team, const T* x, const index* labels, const T* shares, const T* weight, T* y,
               T* probabilities, double* denominator, std::byte* workspace, ErrorSink* errors) const;
  // dx = dy / denominator (a p - a_c), a = sum_c a_c
  void backward(const Team& team, const index* labels, const T* shares, const T* weight,
                const T* probabilities, const double* denominator, const T* dy, T* dx) const;
};

// -w[label] x[label]
template <class T>
struct NegativeLogLikelihood {
  ClassGeometry geometry;
  Reduction reduction = Reduction::mean;

  std::size_t forward_workspace() const;
  void forward(const Team& team, const T* x, const index* labels, const T* weight, T* y, double* denominator,
               std::byte* workspace, ErrorSink* errors) const;
  void backward(const Team& team, const index* labels, const T* weight, const double* denominator,
                const T* dy, T* dx) const;
};

// The share of positions whose label is among the k largest logits; of equal logits the first counts as
// larger, and NaN is larger than everything.
template <class T>
struct Accuracy {
  ClassGeometry geometry;
  index k = 1;

  std::size_t forward_workspace() const;
  void forward(const Team& team, const T* x, const index* labels, T* y, std::byte* workspace,
               ErrorSink* errors) const;
};

}  // namespace tenfold
