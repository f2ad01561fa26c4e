// A convolution whose window is the image makes one pixel of it: a product of matrices with the images as rows.
//
//   apply            Y (N x F) = X (N x C K) W^T + bias
//   adjoint          X = Y W + bias of each element's channel
//   weight_gradient  W = Y^T X
#pragma once

#include <algorithm>

#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

inline bool is_whole_window(const ConvGeometry& g) {
  for (int i = 0; i < 3; ++i) {
    const Axis& a = g.window[i];
    if (a.kernel != a.size || a.dilation != 1 || a.pad_before != 0 || a.pad_after != 0) return false;
  }
  return g.groups == 1 && g.images > 0 && g.window.output_count() == 1;
}

// y = A x or x = A^T y.
template <class T>
class WholeWindow {
 public:
  WholeWindow(const ConvGeometry& g, bool adjoint, GemmActivation activation)
      : channels_(g.channels),
        elements_(g.channels * g.window.kernel_count()),
        adjoint_(adjoint),
        activation_(activation),
        plan_(adjoint ? plan_strided<T>(g.images, elements_, g.filters, {g.filters, 1}, {elements_, 1})
                      : plan_strided<T>(g.images, g.filters, elements_, {elements_, 1}, {1, elements_})) {}

  std::size_t workspace(int threads) const { return bias_bytes() + plan_.workspace(threads); }
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const {
    StridedC<T> c{target, plan_.n};
    c.activation = activation_;
    c.bias_column = bias;
    if (adjoint_ && bias != nullptr) {
      T* const spread = reinterpret_cast<T*>(workspace);
      const index plane = elements_ / channels_;
      team.for_range(channels_, 64, [&](index begin, index end) {
        for (index i = begin; i < end; ++i) std::fill_n(spread + i * plane, plane, bias[i]);
      });
      c.bias_column = spread;
    }
    run_strided(team, plan_, source, weight, c, workspace + bias_bytes());
  }

 private:
  std::size_t bias_bytes() const {
    return adjoint_ ? align_up(static_cast<std::size_t>(elements_) * sizeof(T)) : 0;
  }

  index channels_, elements_;
  bool adjoint_;
  GemmActivation activation_;
  StridedPlan<T> plan_;
};

// dw = <dy, x>
template <class T>
class WholeWindowGradient {
 public:
  explicit WholeWindowGradient(const ConvGeometry& g)
      : plan_(plan_strided<T>(g.filters, elements(g), g.images, {1, g.filters}, {elements(g), 1})) {}

  std::size_t workspace(int threads) const { return plan_.workspace(threads); }
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const {
    run_strided(team, plan_, dy, x, StridedC<T>{dw, plan_.n}, workspace);
  }

 private:
  static index elements(const ConvGeometry& g) { return g.channels * g.window.kernel_count(); }

  StridedPlan<T> plan_;
};

}  // namespace tenfold
