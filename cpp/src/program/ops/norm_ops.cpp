// Normalisation.
#include <cmath>

#include "norm/batch_norm.h"
#include "program/ops/op_base.h"

namespace tenfold {
namespace {

// Inputs: x (N, C, *), then by the attributes has_running, has_weight and has_bias: running_mean,
// running_var, weight and bias, each (C,). Outputs: y, and in training with running statistics their new
// values.
template <class T>
class BatchNormOp final : public Op {
 public:
  BatchNormOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    const char* function = "batch_norm";
    const Shape& x = inputs[0].shape;
    require_same_dtype(function, {inputs[0]}, {"input"});
    if (x.size() < 2 || x.size() > 5) {
      reject(function, "input", "must have shape (N, C) or (N, C, ...) with at most 5 axes; received ",
             to_string(x));
    }
    norm_.samples = x[0];
    norm_.channels = x[1];
    for (std::size_t i = 2; i < x.size(); ++i) norm_.inner *= x[i];
    norm_.eps = attributes.get<double>("eps", 1e-5);
    norm_.momentum = attributes.get<double>("momentum", 0.1);
    if (!(norm_.eps >= 0 && std::isfinite(norm_.eps))) {
      reject(function, "eps", "must be finite and at least 0; received ", norm_.eps);
    }
    if (!(norm_.momentum >= 0 && norm_.momentum <= 1)) {
      reject(function, "momentum", "must be from 0 to 1; received ", norm_.momentum);
    }
    training_ = attributes.get<bool>("training");
    const auto take = [&](const char* flag, const char* name, int& position) {
      if (!attributes.get<bool>(flag, false)) return;
      position = next_++;
      const TensorType& type = inputs.at(static_cast<std::size_t>(position));
      require_same_dtype(function, {inputs[0], type}, {"input", name});
      if (type.shape != Shape{norm_.channels}) {
        reject(function, name, "must have shape (", norm_.channels, ",), one per channel; received ",
               to_string(type.shape));
      }
    };
    take("has_running", "running_mean", mean_);
    take("has_running", "running_var", variance_);
    take("has_weight", "weight", weight_);
    take("has_bias", "bias", bias_);
    if (!training_ && mean_ == 0) reject(function, "running_mean", "must be given when training is False");
    if (training_ && norm_.values() == 1) {
      reject(function, "input", "must have more than one value per channel in training; its shape is ",
             to_string(x));
    }
    inputs_ = inputs;
    outputs_ = {inputs[0]};
    const TensorType line{dtype_of<T>(), {norm_.channels}};
    if (training_ && mean_ > 0) outputs_.insert(outputs_.end(), {line, line});
    saved_ = {line, line};  // mean, 1 / sqrt(variance + eps)
  }

  bool backward_needs_input(int i) const override { return i == 0 || i == weight_; }
  bool differentiable(int i) const override { return i == 0 || i == weight_ || i == bias_; }
  std::size_t forward_workspace(int) const override { return norm_.workspace(); }
  std::size_t backward_workspace(int) const override { return norm_.workspace(); }
  double work() const override { return 4.0 * static_cast<double>(inputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    const T* x = input<T>(call, 0);
    T *y = output<T>(call, 0), *mean = tenfold::saved<T>(call, 0), *inverse = tenfold::saved<T>(call, 1);
    const T *weight = optional(call, weight_), *bias = optional(call, bias_);
    const T *running_mean = optional(call, mean_), *running_variance = optional(call, variance_);
    if (training_) {
      const bool running = running_mean != nullptr;
      norm_.forward_training(team, x, weight, bias, running_mean, running_variance, y, mean, inverse,
                             running ? output<T>(call, 1) : nullptr, running ? output<T>(call, 2) : nullptr,
                             call.workspace);
      return;
    }
    team.for_range(norm_.channels, 16, [&](index begin, index end) {
      for (index c = begin; c < end; ++c) mean[c] = running_mean[c];
    });
    norm_.forward_inference(team, x, weight, bias, mean, running_variance, y, inverse, call.workspace);
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    norm_.backward(team, training_, input<T>(call, 0), weight_ > 0 ? input<T>(call, weight_) : nullptr,
                   tenfold::saved<T>(call, 0), tenfold::saved<T>(call, 1), d_output<T>(call, 0),
                   d_input<T>(call, 0), weight_ > 0 ? d_input<T>(call, weight_) : nullptr,
                   bias_ > 0 ? d_input<T>(call, bias_) : nullptr, call.workspace);
  }

 private:
  static const T* optional(const ForwardCall& call, int i) { return i > 0 ? input<T>(call, i) : nullptr; }

  BatchNorm<T> norm_;
  bool training_ = false;
  int next_ = 1;
  int mean_ = 0, variance_ = 0, weight_ = 0, bias_ = 0;  // positions among the inputs, 0 where absent
};

// y = x + 1, of an int64 counter: how many batches a layer has seen.
class IncrementOp final : public Op {
 public:
  explicit IncrementOp(const std::vector<TensorType>& inputs) {
    if (inputs[0].dtype != DType::int64) reject_type("increment", "input", "must be int64");
    inputs_ = inputs;
    outputs_ = {inputs[0]};
  }
  bool backward_needs_input(int) const override { return false; }
  void forward(const Team& team, const ForwardCall& call) const override {
    team.for_each(inputs_[0].count(),
                  [&](index i) { output<index>(call, 0)[i] = input<index>(call, 0)[i] + 1; });
  }
  void backward(const Team&, const BackwardCall&) const override {}
};

}  // namespace

void register_norm_ops(OpRegistry& registry) {
  add_typed<BatchNormOp>(registry, "batch_norm");
  registry.add("increment",
               [](const Attributes&, const std::vector<TensorType>& inputs) -> std::unique_ptr<Op> {
                 return std::make_unique<IncrementOp>(inputs);
               });
}

}  // namespace tenfold
