// Element-wise operations: y[i] = f(x[i]).
#include "kernels/elementwise.h"

#include "program/ops/op_base.h"

namespace tenfold {
namespace {

// relu(x) = max(x, 0); its derivative at 0 is the attribute at_zero (1 in the lecture, 0 in PyTorch).
template <class T>
class ReluOp final : public Op {
 public:
  ReluOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : at_zero_(static_cast<T>(attributes.get<double>("at_zero"))) {
    require_same_dtype("relu", inputs, {"input"});
    inputs_ = inputs;
    outputs_ = {inputs[0]};
  }

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto& k = kernels<ElementwiseKernels, T>();
    const T* x = input<T>(call, 0);
    T* y = output<T>(call, 0);
    team.for_range(outputs_[0].count(), 1024, [&](index begin, index end) { k.relu(end - begin, x + begin, y + begin); });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const auto& k = kernels<ElementwiseKernels, T>();
    const T* x = input<T>(call, 0);
    const T* dy = d_output<T>(call, 0);
    T* dx = d_input<T>(call, 0);
    team.for_range(outputs_[0].count(), 1024, [&](index begin, index end) {
      k.relu_backward(end - begin, x + begin, dy + begin, at_zero_, dx + begin);
    });
  }

 private:
  T at_zero_;
};

}  // namespace

void register_elementwise_ops(OpRegistry& registry) { add_typed<ReluOp>(registry, "relu"); }

}  // namespace tenfold
