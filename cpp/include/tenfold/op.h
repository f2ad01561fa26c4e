// An operation with its shapes fixed: what a node of a graph executes, and what an eager call executes once.
//
// An Op is created from (kind, attributes, input types) by the registry below; creating it checks everything that can
// be wrong (InvalidArgument / InvalidType naming the function and the argument) and computes the output types. After
// that nothing can fail: forward and backward neither check, allocate nor throw. They are SPMD (see parallel.h): every
// member of the team calls them with the same arguments, and they return when the work of all is finished.
//
// An Op has no state: everything it needs between forward and backward is an input, an output or a `saved` tensor.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

// The named constants of a node: {"stride": (2, 2), "border": "reflect", ...}.
class Attributes {
 public:
  using Value = std::variant<bool, index, double, std::string, Shape>;

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  bool has(const std::string& name) const { return values_.count(name) > 0; }
  // The attribute as a T; throws InvalidArgument when it is missing or of another type (an index is a legal double).
  template <class T>
  T get(const std::string& name) const;
  template <class T>
  T get(const std::string& name, T otherwise) const {
    return has(name) ? get<T>(name) : otherwise;
  }
  const std::map<std::string, Value>& values() const { return values_; }
  bool operator==(const Attributes& other) const { return values_ == other.values_; }

 private:
  std::map<std::string, Value> values_;
};

// Where a random op stands in its sequence (see random.h).
struct RandomState {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

// Called by an op that runs foreign code (a Python callback) when it failed; the first error is kept.
struct ErrorSink {
  std::exception_ptr error;
};

struct ForwardCall {
  const void* const* inputs;
  void* const* outputs;
  void* const* saved;
  std::byte* workspace;  // Op::workspace bytes, aligned to 64
  RandomState random;
  ErrorSink* errors;
  // Where the samples of the inputs that the op gathers lie: sample n is number rows[n] of what inputs[i] points to.
  // Null: number n.
  const index* rows = nullptr;
};

// Takes gradients where they are made, before they have gone through memory: a training step's optimiser.
class GradientTaker {
 public:
  virtual ~GradientTaker() = default;
  virtual bool takes(int input) const = 0;
  // Elements begin .. end - 1 of the gradient of an input, which may change these elements of the input itself.
  virtual void take(int input, index begin, index end, const void* gradient) const = 0;
};

// Overwrites every d_inputs[i] that is not null; the caller adds where a tensor has several consumers.
struct BackwardCall {
  const void* const* inputs;   // null where !backward_needs_input(i)
  const void* const* outputs;  // null where !backward_needs_output(j)
  void* const* saved;
  const void* const* d_outputs;  // never null for floating outputs (zeros when nothing flows back)
  void* const* d_inputs;         // null where no gradient is wanted
  std::byte* workspace;
  RandomState random;  // that of the forward call
  ErrorSink* errors;
  const index* rows = nullptr;  // that of the forward call
  // What takes the gradients of inputs that the op hands over (Op::hands_over), whose d_inputs are then not written.
  const GradientTaker* taker = nullptr;
};

class Op {
 public:
  virtual ~Op() = default;

  const std::vector<TensorType>& inputs() const { return inputs_; }
  const std::vector<TensorType>& outputs() const { return outputs_; }
  // Tensors that forward leaves for backward: argmax positions, normalised values, ...
  const std::vector<TensorType>& saved() const { return saved_; }

  // Whether forward needs them itself. If not, `saved` may be null in a call that no backward follows.
  virtual bool forward_needs_saved() const { return true; }

  virtual bool backward_needs_input(int) const { return true; }
  virtual bool backward_needs_output(int) const { return false; }
  // Whether a gradient with respect to this input exists (labels and indices have none).
  virtual bool differentiable(int input) const {
    return is_floating(inputs_[static_cast<std::size_t>(input)].dtype);
  }
  // Whether it can pick this input's samples out of a larger array (see ForwardCall::rows), which saves a copy of them.
  virtual bool gathers(int /*input*/) const { return false; }
  // Whether a member of a team reads no more of this input, and writes no more of its gradient, than about the share that
  // for_range gives it: it then finds them in its own cache.
  virtual bool shares_out(int /*input*/) const { return false; }
  // Whether it can hand over this input's gradient, each element once and when nobody reads that of the input any more.
  virtual bool hands_over(int /*input*/) const { return false; }
  // Bytes of scratch memory that forward / backward use with a team of `threads`.
  virtual std::size_t forward_workspace(int /*threads*/) const { return 0; }
  virtual std::size_t backward_workspace(int /*threads*/) const { return 0; }
  // output j may share the memory of input i (element-wise ops): forward reads x[k] before it writes y[k].
  virtual bool may_overwrite_input(int /*input*/, int /*output*/) const { return false; }
  // The gradient of this input is that of output 0, element by element: a program need not ask for a copy.
  virtual bool passes_gradient(int /*input*/) const { return false; }
  // Output j is input i with another shape: no copy is made and forward / backward are never called.
  virtual bool is_view() const { return false; }
  // Floating-point operations of a forward call (a multiply-add counts two).
  virtual double flops() const { return 0; }
  // The same of a backward call that computes the gradients of the inputs that are `wanted`. By default as much again
  // for either of the first two, which are the operands of whatever has a weight; the rest is bias and labels.
  virtual double backward_flops(const std::vector<bool>& wanted) const;
  // Rough work of a forward call for the decision whether threads are worth waking: multiply-adds or elements moved.
  virtual double work() const;

  virtual void forward(const Team& team, const ForwardCall& call) const = 0;
  virtual void backward(const Team& team, const BackwardCall& call) const = 0;

 protected:
  std::vector<TensorType> inputs_, outputs_, saved_;
};

using OpFactory =
    std::function<std::unique_ptr<Op>(const Attributes& attributes, const std::vector<TensorType>& inputs)>;

// The table of kinds. Every file of program/ops registers its kinds in its register_<area>_ops, which registry.cpp
// lists.
class OpRegistry {
 public:
  static OpRegistry& global();
  void add(const std::string& kind, OpFactory factory);
  // Throws InvalidArgument for an unknown kind, and what the factory throws.
  std::shared_ptr<const Op> create(const std::string& kind, const Attributes& attributes,
                                   const std::vector<TensorType>& inputs) const;
  std::vector<std::string> kinds() const;

 private:
  std::map<std::string, OpFactory> factories_;
};

}  // namespace tenfold
