// What the benchmarks share: the multiply-add peak of this machine, the shapes of real models, and main().
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tenfold/cpu.h"
#include "tenfold/parallel.h"
#include "tenfold/probe.h"
#include "tenfold/types.h"

namespace tenfold::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class T>
double measured_peak() {
  return fma_peak<T>(0.002);
}

// Runs body() in the benchmark's loop and reports GFLOP/s and peak_share. The peak is measured just before
// and just after, because a virtual machine's changes from second to second; the larger one counts.
template <class T, class Body>
void run_flops(benchmark::State& state, double flops, Body&& body) {
  const double before = measured_peak<T>();
  const double begin = seconds();
  for (auto _ : state) {
    body();
    benchmark::ClobberMemory();
  }
  const double rate = flops * static_cast<double>(state.iterations()) / (seconds() - begin);
  const double peak = std::max(before, measured_peak<T>());
  state.counters["GFLOP/s"] = rate / 1e9;
  state.counters["peak_share"] = rate / peak;
}

// The same for work that moves memory: GB/s of `bytes` read and written.
template <class Body>
void run_bytes(benchmark::State& state, double bytes, Body&& body) {
  const double begin = seconds();
  for (auto _ : state) {
    body();
    benchmark::ClobberMemory();
  }
  state.counters["GB/s"] = bytes * static_cast<double>(state.iterations()) / (seconds() - begin) / 1e9;
}

template <class T>
std::vector<T> random_values(index count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<T> uniform(-1, 1);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = uniform(random);
  return values;
}

// One line of bench/shapes/<model>.txt; bench/README.md tells the format.
struct ShapeLine {
  std::string model, kind, name;
  std::vector<index> numbers;

  std::string title() const { return kind + "/" + model + "/" + name; }
};

constexpr const char* kModels[] = {"lenet",     "cifar", "alexnet", "vgg16",   "resnet50",
                                   "mobilenet", "unet",  "dcgan",   "decoder", "deepbench"};

// The lines of one kind ("gemm", "conv", "conv_transpose", "pool") of a model; throws on a line that is not
// understood.
inline std::vector<ShapeLine> read_shapes(const std::string& model, const std::string& kind) {
  const char* folder = std::getenv("TENFOLD_BENCH_SHAPES");
  const std::string path = std::string(folder ? folder : TENFOLD_BENCH_SHAPES) + "/" + model + ".txt";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("no shapes file " + path);
  const auto columns = [](const std::string& k) -> std::size_t {
    return k == "gemm" ? 5 : k == "conv" ? 11 : k == "conv_transpose" ? 11 : k == "pool" ? 7 : 0;
  };
  std::vector<ShapeLine> lines;
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    std::istringstream words(text.substr(0, text.find('#')));
    ShapeLine line;
    line.model = model;
    if (!(words >> line.kind)) continue;
    words >> line.name;
    for (index value; words >> value;) line.numbers.push_back(value);
    if (columns(line.kind) == 0 || line.numbers.size() != columns(line.kind) || !words.eof()) {
      throw std::runtime_error(path + ":" + std::to_string(number) + ": not understood: " + text);
    }
    if (line.kind == kind) lines.push_back(line);
  }
  return lines;
}

// --smoke: every benchmark runs for a moment, to see that it works.
inline int run_main(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  for (std::string& argument : arguments) {
    if (argument == "--smoke") argument = "--benchmark_min_time=0.0001";
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 1;
  benchmark::AddCustomContext("processor", cpu_name());
  benchmark::AddCustomContext("isa", name_of(active_isa()));
  benchmark::AddCustomContext("threads", std::to_string(num_threads()));
  benchmark::AddCustomContext("commit", TENFOLD_COMMIT);
  std::ostringstream peak;
  peak << measured_peak<float>() / 1e9 << " GFLOP/s float, " << measured_peak<double>() / 1e9 << " double";
  benchmark::AddCustomContext("measured peak", peak.str());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace tenfold::bench

#define TENFOLD_BENCH_MAIN(register_benchmarks)    \
  int main(int argc, char** argv) {                \
    try {                                          \
      register_benchmarks();                       \
      return tenfold::bench::run_main(argc, argv); \
    } catch (const std::exception& error) {        \
      std::cerr << error.what() << '\n';           \
      return 1;                                    \
    }                                              \
  }
