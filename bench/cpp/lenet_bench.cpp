// A LeNet-5 training step (forward, backward, SGD) through one LaneSegment, and the FMA peak measured beside
// it.
//
//   lenet_bench [threads] [batch] [rounds]
//
// Prints the best and the median step time, GFLOP/s and the share of the peak that the probe reached in the
// same window.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "program/lanes/lane_segment.h"
#include "tenfold/cpu.h"
#include "tenfold/memory.h"

namespace {

using namespace tenfold;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Axis axis(index size, index kernel, index stride, index pad) {
  Axis a;
  a.size = size;
  a.kernel = kernel;
  a.stride = stride;
  a.pad_before = a.pad_after = pad;
  a.output = a.output_size();
  return a;
}

LaneLayer conv(index size, index features, index kernel, index pad) {
  LaneLayer layer{LaneLayer::Kind::conv, axis(size, kernel, 1, pad), axis(size, kernel, 1, pad)};
  layer.features = features;
  layer.bias = true;
  return layer;
}
LaneLayer pool(index size) {
  return {LaneLayer::Kind::max_pool, axis(size, 2, 2, 0), axis(size, 2, 2, 0)};
}
LaneLayer linear(index features) {
  LaneLayer layer{LaneLayer::Kind::linear, {}, {}};
  layer.features = features;
  layer.bias = true;
  return layer;
}

LaneChain lenet(index batch) {
  const LaneLayer relu{LaneLayer::Kind::relu, {}, {}}, flatten{LaneLayer::Kind::flatten, {}, {}};
  LaneChain chain;
  chain.x = {batch, 1, 28, 28};
  chain.layers = {conv(28, 6, 5, 2), relu,        pool(28), conv(14, 16, 5, 0), relu, pool(10),
                  flatten,           linear(120), relu,     linear(84),         relu, linear(10)};
  chain.loss = chain.accuracy = chain.training = chain.by_block = true;
  return chain;
}

// Multiply-adds a second of independent chains in registers, on every thread.
double fma_peak() {
  const int threads = num_threads();
  std::vector<double> rates(static_cast<std::size_t>(threads));
  parallel(1e12, [&](const Team& team) {
    typedef float Vector __attribute__((vector_size(64)));
    Vector acc[24];
    for (int i = 0; i < 24; ++i) acc[i] = Vector{} + static_cast<float>(i);
    Vector a = Vector{} + 0.999f, b = Vector{} + 1e-3f;
    double best = 0;
    for (int round = 0; round < 5; ++round) {
      team.barrier();
      const double start = now();
      constexpr int kSteps = 4000;
      for (int step = 0; step < kSteps; ++step) {
        __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 24
        for (int i = 0; i < 24; ++i) acc[i] = acc[i] * a + b;
      }
#pragma GCC unroll 24
      for (int i = 0; i < 24; ++i) __asm__ volatile("" : "+v"(acc[i]));
      best = std::max(best, kSteps * 24.0 * 16 * 2 / (now() - start));
    }
    rates[static_cast<std::size_t>(team.rank())] = best;
  });
  double sum = 0;
  for (double rate : rates) sum += rate;
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : num_threads();
  const index batch = argc > 2 ? std::atoi(argv[2]) : 64;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 20;
  set_num_threads(threads);
  const auto op = make_lane_segment(lenet(batch));

  std::vector<Buffer> tensors;
  std::vector<const void*> inputs;
  std::vector<void*> outputs, saved, gradients;
  unsigned state = 1;
  const auto uniform = [&] {
    return static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) / 16777216.0f;
  };
  for (const TensorType& type : op->inputs()) {
    tensors.emplace_back(type.bytes());
    inputs.push_back(tensors.back().data());
    const bool weight = inputs.size() > 1 && type.dtype == DType::float32;
    if (type.dtype == DType::int64) {
      for (index n = 0; n < type.count(); ++n) tensors.back().as<index>()[n] = n * 7 % 10;
    } else {
      for (index i = 0; i < type.count(); ++i)
        tensors.back().as<float>()[i] = (uniform() - 0.5f) * (weight ? 0.2f : 2.0f);
    }
    gradients.push_back(nullptr);
  }
  for (std::size_t i = 1; i < op->inputs().size(); ++i) {
    if (op->inputs()[i].dtype != DType::float32) continue;
    tensors.emplace_back(op->inputs()[i].bytes());
    gradients[i] = tensors.back().data();
  }
  for (const TensorType& type : op->outputs()) {
    tensors.emplace_back(type.bytes());
    outputs.push_back(tensors.back().data());
  }
  for (const TensorType& type : op->saved()) {
    tensors.emplace_back(type.bytes());
    saved.push_back(tensors.back().data());
  }
  Buffer workspace(std::max(op->forward_workspace(threads), op->backward_workspace(threads)));
  const float one = 1, zero = 0;
  const void* d_outputs[] = {&one, &zero};

  const auto step = [&] {
    parallel(1e12, [&](const Team& team) {
      op->forward(team, {inputs.data(), outputs.data(), saved.data(), workspace.data(), {}, nullptr});
      op->backward(
          team,
          {inputs.data(), nullptr, saved.data(), d_outputs, gradients.data(), workspace.data(), {}, nullptr});
      for (std::size_t i = 1; i < gradients.size(); ++i) {
        if (gradients[i] == nullptr) continue;
        auto* w = static_cast<float*>(const_cast<void*>(inputs[i]));
        const auto* d = static_cast<const float*>(gradients[i]);
        team.for_range(op->inputs()[i].count(), 1024, [&](index begin, index end) {
          for (index j = begin; j < end; ++j) w[j] -= 0.01f * d[j];
        });
      }
    });
  };

  for (int i = 0; i < 20; ++i) step();
  std::vector<double> times, rates;
  for (int round = 0; round < rounds; ++round) {
    const double peak = fma_peak();
    rates.push_back(peak);
    for (int i = 0; i < 20; ++i) {
      const double start = now();
      step();
      times.push_back(now() - start);
    }
  }
  std::sort(times.begin(), times.end());
  const double peak = *std::max_element(rates.begin(), rates.end());
  // Every weight counts in forward, in its own gradient and, but for the first layer, in the input gradient.
  const double flops = 3 * op->flops() - 2.0 * static_cast<double>(batch) * 28 * 28 * 6 * 25;
  std::printf(
      "lenet5 step  batch %lld  threads %d  isa %s  best %.3f ms  median %.3f ms  %.0f GFLOP/s  %.0f %% of "
      "%.0f\n",
      static_cast<long long>(batch), threads, name_of(active_isa()), times.front() * 1e3,
      times[times.size() / 2] * 1e3, flops / times.front() * 1e-9, 100 * flops / times.front() / peak,
      peak * 1e-9);
  std::printf("loss %.4f\n", static_cast<double>(*static_cast<float*>(outputs[0])));
}
