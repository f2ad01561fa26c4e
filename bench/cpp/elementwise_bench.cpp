// Element-wise operations, broadcasting and reductions: GB/s of operands read and written, and their share of what a
// triad reaches, a sum of two arrays into a third that moves as many bytes.
#include <cmath>
#include <memory>

#include "common.h"
#include "tenfold/memory.h"
#include "tenfold/op.h"

namespace tenfold::bench {
namespace {

// Bytes per second of the triad, by all threads, where it reads and writes `moved` bytes together.
double measured_triad(double moved) {
  const index count = std::max<index>(1, static_cast<index>(moved / (3 * sizeof(float))));
  const Buffer a(static_cast<std::size_t>(count) * sizeof(float)), b(a.bytes()), c(a.bytes());
  std::fill_n(b.as<float>(), count, 1.0f);
  std::fill_n(c.as<float>(), count, 2.0f);
  const TensorType type{DType::float32, {count}};
  const auto op = OpRegistry::global().create("add", {}, {type, type});
  const Buffer workspace(op->forward_workspace(num_threads()));
  const void* const inputs[] = {b.data(), c.data()};
  void* const outputs[] = {a.data()};
  ErrorSink errors;
  const ForwardCall forward{inputs, outputs, nullptr, workspace.data(), {}, &errors};
  const auto run = [&] {
    parallel(op->work(), [&](const Team& team) { op->forward(team, forward); });
    benchmark::ClobberMemory();
  };
  run();
  const int rounds = static_cast<int>(std::max<index>(5, (index{1} << 25) / count));
  const double begin = seconds();
  for (int round = 0; round < rounds; ++round) run();
  return rounds * 3.0 * static_cast<double>(a.bytes()) / (seconds() - begin);
}

struct Case {
  const char* kind;
  std::vector<Shape> shapes;
  Attributes attributes;
  bool backward;
};

void operation(benchmark::State& state, const Case& c) {
  std::vector<TensorType> types;
  for (const Shape& shape : c.shapes) types.push_back({DType::float32, shape});
  const auto op = OpRegistry::global().create(c.kind, c.attributes, types);
  std::vector<std::vector<float>> arrays;
  std::vector<const void*> inputs, d_outputs;
  std::vector<void*> outputs, d_inputs;
  arrays.reserve(16);
  const auto add = [&](const TensorType& type, unsigned seed) {
    arrays.push_back(random_values<float>(type.count(), seed));
    for (float& v : arrays.back()) v = std::fabs(v) + 0.5f;  // legal for log and sqrt
    return arrays.back().data();
  };
  for (const TensorType& type : op->inputs()) inputs.push_back(add(type, 1));
  outputs.push_back(add(op->outputs()[0], 2));
  d_outputs.push_back(add(op->outputs()[0], 3));
  for (const TensorType& type : op->inputs()) d_inputs.push_back(add(type, 4));
  const Buffer workspace(
      std::max(op->forward_workspace(num_threads()), op->backward_workspace(num_threads())));
  ErrorSink errors;
  const ForwardCall forward{inputs.data(), outputs.data(), nullptr, workspace.data(), {}, &errors};
  const BackwardCall backward{inputs.data(),   outputs.data(),   nullptr, d_outputs.data(),
                              d_inputs.data(), workspace.data(), {},      &errors};

  // What has to be read and written at least.
  double bytes = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const double size = static_cast<double>(op->inputs()[i].bytes());
    bytes += !c.backward ? size : size * (op->backward_needs_input(static_cast<int>(i)) ? 2 : 1);
  }
  bytes +=
      static_cast<double>(op->outputs()[0].bytes()) * (c.backward && op->backward_needs_output(0) ? 2 : 1);

  const double before = measured_triad(bytes);
  const auto body = [&] {
    parallel(op->work(), [&](const Team& team) {
      if (c.backward) {
        op->backward(team, backward);
      } else {
        op->forward(team, forward);
      }
    });
  };
  parallel(op->work(), [&](const Team& team) { op->forward(team, forward); });
  run_bytes(state, bytes, body);
  state.counters["triad_share"] = 2e9 * state.counters["GB/s"] / (before + measured_triad(bytes));
}

void add(const std::string& title, const Case& c) {
  const std::string name = title + "/" + (c.backward ? "backward" : "forward");
  benchmark::RegisterBenchmark(name.c_str(), [c](benchmark::State& state) {
    operation(state, c);
  })->UseRealTime();
}

void register_benchmarks() {
  Attributes relu, gelu, keep;
  relu.set("at_zero", 1.0);
  gelu.set("approximate", std::string("none"));
  keep.set("axes", Shape{0, 2, 3});
  Attributes rows, columns;
  rows.set("axes", Shape{1});
  columns.set("axes", Shape{0});
  const std::pair<const char*, Attributes> unary[] = {{"relu", relu}, {"exp", {}},     {"log", {}},
                                                      {"tanh", {}},   {"sigmoid", {}}, {"silu", {}},
                                                      {"gelu", gelu}, {"sqrt", {}}};
  for (bool backward : {false, true}) {
    for (const auto& [kind, attributes] : unary) {
      for (index n : {index{1} << 14, index{1} << 18, index{1} << 23}) {
        add(std::string(kind) + "/" + std::to_string(n), {kind, {{n}}, attributes, backward});
      }
    }
    const Shape image{64, 64, 56, 56};
    for (const char* kind : {"add", "mul", "div"}) {
      add(std::string(kind) + "/same", {kind, {image, image}, {}, backward});
      add(std::string(kind) + "/channel", {kind, {image, {64, 1, 1}}, {}, backward});
      add(std::string(kind) + "/row", {kind, {{4096, 1024}, {1024}}, {}, backward});
    }
    for (const char* kind : {"sum", "max"}) {
      add(std::string(kind) + "/all", {kind, {image}, {}, backward});
      add(std::string(kind) + "/channel", {kind, {image}, keep, backward});
      add(std::string(kind) + "/rows", {kind, {{4096, 1024}}, rows, backward});
      add(std::string(kind) + "/columns", {kind, {{4096, 1024}}, columns, backward});
      add(std::string(kind) + "/narrow", {kind, {{400000, 10}}, columns, backward});
    }
  }
}

}  // namespace
}  // namespace tenfold::bench

TENFOLD_BENCH_MAIN(tenfold::bench::register_benchmarks)
