#include "program/lanes/plan.h"

#include <algorithm>
#include <limits>

#include "kernels/lanes_background.h"
#include "kernels/lanes_winograd.h"

namespace tenfold {
namespace lanes {
namespace {

// Convolution gradients are summed from at most this many slots: one per chunk of blocks.
constexpr index kMaxChunks = 32;
// Rows of dy that a pass of the weight gradient keeps in L1, of at most six filters: 16 KB of floats.
constexpr index kStripElements = 4096;
// Rows of a dense layer's weight gradient that a job computes: two register tiles.
constexpr index kDensePiece = 12;
// ... of data with a background: one or two register tiles.
constexpr index kBackgroundPiece = 32;

index up(index elements) {
  return divide_up(elements, kLanes) * kLanes;
}
// The pitch of rows that are taken across: an odd number of lines, so that they do not lie in the same sets of the cache.
index odd_lines(index elements) {
  return (divide_up(elements, kLanes) | 1) * kLanes;
}
// The offset of `elements` more in what is `total` long so far.
index place(index& total, index elements) {
  const index offset = total;
  total += up(elements);
  return offset;
}

// Pixels and sources of rows.
void make_sparse_tables(const Plane& in, Stage& stage) {
  SparseStage& sparse = stage.sparse;
  const index channels = sparse.rows.channels;
  for (index pixel : stage.pixel)
    sparse.pixel.push_back(static_cast<std::int32_t>(pixel / kLanes * channels));
  for (index h = 0; h < in.rows(); ++h) {
    for (index w = 0; w < in.cols(); ++w) {
      for (index c = 0; c < channels; ++c)
        sparse.source.push_back(c < in.channels ? c * in.plane() + h * in.row() + w * kLanes : kNoSource);
    }
  }
}

void make_tables(Plan& plan, Stage& stage) {
  const Plane& in = plan.values[static_cast<std::size_t>(stage.in)];
  const Plane& out = plan.values[static_cast<std::size_t>(stage.out)];
  const Axis &h = stage.height, &w = stage.width;
  for (index c = 0; c < in.channels; ++c) {
    for (index kh = 0; kh < h.kernel; ++kh) {
      for (index kw = 0; kw < w.kernel; ++kw) {
        stage.tap.push_back(c * in.plane() + kh * h.dilation * in.row() + kw * w.dilation * kLanes);
      }
    }
  }
  const auto pixel = [&](index oh, index ow) { return oh * h.stride * in.row() + ow * w.stride * kLanes; };
  if (!stage.pool) {
    for (index oh = 0; oh < h.output; ++oh) {
      for (index ow = 0; ow < w.output; ++ow) {
        stage.pixel.push_back(pixel(oh, ow));
        stage.place.push_back(oh * out.row() + ow * kLanes);
      }
    }
    return;
  }
  for (index oh = 0; oh < stage.pool_height.output; ++oh) {
    for (index ow = 0; ow < stage.pool_width.output; ++ow) {
      stage.place.push_back(oh * out.row() + ow * kLanes);
      for (index kh = 0; kh < stage.pool_height.kernel; ++kh) {
        for (index kw = 0; kw < stage.pool_width.kernel; ++kw) {
          stage.pixel.push_back(pixel(oh * stage.pool_height.stride + kh, ow * stage.pool_width.stride + kw));
          stage.window_place.push_back((kh * w.output + ow * stage.pool_width.stride + kw) * kLanes);
        }
      }
    }
  }
}

// A pool whose windows tile the plane four pixels each can be taken in the registers of a convolution.
bool tiles_by_four(const LaneLayer& pool) {
  const Axis &h = pool.height, &w = pool.width;
  return h.kernel * w.kernel == 4 && h.stride == h.kernel && w.stride == w.kernel && h.pad_before == 0 &&
         h.pad_after == 0 && w.pad_before == 0 && w.pad_after == 0 && h.output * h.kernel <= h.size &&
         w.output * w.kernel <= w.size;
}

// -- the forms of a convolution's operators ---------------------------------------------------------------------------

// Whether there are kernels for whole tiles.
bool tile_kernel(const LaneLayer& layer) {
  const auto fits = [](const Axis& a) { return a.stride == 1 && a.dilation == 1; };
  return fits(layer.height) && fits(layer.width) && layer.height.kernel == layer.width.kernel &&
         lane_winograd_number(layer.height.kernel) >= 0;
}

// Tiles that the kernels take at a time, so that their scratch stays in the second-level cache beside the block.
constexpr index kTileScratch = index{1} << 16;  // elements
// Likewise for what the forward pass of the form of rows reads again for every filter, in the first-level cache.
constexpr index kRowScratch = index{1} << 12;

}  // namespace

index tile_side(index r) {
  return 7 - r;
}

int kernel_number(const Stage& stage) {
  return lane_winograd_number(stage.height.kernel);
}

const LaneRowWinogradForm& row_form(const Stage& stage) {
  return kernels<LaneRowWinogradKernels, float>().form[kernel_number(stage)];
}

TileScratch tile_scratch(const Stage& stage, const Plane& in) {
  const index m = tile_side(stage.height.kernel), channels = in.channels, filters = stage.features;
  const index look = stage.height.kernel - 1;
  // In even shares.
  const auto fit = [](index most_elements, index tile, index most) {
    const index shares = std::clamp<index>(most_elements / (tile * kLanes), 1, most);
    return divide_up(most, divide_up(most, shares));
  };
  TileScratch s;
  index vectors = 0;
  if (stage.forward_form == Form::winograd) {
    s.forward_tiles = fit(kTileScratch, kWinogradPoints * channels, stage.tiles_w);
    vectors = s.forward_tiles * kWinogradPoints * channels + 6 * (s.forward_tiles * m + look) +
              12 * m * kMostFilters;
  } else if (stage.forward_form == Form::rows) {
    const index P = row_form(stage).points;
    s.forward_tiles = fit(kRowScratch, 2 * P * channels, divide_up(stage.height.output, 2));
    vectors = channels * P * (2 * s.forward_tiles + look);
  } else if (stage.forward_form == Form::nine) {
    vectors = nine_scratch(channels, stage.width.output);
  }
  if (stage.input_form == Form::winograd)
    vectors = std::max(vectors, 6 * filters + kWinogradPoints * channels);
  if (stage.weight_form == Form::winograd) {
    s.weight_rows = fit(kTileScratch, 6 * (filters + channels) * stage.tiles_w, stage.tiles_h);
    vectors = std::max(vectors, 6 * s.weight_rows * stage.tiles_w * (filters + channels) +
                                    (s.weight_rows * m + look) * stage.tiles_w);
  }
  s.elements = vectors * kLanes;
  return s;
}
namespace {

// A multiply-add of the direct form, in multiply-adds at the peak.
constexpr double kDirectCost = 1.07;
// Winograd's accumulators of the weight gradient are read and written once a block: they have to stay in the
// second-level cache beside the block.
constexpr index kMaxWeightSums = index{1} << 17;  // elements
// What Winograd's forms may do to the error is at most 4 times the direct form's, which errs the less the shorter its
// sums are (bench/winograd_error.py lanes). Channels that are summed over, by kernel (3x3, 5x5): from 3 channels 3x3 errs
// 6.4 times as much, from 8 3.7 times; 5x5 3 times from 3 channels.
constexpr index kMinSources[] = {16, 3};
// The sparse form, in multiply-adds of 16 lanes at the peak: a part of a run added to sums in registers, or to what lies in
// memory, where pixels are whole parts and where they are not, so that parts lie across lines and what was stored of late is
// loaded in other pieces; 16 elements turned from lanes to rows or back. Behind a ReLU about half of the windows have a
// gradient when training begins, and ever fewer later.
constexpr double kSparseWeight = 0.5, kSparseInput = 1, kSparseInputAcross = 1.5, kTurn = 5, kOpenShare = 0.5;
// The weight gradient with 3x3 windows errs 5 times as much at 8 x 8 pixels, 3 times at 16 x 16; with 5x5 windows 6 times.
constexpr index kMinWeightPixels = 256;

// The sparse form of one or both gradients, where that takes less than `weight` and `input`. Not of the first layer's input,
// whose gradient hardly anybody wants.
void choose_sparse(LaneLayer::Algorithm algorithm, const Plane& in, Stage& stage, double weight,
                   double input) {
  if (algorithm == LaneLayer::Algorithm::winograd) return;
  const bool asked = algorithm == LaneLayer::Algorithm::sparse;
  const double pixels = static_cast<double>(in.rows() * in.cols());
  const double windows = static_cast<double>(stage.pool_height.output * stage.pool_width.output);
  const double entries =
      windows * static_cast<double>(stage.features * kLanes) * (stage.relu ? kOpenShare : 1.0);
  const auto cost = [&](index channels, double part) {
    const index parts = stage.height.kernel * divide_up(stage.width.kernel * channels, kRunPart);
    return entries * static_cast<double>(parts) * part + pixels * static_cast<double>(channels) * kTurn;
  };
  const auto cost_of_both = [&](index channels) {
    const double part = channels % kRunPart == 0 ? kSparseInput : kSparseInputAcross;
    return cost(channels, kSparseWeight) + cost(channels, part);
  };
  const index whole = divide_up(in.channels, kRunPart) * kRunPart;
  const index channels = cost_of_both(whole) <= cost_of_both(in.channels) ? whole : in.channels;
  const double weight_alone = cost(in.channels, kSparseWeight);
  if (stage.in > 0 && (asked || cost_of_both(channels) < std::min(weight_alone, weight) + input)) {
    stage.weight_form = stage.input_form = Form::sparse;
    stage.sparse.rows.channels = channels;
  } else if (asked || weight_alone < weight) {
    stage.weight_form = Form::sparse;
    stage.sparse.rows.channels = in.channels;
  }
}

// Chooses each operator's form by what it takes for a block, in multiply-adds at the peak.
void choose_forms(const LaneChain& chain, const LaneLayer& layer, const Plane& in, Stage& stage) {
  if (!tile_kernel(layer)) return;
  const auto& winograd = kernels<LaneWinogradKernels, float>();
  const int number = kernel_number(stage);
  const index m = tile_side(layer.height.kernel);
  stage.tiles_h = (layer.height.output + m - 1) / m;
  stage.tiles_w = (layer.width.output + m - 1) / m;
  const double channels = static_cast<double>(in.channels), filters = static_cast<double>(stage.features);
  const double products = filters * static_cast<double>(stage.taps);
  const double direct =
      kDirectCost * static_cast<double>(layer.height.output * layer.width.output) * products;
  const auto winograd_cost = [&](const LaneWinogradCost& cost) {
    return static_cast<double>(stage.tiles_h * stage.tiles_w) *
           (static_cast<double>(kWinogradPoints) * channels * filters * cost.product + channels * cost.look +
            filters * cost.part);
  };
  const auto winograds = [&](LaneLayer::Algorithm algorithm) {
    return layer.algorithm == algorithm && chain.dtype == DType::float32;
  };
  const bool may_choose = winograds(LaneLayer::Algorithm::automatic);
  const bool all_tiles = winograds(LaneLayer::Algorithm::winograd);
  const bool all_rows = winograds(LaneLayer::Algorithm::row_winograd);
  const bool pools_four = stage.pool && stage.pool_height.kernel == 2;
  // The cheapest of those allowed; what was asked for costs nothing.
  const auto choose = [&](Form& form, double& least, Form other, bool asked, bool allowed, double cost) {
    if (asked) cost = 0;
    if (!(asked || allowed) || cost >= least) return;
    form = other;
    least = cost;
  };

  double forward = direct;
  const bool pools = winograd.forward[number] != nullptr &&
                     (!stage.pool || (m % stage.pool_height.kernel == 0 && m % stage.pool_width.kernel == 0));
  choose(stage.forward_form, forward, Form::winograd, pools && all_tiles,
         pools && may_choose && in.channels >= kMinSources[number],
         winograd_cost(winograd.forward_cost[number]));
  const bool pairs = !stage.pool || pools_four;
  choose(stage.forward_form, forward, Form::rows, pairs && all_rows, pairs && may_choose,
         row_winograd_cost(row_form(stage), layer.height.kernel, in.channels, stage.features,
                           layer.height.output, layer.width.output));
  const auto& nine = kernels<LaneNineWinogradKernels, float>();
  const bool nine_fits = pairs && layer.height.kernel == 5 && nine.forward != nullptr;
  choose(stage.forward_form, forward, Form::nine, nine_fits && winograds(LaneLayer::Algorithm::nine_winograd),
         nine_fits && may_choose && in.channels >= kMinSources[number],
         nine_winograd_cost(nine.cost, in.channels, stage.features, layer.height.output, layer.width.output));
  if (!chain.training) return;

  double input = direct;
  choose(stage.input_form, input, Form::winograd, all_tiles,
         may_choose && stage.features >= kMinSources[number], winograd_cost(winograd.input_cost[number]));

  double weight = direct;
  const bool fits = in.channels * stage.features * kWinogradPoints * kLanes <= kMaxWeightSums;
  const bool accurate =
      layer.height.kernel == 3 && layer.height.output * layer.width.output >= kMinWeightPixels;
  choose(stage.weight_form, weight, Form::winograd, all_tiles, may_choose && fits && accurate,
         winograd_cost(winograd.weight_cost[number]));
  if (stage.pool) choose_sparse(layer.algorithm, in, stage, weight, input);
}

// Whole tiles look beyond the last output.
void pad_for_tiles(const Stage& stage, Plane& source) {
  const index h = stage.height.output, w = stage.width.output;
  index bottom = 0, right = 0;
  const auto reach = [&](index rows, index columns) {
    bottom = std::max(bottom, rows - h);
    right = std::max(right, columns - w);
  };
  const auto whole = [](index outputs, index tile) { return divide_up(outputs, tile) * tile; };
  if (stage.any(Form::winograd)) {
    const index side = tile_side(stage.height.kernel);
    reach(whole(h, side), whole(w, side));
  }
  if (stage.any(Form::rows)) reach(whole(h, 2), whole(w, row_form(stage).outputs));
  if (stage.any(Form::nine)) reach(nine_tiles(h).outputs(), nine_tiles(w).outputs());
  source.pad_bottom += bottom;
  source.pad_right += right;
}
// -- from layers to stages ---------------------------------------------------------------------------------------------

bool relu_follows(const LaneChain& chain, std::size_t end) {
  return end < chain.layers.size() && chain.layers[end].kind == LaneLayer::Kind::relu &&
         !chain.layers[end - 1].kept;
}

bool pool_follows(const LaneChain& chain, std::size_t end, const Stage& stage) {
  return end < chain.layers.size() && chain.layers[end].kind == LaneLayer::Kind::max_pool &&
         !chain.layers[end - 1].kept && tiles_by_four(chain.layers[end]) &&
         (!stage.relu || stage.at_zero == 0 || stage.at_zero == 1);
}

// The convolution layers[end - 1] and what is computed in its registers; `end` goes behind that. Its input `source` gets
// the padding it needs.
void lower_conv(const LaneChain& chain, std::size_t& end, Stage& stage, Plane& source, Plane& out) {
  const LaneLayer& layer = chain.layers[end - 1];
  stage.height = layer.height;
  stage.width = layer.width;
  source.pad_top = layer.height.pad_before;
  source.pad_bottom = layer.height.pad_after;
  source.pad_left = layer.width.pad_before;
  source.pad_right = layer.width.pad_after;
  stage.features = layer.features;
  stage.taps = source.channels * layer.height.kernel * layer.width.kernel;
  out.channels = layer.features;
  out.height = layer.height.output;
  out.width = layer.width.output;
  if (relu_follows(chain, end)) {
    stage.relu = true;
    stage.at_zero = chain.layers[end++].at_zero;
  }
  if (pool_follows(chain, end, stage)) {
    stage.pool = true;
    stage.pool_height = chain.layers[end].height;
    stage.pool_width = chain.layers[end].width;
    out.height = stage.pool_height.output;
    out.width = stage.pool_width.output;
    ++end;
  }
  choose_forms(chain, layer, source, stage);
  pad_for_tiles(stage, source);
}

// Whether the stage's input is the segment's own, large enough, and nobody else's: it is overwritten.
bool fits_background(const Plan& plan, const Stage& stage) {
  const bool kept = std::any_of(plan.kept.begin(), plan.kept.end(),
                                [&](const std::pair<int, int>& value) { return value.first == stage.in; });
  return stage.in == 0 && !kept && may_skip_background(stage.taps, stage.features) &&
         plan.samples * up(stage.features) <= std::numeric_limits<std::int32_t>::max();
}

void lower_linear(const LaneChain& chain, std::size_t& end, const Plan& plan, Stage& stage, Plane& out) {
  stage.features = chain.layers[end - 1].features;
  stage.taps = plan.values.back().features();
  stage.on_background = fits_background(plan, stage);
  out.channels = stage.features;
  out.height = out.width = 1;
  if (relu_follows(chain, end)) {
    stage.relu = true;
    stage.at_zero = chain.layers[end++].at_zero;
  }
}

// Values, stages, and which values are kept.
void lower_layers(const LaneChain& chain, Plan& plan) {
  Plane x;
  x.channels = chain.x[1];
  if (chain.x.size() == 4) {
    x.height = chain.x[2];
    x.width = chain.x[3];
  }
  plan.values.push_back(x);
  int inputs = 1, outputs = 0;
  for (std::size_t begin = 0, end = 0; begin < chain.layers.size(); begin = end) {
    const LaneLayer& layer = chain.layers[begin];
    Stage stage;
    stage.kind = layer.kind;
    stage.in = static_cast<int>(plan.values.size()) - 1;
    stage.out = stage.in + 1;
    end = begin + 1;  // layers begin .. end - 1 are this stage
    if (layer.kind == LaneLayer::Kind::flatten) {
      if (layer.kept) plan.kept.emplace_back(stage.in, outputs++);
      continue;
    }
    Plane& source = plan.values.back();
    Plane out = source;
    out.pad_top = out.pad_bottom = out.pad_left = out.pad_right = 0;
    switch (layer.kind) {
      case LaneLayer::Kind::conv:
        lower_conv(chain, end, stage, source, out);
        break;
      case LaneLayer::Kind::linear:
        lower_linear(chain, end, plan, stage, out);
        break;
      case LaneLayer::Kind::max_pool:
        stage.height = layer.height;
        stage.width = layer.width;
        out.height = layer.height.output;
        out.width = layer.width.output;
        break;
      default:
        stage.at_zero = layer.at_zero;
        break;
    }
    if (stage.features > 0) {
      stage.weight = inputs++;
      if (layer.bias) stage.bias = inputs++;
    }
    plan.values.push_back(out);
    plan.stages.push_back(stage);
    if (chain.layers[end - 1].kept) plan.kept.emplace_back(stage.out, outputs++);
  }
  plan.last = static_cast<int>(plan.values.size()) - 1;
}

// -- places and jobs ---------------------------------------------------------------------------------------------------

void place_values(Plan& plan) {
  for (std::size_t v = 0; v < plan.values.size(); ++v) {
    Plane& value = plan.values[v];
    value.offset = plan.area;
    // Data with a background never lie in an area.
    if (v > 0 || !plan.stages.front().on_background) plan.area += value.elements();
    plan.gradient[v % 2] = std::max(plan.gradient[v % 2], value.elements());
    plan.scratch = std::max(plan.scratch, value.elements());
  }
  if (plan.kept.empty()) plan.scratch = 0;
}

// Rows of dy for a pass of the weight gradient: whole windows, in even shares.
index strip_rows(const Stage& stage) {
  const index rows = stage.pool ? stage.pool_height.kernel : 1;
  const index row = std::min<index>(stage.features, 6) * stage.width.output * kLanes;
  const index groups = divide_up(stage.height.output, rows);
  const index fit = std::max<index>(1, kStripElements / row / rows);
  return divide_up(groups, divide_up(groups, fit)) * rows;
}

// Sums over the chunks' slots, about a thousand a job.
void add_conv_jobs(Plan& plan, int number) {
  const Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  const bool in_points = stage.weight_form == Form::winograd, sparse = stage.weight_form == Form::sparse;
  const index channels = plan.values[static_cast<std::size_t>(stage.in)].channels;
  const index count = stage.features * (sparse ? 1 : in_points ? channels : stage.taps);
  const index piece = sparse ? divide_up(1024, stage.looks) : in_points ? kPairPiece : 1024;
  for (index begin = 0; begin < count; begin += piece) {
    const index end = std::min(count, begin + piece);
    plan.jobs.push_back({number, begin, end, count});
  }
}

// Where rows, lists and packed weights lie, and how much is taken together: what the pixels of as many windows as
// possible look at stays in the first-level cache for all filters.
void place_sparse(Plan& plan, Stage& stage, const Plane& in) {
  SparseStage& sparse = stage.sparse;
  SampleRows& rows = sparse.rows;
  rows.run = divide_up(stage.width.kernel * rows.channels, kRunPart) * kRunPart;
  rows.row = in.cols() * rows.channels;
  rows.elements = in.rows() * rows.row;
  rows.sample = odd_lines(rows.elements + kRunPart - 1);  // a sample's last run ends behind it
  const index near = kernels<LaneSparseKernels, float>().near[stage.input_form == Form::sparse ? 1 : 0];
  const index look_rows = near / (kListedSamples * rows.row) - (stage.height.kernel - 1);
  const index fit = std::clamp<index>(look_rows / stage.pool_height.kernel, 1, stage.pool_height.output);
  sparse.strip = divide_up(stage.pool_height.output, divide_up(stage.pool_height.output, fit));
  make_sparse_tables(in, stage);
  if (stage.input_form == Form::sparse)
    sparse.weights = place(plan.points, stage.features * stage.height.kernel * rows.run);
  sparse.scratch =
      lane_sparse_scratch(rows, stage.features, lane_sparse_list(sparse.strip, stage.pool_width.output),
                          stage.input_form == Form::sparse);
  plan.expanded = std::max(plan.expanded, up(sparse.scratch));
}

void place_conv(Plan& plan, int number) {
  Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  const Plane& in = plan.values[static_cast<std::size_t>(stage.in)];
  make_tables(plan, stage);
  stage.strip_rows = strip_rows(stage);
  if (stage.pool) {
    const auto windows = static_cast<index>(stage.place.size());
    stage.codes = place(plan.area, divide_up(stage.features * windows * kLanes, 4));
    if (stage.input_form != Form::sparse)
      plan.expanded =
          std::max(plan.expanded, stage.features * stage.height.output * stage.width.output * kLanes);
  }
  const index pairs = stage.features * in.channels;
  if (stage.forward_form == Form::winograd || stage.input_form == Form::winograd)
    stage.points = place(plan.points, pairs * kWinogradPoints);
  if (stage.forward_form == Form::rows)
    stage.forward_points = place(plan.points, pairs * stage.height.kernel * row_form(stage).points);
  if (stage.forward_form == Form::nine)
    stage.forward_points = place(plan.points, nine_weights(in.channels, stage.features));
  plan.tiles = std::max(plan.tiles, tile_scratch(stage, in).elements);
  const bool sparse = stage.weight_form == Form::sparse;
  if (sparse) place_sparse(plan, stage, in);
  stage.looks = sparse                                ? stage.height.kernel * stage.sparse.rows.run
                : stage.weight_form == Form::winograd ? in.channels * kWinogradPoints
                                                      : stage.taps;
  stage.sums = place(plan.sums, stage.features * stage.looks * (sparse ? 1 : kLanes));
  stage.bias_sums = place(plan.sums, stage.features * kLanes);
  stage.slot = place(plan.slot, up(stage.features * stage.looks) + stage.features);
  add_conv_jobs(plan, number);
}

void place_max_pool(Plan& plan, Stage& stage) {
  const Plane& out = plan.values[static_cast<std::size_t>(stage.out)];
  stage.codes = place(plan.area, divide_up(out.features() * kLanes, 4));
}

void place_background(Plan& plan, Stage& stage) {
  BackgroundStage& background = stage.background;
  background.block = place(plan.area, kLanes);
  background.columns = divide_up(stage.taps, kColumn);
  const index samples = background.columns * lane_columns_pitch(plan.samples);
  background.e = place(plan.leftovers, samples * kColumn);
  background.places = place(plan.leftovers, samples);
  background.counts = place(plan.leftovers, background.columns);
  background.samples = place(plan.leftovers, plan.blocks * kLanes);
  background.d_pitch = odd_lines(stage.features);
  background.d_rows = place(plan.leftovers, plan.blocks * kLanes * background.d_pitch);
}

void place_linear(Plan& plan, int number) {
  Stage& stage = plan.stages[static_cast<std::size_t>(number)];
  if (stage.on_background) {
    place_background(plan, stage);
  } else {
    stage.pitch = odd_lines(stage.taps);
    stage.samples_rows = place(plan.leftovers, plan.blocks * kLanes * stage.pitch);
  }
  stage.d_out = place(plan.leftovers, plan.blocks * kLanes * stage.features);
  const index piece = stage.on_background ? kBackgroundPiece : kDensePiece;
  for (index begin = 0; begin < stage.features; begin += piece) {
    const index end = std::min(stage.features, begin + piece);
    plan.jobs.push_back({number, begin, end, stage.features});
  }
  plan.handed_over = std::max(plan.handed_over, up(std::min(piece, stage.features) * stage.taps));
}

}  // namespace

Plan make_plan(const LaneChain& chain) {
  Plan plan;
  plan.samples = chain.x[0];
  plan.blocks = divide_up(plan.samples, kLanes);
  plan.chunks = std::min(plan.blocks, kMaxChunks);
  lower_layers(chain, plan);
  place_values(plan);
  const auto each = [&](LaneLayer::Kind kind, auto&& placed) {
    for (std::size_t s = 0; s < plan.stages.size(); ++s) {
      if (plan.stages[s].kind == kind) placed(static_cast<int>(s));
    }
  };
  each(LaneLayer::Kind::conv, [&](int s) { place_conv(plan, s); });
  each(LaneLayer::Kind::max_pool,
       [&](int s) { place_max_pool(plan, plan.stages[static_cast<std::size_t>(s)]); });
  plan.leftovers = plan.slot * plan.chunks;
  each(LaneLayer::Kind::linear, [&](int s) { place_linear(plan, s); });
  // A member computes about the share of every gradient that it had the step before, as for_range gives it to the
  // optimiser's.
  std::stable_sort(plan.jobs.begin(), plan.jobs.end(), [](const Job& a, const Job& b) {
    return (a.begin + a.end) * b.count < (b.begin + b.end) * a.count;
  });
  return plan;
}

}  // namespace lanes
}  // namespace tenfold
