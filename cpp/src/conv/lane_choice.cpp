#include "conv/lane_choice.h"

#include <limits>

#include "conv/weight_gradient.h"
#include "kernels/lanes_row_winograd.h"

namespace tenfold {
namespace {

constexpr index kLanes = kLaneBlock;
// Fewer images leave most lanes empty.
constexpr index kLeastImages = 16;
// The share of the peak that register tiles of lanes reach.
constexpr double kShare = 0.85;

// Multiply-adds at the peak of 16 images: by the definition; by Winograd along rows, where it exists and its error is
// allowed; of the adjoint of a stride, whose zeros beside dy are computed too.
double direct_time(const ConvGeometry& g) {
  return static_cast<double>(g.filters * g.channels * g.window.kernel_count() * g.window.output_count()) /
         kShare;
}
double row_winograd_time(const ConvGeometry& g, std::size_t element_size) {
  const int number = lane_row_winograd_number(g);
  if (number < 0 || element_size != sizeof(float)) return std::numeric_limits<double>::infinity();
  return row_winograd_cost(kernels<LaneRowWinogradKernels, float>().form[number], g.window[1].kernel,
                           g.channels, g.filters, g.window[1].output, g.window[2].output);
}
double gather_time(const ConvGeometry& g) {
  const Window& w = g.window;
  return static_cast<double>(g.filters * g.channels * w.kernel_count() * w.input_count() /
                             (w[1].stride * w[2].stride)) /
         kShare;
}

// Multiply-adds at the peak of 16 images in the other forms: the gaps between rows are computed too, unless rows are whole
// vectors; sums of few rows are bound by loads.
double other_time(const ConvGeometry& g, bool adjoint) {
  const Window& w = g.window;
  const index strides = adjoint ? w[1].stride * w[2].stride : 1;
  const index height = adjoint ? w[1].size : w[1].output, width = adjoint ? w[2].size : w[2].output;
  const index row = std::max<index>(1, width / (adjoint ? w[2].stride : 1));
  const bool whole = row % kLanes == 0 && row >= 2 * kLanes;
  const index gap = whole ? 0 : w[2].dilation * (w[2].kernel - 1) / w[2].stride;
  const index targets = adjoint ? g.channels : g.filters;
  const double vectors = static_cast<double>(height * width / strides) * static_cast<double>(row + gap) /
                         static_cast<double>(row);
  const double finish = whole ? 4 : 20;  // to write a vector of sums into rows
  const double full = w[2].stride > 1 && !whole ? 0.72 : 0.8;
  return static_cast<double>(g.filters * g.channels * w.kernel_count()) * vectors /
             (targets < 3 ? full / 2 : full) +
         finish * static_cast<double>(targets * height * width);
}

// The same of a weight gradient: sums end at every row, or filters lie in the lanes.
double other_gradient_time(const ConvGeometry& g) {
  constexpr double kDot = 0.65, kOuter = 0.8;  // shares of the peak
  const index looks = g.channels * g.window.kernel_count(), row = g.window[2].output;
  const index rows = g.window[1].output;
  const auto whole = [](index n) { return divide_up(n, kLanes) * kLanes; };
  return weight_gradient_dots(g.filters, looks, row)
             ? static_cast<double>(g.filters * looks * rows * whole(row)) / kDot
             : static_cast<double>(whole(g.filters) * looks * rows * row) / kOuter;
}

// Rows of 16 images that the other forms copy, every phase of a stride for itself.
double copied_rows(const ConvGeometry& g, bool adjoint) {
  const Axis &h = g.window[1], &w = g.window[2];
  const index rows = adjoint ? g.filters * (h.output + (h.extent() - 1) / h.stride)
                             : g.channels * ((h.output - 1) * h.stride + h.extent()) * w.stride;
  return static_cast<double>(kLanes * rows);
}

}  // namespace

bool lane_conv_choice(const ConvGeometry& g, LaneOperator op, std::size_t element_size) {
  const Window& w = g.window;
  if (w.rank > 2 || g.groups != 1 || g.images < kLeastImages || w.output_count() == 0) return false;
  for (int i = 1; i < 3; ++i) {
    if (w[i].pad_before < 0 || w[i].pad_after < 0) return false;
  }
  if (w.border != Border::constant && w.padded()) return false;
  const bool adjoint = op == LaneOperator::adjoint, gradient = op == LaneOperator::weight_gradient;
  const LaneLayout layout = lane_layout(g, op, element_size);
  if (layout.strip == 0) return false;

  constexpr double kClearly = 0.9;
  const double filling =
      static_cast<double>(divide_up(g.images, kLanes) * kLanes) / static_cast<double>(g.images);
  // Rows that several strips look at are turned for each of them.
  const double turned =
      static_cast<double>(layout.strips * (layout.x.elements() + layout.y.elements())) / kLanes;
  const double product = op == LaneOperator::apply
                             ? std::min(direct_time(g), row_winograd_time(g, element_size))
                         : adjoint && lane_adjoint_gathers(g) ? gather_time(g)
                                                              : direct_time(g);
  const auto& k = kernels<LaneConvKernels, float>();
  const LaneConvCosts& costs = gradient ? k.weight_costs : k.costs;
  const double lanes = filling * (product + costs.turn * turned);
  const double other = gradient ? other_gradient_time(g) : other_time(g, adjoint);
  return lanes < kClearly * (other + costs.copied_row * copied_rows(g, adjoint));
}

bool lane_row_winograd_choice(const ConvGeometry& g, std::size_t element_size) {
  return row_winograd_time(g, element_size) < direct_time(g);
}

}  // namespace tenfold
