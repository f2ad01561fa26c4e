// Losses, and the metrics that are computed like them.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/loss.h"
#include "loss/classes.h"
#include "loss/reduction.h"
#include "program/ops/op_base.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

// Checks logits (N, C, *) or (C,) against a target of labels, (N, *) or (), or of shares, the logits' own
// shape.
ClassGeometry class_geometry(const char* function, const Attributes& attributes,
                             const std::vector<TensorType>& inputs, bool shares_allowed) {
  require_same_dtype(function, {inputs[0]}, {"input"});
  const Shape& x = inputs[0].shape;
  const TensorType& target = inputs[1];
  if (x.empty()) reject(function, "input", "must have shape (C,) or (N, C, ...); received ()");
  const std::size_t axis = x.size() == 1 ? 0 : 1;
  ClassGeometry g;
  g.classes = x[axis];
  if (axis == 1) g.samples = x[0];
  for (std::size_t i = 2; i < x.size(); ++i) g.inner *= x[i];
  g.ignore_index = attributes.get<index>("ignore_index", -100);
  if (g.classes < 1) reject(function, "input", "must have at least one class; its shape is ", to_string(x));
  if (is_floating(target.dtype)) {
    if (!shares_allowed)
      reject_type(function, "target", "must hold int64 labels; received ", name_of(target.dtype));
    if (target.dtype != inputs[0].dtype) {
      reject_type(function, "target", "must hold int64 labels or have the dtype of input, ",
                  name_of(inputs[0].dtype), "; received ", name_of(target.dtype));
    }
    if (target.shape != x) {
      reject(function, "target", "must have the shape of input, ", to_string(x),
             ", when it holds a share for every class; received ", to_string(target.shape));
    }
    return g;
  }
  Shape expected = x;
  expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(axis));
  if (target.shape != expected) {
    reject(function, "target", "must have shape ", to_string(expected),
           ", one label per prediction of an input of shape ", to_string(x), "; received ",
           to_string(target.shape));
  }
  return g;
}

Shape labels_shape(const Shape& x) {
  Shape shape = x;
  shape.erase(shape.begin() + (x.size() == 1 ? 0 : 1));
  return shape;
}

void check_class_weight(const char* function, const std::vector<TensorType>& inputs, const ClassGeometry& g) {
  if (inputs.size() < 3) return;
  require_same_dtype(function, {inputs[0], inputs[2]}, {"input", "weight"});
  if (inputs[2].shape != Shape{g.classes}) {
    reject(function, "weight", "must have shape (", g.classes, ",), one per class; received ",
           to_string(inputs[2].shape));
  }
}

// Inputs: logits, labels or shares, [class weights].
template <class T>
class CrossEntropyOp final : public Op {
 public:
  CrossEntropyOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    const char* function = "cross_entropy";
    loss_.geometry = class_geometry(function, attributes, inputs, true);
    check_class_weight(function, inputs, loss_.geometry);
    loss_.reduction = reduction_of(function, attributes.get<std::string>("reduction", "mean"));
    loss_.smoothing = attributes.get<double>("label_smoothing", 0.0);
    if (!(loss_.smoothing >= 0 && loss_.smoothing <= 1)) {
      reject(function, "label_smoothing", "must be from 0 to 1; received ", loss_.smoothing);
    }
    inputs_ = inputs;
    outputs_ = {
        {dtype_of<T>(), loss_.reduction == Reduction::none ? labels_shape(inputs[0].shape) : Shape{}}};
    saved_ = {inputs[0], {DType::float64, {1}}};  // probabilities, what a mean divides by
  }

  bool backward_needs_input(int i) const override { return i > 0; }
  bool differentiable(int i) const override { return i == 0; }
  std::size_t forward_workspace(int) const override { return loss_.forward_workspace(); }
  double work() const override { return 16.0 * static_cast<double>(inputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    const bool shares = is_floating(inputs_[1].dtype);
    loss_.forward(team, input<T>(call, 0), shares ? nullptr : input<index>(call, 1),
                  shares ? input<T>(call, 1) : nullptr, inputs_.size() > 2 ? input<T>(call, 2) : nullptr,
                  output<T>(call, 0), tenfold::saved<T>(call, 0), tenfold::saved<double>(call, 1),
                  call.workspace, call.errors);
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    if (d_input<T>(call, 0) == nullptr) return;
    const bool shares = is_floating(inputs_[1].dtype);
    loss_.backward(team, shares ? nullptr : input<index>(call, 1), shares ? input<T>(call, 1) : nullptr,
                   inputs_.size() > 2 ? input<T>(call, 2) : nullptr, tenfold::saved<T>(call, 0),
                   tenfold::saved<double>(call, 1), d_output<T>(call, 0), d_input<T>(call, 0));
  }

 private:
  CrossEntropy<T> loss_;
};

// Inputs: log-probabilities, labels, [class weights].
template <class T>
class NllLossOp final : public Op {
 public:
  NllLossOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    loss_.geometry = class_geometry("nll_loss", attributes, inputs, false);
    check_class_weight("nll_loss", inputs, loss_.geometry);
    loss_.reduction = reduction_of("nll_loss", attributes.get<std::string>("reduction", "mean"));
    inputs_ = inputs;
    outputs_ = {
        {dtype_of<T>(), loss_.reduction == Reduction::none ? labels_shape(inputs[0].shape) : Shape{}}};
    saved_ = {{DType::float64, {1}}};
  }

  bool backward_needs_input(int i) const override { return i > 0; }
  bool differentiable(int i) const override { return i == 0; }
  std::size_t forward_workspace(int) const override { return loss_.forward_workspace(); }

  void forward(const Team& team, const ForwardCall& call) const override {
    loss_.forward(team, input<T>(call, 0), input<index>(call, 1),
                  inputs_.size() > 2 ? input<T>(call, 2) : nullptr, output<T>(call, 0),
                  tenfold::saved<double>(call, 0), call.workspace, call.errors);
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    if (d_input<T>(call, 0) == nullptr) return;
    loss_.backward(team, input<index>(call, 1), inputs_.size() > 2 ? input<T>(call, 2) : nullptr,
                   tenfold::saved<double>(call, 0), d_output<T>(call, 0), d_input<T>(call, 0));
  }

 private:
  NegativeLogLikelihood<T> loss_;
};

// Inputs: logits, labels.
template <class T>
class AccuracyOp final : public Op {
 public:
  AccuracyOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    metric_.geometry = class_geometry("accuracy", attributes, inputs, false);
    metric_.k = attributes.get<index>("k", 1);
    if (metric_.k < 1 || metric_.k > metric_.geometry.classes) {
      reject("accuracy", "k", "must be from 1 to the number of classes, ", metric_.geometry.classes,
             "; received ", metric_.k);
    }
    inputs_ = inputs;
    outputs_ = {{dtype_of<T>(), {}}};
  }

  bool backward_needs_input(int) const override { return false; }
  bool differentiable(int) const override { return false; }
  std::size_t forward_workspace(int) const override { return metric_.forward_workspace(); }
  void forward(const Team& team, const ForwardCall& call) const override {
    metric_.forward(team, input<T>(call, 0), input<index>(call, 1), output<T>(call, 0), call.workspace,
                    call.errors);
  }
  void backward(const Team&, const BackwardCall&) const override {}

 private:
  Accuracy<T> metric_;
};

struct NamedLoss {
  const char* name;
  PointwiseLoss loss;
  const char* parameter;  // its attribute, or null
};
constexpr std::array<NamedLoss, kPointwiseLosses> kLosses = {{
    {"mse_loss", PointwiseLoss::mse, nullptr},
    {"l1_loss", PointwiseLoss::l1, nullptr},
    {"smooth_l1_loss", PointwiseLoss::smooth_l1, "beta"},
    {"huber_loss", PointwiseLoss::huber, "delta"},
    {"binary_cross_entropy", PointwiseLoss::bce, nullptr},
    {"binary_cross_entropy_with_logits", PointwiseLoss::bce_with_logits, nullptr},
}};

// Inputs: prediction, target, of one shape.
template <class T>
class PointwiseLossOp final : public Op {
 public:
  PointwiseLossOp(const NamedLoss& named, const Attributes& attributes, const std::vector<TensorType>& inputs)
      : loss_(static_cast<std::size_t>(named.loss)) {
    require_same_dtype(named.name, inputs, {"input", "target"});
    if (inputs[1].shape != inputs[0].shape) {
      reject(named.name, "target", "must have the shape of input, ", to_string(inputs[0].shape),
             "; received ", to_string(inputs[1].shape));
    }
    reduction_ = reduction_of(named.name, attributes.get<std::string>("reduction", "mean"));
    if (named.parameter != nullptr) {
      parameter_ = static_cast<T>(attributes.get<double>(named.parameter, 1.0));
      const bool zero_allowed = named.loss == PointwiseLoss::smooth_l1;  // it is l1 then
      if (!(zero_allowed ? parameter_ >= 0 : parameter_ > 0)) {
        reject(named.name, named.parameter, "must be ", zero_allowed ? "at least 0" : "positive",
               "; received ", parameter_);
      }
    }
    inputs_ = inputs;
    outputs_ = {{dtype_of<T>(), reduction_ == Reduction::none ? inputs[0].shape : Shape{}}};
  }

  std::size_t forward_workspace(int) const override {
    return static_cast<std::size_t>(chunks()) * sizeof(double);
  }
  double work() const override { return 4.0 * static_cast<double>(inputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto& k = kernels<PointwiseLossKernels, T>();
    const T *x = input<T>(call, 0), *t = input<T>(call, 1);
    T* y = output<T>(call, 0);
    const index count = inputs_[0].count();
    if (reduction_ == Reduction::none) {
      team.for_range(count, kChunk, [&](index begin, index end) {
        k.map[loss_](end - begin, x + begin, t + begin, parameter_, y + begin);
      });
      return;
    }
    double* partials = reinterpret_cast<double*>(call.workspace);
    team.for_each(chunks(), [&](index chunk) {
      const index begin = chunk * kChunk;
      partials[chunk] = k.sum[loss_](std::min(kChunk, count - begin), x + begin, t + begin, parameter_);
    });
    team.once([&] {
      double sum = 0;
      for (index chunk = 0; chunk < chunks(); ++chunk) sum += partials[chunk];
      y[0] = static_cast<T>(reduction_ == Reduction::mean ? sum / static_cast<double>(count) : sum);
    });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const auto& k = kernels<PointwiseLossKernels, T>();
    const T *x = input<T>(call, 0), *t = input<T>(call, 1), *dy = d_output<T>(call, 0);
    const index count = inputs_[0].count();
    T scale = 1;
    if (reduction_ == Reduction::sum) scale = dy[0];
    if (reduction_ == Reduction::mean) scale = dy[0] / static_cast<T>(count);
    const T* each = reduction_ == Reduction::none ? dy : nullptr;
    team.for_range(count, kChunk, [&](index begin, index end) {
      const T* d = each == nullptr ? nullptr : each + begin;
      if (T* dx = d_input<T>(call, 0)) {
        k.dx[loss_](end - begin, x + begin, t + begin, parameter_, scale, d, dx + begin);
      }
      if (T* dt = d_input<T>(call, 1)) {
        k.dt[loss_](end - begin, x + begin, t + begin, parameter_, scale, d, dt + begin);
      }
    });
  }

 private:
  // Terms that are added in the element type before their sum joins the others in double precision.
  static constexpr index kChunk = 1024;
  index chunks() const { return (inputs_[0].count() + kChunk - 1) / kChunk; }

  std::size_t loss_;
  Reduction reduction_;
  T parameter_ = 1;
};

// Input: labels of any shape; a row of the output is 1 at the label and 0 elsewhere.
template <class T>
class OneHotOp final : public Op {
 public:
  OneHotOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    if (inputs[0].dtype != DType::int64) {
      reject_type("one_hot", "labels", "must be int64; received ", name_of(inputs[0].dtype));
    }
    classes_ = attributes.get<index>("num_classes");
    if (classes_ < 1) reject("one_hot", "num_classes", "must be at least 1; received ", classes_);
    inputs_ = inputs;
    Shape shape = inputs[0].shape;
    shape.push_back(classes_);
    checked_count(shape, "one_hot", "output");
    outputs_ = {{dtype_of<T>(), std::move(shape)}};
  }

  bool backward_needs_input(int) const override { return false; }

  void forward(const Team& team, const ForwardCall& call) const override {
    const index* labels = input<index>(call, 0);
    T* y = output<T>(call, 0);
    const index count = inputs_[0].count();
    team.for_range(count, 16, [&](index begin, index end) {
      std::fill(y + begin * classes_, y + end * classes_, T(0));
      for (index i = begin; i < end; ++i) {
        if (labels[i] >= 0 && labels[i] < classes_) y[i * classes_ + labels[i]] = 1;
      }
    });
    team.once([&] {
      for (index i = 0; i < count; ++i) {
        if (labels[i] >= 0 && labels[i] < classes_) continue;
        try {
          reject("one_hot", "labels", "must be from 0 to ", classes_ - 1, "; received ", labels[i],
                 " at position ", i);
        } catch (...) {
          if (!call.errors->error) call.errors->error = std::current_exception();
        }
        break;
      }
    });
  }
  void backward(const Team&, const BackwardCall&) const override {}

 private:
  index classes_ = 0;
};

}  // namespace

void register_loss_ops(OpRegistry& registry) {
  add_typed<CrossEntropyOp>(registry, "cross_entropy");
  add_typed<NllLossOp>(registry, "nll_loss");
  add_typed<AccuracyOp>(registry, "accuracy");
  registry.add(
      "one_hot",
      [](const Attributes& attributes, const std::vector<TensorType>& inputs) -> std::unique_ptr<Op> {
        const std::string dtype = attributes.get<std::string>("dtype", "int64");
        if (dtype == "float32") return std::make_unique<OneHotOp<float>>(attributes, inputs);
        if (dtype == "float64") return std::make_unique<OneHotOp<double>>(attributes, inputs);
        return std::make_unique<OneHotOp<index>>(attributes, inputs);
      });
  for (const NamedLoss& named : kLosses) {
    registry.add(
        named.name,
        [named](const Attributes& attributes, const std::vector<TensorType>& inputs) -> std::unique_ptr<Op> {
          if (inputs[0].dtype == DType::float64)
            return std::make_unique<PointwiseLossOp<double>>(named, attributes, inputs);
          return std::make_unique<PointwiseLossOp<float>>(named, attributes, inputs);
        });
  }
}

}  // namespace tenfold
