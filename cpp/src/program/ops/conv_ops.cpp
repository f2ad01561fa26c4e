// Convolution, transposed convolution, unfold and fold.
#include "kernels/conv.h"
#include "program/ops/op_base.h"
#include "tenfold/conv.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

std::string spatial_letters(int rank) {
  return rank == 1 ? "L" : rank == 2 ? "H, W" : "D, H, W";
}

// The attributes that every windowed kind of this file has.
struct WindowArguments {
  explicit WindowArguments(const Attributes& a)
      : function(a.get<std::string>("function")),
        stride(a.get<Shape>("stride")),
        dilation(a.get<Shape>("dilation")),
        pads(a.get<Shape>("pads")),
        border(border_from(a.get<std::string>("border"), function.c_str())),
        border_value(a.get<double>("border_value", 0.0)) {
    rank = static_cast<int>(stride.size());
    if (rank < 1 || rank > 3)
      reject(name(), "stride", "must have 1 to 3 entries; received ", to_string(stride));
    if (dilation.size() != stride.size()) {
      reject(name(), "dilation", "must have one entry per axis; received ", to_string(dilation));
    }
    if (pads.size() != 2 * stride.size()) {
      reject(name(), "padding", "must have two entries per axis; received ", to_string(pads));
    }
  }
  const char* name() const { return function.c_str(); }

  std::string function;
  Shape stride, dilation, pads;
  Border border;
  double border_value;
  int rank = 2;
};

// (N, C, *) or (C, *): the number of leading axes, 2 or 1.
std::size_t leading_axes(const WindowArguments& a, const Shape& shape, const char* argument) {
  const auto rank = static_cast<std::size_t>(a.rank);
  if (shape.size() == rank + 2 || shape.size() == rank + 1) return shape.size() - rank;
  reject(a.name(), argument, "must have shape (N, C, ", spatial_letters(a.rank), ") or (C, ",
         spatial_letters(a.rank), "); received shape ", to_string(shape));
}

Shape tail(const Shape& shape, int rank) {
  return Shape(shape.end() - rank, shape.end());
}

void check_inputs(const WindowArguments& a, const std::vector<TensorType>& inputs) {
  if (inputs.size() < 2 || inputs.size() > 3) {
    reject(a.name(), "inputs", "must be input, weight and perhaps bias; received ", inputs.size());
  }
  require_same_dtype(a.name(), inputs, {"input", "weight", "bias"});
}

void check_weight(const WindowArguments& a, const Shape& weight) {
  if (static_cast<int>(weight.size()) != a.rank + 2) {
    reject(a.name(), "weight", "must have ", a.rank + 2, " axes; received shape ", to_string(weight));
  }
}

void check_bias(const WindowArguments& a, const std::vector<TensorType>& inputs, index channels) {
  if (inputs.size() < 3) return;
  if (inputs[2].shape != Shape{channels}) {
    reject(a.name(), "bias", "must have shape (", channels, ",), one per output channel; received shape ",
           to_string(inputs[2].shape));
  }
}

index checked_groups(const WindowArguments& a, const Attributes& attributes) {
  const index groups = attributes.get<index>("groups", index{1});
  if (groups < 1) reject(a.name(), "groups", "must be positive; received ", groups);
  return groups;
}

ConvGeometry conv_geometry(const WindowArguments& a, const Attributes& attributes,
                           const std::vector<TensorType>& inputs) {
  check_inputs(a, inputs);
  const Shape &x = inputs[0].shape, &w = inputs[1].shape;
  const std::size_t leading = leading_axes(a, x, "input");
  check_weight(a, w);
  ConvGeometry g;
  g.function = a.name();
  g.groups = checked_groups(a, attributes);
  g.images = leading == 2 ? x[0] : 1;
  g.channels = x[leading - 1];
  g.filters = w[0];
  if (g.channels < 1 || g.channels % g.groups != 0) {
    reject(a.name(), "groups", "must divide the input's channels; received groups ", g.groups, " for input ",
           to_string(x));
  }
  if (g.filters < 1 || g.filters % g.groups != 0) {
    reject(a.name(), "groups", "must divide the weight's output channels; received groups ", g.groups,
           " for weight ", to_string(w));
  }
  if (w[1] != g.channels / g.groups) {
    reject(a.name(), "weight", "must have ", g.channels / g.groups,
           " input channels (input channels / groups) in axis 1; ", "received weight ", to_string(w),
           " for input ", to_string(x), " and groups ", g.groups);
  }
  check_bias(a, inputs, g.filters);
  g.window =
      make_window({a.name(), tail(x, a.rank), tail(w, a.rank), a.stride, a.dilation, a.pads, a.border});
  return g;
}

ConvOptions conv_options(const WindowArguments& a, const Attributes& attributes) {
  ConvOptions options;
  options.algorithm =
      conv_algorithm_from(attributes.get<std::string>("algorithm", std::string("auto")), a.name());
  options.border_value = a.border_value;
  const std::string activation = attributes.get<std::string>("activation", std::string());
  if (!activation.empty() && activation != "relu") {
    reject(a.name(), "activation", "must be 'relu'; received '", activation, "'");
  }
  options.relu = activation == "relu";
  options.keep_sign = attributes.get<bool>("keep_sign", false);
  return options;
}

// y = act(A(w) x + bias)
template <class T>
class ConvOp final : public Op {
 public:
  ConvOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : arguments_(attributes),
        options_(conv_options(arguments_, attributes)),
        conv_(conv_geometry(arguments_, attributes, inputs), options_),
        at_zero_(static_cast<T>(attributes.get<double>("at_zero", 1.0))) {
    inputs_ = inputs;
    Shape shape = conv_.geometry().output_shape();
    if (inputs[0].shape.size() < shape.size()) shape.erase(shape.begin());
    outputs_ = {{inputs[0].dtype, shape}};
  }

  double flops() const override { return 2 * conv_.geometry().multiply_adds(); }
  bool backward_needs_input(int i) const override { return i < 2; }
  bool backward_needs_output(int) const override { return options_.relu; }
  std::size_t forward_workspace(int threads) const override { return conv_.apply_workspace(threads); }
  std::size_t backward_workspace(int threads) const override {
    return masked_bytes() +
           std::max(conv_.adjoint_workspace(threads), conv_.weight_gradient_workspace(threads));
  }

  void forward(const Team& team, const ForwardCall& call) const override {
    conv_.apply(team, input<T>(call, 0), input<T>(call, 1), inputs_.size() > 2 ? input<T>(call, 2) : nullptr,
                output<T>(call, 0), call.workspace);
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const T* dy = d_output<T>(call, 0);
    if (options_.relu) {
      const auto& k = kernels<ConvKernels, T>();
      const T *y = output<T>(call, 0), *from = dy;
      T* masked = reinterpret_cast<T*>(call.workspace);
      team.for_range(outputs_[0].count(), 1024, [&](index begin, index end) {
        k.mask(end - begin, y + begin, from + begin, at_zero_, masked + begin);
      });
      dy = masked;
    }
    std::byte* workspace = call.workspace + masked_bytes();
    if (T* dx = d_input<T>(call, 0)) conv_.adjoint(team, dy, input<T>(call, 1), nullptr, dx, workspace);
    T* const db = inputs_.size() < 3 ? nullptr : d_input<T>(call, 2);
    if (T* dw = d_input<T>(call, 1)) {
      conv_.weight_gradient(team, input<T>(call, 0), dy, dw, db, workspace);
    } else if (db) {
      const ConvGeometry& g = conv_.geometry();
      bias_gradient(team, g.images, g.filters, g.window.output_count(), dy, db);
    }
  }

 private:
  std::size_t masked_bytes() const { return options_.relu ? align_up(outputs_[0].bytes()) : 0; }

  WindowArguments arguments_;
  ConvOptions options_;
  Convolution<T> conv_;
  T at_zero_;
};

// The geometry of the convolution whose adjoint this is: the transposed convolution's output is the window's
// input.
ConvGeometry transposed_geometry(const WindowArguments& a, const Attributes& attributes,
                                 const std::vector<TensorType>& inputs) {
  check_inputs(a, inputs);
  const Shape &y = inputs[0].shape, &w = inputs[1].shape;
  const std::size_t leading = leading_axes(a, y, "input");
  check_weight(a, w);
  const Shape extra = attributes.get<Shape>("output_padding", Shape(static_cast<std::size_t>(a.rank), 0));
  if (static_cast<int>(extra.size()) != a.rank) {
    reject(a.name(), "output_padding", "must have one entry per axis; received ", to_string(extra));
  }
  ConvGeometry g;
  g.function = a.name();
  g.groups = checked_groups(a, attributes);
  g.images = leading == 2 ? y[0] : 1;
  g.filters = y[leading - 1];
  if (g.filters < 1 || g.filters % g.groups != 0) {
    reject(a.name(), "groups", "must divide the input's channels; received groups ", g.groups, " for input ",
           to_string(y));
  }
  if (w[0] != g.filters) {
    reject(a.name(), "weight", "must have the input's ", g.filters, " channels in axis 0; received weight ",
           to_string(w), " for input ", to_string(y));
  }
  if (w[1] < 1)
    reject(a.name(), "weight", "must have at least one output channel in axis 1; received ", to_string(w));
  g.channels = checked_count({w[1], g.groups}, a.name(), "weight");
  check_bias(a, inputs, g.channels);

  const Shape in = tail(y, a.rank), kernel = tail(w, a.rank);
  // Legal extents first (sizes are computed below), with the same checks and texts as a convolution's.
  WindowSpec spec{a.name(), {}, kernel, a.stride, a.dilation, a.pads, a.border};
  for (std::size_t i = 0; i < in.size(); ++i) {
    spec.size.push_back(std::max<index>(1, a.dilation[i] > 0 && kernel[i] > 0
                                               ? (kernel[i] - 1) * std::min(a.dilation[i], index{1} << 31) + 1
                                               : 1));
  }
  WindowSpec unpadded = spec;
  std::fill(unpadded.pads.begin(), unpadded.pads.end(), 0);
  make_window(unpadded);
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (a.pads[2 * i] < 0 || a.pads[2 * i + 1] < 0 || a.pads[2 * i] > index{1} << 31 ||
        a.pads[2 * i + 1] > index{1} << 31) {
      reject(a.name(), "padding", "must be non-negative along every axis; received ", to_string(a.pads));
    }
    if (extra[i] < 0 || extra[i] >= std::max(a.stride[i], a.dilation[i])) {
      reject(a.name(), "output_padding",
             "must be non-negative and smaller than stride or dilation along every axis; received ",
             to_string(extra), " with stride ", to_string(a.stride), " and dilation ", to_string(a.dilation));
    }
    if (in[i] < 1)
      reject(a.name(), "input", "must not be empty along a spatial axis; received shape ", to_string(y));
    checked_count({in[i], a.stride[i]}, a.name(), "output");
    spec.size[i] = (in[i] - 1) * a.stride[i] - a.pads[2 * i] - a.pads[2 * i + 1] +
                   a.dilation[i] * (kernel[i] - 1) + extra[i] + 1;
    if (spec.size[i] < 1) {
      reject(a.name(), "padding",
             "must leave an output: (size - 1) * stride - padding + dilation * (kernel_size - 1) + ",
             "output_padding + 1 >= 1; received padding ", to_string(a.pads), " for input ", to_string(y));
    }
  }
  g.window = make_window(spec);
  for (int i = 0; i < a.rank; ++i) g.window[3 - a.rank + i].output = in[static_cast<std::size_t>(i)];
  return g;
}

// x = A(w)^T y + bias
template <class T>
class ConvTransposeOp final : public Op {
 public:
  ConvTransposeOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : arguments_(attributes),
        conv_(transposed_geometry(arguments_, attributes, inputs), linear_options(arguments_, attributes)) {
    inputs_ = inputs;
    Shape shape = conv_.geometry().input_shape();
    if (inputs[0].shape.size() < shape.size()) shape.erase(shape.begin());
    outputs_ = {{inputs[0].dtype, shape}};
  }

  double flops() const override { return 2 * conv_.geometry().multiply_adds(); }
  bool backward_needs_input(int i) const override { return i < 2; }
  std::size_t forward_workspace(int threads) const override { return conv_.adjoint_workspace(threads); }
  std::size_t backward_workspace(int threads) const override {
    return std::max(conv_.apply_workspace(threads), conv_.weight_gradient_workspace(threads));
  }

  void forward(const Team& team, const ForwardCall& call) const override {
    conv_.adjoint(team, input<T>(call, 0), input<T>(call, 1),
                  inputs_.size() > 2 ? input<T>(call, 2) : nullptr, output<T>(call, 0), call.workspace);
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const T* dx = d_output<T>(call, 0);
    if (T* dy = d_input<T>(call, 0)) conv_.apply(team, dx, input<T>(call, 1), nullptr, dy, call.workspace);
    if (T* dw = d_input<T>(call, 1))
      conv_.weight_gradient(team, dx, input<T>(call, 0), dw, nullptr, call.workspace);
    if (inputs_.size() < 3) return;
    const ConvGeometry& g = conv_.geometry();
    if (T* db = d_input<T>(call, 2))
      bias_gradient(team, g.images, g.channels, g.window.input_count(), dx, db);
  }

 private:
  static ConvOptions linear_options(const WindowArguments& a, const Attributes& attributes) {
    ConvOptions options;  // the border's constant is no part of the linear map
    options.algorithm =
        conv_algorithm_from(attributes.get<std::string>("algorithm", std::string("auto")), a.name());
    return options;
  }

  WindowArguments arguments_;
  Convolution<T> conv_;
};

// (N, C, *) -> (N, C * K, L): every column is a window.
template <class T>
class UnfoldOp final : public Op {
 public:
  UnfoldOp(const Attributes& attributes, const std::vector<TensorType>& inputs) : arguments_(attributes) {
    const char* function = arguments_.name();
    require_same_dtype(function, inputs, {"input"});
    const Shape& x = inputs[0].shape;
    const std::size_t leading = leading_axes(arguments_, x, "input");
    const index images = leading == 2 ? x[0] : 1, channels = x[leading - 1];
    const Window window =
        make_window({function, tail(x, arguments_.rank), attributes.get<Shape>("kernel"), arguments_.stride,
                     arguments_.dilation, arguments_.pads, arguments_.border});
    Shape shape = {
        images,
        checked_count({channels, window[0].kernel, window[1].kernel, window[2].kernel}, function, "output"),
        checked_count({window[0].output, window[1].output, window[2].output}, function, "output")};
    checked_count(shape, function, "output");
    if (leading == 1) shape.erase(shape.begin());
    inputs_ = inputs;
    outputs_ = {{inputs[0].dtype, shape}};
    unfolding_ = std::make_unique<Unfolding<T>>(window, images, channels, arguments_.border_value);
  }

  bool backward_needs_input(int) const override { return false; }
  void forward(const Team& team, const ForwardCall& call) const override {
    unfolding_->unfold(team, input<T>(call, 0), output<T>(call, 0));
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    if (T* dx = d_input<T>(call, 0)) unfolding_->fold(team, d_output<T>(call, 0), dx);
  }

 private:
  WindowArguments arguments_;
  std::unique_ptr<Unfolding<T>> unfolding_;
};

// (N, C * K, L) -> (N, C, *): unfold's adjoint.
template <class T>
class FoldOp final : public Op {
 public:
  FoldOp(const Attributes& attributes, const std::vector<TensorType>& inputs) : arguments_(attributes) {
    const char* function = arguments_.name();
    require_same_dtype(function, inputs, {"input"});
    const Shape &y = inputs[0].shape, size = attributes.get<Shape>("output_size");
    if (y.size() != 3 && y.size() != 2) {
      reject(function, "input", "must have shape (N, C * kernel, L) or (C * kernel, L); received shape ",
             to_string(y));
    }
    if (static_cast<int>(size.size()) != arguments_.rank) {
      reject(function, "output_size", "must have one entry per axis; received ", to_string(size));
    }
    const Window window = make_window({function, size, attributes.get<Shape>("kernel"), arguments_.stride,
                                       arguments_.dilation, arguments_.pads, arguments_.border});
    const index images = y.size() == 3 ? y[0] : 1, rows = y[y.size() - 2],
                taps = checked_count({window[0].kernel, window[1].kernel, window[2].kernel}, function,
                                     "kernel_size");
    const index columns =
        checked_count({window[0].output, window[1].output, window[2].output}, function, "input");
    if (rows % taps != 0) {
      reject(function, "input", "must have a multiple of ", taps,
             " (the kernel's taps) rows; received shape ", to_string(y));
    }
    if (y.back() != columns) {
      reject(function, "input", "must have ", columns, " columns, one per window of an output of size ",
             to_string(size), "; received shape ", to_string(y));
    }
    Shape shape = {images, rows / taps};
    shape.insert(shape.end(), size.begin(), size.end());
    checked_count(shape, function, "output");
    if (y.size() == 2) shape.erase(shape.begin());
    inputs_ = inputs;
    outputs_ = {{inputs[0].dtype, shape}};
    unfolding_ = std::make_unique<Unfolding<T>>(window, images, rows / taps);
  }

  bool backward_needs_input(int) const override { return false; }
  void forward(const Team& team, const ForwardCall& call) const override {
    unfolding_->fold(team, input<T>(call, 0), output<T>(call, 0));
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    if (T* dy = d_input<T>(call, 0)) unfolding_->unfold(team, d_output<T>(call, 0), dy);
  }

 private:
  WindowArguments arguments_;
  std::unique_ptr<Unfolding<T>> unfolding_;
};

}  // namespace

void register_conv_ops(OpRegistry& registry) {
  add_typed<ConvOp>(registry, "conv");
  add_typed<ConvTransposeOp>(registry, "conv_transpose");
  add_typed<UnfoldOp>(registry, "unfold");
  add_typed<FoldOp>(registry, "fold");
}

}  // namespace tenfold
