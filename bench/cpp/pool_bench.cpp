// Pooling: GB/s of the input read and the output (and tap numbers) written; backward the other way round.
#include <memory>

#include "common.h"
#include "tenfold/pool.h"

namespace tenfold::bench {
namespace {

struct Geometry {
  index n, c, h, w, kernel, stride, pad;
};

Window window_of(const Geometry& g) {
  return make_window({"bench",
                      {g.h, g.w},
                      {g.kernel, g.kernel},
                      {g.stride, g.stride},
                      {1, 1},
                      {g.pad, g.pad, g.pad, g.pad},
                      Border::constant,
                      false});
}

void check(const Window& window, const std::vector<float>& x, const std::vector<float>& y) {
  for (index oh = 0; oh < window[1].output; ++oh) {
    for (index ow = 0; ow < window[2].output; ++ow) {
      float best = -std::numeric_limits<float>::infinity();
      for (index i = 0; i < window[1].kernel; ++i) {
        for (index j = 0; j < window[2].kernel; ++j) {
          const index ih = window[1].position(oh, i), iw = window[2].position(ow, j);
          if (ih < 0 || iw < 0 || ih >= window[1].size || iw >= window[2].size) continue;
          best = std::max(best, x[static_cast<std::size_t>(ih * window[2].size + iw)]);
        }
      }
      if (y[static_cast<std::size_t>(oh * window[2].output + ow)] != best)
        throw std::runtime_error("wrong maximum");
    }
  }
}

void max_pool(benchmark::State& state, const Geometry& g, bool backward) {
  const Window window = window_of(g);
  const index planes = g.n * g.c;
  const auto in = static_cast<std::size_t>(planes * window.input_count());
  const auto out = static_cast<std::size_t>(planes * window.output_count());
  const std::vector<float> x = random_values<float>(static_cast<index>(in), 1);
  std::vector<float> y(out), dx(in);
  std::vector<std::uint8_t> taps(out);
  const MaxPool pool(window, planes, "bench");
  const auto work = static_cast<double>(in);
  parallel(work, [&](const Team& team) { pool.forward(team, x.data(), y.data(), taps.data()); });
  check(window, x, y);
  const double bytes = 4.0 * static_cast<double>(in) + 5.0 * static_cast<double>(out);
  run_bytes(state, bytes, [&] {
    parallel(work, [&](const Team& team) {
      if (backward) {
        pool.backward(team, y.data(), taps.data(), dx.data());
      } else {
        pool.forward(team, x.data(), y.data(), taps.data());
      }
    });
  });
}

void average_pool(benchmark::State& state, const Geometry& g, bool backward) {
  const Window window = window_of(g);
  const index planes = g.n * g.c;
  const auto in = static_cast<std::size_t>(planes * window.input_count());
  const auto out = static_cast<std::size_t>(planes * window.output_count());
  const std::vector<float> x = random_values<float>(static_cast<index>(in), 1);
  std::vector<float> y(out), dx(in);
  const AveragePool<float> pool(window, planes, {});
  const auto work = static_cast<double>(in);
  run_bytes(state, 4.0 * static_cast<double>(in + out), [&] {
    parallel(work, [&](const Team& team) {
      if (backward) {
        pool.backward(team, y.data(), dx.data());
      } else {
        pool.forward(team, x.data(), y.data());
      }
    });
  });
}

void add(const std::string& title, const Geometry& g) {
  for (const bool backward : {false, true}) {
    const std::string suffix = backward ? "/backward" : "/forward";
    benchmark::RegisterBenchmark(("max_" + title + suffix).c_str(), [=](benchmark::State& state) {
      max_pool(state, g, backward);
    })->UseRealTime();
    benchmark::RegisterBenchmark(("average_" + title + suffix).c_str(), [=](benchmark::State& state) {
      average_pool(state, g, backward);
    })->UseRealTime();
  }
}

void register_benchmarks() {
  add("pool/64x6x28x28_k2s2", {64, 6, 28, 28, 2, 2, 0});
  add("pool/8x64x112x112_k3s2", {8, 64, 112, 112, 3, 2, 0});
  add("pool/8x64x112x112_k3s2p1", {8, 64, 112, 112, 3, 2, 1});
  add("pool/64x64x56x56_k2s2", {64, 64, 56, 56, 2, 2, 0});
  add("pool/64x64x56x56_k3s2p1", {64, 64, 56, 56, 3, 2, 1});
  for (const char* model : kModels) {
    for (const ShapeLine& line : read_shapes(model, "pool")) {
      const auto& v = line.numbers;
      add(line.title(), {v[0], v[1], v[2], v[3], v[4], v[5], v[6]});
    }
  }
}

}  // namespace
}  // namespace tenfold::bench

TENFOLD_BENCH_MAIN(tenfold::bench::register_benchmarks)
