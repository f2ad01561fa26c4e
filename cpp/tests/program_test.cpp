// Programs without Python: forward, derived gradients, the training loop.
#include "tenfold/program.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tenfold/error.h"
#include "tenfold/optim.h"

namespace tenfold {
namespace {

// loss = mean over the batch of 1/2 ... built from ops that every build has: linear and mse_loss.
struct Regression {
  explicit Regression(index batch) {
    x = graph.add_leaf({DType::float32, {batch, 3}});
    y = graph.add_leaf({DType::float32, {batch, 1}});
    w = graph.add_leaf({DType::float32, {1, 3}});
    const ValueId prediction = graph.add("linear", {}, {x, w})[0];
    Attributes mean;
    mean.set("reduction", std::string("mean"));
    loss = graph.add("mse_loss", mean, {prediction, y})[0];
  }
  ProgramSpec spec() const {
    ProgramSpec spec;
    spec.inputs = {x, y};
    spec.outputs = {loss};
    spec.gradients = {w};
    return spec;
  }
  Graph graph;
  ValueId x, y, w, loss;
};

TEST(Program, GradientOfARegression) {
  const Regression net(2);
  Program program(net.graph, net.spec());
  const float x[] = {1, 2, 3, 4, 5, 6}, y[] = {1, 2};
  float w[] = {1, 0, -1}, loss = 0, dw[3];
  program.bind(net.w, w);
  program.forward({x, y}, {&loss}, {}, false);
  // residuals: 1 - 3 - 1 = -3, 4 - 6 - 2 = -4
  EXPECT_FLOAT_EQ(loss, (9 + 16) / 2.0f);
  const float one = 1;
  program.backward({&one}, {dw});
  EXPECT_FLOAT_EQ(dw[0], -3 * 1 + -4 * 4);
  EXPECT_FLOAT_EQ(dw[1], -3 * 2 + -4 * 5);
  EXPECT_FLOAT_EQ(dw[2], -3 * 3 + -4 * 6);
}

TEST(Program, RefusesALeafThatNobodyGives) {
  const Regression net(2);
  Program program(net.graph, net.spec());
  const float x[] = {1, 2, 3, 4, 5, 6}, y[] = {1, 2};
  float w[] = {1, 0, -1}, loss = 0;
  EXPECT_THROW(program.forward({x, y}, {&loss}, {}, false), InvalidArgument);
  program.bind(net.w, w);
  program.forward({x, y}, {&loss}, {}, false);
  EXPECT_FLOAT_EQ(loss, (9 + 16) / 2.0f);
}

TEST(Program, AProfileNamesEveryInstructionAndComputesTheGradient) {
  const Regression net(2);
  Program program(net.graph, net.spec());
  const float x[] = {1, 2, 3, 4, 5, 6}, y[] = {1, 2}, one = 1;
  float w[] = {1, 0, -1}, dw[3] = {};
  program.bind(net.w, w);
  EXPECT_THROW(program.profile({x, y}, {&one}, {}, 1), InvalidArgument) << "no memory for the gradient";
  program.bind_gradient(net.w, dw);
  const auto profiles = program.profile({x, y}, {&one}, {}, 4);
  std::vector<std::string> forward, backward;
  for (const InstructionProfile& p : profiles) {
    (p.backward ? backward : forward).push_back(p.kind);
    ASSERT_EQ(p.seconds.size(), 4u);
    for (double seconds : p.seconds) EXPECT_GE(seconds, 0);
    // backward: that of w alone
    EXPECT_EQ(p.flops, p.kind == "linear" ? 2 * 2 * 3 : p.kind == "mse_loss" ? p.flops : 0);
  }
  EXPECT_EQ(forward, (std::vector<std::string>{"linear", "mse_loss"}));
  EXPECT_EQ(backward, (std::vector<std::string>{"mse_loss", "linear"}));
  EXPECT_FLOAT_EQ(dw[0], -3 * 1 + -4 * 4);
}

TEST(Program, TrainingConvergesAndStopsAtALossThatIsNotFinite) {
  const index samples = 8, batch = 4;
  const Regression net(batch);
  Program program(net.graph, net.spec());
  std::vector<float> x(samples * 3), y(samples);
  const float truth[] = {2, -1, 0.5f};
  for (index i = 0; i < samples; ++i) {
    for (index k = 0; k < 3; ++k) {
      x[i * 3 + k] = static_cast<float>((i * 7 + k * 5) % 11) / 5 - 1;
      y[i] += truth[k] * x[i * 3 + k];
    }
  }
  std::vector<float> w(16), dw(16), momentum(16);
  program.bind(net.w, w.data());
  program.bind_gradient(net.w, dw.data());
  const SGD sgd({0.9, 0, 0, false});
  const index steps = 400;
  std::vector<index> order;
  for (index i = 0; i < steps * batch; ++i) order.push_back(i % samples);
  const std::vector<double> rates(steps, 0.05);
  std::vector<double> results(steps, -1);
  TrainingRun run;
  run.data = {x.data(), y.data()};
  run.samples = samples;
  run.order = order.data();
  run.steps = steps;
  run.learning_rates = rates.data();
  run.results = results.data();
  run.optimizer = &sgd;
  run.parameter_count = 16;
  run.parameters = w.data();
  run.gradients = dw.data();
  run.states = {momentum.data()};
  EXPECT_EQ(program.train(run), steps);
  EXPECT_LT(results.back(), 1e-8);
  for (int k = 0; k < 3; ++k) EXPECT_NEAR(w[k], truth[k], 1e-3);

  w[0] = 0;  // away from the solution
  const std::vector<float> before = w;
  x[5 * 3] = std::numeric_limits<float>::quiet_NaN();  // the second batch of every epoch has it
  run.first_step = steps;
  EXPECT_EQ(program.train(run), 1);
  EXPECT_TRUE(std::isfinite(results[0]));
  EXPECT_TRUE(std::isnan(results[1]));
  for (float value : w) EXPECT_TRUE(std::isfinite(value));
  EXPECT_NE(w, before) << "the good step before the bad one counts";
}

TEST(Program, RefusesWhatMakesNoSense) {
  const Regression net(2);
  ProgramSpec spec = net.spec();
  spec.inputs = {net.loss};
  EXPECT_THROW(Program(net.graph, spec), InvalidArgument);
  spec = net.spec();
  spec.outputs = {99};
  EXPECT_THROW(Program(net.graph, spec), InvalidArgument);
  Graph graph;
  EXPECT_THROW(graph.add("no such kind", {}, {}), InvalidArgument);
}

TEST(Program, ArenaIsSmallerThanTheSumOfItsBuffers) {
  Graph graph;
  const ValueId x = graph.add_leaf({DType::float32, {64, 1000}});
  ValueId value = x;
  Attributes attributes;
  attributes.set("at_zero", 1.0);
  for (int i = 0; i < 10; ++i) value = graph.add("relu", attributes, {value})[0];
  ProgramSpec spec;
  spec.inputs = {x};
  spec.outputs = {value};
  const Program program(graph, spec);
  EXPECT_LE(program.arena_bytes(), 2 * 64 * 1000 * sizeof(float) + 1024);
}

}  // namespace
}  // namespace tenfold
