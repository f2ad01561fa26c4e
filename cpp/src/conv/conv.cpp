#include "tenfold/conv.h"

#include <mutex>
#include <type_traits>
#include <variant>

#include "conv/depthwise.h"
#include "conv/engine.h"
#include "conv/lane_choice.h"
#include "conv/lane_gradient.h"
#include "conv/lane_product.h"
#include "conv/phases.h"
#include "conv/pointwise.h"
#include "conv/sampled.h"
#include "conv/side_by_side.h"
#include "conv/unfolded_product.h"
#include "conv/weight_gradient.h"
#include "conv/whole_window.h"
#include "conv/winograd.h"
#include "conv/winograd_gradient.h"
#include "conv/winograd_gradient_choice.h"
#include "tenfold/error.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

Shape tensor_shape(index images, index channels, const Window& window, index Axis::* extent) {
  Shape shape = {images, channels};
  for (int i = 3 - window.rank; i < 3; ++i) shape.push_back(window[i].*extent);
  return shape;
}

void check(const ConvGeometry& g) {
  if (g.groups < 1) reject(g.function, "groups", "must be positive; received ", g.groups);
  if (g.channels < 1 || g.channels % g.groups != 0) {
    reject(g.function, "groups", "must divide the input channels; received groups ", g.groups, " and ",
           g.channels, " channels");
  }
  if (g.filters < 1 || g.filters % g.groups != 0) {
    reject(g.function, "groups", "must divide the output channels; received groups ", g.groups, " and ",
           g.filters, " channels");
  }
  checked_count(g.input_shape(), g.function, "input");
  checked_count(g.output_shape(), g.function, "output");
  checked_count(g.weight_shape(), g.function, "weight");
  checked_count({g.images, g.channels, g.window[0].padded(), g.window[1].padded(), g.window[2].padded()},
                g.function, "padded input");
}

ShiftProblem common_problem(const ConvGeometry& g, const ConvOptions& options) {
  ShiftProblem p;
  p.kernel = {g.window[0].kernel, g.window[1].kernel, g.window[2].kernel};
  p.images = g.images;
  p.groups = g.groups;
  p.weight_group = g.filters / g.groups * (g.channels / g.groups) * g.window.kernel_count();
  p.algorithm = options.algorithm;
  return p;
}

std::array<ShiftAxis, 3> forward_axes(const Window& w) {
  return {shift_forward(w[0], w.border), shift_forward(w[1], w.border), shift_forward(w[2], w.border)};
}

ShiftProblem apply_problem(const ConvGeometry& g, const ConvOptions& options) {
  ShiftProblem p = common_problem(g, options);
  p.axes = forward_axes(g.window);
  p.source_channels = g.channels / g.groups;
  p.target_channels = g.filters / g.groups;
  p.weight_channel = g.window.kernel_count();
  p.weight_row = p.source_channels * p.weight_channel;
  p.fill = options.border_value;
  if (options.relu) p.activation = options.keep_sign ? ConvActivation::relu_keep_sign : ConvActivation::relu;
  return p;
}

// Borders other than a constant send the gradient of the padding back into the image.
bool folds(const Window& w) {
  return w.border != Border::constant && w.padded();
}

ShiftProblem adjoint_problem(const ConvGeometry& g, const ConvOptions& options) {
  ShiftProblem p = common_problem(g, options);
  const bool padded = folds(g.window);
  p.axes = {shift_adjoint(g.window[0], padded), shift_adjoint(g.window[1], padded),
            shift_adjoint(g.window[2], padded)};
  p.source_channels = g.filters / g.groups;
  p.target_channels = g.channels / g.groups;
  p.weight_row = g.window.kernel_count();
  p.weight_channel = p.target_channels * p.weight_row;
  return p;
}

// One of several forms of a product.
template <class... Forms>
using OneOf = std::variant<std::unique_ptr<const Forms>...>;

// Behind apply and adjoint.
template <class T>
using Product = OneOf<ShiftEngine<T>, Winograd<T>, Pointwise<T>, WholeWindow<T>, UnfoldedProduct<T>,
                      SampledProduct<T>, SideBySide<T>, LaneDirect<T>, LaneRowWinograd<T>, LaneGather<T>,
                      LaneScatter<T>, DepthwiseThree<T>, DepthwiseProduct<T>, PhasedProduct<T>>;

// Behind weight_gradient.
template <class T>
using WeightProduct =
    OneOf<WeightGradient<T>, WinogradGradient<T>, WholeWindowGradient<T>, SampledGradient<T>, LaneGradient<T>,
          DepthwiseWeightGradient<T>, PhasedGradient<T>>;

// Whether a form of a WeightProduct makes the gradient of the bias too.
template <class Form, class = void>
constexpr bool takes_bias = false;
template <class Form>
constexpr bool takes_bias<Form, std::enable_if_t<Form::kTakesBias>> = true;

template <class Any>
std::size_t workspace_of(const Any& product, int threads) {
  return std::visit([&](const auto& form) { return form->workspace(threads); }, product);
}

template <class Any, class... Arguments>
void run(const Any& product, const Arguments&... arguments) {
  std::visit([&](const auto& form) { form->run(arguments...); }, product);
}

bool is_winograd(ConvAlgorithm a) {
  return a == ConvAlgorithm::winograd || a == ConvAlgorithm::winograd2 || a == ConvAlgorithm::winograd4;
}

GemmActivation gemm_activation(ConvActivation a) {
  return a == ConvActivation::relu             ? kGemmRelu
         : a == ConvActivation::relu_keep_sign ? kGemmReluKeepSign
                                               : kGemmNone;
}

// Whether a form that errs more than the direct one may be chosen: float64 is taken for its digits.
template <class T>
bool may_err_more(const ConvOptions& options) {
  return options.algorithm == ConvAlgorithm::automatic && sizeof(T) == sizeof(float);
}

// Null where another algorithm is wanted, or better.
template <class T, class Problem>
std::unique_ptr<Winograd<T>> make_winograd(const ConvGeometry& g, const ConvOptions& options, bool adjoint,
                                           const Problem& problem) {
  const bool automatic = may_err_more<T>(options);
  if (!(automatic && winograd_applies(g, adjoint)) && !is_winograd(options.algorithm)) return nullptr;
  WinogradProblem p = problem();
  p.tile = automatic                                       ? winograd_choice(p)
           : options.algorithm == ConvAlgorithm::winograd2 ? 2
           : options.algorithm == ConvAlgorithm::winograd4 ? 4
                                                           : winograd_tile(p);
  return p.tile ? std::make_unique<Winograd<T>>(p) : nullptr;
}

template <class T>
Product<T> make_depthwise(const ConvGeometry& g, const ShiftProblem& p) {
  if (DepthwiseThree<T>::applies(p.axes[1], p.axes[2])) {
    return std::make_unique<DepthwiseThree<T>>(p.axes[1], p.axes[2], g.images, g.groups, p.target_channels,
                                               p.fill, p.activation);
  }
  return std::make_unique<DepthwiseProduct<T>>(without_dilation(p.axes[1]), p.axes[2], g.images, g.groups,
                                               p.target_channels, g.window.kernel_count(), p.fill,
                                               p.activation);
}

template <class T>
Product<T> make_lane_forward(const ConvGeometry& g, const ConvOptions& options) {
  if (lane_row_winograd_choice(g, sizeof(T))) return std::make_unique<LaneRowWinograd<T>>(g, options);
  return std::make_unique<LaneDirect<T>>(g, options);
}
template <class T>
Product<T> make_lane_backward(const ConvGeometry& g, const ConvOptions& options) {
  if (lane_adjoint_gathers(g)) return std::make_unique<LaneGather<T>>(g, options);
  return std::make_unique<LaneScatter<T>>(g, options);
}

// The forms that suit some geometries only, from the special to the general.
template <class T>
Product<T> make_forward(const ConvGeometry& g, const ConvOptions& options) {
  const bool automatic = options.algorithm == ConvAlgorithm::automatic;
  const ShiftProblem problem = apply_problem(g, options);
  const GemmActivation activation = gemm_activation(problem.activation);
  if (automatic) {
    if (depthwise_applies(g)) return make_depthwise<T>(g, problem);
    if (is_whole_window(g)) return std::make_unique<WholeWindow<T>>(g, false, activation);
  }
  if (auto form = make_winograd<T>(g, options, false, [&] { return winograd_forward(g, options); }))
    return form;
  if (may_err_more<T>(options) && phases_apply(g, options, false))
    return std::make_unique<PhasedProduct<T>>(g, options, false);
  if (automatic) {
    if (few_pixels_applies<T>(g)) return std::make_unique<UnfoldedProduct<T>>(g, problem.fill, activation);
    if (sampled_applies(g, options)) return std::make_unique<SampledProduct<T>>(g, options, false);
    if (pointwise_form(g) != PointwiseForm::none)
      return std::make_unique<Pointwise<T>>(g, g.filters, g.channels, MatrixLayout{g.channels, 1},
                                            activation);
  }
  if (automatic && !options.keep_sign && lane_conv_choice(g, LaneOperator::apply, sizeof(T)))
    return make_lane_forward<T>(g, options);
  if (automatic && side_by_side_applies(g, false))
    return std::make_unique<SideBySide<T>>(g, false, activation);
  if (automatic && patches_apply(g)) return std::make_unique<UnfoldedProduct<T>>(g, problem.fill, activation);
  return std::make_unique<ShiftEngine<T>>(problem);
}

template <class T>
Product<T> make_backward(const ConvGeometry& g, const ConvOptions& options) {
  const bool automatic = options.algorithm == ConvAlgorithm::automatic;
  if (automatic) {
    if (depthwise_adjoint_applies(g)) return make_depthwise<T>(g, adjoint_problem(g, options));
    if (is_whole_window(g)) return std::make_unique<WholeWindow<T>>(g, true, kGemmNone);
    if (sampled_applies(g, options)) return std::make_unique<SampledProduct<T>>(g, options, true);
    if (pointwise_form(g) != PointwiseForm::none)
      return std::make_unique<Pointwise<T>>(g, g.channels, g.filters, MatrixLayout{1, g.channels}, kGemmNone);
  }
  if (auto form = make_winograd<T>(g, options, true, [&] { return winograd_adjoint(g, folds(g.window)); }))
    return form;
  if (may_err_more<T>(options) && phases_apply(g, options, true))
    return std::make_unique<PhasedProduct<T>>(g, options, true, folds(g.window));
  if (automatic && lane_conv_choice(g, LaneOperator::adjoint, sizeof(T)))
    return make_lane_backward<T>(g, options);
  if (automatic && side_by_side_applies(g, true)) return std::make_unique<SideBySide<T>>(g, true, kGemmNone);
  return std::make_unique<ShiftEngine<T>>(adjoint_problem(g, options));
}

// Tiles of the weight gradient in Winograd's form; 0: another form.
template <class T>
int winograd_gradient_tiles(const ConvGeometry& g, const ConvOptions& options) {
  const auto asked = [&](int tile) { return winograd_gradient_applies(g, tile, sizeof(T)) ? tile : 0; };
  if (!winograd_gradient_applies(g, 0, sizeof(T))) return 0;
  switch (options.algorithm) {
    case ConvAlgorithm::automatic:
      return may_err_more<T>(options) ? winograd_gradient_choice(g) : 0;
    case ConvAlgorithm::winograd:
      return winograd_gradient_tile(g);
    case ConvAlgorithm::winograd2:
      return asked(2);
    case ConvAlgorithm::winograd4:
      return asked(4);
    default:
      return 0;
  }
}

template <class T>
WeightProduct<T> make_weight_product(const ConvGeometry& g, const ConvOptions& options) {
  const auto axes = forward_axes(g.window);
  const bool automatic = options.algorithm == ConvAlgorithm::automatic;
  if (automatic) {
    if (depthwise_applies(g)) {
      return std::make_unique<DepthwiseWeightGradient<T>>(axes[1], axes[2], g.images, g.groups,
                                                          g.filters / g.groups, options.border_value);
    }
    if (is_whole_window(g)) return std::make_unique<WholeWindowGradient<T>>(g);
    if (sampled_applies(g, options)) return std::make_unique<SampledGradient<T>>(g, options);
  }
  if (const int tile = winograd_gradient_tiles<T>(g, options))
    return std::make_unique<WinogradGradient<T>>(g, tile, options.border_value);
  if (may_err_more<T>(options) && phases_gradient_applies(g, options))
    return std::make_unique<PhasedGradient<T>>(g, options);
  if (automatic && lane_conv_choice(g, LaneOperator::weight_gradient, sizeof(T)))
    return std::make_unique<LaneGradient<T>>(g, options);
  return std::make_unique<WeightGradient<T>>(axes, g.images, g.groups, g.channels / g.groups,
                                             g.filters / g.groups, options.border_value);
}

}  // namespace

ConvAlgorithm conv_algorithm_from(const std::string& name, const char* function) {
  if (name == "auto") return ConvAlgorithm::automatic;
  if (name == "im2col") return ConvAlgorithm::im2col;
  if (name == "direct") return ConvAlgorithm::direct;
  if (name == "winograd") return ConvAlgorithm::winograd;
  if (name == "winograd2") return ConvAlgorithm::winograd2;
  if (name == "winograd4") return ConvAlgorithm::winograd4;
  reject(function, "algorithm",
         "must be 'auto', 'im2col', 'direct', 'winograd', 'winograd2' or 'winograd4'; received '", name, "'");
}

Shape ConvGeometry::input_shape() const {
  return tensor_shape(images, channels, window, &Axis::size);
}
Shape ConvGeometry::output_shape() const {
  return tensor_shape(images, filters, window, &Axis::output);
}
Shape ConvGeometry::weight_shape() const {
  return tensor_shape(filters, channels / groups, window, &Axis::kernel);
}
double ConvGeometry::multiply_adds() const {
  return static_cast<double>(images * filters) * static_cast<double>(window.output_count()) *
         static_cast<double>(channels / groups * window.kernel_count());
}

template <class T>
struct Convolution<T>::Parts {
  Parts(const ConvGeometry& g, const ConvOptions& o) : geometry(g), options(o) {
    if (!folds(g.window)) return;
    for (int i = 0; i < 3; ++i) pad_source[static_cast<std::size_t>(i)] = g.window.pad_source(i);
  }

  // Each operator's tables are made when its workspace is asked for: most convolutions need one or two of the
  // three.
  const Product<T>& forward() const {
    std::call_once(made[0], [this] { forward_ = make_forward<T>(geometry, options); });
    return forward_;
  }
  const Product<T>& backward() const {
    std::call_once(made[1], [this] { backward_ = make_backward<T>(geometry, options); });
    return backward_;
  }
  const WeightProduct<T>& weights() const {
    std::call_once(made[2], [this] { weights_ = make_weight_product<T>(geometry, options); });
    return weights_;
  }

  std::size_t padded_bytes() const {
    if (!folds(geometry.window)) return 0;
    return align_up(
        static_cast<std::size_t>(geometry.images * geometry.channels * geometry.window.padded_count()) *
        sizeof(T));
  }

  // x[c][p] = bias[c] + the sum of all padded[c][q] whose source is p.
  void fold(const Team& team, const T* padded, const T* bias, T* x) const {
    const auto& k = kernels<ConvKernels, T>();
    const Window& w = geometry.window;
    const index row = w[2].padded();
    team.for_each(geometry.images * geometry.channels, [&](index plane) {
      T* to = x + plane * w.input_count();
      const T* from = padded + plane * w.padded_count();
      k.fill(w.input_count(), bias ? bias[plane % geometry.channels] : T(0), to);
      for (index d : pad_source[0]) {
        for (index h : pad_source[1]) {
          k.fold_row(row, pad_source[2].data(), w[2].pad_before, w[2].pad_before + w[2].size,
                     -w[2].pad_before, 1, from, to + (d * w[1].size + h) * w[2].size);
          from += row;
        }
      }
    });
  }

  ConvGeometry geometry;
  ConvOptions options;
  std::array<std::vector<index>, 3> pad_source;

 private:
  mutable std::once_flag made[3];
  mutable Product<T> forward_, backward_;
  mutable WeightProduct<T> weights_;
};

template <class T>
Convolution<T>::Convolution(const ConvGeometry& geometry, const ConvOptions& options) {
  check(geometry);
  if (is_winograd(options.algorithm))
    require_winograd(geometry, options.algorithm == ConvAlgorithm::winograd4 ? 4 : 0);
  parts_ = std::make_unique<Parts>(geometry, options);
}
template <class T>
Convolution<T>::~Convolution() = default;

template <class T>
const ConvGeometry& Convolution<T>::geometry() const {
  return parts_->geometry;
}

template <class T>
void Convolution<T>::apply(const Team& team, const T* x, const T* w, const T* bias, T* y,
                           std::byte* workspace) const {
  run(parts_->forward(), team, x, w, bias, y, workspace);
}
template <class T>
std::size_t Convolution<T>::apply_workspace(int threads) const {
  return workspace_of(parts_->forward(), threads);
}

template <class T>
void Convolution<T>::adjoint(const Team& team, const T* y, const T* w, const T* bias, T* x,
                             std::byte* workspace) const {
  if (!folds(parts_->geometry.window)) {
    run(parts_->backward(), team, y, w, bias, x, workspace);
    return;
  }
  T* padded = reinterpret_cast<T*>(workspace);
  run(parts_->backward(), team, y, w, nullptr, padded, workspace + parts_->padded_bytes());
  parts_->fold(team, padded, bias, x);
}
template <class T>
std::size_t Convolution<T>::adjoint_workspace(int threads) const {
  return parts_->padded_bytes() + workspace_of(parts_->backward(), threads);
}

template <class T>
void Convolution<T>::weight_gradient(const Team& team, const T* x, const T* dy, T* dw, T* db,
                                     std::byte* workspace) const {
  const auto by_form = [&](const auto& form) {
    if constexpr (takes_bias<std::decay_t<decltype(*form)>>) {
      form->run(team, x, dy, dw, db, workspace);
    } else {
      form->run(team, x, dy, dw, workspace);
      const ConvGeometry& g = parts_->geometry;
      if (db) bias_gradient(team, g.images, g.filters, g.window.output_count(), dy, db);
    }
  };
  std::visit(by_form, parts_->weights());
}
template <class T>
std::size_t Convolution<T>::weight_gradient_workspace(int threads) const {
  return workspace_of(parts_->weights(), threads);
}

template <class T>
void bias_gradient(const Team& team, index images, index filters, index pixels, const T* dy, T* db) {
  const auto& k = kernels<ConvKernels, T>();
  team.for_each(filters, [&](index f) {
    double total = 0;
    for (index n = 0; n < images; ++n)
      total += static_cast<double>(k.sum(pixels, dy + (n * filters + f) * pixels));
    db[f] = static_cast<T>(total);
  });
}

template class Convolution<float>;
template class Convolution<double>;
template void bias_gradient<float>(const Team&, index, index, index, const float*, float*);
template void bias_gradient<double>(const Team&, index, index, index, const double*, double*);

}  // namespace tenfold
