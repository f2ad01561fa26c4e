// A LeNet-5 training step: forward, backward and SGD in one region, the whole net one lane segment.
#include <cmath>
#include <cstring>

#include "common.h"
#include "lanes_reference.h"
#include "program/lanes/lane_segment.h"
#include "tenfold/memory.h"

namespace tenfold::bench {
namespace {

template <class T>
class Step {
 public:
  explicit Step(index batch) {
    LaneChain chain = lanes_reference::lenet(batch).chain;
    chain.dtype = dtype_of<T>();
    chain.by_block = true;
    op_ = make_lane_segment(chain);
    for (const TensorType& type : op_->inputs()) {
      void* data = tensor(type);
      const index count = type.count();
      if (type.dtype == DType::int64) {
        labels_.resize(static_cast<std::size_t>(count));
        for (index n = 0; n < count; ++n) labels_[static_cast<std::size_t>(n)] = n * 7 % 10;
        std::memcpy(data, labels_.data(), type.bytes());
        gradients_.push_back(nullptr);
      } else {
        std::vector<T> values = random_values<T>(count, static_cast<unsigned>(inputs_.size()));
        const double fan_in = type.shape.size() > 1 ? static_cast<double>(count / type.shape[0]) : 1.0;
        for (T& v : values) v /= static_cast<T>(inputs_.empty() ? 1.0 : std::sqrt(fan_in));
        std::memcpy(data, values.data(), type.bytes());
        values_.emplace_back(values.begin(), values.end());
        gradients_.push_back(inputs_.empty() ? nullptr : tensor(type));
      }
      inputs_.push_back(data);
    }
    for (const TensorType& type : op_->outputs()) outputs_.push_back(tensor(type));
    for (const TensorType& type : op_->saved()) saved_.push_back(tensor(type));
    workspace_ =
        Buffer(std::max(op_->forward_workspace(num_threads()), op_->backward_workspace(num_threads())));
    const lanes_reference::Result expected = lanes_reference::reference(chain, values_, labels_, {{1}, {0}});
    run(0);
    for (std::size_t i = 1; i < expected.gradients.size(); ++i) {
      const auto& wanted = expected.gradients[i];
      double largest = 0;
      for (double v : wanted) largest = std::max(largest, std::abs(v));
      for (std::size_t j = 0; j < wanted.size(); ++j) {
        const double actual = static_cast<double>(static_cast<const T*>(gradients_[i])[j]);
        if (!(std::abs(actual - wanted[j]) <= 1e-5 * largest)) throw std::runtime_error("wrong gradient");
      }
    }
  }

  double flops() const { return op_->flops() + op_->backward_flops({}); }

  void run(T rate) {
    const T one = 1, zero = 0;
    const void* d_outputs[] = {&one, &zero};
    parallel(1e9, [&](const Team& team) {
      op_->forward(team, {inputs_.data(), outputs_.data(), saved_.data(), workspace_.data(), {}, nullptr});
      op_->backward(team, {inputs_.data(),
                           nullptr,
                           saved_.data(),
                           d_outputs,
                           gradients_.data(),
                           workspace_.data(),
                           {},
                           nullptr});
      for (std::size_t i = 1; i < gradients_.size(); ++i) {
        if (gradients_[i] == nullptr) continue;
        T* w = static_cast<T*>(const_cast<void*>(inputs_[i]));
        const T* d = static_cast<const T*>(gradients_[i]);
        team.for_range(op_->inputs()[i].count(), 1024, [&](index begin, index end) {
          for (index j = begin; j < end; ++j) w[j] -= rate * d[j];
        });
      }
    });
  }

 private:
  void* tensor(const TensorType& type) {
    buffers_.emplace_back(type.bytes());
    return buffers_.back().data();
  }

  std::unique_ptr<Op> op_;
  std::vector<Buffer> buffers_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_, saved_, gradients_;
  std::vector<std::vector<double>> values_;
  std::vector<index> labels_;
  Buffer workspace_;
};

template <class T>
void lenet_step(benchmark::State& state, index batch) {
  Step<T> step(batch);
  run_flops<T>(state, step.flops(), [&] { step.run(T(1e-6)); });
}

void register_benchmarks() {
  for (const index batch : {16, 64, 256}) {
    benchmark::RegisterBenchmark(("lenet_step/float32/" + std::to_string(batch)).c_str(), lenet_step<float>,
                                 batch)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::RegisterBenchmark("lenet_step/float64/64", lenet_step<double>, 64)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace tenfold::bench

TENFOLD_BENCH_MAIN(tenfold::bench::register_benchmarks)
