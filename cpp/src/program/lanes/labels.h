// What a segment does with its labels: the mean cross-entropy of its last value, and the share of hits.
#pragma once

#include <exception>

#include "kernels/lanes.h"
#include "program/lanes/plan.h"
#include "tenfold/error.h"
#include "tenfold/op.h"

namespace tenfold {
namespace lanes {

template <class T>
class Labels {
 public:
  Labels(const LaneChain& chain, const Plan& plan) : chain_(chain), plan_(plan) {}

  // What the mean divides by.
  index count(const index* labels) const {
    index counted = 0;
    for (index n = 0; n < plan_.samples; ++n) counted += counts(labels[n]);
    return counted;
  }

  // The first label that is no class.
  void report(const index* labels, ErrorSink* errors) const {
    for (index n = 0; n < plan_.samples; ++n) {
      if (labels[n] == chain_.ignore_index || legal(labels[n])) continue;
      if (errors == nullptr || errors->error) return;
      try {
        reject("cross_entropy", "target", "must hold labels from 0 to ", classes() - 1, " (or ignore_index, ",
               chain_.ignore_index, "); received ", labels[n], " at position ", n);
      } catch (...) {
        errors->error = std::current_exception();
      }
    }
  }

  // Losses of the samples of block b, and their gradients times `scale` unless d is null.
  void cross_entropy(const LaneKernels<T>& k, index b, const T* area, const index* labels, T scale, T* losses,
                     T* d) const {
    index mine[kLanes];
    for (index n = 0; n < kLanes; ++n) {
      mine[n] = n < plan_.samples_of(b) && counts(labels[b * kLanes + n]) ? labels[b * kLanes + n] : -1;
    }
    const Plane& logits = last();
    k.cross_entropy(classes(), area + logits.offset, mine, scale, losses, d);
  }

  // A label is hit when its score is no NaN, none is higher, and no earlier one is equal.
  void count_hits(index b, const T* area, const index* labels, T* hits) const {
    const T* z = area + last().offset;
    for (index n = 0; n < plan_.samples_of(b); ++n) {
      const index label = labels[b * kLanes + n];
      bool hit = counts(label);
      const T own = hit ? z[label * kLanes + n] : T{0};
      for (index c = 0; hit && c < classes(); ++c) {
        const T other = z[c * kLanes + n];
        hit = c < label ? other < own : other <= own;
      }
      hits[n] = hit ? T{1} : T{0};
    }
  }

 private:
  const Plane& last() const { return plan_.values[static_cast<std::size_t>(plan_.last)]; }
  index classes() const { return last().features(); }
  bool legal(index label) const { return label >= 0 && label < classes(); }
  bool counts(index label) const { return label != chain_.ignore_index && legal(label); }

  const LaneChain& chain_;
  const Plan& plan_;
};

}  // namespace lanes
}  // namespace tenfold
