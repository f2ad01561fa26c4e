// Dilated windows, one phase of the image at a time: pixels a dilation apart see each other only, so that the rows and
// columns f, f + d, f + 2 d, ... are images of their own, and the window has no dilation in them. Copied side by side they
// are a batch that Winograd's form takes (deinterlacing, one of the ways to atrous convolution that DeepLab's authors name).
//
//   phase image (n, fh, fw)[c][uh][uw] <-- padded image n [c][fh + uh * dh][fw + uw * dw]
//
// Outputs of a phase that has fewer than others are computed, or taken as zeros, and dropped.
#pragma once

#include <array>

#include "conv/shift.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// The phases of a geometry as images of their own.
ConvGeometry phase_geometry(const ConvGeometry& geometry);
// Whether an operator of a dilated window is faster by phases: Winograd's form takes them, and the copies are few beside its
// products.
bool phases_apply(const ConvGeometry& geometry, const ConvOptions& options, bool adjoint);
bool phases_gradient_applies(const ConvGeometry& geometry, const ConvOptions& options);

// Between images and their phases.
template <class T>
class PhaseImages {
 public:
  explicit PhaseImages(const ConvGeometry& geometry);

  std::size_t input_bytes() const;
  std::size_t output_bytes() const;
  // The phases of x, `fill` outside of it; those of y, zeros behind it.
  void split_input(const Team& team, const T* x, T fill, T* phases) const;
  void split_output(const Team& team, const T* y, T* phases) const;
  // y from its phases; x, or the padded x.
  void join_output(const Team& team, const T* phases, T* y) const;
  void join_input(const Team& team, const T* phases, bool padded, T* x) const;

 private:
  void split(const Team& team, const std::array<ShiftAxis, 2>& looks, index channels, const T* from, T fill,
             T* to) const;
  // Elements `low` .. `high` - 1 of the axes that the phases make up.
  void join(const Team& team, std::array<index, 2> low, std::array<index, 2> high,
            const std::array<index, 2>& extent, index channels, const T* from, T* to) const;

  ConvGeometry geometry_, phase_;
  std::array<index, 2> step_;
  std::array<ShiftAxis, 2> input_, output_;  // table[u] of a phase: the element of its place u
};

// y = A x or x = A^T y; `padded`: the padded x.
template <class T>
class PhasedProduct {
 public:
  PhasedProduct(const ConvGeometry& geometry, const ConvOptions& options, bool adjoint, bool padded = false);

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  PhaseImages<T> images_;
  Convolution<T> inner_;  // of the phases
  bool adjoint_, padded_;
  T fill_;
};

// dw = <dy, x>
template <class T>
class PhasedGradient {
 public:
  PhasedGradient(const ConvGeometry& geometry, const ConvOptions& options);

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;

 private:
  PhaseImages<T> images_;
  Convolution<T> inner_;  // of the phases
  T fill_;
};

}  // namespace tenfold
