// Finds chains of small layers and replaces each by one LaneSegment.
#include <algorithm>

#include "program/lanes/lane_segment.h"
#include "program/passes.h"

namespace tenfold {
namespace {

// Rules of size, from shapes only; for float64 the same elements count, so that both types take the same
// path.
//
// What a block of 16 samples keeps, training included. LeNet-5 takes 0.2 M elements, which stay in L2; nets for 32 x 32
// colour images with up to 32 channels take 1 to 2 M and still gain (a step of 64 in 16.8 ms instead of 25.1, one
// thread, because few channels suit lanes). Larger ones fill all threads better layer by layer.
constexpr index kMaxBlockElements = index{1} << 21;
// A dense layer reads its whole weight once per block: it has to come out of a cache.
constexpr index kMaxDenseWeight = index{1} << 18;
// ... unless it is that of data whose background is skipped: with what that saves, or without it, 784 inputs by 4000
// outputs take no longer than layer by layer.
constexpr index kMaxDataWeight = index{1} << 22;
// Fewer samples would leave most lanes empty.
constexpr index kMinBatch = 16;
constexpr index kMaxPoolKernel = 128;  // a winning tap is kept in a byte

// The layers of a chain that grows node by node.
class Chain {
 public:
  Chain(const Graph& graph, const std::vector<ValueId>& kept, bool training)
      : graph_(graph), kept_(kept), training_(training) {}

  // Whether a chain can start at this node; the first node only if so.
  bool start(int i) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(i)];
    // A ReLU or a pool alone belongs to the large layer in front of it.
    if (node.kind != "conv" && node.kind != "linear" && node.kind != "reshape") return false;
    const TensorType& x = graph_.type(node.inputs[0]);
    if (!is_floating(x.dtype) || (x.shape.size() != 2 && x.shape.size() != 4) || x.shape[0] < kMinBatch)
      return false;
    if (x.count() == 0) return false;
    chain_.dtype = x.dtype;
    chain_.x = x.shape;
    chain_.training = training_;
    inputs_ = {node.inputs[0]};
    if (node.kind == "reshape" && is_kept(node.outputs[0])) return false;
    return extend(i);
  }

  // Appends a layer; false (and nothing changed) when the node is none that a segment can run.
  bool extend(int i) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(i)];
    LaneLayer layer{};
    if (!describe(node, layer)) return false;
    const index batch = chain_.x[0];
    const auto elements = [&](ValueId id) { return graph_.type(id).count() / batch * kBlock; };
    if (elements(node.inputs[0]) + elements(node.outputs[0]) > kMaxBlockElements) return false;
    const Attributes& attributes = node.attributes;
    const bool relu = attributes.get<std::string>("activation", "") == "relu";
    const bool kept = is_kept(node.outputs[0]);
    layer.kept = kept && !relu;
    chain_.layers.push_back(layer);
    if (relu) {
      LaneLayer activation{};
      activation.kind = LaneLayer::Kind::relu;
      activation.at_zero = attributes.get<double>("at_zero", 1.0);
      activation.kept = kept;
      chain_.layers.push_back(activation);
    }
    if (kept) outputs_.push_back(node.outputs[0]);
    for (std::size_t k = 1; k < node.inputs.size(); ++k) inputs_.push_back(node.inputs[k]);
    if (layer.features > 0) ++weighted_;
    nodes_.push_back(i);
    last_ = node.outputs[0];
    name_ += (name_.empty() ? "" : " ") + (node.name.empty() ? node.kind : node.name);
    return true;
  }

  ValueId last() const { return last_; }
  const std::vector<int>& nodes() const { return nodes_; }
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  const std::string& name() const { return name_; }

  // Appends the loss, or the loss and the accuracy, if they are all that reads the last value.
  void close(const std::vector<std::vector<int>>& consumers) {
    const auto& users = consumers[static_cast<std::size_t>(last_)];
    int loss = -1, accuracy = -1;
    for (int user : users) {
      const Node& node = graph_.nodes()[static_cast<std::size_t>(user)];
      if (node.kind == "cross_entropy" && loss < 0 && is_plain_loss(node)) {
        loss = user;
      } else if (node.kind == "accuracy" && accuracy < 0 && node.attributes.get<index>("k", 1) == 1) {
        accuracy = user;
      } else {
        loss = accuracy = -1;
        break;
      }
    }
    const auto node_of = [&](int i) -> const Node& { return graph_.nodes()[static_cast<std::size_t>(i)]; };
    if (loss >= 0 && accuracy >= 0) {
      // The segment runs where its last node stood; nobody may read the loss before that.
      const auto& readers = consumers[static_cast<std::size_t>(node_of(loss).outputs[0])];
      const bool early = std::any_of(readers.begin(), readers.end(), [&](int i) { return i < accuracy; });
      const auto ignored = [&](int i) { return node_of(i).attributes.get<index>("ignore_index", -100); };
      const bool same =
          node_of(accuracy).inputs[1] == node_of(loss).inputs[1] && ignored(accuracy) == ignored(loss);
      if (early || !same) loss = accuracy = -1;
    }
    if (loss < 0) {
      if (!is_kept(last_)) {
        chain_.layers.back().kept = true;
        outputs_.push_back(last_);
      }
      return;
    }
    const Node& node = node_of(loss);
    chain_.loss = true;
    chain_.ignore_index = node.attributes.get<index>("ignore_index", -100);
    inputs_.push_back(node.inputs[1]);
    const bool only_loss = outputs_.empty();
    outputs_.push_back(node.outputs[0]);
    nodes_.push_back(loss);
    if (accuracy >= 0) {
      chain_.accuracy = true;
      outputs_.push_back(node_of(accuracy).outputs[0]);
      nodes_.push_back(accuracy);
    }
    // Gradients of x, if x is computed, are wanted every time: then the blocks' activations are better kept.
    chain_.by_block = training_ && only_loss && x_is_leaf();
  }

  // A single layer gains nothing from the change of layout unless the loss follows.
  bool worthwhile() const {
    return weighted_ > 0 && nodes_.size() >= (chain_.loss ? 2u : 3u) &&
           lane_block_elements(chain_) <= kMaxBlockElements;
  }
  std::unique_ptr<Op> make() const { return make_lane_segment(chain_); }

 private:
  static constexpr index kBlock = 16;

  // Whether what the next layer reads is the input of the program.
  bool reads_data() const {
    const auto flattens = [](const LaneLayer& layer) { return layer.kind == LaneLayer::Kind::flatten; };
    return x_is_leaf() && std::all_of(chain_.layers.begin(), chain_.layers.end(), flattens);
  }
  bool x_is_leaf() const { return graph_.values()[static_cast<std::size_t>(inputs_[0])].producer < 0; }
  bool is_kept(ValueId id) const { return std::count(kept_.begin(), kept_.end(), id) > 0; }

  bool describe(const Node& node, LaneLayer& layer) const {
    const Attributes& a = node.attributes;
    const Shape& x = graph_.type(node.inputs[0]).shape;
    const Shape& y = graph_.type(node.outputs[0]).shape;
    const std::string activation = a.get<std::string>("activation", "");
    if (!activation.empty() && activation != "none" && activation != "relu") return false;
    if (graph_.type(node.outputs[0]).count() == 0) return false;
    if (node.kind == "relu") {
      layer.kind = LaneLayer::Kind::relu;
      layer.at_zero = a.get<double>("at_zero");
      return x.size() == 2 || x.size() == 4;
    }
    if (node.kind == "reshape") {
      layer.kind = LaneLayer::Kind::flatten;
      return y.size() == 2 && y[0] == x[0] && (x.size() == 2 || x.size() == 4);
    }
    if (node.kind == "linear") {
      if (x.size() != 2) return false;
      layer.kind = LaneLayer::Kind::linear;
      layer.features = y[1];
      layer.bias = node.inputs.size() > 2;
      return x[1] * y[1] <=
             (reads_data() && may_skip_background(x[1], y[1]) ? kMaxDataWeight : kMaxDenseWeight);
    }
    if (x.size() != 4 || y.size() != 4) return false;
    if (node.kind == "conv") {
      const Shape& w = graph_.type(node.inputs[1]).shape;
      if (w.size() != 4 || a.get<index>("groups", 1) != 1) return false;
      const std::string algorithm = a.get<std::string>("algorithm", "auto");
      if (algorithm != "auto" && algorithm != "direct") return false;
      layer.kind = LaneLayer::Kind::conv;
      if (algorithm == "direct") layer.algorithm = LaneLayer::Algorithm::direct;
      layer.features = w[0];
      layer.bias = node.inputs.size() > 2;
      if (!describe_axes(a, {w[2], w[3]}, x, y, layer)) return false;
      const bool padded =
          layer.height.pad_before + layer.height.pad_after + layer.width.pad_before + layer.width.pad_after >
          0;
      return !padded || (a.get<std::string>("border", "constant") == "constant" &&
                         a.get<double>("border_value", 0.0) == 0);
    }
    if (node.kind == "max_pool") {
      if (a.get<bool>("return_indices", false) || node.outputs.size() != 1) return false;
      const Shape kernel = a.get<Shape>("kernel");
      layer.kind = LaneLayer::Kind::max_pool;
      if (!describe_axes(a, kernel, x, y, layer) || kernel[0] * kernel[1] > kMaxPoolKernel) return false;
      for (const Axis* axis : {&layer.height, &layer.width}) {
        // Every window has a tap inside.
        if (axis->dilation != 1 || axis->pad_before >= axis->kernel) return false;
        if (axis->position(axis->output - 1, 0) >= axis->size) return false;
      }
      return true;
    }
    return false;
  }

  static bool describe_axes(const Attributes& a, const Shape& kernel, const Shape& x, const Shape& y,
                            LaneLayer& layer) {
    const Shape stride = a.get<Shape>("stride", layer.kind == LaneLayer::Kind::conv ? Shape{1, 1} : kernel);
    const Shape dilation = a.get<Shape>("dilation", {1, 1}), pads = a.get<Shape>("pads", {0, 0, 0, 0});
    if (kernel.size() != 2 || stride.size() != 2 || dilation.size() != 2 || pads.size() != 4) return false;
    Axis* axes[] = {&layer.height, &layer.width};
    for (std::size_t i = 0; i < 2; ++i) {
      axes[i]->size = x[2 + i];
      axes[i]->kernel = kernel[i];
      axes[i]->stride = stride[i];
      axes[i]->dilation = dilation[i];
      axes[i]->pad_before = pads[2 * i];
      axes[i]->pad_after = pads[2 * i + 1];
      axes[i]->output = y[2 + i];
    }
    return true;
  }

  bool is_plain_loss(const Node& node) const {
    const Attributes& a = node.attributes;
    return node.inputs.size() == 2 && graph_.type(node.inputs[1]).dtype == DType::int64 &&
           graph_.type(node.inputs[0]).shape.size() == 2 && node.inputs[0] == last_ &&
           a.get<std::string>("reduction", "mean") == "mean" && a.get<double>("label_smoothing", 0.0) == 0;
  }

  const Graph& graph_;
  const std::vector<ValueId>& kept_;
  bool training_;
  LaneChain chain_;
  std::vector<int> nodes_;
  std::vector<ValueId> inputs_, outputs_;
  ValueId last_ = -1;
  int weighted_ = 0;
  std::string name_;
};

}  // namespace

Rewritten form_lane_segments(const Graph& graph, const std::vector<ValueId>& kept, bool training) {
  const auto consumers = consumers_of(graph);
  const auto count = graph.nodes().size();
  std::vector<bool> taken(count, false);
  std::vector<std::unique_ptr<Chain>> ends(count);  // the chain whose last node this is
  for (std::size_t i = 0; i < count; ++i) {
    if (taken[i]) continue;
    auto chain = std::make_unique<Chain>(graph, kept, training);
    if (!chain->start(static_cast<int>(i))) continue;
    for (;;) {
      const auto& users = consumers[static_cast<std::size_t>(chain->last())];
      if (users.size() != 1) break;
      // The value must be what the next layer works on, not one of its weights.
      if (graph.nodes()[static_cast<std::size_t>(users[0])].inputs[0] != chain->last()) break;
      if (!chain->extend(users[0])) break;
    }
    chain->close(consumers);
    if (!chain->worthwhile()) continue;
    for (int node : chain->nodes()) taken[static_cast<std::size_t>(node)] = true;
    const auto last =
        static_cast<std::size_t>(*std::max_element(chain->nodes().begin(), chain->nodes().end()));
    ends[last] = std::move(chain);
  }

  // Nobody outside reads a value inside a chain, so that the segment may run where its last node stood.
  Rewriter rewriter(graph);
  for (std::size_t i = 0; i < count; ++i) {
    if (ends[i]) {
      const Chain& chain = *ends[i];
      rewriter.replace("lane_segment", {}, chain.make(), rewriter.mapped(chain.inputs()), chain.outputs(),
                       chain.name());
    } else if (!taken[i]) {
      rewriter.copy(static_cast<int>(i));
    }
  }
  return std::move(rewriter).finish();
}

}  // namespace tenfold
