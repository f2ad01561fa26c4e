#include "tenfold/program.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <mutex>

#include "kernels/elementwise.h"
#include "program/plan.h"
#include "tenfold/error.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kGrain = 4096;  // elements; a multiple of every vector

template <class T>
void add_to(const Team& team, index count, const void* source, void* target) {
  const T* from = static_cast<const T*>(source);
  T* to = static_cast<T*>(target);
  const auto& add = kernels<ElementwiseKernels, T>().add;
  team.for_range(count, kGrain, [&](index begin, index end) {
    add.forward(end - begin, to + begin, 1, from + begin, 1, false, to + begin);
  });
}

void copy_to(const Team& team, const TensorType& type, const void* source, void* target) {
  const auto size = static_cast<index>(size_of(type.dtype));
  team.for_range(type.count(), kGrain, [&](index begin, index end) {
    copy_bytes(static_cast<char*>(target) + begin * size, static_cast<const char*>(source) + begin * size,
               static_cast<std::size_t>((end - begin) * size));
  });
}

void zero(const Team& team, const TensorType& type, void* target) {
  const auto size = static_cast<index>(size_of(type.dtype));
  team.for_range(type.count(), kGrain, [&](index begin, index end) {
    std::memset(static_cast<char*>(target) + begin * size, 0, static_cast<std::size_t>((end - begin) * size));
  });
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

}  // namespace

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

void Program::Plan::set_output(std::size_t j, void* data) {
  if (direct_output[j] == kNone) return;
  if (data == nullptr) {
    own_output.resize(direct_output.size());
    if (own_output[j].data() == nullptr) own_output[j] = Buffer(output_types[j].bytes());
    data = own_output[j].data();
  }
  set_pointer(direct_output[j], data);
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

void Program::Plan::require_bound(const Instruction& instruction) const {
  for (std::size_t i = 0; i < instruction.inputs.size(); ++i) {
    if (instruction.inputs[i] == kNone || instruction.input_pointers[i] != nullptr) continue;
    if (instruction.op->inputs()[i].count() == 0) continue;
    reject("Program", "values", "must all be inputs, bound or computed; input ", i, " of ",
           graph.nodes()[at(instruction.node)].kind, " is none of these");
  }
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
      if (instruction.kind == Instruction::kForward) require_bound(instruction);
      if (instruction.workspace != kNone) {
        instruction.workspace_pointer = static_cast<std::byte*>(pointer(instruction.workspace));
      }
    }
  }
}

void Program::Plan::execute(const Team& team, const Instruction& i, RandomState random, const index* rows,
                            const GradientTaker* taker) {
  if (!i.gathers) rows = nullptr;
  switch (i.kind) {
    case Instruction::kForward:
      i.op->forward(team, {i.input_pointers.data(), i.output_pointers.data(),
                           i.saved_pointers.empty() ? nullptr : i.saved_pointers.data(), i.workspace_pointer,
                           random, &errors, rows});
      break;
    case Instruction::kBackward:
      // Forward's outputs reach backward as constants: the pointers are the same ones.
      i.op->backward(team, {i.input_pointers.data(), i.output_pointers.data(), i.saved_pointers.data(),
                            i.d_output_pointers.data(), i.d_input_pointers.data(), i.workspace_pointer,
                            random, &errors, rows, taker});
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
  for (std::size_t j = 0; j < p.direct_output.size(); ++j) {
    p.set_output(j, j < outputs.size() ? outputs[j] : nullptr);
  }
  p.resolve();
  p.errors.error = nullptr;
  p.forward_choice.run(p.forward_work, 1, [&](const Team& team) {
    p.run(team, p.forward, random);
    for (std::size_t j = 0; j < outputs.size(); ++j) {
      if (p.direct_output[j] != kNone) continue;
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
  p.backward_choice.run(p.forward_work, 1, [&](const Team& team) { p.run(team, p.backward, p.last_random); });
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
  for (std::size_t j = 0; j < p.direct_output.size(); ++j) p.set_output(j, nullptr);
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
          p.execute(team, instruction, random, nullptr, nullptr);
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

void Program::Plan::check_training(const TrainingRun& run) {
  const char* const function = "Program.train";
  if (run.data.size() != input_types.size()) {
    reject(function, "data", "must have ", input_types.size(), " arrays; received ", run.data.size());
  }
  for (const TensorType& type : output_types) {
    if (type.count() != 1)
      reject(function, "outputs", "must be scalars; one has shape ", to_string(type.shape));
  }
  if (batch() < 1) reject(function, "inputs", "must have a batch axis of at least one sample");
  staging.resize(input_types.size());
  sample_bytes.resize(input_types.size());
  for (std::size_t k = 0; k < input_types.size(); ++k) {
    const TensorType& type = input_types[k];
    if (type.shape.empty() || type.shape[0] != batch()) {
      reject(function, "inputs", "must all have the batch size ", batch(), "; input ", k, " is ",
             to_string(type));
    }
    if (staging[k].data() == nullptr && !gathered_by_readers(k)) staging[k] = Buffer(type.bytes());
    sample_bytes[k] = type.bytes() / static_cast<std::size_t>(batch());
  }
  for (index i = 0; i < run.steps * batch(); ++i) {
    if (run.order[i] < 0 || run.order[i] >= run.samples) {
      reject(function, "order", "must have entries from 0 to ", run.samples - 1, "; received ", run.order[i]);
    }
  }
}

bool Program::Plan::gathered_by_readers(std::size_t k) {
  const int buffer = value_buffer[at(spec.inputs[k])];
  std::vector<Instruction*> readers;
  for (auto* list : {&forward, &backward}) {
    for (Instruction& instruction : *list) {
      for (std::size_t i = 0; i < instruction.inputs.size(); ++i) {
        if (instruction.inputs[i] != buffer) continue;
        if (instruction.op == nullptr || !instruction.op->gathers(static_cast<int>(i))) return false;
        readers.push_back(&instruction);
      }
    }
  }
  for (const auto& [leaf, value] : spec.updates) {
    if (value_buffer[at(value)] == buffer) return false;
  }
  for (Instruction* reader : readers) reader->gathers = true;
  return !readers.empty();
}

void Program::Plan::gather(const Team& team, const TrainingRun& run, const index* rows) const {
  std::size_t gathered = 0;
  for (std::size_t k = 0; k < staging.size(); ++k) gathered += staging[k].data() ? sample_bytes[k] : 0;
  if (gathered == 0) return;
  const index grain = std::max<index>(1, kGrain / static_cast<index>(gathered));
  team.for_range(batch(), grain, [&](index begin, index end) {
    for (std::size_t k = 0; k < staging.size(); ++k) {
      if (staging[k].data() == nullptr) continue;
      const std::size_t bytes = sample_bytes[k];
      for (index n = begin; n < end; ++n) {
        copy_bytes(staging[k].data() + static_cast<std::size_t>(n) * bytes,
                   static_cast<const std::byte*>(run.data[k]) + static_cast<std::size_t>(rows[n]) * bytes,
                   bytes);
      }
    }
  });
}

index Program::Plan::own_parameter(const TrainingRun& run, const Instruction& instruction,
                                   std::size_t i) const {
  const void* const input = instruction.input_pointers[i];
  index readers = 0;
  for (const Instruction& other : forward)
    readers += std::count(other.input_pointers.begin(), other.input_pointers.end(), input);
  const std::size_t size = size_of(output_types[0].dtype);
  const auto* const first = static_cast<const std::byte*>(run.parameters);
  const auto* const last = first + static_cast<std::size_t>(run.parameter_count) * size;
  const auto* const here = static_cast<const std::byte*>(input);
  if (readers != 1 || std::less<>()(here, first) || !std::less<>()(here, last)) return kNone;
  return (here - first) / static_cast<index>(size);
}

void Program::Plan::cut_parameters(const TrainingRun& run) {
  const std::size_t size = size_of(output_types[0].dtype);
  std::vector<ParameterPiece> cut;
  for (const Instruction& instruction : forward) {
    if (instruction.op == nullptr) continue;
    const Op& op = *instruction.op;
    // Of the instructions of backward the last one: one that followed might fail, in a step that then changes nothing.
    const Instruction* const back =
        !backward.empty() && backward.back().op == &op ? &backward.back() : nullptr;
    for (std::size_t i = 0; i < instruction.inputs.size(); ++i) {
      const int input = static_cast<int>(i);
      const bool shared_out = op.shares_out(input), may_hand_over = back != nullptr && op.hands_over(input);
      if (!shared_out && !may_hand_over) continue;
      const index begin = own_parameter(run, instruction, i);
      if (begin == kNone) continue;
      const void* const gradient =
          static_cast<const std::byte*>(run.gradients) + static_cast<std::size_t>(begin) * size;
      const bool handed_over = may_hand_over && back->d_input_pointers[i] == gradient;
      if (!shared_out && !handed_over) continue;
      cut.push_back({begin, begin + op.inputs()[i].count(), !shared_out, handed_over ? input : kNone});
    }
  }
  std::sort(cut.begin(), cut.end(),
            [](const ParameterPiece& a, const ParameterPiece& b) { return a.begin < b.begin; });
  parameter_pieces.clear();
  index end = 0;
  const auto others_until = [&](index next) {
    if (next > end) parameter_pieces.push_back({end, next, true, kNone});
  };
  for (const ParameterPiece& piece : cut) {
    others_until(piece.begin);
    parameter_pieces.push_back(piece);
    end = piece.end;
  }
  others_until(run.parameter_count);
  const auto small = std::stable_partition(
      parameter_pieces.begin(), parameter_pieces.end(),
      [](const ParameterPiece& piece) { return !piece.read_by_all || piece.end - piece.begin > kGrain; });
  large_pieces = static_cast<std::size_t>(small - parameter_pieces.begin());
}

// A step's optimiser. SPMD but for take.
class Program::Plan::Updates final : public GradientTaker {
 public:
  Updates(const Plan& plan, const TrainingRun& run, index step, const Team& team)
      : plan_(plan), run_(run), step_(step), team_(team) {}

  bool takes(int input) const override { return piece(input) != nullptr; }
  void take(int input, index begin, index end, const void* gradient) const override {
    const ParameterPiece& of = *piece(input);
    typed(gradient, [&, first = of.begin + begin](auto* parameters, const auto* gradients) {
      run_.optimizer->update(end - begin, parameters + first, gradients, states(parameters, first).data(),
                             run_.learning_rates[step_], run_.first_step + step_,
                             of.read_by_all && team_.size() > 1);
    });
  }

  // What was not taken; or all parameters, where nothing was.
  void finish(bool all) const {
    typed(run_.gradients, [&](auto* parameters, const auto* gradients) {
      const auto left = [&](const ParameterPiece& piece) { return piece.handed_over == kNone || all; };
      const std::size_t large = plan_.large_pieces;
      for (std::size_t i = 0; i < large; ++i) {
        const ParameterPiece& piece = plan_.parameter_pieces[i];
        if (!left(piece)) continue;
        run_.optimizer->step(team_, piece.end - piece.begin, parameters + piece.begin,
                             gradients + piece.begin, states(parameters, piece.begin).data(),
                             run_.learning_rates[step_], run_.first_step + step_, piece.read_by_all);
      }
      team_.for_each(static_cast<index>(plan_.parameter_pieces.size() - large), [&](index i) {
        const ParameterPiece& piece = plan_.parameter_pieces[large + static_cast<std::size_t>(i)];
        if (!left(piece)) return;
        run_.optimizer->update(piece.end - piece.begin, parameters + piece.begin, gradients + piece.begin,
                               states(parameters, piece.begin).data(), run_.learning_rates[step_],
                               run_.first_step + step_, team_.size() > 1);
      });
    });
  }

 private:
  const ParameterPiece* piece(int input) const {
    for (const ParameterPiece& piece : plan_.parameter_pieces) {
      if (piece.handed_over == input) return &piece;
    }
    return nullptr;
  }
  // f(parameters, gradients) of the program's type.
  template <class F>
  void typed(const void* gradients, const F& f) const {
    if (plan_.output_types[0].dtype == DType::float32) {
      f(static_cast<float*>(run_.parameters), static_cast<const float*>(gradients));
    } else {
      f(static_cast<double*>(run_.parameters), static_cast<const double*>(gradients));
    }
  }
  // Of the parameters from `begin` on.
  template <class T>
  std::array<T*, kMaxOptimizerStates> states(const T* /*parameters*/, index begin) const {
    std::array<T*, kMaxOptimizerStates> found{};
    for (std::size_t k = 0; k < run_.states.size(); ++k) found[k] = static_cast<T*>(run_.states[k]) + begin;
    return found;
  }

  const Plan& plan_;
  const TrainingRun& run_;
  index step_;
  const Team& team_;
};

index Program::train(const TrainingRun& run) {
  Plan& p = *plan_;
  const std::lock_guard<std::mutex> lock(p.mutex);
  p.check_training(run);
  p.prepare();
  for (std::size_t j = 0; j < p.direct_output.size(); ++j) p.set_output(j, nullptr);
  const float one_float = 1;
  const double one_double = 1;
  const bool single = p.output_types[0].dtype == DType::float32;
  for (std::size_t j = 0; j < p.d_output_buffer.size(); ++j) {
    const void* one = single ? static_cast<const void*>(&one_float) : static_cast<const void*>(&one_double);
    p.set_d_output(j, j == 0 ? one : nullptr);
  }
  for (std::size_t k = 0; k < p.staging.size(); ++k) {
    p.set_pointer(p.value_buffer[p.at(p.spec.inputs[k])],
                  p.staging[k].data() != nullptr ? p.staging[k].data() : run.data[k]);
  }
  p.resolve();
  p.cut_parameters(run);
  p.errors.error = nullptr;

  const std::size_t outputs = p.output_types.size();
  index done = 0;
  // Set once, by one member; all others, late ones too, leave at this step.
  std::atomic<index> failed{std::numeric_limits<index>::max()};
  // The work of one step decides: its barriers cost the same however many steps follow. Small steps go by groups, each
  // alone or with the team.
  const double work = 3 * p.forward_work, small = TeamChoice::kSmallWork;
  const index group =
      work < small ? std::max<index>(1, static_cast<index>(2 * small / (work + 1))) : run.steps;
  const auto steps = [&](const Team& team, index begin, index end) {
    for (index step = begin; step < end; ++step) {
      const index* const rows = run.order + step * p.batch();
      p.gather(team, run, rows);
      const RandomState random{run.seed, static_cast<std::uint64_t>(run.first_step + step)};
      p.run(team, p.forward, random, rows);
      double* const results = run.results + static_cast<std::size_t>(step) * outputs;
      team.once([&] {
        for (std::size_t j = 0; j < outputs; ++j) {
          results[j] = scalar(p.output_types[j], p.pointer(p.value_buffer[p.at(p.spec.outputs[j])]));
        }
        if (!std::isfinite(results[0]) || p.errors.error) failed = step;
      });
      if (failed <= step) break;
      // The last step leaves all gradients where the caller finds them.
      const bool all = step + 1 == run.steps;
      const Plan::Updates updates(p, run, step, team);
      p.run(team, p.backward, random, rows, all ? nullptr : &updates);
      team.once([&] {
        if (p.errors.error) failed = step;
      });
      if (failed <= step) break;
      updates.finish(all);
      p.run_updates(team);
      if (team.rank() == 0) done = step + 1;
    }
  };
  for (index begin = 0; begin < run.steps && done == begin; begin += group) {
    const index end = std::min(run.steps, begin + group);
    p.training_choice.run(work, end - begin, [&](const Team& team) { steps(team, begin, end); });
  }
  if (p.errors.error) std::rethrow_exception(p.errors.error);
  return done;
}

}  // namespace tenfold
