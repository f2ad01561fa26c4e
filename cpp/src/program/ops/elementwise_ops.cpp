// Element-wise operations of one argument, y[i] = f(x[i]), and of two with broadcasting, y[i] = f(a[i],
// b[i]).
#include "kernels/elementwise.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/past.h"
#include "program/ops/op_base.h"
#include "tenfold/elementwise.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kGrain = 1024;

// Whether an output leaves past the caches; not where it lies in the memory of an input.
template <class T>
bool passes(index count, const T* to, std::initializer_list<const T*> inputs) {
  return passes_caches(static_cast<std::size_t>(count) * sizeof(T)) &&
         std::find(inputs.begin(), inputs.end(), to) == inputs.end();
}

void require_inputs(const char* function, const std::vector<TensorType>& inputs, std::size_t count) {
  if (inputs.size() != count) reject(function, "inputs", "must be ", count, "; received ", inputs.size());
}

// relu(x) = max(x, 0); its derivative at 0 is the attribute at_zero (1 in the lecture, 0 in PyTorch). With keep_sign,
// negative inputs give -0, so that backward needs the output only.
template <class T>
class ReluOp final : public Op {
 public:
  ReluOp(const Attributes& attributes, const std::vector<TensorType>& inputs)
      : at_zero_(static_cast<T>(attributes.get<double>("at_zero"))),
        keep_sign_(attributes.get<bool>("keep_sign", false)) {
    require_inputs("relu", inputs, 1);
    require_same_dtype("relu", inputs, {"input"});
    inputs_ = inputs;
    outputs_ = {inputs[0]};
  }

  // y tells x < 0 from x > 0, but not from x == 0.
  bool backward_needs_input(int) const override { return at_zero_ != 0 && !keep_sign_; }
  bool backward_needs_output(int) const override { return !backward_needs_input(0); }
  bool may_overwrite_input(int, int) const override { return true; }
  double flops() const override { return static_cast<double>(outputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto& k = kernels<ElementwiseKernels, T>();
    const T* x = input<T>(call, 0);
    T* y = output<T>(call, 0);
    const bool past = passes(outputs_[0].count(), y, {x});
    const auto run = keep_sign_ ? k.relu_keep_sign : k.relu;
    team.for_range(outputs_[0].count(), kGrain,
                   [&](index begin, index end) { run(end - begin, x + begin, past, y + begin); });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const auto& k = kernels<ElementwiseKernels, T>();
    const T* s = backward_needs_input(0) ? input<T>(call, 0) : output<T>(call, 0);
    const T* dy = d_output<T>(call, 0);
    T* dx = d_input<T>(call, 0);
    if (dx == nullptr) return;
    const bool past = passes(outputs_[0].count(), dx, {s, dy});
    const auto run = keep_sign_ ? k.relu_keep_sign_backward : k.relu_backward;
    team.for_range(outputs_[0].count(), kGrain, [&](index begin, index end) {
      run(end - begin, s + begin, dy + begin, at_zero_, past, dx + begin);
    });
  }

 private:
  T at_zero_;
  bool keep_sign_;
};

// -- one argument
// ------------------------------------------------------------------------------------------------

// What the C library computes, one element at a time.
template <class T, T (*Value)(T x, T p), T (*Slope)(T x, T p)>
const UnaryKernel<T>& library_kernel() {
  static constexpr UnaryKernel<T> kernel = {
      [](std::ptrdiff_t n, const T* x, T p, T, bool, T* y) {
        for (index i = 0; i < n; ++i) y[i] = Value(x[i], p);
      },
      [](std::ptrdiff_t n, const T* s, const T* dy, T p, T, bool, T* dx) {
        for (index i = 0; i < n; ++i) dx[i] = dy[i] * Slope(s[i], p);
      }};
  return kernel;
}
template <class T>
T sin_of(T x, T) {
  return std::sin(x);
}
template <class T>
T cos_of(T x, T) {
  return std::cos(x);
}
template <class T>
T minus_sin_of(T x, T) {
  return -std::sin(x);
}
template <class T>
T power_of(T x, T p) {
  return std::pow(x, p);
}
template <class T>
T power_slope(T x, T p) {
  return p == 0 ? T(0) : p * std::pow(x, p - 1);
}

enum class Reads { nothing, input, output };  // what backward reads besides d_output

template <class T>
struct UnarySpec {
  const UnaryKernel<T>& (*kernel)();
  Reads reads;
  double cost;  // of an element, in units of a copied element
  T p = 0, q = 0;
};

#define TENFOLD_UNARY(name) []() -> const UnaryKernel<T>& { return kernels<ElementwiseKernels, T>().name; }

template <class T>
UnarySpec<T> unary_spec(const std::string& kind, const Attributes& attributes) {
  const auto number = [&](const char* name) { return static_cast<T>(attributes.get<double>(name)); };
  if (kind == "leaky_relu") {
    const T slope = number("negative_slope");
    return {TENFOLD_UNARY(leaky_relu), slope >= 0 ? Reads::output : Reads::input, 1, slope};
  }
  if (kind == "elu") {
    const T alpha = number("alpha");
    if (alpha >= 0) return {TENFOLD_UNARY(elu_output), Reads::output, 4, alpha};
    return {TENFOLD_UNARY(elu), Reads::input, 4, alpha};
  }
  if (kind == "gelu") {
    const std::string approximate = attributes.get<std::string>("approximate");
    if (approximate == "none") return {TENFOLD_UNARY(gelu), Reads::input, 8};
    if (approximate == "tanh") return {TENFOLD_UNARY(gelu_tanh), Reads::input, 6};
    reject("gelu", "approximate", "must be 'none' or 'tanh'; received '", approximate, "'");
  }
  if (kind == "softplus") {
    const T beta = number("beta");
    if (!(beta > 0)) reject("softplus", "beta", "must be positive; received ", beta);
    return {TENFOLD_UNARY(softplus), Reads::input, 6, beta, number("threshold")};
  }
  if (kind == "clip") return {TENFOLD_UNARY(clip), Reads::input, 1, number("min"), number("max")};
  if (kind == "power") {
    const T exponent = number("exponent");
    if (exponent == 2) return {TENFOLD_UNARY(square), Reads::input, 1};
    if (exponent == 3) return {TENFOLD_UNARY(cube), Reads::input, 1};
    if (exponent == T(0.5)) return {TENFOLD_UNARY(sqrt), Reads::output, 2};
    if (exponent == -1) return {TENFOLD_UNARY(reciprocal), Reads::output, 2};
    return {library_kernel<T, power_of<T>, power_slope<T>>, Reads::input, 30, exponent};
  }
  if (kind == "silu") return {TENFOLD_UNARY(silu), Reads::input, 5};
  if (kind == "sigmoid") return {TENFOLD_UNARY(sigmoid), Reads::output, 4};
  if (kind == "tanh") return {TENFOLD_UNARY(tanh), Reads::output, 4};
  if (kind == "exp") return {TENFOLD_UNARY(exp), Reads::output, 3};
  if (kind == "log") return {TENFOLD_UNARY(log), Reads::input, 4};
  if (kind == "sqrt") return {TENFOLD_UNARY(sqrt), Reads::output, 2};
  if (kind == "abs") return {TENFOLD_UNARY(abs), Reads::input, 1};
  if (kind == "neg") return {TENFOLD_UNARY(neg), Reads::nothing, 1};
  if (kind == "square") return {TENFOLD_UNARY(square), Reads::input, 1};
  if (kind == "reciprocal") return {TENFOLD_UNARY(reciprocal), Reads::output, 2};
  if (kind == "sin") return {library_kernel<T, sin_of<T>, cos_of<T>>, Reads::input, 20};
  return {library_kernel<T, cos_of<T>, minus_sin_of<T>>, Reads::input, 20};  // cos
}

#undef TENFOLD_UNARY

template <class T>
class UnaryOp final : public Op {
 public:
  UnaryOp(const std::string& kind, const Attributes& attributes, const std::vector<TensorType>& inputs)
      : spec_(unary_spec<T>(kind, attributes)) {
    require_inputs(kind.c_str(), inputs, 1);
    require_same_dtype(kind.c_str(), inputs, {"input"});
    inputs_ = inputs;
    outputs_ = {inputs[0]};
  }

  bool backward_needs_input(int) const override { return spec_.reads == Reads::input; }
  bool backward_needs_output(int) const override { return spec_.reads == Reads::output; }
  bool may_overwrite_input(int, int) const override { return true; }
  double flops() const override { return static_cast<double>(outputs_[0].count()); }
  double work() const override { return spec_.cost * static_cast<double>(outputs_[0].count()); }

  void forward(const Team& team, const ForwardCall& call) const override {
    const UnaryKernel<T>& kernel = spec_.kernel();
    const T* x = input<T>(call, 0);
    T* y = output<T>(call, 0);
    const bool past = passes(outputs_[0].count(), y, {x});
    team.for_range(outputs_[0].count(), kGrain, [&](index begin, index end) {
      kernel.forward(end - begin, x + begin, spec_.p, spec_.q, past, y + begin);
    });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const UnaryKernel<T>& kernel = spec_.kernel();
    const T* dy = d_output<T>(call, 0);
    const T* s = spec_.reads == Reads::input    ? input<T>(call, 0)
                 : spec_.reads == Reads::output ? output<T>(call, 0)
                                                : dy;
    T* dx = d_input<T>(call, 0);
    if (dx == nullptr) return;
    const bool past = passes(outputs_[0].count(), dx, {s, dy});
    team.for_range(outputs_[0].count(), kGrain, [&](index begin, index end) {
      kernel.backward(end - begin, s + begin, dy + begin, spec_.p, spec_.q, past, dx + begin);
    });
  }

 private:
  UnarySpec<T> spec_;
};

// -- two arguments
// -----------------------------------------------------------------------------------------------

// a^b by the C library; the gradient with respect to b is 0 where a is 0, as long as b >= 0.
template <class T>
const BinaryKernel<T>& pow_kernel() {
  static constexpr BinaryKernel<T> kernel = {
      [](std::ptrdiff_t n, const T* a, std::ptrdiff_t step_a, const T* b, std::ptrdiff_t step_b, bool, T* y) {
        for (index i = 0; i < n; ++i) y[i] = std::pow(a[i * step_a], b[i * step_b]);
      },
      [](std::ptrdiff_t n, const T* a, std::ptrdiff_t step_a, const T* b, std::ptrdiff_t step_b, const T*,
         const T* dy, bool, T* da) {
        for (index i = 0; i < n; ++i) da[i] = dy[i] * power_slope(a[i * step_a], b[i * step_b]);
      },
      [](std::ptrdiff_t n, const T* a, std::ptrdiff_t step_a, const T* b, std::ptrdiff_t step_b, const T* y,
         const T* dy, bool, T* db) {
        for (index i = 0; i < n; ++i) {
          const T base = a[i * step_a];
          db[i] = base == 0 && b[i * step_b] >= 0 ? T(0) : dy[i] * y[i] * std::log(base);
        }
      }};
  return kernel;
}

template <class T>
struct BinarySpec {
  const BinaryKernel<T>& (*kernel)();
  bool reads_a, reads_b, reads_y;  // in backward
  double cost;
};

#define TENFOLD_BINARY(name) []() -> const BinaryKernel<T>& { return kernels<ElementwiseKernels, T>().name; }

template <class T>
BinarySpec<T> binary_spec(const std::string& kind) {
  if (kind == "add") return {TENFOLD_BINARY(add), false, false, false, 1};
  if (kind == "sub") return {TENFOLD_BINARY(sub), false, false, false, 1};
  if (kind == "mul") return {TENFOLD_BINARY(mul), true, true, false, 1};
  if (kind == "div") return {TENFOLD_BINARY(div), false, true, true, 1.5};
  if (kind == "maximum") return {TENFOLD_BINARY(maximum), true, true, false, 1};
  if (kind == "minimum") return {TENFOLD_BINARY(minimum), true, true, false, 1};
  return {pow_kernel<T>, true, true, true, 30};  // pow
}

#undef TENFOLD_BINARY

template <class T>
class BinaryOp final : public Op {
 public:
  BinaryOp(const std::string& kind, const Attributes&, const std::vector<TensorType>& inputs)
      : spec_(binary_spec<T>(kind)) {
    require_inputs(kind.c_str(), inputs, 2);
    require_same_dtype(kind.c_str(), inputs, {"input", "other"});
    geometry_ = make_broadcast(kind.c_str(), inputs[0].shape, inputs[1].shape);
    inputs_ = inputs;
    outputs_ = {{inputs[0].dtype, geometry_.shape}};
    for (int i = 0; i < 2; ++i) {
      folds_[i] = make_unbroadcast(inputs[static_cast<std::size_t>(i)].shape, geometry_.shape);
      broadcast_[i] = i == 0 ? geometry_.repeats_a : geometry_.repeats_b;
    }
  }

  bool backward_needs_input(int i) const override { return i == 0 ? spec_.reads_a : spec_.reads_b; }
  bool backward_needs_output(int) const override { return spec_.reads_y; }
  bool may_overwrite_input(int i, int) const override { return !broadcast_[i]; }
  bool passes_gradient(int i) const override { return trivial(i) && !broadcast_[i]; }
  double flops() const override { return static_cast<double>(outputs_[0].count()); }
  double work() const override { return spec_.cost * Op::work(); }
  std::size_t backward_workspace(int threads) const override {
    index elements = 0;
    for (int i = 0; i < 2; ++i) {
      if (!broadcast_[i]) continue;
      const Reduce& fold = folds_[i];
      elements =
          std::max(elements, trivial(i) ? fold.workspace_count() : fold.produced_workspace_count(threads));
    }
    return static_cast<std::size_t>(elements) * sizeof(T);
  }

  void forward(const Team& team, const ForwardCall& call) const override {
    const auto run = spec_.kernel().forward;
    const T* a = input<T>(call, 0);
    const T* b = input<T>(call, 1);
    T* y = output<T>(call, 0);
    const bool past = passes(outputs_[0].count(), y, {a, b});
    for_parts(team, geometry_, a, b, [&](const BroadcastPart<T>& part) {
      run(part.n, part.a, part.step_a, part.b, part.step_b, past, y + part.offset);
    });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    const int summed = broadcast_[0] ? 0 : 1, copied = 1 - summed;
    T* const sum = d_input<T>(call, summed);
    T* const whole = d_input<T>(call, copied);
    if (sum != nullptr && whole != nullptr && broadcast_[summed] && trivial(summed) &&
        passes_gradient(copied)) {
      T* const workspace = reinterpret_cast<T*>(call.workspace);
      return reduce_copied<T>(team, folds_[summed], Reduction::sum, d_output<T>(call, 0), workspace, sum,
                              whole);
    }
    for (int i = 0; i < 2; ++i) gradient(team, call, i);
  }

 private:
  // The gradient is the result's, before it is summed.
  bool trivial(int i) const {
    const BinaryKernel<T>& kernel = spec_.kernel();
    return (i == 0 ? kernel.backward_a : kernel.backward_b) == nullptr;
  }

  static void copy(const Team& team, const T* from, index count, T* to) {
    const bool past = passes(count, to, {from});
    team.for_range(count, kGrain, [&](index begin, index end) {
      if (past) {
        write_past(to + begin, from + begin, (end - begin) * static_cast<index>(sizeof(T)));
      } else {
        copy_elements(from + begin, end - begin, to + begin);
      }
    });
  }

  void gradient(const Team& team, const BackwardCall& call, int i) const {
    T* d = d_input<T>(call, i);
    if (d == nullptr) return;
    const T* dy = d_output<T>(call, 0);
    T* workspace = reinterpret_cast<T*>(call.workspace);
    if (trivial(i)) {
      if (broadcast_[i]) {
        reduce<T>(team, folds_[i], Reduction::sum, dy, workspace, d);
      } else {
        copy(team, dy, outputs_[0].count(), d);
      }
      return;
    }
    const BinaryKernel<T>& kernel = spec_.kernel();
    const auto run = i == 0 ? kernel.backward_a : kernel.backward_b;
    const T* a = spec_.reads_a ? input<T>(call, 0) : nullptr;
    const T* b = spec_.reads_b ? input<T>(call, 1) : nullptr;
    const T* y = spec_.reads_y ? output<T>(call, 0) : nullptr;
    const bool past = !broadcast_[i] && passes(outputs_[0].count(), d, {a, b, y, dy});
    const auto put = [&](const BroadcastPart<T>& part, T* target) {
      run(part.n, part.a, part.step_a, part.b, part.step_b, y ? y + part.offset : nullptr, dy + part.offset,
          past, target);
    };
    if (!broadcast_[i]) {
      for_parts(team, geometry_, a, b, [&](const BroadcastPart<T>& part) { put(part, d + part.offset); });
      return;
    }
    // The gradient before its sum over the broadcast elements, a piece at a time. (A reference in the
    // function object: its captures fit without an allocation.)
    const auto produce = [&](index offset, index n, T* out) {
      parts_between(geometry_, offset, n, a, b,
                    [&](const BroadcastPart<T>& part) { put(part, out + (part.offset - offset)); });
    };
    reduce_produced<T>(team, folds_[i], Reduction::sum, std::cref(produce), workspace, d);
  }

  BinarySpec<T> spec_;
  Broadcast geometry_;
  Reduce folds_[2];
  bool broadcast_[2];
};

}  // namespace

void register_elementwise_ops(OpRegistry& registry) {
  add_typed<ReluOp>(registry, "relu");
  for (const char* kind : {"leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus", "exp", "log",
                           "sqrt", "abs", "neg", "square", "power", "clip", "reciprocal", "sin", "cos"}) {
    add_kind<UnaryOp>(registry, kind);
  }
  for (const char* kind : {"add", "sub", "mul", "div", "maximum", "minimum", "pow"}) {
    add_kind<BinaryOp>(registry, kind);
  }
}

}  // namespace tenfold
