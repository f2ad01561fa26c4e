// A program: a graph made ready to run. Operations in a row, every buffer placed in one arena, gradients derived node
// by node; a call runs without allocation, and a training run of many steps without leaving C++.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tenfold/graph.h"
#include "tenfold/memory.h"
#include "tenfold/optim.h"

namespace tenfold {

struct ProgramSpec {
  std::vector<ValueId> inputs;     // leaves that every call brings along
  std::vector<ValueId> outputs;    // what a call returns
  std::vector<ValueId> gradients;  // leaves whose gradients backward computes
  // (leaf, value): running means and the like; after a training step the leaf's memory receives the value.
  std::vector<std::pair<ValueId, ValueId>> updates;
  // Only the first so many outputs have gradients (a training step's loss; not its metrics).
  std::size_t differentiated_outputs = static_cast<std::size_t>(-1);
  bool repeatable = false;  // backward may be called several times after one forward
  bool fuse = true;         // false keeps one op per node; for tests and teaching
};

// What Program::train runs on. Sample i of input k is the i-th of `samples` equal pieces of data[k].
struct TrainingRun {
  std::vector<const void*> data;  // one per program input
  index samples = 0;
  const index* order = nullptr;  // steps * batch sample numbers
  index steps = 0;
  const double* learning_rates = nullptr;  // one per step
  std::int64_t first_step = 0;             // number of the first step since training began
  std::uint64_t seed = 0;
  double* results = nullptr;  // (steps, outputs): every output is a scalar, the first one is the loss
  const Optimizer* optimizer = nullptr;
  index parameter_count = 0;  // of the flat vectors below, of the program's floating type
  void* parameters = nullptr;
  // Where the program puts gradients (bind_gradient); after a completed run they are those of its last step.
  const void* gradients = nullptr;
  std::vector<void*> states;  // Optimizer::state_count() vectors of the same length
};

// What one instruction of a program does, and the seconds it took in every repetition of Program::profile.
struct InstructionProfile {
  bool backward = false;
  int node = -1;  // of Program::graph()
  std::string
      kind;  // the node's, with its activation ("conv+relu"); "copy", "add" or "zero" where gradients meet between nodes
  std::string name;  // the node's
  Shape output;      // of the node's first output, or of the tensor that is copied, added to or zeroed
  double flops = 0;
  std::vector<double> seconds;
};

class Program {
 public:
  // Throws InvalidArgument when the spec names values that do not exist or an input that is not a leaf.
  Program(const Graph& graph, ProgramSpec spec);
  ~Program();

  const std::vector<TensorType>& input_types() const;
  const std::vector<TensorType>& output_types() const;

  // The memory behind a leaf that is no input: a parameter, buffer or constant. It must outlive the program's calls.
  void bind(ValueId leaf, void* data);
  // Where backward writes a gradient; without it backward's caller must give a pointer.
  void bind_gradient(ValueId leaf, void* data);

  // Runs the graph. With `update`, leaves of spec.updates receive their new values. Rethrows what a callback threw. Throws
  // InvalidArgument where a leaf is read that is no input and was not bound.
  void forward(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, RandomState random,
               bool update);
  // Gradients of the last forward call: d_inputs of spec.gradients for d_outputs (null = zero), overwritten. Inputs of
  // that call must still be alive and unchanged.
  void backward(const std::vector<const void*>& d_outputs, const std::vector<void*>& gradients);
  // Runs steps until the end or the first loss that is not finite (that step changes nothing); returns how many steps
  // were completed. results of the failed step are written. Rethrows what a callback threw.
  index train(const TrainingRun& run);

  // Runs forward and backward (if there are gradients) as `train` does, in one region, and takes the time after every
  // instruction. d_outputs as in `backward`; gradients go where bind_gradient said. Updates nothing else. A first
  // repetition is not timed.
  std::vector<InstructionProfile> profile(const std::vector<const void*>& inputs,
                                          const std::vector<const void*>& d_outputs, RandomState random,
                                          index repetitions);

  std::size_t arena_bytes() const;     // of the one arena
  std::size_t sum_of_buffers() const;  // what the arena would take without reuse
  // The nodes that run, after fusion.
  const Graph& graph() const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace tenfold
