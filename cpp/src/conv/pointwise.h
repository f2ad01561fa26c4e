// A convolution with windows of one element, stride 1 and no padding is for every image the product of a matrix of
// weights and the image as it lies, target[n] = act(W source[n] + bias).
#pragma once

#include <algorithm>
#include <vector>

#include "conv/images.h"
#include "conv/pixel_rows.h"
#include "gemm/strided.h"
#include "tenfold/conv.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

enum class PointwiseForm {
  none,      // im2col shares its tiles among images of few pixels
  plain,     // pixels are the columns of the product
  together,  // the pixels of all images are its columns
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

// Row i and column j of the product is pixel j % pixels of channel i of image j / pixels.
template <class T>
struct ImagesC {
  const GemmKernels<T>& kernels;
  StridedC<T> c;
  index pixels, image;

  template <class Kernel>
  void operator()(Kernel kernel, GemmTile<T>& tile, index i, index j, index rows, bool first,
                  bool last) const {
    StridedC<T> to = c;
    to.data += j / pixels * image;
    index at = j % pixels;
    const index columns = tile.n;
    if (at + columns <= pixels) return to(kernel, tile, i, at, rows, first, last);
    alignas(64) T sums[kGemmMaxRows * kMostColumns];
    const index width = (columns + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
    tile.c = sums, tile.ldc = tile.n = width, tile.alpha = 1, tile.beta = 0;
    kernel(tile);
    for (index column = 0; column < columns; at = 0, to.data += image) {
      GemmTile<T> part{};
      part.n = std::min(columns - column, pixels - at);
      to([&](const GemmTile<T>& t) { kernels.finish(rows, width, sums + column, t); }, part, i, at, rows,
         first, last);
      column += part.n;
    }
  }
};

template <class T>
class Pointwise {
 public:
  // W as it lies: element (target channel m, source channel k) at m * weights.row + k * weights.column.
  Pointwise(const ConvGeometry& g, index target_channels, index source_channels, MatrixLayout weights,
            GemmActivation activation)
      : images_(g.images),
        pixels_(g.window.output_count()),
        activation_(activation),
        form_(pointwise_form(g)) {
    if (form_ == PointwiseForm::turned) {
      plan_ = plan_strided<T>(pixels_, target_channels, source_channels, {1, pixels_},
                              {weights.column, weights.row});
      return;
    }
    plan_ = plan_strided<T>(target_channels, pixels_, source_channels, weights, {pixels_, 1});
    if (images_ == 1) return;
    rows_ = {pixels_, 1, {0}, source_channels * pixels_};
    weights_ = weights;
    together_ = plan_together(weights);
    for (index k = 0; k < source_channels; ++k) channel_.push_back(k * pixels_);
    if (form_ == PointwiseForm::plain && time_together() < plan_.time * static_cast<double>(images_))
      form_ = PointwiseForm::together;
  }

  std::size_t workspace(int threads) const {
    if (form_ == PointwiseForm::together) return together_.workspace(threads);
    return target_bytes() + images_workspace(plan_.workspace(threads), plan_.workspace(1), threads);
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
  // Room for the product where it is not the target itself.
  std::size_t target_bytes() const {
    return form_ == PointwiseForm::turned ? align_up(static_cast<std::size_t>(plan_.m * plan_.n) * sizeof(T))
                                          : 0;
  }

  // Weights are read where they lie, those whose rows alias in flat tiles, unless to pack them is cheaper.
  GemmPlan<T> plan_together(MatrixLayout weights) const {
    const auto plan = [&](bool reads, index tallest) {
      return make_gemm_plan<T>(plan_.m, images_ * pixels_, plan_.k, reads, false, 1, tallest);
    };
    const GemmPlan<T> in_place = plan(true, tallest_tile<T>(weights));
    return reads_a_in_place(in_place, weights) ? in_place : plan(false, kGemmMaxRows);
  }

  // In multiply-adds of a vector, as the plan's time.
  double time_together() const {
    constexpr double kPack = 12, kSplit = 150;  // a vector of pixels, out of the cache; a tile of two images
    const double vectors = static_cast<double>(together_.n) / together_.kernels->lanes;
    return together_.time + kPack * vectors * static_cast<double>(together_.k) +
           kSplit * static_cast<double>(images_ * together_.m_panels);
  }

  void run_together(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                    std::byte* workspace) const {
    StridedC<T> c{target, pixels_};
    c.bias_row = bias, c.activation = activation_;
    gemm_driver(team, together_, StridedA<T>{weight, weights_.row, weights_.column},
                LooksB<T>{kernels<ConvKernels, T>(), rows_, channel_.data(), source},
                ImagesC<T>{*together_.kernels, c, pixels_, together_.m * pixels_}, workspace);
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

  index images_, pixels_;
  GemmActivation activation_;
  PointwiseForm form_;
  StridedPlan<T> plan_;  // of an image
  MatrixLayout weights_{};
  PixelRows rows_;  // of all images
  GemmPlan<T> together_;
  std::vector<std::ptrdiff_t> channel_;  // by channel of an image: where its plane begins
};

}  // namespace tenfold
