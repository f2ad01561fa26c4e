// y = A x and x = A^T y with 16 images in the vector lanes (lane_strips.h), each in two forms.
#pragma once

#include "conv/lane_strips.h"
#include "tenfold/parallel.h"

namespace tenfold {

// What the forms share: every member takes strips, whose rows of x and y it has in memory of its own, beside what it makes
// of the weights and scratch memory.
template <class T>
class LaneProduct : protected LaneStrips<T> {
 public:
  std::size_t workspace(int threads) const {
    return static_cast<std::size_t>(threads) *
           (this->bytes(this->layout_.x.elements()) + this->bytes(this->layout_.y.elements()) +
            this->bytes(weights_) + this->bytes(scratch_));
  }

 protected:
  using LaneStrips<T>::LaneStrips;

  // Of a member.
  struct Own {
    T *x, *y, *weights, *scratch;
  };
  // body(strip, own) for every strip, after prepare(own) once on every member that gets one: to transform the weights takes
  // less time than to share them.
  template <class Prepare, class Body>
  void for_each_strip(const Team& team, std::byte* workspace, Prepare&& prepare, Body&& body) const {
    std::byte* mine = workspace + static_cast<std::size_t>(team.rank()) * this->workspace(1);
    const auto take = [&](index elements) {
      T* const taken = reinterpret_cast<T*>(mine);
      mine += this->bytes(elements);
      return taken;
    };
    Own own;
    own.x = take(this->layout_.x.elements()), own.y = take(this->layout_.y.elements());
    own.weights = take(weights_), own.scratch = take(scratch_);
    bool ready = false;
    team.for_each(this->layout_.items(), [&](index item) {
      if (!ready) prepare(own);
      ready = true;
      body(this->strip(item), own);
    });
  }

  index weights_ = 0, scratch_ = 0;  // elements
};

// run: `bias` (of the target's channels) may be null; `workspace` as workspace(team.size()) says.

// y = A x as the definition says, in register tiles of filters and pixels.
template <class T>
class LaneDirect : public LaneProduct<T> {
 public:
  LaneDirect(const ConvGeometry& geometry, const ConvOptions& options);
  void run(const Team& team, const T* x, const T* weight, const T* bias, T* y, std::byte* workspace) const;

 private:
  bool relu_;
  std::vector<index> tap_, pixel_, place_;  // see LaneConv
};

// y = A x by Winograd along rows (kernels/lanes_row_winograd.h).
template <class T>
class LaneRowWinograd : public LaneProduct<T> {
 public:
  LaneRowWinograd(const ConvGeometry& geometry, const ConvOptions& options);
  void run(const Team& team, const T* x, const T* weight, const T* bias, T* y, std::byte* workspace) const;

 private:
  bool relu_;
  int number_;       // of its kernel
  index row_pairs_;  // so many pairs of rows at a time
};

// x = A^T y of a stride: every element of x gathers what reaches it.
template <class T>
class LaneGather : public LaneProduct<T> {
 public:
  LaneGather(const ConvGeometry& geometry, const ConvOptions& options);
  void run(const Team& team, const T* dy, const T* weight, const T* bias, T* dx, std::byte* workspace) const;

 private:
  // Elements of x whose places are congruent, in padded coordinates: they look at dy by the same taps.
  struct Part {
    std::vector<index> taps;               // their numbers in the kernel
    std::vector<index> tap, pixel, place;  // see LaneConv: dy is what is looked at
    std::vector<index> pixels;             // how many lie in the rows of a strip up to this one
  };
  Part make_part(index part_h, index part_w) const;
  // The weights of every part, [channel][filter][taps].
  void sort_weights(const T* weight, T* sorted) const;

  std::vector<Part> parts_;
};

// x = A^T y without a stride: dy is scattered, in register tiles as well.
template <class T>
class LaneScatter : public LaneProduct<T> {
 public:
  LaneScatter(const ConvGeometry& geometry, const ConvOptions& options)
      : LaneProduct<T>(geometry, options, LaneOperator::adjoint) {}
  void run(const Team& team, const T* dy, const T* weight, const T* bias, T* dx, std::byte* workspace) const;
};

}  // namespace tenfold
