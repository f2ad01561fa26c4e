// The linear operation with its fused activation, called as a program calls it.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tenfold/cpu.h"
#include "tenfold/memory.h"
#include "tenfold/op.h"

namespace tenfold {
namespace {

std::vector<float> integers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(static_cast<int>(random() % 7) - 3);
  return values;
}

TEST(LinearOp, FusedReluHasTheGradientOfAReluBehind) {
  constexpr index kRows = 13, kIn = 7, kOut = 35;
  constexpr float kAtZero = 0.5f;
  const std::vector<float> x = integers(kRows * kIn, 1), w = integers(kOut * kIn, 2),
                           bias = integers(kOut, 3), dy = integers(kRows * kOut, 4);
  const std::vector<TensorType> types = {
      {DType::float32, {kRows, kIn}}, {DType::float32, {kOut, kIn}}, {DType::float32, {kOut}}};
  Attributes fused;
  fused.set("activation", std::string("relu"));
  fused.set("at_zero", static_cast<double>(kAtZero));
  fused.set("keep_sign", true);

  const Isa before = active_isa();
  for (Isa isa : available_isas()) {
    set_isa(name_of(isa));
    const auto op = OpRegistry::global().create("linear", fused, types);
    const auto plain = OpRegistry::global().create("linear", Attributes(), types);
    EXPECT_TRUE(op->backward_needs_output(0));
    EXPECT_FALSE(plain->backward_needs_output(0));
    std::vector<float> y(dy.size()), v(dy.size()), dv(dy.size());
    std::vector<std::vector<float>> fused_gradients, plain_gradients;
    const void* inputs[] = {x.data(), w.data(), bias.data()};
    for (const auto* one : {op.get(), plain.get()}) {
      std::vector<float>& out = one == op.get() ? y : v;
      void* outputs[] = {out.data()};
      const Buffer workspace(std::max(one->forward_workspace(1), one->backward_workspace(1)));
      one->forward(Team::alone(), {inputs, outputs, nullptr, workspace.data(), {}, nullptr});
      // The gradient of the activation by hand, for the plain operation.
      int zeros = 0;
      for (std::size_t i = 0; i < v.size(); ++i) {
        dv[i] = v[i] > 0 ? dy[i] : v[i] == 0 ? kAtZero * dy[i] : 0;
        zeros += v[i] == 0;
      }
      const void* results[] = {out.data()};
      const void* d_outputs[] = {one == op.get() ? dy.data() : dv.data()};
      auto& gradients = one == op.get() ? fused_gradients : plain_gradients;
      gradients = {std::vector<float>(x.size()), std::vector<float>(w.size()),
                   std::vector<float>(bias.size())};
      void* d_inputs[] = {gradients[0].data(), gradients[1].data(), gradients[2].data()};
      one->backward(Team::alone(),
                    {inputs, results, nullptr, d_outputs, d_inputs, workspace.data(), {}, nullptr});
      if (one == plain.get()) {
        EXPECT_GT(zeros, 0) << "the case that the kept sign is for does not occur";
      }
    }
    for (std::size_t i = 0; i < v.size(); ++i) EXPECT_EQ(y[i], std::max(v[i], 0.0f));
    EXPECT_EQ(fused_gradients, plain_gradients) << name_of(isa);
  }
  set_isa(name_of(before));
}

}  // namespace
}  // namespace tenfold
