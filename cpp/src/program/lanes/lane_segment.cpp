#include "program/lanes/lane_segment.h"

#include <algorithm>
#include <cstring>

#include "program/lanes/blocks.h"
#include "program/lanes/labels.h"
#include "program/lanes/plan.h"
#include "program/ops/op_base.h"

namespace tenfold {
namespace {

template <class T>
class LaneSegment final : public Op {
 public:
  explicit LaneSegment(const LaneChain& chain) : chain_(chain), plan_(lanes::make_plan(chain)) {
    const DType dtype = dtype_of<T>();
    const index samples = plan_.samples;
    inputs_.push_back({dtype, chain.x});
    for (const lanes::Stage& stage : plan_.stages) {
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
      label_input_ = static_cast<int>(inputs_.size());
      inputs_.push_back({DType::int64, {samples}});
    }
    add_kept_outputs();
    if (chain.loss) {
      loss_output_ = static_cast<int>(outputs_.size());
      outputs_.push_back({dtype, {}});
    }
    if (chain.accuracy) {
      accuracy_output_ = static_cast<int>(outputs_.size());
      outputs_.push_back({dtype, {}});
    }
    if (chain.training) {
      saved_.push_back({dtype, {chain.by_block ? plan_.leftovers : plan_.area * plan_.blocks}});
    }
  }

  bool gathers(int input) const override { return input == 0; }
  bool shares_out(int input) const override { return blocks_.background().there() && input == 1; }
  bool hands_over(int input) const override {
    return std::any_of(plan_.stages.begin(), plan_.stages.end(), [input](const lanes::Stage& stage) {
      return stage.kind == LaneLayer::Kind::linear && stage.weight == input;
    });
  }

  // Forward and backward of one member: transformed weights and scratch, its area (when blocks' areas are not saved)
  // and its gradients; then what is shared: losses and hits of every sample, in backward the leftovers where
  // forward did not save them, and what a layer of data with a background makes for all blocks. What a member hands
  // over it makes where its blocks were. After blocks that forward has run, which take as much there, that is the same
  // memory where the arena places both workspaces alike, as it does: then no line goes from member to member.
  std::size_t forward_workspace(int threads) const override {
    const index member = blocks_.forward_elements();
    return bytes(threads * member + 2 * plan_.blocks * lanes::kLanes +
                 blocks_.background().shared_elements());
  }
  std::size_t backward_workspace(int threads) const override {
    return bytes(threads * backward_member() + plan_.leftovers + plan_.blocks * lanes::kLanes +
                 (blocks_.keeps_areas() ? 0 : blocks_.background().shared_elements()));
  }

  // A member that runs blocks' backward in forward counts that there.
  double flops() const override {
    return forward_flops() + (chain_.by_block ? block_backward_flops(false) : 0);
  }
  double backward_flops(const std::vector<bool>& wanted) const override {
    const bool dx = !wanted.empty() && wanted[0];
    if (chain_.by_block && !dx) return dense_flops();
    return (blocks_.keeps_areas() ? 0 : forward_flops()) + block_backward_flops(dx) + dense_flops();
  }
  double work() const override { return Op::work() - (flops() - forward_flops()) / 2; }

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto& k = kernels<LaneKernels, T>();
    T* const work = reinterpret_cast<T*>(call.workspace);
    const index member = blocks_.forward_elements();
    T* const mine = work + team.rank() * member;
    T* const losses = work + team.size() * member;
    T* const hits = losses + plan_.blocks * lanes::kLanes;
    T* const shared = hits + plan_.blocks * lanes::kLanes;
    const index* labels = label_input_ >= 0 ? input<index>(call, label_input_) : nullptr;
    const index counted = labels != nullptr ? labels_.count(labels) : 0;
    if (blocks_.background().there()) blocks_.background().forward(team, call.inputs, call.rows, shared);
    bool ready = false;
    team.for_each(plan_.chunks, [&](index chunk) {
      blocks_.transform_weights(call.inputs, mine, ready);
      T* const gradients = blocks_.gradients_of(mine);
      if (chain_.by_block) blocks_.clear_sums(gradients);
      for (index b = plan_.blocks * chunk / plan_.chunks; b < plan_.blocks * (chunk + 1) / plan_.chunks;
           ++b) {
        T* area = blocks_.keeps_areas() ? tenfold::saved<T>(call, 0) + b * plan_.area : blocks_.area_of(mine);
        blocks_.forward_block(k, call.inputs, call.rows, b, area, mine, shared);
        for (const auto& [v, out] : plan_.kept) blocks_.write_value(k, b, area, v, output<T>(call, out));
        if (chain_.accuracy) labels_.count_hits(b, area, labels, hits + b * lanes::kLanes);
        if (!chain_.loss) continue;
        T* d = chain_.by_block ? blocks_.gradient(gradients, tenfold::saved<T>(call, 0), b, plan_.last)
                               : nullptr;
        labels_.cross_entropy(k, b, area, labels, T{1} / static_cast<T>(counted), losses + b * lanes::kLanes,
                              d);
        if (chain_.by_block)
          blocks_.backward_block(k, call.inputs, b, area, gradients, mine, tenfold::saved<T>(call, 0),
                                 nullptr, team.size() > 1);
      }
      if (chain_.by_block)
        blocks_.sum_chunk(k, chunk, gradients, tenfold::saved<T>(call, 0), team.size() > 1);
    });
    if (!chain_.loss && !chain_.accuracy) return;
    team.for_each(1, [&](index) {
      double loss = 0, hit = 0;
      for (index n = 0; n < plan_.samples; ++n) {
        if (chain_.loss) loss += static_cast<double>(losses[n]);
        if (chain_.accuracy) hit += static_cast<double>(hits[n]);
      }
      if (chain_.loss) *output<T>(call, loss_output_) = static_cast<T>(loss / static_cast<double>(counted));
      if (chain_.accuracy)
        *output<T>(call, accuracy_output_) = static_cast<T>(hit / static_cast<double>(counted));
      labels_.report(labels, call.errors);
    });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const auto& k = kernels<LaneKernels, T>();
    T* const work = reinterpret_cast<T*>(call.workspace);
    T* const mine = work + team.rank() * backward_member();
    const T scale = chain_.loss ? *d_output<T>(call, loss_output_) : T{1};
    T* const dx = d_input<T>(call, 0);
    // Forward has done the blocks, unless somebody wants the gradient of x, which it did not know.
    if (chain_.by_block && dx == nullptr)
      return blocks_.finish(team, call, static_cast<T*>(call.saved[0]), mine, scale);

    T* const leftovers = work + team.size() * backward_member();
    T* const losses = leftovers + plan_.leftovers;
    T* const shared = losses + plan_.blocks * lanes::kLanes;
    const index* labels = label_input_ >= 0 ? input<index>(call, label_input_) : nullptr;
    const index counted = labels != nullptr ? labels_.count(labels) : 0;
    if (blocks_.background().there() && !blocks_.keeps_areas())
      blocks_.background().forward(team, call.inputs, call.rows, shared);
    bool ready = false;
    team.for_each(plan_.chunks, [&](index chunk) {
      blocks_.transform_weights(call.inputs, mine, ready);
      T* const gradients = blocks_.gradients_of(mine);
      blocks_.clear_sums(gradients);
      for (index b = plan_.blocks * chunk / plan_.chunks; b < plan_.blocks * (chunk + 1) / plan_.chunks;
           ++b) {
        T* area =
            blocks_.keeps_areas() ? static_cast<T*>(call.saved[0]) + b * plan_.area : blocks_.area_of(mine);
        if (!blocks_.keeps_areas()) blocks_.forward_block(k, call.inputs, call.rows, b, area, mine, shared);
        T* d = blocks_.gradient(gradients, leftovers, b, plan_.last);
        if (chain_.loss) {
          labels_.cross_entropy(k, b, area, labels, scale / static_cast<T>(counted),
                                losses + b * lanes::kLanes, d);
        } else {
          std::memset(d, 0, sizeof(T) * static_cast<std::size_t>(value(plan_.last).elements()));
        }
        for (std::size_t i = plan_.kept.size(); i-- > 0 && plan_.kept[i].first == plan_.last;) {
          blocks_.add_output_gradient(
              k, b, plan_.last, static_cast<const T*>(call.d_outputs[plan_.kept[i].second]), gradients, d);
        }
        blocks_.backward_block(k, call.inputs, b, area, gradients, mine, leftovers, &call, team.size() > 1);
      }
      blocks_.sum_chunk(k, chunk, gradients, leftovers, team.size() > 1);
    });
    blocks_.finish(team, call, leftovers, mine, T{1});
  }

 private:
  // Floating-point operations of one layer with a weight; its input gradient and its weight gradient take as many.
  double flops_of(const lanes::Stage& stage) const {
    if (stage.weight < 0) return 0;
    const index pixels = stage.kind == LaneLayer::Kind::conv ? stage.height.output * stage.width.output : 1;
    return 2.0 * static_cast<double>(pixels * plan_.samples) *
           static_cast<double>(stage.features * stage.taps);
  }
  double forward_flops() const {
    double sum = 0;
    for (const lanes::Stage& stage : plan_.stages) sum += flops_of(stage);
    return sum;
  }
  // Weight gradients of dense layers, which come after the blocks.
  double dense_flops() const {
    double sum = 0;
    for (const lanes::Stage& stage : plan_.stages)
      sum += stage.kind == LaneLayer::Kind::linear ? flops_of(stage) : 0;
    return sum;
  }
  // Everything else of backward; the first layer's input gradient only if it is wanted.
  double block_backward_flops(bool dx) const {
    double sum = 0;
    bool first = true;
    for (const lanes::Stage& stage : plan_.stages) {
      sum += stage.kind == LaneLayer::Kind::conv ? flops_of(stage) : 0;
      sum += first && !dx ? 0 : flops_of(stage);
      first = first && stage.weight < 0;
    }
    return sum;
  }

  index backward_member() const { return std::max(blocks_.backward_elements(), plan_.handed_over); }
  const lanes::Plane& value(int v) const { return plan_.values[static_cast<std::size_t>(v)]; }
  static std::size_t bytes(index elements) { return static_cast<std::size_t>(elements) * sizeof(T); }

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

  LaneChain chain_;
  lanes::Plan plan_;
  lanes::Blocks<T> blocks_{chain_, plan_};
  lanes::Labels<T> labels_{chain_, plan_};
  int label_input_ = -1, loss_output_ = -1, accuracy_output_ = -1;
};

}  // namespace

index lane_block_elements(const LaneChain& chain) {
  const lanes::Plan plan = lanes::make_plan(chain);
  return plan.area + plan.forward_member() + (chain.training ? plan.member() : 0);
}

bool may_skip_background(index inputs, index outputs) {
  return inputs >= lanes::kBackgroundInputs && outputs >= lanes::kBackgroundOutputs;
}

std::unique_ptr<Op> make_lane_segment(const LaneChain& chain) {
  if (chain.dtype == DType::float64) return std::make_unique<LaneSegment<double>>(chain);
  return std::make_unique<LaneSegment<float>>(chain);
}

}  // namespace tenfold
