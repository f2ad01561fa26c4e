#include "conv/winograd_gradient_choice.h"

#include <algorithm>
#include <cmath>

#include "conv/weight_gradient.h"
#include "conv/winograd.h"

namespace tenfold {
namespace {

index tiles_of(const ConvGeometry& g, int tile) {
  const index m = kWinogradForms[kWinogradGradientForms[winograd_gradient_form(g, tile)]].m;
  return g.images * divide_up(g.window[1].output, m) * divide_up(g.window[2].output, m);
}

// Of the sums of the direct form, relative to the largest: the square of the roundings of an element that they grow by, where
// terms have any sign. A sum that is made step by step has half as many as steps; those of rows are in lanes.
double direct_roundings(const ConvGeometry& g) {
  const index taps = g.window.kernel_count(), looks = g.channels * taps, sums = g.filters * looks;
  const index pixels = g.window.output_count(), lanes = kernels<WinogradKernels, float>().lanes;
  const bool dots = weight_gradient_dots(g.filters, looks, g.window[2].output);
  const index slot = sums * (dots ? lanes : 1) * static_cast<index>(sizeof(float));
  const index chunks = weight_gradient_chunks(dots, g.images, pixels, 1, sums, slot);
  const double run = static_cast<double>(g.images * pixels) / static_cast<double>(chunks);
  const double lane = static_cast<double>(lanes);
  return 0.33 * 0.5 * ((dots ? run / lane + std::log2(lane) : run) + static_cast<double>(chunks));
}

// The same of Winograd's form: of the transforms, and of a step of the sums, in which more is summed than is left in the end.
// Measured (docs/numerics.md).
double winograd_roundings(const ConvGeometry& g, int tile, index depth) {
  struct Roundings {
    double transforms, step;
  };
  constexpr Roundings kForms[] = {{24, 0.7}, {64, 11}, {10, 1.5}, {8, 2.4}, {140, 3}};
  const auto& [transforms, step] = kForms[winograd_gradient_form(g, tile)];
  const index tiles = tiles_of(g, tile);
  return transforms + step * 0.5 * static_cast<double>(std::min(tiles, depth) + divide_up(tiles, depth));
}

// At most four times the direct form's error, where the estimate is two thirds of the largest that was measured.
bool errs_little(const ConvGeometry& g, int tile, index depth) {
  constexpr double kMost = 4, kMeasured = 1.5;
  const double most = kMost / kMeasured;
  return winograd_roundings(g, tile, depth) <= most * most * direct_roundings(g);
}

// Time in multiply-adds of a vector, measured with AVX-512 and with AVX2, which all others take after (docs/performance.md).
struct Costs {
  index lanes, tile_rows, tile_vectors;
  double share, call;       // of the peak in products; of a register tile, to begin and to write
  double look;              // of an element of a vector of transformed tiles
  double sum_element, sum;  // of a vector of sums that become taps: of each element, of all together
  double direct, direct_stride, dots;  // of the peak in the direct form: stride 1 and 2, and few filters
  double tap;                          // of a tap in the direct form
};
constexpr Costs kWideCosts = {16, 8, 3, 0.87, 120, 9, 6, 60, 0.8, 0.75, 0.8, 0};
constexpr Costs kCosts = {8, 4, 3, 0.75, 120, 16, 17.5, 270, 0.6, 0.5, 0.35, 8};
const Costs& costs() {
  return kernels<WinogradKernels, float>().lanes > 8 ? kWideCosts : kCosts;
}

double winograd_cost(const ConvGeometry& g, int tile) {
  const Costs& cost = costs();
  const index t = kWinogradForms[kWinogradGradientForms[winograd_gradient_form(g, tile)]].t;
  const double tiles = static_cast<double>(tiles_of(g, tile)), elements = static_cast<double>(t * t);
  const double c = static_cast<double>(divide_up(g.channels, cost.lanes)),
               f = static_cast<double>(divide_up(g.filters, cost.lanes)),
               pairs = c * f * static_cast<double>(cost.lanes);
  const double calls = static_cast<double>(divide_up(g.channels, cost.tile_rows) *
                                           divide_up(g.filters, cost.tile_vectors * cost.lanes)) *
                       std::ceil(tiles / static_cast<double>(winograd_gradient_depth(g, tile)));
  return elements * (tiles * pairs / cost.share + cost.call * calls) +
         cost.look * elements * tiles * (c + f) + (cost.sum_element * elements + cost.sum) * pairs;
}

double direct_cost(const ConvGeometry& g) {
  const Costs& cost = costs();
  const index looks = g.channels * g.window.kernel_count();
  const double share = weight_gradient_dots(g.filters, looks, g.window[2].output) ? cost.dots
                       : g.window[1].stride == 1                                  ? cost.direct
                                                                                  : cost.direct_stride;
  const index steps = g.images * g.window.output_count() * divide_up(g.filters, cost.lanes);
  return static_cast<double>(looks) *
         (static_cast<double>(steps) / share + cost.tap * static_cast<double>(g.filters));
}

}  // namespace

bool winograd_gradient_applies(const ConvGeometry& g, int tile, std::size_t element_size) {
  if (!winograd_applies(g, false)) return false;
  const Axis& a = g.window[1];
  return a.kernel == 5 ? tile != 2 && element_size == sizeof(float) : a.stride == 1 || tile != 4;
}

int winograd_gradient_form(const ConvGeometry& g, int tile) {
  const Axis& a = g.window[1];
  if (a.kernel == 5) return kWinogradGradientOfFive;
  return a.stride == 2 ? static_cast<int>(a.kernel) - 1 : tile == 2 ? 0 : 1;
}

index winograd_gradient_depth(const ConvGeometry& g, int tile) {
  constexpr index kLeast = 32;  // shorter ones take too long
  const index tiles = tiles_of(g, tile);
  for (index slices = divide_up(tiles, kGradientDepth); kLeast * slices < tiles; ++slices) {
    const index depth = divide_up(tiles, slices);
    if (errs_little(g, tile, depth)) return depth;
  }
  return kLeast;
}

int winograd_gradient_tile(const ConvGeometry& g) {
  if (!winograd_gradient_applies(g, 2, sizeof(float))) return 4;
  if (!winograd_gradient_applies(g, 4, sizeof(float))) return 2;
  return winograd_cost(g, 4) < winograd_cost(g, 2) ? 4 : 2;
}

int winograd_gradient_choice(const ConvGeometry& g) {
  constexpr index kLeastChannels = 16;
  constexpr double kClearly = 0.8;
  if (std::min(g.channels, g.filters) < kLeastChannels) return 0;
  int best = 0;
  double least = kClearly * direct_cost(g);
  for (int tile : {2, 4}) {
    if (!winograd_gradient_applies(g, tile, sizeof(float))) continue;
    if (!errs_little(g, tile, winograd_gradient_depth(g, tile))) continue;
    const double cost = winograd_cost(g, tile);
    if (cost < least) least = cost, best = tile;
  }
  return best;
}

}  // namespace tenfold
