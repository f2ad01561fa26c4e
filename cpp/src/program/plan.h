// The plan of a program: its rewritten graph as instructions in a row, and the place of every buffer in the arena.
// plan.cpp builds it; program.cpp runs it.
#pragma once

#include <mutex>
#include <vector>

#include "program/arena.h"
#include "tenfold/program.h"
#include "tenfold/team_choice.h"

namespace tenfold {

// The number of no buffer.
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
  TensorType type;       // of the tensor that copy, add and zero work on: outputs[0] (+)= inputs[0]
  bool gathers = false;  // in training: picks its samples out of the data set

  // The pointers behind the numbers, renewed by resolve().
  std::vector<const void*> input_pointers, d_output_pointers;
  std::vector<void*> output_pointers, saved_pointers, d_input_pointers;
  std::byte* workspace_pointer = nullptr;
};

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
  void require_bound(const Instruction& instruction) const;
  // `rows`: the samples of a training step, for instructions that gather them.
  // `taker`: of gradients that the last instruction hands over.
  void run(const Team& team, const std::vector<Instruction>& instructions, RandomState random,
           const index* rows = nullptr, const GradientTaker* taker = nullptr) {
    for (const Instruction& instruction : instructions)
      execute(team, instruction, random, rows, &instruction == &instructions.back() ? taker : nullptr);
  }
  void execute(const Team& team, const Instruction& instruction, RandomState random, const index* rows,
               const GradientTaker* taker);
  InstructionProfile describe(const Instruction& instruction) const;
  void run_updates(const Team& team);
  // Throws when `run` does not fit the program; makes `staging` and `sample_bytes`.
  void check_training(const TrainingRun& run);
  // Whether all that reads input k can gather its samples itself; notes it in these instructions.
  bool gathered_by_readers(std::size_t k);
  // Gathers the samples `rows` into staging.
  void gather(const Team& team, const TrainingRun& run, const index* rows) const;
  // Cuts the flat vectors where an instruction shares out what it reads or hands over its gradient; after resolve().
  void cut_parameters(const TrainingRun& run);
  // Where input i of the instruction lies in the flat parameters, if nobody else reads it; else kNone.
  index own_parameter(const TrainingRun& run, const Instruction& instruction, std::size_t i) const;
  class Updates;
  index batch() const {
    return input_types.empty() || input_types[0].shape.empty() ? 0 : input_types[0].shape[0];
  }
  // Where output j is to go; memory of its own if null.
  void set_output(std::size_t j, void* data);
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
  std::vector<int> direct_output;               // by program output: external, kNone where it is copied
  std::vector<Buffer> own_output;               // ... where the caller has no array for it
  std::vector<int> d_output_buffer;             // by program output: external
  std::vector<Buffer> no_gradient;              // zeros for outputs without a gradient
  std::vector<BufferInfo> buffers;
  std::vector<Instruction> forward, backward;
  struct ParameterPiece {
    index begin, end;
    bool read_by_all;
    int handed_over;  // the input of the last instruction of backward that it is, or kNone
  };
  std::vector<ParameterPiece> parameter_pieces;  // of a training run, the large ones first
  std::size_t large_pieces = 0;  // so many; the others are no work for a team and share a loop
  int time = 0;
  int forward_end = 0;
  double forward_work = 0;
  TeamChoice forward_choice, backward_choice, training_choice;

  std::mutex mutex;
  int planned_threads = 0;
  Placement placement;
  Buffer arena;
  std::vector<void*> pointers;
  std::vector<Buffer> staging;            // gathered mini-batches by input; empty where its readers gather
  std::vector<std::size_t> sample_bytes;  // by input
  ErrorSink errors;
  RandomState last_random;
};

}  // namespace tenfold
