// Reductions: sum, mean, max and min over axes.
#include "program/ops/op_base.h"
#include "tenfold/elementwise.h"

namespace tenfold {
namespace {

Reduction reduction_of(const std::string& kind) {
  if (kind == "sum") return Reduction::sum;
  if (kind == "mean") return Reduction::mean;
  return kind == "max" ? Reduction::max : Reduction::min;
}

// Attributes: axes (which to fold; absent = all), keepdims.
template <class T>
class ReduceOp final : public Op {
 public:
  ReduceOp(const std::string& kind, const Attributes& attributes, const std::vector<TensorType>& inputs)
      : kind_(reduction_of(kind)) {
    const char* function = kind.c_str();
    if (inputs.size() != 1) reject(function, "inputs", "must be 1; received ", inputs.size());
    require_same_dtype(function, inputs, {"input"});
    const Shape& shape = inputs[0].shape;
    const index rank = static_cast<index>(shape.size());
    std::vector<bool> folded(shape.size(), !attributes.has("axes"));
    if (attributes.has("axes")) {
      const Shape axes = attributes.get<Shape>("axes");
      for (index axis : axes) {
        if (axis < -rank || axis >= rank) {
          reject(function, "axis", "must be from ", -rank, " to ", rank - 1, " for an input of shape ",
                 to_string(shape), "; received ", axis);
        }
        const auto i = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
        if (folded[i]) reject(function, "axis", "must not name an axis twice; received ", to_string(axes));
        folded[i] = true;
      }
    }
    geometry_ = make_reduce(shape, folded);
    spread_ = make_broadcast(function, shape, geometry_.shape);
    if (reads_values() && geometry_.terms() == 0 && geometry_.outputs() > 0) {
      reject(function, "input", "must have an element to choose from along the axes; received shape ",
             to_string(shape));
    }
    Shape result;
    const bool keepdims = attributes.get<bool>("keepdims", false);
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (!folded[i]) result.push_back(shape[i]);
      if (folded[i] && keepdims) result.push_back(1);
    }
    inputs_ = inputs;
    outputs_ = {{inputs[0].dtype, result}};
  }

  bool backward_needs_input(int) const override { return reads_values(); }
  bool backward_needs_output(int) const override { return reads_values(); }
  std::size_t forward_workspace(int) const override {
    return static_cast<std::size_t>(geometry_.workspace_count()) * sizeof(T);
  }
  double flops() const override { return static_cast<double>(inputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    reduce<T>(team, geometry_, kind_, input<T>(call, 0), reinterpret_cast<T*>(call.workspace),
              output<T>(call, 0));
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    T* dx = d_input<T>(call, 0);
    if (dx == nullptr) return;
    if (reads_values()) {
      extreme_backward<T>(team, geometry_, input<T>(call, 0), output<T>(call, 0), d_output<T>(call, 0), dx);
    } else {
      const T divisor = kind_ == Reduction::mean ? static_cast<T>(geometry_.terms()) : T(1);
      spread_backward<T>(team, spread_, divisor, d_output<T>(call, 0), dx);
    }
  }

 private:
  bool reads_values() const { return kind_ == Reduction::max || kind_ == Reduction::min; }

  Reduction kind_;
  Reduce geometry_;
  Broadcast spread_;  // of the gradient, over the input
};

}  // namespace

void register_reduce_ops(OpRegistry& registry) {
  for (const char* kind : {"sum", "mean", "max", "min"}) add_kind<ReduceOp>(registry, kind);
}

}  // namespace tenfold
