#include "program/passes.h"

#include <algorithm>

namespace tenfold {

std::vector<std::vector<int>> consumers_of(const Graph& graph) {
  std::vector<std::vector<int>> consumers(graph.values().size());
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    for (ValueId input : graph.nodes()[i].inputs) {
      consumers[static_cast<std::size_t>(input)].push_back(static_cast<int>(i));
    }
  }
  return consumers;
}

Rewriter::Rewriter(const Graph& graph) : old_(graph) {
  result_.map.assign(graph.values().size(), -1);
  for (std::size_t id = 0; id < graph.values().size(); ++id) {
    if (graph.values()[id].producer < 0) result_.map[id] = result_.graph.add_leaf(graph.values()[id].type);
  }
}

std::vector<ValueId> Rewriter::mapped(const std::vector<ValueId>& old) const {
  std::vector<ValueId> ids;
  for (ValueId id : old) ids.push_back(mapped(id));
  return ids;
}

void Rewriter::copy(int i) {
  const Node& node = old_.nodes()[static_cast<std::size_t>(i)];
  replace(node.kind, node.attributes, node.op, mapped(node.inputs), node.outputs, node.name);
}

void Rewriter::replace(const std::string& kind, const Attributes& attributes, std::shared_ptr<const Op> op,
                       std::vector<ValueId> new_inputs, const std::vector<ValueId>& old_outputs,
                       const std::string& name) {
  const std::vector<ValueId> outputs =
      result_.graph.add_op(kind, attributes, std::move(op), std::move(new_inputs), name);
  for (std::size_t j = 0; j < old_outputs.size(); ++j) {
    result_.map[static_cast<std::size_t>(old_outputs[j])] = outputs[j];
  }
}

Rewritten fold_transposes(const Graph& graph, const std::vector<ValueId>& kept, bool /*training*/) {
  const auto consumers = consumers_of(graph);
  // The value that `id` is but for its last two axes, -1 where there is none.
  const auto transposed = [&](ValueId id) -> ValueId {
    const int producer = graph.values()[static_cast<std::size_t>(id)].producer;
    if (producer < 0) return -1;
    const Node& node = graph.nodes()[static_cast<std::size_t>(producer)];
    if (node.kind != "permute") return -1;
    Shape axes = node.attributes.get<Shape>("axes");
    if (axes.size() < 2) return -1;
    std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
    for (std::size_t a = 0; a < axes.size(); ++a) {
      if (axes[a] != static_cast<index>(a)) return -1;
    }
    return node.inputs[0];
  };
  const auto has_other_readers = [&](ValueId id) {
    const auto& users = consumers[static_cast<std::size_t>(id)];
    return users.empty() || std::count(kept.begin(), kept.end(), id) > 0 ||
           std::any_of(users.begin(), users.end(),
                       [&](int i) { return graph.nodes()[static_cast<std::size_t>(i)].kind != "matmul"; });
  };
  Rewriter rewriter(graph);
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (transposed(node.outputs[0]) >= 0 && !has_other_readers(node.outputs[0])) continue;
    Attributes attributes = node.attributes;
    std::vector<ValueId> inputs = node.inputs;
    if (node.kind == "matmul") {
      const char* const names[] = {"transpose_input", "transpose_other"};
      for (std::size_t k = 0; k < inputs.size(); ++k) {
        const ValueId source = transposed(inputs[k]);
        if (source < 0) continue;
        inputs[k] = source;
        attributes.set(names[k], !attributes.get<bool>(names[k], false));
      }
    }
    if (inputs == node.inputs) {
      rewriter.copy(static_cast<int>(i));
      continue;
    }
    std::vector<TensorType> types;
    for (ValueId id : inputs) types.push_back(graph.type(id));
    auto op = OpRegistry::global().create(node.kind, attributes, types);
    rewriter.replace(node.kind, attributes, std::move(op), rewriter.mapped(inputs), node.outputs, node.name);
  }
  return std::move(rewriter).finish();
}

Rewritten fuse_activations(const Graph& graph, const std::vector<ValueId>& kept, bool training) {
  const auto consumers = consumers_of(graph);
  const auto& nodes = graph.nodes();
  Rewriter rewriter(graph);
  std::vector<bool> fused(nodes.size(), false);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (fused[i]) continue;
    const Node& node = nodes[i];
    const bool takes_activation =
        (node.kind == "conv" || node.kind == "linear") && !node.attributes.has("activation");
    const ValueId output = node.outputs[0];
    const auto& users = consumers[static_cast<std::size_t>(output)];
    if (takes_activation && users.size() == 1 && std::count(kept.begin(), kept.end(), output) == 0) {
      const auto next = static_cast<std::size_t>(users[0]);
      if (nodes[next].kind == "relu") {
        // A value that is handed out must not show the -0 that keep_sign leaves for backward.
        const bool visible = std::count(kept.begin(), kept.end(), nodes[next].outputs[0]) > 0;
        if (!(training && visible)) {
          Attributes attributes = node.attributes;
          attributes.set("activation", std::string("relu"));
          attributes.set("at_zero", nodes[next].attributes.get<double>("at_zero"));
          attributes.set("keep_sign", training);
          std::vector<TensorType> types;
          for (ValueId id : node.inputs) types.push_back(graph.type(id));
          auto op = OpRegistry::global().create(node.kind, attributes, types);
          rewriter.replace(node.kind, attributes, std::move(op), rewriter.mapped(node.inputs),
                           nodes[next].outputs, node.name);
          fused[next] = true;
          continue;
        }
      }
    }
    // Alone, with the derivative at 0 that its output does not tell: the sign of 0 spares the input.
    const bool keep_sign = node.kind == "relu" && training && node.attributes.get<double>("at_zero") != 0 &&
                           std::count(kept.begin(), kept.end(), output) == 0;
    if (keep_sign) {
      Attributes attributes = node.attributes;
      attributes.set("keep_sign", true);
      auto op = OpRegistry::global().create(node.kind, attributes, {graph.type(node.inputs[0])});
      rewriter.replace(node.kind, attributes, std::move(op), rewriter.mapped(node.inputs), node.outputs,
                       node.name);
      continue;
    }
    rewriter.copy(static_cast<int>(i));
  }
  return std::move(rewriter).finish();
}

}  // namespace tenfold
