// Softmax and its logarithm along one axis.
#include "kernels/softmax.h"

#include "kernels/past.h"
#include "loss/softmax_rows.h"
#include "program/ops/axis.h"
#include "program/ops/op_base.h"

namespace tenfold {
namespace {

// What the two have in common: the axis, and how the work is cut.
class AlongAxis : public Op {
 protected:
  AlongAxis(const char* function, const Attributes& attributes, const std::vector<TensorType>& inputs) {
    require_same_dtype(function, inputs, {"input"});
    axes_ = AxisView::of(function, inputs[0].shape, attributes.get<index>("axis", -1));
    inputs_ = inputs;
    outputs_ = {inputs[0]};
  }
  bool backward_needs_input(int) const override { return false; }
  bool backward_needs_output(int) const override { return true; }
  double work() const override { return 16.0 * static_cast<double>(inputs_[0].count()); }
  // Whether y leaves past the caches: input and output together are three quarters of the largest one.
  bool passes(const void* x, const void* y) const {
    return x != y && passes_caches(inputs_[0].bytes() * 8 / 3);
  }

  AxisView axes_;
};

// y = exp(x - max) / sum exp(x - max)
template <class T>
class SoftmaxOp final : public AlongAxis {
 public:
  SoftmaxOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : AlongAxis("softmax", attributes, inputs) {}

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto& k = kernels<SoftmaxKernels, T>();
    const T* x = input<T>(call, 0);
    T* y = output<T>(call, 0);
    const bool past = passes(x, y);
    axes_.share(
        team, softmax_grain(axes_.n),
        [&](index row, index rows) {
          softmax_rows<T>(rows, axes_.n, x + row * axes_.n, y + row * axes_.n, nullptr, nullptr, past);
        },
        [&](index at, index width) {
          k.softmax_columns(width, axes_.n, axes_.inner, x + at, y + at, nullptr, nullptr);
        });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const auto& k = kernels<SoftmaxKernels, T>();
    const T* y = output<T>(call, 0);
    const T* dy = d_output<T>(call, 0);
    T* dx = d_input<T>(call, 0);
    if (dx == nullptr) return;
    axes_.share(
        team, softmax_grain(axes_.n),
        [&](index row, index rows) {
          const index at = row * axes_.n;
          k.softmax_rows_backward(rows, axes_.n, y + at, dy + at, dx + at);
        },
        [&](index at, index width) {
          k.softmax_columns_backward(width, axes_.n, axes_.inner, y + at, dy + at, dx + at);
        });
  }
};

// y = x - max - log sum exp(x - max)
template <class T>
class LogSoftmaxOp final : public AlongAxis {
 public:
  LogSoftmaxOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : AlongAxis("log_softmax", attributes, inputs) {}

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto& k = kernels<SoftmaxKernels, T>();
    const T* x = input<T>(call, 0);
    T* y = output<T>(call, 0);
    const bool past = passes(x, y);
    axes_.share(
        team, softmax_grain(axes_.n),
        [&](index row, index rows) {
          log_softmax_rows(rows, axes_.n, x + row * axes_.n, y + row * axes_.n, past);
        },
        [&](index at, index width) { k.log_softmax_columns(width, axes_.n, axes_.inner, x + at, y + at); });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const auto& k = kernels<SoftmaxKernels, T>();
    const T* y = output<T>(call, 0);
    const T* dy = d_output<T>(call, 0);
    T* dx = d_input<T>(call, 0);
    if (dx == nullptr) return;
    axes_.share(
        team, softmax_grain(axes_.n),
        [&](index row, index rows) {
          const index at = row * axes_.n;
          log_softmax_rows_backward(rows, axes_.n, y + at, dy + at, dx + at);
        },
        [&](index at, index width) {
          k.log_softmax_columns_backward(width, axes_.n, axes_.inner, y + at, dy + at, dx + at);
        });
  }
};

}  // namespace

void register_softmax_ops(OpRegistry& registry) {
  add_typed<SoftmaxOp>(registry, "softmax");
  add_typed<LogSoftmaxOp>(registry, "log_softmax");
}

}  // namespace tenfold
