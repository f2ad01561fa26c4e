// Operations that draw random numbers: they keep no mask, backward draws the same numbers again.
#include "kernels/random.h"

#include <algorithm>
#include <cmath>

#include "kernels/elementwise.h"
#include "program/ops/op_base.h"
#include "tenfold/random.h"

namespace tenfold {
namespace {

// y = x / (1 - p) with probability 1 - p, else 0; `span` neighbouring elements share their fate (a feature
// map's).
template <class T>
class DropoutOp final : public Op {
 public:
  DropoutOp(const Attributes& attributes, const std::vector<TensorType>& inputs) {
    const std::string function = attributes.get<std::string>("function", "dropout");
    require_same_dtype(function.c_str(), inputs, {"input"});
    const double p = attributes.get<double>("p");
    if (!(p >= 0 && p <= 1)) reject(function.c_str(), "p", "must be from 0 to 1; received ", p);
    const double threshold = std::floor(p * 4294967296.0);
    all_ = threshold > 4294967295.0;
    threshold_ = all_ ? 0 : static_cast<std::uint32_t>(threshold);
    scale_ = all_ ? T(0) : static_cast<T>(1 / (1 - p));
    stream_ = static_cast<std::uint32_t>(attributes.get<index>("stream", 0));
    span_ = attributes.get<index>("span", 1);
    if (span_ < 1) reject(function.c_str(), "span", "must be at least 1; received ", span_);
    inputs_ = inputs;
    outputs_ = {inputs[0]};
  }

  bool backward_needs_input(int) const override { return false; }
  bool may_overwrite_input(int, int) const override { return true; }

  void forward(const Team& team, const ForwardCall& call) const override {
    run(team, call.random, input<T>(call, 0), output<T>(call, 0));
  }
  void backward(const Team& team, const BackwardCall& call) const override {
    if (T* dx = d_input<T>(call, 0)) run(team, call.random, d_output<T>(call, 0), dx);
  }

 private:
  void run(const Team& team, const RandomState& random, const T* x, T* y) const {
    const index count = inputs_[0].count();
    if (all_) {
      team.for_range(count, 1024, [&](index begin, index end) { std::fill(y + begin, y + end, T(0)); });
      return;
    }
    if (span_ == 1) {
      const auto& k = kernels<RandomKernels, T>();
      const PhiloxKey key{random.seed, stream_, random.step};
      team.for_range(count, 16 * kRandomGroup, [&](index begin, index end) {
        k.dropout(end - begin, static_cast<std::uint64_t>(begin / kRandomGroup), key, threshold_, scale_,
                  x + begin, y + begin);
      });
      return;
    }
    const auto& elementwise = kernels<ElementwiseKernels, T>();
    const Philox philox{random.seed, stream_, random.step};
    team.for_each((count + span_ - 1) / span_, [&](index draw) {
      std::uint32_t words[4];
      philox.block(static_cast<std::uint64_t>(draw / kRandomGroup * 16 + draw % 16), words);
      const bool kept = words[draw % kRandomGroup / 16] >= threshold_;
      const index begin = draw * span_, end = std::min(count, begin + span_);
      if (kept) {
        elementwise.mul.forward(end - begin, x + begin, 1, &scale_, 0, false, y + begin);
      } else {
        std::fill(y + begin, y + end, T(0));
      }
    });
  }

  bool all_ = false;  // p = 1: everything is dropped
  std::uint32_t threshold_ = 0;
  std::uint32_t stream_ = 0;
  index span_ = 1;
  T scale_ = 1;
};

}  // namespace

void register_random_ops(OpRegistry& registry) {
  add_typed<DropoutOp>(registry, "dropout");
}

}  // namespace tenfold
