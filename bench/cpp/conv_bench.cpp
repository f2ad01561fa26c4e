// Convolution: forward, input gradient, weight gradient, and transposed convolution, on the layers of real
// models.
#include "tenfold/conv.h"

#include <cmath>
#include <memory>
#include <utility>

#include "common.h"
#include "tenfold/memory.h"

namespace tenfold::bench {
namespace {

enum class What { forward, input_gradient, weight_gradient };

// Whether a float32 sum of so many terms is near enough to the exact one.
bool close(double actual, double exact, double magnitude, index terms) {
  const double eps = std::numeric_limits<float>::epsilon();
  return std::fabs(actual - exact) <= eps * (4 + 2 * std::sqrt(static_cast<double>(terms))) * magnitude;
}

// Cheap enough to do each time: the three operators share <A x, y> = <x, A^T y> = <w, dw>, and one output is
// compared with its definition.
bool consistent(const ConvGeometry& g, const std::vector<float>& x, const std::vector<float>& w,
                const std::vector<float>& dy, const std::vector<float>& y, const std::vector<float>& dx,
                const std::vector<float>& dw) {
  const auto dot = [](const std::vector<float>& a, const std::vector<float>& b, double* magnitude) {
    double sum = 0;
    *magnitude = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double term = static_cast<double>(a[i]) * static_cast<double>(b[i]);
      sum += term;
      *magnitude += std::fabs(term);
    }
    return sum;
  };
  double my, mx, mw;
  const double sy = dot(y, dy, &my), sx = dot(x, dx, &mx), sw = dot(w, dw, &mw);
  const index terms = g.channels / g.groups * g.window.kernel_count();
  if (!close(sy, sx, my + mx, terms) || !close(sy, sw, my + mw, g.images * g.window.output_count()))
    return false;

  double exact = 0, magnitude = 0;
  const Window& v = g.window;
  const index o1 = v[1].output / 2, o2 = v[2].output / 2;
  for (index c = 0; c < g.channels / g.groups; ++c) {
    for (index k1 = 0; k1 < v[1].kernel; ++k1) {
      for (index k2 = 0; k2 < v[2].kernel; ++k2) {
        const index h = v[1].position(o1, k1), i = v[2].position(o2, k2);
        if (h < 0 || h >= v[1].size || i < 0 || i >= v[2].size) continue;
        const double term =
            static_cast<double>(w[static_cast<std::size_t>((c * v[1].kernel + k1) * v[2].kernel + k2)]) *
            static_cast<double>(x[static_cast<std::size_t>((c * v[1].size + h) * v[2].size + i)]);
        exact += term;
        magnitude += std::fabs(term);
      }
    }
  }
  return close(static_cast<double>(y[static_cast<std::size_t>(o1 * v[2].output + o2)]), exact, magnitude,
               terms);
}

// One layer in one form: its arrays, made and checked once for all the benchmarks that follow each other.
class Layer {
 public:
  Layer(const ConvGeometry& geometry, ConvAlgorithm algorithm)
      : g_(geometry),
        x_(values(g_.input_shape(), 1)),
        w_(values(g_.weight_shape(), 2)),
        dy_(values(g_.output_shape(), 3)),
        y_(dy_.size()),
        dx_(x_.size()),
        dw_(w_.size()),
        conv_(g_, options(algorithm)),
        workspace_(std::max({conv_.apply_workspace(num_threads()), conv_.adjoint_workspace(num_threads()),
                             conv_.weight_gradient_workspace(num_threads())})) {
    for (What which : {What::forward, What::input_gradient, What::weight_gradient}) run(which);
    right_ = consistent(g_, x_, w_, dy_, y_, dx_, dw_);
  }

  bool right() const { return right_; }

  void run(What which) {
    parallel(g_.multiply_adds(), [&](const Team& team) {
      switch (which) {
        case What::forward:
          return conv_.apply(team, x_.data(), w_.data(), nullptr, y_.data(), workspace_.data());
        case What::input_gradient:
          return conv_.adjoint(team, dy_.data(), w_.data(), nullptr, dx_.data(), workspace_.data());
        case What::weight_gradient:
          return conv_.weight_gradient(team, x_.data(), dy_.data(), dw_.data(), nullptr, workspace_.data());
      }
    });
  }

 private:
  static std::vector<float> values(const Shape& shape, unsigned seed) {
    return random_values<float>(checked_count(shape, "bench_conv", "shape"), seed);
  }
  static ConvOptions options(ConvAlgorithm algorithm) {
    ConvOptions result;
    result.algorithm = algorithm;
    return result;
  }

  ConvGeometry g_;
  std::vector<float> x_, w_, dy_, y_, dx_, dw_;
  Convolution<float> conv_;
  Buffer workspace_;
  bool right_ = false;
};

void convolve(benchmark::State& state, const std::string& name, const ConvGeometry& g, What what,
              ConvAlgorithm algorithm) {
  static std::pair<std::string, ConvAlgorithm> key;
  static std::unique_ptr<Layer> layer;
  if (!layer || key != std::make_pair(name, algorithm)) {
    layer.reset();  // before the next one takes memory
    layer = std::make_unique<Layer>(g, algorithm);
    key = {name, algorithm};
  }
  if (!layer->right()) {
    state.SkipWithError("wrong result");
    return;
  }
  run_flops<float>(state, 2 * g.multiply_adds(), [&] { layer->run(what); });
}

// A benchmark of the layer `name`; `end` tells what of it.
void add(const std::string& name, const std::string& end, const ConvGeometry& g, What what,
         ConvAlgorithm algorithm = ConvAlgorithm::automatic) {
  benchmark::RegisterBenchmark((name + end).c_str(), [name, g, what, algorithm](benchmark::State& state) {
    convolve(state, name, g, what, algorithm);
  })->UseRealTime();
}

// The forms that may be asked for by name where Winograd's exists. GFLOP/s count the multiply-adds of the
// definition, so that all forms compare; Winograd's share of the peak may therefore exceed 1.
void add_forms(const std::string& title, const ConvGeometry& g) {
  const Window& w = g.window;
  if (g.groups != 1 || w[1].kernel != 3 || w[2].kernel != 3 || w[1].stride != 1 || w[2].stride != 1) return;
  const std::pair<const char*, ConvAlgorithm> forms[] = {{"direct", ConvAlgorithm::direct},
                                                         {"winograd2", ConvAlgorithm::winograd2},
                                                         {"winograd4", ConvAlgorithm::winograd4}};
  for (const auto& [name, algorithm] : forms) {
    add(title, std::string("/forward/") + name, g, What::forward, algorithm);
    add(title, std::string("/input_gradient/") + name, g, What::input_gradient, algorithm);
  }
}

// N C H W  F KH KW  stride pad dilation groups
ConvGeometry conv_geometry(const std::vector<index>& v) {
  ConvGeometry g;
  g.images = v[0], g.channels = v[1], g.filters = v[4], g.groups = v[10];
  g.window = make_window(
      {"bench_conv", {v[2], v[3]}, {v[5], v[6]}, {v[7], v[7]}, {v[9], v[9]}, {v[8], v[8], v[8], v[8]}});
  return g;
}

// N C H W  F KH KW  stride pad output_padding groups: the layer's output is the window's input.
ConvGeometry transposed_geometry(const std::vector<index>& v) {
  ConvGeometry g;
  g.images = v[0], g.channels = v[4], g.filters = v[1], g.groups = v[10];
  const auto size = [&](index in, index kernel) { return (in - 1) * v[7] - 2 * v[8] + kernel + v[9]; };
  g.window = make_window({"bench_conv",
                          {size(v[2], v[5]), size(v[3], v[6])},
                          {v[5], v[6]},
                          {v[7], v[7]},
                          {1, 1},
                          {v[8], v[8], v[8], v[8]}});
  return g;
}

void register_benchmarks() {
  for (const char* model : kModels) {
    for (const ShapeLine& line : read_shapes(model, "conv")) {
      const ConvGeometry g = conv_geometry(line.numbers);
      add(line.title(), "/forward", g, What::forward);
      add(line.title(), "/input_gradient", g, What::input_gradient);
      add(line.title(), "/weight_gradient", g, What::weight_gradient);
      add_forms(line.title(), g);
    }
    for (const ShapeLine& line : read_shapes(model, "conv_transpose")) {
      const ConvGeometry g = transposed_geometry(line.numbers);
      add(line.title(), "/forward", g, What::input_gradient);
      add(line.title(), "/input_gradient", g, What::forward);
      add(line.title(), "/weight_gradient", g, What::weight_gradient);
    }
  }
}

}  // namespace
}  // namespace tenfold::bench

TENFOLD_BENCH_MAIN(tenfold::bench::register_benchmarks)
