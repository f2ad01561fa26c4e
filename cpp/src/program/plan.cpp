#include "program/plan.h"

#include <algorithm>

#include "program/passes.h"
#include "tenfold/error.h"

namespace tenfold {
namespace {

std::vector<ValueId> mapped(const std::vector<ValueId>& ids, const std::vector<ValueId>& map) {
  std::vector<ValueId> result;
  for (ValueId id : ids) result.push_back(map[static_cast<std::size_t>(id)]);
  return result;
}

}  // namespace

Program::Plan::Plan(const Graph& original, ProgramSpec original_spec) : spec(std::move(original_spec)) {
  check(original);
  rewrite(original);
  for (ValueId id : spec.inputs) input_types.push_back(graph.type(id));
  for (ValueId id : spec.outputs) output_types.push_back(graph.type(id));
  consumers = consumers_of(graph);
  find_live_nodes();
  find_gradient_flow();
  name_values();
  emit_forward();
  emit_backward();
}

void Program::Plan::check(const Graph& original) const {
  const auto require_leaf = [&](ValueId id, const char* argument) {
    static_cast<void>(original.type(id));
    if (original.values()[at(id)].producer >= 0)
      reject("Program", argument, "must be leaves; value ", id, " is computed");
  };
  for (ValueId id : spec.inputs) require_leaf(id, "inputs");
  for (ValueId id : spec.gradients) {
    require_leaf(id, "gradients");
    if (!is_floating(original.type(id).dtype))
      reject_type("Program", "gradients", "must be of floating leaves");
  }
  for (ValueId id : spec.outputs) static_cast<void>(original.type(id));
  for (const auto& [leaf, value] : spec.updates) {
    require_leaf(leaf, "updates");
    if (original.type(leaf) != original.type(value)) {
      reject("Program", "updates", "must keep the type ", to_string(original.type(leaf)), "; received ",
             to_string(original.type(value)));
    }
  }
}

void Program::Plan::rewrite(const Graph& original) {
  std::vector<ValueId> map(original.values().size());
  for (std::size_t id = 0; id < map.size(); ++id) map[id] = static_cast<ValueId>(id);
  graph = original;
  const bool training = !spec.gradients.empty();
  const auto apply = [&](Rewritten (*pass)(const Graph&, const std::vector<ValueId>&, bool)) {
    std::vector<ValueId> kept = spec.outputs;
    for (const auto& update : spec.updates) kept.push_back(update.second);
    Rewritten next = pass(graph, kept, training);
    for (ValueId& id : map) id = id < 0 ? id : next.map[at(id)];
    spec.inputs = mapped(spec.inputs, next.map);
    spec.outputs = mapped(spec.outputs, next.map);
    spec.gradients = mapped(spec.gradients, next.map);
    for (auto& [leaf, value] : spec.updates) {
      leaf = next.map[at(leaf)];
      value = next.map[at(value)];
    }
    graph = std::move(next.graph);
  };
  if (spec.fuse) {
    apply(form_lane_segments);
    apply(fold_transposes);
    apply(fuse_activations);
  }
  leaf_map = std::move(map);
}

void Program::Plan::find_live_nodes() {
  live.assign(graph.nodes().size(), false);
  std::vector<bool> needed(graph.values().size(), false);
  for (ValueId id : spec.outputs) needed[at(id)] = true;
  for (const auto& update : spec.updates) needed[at(update.second)] = true;
  for (std::size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    for (ValueId id : node.outputs) live[i] = live[i] || needed[at(id)];
    if (!live[i]) continue;
    for (ValueId id : node.inputs) needed[at(id)] = true;
  }
}

void Program::Plan::find_gradient_flow() {
  const std::size_t count = graph.values().size();
  wants.assign(count, false);
  flows.assign(count, false);
  for (ValueId id : spec.gradients) wants[at(id)] = true;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    bool any = false;
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      any = any || (wants[at(node.inputs[k])] && node.op->differentiable(static_cast<int>(k)));
    }
    for (ValueId id : node.outputs) wants[at(id)] = any && is_floating(graph.type(id).dtype);
  }
  const std::size_t seeds = std::min(spec.outputs.size(), spec.differentiated_outputs);
  for (std::size_t j = 0; j < seeds; ++j) {
    const ValueId id = spec.outputs[j];
    if (wants[at(id)]) flows[at(id)] = true;
  }
  for (std::size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    bool reached = false;
    for (ValueId id : node.outputs) reached = reached || flows[at(id)];
    if (!reached) continue;
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      const ValueId id = node.inputs[k];
      if (wants[at(id)] && node.op->differentiable(static_cast<int>(k))) flows[at(id)] = true;
    }
  }
}

int Program::Plan::new_buffer(std::size_t bytes) {
  buffers.push_back({true, {bytes, -1, -1}});
  return static_cast<int>(buffers.size()) - 1;
}

int Program::Plan::new_external() {
  buffers.push_back({false, {}});
  return static_cast<int>(buffers.size()) - 1;
}

void Program::Plan::use(int buffer, int when) {
  if (buffer == kNone) return;
  Lifetime& lifetime = buffers[static_cast<std::size_t>(buffer)].lifetime;
  if (lifetime.first < 0) lifetime.first = when;
  lifetime.first = std::min(lifetime.first, when);
  lifetime.last = std::max(lifetime.last, when);
}

// Every value gets a buffer: leaves external ones, views and overwriting ops their input's, the rest their own.
void Program::Plan::name_values() {
  value_buffer.assign(graph.values().size(), kNone);
  std::vector<bool> kept(graph.values().size(), false);
  for (ValueId id : spec.outputs) kept[at(id)] = true;
  for (const auto& update : spec.updates) kept[at(update.second)] = true;
  for (std::size_t id = 0; id < graph.values().size(); ++id) {
    if (graph.values()[id].producer < 0) value_buffer[id] = new_external();
  }
  const auto has_backward = [&](const Node& node) {
    return std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) { return flows[at(id)]; });
  };
  const auto may_overwrite = [&](const Node& node, int input, int output) {
    const ValueId id = node.inputs[static_cast<std::size_t>(input)];
    const Value& value = graph.values()[at(id)];
    if (!node.op->may_overwrite_input(input, output)) return false;
    if (value.producer < 0 || kept[at(id)] || consumers[at(id)].size() != 1) return false;
    if (graph.type(node.outputs[static_cast<std::size_t>(output)]) != value.type) return false;
    const Node& producer = graph.nodes()[static_cast<std::size_t>(value.producer)];
    if (producer.op->is_view()) return false;
    if (has_backward(producer) && producer.op->backward_needs_output(value.slot)) return false;
    return !(has_backward(node) && node.op->backward_needs_input(input));
  };
  direct_output.assign(spec.outputs.size(), kNone);
  // Without gradients nobody reads an output after the call: it is computed where the caller wants it.
  const auto new_output = [&](ValueId id) {
    const auto found = std::find(spec.outputs.begin(), spec.outputs.end(), id);
    if (found == spec.outputs.end() || !spec.gradients.empty()) return kNone;
    return direct_output[static_cast<std::size_t>(found - spec.outputs.begin())] = new_external();
  };
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (!live[i]) continue;
    for (std::size_t j = 0; j < node.outputs.size(); ++j) {
      int buffer = kNone;
      if (node.op->is_view()) {
        buffer = value_buffer[at(node.inputs[0])];
      } else {
        for (std::size_t k = 0; k < node.inputs.size() && buffer == kNone; ++k) {
          const int candidate = value_buffer[at(node.inputs[k])];
          const bool taken =
              std::any_of(node.outputs.begin(), node.outputs.begin() + static_cast<std::ptrdiff_t>(j),
                          [&](ValueId id) { return value_buffer[at(id)] == candidate; });
          if (!taken && may_overwrite(node, static_cast<int>(k), static_cast<int>(j))) buffer = candidate;
        }
        if (buffer == kNone) buffer = new_output(node.outputs[j]);
        if (buffer == kNone) buffer = new_buffer(graph.type(node.outputs[j]).bytes());
      }
      value_buffer[at(node.outputs[j])] = buffer;
    }
  }
}

void Program::Plan::finish(Instruction instruction, int when) {
  for (const auto* list : {&instruction.inputs, &instruction.outputs, &instruction.saved,
                           &instruction.d_outputs, &instruction.d_inputs}) {
    for (int buffer : *list) use(buffer, when);
  }
  use(instruction.workspace, when);
  (when < forward_end || forward_end == 0 ? forward : backward).push_back(std::move(instruction));
}

void Program::Plan::emit_forward() {
  saved_buffers.resize(graph.nodes().size());
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (!live[i] || node.op->is_view()) continue;
    Instruction instruction;
    instruction.kind = Instruction::kForward;
    instruction.op = node.op.get();
    instruction.node = static_cast<int>(i);
    for (ValueId id : node.inputs) instruction.inputs.push_back(value_buffer[at(id)]);
    for (ValueId id : node.outputs) instruction.outputs.push_back(value_buffer[at(id)]);
    for (const TensorType& type : node.op->saved()) {
      if (spec.gradients.empty() && !node.op->forward_needs_saved()) break;
      saved_buffers[i].push_back(new_buffer(type.bytes()));
      instruction.saved.push_back(saved_buffers[i].back());
    }
    instruction.workspace = new_buffer(0);
    forward_work += node.op->work();
    finish(std::move(instruction), time++);
  }
  forward_end = ++time;  // outputs are copied out at time forward_end - 1
  for (ValueId id : spec.outputs) use(value_buffer[at(id)], forward_end - 1);
}

int Program::Plan::contribution(ValueId value) {
  int& buffer = gradient_buffer[at(value)];
  if (buffer == kNone) buffer = new_buffer(graph.type(value).bytes());
  return written[at(value)] ? new_buffer(graph.type(value).bytes()) : buffer;
}

void Program::Plan::settle(ValueId value, int buffer) {
  int& gradient = gradient_buffer[at(value)];
  if (!written[at(value)]) {
    written[at(value)] = true;
  } else if (borrowed[at(value)]) {
    emit(Instruction::kAdd, graph.type(value), gradient, buffer);
    gradient = buffer;
    borrowed[at(value)] = false;
  } else {
    emit(Instruction::kAdd, graph.type(value), buffer, gradient);
  }
}

void Program::Plan::pass_gradient(int buffer, ValueId value) {
  int& gradient = gradient_buffer[at(value)];
  if (gradient == kNone) {
    gradient = buffer;
    written[at(value)] = borrowed[at(value)] = true;
  } else if (written[at(value)] && !borrowed[at(value)]) {
    emit(Instruction::kAdd, graph.type(value), buffer, gradient);
  } else {
    const int target = contribution(value);
    emit(Instruction::kCopy, graph.type(value), buffer, target);
    settle(value, target);
  }
}

void Program::Plan::emit(Instruction::Kind kind, const TensorType& type, int from, int to) {
  Instruction instruction;
  instruction.kind = kind;
  instruction.type = type;
  if (from != kNone) instruction.inputs = {from};
  instruction.outputs = {to};
  finish(std::move(instruction), time++);
}

void Program::Plan::emit_backward() {
  gradient_buffer.assign(graph.values().size(), kNone);
  written.assign(graph.values().size(), false);
  borrowed.assign(graph.values().size(), false);
  for (ValueId id : spec.gradients) {
    if (gradient_buffer[at(id)] == kNone) gradient_buffer[at(id)] = new_external();
  }
  if (spec.gradients.empty()) {
    for (const auto& update : spec.updates) use(value_buffer[at(update.second)], forward_end - 1);
    return;
  }

  for (std::size_t j = 0; j < std::min(spec.outputs.size(), spec.differentiated_outputs); ++j) {
    d_output_buffer.push_back(new_external());
    const ValueId id = spec.outputs[j];
    if (flows[at(id)]) pass_gradient(d_output_buffer.back(), id);
  }

  for (std::size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    const bool reached = live[i] && std::any_of(node.outputs.begin(), node.outputs.end(),
                                                [&](ValueId id) { return flows[at(id)]; });
    if (!reached) continue;
    if (node.op->is_view()) {
      if (wants[at(node.inputs[0])]) pass_gradient(gradient_buffer[at(node.outputs[0])], node.inputs[0]);
      continue;
    }
    Instruction instruction;
    instruction.kind = Instruction::kBackward;
    instruction.op = node.op.get();
    instruction.node = static_cast<int>(i);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      const bool needed = node.op->backward_needs_input(static_cast<int>(k));
      instruction.inputs.push_back(needed ? value_buffer[at(node.inputs[k])] : kNone);
    }
    for (std::size_t j = 0; j < node.outputs.size(); ++j) {
      const ValueId id = node.outputs[j];
      const bool needed = node.op->backward_needs_output(static_cast<int>(j));
      instruction.outputs.push_back(needed ? value_buffer[at(id)] : kNone);
      if (!is_floating(graph.type(id).dtype)) {
        instruction.d_outputs.push_back(kNone);
        continue;
      }
      if (!flows[at(id)]) {
        const int zeros = new_buffer(graph.type(id).bytes());
        emit(Instruction::kZero, graph.type(id), kNone, zeros);
        instruction.d_outputs.push_back(zeros);
      } else {
        instruction.d_outputs.push_back(gradient_buffer[at(id)]);
      }
    }
    instruction.saved = saved_buffers[i];
    instruction.workspace = new_buffer(0);
    std::vector<std::pair<ValueId, int>> targets;
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      const ValueId id = node.inputs[k];
      if (!wants[at(id)] || !node.op->differentiable(static_cast<int>(k))) {
        instruction.d_inputs.push_back(kNone);
        continue;
      }
      // (What is the caller's to be filled is left to the op, which may do it along with the others.)
      const bool fill = gradient_buffer[at(id)] != kNone && !written[at(id)];
      if (node.op->passes_gradient(static_cast<int>(k)) && !fill) {
        pass_gradient(gradient_buffer[at(node.outputs[0])], id);
        instruction.d_inputs.push_back(kNone);
        continue;
      }
      // A value read twice by one node gets a second buffer: the first write has not happened yet.
      const bool again =
          std::any_of(targets.begin(), targets.end(), [&](const auto& t) { return t.first == id; });
      const int target = again ? new_buffer(graph.type(id).bytes()) : contribution(id);
      instruction.d_inputs.push_back(target);
      targets.emplace_back(id, target);
    }
    if (targets.empty()) continue;
    finish(std::move(instruction), time++);
    for (const auto& [id, target] : targets) settle(id, target);
  }

  for (ValueId id : spec.gradients) {
    if (written[at(id)]) continue;
    emit(Instruction::kZero, graph.type(id), kNone, gradient_buffer[at(id)]);
    written[at(id)] = true;
  }
  for (const auto& update : spec.updates) use(value_buffer[at(update.second)], time);
  if (spec.repeatable) {
    for (BufferInfo& info : buffers) {
      const bool crosses = info.lifetime.first >= 0 && info.lifetime.first < forward_end;
      if (crosses && info.lifetime.last >= forward_end) info.lifetime.last = time;
    }
  }
}

}  // namespace tenfold
