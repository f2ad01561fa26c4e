// A convolution with windows of one element, stride 1 and no padding is for every image the product of a matrix of
// weights and the image as it lies, target[n] = act(W source[n] + bias).
#pragma once

#include <algorithm>

#include "conv/images.h"
#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

enum class PointwiseForm {
  none,      // im2col shares its tiles among images of few pixels
  plain,     // pixels are the columns of the product
  together,  // the pixels of all images are its columns, gathered from images of few and put back
  turned,  // pixels are its rows and channels its columns, then the result is turned: few pixels fill no tile's columns
};

inline PointwiseForm pointwise_form(const ConvGeometry& g) {
  constexpr index kLeastPixels = 128;    // of the plain form
  constexpr index kLeastChannels = 128;  // of the other forms: they repay the copies
  for (int i = 0; i < 3; ++i) {
    const Axis& a = g.window[i];
    if (a.kernel != 1 || a.stride != 1 || a.pad_before != 0 || a.pad_after != 0) return PointwiseForm::none;
  }
  const index pixels = g.window.output_count();
  if (g.groups != 1 || g.images == 0 || pixels == 0) return PointwiseForm::none;
  if (pixels >= kLeastPixels) return PointwiseForm::plain;
  if (std::min(g.channels, g.filters) < kLeastChannels) return PointwiseForm::none;
  if (g.images == 1) return PointwiseForm::turned;
  return g.images * pixels >= kLeastPixels ? PointwiseForm::together : PointwiseForm::none;
}

template <class T>
class Pointwise {
 public:
  // W as it lies: element (target channel m, source channel k) at m * weights.row + k * weights.column.
  Pointwise(const ConvGeometry& g, index target_channels, index source_channels, MatrixLayout weights,
            GemmActivation activation)
      : images_(g.images),
        pixels_(g.window.output_count()),
        columns_(pixels_),
        activation_(activation),
        form_(pointwise_form(g)) {
    if (form_ == PointwiseForm::turned) {
      plan_ = plan_strided<T>(pixels_, target_channels, source_channels, {1, pixels_},
                              {weights.column, weights.row});
    } else {
      if (form_ == PointwiseForm::together) columns_ *= images_;
      plan_ = plan_strided<T>(target_channels, columns_, source_channels, weights, {columns_, 1});
    }
  }

  std::size_t workspace(int threads) const {
    return source_bytes() + target_bytes() +
           images_workspace(plan_.workspace(threads), plan_.workspace(1), threads);
  }
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const {
    if (form_ == PointwiseForm::turned) return run_turned(team, source, weight, bias, target, workspace);
    if (form_ == PointwiseForm::together) return run_together(team, source, weight, bias, target, workspace);
    const double multiply_adds =
        static_cast<double>(plan_.m) * static_cast<double>(plan_.n) * static_cast<double>(plan_.k);
    for_images(team, images_, multiply_adds, plan_.workspace(1), workspace,
               [&](const Team& members, index n, std::byte* scratch) {
                 StridedC<T> c{target + n * plan_.m * plan_.n, plan_.n};
                 c.bias_row = bias, c.activation = activation_;
                 run_strided(members, plan_, weight, source + n * plan_.k * plan_.n, c, scratch);
               });
  }

 private:
  // Room for the gathered source and for the product, where they are not the tensors themselves.
  std::size_t source_bytes() const { return form_ == PointwiseForm::together ? bytes(plan_.k * plan_.n) : 0; }
  std::size_t target_bytes() const { return form_ == PointwiseForm::plain ? 0 : bytes(plan_.m * plan_.n); }
  static std::size_t bytes(index elements) {
    return align_up(static_cast<std::size_t>(elements) * sizeof(T));
  }

  void run_together(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                    std::byte* workspace) const {
    constexpr index kPiece = 16;  // channels
    T* const gathered = reinterpret_cast<T*>(workspace);
    T* const product = reinterpret_cast<T*>(workspace + source_bytes());
    team.for_range(plan_.k, kPiece, [&](index begin, index end) {
      for (index n = 0; n < images_; ++n) {
        for (index c = begin; c < end; ++c)
          std::copy_n(source + (n * plan_.k + c) * pixels_, pixels_, gathered + c * columns_ + n * pixels_);
      }
    });
    StridedC<T> c{product, columns_};
    c.bias_row = bias, c.activation = activation_;
    run_strided(team, plan_, weight, gathered, c, workspace + source_bytes() + target_bytes());
    team.for_range(plan_.m, kPiece, [&](index begin, index end) {
      for (index n = 0; n < images_; ++n) {
        for (index m = begin; m < end; ++m)
          std::copy_n(product + m * columns_ + n * pixels_, pixels_, target + (n * plan_.m + m) * pixels_);
      }
    });
  }

  // target[m][p] <-- turned[p][m]
  void run_turned(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                  std::byte* workspace) const {
    constexpr index kPiece = 32;  // target channels
    T* const turned = reinterpret_cast<T*>(workspace);
    const index channels = plan_.n;
    StridedC<T> c{turned, channels};
    c.bias_column = bias, c.activation = activation_;
    run_strided(team, plan_, source, weight, c, workspace + target_bytes());
    team.for_each((channels + kPiece - 1) / kPiece, [&](index piece) {
      const index m = piece * kPiece, count = std::min(kPiece, channels - m);
      plan_.kernels().pack(pixels_, count, turned + m, channels, 1, pixels_, target + m * pixels_);
    });
  }

  index images_, pixels_, columns_;
  GemmActivation activation_;
  PointwiseForm form_;
  StridedPlan<T> plan_;
};

}  // namespace tenfold
