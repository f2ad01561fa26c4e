// A convolution with windows of one element, stride 1 and no padding is for every image the product of a matrix of
// weights and the image as it lies, target[n] = act(W source[n] + bias).
#pragma once

#include <algorithm>

#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

enum class PointwiseForm {
  none,   // im2col shares its tiles among images of few pixels
  plain,  // pixels are the columns of the product
  turned,  // pixels are its rows and channels its columns, then the result is turned: few pixels fill no tile's columns
};

inline PointwiseForm pointwise_form(const ConvGeometry& g) {
  constexpr index kLeastPixels = 128;    // of the plain form
  constexpr index kLeastChannels = 128;  // of the turned form: they repay the turning
  for (int i = 0; i < 3; ++i) {
    const Axis& a = g.window[i];
    if (a.kernel != 1 || a.stride != 1 || a.pad_before != 0 || a.pad_after != 0) return PointwiseForm::none;
  }
  const index pixels = g.window.output_count();
  if (g.groups != 1 || g.images == 0 || pixels == 0) return PointwiseForm::none;
  if (pixels >= kLeastPixels) return PointwiseForm::plain;
  return g.images == 1 && std::min(g.channels, g.filters) >= kLeastChannels ? PointwiseForm::turned
                                                                            : PointwiseForm::none;
}

template <class T>
class Pointwise {
 public:
  // W as it lies: element (target channel m, source channel k) at m * weights.row + k * weights.column.
  Pointwise(const ConvGeometry& g, index target_channels, index source_channels, MatrixLayout weights,
            GemmActivation activation)
      : images_(g.images),
        pixels_(g.window.output_count()),
        activation_(activation),
        turned_(pointwise_form(g) == PointwiseForm::turned),
        plan_(turned_ ? plan_strided<T>(pixels_, target_channels, source_channels, {1, pixels_},
                                        {weights.column, weights.row})
                      : plan_strided<T>(target_channels, pixels_, source_channels, weights, {pixels_, 1})) {}

  std::size_t workspace(int threads) const { return turned_bytes() + plan_.workspace(threads); }
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const {
    if (turned_) return run_turned(team, source, weight, bias, target, workspace);
    for (index n = 0; n < images_; ++n) {
      StridedC<T> c{target + n * plan_.m * plan_.n, plan_.n};
      c.bias_row = bias, c.activation = activation_;
      run_strided(team, plan_, weight, source + n * plan_.k * plan_.n, c, workspace);
    }
  }

 private:
  std::size_t turned_bytes() const {
    return turned_ ? align_up(static_cast<std::size_t>(plan_.m * plan_.n) * sizeof(T)) : 0;
  }

  // target[m][p] <-- turned[p][m]
  void run_turned(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                  std::byte* workspace) const {
    constexpr index kPiece = 32;  // target channels
    T* const turned = reinterpret_cast<T*>(workspace);
    const index channels = plan_.n;
    StridedC<T> c{turned, channels};
    c.bias_column = bias, c.activation = activation_;
    run_strided(team, plan_, source, weight, c, workspace + turned_bytes());
    team.for_each((channels + kPiece - 1) / kPiece, [&](index piece) {
      const index m = piece * kPiece, count = std::min(kPiece, channels - m);
      plan_.kernels().pack(pixels_, count, turned + m, channels, 1, pixels_, target + m * pixels_);
    });
  }

  index images_, pixels_;
  GemmActivation activation_;
  bool turned_;
  StridedPlan<T> plan_;
};

}  // namespace tenfold
