#include "program/lanes/lane_segment.h"

#include <algorithm>
#include <cstring>

#include "kernels/lanes.h"
#include "kernels/lanes_row_winograd.h"
#include "kernels/lanes_winograd.h"

#include "program/ops/op_base.h"

namespace tenfold {
namespace {

constexpr index kLanes = kLaneBlock;
// Convolution gradients are summed from at most this many slots: one per chunk of blocks.
constexpr index kMaxChunks = 64;
// Rows of dy that a pass of the weight gradient keeps in L1, of at most six filters: 16 KB of floats.
constexpr index kStripElements = 4096;
// Pixels of a channel that stay in L1 for all filters: 24 KB of floats.
constexpr index kStripLook = 6144;
// Channels of filters whose points a job adds up.
constexpr index kPairPiece = 32;

// Where a value lies in a block's area: [channels][rows][cols][16], with the zero padding its consumer needs
// around it.
struct Plane {
  index channels = 1, height = 1, width = 1;
  index pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  index offset = 0;  // in the area, elements

  index rows() const { return pad_top + height + pad_bottom; }
  index cols() const { return pad_left + width + pad_right; }
  index row() const { return cols() * kLanes; }
  index plane() const { return rows() * row(); }
  index origin() const { return (pad_top * cols() + pad_left) * kLanes; }
  index elements() const { return channels * plane(); }
  index features() const { return channels * height * width; }
  bool padded() const { return rows() != height || cols() != width; }
};

// How an operator of a convolution is computed: as the definition says; that, on the one pixel of a pooling window that
// has a gradient; with Winograd's points of tiles; with those of rows.
enum class Form { direct, pooled, winograd, rows };

// One or several fused layers.
struct Stage {
  LaneLayer::Kind kind;
  int in, out;  // values
  Axis height, width;
  index features = 0, taps = 0;
  int weight = -1, bias = -1;  // inputs of the op
  bool relu = false, pool = false;
  double at_zero = 1;
  Axis pool_height, pool_width;
  std::vector<index> tap, pixel, place;  // see LaneConv
  std::vector<index> window_place;       // of the pooled gradient: place[4 * window + tap] in a plane of dy
  index codes = 0;                       // offset in the area
  bool input_gradient = false;           // dy is needed as a whole
  index strip_rows = 1;                  // rows of dy that a pass of the weight gradient takes
  Form forward_form = Form::direct, input_form = Form::direct, weight_form = Form::direct;
  bool any(Form form) const { return forward_form == form || input_form == form || weight_form == form; }
  index tiles_h = 0, tiles_w = 0;  // Winograd's tiles
  index points = 0;                // offset of weights transformed for tiles among a member's: [F][C][36]
  index row_points = 0;            // ... for rows: [F][C][r][P]
  index looks = 0;  // what a filter's weight gradient is summed in: its K taps, or 36 points a channel
  index sums = 0;   // offset in a member's accumulators: [F][looks][16], then [F][16]
  index slot = 0;   // offset in a chunk's slot: [F][looks], then [F]
  index samples_rows = 0, d_out = 0;  // dense: offsets in the leftovers: [N][pitch], [blocks][O][16]
  index pitch = 0;
};

// A share of the work that follows the barrier: rows of a dense weight, elements of a convolution's, or channels of
// filters of one whose gradient is summed in points.
struct Job {
  int stage;
  index begin, end;
  double cost;
};

index divide_up(index a, index b) {
  return (a + b - 1) / b;
}
index up(index elements) {
  return divide_up(elements, kLanes) * kLanes;
}

// The chain lowered to stages, and every offset. Offsets and sizes count elements of the segment's type.
struct Plan {
  index samples = 0, blocks = 0, chunks = 0;
  std::vector<Plane> values;
  std::vector<Stage> stages;
  std::vector<std::pair<int, int>> kept;  // value, output
  int last = 0;                           // value
  index area = 0;                         // activations and codes of a block
  index gradient[2] = {0, 0};             // the gradients of even and odd values
  index expanded = 0;                     // dy of a pooled convolution
  index sums = 0;                         // accumulators of the convolutions
  index points = 0;                       // transformed weights of the convolutions
  index tiles = 0;                        // scratch of Winograd's kernels
  index scratch = 0;                      // a gradient that comes from outside
  index slot = 0;                         // of a chunk
  index leftovers = 0;                    // what blocks leave for the end: slots, dense rows and gradients
  std::vector<Job> jobs;

  // Of a member: what forward needs, and what backward needs besides.
  index forward_member() const { return points + tiles; }
  index member() const { return gradient[0] + gradient[1] + expanded + sums + scratch; }
};

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

// ---- the forms of a convolution's operators
// ------------------------------------------------------------------------

// An output tile's side for a kernel of r x r; tiles look at 6 x 6 inputs.
index tile_side(index r) {
  return 7 - r;
}
int kernel_number(const Stage& stage) {
  return lane_winograd_number(stage.height.kernel);
}

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

struct TileScratch {
  index forward_tiles = 1;  // of a row of tiles, or pairs of rows
  index weight_rows = 1;    // of tiles
  index elements = 0;
};
TileScratch tile_scratch(const Stage& stage, const Plane& in) {
  const index m = tile_side(stage.height.kernel), channels = in.channels, filters = stage.features;
  const index look = stage.height.kernel - 1, P = row_winograd_points(stage.height.kernel);
  // In even shares.
  const auto fit = [](index most_elements, index tile, index most) {
    const index shares = std::clamp<index>(most_elements / (tile * kLanes), 1, most);
    return divide_up(most, divide_up(most, shares));
  };
  TileScratch s;
  index vectors = 0;
  if (stage.forward_form == Form::winograd) {
    s.forward_tiles = fit(kTileScratch, kWinogradPoints * channels, stage.tiles_w);
    vectors = s.forward_tiles * kWinogradPoints * channels + 6 * (s.forward_tiles * m + look);
  } else if (stage.forward_form == Form::rows) {
    s.forward_tiles = fit(kRowScratch, 2 * P * channels, divide_up(stage.height.output, 2));
    vectors = channels * P * (2 * s.forward_tiles + look);
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

// A multiply-add of the direct form, in multiply-adds at the peak.
constexpr double kDirectCost = 1.07;
// Winograd's accumulators of the weight gradient are read and written once a block: they have to stay in the
// second-level cache beside the block.
constexpr index kMaxWeightSums = index{1} << 17;  // elements
// What Winograd's forms may do to the error is at most 4 times the direct form's, which errs the less the shorter its
// sums are (bench/winograd_error.py lanes). Channels that are summed over, by kernel (3x3, 5x5): from 3 channels 3x3 errs
// 6.4 times as much, from 8 3.7 times; 5x5 3 times from 3 channels.
constexpr index kMinSources[] = {16, 3};
// The weight gradient with 3x3 windows errs 5 times as much at 8 x 8 pixels, 3 times at 16 x 16; with 5x5 windows 6 times.
constexpr index kMinWeightPixels = 256;

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
  const bool may_choose = layer.algorithm == LaneLayer::Algorithm::automatic && chain.dtype == DType::float32;
  const bool all_tiles = layer.algorithm == LaneLayer::Algorithm::winograd;
  const bool all_rows = layer.algorithm == LaneLayer::Algorithm::row_winograd;
  const bool pools_four = stage.pool && stage.pool_height.kernel == 2;
  // The cheapest of those allowed; what was asked for costs nothing.
  const auto choose = [&](Form& form, double& least, Form other, bool asked, bool allowed, double cost) {
    if (asked) cost = 0;
    if (!(asked || allowed) || cost >= least) return;
    form = other;
    least = cost;
  };

  double forward = direct;
  const bool pools = !stage.pool || (m % stage.pool_height.kernel == 0 && m % stage.pool_width.kernel == 0);
  choose(stage.forward_form, forward, Form::winograd, pools && all_tiles,
         pools && may_choose && in.channels >= kMinSources[number],
         winograd_cost(winograd.forward_cost[number]));
  const bool pairs = !stage.pool || pools_four;
  choose(
      stage.forward_form, forward, Form::rows, pairs && all_rows, pairs && may_choose,
      row_winograd_cost(kernels<LaneRowWinogradKernels, float>().forward_cost[number], layer.height.kernel,
                        in.channels, stage.features, layer.height.output * divide_up(layer.width.output, 2)));
  if (!chain.training) return;

  double input = direct;
  choose(stage.input_form, input, Form::winograd, all_tiles,
         may_choose && stage.features >= kMinSources[number], winograd_cost(winograd.input_cost[number]));

  double weight = direct;
  const double windows =
      pools_four ? static_cast<double>(stage.pool_height.output * stage.pool_width.output) : 0;
  choose(stage.weight_form, weight, Form::pooled, false, pools_four,
         kernels<LaneKernels, float>().pooled_weight_cost * windows * products);
  const bool fits = in.channels * stage.features * kWinogradPoints * kLanes <= kMaxWeightSums;
  const bool accurate =
      layer.height.kernel == 3 && layer.height.output * layer.width.output >= kMinWeightPixels;
  choose(stage.weight_form, weight, Form::winograd, all_tiles, may_choose && fits && accurate,
         winograd_cost(winograd.weight_cost[number]));
}

// Whole tiles and pairs of rows look beyond the last output.
void pad_for_tiles(const Stage& stage, Plane& source) {
  const index side = stage.any(Form::winograd) ? tile_side(stage.height.kernel)
                     : stage.any(Form::rows)   ? 2
                                               : 1;
  source.pad_bottom += divide_up(stage.height.output, side) * side - stage.height.output;
  source.pad_right += divide_up(stage.width.output, side) * side - stage.width.output;
}

Plan make_plan(const LaneChain& chain) {
  Plan plan;
  plan.samples = chain.x[0];
  plan.blocks = (plan.samples + kLanes - 1) / kLanes;
  plan.chunks = std::min(plan.blocks, kMaxChunks);
  Plane x;
  x.channels = chain.x[1];
  if (chain.x.size() == 4) {
    x.height = chain.x[2];
    x.width = chain.x[3];
  }
  plan.values.push_back(x);
  int inputs = 1, outputs = 0;

  const auto& layers = chain.layers;
  for (std::size_t i = 0; i < layers.size();) {
    const LaneLayer& layer = layers[i];
    const int in = static_cast<int>(plan.values.size()) - 1;
    Stage stage;
    stage.kind = layer.kind;
    stage.in = in;
    stage.out = in + 1;
    std::size_t end = i + 1;  // layers i .. end - 1 are this stage
    Plane out = plan.values.back();
    out.pad_top = out.pad_bottom = out.pad_left = out.pad_right = 0;
    if (layer.kind == LaneLayer::Kind::flatten) {
      if (layer.kept) plan.kept.emplace_back(in, outputs++);
      ++i;
      continue;
    }
    const bool follows_relu =
        end < layers.size() && layers[end].kind == LaneLayer::Kind::relu && !layers[end - 1].kept;
    switch (layer.kind) {
      case LaneLayer::Kind::conv: {
        stage.height = layer.height;
        stage.width = layer.width;
        Plane& source = plan.values.back();
        source.pad_top = layer.height.pad_before;
        source.pad_bottom = layer.height.pad_after;
        source.pad_left = layer.width.pad_before;
        source.pad_right = layer.width.pad_after;
        stage.features = layer.features;
        stage.taps = source.channels * layer.height.kernel * layer.width.kernel;
        out.channels = layer.features;
        out.height = layer.height.output;
        out.width = layer.width.output;
        if (follows_relu) {
          stage.relu = true;
          stage.at_zero = layers[end++].at_zero;
        }
        if (end < layers.size() && layers[end].kind == LaneLayer::Kind::max_pool && !layers[end - 1].kept &&
            tiles_by_four(layers[end]) && (!stage.relu || stage.at_zero == 0 || stage.at_zero == 1)) {
          stage.pool = true;
          stage.pool_height = layers[end].height;
          stage.pool_width = layers[end].width;
          out.height = stage.pool_height.output;
          out.width = stage.pool_width.output;
          ++end;
        }
        choose_forms(chain, layer, source, stage);
        pad_for_tiles(stage, source);
        break;
      }
      case LaneLayer::Kind::linear:
        stage.features = layer.features;
        stage.taps = plan.values.back().features();
        out.channels = layer.features;
        out.height = out.width = 1;
        if (follows_relu) {
          stage.relu = true;
          stage.at_zero = layers[end++].at_zero;
        }
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
    if (layers[end - 1].kept) plan.kept.emplace_back(stage.out, outputs++);
    i = end;
  }
  plan.last = static_cast<int>(plan.values.size()) - 1;

  for (Plane& value : plan.values) {
    value.offset = plan.area;
    plan.area += value.elements();
  }
  const auto place = [](index& total, index elements) {
    const index offset = total;
    total += up(elements);
    return offset;
  };
  for (std::size_t v = 0; v < plan.values.size(); ++v) {
    plan.gradient[v % 2] = std::max(plan.gradient[v % 2], plan.values[v].elements());
    plan.scratch = std::max(plan.scratch, plan.values[v].elements());
  }
  if (plan.kept.empty()) plan.scratch = 0;
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    Stage& stage = plan.stages[s];
    const int number = static_cast<int>(s);
    if (stage.kind == LaneLayer::Kind::conv) {
      make_tables(plan, stage);
      stage.input_gradient = s > 0;
      const index rows = stage.pool ? stage.pool_height.kernel : 1;  // a strip holds whole windows
      const index row = std::min<index>(stage.features, 6) * stage.width.output * kLanes;
      const index groups = (stage.height.output + rows - 1) / rows;
      const index fit = std::max<index>(1, kStripElements / row / rows);
      const index strips = (groups + fit - 1) / fit;
      stage.strip_rows = (groups + strips - 1) / strips * rows;
      if (stage.pool) {
        stage.codes =
            place(plan.area, (stage.features * static_cast<index>(stage.place.size()) * kLanes + 3) / 4);
        plan.expanded =
            std::max(plan.expanded, stage.features * stage.height.output * stage.width.output * kLanes);
      }
      const Plane& in = plan.values[static_cast<std::size_t>(stage.in)];
      const index row_points = stage.height.kernel * row_winograd_points(stage.height.kernel);
      if (stage.forward_form == Form::winograd || stage.input_form == Form::winograd)
        stage.points = place(plan.points, stage.features * in.channels * kWinogradPoints);
      if (stage.forward_form == Form::rows)
        stage.row_points = place(plan.points, stage.features * in.channels * row_points);
      plan.tiles = std::max(plan.tiles, tile_scratch(stage, in).elements);
      stage.looks = stage.weight_form == Form::winograd ? in.channels * kWinogradPoints : stage.taps;
      stage.sums = place(plan.sums, stage.features * (stage.looks + 1) * kLanes);
      stage.slot = place(plan.slot, stage.features * (stage.looks + 1));
      // About a thousand sums each.
      const bool in_points = stage.weight_form == Form::winograd;
      const index count = stage.features * (in_points ? in.channels : stage.taps);
      const index piece = in_points ? kPairPiece : 1024;
      const index sums = in_points ? kWinogradPoints : 1;
      for (index begin = 0; begin < count; begin += piece) {
        const index end = std::min(count, begin + piece);
        plan.jobs.push_back({number, begin, end, static_cast<double>((end - begin) * sums * plan.chunks)});
      }
    } else if (stage.kind == LaneLayer::Kind::max_pool) {
      const Plane& out = plan.values[static_cast<std::size_t>(stage.out)];
      stage.codes = place(plan.area, (out.features() * kLanes + 3) / 4);
    }
  }
  plan.leftovers = plan.slot * plan.chunks;
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    Stage& stage = plan.stages[s];
    if (stage.kind != LaneLayer::Kind::linear) continue;
    stage.pitch = up(stage.taps);
    stage.samples_rows = place(plan.leftovers, plan.blocks * kLanes * stage.pitch);
    stage.d_out = place(plan.leftovers, plan.blocks * kLanes * stage.features);
    const index piece = 12;  // two register tiles
    for (index begin = 0; begin < stage.features; begin += piece) {
      const index end = std::min(stage.features, begin + piece);
      plan.jobs.push_back(
          {static_cast<int>(s), begin, end,
           static_cast<double>((end - begin) * stage.taps) * static_cast<double>(plan.samples)});
    }
  }
  // Members take turns, the largest first.
  std::stable_sort(plan.jobs.begin(), plan.jobs.end(),
                   [](const Job& a, const Job& b) { return a.cost > b.cost; });
  return plan;
}

template <class T>
class LaneSegment final : public Op {
 public:
  explicit LaneSegment(const LaneChain& chain) : chain_(chain), plan_(make_plan(chain)) {
    const DType dtype = dtype_of<T>();
    const index samples = plan_.samples;
    inputs_.push_back({dtype, chain.x});
    for (const Stage& stage : plan_.stages) {
      if (stage.weight < 0) continue;
      if (stage.kind == LaneLayer::Kind::conv) {
        inputs_.push_back(
            {dtype, {stage.features, value(stage.in).channels, stage.height.kernel, stage.width.kernel}});
      } else {
        inputs_.push_back({dtype, {stage.features, stage.taps}});
      }
      if (stage.bias >= 0) inputs_.push_back({dtype, {stage.features}});
    }
    if (chain.loss || chain.accuracy) {
      labels_ = static_cast<int>(inputs_.size());
      inputs_.push_back({DType::int64, {samples}});
    }
    add_kept_outputs();
    if (chain.loss) {
      loss_ = static_cast<int>(outputs_.size());
      outputs_.push_back({dtype, {}});
    }
    if (chain.accuracy) {
      accuracy_ = static_cast<int>(outputs_.size());
      outputs_.push_back({dtype, {}});
    }
    if (chain.training) {
      saved_.push_back({dtype, {chain.by_block ? plan_.leftovers : plan_.area * plan_.blocks}});
    }
  }

  // Forward and backward of one member: transformed weights and scratch, its area (when blocks' areas are not saved)
  // and its gradients; then what is shared: losses and hits of every sample, and in backward the leftovers where
  // forward did not save them.
  std::size_t forward_workspace(int threads) const override {
    const index member = forward_elements();
    return bytes(threads * member + 2 * plan_.blocks * kLanes);
  }
  std::size_t backward_workspace(int threads) const override {
    const index member = backward_elements();
    return bytes(threads * member + plan_.leftovers + plan_.blocks * kLanes);
  }

  // A member that runs blocks' backward in forward counts that there.
  double flops() const override {
    return forward_flops() + (chain_.by_block ? block_backward_flops(false) : 0);
  }
  double backward_flops(const std::vector<bool>& wanted) const override {
    const bool dx = !wanted.empty() && wanted[0];
    if (chain_.by_block && !dx) return dense_flops();
    return (keeps_areas() ? 0 : forward_flops()) + block_backward_flops(dx) + dense_flops();
  }
  double work() const override { return Op::work() - (flops() - forward_flops()) / 2; }

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto& k = kernels<LaneKernels, T>();
    T* const work = reinterpret_cast<T*>(call.workspace);
    const index member = forward_elements();
    T* const mine = work + team.rank() * member;
    T* const losses = work + team.size() * member;
    T* const hits = losses + plan_.blocks * kLanes;
    const index* labels = labels_ >= 0 ? input<index>(call, labels_) : nullptr;
    const index counted = labels != nullptr ? count_labels(labels) : 0;
    bool ready = false;
    team.for_each(plan_.chunks, [&](index chunk) {
      transform_weights(call.inputs, mine, ready);
      T* const gradients = gradients_of(mine);
      if (chain_.by_block) clear_sums(gradients);
      for (index b = plan_.blocks * chunk / plan_.chunks; b < plan_.blocks * (chunk + 1) / plan_.chunks;
           ++b) {
        T* area = keeps_areas() ? tenfold::saved<T>(call, 0) + b * plan_.area : area_of(mine);
        forward_block(k, call.inputs, b, area, mine);
        for (const auto& [v, out] : plan_.kept) write_value(k, b, area, v, output<T>(call, out));
        if (chain_.accuracy) count_hits(b, area, labels, hits + b * kLanes);
        if (!chain_.loss) continue;
        T* d = chain_.by_block ? gradient(gradients, tenfold::saved<T>(call, 0), b, plan_.last) : nullptr;
        cross_entropy(k, b, area, labels, T{1} / static_cast<T>(counted), losses + b * kLanes, d);
        if (chain_.by_block)
          backward_block(k, call.inputs, b, area, gradients, mine, tenfold::saved<T>(call, 0), nullptr,
                         team.size() > 1);
      }
      if (chain_.by_block) sum_chunk(k, chunk, gradients, tenfold::saved<T>(call, 0), team.size() > 1);
    });
    if (!chain_.loss && !chain_.accuracy) return;
    team.for_each(1, [&](index) {
      double loss = 0, hit = 0;
      for (index n = 0; n < plan_.samples; ++n) {
        if (chain_.loss) loss += static_cast<double>(losses[n]);
        if (chain_.accuracy) hit += static_cast<double>(hits[n]);
      }
      if (chain_.loss) *output<T>(call, loss_) = static_cast<T>(loss / static_cast<double>(counted));
      if (chain_.accuracy) *output<T>(call, accuracy_) = static_cast<T>(hit / static_cast<double>(counted));
      report_labels(labels, call.errors);
    });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const auto& k = kernels<LaneKernels, T>();
    T* const work = reinterpret_cast<T*>(call.workspace);
    const T scale = chain_.loss ? *d_output<T>(call, loss_) : T{1};
    T* const dx = d_input<T>(call, 0);
    // Forward has done the blocks, unless somebody wants the gradient of x, which it did not know.
    if (chain_.by_block && dx == nullptr) return finish(team, k, call, tenfold::saved<T>(call, 0), scale);

    const index member = backward_elements();
    T* const mine = work + team.rank() * member;
    T* const leftovers = work + team.size() * member;
    T* const losses = leftovers + plan_.leftovers;
    const index* labels = labels_ >= 0 ? input<index>(call, labels_) : nullptr;
    const index counted = labels != nullptr ? count_labels(labels) : 0;
    bool ready = false;
    team.for_each(plan_.chunks, [&](index chunk) {
      transform_weights(call.inputs, mine, ready);
      T* const gradients = gradients_of(mine);
      clear_sums(gradients);
      for (index b = plan_.blocks * chunk / plan_.chunks; b < plan_.blocks * (chunk + 1) / plan_.chunks;
           ++b) {
        T* area = keeps_areas() ? static_cast<T*>(call.saved[0]) + b * plan_.area : area_of(mine);
        if (!keeps_areas()) forward_block(k, call.inputs, b, area, mine);
        T* d = gradient(gradients, leftovers, b, plan_.last);
        if (chain_.loss) {
          cross_entropy(k, b, area, labels, scale / static_cast<T>(counted), losses + b * kLanes, d);
        } else {
          std::memset(d, 0, sizeof(T) * static_cast<std::size_t>(value(plan_.last).elements()));
        }
        for (std::size_t i = plan_.kept.size(); i-- > 0 && plan_.kept[i].first == plan_.last;) {
          add_output_gradient(k, b, plan_.last, static_cast<const T*>(call.d_outputs[plan_.kept[i].second]),
                              gradients, d);
        }
        backward_block(k, call.inputs, b, area, gradients, mine, leftovers, &call, team.size() > 1);
      }
      sum_chunk(k, chunk, gradients, leftovers, team.size() > 1);
    });
    finish(team, k, call, leftovers, T{1});
  }

 private:
  using Kernels = LaneKernels<T>;

  bool keeps_areas() const { return chain_.training && !chain_.by_block; }

  // What a member holds: [transformed weights][scratch of tiles][area of a block][gradients].
  index forward_elements() const {
    return plan_.forward_member() + (keeps_areas() ? 0 : plan_.area) + (chain_.by_block ? plan_.member() : 0);
  }
  index backward_elements() const {
    return plan_.forward_member() + (keeps_areas() ? 0 : plan_.area) + plan_.member();
  }
  T* tiles(T* mine) const { return mine + plan_.points; }
  T* area_of(T* mine) const { return mine + plan_.forward_member(); }
  T* gradients_of(T* mine) const { return area_of(mine) + (keeps_areas() ? 0 : plan_.area); }

  // Each member transforms the weights for itself, once, when it takes its first chunk: that takes less time than
  // sharing them.
  void transform_weights(const void* const* inputs, T* mine, bool& ready) const {
    if (ready) return;
    ready = true;
    for (const Stage& stage : plan_.stages) {
      const index pairs = stage.features * value(stage.in).channels;
      const T* const w = stage.weight >= 0 ? static_cast<const T*>(inputs[stage.weight]) : nullptr;
      if (stage.forward_form == Form::winograd || stage.input_form == Form::winograd)
        kernels<LaneWinogradKernels, T>().transform[kernel_number(stage)](pairs, w, mine + stage.points);
      if (stage.forward_form == Form::rows)
        kernels<LaneRowWinogradKernels, T>().transform[kernel_number(stage)](pairs, w,
                                                                             mine + stage.row_points);
    }
  }

  LaneWinograd<T> winograd_of(const Stage& stage, T* mine) const {
    const Plane &in = value(stage.in), &out = value(stage.out);
    LaneWinograd<T> call{};
    call.u = mine + stage.points;
    call.scratch = tiles(mine);
    call.channels = in.channels;
    call.filters = stage.features;
    call.out_h = stage.height.output;
    call.out_w = stage.width.output;
    call.x_plane = in.plane();
    call.x_row = in.row();
    call.y_plane = out.plane();
    call.y_row = out.row();
    call.relu = stage.relu;
    call.pass_zero = stage.at_zero == 1;
    if (stage.pool) {
      call.pool_h = stage.pool_height.kernel;
      call.pooled_h = stage.pool_height.output;
      call.pooled_w = stage.pool_width.output;
      call.code_plane = static_cast<index>(stage.place.size()) * kLanes;
    }
    return call;
  }

  // Floating-point operations of one layer with a weight; its input gradient and its weight gradient take as many.
  double flops_of(const Stage& stage) const {
    if (stage.weight < 0) return 0;
    const index pixels = stage.kind == LaneLayer::Kind::conv ? stage.height.output * stage.width.output : 1;
    return 2.0 * static_cast<double>(pixels * plan_.samples) *
           static_cast<double>(stage.features * stage.taps);
  }
  double forward_flops() const {
    double sum = 0;
    for (const Stage& stage : plan_.stages) sum += flops_of(stage);
    return sum;
  }
  // Weight gradients of dense layers, which come after the blocks.
  double dense_flops() const {
    double sum = 0;
    for (const Stage& stage : plan_.stages)
      sum += stage.kind == LaneLayer::Kind::linear ? flops_of(stage) : 0;
    return sum;
  }
  // Everything else of backward; the first layer's input gradient only if it is wanted.
  double block_backward_flops(bool dx) const {
    double sum = 0;
    bool first = true;
    for (const Stage& stage : plan_.stages) {
      sum += stage.kind == LaneLayer::Kind::conv ? flops_of(stage) : 0;
      sum += first && !dx ? 0 : flops_of(stage);
      first = first && stage.weight < 0;
    }
    return sum;
  }
  const Plane& value(int v) const { return plan_.values[static_cast<std::size_t>(v)]; }
  static std::size_t bytes(index elements) { return static_cast<std::size_t>(elements) * sizeof(T); }
  index block_samples(index b) const { return std::min(kLanes, plan_.samples - b * kLanes); }

  void add_kept_outputs() {
    std::vector<Shape> shapes;  // of kept values, flattened ones told apart
    Shape shape = chain_.x;
    for (const LaneLayer& layer : chain_.layers) {
      switch (layer.kind) {
        case LaneLayer::Kind::conv:
          shape = {plan_.samples, layer.features, layer.height.output, layer.width.output};
          break;
        case LaneLayer::Kind::max_pool:
          shape = {plan_.samples, shape[1], layer.height.output, layer.width.output};
          break;
        case LaneLayer::Kind::linear:
          shape = {plan_.samples, layer.features};
          break;
        case LaneLayer::Kind::flatten: {
          index features = 1;
          for (std::size_t i = 1; i < shape.size(); ++i) features *= shape[i];
          shape = {plan_.samples, features};
          break;
        }
        default:
          break;
      }
      if (layer.kept) outputs_.push_back({dtype_of<T>(), shape});
    }
  }

  // The gradient of a value of block b. A dense layer's output gradient is left for the end of the step.
  T* gradient(T* gradients, T* leftovers, index b, int v) const {
    const Stage* producer = v > 0 ? &plan_.stages[static_cast<std::size_t>(v - 1)] : nullptr;
    if (producer != nullptr && producer->kind == LaneLayer::Kind::linear) {
      return leftovers + producer->d_out + b * producer->features * kLanes;
    }
    return gradients + (v % 2 == 0 ? 0 : plan_.gradient[0]);
  }
  T* expanded(T* gradients) const { return gradients + plan_.gradient[0] + plan_.gradient[1]; }
  T* sums(T* gradients) const { return expanded(gradients) + plan_.expanded; }
  T* scratch(T* gradients) const { return sums(gradients) + plan_.sums; }
  static unsigned char* codes(T* area, const Stage& stage) {
    return reinterpret_cast<unsigned char*>(area + stage.codes);
  }

  void clear_sums(T* gradients) const { std::memset(sums(gradients), 0, bytes(plan_.sums)); }

  index classes() const { return value(plan_.last).features(); }
  bool legal(index label) const { return label >= 0 && label < classes(); }
  bool counts(index label) const { return label != chain_.ignore_index && legal(label); }
  // What the mean divides by.
  index count_labels(const index* labels) const {
    index count = 0;
    for (index n = 0; n < plan_.samples; ++n) count += counts(labels[n]);
    return count;
  }
  void report_labels(const index* labels, ErrorSink* errors) const {
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

  // lanes <-- block b of a value in the user's layout (samples, features), its padding set to 0.
  void read_value(const Kernels& k, index b, const Plane& plane, const T* rows, T* lanes) const {
    const index pitch = plane.features(), samples = block_samples(b);
    rows += b * kLanes * pitch;
    if (!plane.padded()) return k.to_lanes(pitch, rows, pitch, samples, lanes);
    for (index c = 0; c < plane.channels; ++c) {
      for (index h = 0; h < plane.height; ++h) {
        k.to_lanes(plane.width, rows + (c * plane.height + h) * plane.width, pitch, samples,
                   lanes + c * plane.plane() + plane.origin() + h * plane.row());
      }
    }
  }
  void write_value(const Kernels& k, index b, const T* area, int v, T* rows) const {
    write_plane(k, b, value(v), area + value(v).offset, rows);
  }
  void write_plane(const Kernels& k, index b, const Plane& plane, const T* lanes, T* rows) const {
    const index pitch = plane.features(), samples = block_samples(b);
    rows += b * kLanes * pitch;
    if (!plane.padded()) return k.from_lanes(pitch, lanes, rows, pitch, samples, false);
    for (index c = 0; c < plane.channels; ++c) {
      for (index h = 0; h < plane.height; ++h) {
        k.from_lanes(plane.width, lanes + c * plane.plane() + plane.origin() + h * plane.row(),
                     rows + (c * plane.height + h) * plane.width, pitch, samples, false);
      }
    }
  }
  static void clear_padding(const Plane& plane, T* lanes) {
    if (!plane.padded()) return;
    const auto clear = [](T* p, index pixels) { std::memset(p, 0, bytes(pixels * kLanes)); };
    for (index c = 0; c < plane.channels; ++c, lanes += plane.plane()) {
      clear(lanes, plane.pad_top * plane.cols());
      for (index h = 0; h < plane.height; ++h) {
        T* row = lanes + (plane.pad_top + h) * plane.row();
        clear(row, plane.pad_left);
        clear(row + (plane.pad_left + plane.width) * kLanes, plane.pad_right);
      }
      clear(lanes + (plane.pad_top + plane.height) * plane.row(), plane.pad_bottom * plane.cols());
    }
  }
  // Calls f(offset, elements) for the contiguous pieces of a value inside its padding.
  template <class F>
  static void for_interior(const Plane& plane, F&& f) {
    if (!plane.padded()) return f(index{0}, plane.elements());
    for (index c = 0; c < plane.channels; ++c) {
      for (index h = 0; h < plane.height; ++h) {
        f(c * plane.plane() + plane.origin() + h * plane.row(), plane.width * kLanes);
      }
    }
  }

  void forward_block(const Kernels& k, const void* const* inputs, index b, T* area, T* mine) const {
    for (const Plane& plane : plan_.values) clear_padding(plane, area + plane.offset);
    read_value(k, b, value(0), static_cast<const T*>(inputs[0]), area + value(0).offset);
    for (const Stage& stage : plan_.stages) {
      const Plane &in = value(stage.in), &out = value(stage.out);
      const T* x = area + in.offset;
      T* y = area + out.offset;
      const T* w = stage.weight >= 0 ? static_cast<const T*>(inputs[stage.weight]) : nullptr;
      const T* bias = stage.bias >= 0 ? static_cast<const T*>(inputs[stage.bias]) : nullptr;
      switch (stage.kind) {
        case LaneLayer::Kind::conv: {
          if (stage.forward_form != Form::direct) {
            LaneWinograd<T> conv = winograd_of(stage, mine);
            conv.x = x;
            conv.bias = bias;
            conv.y = y + out.origin();
            conv.codes = stage.pool ? codes(area, stage) : nullptr;
            conv.tiles = tile_scratch(stage, in).forward_tiles;
            if (stage.forward_form == Form::winograd) {
              kernels<LaneWinogradKernels, T>().forward[kernel_number(stage)](conv);
            } else {
              conv.u = mine + stage.row_points;
              kernels<LaneRowWinogradKernels, T>().forward[kernel_number(stage)](conv);
            }
            break;
          }
          LaneConv<T> conv{};
          conv.x = x;
          conv.w = w;
          conv.bias = bias;
          conv.y = y + out.origin();
          conv.filters = stage.features;
          conv.taps = stage.taps;
          conv.pixels = static_cast<index>(stage.pixel.size());
          conv.tap = stage.tap.data();
          conv.pixel = stage.pixel.data();
          conv.place = stage.place.data();
          conv.y_plane = out.plane();
          conv.relu = stage.relu;
          conv.pool = stage.pool;
          conv.pass_zero = stage.at_zero == 1;
          if (stage.pool) {
            conv.codes = codes(area, stage);
            conv.code_plane = static_cast<index>(stage.place.size()) * kLanes;
          }
          k.conv(conv);
          break;
        }
        case LaneLayer::Kind::linear:
          k.dense(stage.features, stage.taps, x, w, bias, stage.relu, y);
          break;
        case LaneLayer::Kind::max_pool: {
          LanePool<T> pool = pool_of(stage, area);
          for (index c = 0; c < in.channels; ++c) {
            pool.x = x + c * in.plane();
            pool.y = y + c * out.plane() + out.origin();
            k.max_pool(pool);
            pool.codes += out.height * out.width * kLanes;
          }
          break;
        }
        default: {
          // x and y are padded differently.
          for (index c = 0; c < in.channels; ++c) {
            for (index h = 0; h < in.height; ++h) {
              k.relu(in.width * kLanes, x + c * in.plane() + in.origin() + h * in.row(),
                     y + c * out.plane() + out.origin() + h * out.row());
            }
          }
        }
      }
    }
  }

  LanePool<T> pool_of(const Stage& stage, T* area) const {
    LanePool<T> pool{};
    pool.codes = codes(area, stage);
    pool.height = stage.height.size;
    pool.width = stage.width.size;
    pool.out_h = stage.height.output;
    pool.out_w = stage.width.output;
    pool.kernel_h = stage.height.kernel;
    pool.kernel_w = stage.width.kernel;
    pool.stride_h = stage.height.stride;
    pool.stride_w = stage.width.stride;
    pool.pad_h = stage.height.pad_before;
    pool.pad_w = stage.width.pad_before;
    pool.x_row = value(stage.in).row();
    pool.y_row = value(stage.out).row();
    return pool;
  }

  void cross_entropy(const Kernels& k, index b, const T* area, const index* labels, T scale, T* losses,
                     T* d) const {
    index mine[kLanes];
    for (index n = 0; n < kLanes; ++n) {
      mine[n] = n < block_samples(b) && counts(labels[b * kLanes + n]) ? labels[b * kLanes + n] : -1;
    }
    const Plane& logits = value(plan_.last);
    k.cross_entropy(classes(), area + logits.offset, mine, scale, losses, d);
  }

  // A label is hit when its score is no NaN, none is higher, and no earlier one is equal.
  void count_hits(index b, const T* area, const index* labels, T* hits) const {
    const T* z = area + value(plan_.last).offset;
    for (index n = 0; n < block_samples(b); ++n) {
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

  // From the gradient of the last value to everything the block leaves (and its part of dx). `shared`: other members
  // read what it leaves, and have it in their caches from the step before; it leaves past the caches.
  void backward_block(const Kernels& k, const void* const* inputs, index b, T* area, T* gradients, T* mine,
                      T* leftovers, const BackwardCall* call, bool shared) const {
    for (std::size_t s = plan_.stages.size(); s-- > 0;) {
      const Stage& stage = plan_.stages[s];
      const Plane &in = value(stage.in), &out = value(stage.out);
      T* const d = gradient(gradients, leftovers, b, stage.out);
      T* const d_in = gradient(gradients, leftovers, b, stage.in);
      const T* const w = stage.weight >= 0 ? static_cast<const T*>(inputs[stage.weight]) : nullptr;
      const bool wants_dx = s > 0 || (call != nullptr && call->d_inputs[0] != nullptr);
      if (stage.relu && !stage.pool) relu_backward(k, stage, out, area, d);
      switch (stage.kind) {
        case LaneLayer::Kind::conv:
          conv_backward(k, stage, w, area, d, gradients, mine, wants_dx ? d_in : nullptr);
          break;
        case LaneLayer::Kind::linear: {
          T* rows = leftovers + stage.samples_rows + b * kLanes * stage.pitch;
          k.from_lanes(stage.taps, area + in.offset, rows, stage.pitch, kLanes, shared);
          for (index n = 0; n < kLanes; ++n)
            std::fill(rows + n * stage.pitch + stage.taps, rows + (n + 1) * stage.pitch, T{0});
          if (wants_dx) k.dense_input(stage.features, stage.taps, d, w, d_in);
          break;
        }
        case LaneLayer::Kind::max_pool: {
          if (!wants_dx) break;
          LanePool<T> pool = pool_of(stage, area);
          for (index c = 0; c < in.channels; ++c) {
            pool.dy = d + c * out.plane() + out.origin();
            pool.dx = d_in + c * in.plane();
            k.max_pool_backward(pool);
            pool.codes += out.height * out.width * kLanes;
          }
          break;
        }
        default:
          relu_backward(k, stage, out, area, d);
          for (index c = 0; c < in.channels; ++c) {
            for (index h = 0; h < in.height; ++h) {
              std::memcpy(d_in + c * in.plane() + in.origin() + h * in.row(),
                          d + c * out.plane() + out.origin() + h * out.row(), bytes(in.width * kLanes));
            }
          }
      }
      if (s == 0) {
        if (wants_dx) write_plane(k, b, in, d_in, d_input<T>(*call, 0));
        return;
      }
      for (const auto& [v, o] : plan_.kept) {
        if (v == stage.in && call != nullptr) {
          add_output_gradient(k, b, v, static_cast<const T*>(call->d_outputs[o]), gradients, d_in);
        }
      }
    }
  }

  void relu_backward(const Kernels& k, const Stage& stage, const Plane& out, const T* area, T* d) const {
    for_interior(out, [&](index offset, index elements) {
      k.relu_backward(elements, area + out.offset + offset, static_cast<T>(stage.at_zero), d + offset);
    });
  }

  void add_output_gradient(const Kernels& k, index b, int v, const T* d_out, T* gradients, T* d) const {
    T* const more = scratch(gradients);
    read_value(k, b, value(v), d_out, more);
    for_interior(value(v), [&](index offset, index elements) {
      for (index i = 0; i < elements; ++i) d[offset + i] += more[offset + i];
    });
  }

  void conv_backward(const Kernels& k, const Stage& stage, const T* w, T* area, const T* d, T* gradients,
                     T* mine, T* d_in) const {
    const Plane &in = value(stage.in), &out = value(stage.out);
    const index out_h = stage.height.output, out_w = stage.width.output;
    T* const full = expanded(gradients);
    // Without an input gradient only a strip of the expanded dy exists at a time, in L1.
    const bool whole = d_in != nullptr || stage.weight_form == Form::winograd;
    if (stage.weight_form == Form::pooled) {
      pooled_weight(k, stage, area, d, gradients, whole);
      if (!whole) return;
    }
    LaneConvWeight<T> weight{};
    weight.acc = sums(gradients) + stage.sums;
    weight.filters = stage.features;
    weight.taps = stage.taps;
    weight.cols = out_w;
    weight.tap = stage.tap.data();
    weight.x_row = stage.height.stride * in.row();
    weight.x_col = stage.width.stride * kLanes;
    weight.dy_row = stage.pool ? out_w * kLanes : out.row();
    for (index top = 0; top < out_h; top += stage.strip_rows) {
      const index rows = std::min(stage.strip_rows, out_h - top);
      weight.rows = rows;
      weight.x = area + in.offset + top * weight.x_row;
      if (stage.pool) {
        weight.dy_plane = (whole ? out_h : stage.strip_rows) * out_w * kLanes;
        T* const strip = full + (whole ? top * weight.dy_row : 0);
        unpool_strip(k, stage, top, rows, codes(area, stage), d, gradients, weight.dy_plane, strip);
        weight.dy = strip;
      } else {
        weight.dy_plane = out.plane();
        weight.dy = d + out.origin() + top * weight.dy_row;
      }
      if (stage.weight_form == Form::direct) k.conv_weight(weight);
      if (stage.bias >= 0 && !stage.pool) {
        for (index f = 0; f < stage.features; ++f) {
          k.sum_plane(rows, out_w, weight.dy_row, weight.dy + f * weight.dy_plane,
                      bias_sums(stage, gradients, f));
        }
      }
    }
    const T* const dy = stage.pool ? full : d + out.origin();
    const index dy_plane = stage.pool ? out_h * out_w * kLanes : out.plane();
    LaneWinograd<T> winograd = winograd_of(stage, mine);
    winograd.dy = dy;
    winograd.y_plane = dy_plane;
    winograd.y_row = weight.dy_row;
    if (stage.weight_form == Form::winograd) {
      winograd.x = area + in.offset;
      winograd.sums = sums(gradients) + stage.sums;
      winograd.tiles = tile_scratch(stage, in).weight_rows;
      kernels<LaneWinogradKernels, T>().weight[kernel_number(stage)](winograd);
    }
    if (d_in == nullptr) return;
    if (stage.input_form == Form::winograd) {
      winograd.dx = d_in;
      kernels<LaneWinogradKernels, T>().input[kernel_number(stage)](winograd);
      return;
    }
    LaneConvInput<T> call{};
    call.dy = dy;
    call.w = w;
    call.dx = d_in;
    call.channels = in.channels;
    call.filters = stage.features;
    call.kernel_h = stage.height.kernel;
    call.kernel_w = stage.width.kernel;
    call.stride_h = stage.height.stride;
    call.stride_w = stage.width.stride;
    call.dilation_h = stage.height.dilation;
    call.dilation_w = stage.width.dilation;
    call.out_h = out_h;
    call.out_w = out_w;
    call.first_row = in.pad_top;
    call.last_row = in.pad_top + in.height;
    call.width = in.cols();
    call.dy_plane = dy_plane;
    call.dy_row = weight.dy_row;
    call.dx_plane = in.plane();
    call.dx_row = in.row();
    k.conv_input(call);
  }

  // Adds the weight gradient of a pooled convolution and, unless somebody unpools, its bias gradient.
  void pooled_weight(const Kernels& k, const Stage& stage, T* area, const T* d, T* gradients,
                     bool unpooled) const {
    const Plane &in = value(stage.in), &out = value(stage.out);
    LanePooledWeight<T> call{};
    call.x = area + in.offset;
    call.d = d + out.origin();
    call.codes = codes(area, stage);
    call.acc = sums(gradients) + stage.sums;
    call.sums = unpooled ? nullptr : bias_sums(stage, gradients, 0);
    call.channels = in.channels;
    call.filters = stage.features;
    call.windows_h = out.height;
    call.windows_w = out.width;
    call.x_plane = in.plane();
    call.x_row = in.row();
    call.d_plane = out.plane();
    call.d_row = out.row();
    call.code_plane = static_cast<index>(stage.place.size()) * kLanes;
    // Rows of windows whose looks stay in L1.
    call.strip = std::max<index>(1, (kStripLook / in.row() + 1 - stage.height.kernel) / 2);
    k.pooled_weight[kernel_number(stage)](call);
  }

  T* bias_sums(const Stage& stage, T* gradients, index f) const {
    return sums(gradients) + stage.sums + (stage.features * stage.looks + f) * kLanes;
  }

  // Rows top .. top + rows - 1 of dy of a pooled convolution, from the gradient d of the pooled values; adds
  // them to the bias gradient.
  void unpool_strip(const Kernels& k, const Stage& stage, index top, index rows,
                    const unsigned char* tap_codes, const T* d, T* gradients, index dy_plane, T* dy) const {
    const Plane& out = value(stage.out);
    const index kernel = stage.pool_height.kernel, pooled_w = stage.pool_width.output;
    const index row = stage.width.output * kLanes;
    const bool gaps = stage.pool_width.output * stage.pool_width.kernel < stage.width.output;
    for (index f = 0; f < stage.features; ++f) {
      for (index r = 0; r < rows; r += kernel) {
        T* const to = dy + f * dy_plane + r * row;
        const index oh = (top + r) / kernel;
        // Pixels that no window covers get no gradient.
        if (gaps || oh >= stage.pool_height.output) {
          std::memset(to, 0, bytes(std::min(kernel, rows - r) * row));
        }
        if (oh >= stage.pool_height.output) continue;
        const index first = oh * pooled_w;
        k.unpool(pooled_w, d + f * out.plane() + out.origin(), stage.place.data() + first,
                 tap_codes + (f * static_cast<index>(stage.place.size()) + first) * kLanes,
                 stage.window_place.data() + 4 * first, to, bias_sums(stage, gradients, f));
      }
    }
  }

  void sum_chunk(const Kernels& k, index chunk, T* gradients, T* leftovers, bool shared) const {
    for (const Stage& stage : plan_.stages) {
      if (stage.kind != LaneLayer::Kind::conv) continue;
      k.sum_lanes(stage.features * (stage.looks + 1), sums(gradients) + stage.sums,
                  leftovers + chunk * plan_.slot + stage.slot, shared);
    }
  }

  // The parameter gradients, times scale, from what the blocks left.
  void finish(const Team& team, const Kernels& k, const BackwardCall& call, const T* leftovers,
              T scale) const {
    team.for_each(static_cast<index>(plan_.jobs.size()), [&](index j) {
      const Job& job = plan_.jobs[static_cast<std::size_t>(j)];
      const Stage& stage = plan_.stages[static_cast<std::size_t>(job.stage)];
      T* const dw = d_input<T>(call, stage.weight);
      T* const db = stage.bias >= 0 ? d_input<T>(call, stage.bias) : nullptr;
      if (stage.kind == LaneLayer::Kind::conv) {
        const T* slots = leftovers + stage.slot;
        if (dw != nullptr && stage.weight_form == Form::winograd) {
          T points[kPairPiece * kWinogradPoints];
          const index begin = job.begin * kWinogradPoints, count = (job.end - job.begin) * kWinogradPoints;
          sum_slots(slots + begin, 0, count, T{1}, points);
          kernels<LaneWinogradKernels, T>().transform_back[kernel_number(stage)](
              job.end - job.begin, points, scale, dw + job.begin * stage.height.kernel * stage.width.kernel);
        } else if (dw != nullptr) {
          sum_slots(slots, job.begin, job.end, scale, dw);
        }
        if (db != nullptr && job.begin == 0)
          sum_slots(slots + stage.features * stage.looks, 0, stage.features, scale, db);
      } else if (dw != nullptr || db != nullptr) {
        const T* d = leftovers + stage.d_out + job.begin * kLanes;
        k.dense_weight(job.end - job.begin, stage.taps, plan_.samples, d, stage.features * kLanes,
                       leftovers + stage.samples_rows, stage.pitch, scale,
                       dw ? dw + job.begin * stage.taps : nullptr, db ? db + job.begin : nullptr);
      }
    });
  }

  void sum_slots(const T* slots, index begin, index end, T scale, T* sums_out) const {
    for (index i = begin; i < end; ++i) {
      T sum = slots[i];
      for (index chunk = 1; chunk < plan_.chunks; ++chunk) sum += slots[chunk * plan_.slot + i];
      sums_out[i] = sum * scale;
    }
  }

  LaneChain chain_;
  Plan plan_;
  int labels_ = -1, loss_ = -1, accuracy_ = -1;
};

}  // namespace

index lane_block_elements(const LaneChain& chain) {
  const Plan plan = make_plan(chain);
  return plan.area + plan.forward_member() + (chain.training ? plan.member() : 0);
}

std::unique_ptr<Op> make_lane_segment(const LaneChain& chain) {
  if (chain.dtype == DType::float64) return std::make_unique<LaneSegment<double>>(chain);
  return std::make_unique<LaneSegment<float>>(chain);
}

}  // namespace tenfold
