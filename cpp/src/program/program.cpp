#include "tenfold/program.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "program/arena.h"
#include "program/passes.h"
#include "runtime/team_choice.h"
#include "tenfold/error.h"

namespace tenfold {
namespace {

constexpr int kNone = -1;

// Memory that instructions name by number. Arena buffers are placed by lifetime, external ones get a pointer per call
// or once (bind).
struct BufferInfo {
  bool arena = true;
  Lifetime lifetime{0, -1, -1};
};

struct Instruction {
  enum Kind { kForward, kBackward, kCopy, kAdd, kZero };
  Kind kind = kForward;
  const Op* op = nullptr;
  int node = kNone;
  // Buffers, kNone where the call gets a null pointer.
  std::vector<int> inputs, outputs, saved, d_outputs, d_inputs;
  int workspace = kNone;
  TensorType type;  // of the tensor that copy, add and zero work on: outputs[0] (+)= inputs[0]

  // The pointers behind the numbers, renewed by resolve().
  std::vector<const void*> input_pointers, d_output_pointers;
  std::vector<void*> output_pointers, saved_pointers, d_input_pointers;
  std::byte* workspace_pointer = nullptr;
};

constexpr index kGrain = 4096;  // elements; a multiple of every vector

template <class T>
void add_to(const Team& team, index count, const void* source, void* target) {
  const T* from = static_cast<const T*>(source);
  T* to = static_cast<T*>(target);
  team.for_range(count, kGrain, [&](index begin, index end) {
    for (index i = begin; i < end; ++i) to[i] += from[i];
  });
}

void copy_to(const Team& team, const TensorType& type, const void* source, void* target) {
  const auto size = static_cast<index>(size_of(type.dtype));
  team.for_range(type.count(), kGrain, [&](index begin, index end) {
    std::memcpy(static_cast<char*>(target) + begin * size, static_cast<const char*>(source) + begin * size,
                static_cast<std::size_t>((end - begin) * size));
  });
}

void zero(const Team& team, const TensorType& type, void* target) {
  const auto size = static_cast<index>(size_of(type.dtype));
  team.for_range(type.count(), kGrain, [&](index begin, index end) {
    std::memset(static_cast<char*>(target) + begin * size, 0, static_cast<std::size_t>((end - begin) * size));
  });
}

// Work below this many multiply-adds (some hundred microseconds) may be faster alone: it is tried.
constexpr double kSmallWork = 32e6;

// Runs body(team), which does `work` so many times.
template <class Body>
void run_timed(double work, TeamChoice& choice, index times, Body&& body) {
  if (work < kSerialWork || work > kSmallWork || num_threads() == 1) return parallel(work, body);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  parallel(choice.alone() ? 0 : work, body);
  choice.took(std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(times));
}

double scalar(const TensorType& type, const void* data) {
  switch (type.dtype) {
    case DType::float32:
      return static_cast<double>(*static_cast<const float*>(data));
    case DType::float64:
      return *static_cast<const double*>(data);
    case DType::int64:
      return static_cast<double>(*static_cast<const index*>(data));
  }
  return 0;
}

std::vector<ValueId> mapped(const std::vector<ValueId>& ids, const std::vector<ValueId>& map) {
  std::vector<ValueId> result;
  for (ValueId id : ids) result.push_back(map[static_cast<std::size_t>(id)]);
  return result;
}

}  // namespace

struct Program::Plan {
  Plan(const Graph& original, ProgramSpec original_spec);

  // -- building
  void check(const Graph& original) const;
  void rewrite(const Graph& original);
  void find_live_nodes();
  void find_gradient_flow();
  void name_values();
  void emit_forward();
  void emit_backward();
  int new_buffer(std::size_t bytes);
  int new_external();
  // Instruction `time` touches the buffer.
  void use(int buffer, int time);
  void finish(Instruction instruction, int time);
  // Where instruction writes a contribution to the gradient of `value`: its gradient buffer the first time, a temporary
  // that is then added (see settle) afterwards.
  int contribution(ValueId value);
  void settle(ValueId value, int buffer);
  // Makes the buffer's contents a contribution to the gradient of `value`, without a copy where that can be.
  void pass_gradient(int buffer, ValueId value);
  void emit(Instruction::Kind kind, const TensorType& type, int from, int to);

  // -- running
  void prepare();
  void resolve();
  void run(const Team& team, const std::vector<Instruction>& instructions, RandomState random) {
    for (const Instruction& instruction : instructions) execute(team, instruction, random);
  }
  void execute(const Team& team, const Instruction& instruction, RandomState random);
  InstructionProfile describe(const Instruction& instruction) const;
  void run_updates(const Team& team);
  // The gradient of output j; zeros if null.
  void set_d_output(std::size_t j, const void* data);
  void* pointer(int buffer) const { return pointers[static_cast<std::size_t>(buffer)]; }
  void set_pointer(int buffer, const void* data) {
    pointers[static_cast<std::size_t>(buffer)] = const_cast<void*>(data);
  }
  std::size_t at(ValueId id) const { return static_cast<std::size_t>(id); }

  ProgramSpec spec;
  std::vector<ValueId> leaf_map;  // original leaf -> leaf of `graph`
  Graph graph;
  std::vector<TensorType> input_types, output_types;
  std::vector<bool> live;   // nodes that outputs or updates depend on
  std::vector<bool> wants;  // values that lead to a wanted gradient
  std::vector<bool> flows;  // ... and that an output's gradient reaches
  std::vector<std::vector<int>> consumers;
  std::vector<int> value_buffer, gradient_buffer;  // by value
  std::vector<bool> written;                       // the gradient buffer has its first contribution
  std::vector<bool> borrowed;                   // ... which is the gradient of another value, or the caller's
  std::vector<std::vector<int>> saved_buffers;  // by node
  std::vector<int> d_output_buffer;             // by program output: external
  std::vector<Buffer> no_gradient;              // zeros for outputs without a gradient
  std::vector<BufferInfo> buffers;
  std::vector<Instruction> forward, backward;
  int time = 0;
  int forward_end = 0;
  double forward_work = 0;
  TeamChoice forward_choice, training_choice;

  std::mutex mutex;
  int planned_threads = 0;
  std::vector<std::size_t> workspace_bytes;
  Placement placement;
  Buffer arena;
  std::vector<void*> pointers;
  std::vector<Buffer> staging;  // gathered mini-batches, one per input
  ErrorSink errors;
  RandomState last_random;
};

// -- building --------------------------------------------------------------------------------------------------------

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

// -- running ---------------------------------------------------------------------------------------------------------

// Workspaces depend on the number of threads; everything is placed again when that grows.
void Program::Plan::prepare() {
  const int threads = num_threads();
  if (threads <= planned_threads) return;
  for (auto* list : {&forward, &backward}) {
    for (Instruction& instruction : *list) {
      if (instruction.op == nullptr) continue;
      buffers[static_cast<std::size_t>(instruction.workspace)].lifetime.bytes =
          list == &forward ? instruction.op->forward_workspace(threads)
                           : instruction.op->backward_workspace(threads);
    }
  }
  std::vector<Lifetime> lifetimes;
  for (const BufferInfo& info : buffers) {
    const bool placed = info.arena && info.lifetime.first >= 0;
    lifetimes.push_back(placed ? info.lifetime : Lifetime{0, -2, -2});
  }
  placement = place(lifetimes);
  arena = Buffer(placement.bytes);
  std::vector<void*> previous = std::move(pointers);
  pointers.assign(buffers.size(), nullptr);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].arena) {
      pointers[i] = arena.data() + placement.offsets[i];
    } else if (i < previous.size()) {
      pointers[i] = previous[i];
    }
  }
  planned_threads = threads;
}

void Program::Plan::set_d_output(std::size_t j, const void* data) {
  if (data == nullptr) {
    no_gradient.resize(d_output_buffer.size());
    if (no_gradient[j].data() == nullptr) {
      no_gradient[j] = Buffer(output_types[j].bytes());
      std::memset(no_gradient[j].data(), 0, output_types[j].bytes());
    }
    data = no_gradient[j].data();
  }
  set_pointer(d_output_buffer[j], data);
}

void Program::Plan::resolve() {
  const auto look_up = [this](const std::vector<int>& numbers, auto& list) {
    list.clear();
    for (int number : numbers) list.push_back(number == kNone ? nullptr : pointer(number));
  };
  for (auto* list : {&forward, &backward}) {
    for (Instruction& instruction : *list) {
      look_up(instruction.inputs, instruction.input_pointers);
      look_up(instruction.outputs, instruction.output_pointers);
      look_up(instruction.saved, instruction.saved_pointers);
      look_up(instruction.d_outputs, instruction.d_output_pointers);
      look_up(instruction.d_inputs, instruction.d_input_pointers);
      if (instruction.workspace != kNone) {
        instruction.workspace_pointer = static_cast<std::byte*>(pointer(instruction.workspace));
      }
    }
  }
}

void Program::Plan::execute(const Team& team, const Instruction& i, RandomState random) {
  switch (i.kind) {
    case Instruction::kForward:
      i.op->forward(team, {i.input_pointers.data(), i.output_pointers.data(),
                           i.saved_pointers.empty() ? nullptr : i.saved_pointers.data(), i.workspace_pointer,
                           random, &errors});
      break;
    case Instruction::kBackward:
      // Forward's outputs reach backward as constants: the pointers are the same ones.
      i.op->backward(team, {i.input_pointers.data(), i.output_pointers.data(), i.saved_pointers.data(),
                            i.d_output_pointers.data(), i.d_input_pointers.data(), i.workspace_pointer,
                            random, &errors});
      break;
    case Instruction::kCopy:
      copy_to(team, i.type, i.input_pointers[0], i.output_pointers[0]);
      break;
    case Instruction::kAdd:
      if (i.type.dtype == DType::float32) {
        add_to<float>(team, i.type.count(), i.input_pointers[0], i.output_pointers[0]);
      } else {
        add_to<double>(team, i.type.count(), i.input_pointers[0], i.output_pointers[0]);
      }
      break;
    case Instruction::kZero:
      zero(team, i.type, i.output_pointers[0]);
      break;
  }
}

InstructionProfile Program::Plan::describe(const Instruction& instruction) const {
  InstructionProfile profile;
  profile.output = instruction.type.shape;
  switch (instruction.kind) {
    case Instruction::kCopy:
      profile.kind = "copy";
      break;
    case Instruction::kAdd:
      profile.kind = "add";
      profile.flops = static_cast<double>(instruction.type.count());
      break;
    case Instruction::kZero:
      profile.kind = "zero";
      break;
    default: {
      const Node& node = graph.nodes()[static_cast<std::size_t>(instruction.node)];
      profile.node = instruction.node;
      profile.kind = node.kind;
      const std::string activation = node.attributes.get<std::string>("activation", "");
      if (!activation.empty() && activation != "none") profile.kind += "+" + activation;
      profile.name = node.name;
      profile.output = graph.type(node.outputs[0]).shape;
      if (instruction.kind == Instruction::kForward) {
        profile.flops = instruction.op->flops();
      } else {
        std::vector<bool> wanted;
        for (int buffer : instruction.d_inputs) wanted.push_back(buffer != kNone);
        profile.flops = instruction.op->backward_flops(wanted);
      }
    }
  }
  return profile;
}

void Program::Plan::run_updates(const Team& team) {
  for (const auto& [leaf, value] : spec.updates) {
    copy_to(team, graph.type(leaf), pointer(value_buffer[at(value)]), pointer(value_buffer[at(leaf)]));
  }
}

// -- the face --------------------------------------------------------------------------------------------------------

Program::Program(const Graph& graph, ProgramSpec spec)
    : plan_(std::make_unique<Plan>(graph, std::move(spec))) {
  plan_->prepare();
}
Program::~Program() = default;

const std::vector<TensorType>& Program::input_types() const {
  return plan_->input_types;
}
const std::vector<TensorType>& Program::output_types() const {
  return plan_->output_types;
}
std::size_t Program::arena_bytes() const {
  return plan_->placement.bytes;
}
const Graph& Program::graph() const {
  return plan_->graph;
}

std::size_t Program::sum_of_buffers() const {
  std::size_t bytes = 0;
  for (const BufferInfo& info : plan_->buffers) {
    if (info.arena && info.lifetime.first >= 0) bytes += align_up(info.lifetime.bytes);
  }
  return bytes;
}

void Program::bind(ValueId leaf, void* data) {
  const std::lock_guard<std::mutex> lock(plan_->mutex);
  plan_->set_pointer(plan_->value_buffer[plan_->at(plan_->leaf_map[plan_->at(leaf)])], data);
}

void Program::bind_gradient(ValueId leaf, void* data) {
  const std::lock_guard<std::mutex> lock(plan_->mutex);
  plan_->set_pointer(plan_->gradient_buffer[plan_->at(plan_->leaf_map[plan_->at(leaf)])], data);
}

void Program::forward(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
                      RandomState random, bool update) {
  Plan& p = *plan_;
  const std::lock_guard<std::mutex> lock(p.mutex);
  p.prepare();
  for (std::size_t k = 0; k < inputs.size(); ++k)
    p.set_pointer(p.value_buffer[p.at(p.spec.inputs[k])], inputs[k]);
  p.resolve();
  p.errors.error = nullptr;
  run_timed(p.forward_work, p.forward_choice, 1, [&](const Team& team) {
    p.run(team, p.forward, random);
    for (std::size_t j = 0; j < outputs.size(); ++j) {
      copy_to(team, p.output_types[j], p.pointer(p.value_buffer[p.at(p.spec.outputs[j])]), outputs[j]);
    }
    if (update && !p.errors.error) p.run_updates(team);
  });
  p.last_random = random;
  if (p.errors.error) std::rethrow_exception(p.errors.error);
}

void Program::backward(const std::vector<const void*>& d_outputs, const std::vector<void*>& gradients) {
  Plan& p = *plan_;
  const std::lock_guard<std::mutex> lock(p.mutex);
  if (num_threads() > p.planned_threads) {
    reject("Program.backward", "threads", "must not grow between forward and backward: from ",
           p.planned_threads, " to ", num_threads());
  }
  for (std::size_t j = 0; j < p.d_output_buffer.size(); ++j) {
    p.set_d_output(j, j < d_outputs.size() ? d_outputs[j] : nullptr);
  }
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    if (gradients[k] != nullptr) p.set_pointer(p.gradient_buffer[p.at(p.spec.gradients[k])], gradients[k]);
  }
  p.resolve();
  p.errors.error = nullptr;
  parallel(p.forward_work, [&](const Team& team) { p.run(team, p.backward, p.last_random); });
  if (p.errors.error) std::rethrow_exception(p.errors.error);
}

std::vector<InstructionProfile> Program::profile(const std::vector<const void*>& inputs,
                                                 const std::vector<const void*>& d_outputs,
                                                 RandomState random, index repetitions) {
  Plan& p = *plan_;
  const std::lock_guard<std::mutex> lock(p.mutex);
  if (repetitions < 1) reject("Program.profile", "repetitions", "must be positive; received ", repetitions);
  p.prepare();
  for (std::size_t k = 0; k < inputs.size(); ++k)
    p.set_pointer(p.value_buffer[p.at(p.spec.inputs[k])], inputs[k]);
  for (std::size_t j = 0; j < p.d_output_buffer.size(); ++j)
    p.set_d_output(j, j < d_outputs.size() ? d_outputs[j] : nullptr);
  for (ValueId id : p.spec.gradients) {
    if (p.pointer(p.gradient_buffer[p.at(id)]) == nullptr)
      reject("Program.profile", "gradients", "must all be bound");
  }
  p.resolve();
  p.errors.error = nullptr;

  std::vector<InstructionProfile> profiles;
  for (const auto* list : {&p.forward, &p.backward}) {
    for (const Instruction& instruction : *list) {
      profiles.push_back(p.describe(instruction));
      profiles.back().backward = list == &p.backward;
      profiles.back().seconds.assign(static_cast<std::size_t>(repetitions), 0.0);
    }
  }
  using Clock = std::chrono::steady_clock;
  // Whether threads are woken is decided as for the program itself.
  parallel(p.backward.empty() ? p.forward_work : 3 * p.forward_work, [&](const Team& team) {
    for (index repetition = -1; repetition < repetitions; ++repetition) {
      std::size_t number = 0;
      for (const auto* list : {&p.forward, &p.backward}) {
        for (const Instruction& instruction : *list) {
          // Member 0 has the clock; nobody begins before it is read, and it is read when all are done.
          const Clock::time_point begin = Clock::now();
          team.barrier();
          p.execute(team, instruction, random);
          team.barrier();
          const Clock::time_point end = Clock::now();
          if (team.rank() == 0 && repetition >= 0) {
            profiles[number].seconds[static_cast<std::size_t>(repetition)] =
                std::chrono::duration<double>(end - begin).count();
          }
          ++number;
        }
      }
      if (p.errors.error) break;
    }
  });
  if (p.errors.error) std::rethrow_exception(p.errors.error);
  return profiles;
}

index Program::train(const TrainingRun& run) {
  Plan& p = *plan_;
  const std::lock_guard<std::mutex> lock(p.mutex);
  const char* const function = "Program.train";
  if (run.data.size() != p.input_types.size()) {
    reject(function, "data", "must have ", p.input_types.size(), " arrays; received ", run.data.size());
  }
  for (const TensorType& type : p.output_types) {
    if (type.count() != 1)
      reject(function, "outputs", "must be scalars; one has shape ", to_string(type.shape));
  }
  const index batch = p.input_types.empty() || p.input_types[0].shape.empty() ? 0 : p.input_types[0].shape[0];
  if (batch < 1) reject(function, "inputs", "must have a batch axis of at least one sample");
  std::vector<std::size_t> row_bytes;
  p.staging.resize(p.input_types.size());
  for (std::size_t k = 0; k < p.input_types.size(); ++k) {
    const TensorType& type = p.input_types[k];
    if (type.shape.empty() || type.shape[0] != batch) {
      reject(function, "inputs", "must all have the batch size ", batch, "; input ", k, " is ",
             to_string(type));
    }
    if (p.staging[k].data() == nullptr) p.staging[k] = Buffer(type.bytes());
    row_bytes.push_back(type.bytes() / static_cast<std::size_t>(batch));
  }
  for (index i = 0; i < run.steps * batch; ++i) {
    if (run.order[i] < 0 || run.order[i] >= run.samples) {
      reject(function, "order", "must have entries from 0 to ", run.samples - 1, "; received ", run.order[i]);
    }
  }

  p.prepare();
  const float one_float = 1;
  const double one_double = 1;
  const bool single = p.output_types[0].dtype == DType::float32;
  for (std::size_t j = 0; j < p.d_output_buffer.size(); ++j) {
    const void* one = single ? static_cast<const void*>(&one_float) : static_cast<const void*>(&one_double);
    p.set_d_output(j, j == 0 ? one : nullptr);
  }
  for (std::size_t k = 0; k < p.staging.size(); ++k) {
    p.set_pointer(p.value_buffer[p.at(p.spec.inputs[k])], p.staging[k].data());
  }
  p.resolve();
  p.errors.error = nullptr;

  const std::size_t outputs = p.output_types.size();
  index done = 0;
  // Set once, by one member; all others, late ones too, leave at this step.
  std::atomic<index> failed{std::numeric_limits<index>::max()};
  // The work of one step decides: its barriers cost the same however many steps follow. Small steps go by groups, each
  // alone or with the team.
  const double work = 3 * p.forward_work;
  const index group =
      work < kSmallWork ? std::max<index>(1, static_cast<index>(2 * kSmallWork / (work + 1))) : run.steps;
  const auto steps = [&](const Team& team, index begin, index end) {
    for (index step = begin; step < end; ++step) {
      const index* rows = run.order + step * batch;
      team.for_each(batch, [&](index n) {
        for (std::size_t k = 0; k < p.staging.size(); ++k) {
          std::memcpy(
              p.staging[k].data() + static_cast<std::size_t>(n) * row_bytes[k],
              static_cast<const std::byte*>(run.data[k]) + static_cast<std::size_t>(rows[n]) * row_bytes[k],
              row_bytes[k]);
        }
      });
      const RandomState random{run.seed, static_cast<std::uint64_t>(run.first_step + step)};
      p.run(team, p.forward, random);
      double* const results = run.results + static_cast<std::size_t>(step) * outputs;
      team.once([&] {
        for (std::size_t j = 0; j < outputs; ++j) {
          results[j] = scalar(p.output_types[j], p.pointer(p.value_buffer[p.at(p.spec.outputs[j])]));
        }
        if (!std::isfinite(results[0]) || p.errors.error) failed = step;
      });
      if (failed <= step) break;
      p.run(team, p.backward, random);
      team.once([&] {
        if (p.errors.error) failed = step;
      });
      if (failed <= step) break;
      if (single) {
        run.optimizer->step(team, run.parameter_count, static_cast<float*>(run.parameters),
                            static_cast<const float*>(run.gradients),
                            reinterpret_cast<float* const*>(run.states.data()), run.learning_rates[step],
                            run.first_step + step);
      } else {
        run.optimizer->step(team, run.parameter_count, static_cast<double*>(run.parameters),
                            static_cast<const double*>(run.gradients),
                            reinterpret_cast<double* const*>(run.states.data()), run.learning_rates[step],
                            run.first_step + step);
      }
      p.run_updates(team);
      if (team.rank() == 0) done = step + 1;
    }
  };
  for (index begin = 0; begin < run.steps && done == begin; begin += group) {
    const index end = std::min(run.steps, begin + group);
    run_timed(work, p.training_choice, end - begin, [&](const Team& team) { steps(team, begin, end); });
  }
  if (p.errors.error) std::rethrow_exception(p.errors.error);
  return done;
}

}  // namespace tenfold
