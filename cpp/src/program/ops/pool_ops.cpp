// Pooling: max_pool, avg_pool, adaptive_avg_pool, adaptive_max_pool.
#include "tenfold/pool.h"

#include "program/ops/op_base.h"

namespace tenfold {
namespace {

std::string name_in(const Attributes& attributes, const char* otherwise) {
  const auto entry = attributes.values().find("function");
  const std::string* name =
      entry == attributes.values().end() ? nullptr : std::get_if<std::string>(&entry->second);
  return name != nullptr ? *name : std::string(otherwise);
}

// The spatial extents of (N, C, *) or (C, *) for `rank` spatial axes.
Shape spatial(const char* function, const TensorType& type, std::size_t rank) {
  const Shape& shape = type.shape;
  if (shape.size() != rank + 2 && shape.size() != rank + 1) {
    const char* const forms[] = {"(N, C, L) or (C, L)", "(N, C, H, W) or (C, H, W)",
                                 "(N, C, D, H, W) or (C, D, H, W)"};
    reject(function, "input", "must have the shape ", forms[rank - 1], "; received ", to_string(shape));
  }
  checked_count(shape, function, "input");
  return Shape(shape.end() - static_cast<std::ptrdiff_t>(rank), shape.end());
}

index planes_of(const TensorType& type, std::size_t rank) {
  index planes = 1;
  for (std::size_t a = 0; a + rank < type.shape.size(); ++a) planes *= type.shape[a];
  return planes;
}

Shape pooled_shape(const char* function, const TensorType& type, const Shape& outputs) {
  Shape shape(type.shape.begin(), type.shape.end() - static_cast<std::ptrdiff_t>(outputs.size()));
  shape.insert(shape.end(), outputs.begin(), outputs.end());
  checked_count(shape, function, "output");
  return shape;
}

void check_entries(const char* function, const char* argument, const Shape& values, std::size_t count) {
  if (values.size() != count) {
    reject(function, argument, "must have ", count, " entries; received ", to_string(values));
  }
}

// 1 to 3 spatial axes, by the number of kernel extents.
std::size_t rank_of(const char* function, const char* argument, const Shape& values) {
  if (values.empty() || values.size() > 3) {
    reject(function, argument, "must have 1 to 3 entries; received ", to_string(values));
  }
  return values.size();
}

Window pool_window(const char* function, const Attributes& attributes, const TensorType& input) {
  const Shape kernel = attributes.get<Shape>("kernel");
  const std::size_t rank = rank_of(function, "kernel_size", kernel);
  WindowSpec spec{function,
                  spatial(function, input, rank),
                  kernel,
                  attributes.get<Shape>("stride", kernel),
                  attributes.get<Shape>("dilation", Shape(rank, 1)),
                  attributes.get<Shape>("pads", Shape(2 * rank, 0)),
                  Border::constant,
                  attributes.get<bool>("ceil_mode", false)};
  check_entries(function, "stride", spec.stride, rank);
  check_entries(function, "dilation", spec.dilation, rank);
  check_entries(function, "padding", spec.pads, 2 * rank);
  return make_window(spec);
}

Shape output_sizes(const Window& window) {
  Shape sizes;
  for (int i = 3 - window.rank; i < 3; ++i) sizes.push_back(window[i].output);
  return sizes;
}

double taps_of(const Window& window) {
  double taps = 1;
  for (const Axis& axis : window.axes) taps *= static_cast<double>(axis.kernel);
  return taps;
}

// Which element was the maximum is kept for backward: as its position in the second output where the user wants that,
// else as a tap number of one byte in a saved tensor (declared int64, the only integer type of a tensor, with an eighth
// of the elements), or as its position where a window has too many taps.
template <class T>
class MaxPoolOp final : public Op {
 public:
  MaxPoolOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : MaxPoolOp(attributes, inputs, name_in(attributes, "max_pool")) {}

  bool forward_needs_saved() const override { return false; }
  bool backward_needs_input(int) const override { return false; }
  bool backward_needs_output(int j) const override { return j == 1; }
  double flops() const override { return taps_of(pool_.window()) * static_cast<double>(outputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    const T* x = input<T>(call, 0);
    T* y = output<T>(call, 0);
    if (outputs_.size() == 2) {
      pool_.forward(team, x, y, tenfold::output<index>(call, 1));
    } else if (pool_.taps_fit()) {
      pool_.forward(team, x, y, call.saved == nullptr ? nullptr : tenfold::saved<std::uint8_t>(call, 0));
    } else {
      pool_.forward(team, x, y, call.saved == nullptr ? nullptr : tenfold::saved<index>(call, 0));
    }
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    T* dx = d_input<T>(call, 0);
    if (dx == nullptr) return;
    const T* dy = d_output<T>(call, 0);
    if (outputs_.size() == 2) {
      pool_.backward(team, dy, tenfold::output<index>(call, 1), dx);
    } else if (pool_.taps_fit()) {
      pool_.backward(team, dy, tenfold::saved<std::uint8_t>(call, 0), dx);
    } else {
      pool_.backward(team, dy, tenfold::saved<index>(call, 0), dx);
    }
  }

 private:
  MaxPoolOp(const Attributes& attributes, const std::vector<TensorType>& inputs, const std::string& function)
      : pool_(checked_window(attributes, inputs, function.c_str()),
              planes_of(inputs[0], attributes.get<Shape>("kernel").size()), function.c_str()) {
    inputs_ = inputs;
    const Shape shape = pooled_shape(function.c_str(), inputs[0], output_sizes(pool_.window()));
    outputs_ = {{inputs[0].dtype, shape}};
    if (attributes.get<bool>("return_indices", false)) {
      outputs_.push_back({DType::int64, shape});
    } else {
      const index bytes = pool_.taps_fit() ? 1 : 8;
      saved_ = {{DType::int64, {(outputs_[0].count() * bytes + 7) / 8}}};
    }
  }

  static Window checked_window(const Attributes& attributes, const std::vector<TensorType>& inputs,
                               const char* function) {
    require_same_dtype(function, inputs, {"input"});
    return pool_window(function, attributes, inputs[0]);
  }

  MaxPool pool_;
};

template <class T>
class AveragePoolOp final : public Op {
 public:
  AveragePoolOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    const std::string function = name_in(attributes, "avg_pool");
    require_same_dtype(function.c_str(), inputs, {"input"});
    window_ = pool_window(function.c_str(), attributes, inputs[0]);
    inputs_ = inputs;
    outputs_ = {{inputs[0].dtype, pooled_shape(function.c_str(), inputs[0], output_sizes(window_))}};
    AveragePoolOptions options;
    options.count_include_pad = attributes.get<bool>("count_include_pad", true);
    if (attributes.has("divisor_override")) {
      options.divisor_override = attributes.get<index>("divisor_override");
      if (options.divisor_override == 0) {
        reject(function.c_str(), "divisor_override", "must not be 0; received 0");
      }
    }
    const index planes = planes_of(inputs[0], static_cast<std::size_t>(window_.rank));
    pool_ = std::make_unique<AveragePool<T>>(window_, planes, options);
  }

  bool backward_needs_input(int) const override { return false; }
  double flops() const override { return taps_of(window_) * static_cast<double>(outputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    pool_->forward(team, input<T>(call, 0), output<T>(call, 0));
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    if (call.d_inputs[0] == nullptr) return;
    pool_->backward(team, d_output<T>(call, 0), d_input<T>(call, 0));
  }

 private:
  Window window_;
  std::unique_ptr<AveragePool<T>> pool_;
};

AdaptiveGeometry adaptive_geometry(const char* function, const Attributes& attributes,
                                   const TensorType& input) {
  const Shape outputs = attributes.get<Shape>("output_size");
  const std::size_t rank = rank_of(function, "output_size", outputs);
  const Shape size = spatial(function, input, rank);
  AdaptiveGeometry g;
  g.planes = planes_of(input, rank);
  for (std::size_t i = 0; i < rank; ++i) {
    if (outputs[i] < 1) {
      reject(function, "output_size", "must be positive along every axis; received ", to_string(outputs));
    }
    if (size[i] < 1) {
      reject(function, "input", "must not be empty along a spatial axis; received ", to_string(input.shape));
    }
    g.input[3 - rank + i] = size[i];
    g.output[3 - rank + i] = outputs[i];
  }
  return g;
}

template <class T>
class AdaptiveAveragePoolOp final : public Op {
 public:
  AdaptiveAveragePoolOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    const std::string function = name_in(attributes, "adaptive_avg_pool");
    require_same_dtype(function.c_str(), inputs, {"input"});
    pool_ = std::make_unique<AveragePool<T>>(adaptive_geometry(function.c_str(), attributes, inputs[0]));
    inputs_ = inputs;
    outputs_ = {
        {inputs[0].dtype, pooled_shape(function.c_str(), inputs[0], attributes.get<Shape>("output_size"))}};
  }

  bool backward_needs_input(int) const override { return false; }
  double flops() const override { return static_cast<double>(inputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    pool_->forward(team, input<T>(call, 0), output<T>(call, 0));
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    if (call.d_inputs[0] == nullptr) return;
    pool_->backward(team, d_output<T>(call, 0), d_input<T>(call, 0));
  }

 private:
  std::unique_ptr<AveragePool<T>> pool_;
};

template <class T>
class AdaptiveMaxPoolOp final : public Op {
 public:
  AdaptiveMaxPoolOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    const std::string function = name_in(attributes, "adaptive_max_pool");
    require_same_dtype(function.c_str(), inputs, {"input"});
    geometry_ = adaptive_geometry(function.c_str(), attributes, inputs[0]);
    inputs_ = inputs;
    const Shape shape = pooled_shape(function.c_str(), inputs[0], attributes.get<Shape>("output_size"));
    outputs_ = {{inputs[0].dtype, shape}};
    if (attributes.get<bool>("return_indices", false)) {
      outputs_.push_back({DType::int64, shape});
    } else {
      saved_ = {{DType::int64, shape}};
    }
  }

  bool forward_needs_saved() const override { return false; }
  bool backward_needs_input(int) const override { return false; }
  bool backward_needs_output(int j) const override { return j == 1; }
  double flops() const override { return static_cast<double>(inputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    index* positions = nullptr;
    if (outputs_.size() == 2) {
      positions = tenfold::output<index>(call, 1);
    } else if (call.saved != nullptr) {
      positions = tenfold::saved<index>(call, 0);
    }
    adaptive_max_pool(team, geometry_, input<T>(call, 0), output<T>(call, 0), positions);
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    if (call.d_inputs[0] == nullptr) return;
    const index* positions =
        outputs_.size() == 2 ? tenfold::output<index>(call, 1) : tenfold::saved<index>(call, 0);
    adaptive_max_pool_backward(team, geometry_, d_output<T>(call, 0), positions, d_input<T>(call, 0));
  }

 private:
  AdaptiveGeometry geometry_;
};

}  // namespace

void register_pool_ops(OpRegistry& registry) {
  add_typed<MaxPoolOp>(registry, "max_pool");
  add_typed<AveragePoolOp>(registry, "avg_pool");
  add_typed<AdaptiveAveragePoolOp>(registry, "adaptive_avg_pool");
  add_typed<AdaptiveMaxPoolOp>(registry, "adaptive_max_pool");
}

}  // namespace tenfold
