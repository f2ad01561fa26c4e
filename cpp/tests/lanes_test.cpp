// LaneSegment against a plain interpreter of the same chain in float64.
#include "program/lanes/lane_segment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "lanes_reference.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

using namespace lanes_reference;

struct Data {
  std::vector<Vector> inputs;  // without labels
  std::vector<index> labels;
  std::vector<Vector> d_outputs;
};

// Many inputs of a sample become one value, 0 or another one; of every fifth sample fewer than half of them, of every fourth
// all but the first.
void give_backgrounds(Vector& x, index samples) {
  const auto features = static_cast<index>(x.size()) / samples;
  std::mt19937 random(3);
  for (index n = 0; n < samples; ++n) {
    const double value = n % 3 == 0 ? 0 : 0.25 * static_cast<double>(n % 7) - 0.5;
    const unsigned share = n % 5 == 4 ? 3 : 8;  // of 10
    bool chosen = n % 4 != 3;
    for (index i = 0; i < features; ++i) {
      if (chosen) x[static_cast<std::size_t>(n * features + i)] = value;
      if (i % 9 == 0) chosen = random() % 10 < share;  // runs, so that whole columns are background
    }
  }
}

// Small integers (many ties, many exact zeros) or reals.
Data make_data(const Op& op, const LaneChain& chain, bool integers) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> real(-1, 1);
  std::uniform_int_distribution<int> whole(-2, 2);
  const auto fill = [&](index count, bool exact) {
    Vector v(static_cast<std::size_t>(count));
    for (double& x : v) x = exact ? whole(random) : static_cast<float>(real(random));
    return v;
  };
  Data data;
  for (std::size_t i = 0; i < op.inputs().size(); ++i) {
    const TensorType& type = op.inputs()[i];
    if (type.dtype == DType::int64) {
      for (index n = 0; n < type.count(); ++n)
        data.labels.push_back(n % 11 == 5 ? -100 : n * 3 % chain.layers.back().features);
    } else {
      data.inputs.push_back(fill(type.count(), integers));
      // Weights of reals are kept small, as an initialised net's are.
      if (i > 0 && !integers) {
        const double fan_in = type.shape.size() > 1 ? static_cast<double>(type.count() / type.shape[0]) : 1.0;
        for (double& x : data.inputs.back()) x = static_cast<float>(x / std::sqrt(fan_in));
      }
    }
  }
  const Kind first = chain.layers.front().kind;
  if (first == Kind::linear || first == Kind::flatten) give_backgrounds(data.inputs.front(), chain.x[0]);
  for (const TensorType& type : op.outputs()) data.d_outputs.push_back(fill(type.count(), integers));
  return data;
}

template <class T>
Result run(const LaneChain& chain, const Data& data, int threads, bool wants_dx) {
  const auto op = make_lane_segment(chain);
  std::vector<Buffer> held;
  const auto tensor = [&](const TensorType& type, const Vector* values) {
    held.emplace_back(std::max<std::size_t>(type.bytes(), 1));
    std::memset(held.back().data(), 0xcd, held.back().bytes());
    if (values != nullptr) {
      for (std::size_t i = 0; i < values->size(); ++i) held.back().as<T>()[i] = static_cast<T>((*values)[i]);
    }
    return static_cast<void*>(held.back().data());
  };
  std::vector<const void*> inputs, d_outputs;
  std::vector<void*> outputs, saved, d_inputs;
  for (std::size_t i = 0; i < data.inputs.size(); ++i) {
    inputs.push_back(tensor(op->inputs()[i], &data.inputs[i]));
    d_inputs.push_back(i > 0 || wants_dx ? tensor(op->inputs()[i], nullptr) : nullptr);
  }
  if (!data.labels.empty()) {
    inputs.push_back(data.labels.data());
    d_inputs.push_back(nullptr);
  }
  for (std::size_t i = 0; i < op->outputs().size(); ++i) {
    outputs.push_back(tensor(op->outputs()[i], nullptr));
    d_outputs.push_back(tensor(op->outputs()[i], &data.d_outputs[i]));
  }
  for (const TensorType& type : op->saved()) saved.push_back(tensor(type, nullptr));
  const int before = num_threads();
  set_num_threads(threads);
  Buffer forward_scratch(op->forward_workspace(threads) + 1),
      backward_scratch(op->backward_workspace(threads) + 1);
  parallel(1e12, [&](const Team& team) {
    op->forward(team, {inputs.data(), outputs.data(), saved.data(), forward_scratch.data(), {}, nullptr});
  });
  if (chain.training) {
    parallel(1e12, [&](const Team& team) {
      op->backward(team, {inputs.data(),
                          nullptr,
                          saved.data(),
                          d_outputs.data(),
                          d_inputs.data(),
                          backward_scratch.data(),
                          {},
                          nullptr});
    });
  }
  set_num_threads(before);
  Result result;
  const auto values = [](const void* p, index count) {
    const T* v = static_cast<const T*>(p);
    return Vector(v, v + count);
  };
  for (std::size_t i = 0; i < outputs.size(); ++i)
    result.outputs.push_back(values(outputs[i], op->outputs()[i].count()));
  for (std::size_t i = 0; i < data.inputs.size(); ++i) {
    result.gradients.push_back(d_inputs[i] && chain.training ? values(d_inputs[i], op->inputs()[i].count())
                                                             : Vector());
  }
  return result;
}

void expect_near(const Vector& actual, const Vector& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double scale = 0, worst = 0;
  for (double v : expected) scale = std::max(scale, std::abs(v));
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - expected[i]);
    worst = error <= worst ? worst : error;  // a NaN is kept
    if (!(error <= tolerance * scale)) {
      ADD_FAILURE() << what << " differs at " << i << ": " << actual[i] << " for " << expected[i]
                    << " (largest " << scale << ")";
      return;
    }
  }
}

struct Case {
  const char* name;
  ChainBuilder builder;
};

// Behind a ReLU most of a dense layer's gradient is 0, which float32 leaves out: several lists of outputs and of samples,
// ends of vectors.
ChainBuilder dense_behind_relus(index n) {
  return ChainBuilder(n, 70, 1, 1).linear(150).relu(0).linear(131).relu(0).linear(9).loss();
}

std::vector<Case> cases(index n) {
  std::vector<Case> all;
  const auto add = [&](const char* name, const ChainBuilder& builder) { all.push_back({name, builder}); };
  add("lenet", lenet(n));
  add("odd_channels_wide_kernel", ChainBuilder(n, 3, 9, 11)
                                      .conv(7, 3, 5, 1, 1, 2)
                                      .relu(0)
                                      .conv(5, 4, 2, 1, 0, 1)
                                      .pool(2, 2, 2, 2)
                                      .relu()
                                      .flatten()
                                      .linear(13)
                                      .loss());
  add("stride_two_and_three", ChainBuilder(n, 2, 15, 17)
                                  .conv(5, 3, 3, 2, 1, 1)
                                  .relu(0.5)
                                  .conv(4, 3, 2, 3, 1, 0)
                                  .flatten()
                                  .linear(7, false)
                                  .loss());
  add("stride_over_kernel",
      ChainBuilder(n, 2, 11, 13).relu().conv(3, 2, 2, 3).conv(2, 1, 1, 2).flatten().linear(5).loss());
  add("dilated", ChainBuilder(n, 3, 13, 12)
                     .conv(4, 3, 3, 1, 2, 2, 2)
                     .relu()
                     .conv(3, 3, 2, 2, 1, 1, 3)
                     .flatten()
                     .linear(4)
                     .loss());
  add("kernel_over_five", ChainBuilder(n, 1, 14, 16)
                              .conv(2, 7, 11, 1, 3, 3)
                              .conv(3, 6, 6, 1, 0, 0, 1, false)
                              .relu()
                              .flatten()
                              .linear(3)
                              .loss());
  add("pool_overlapping_padded", ChainBuilder(n, 2, 10, 9)
                                     .conv(4, 3, 3, 1, 1, 1)
                                     .relu()
                                     .pool(3, 3, 2, 2, 1)
                                     .conv(3, 2, 2)
                                     .pool(3, 2, 1, 2)
                                     .flatten()
                                     .linear(6)
                                     .loss());
  add("pool_leaves_a_row", ChainBuilder(n, 2, 9, 11)
                               .conv(5, 3, 3, 1, 1, 1)
                               .relu(0)
                               .pool(2, 2, 2, 2)
                               .conv(3, 3, 3, 1, 1, 1)
                               .relu(1)
                               .pool(1, 4, 1, 4)
                               .flatten()
                               .linear(4)
                               .loss());
  add("pool_of_unrectified", ChainBuilder(n, 1, 8, 8)
                                 .conv(3, 3, 3)
                                 .pool(2, 2, 2, 2)
                                 .conv(2, 2, 2)
                                 .pool(2, 1, 2, 1)
                                 .flatten()
                                 .linear(3)
                                 .loss());
  add("tiles_of_three_by_three", ChainBuilder(n, 3, 15, 13)
                                     .conv(7, 3, 3, 1, 1, 1)
                                     .relu()
                                     .pool(2, 2, 2, 2)
                                     .conv(5, 3, 3, 1, 0, 1)
                                     .relu(0)
                                     .pool(4, 1, 4, 1)
                                     .conv(9, 3, 3, 1, 2, 2)
                                     .pool(1, 4, 1, 4)
                                     .flatten()
                                     .linear(4)
                                     .loss());
  add("tiles_of_five_by_five", ChainBuilder(n, 7, 10, 13)
                                   .conv(5, 5, 5, 1, 2, 2)
                                   .relu()
                                   .conv(11, 5, 5, 1, 1, 0)
                                   .pool(2, 2, 2, 2)
                                   .relu(0)
                                   .conv(2, 5, 5, 1, 3, 4, 1, false)
                                   .flatten()
                                   .linear(4)
                                   .loss());
  add("more_filters_than_lanes",
      ChainBuilder(n, 3, 9, 8).conv(19, 5, 5, 1, 2, 2).relu().pool(2, 2, 2, 2).flatten().linear(3).loss());
  add("one_pixel",
      ChainBuilder(n, 3, 5, 5).conv(8, 5, 5).relu().conv(17, 1, 1).relu().flatten().linear(2).loss());
  add("dense_only", ChainBuilder(n, 37, 1, 1).linear(29).relu().linear(33).relu(0.25).linear(3).loss());
  add("dense_behind_relus", dense_behind_relus(n));
  add("dense_on_background",
      ChainBuilder(n, 1, 11, 13).flatten().linear(59).relu().linear(33).relu(0.25).linear(3).loss());
  add("dense_on_background_without_bias",
      ChainBuilder(n, 80, 1, 1).linear(32, false).relu().linear(4).loss());
  add("dense_on_background_kept", ChainBuilder(n, 67, 1, 1).linear(25).keep().relu().linear(4).keep().loss());
  add("dense_on_background_that_is_kept", ChainBuilder(n, 2, 6, 6).flatten().keep().linear(40).relu().keep());
  add("no_loss",
      ChainBuilder(n, 2, 8, 9).conv(6, 3, 3, 1, 1, 1).relu().pool(2, 2, 2, 2).conv(9, 3, 3, 1, 1, 1).keep());
  add("kept_inside", ChainBuilder(n, 2, 8, 8)
                         .conv(6, 3, 3)
                         .keep()
                         .relu()
                         .keep()
                         .pool(2, 2, 2, 2)
                         .flatten()
                         .keep()
                         .linear(5)
                         .relu()
                         .keep()
                         .linear(4)
                         .keep()
                         .loss());
  return all;
}

using Algorithm = LaneLayer::Algorithm;

LaneChain with(LaneChain chain, Algorithm algorithm) {
  for (LaneLayer& layer : chain.layers) layer.algorithm = algorithm;
  return chain;
}

bool keeps(const LaneChain& chain) {
  for (const LaneLayer& layer : chain.layers) {
    if (layer.kept) return true;
  }
  return false;
}

template <class T>
void compare(const Case& test, Algorithm algorithm, bool integers, double tolerance) {
  LaneChain chain = with(test.builder.chain, algorithm);
  chain.dtype = dtype_of<T>();
  for (const bool by_block : {false, true}) {
    if (by_block && (!chain.loss || keeps(chain))) continue;
    chain.by_block = by_block;
    const Data data = make_data(*make_lane_segment(chain), chain, integers);
    const Result expected = reference(chain, data.inputs, data.labels, data.d_outputs);
    for (const bool wants_dx : {false, true}) {
      const Result actual = run<T>(chain, data, 2, wants_dx);
      const std::string where = std::string(test.name) + (by_block ? ", by block" : "") +
                                (wants_dx ? ", dx" : "") +
                                (algorithm == Algorithm::winograd ? ", winograd" : "") +
                                (algorithm == Algorithm::row_winograd ? ", rows" : "") +
                                (algorithm == Algorithm::nine_winograd ? ", nine" : "") +
                                (algorithm == Algorithm::sparse ? ", sparse" : "");
      for (std::size_t i = 0; i < expected.outputs.size(); ++i) {
        expect_near(actual.outputs[i], expected.outputs[i], tolerance,
                    where + ", output " + std::to_string(i));
      }
      for (std::size_t i = wants_dx ? 0 : 1; i < expected.gradients.size(); ++i) {
        expect_near(actual.gradients[i], expected.gradients[i], tolerance,
                    where + ", gradient " + std::to_string(i));
      }
    }
  }
}

// K * eps with room for the longest sum here (a few thousand terms); in float64 a wrong tap or mask cannot
// hide.
TEST(Lanes, Float64MatchesReference) {
  for (const Case& test : cases(17)) {
    compare<double>(test, Algorithm::direct, false, 1e-12);
    compare<double>(test, Algorithm::sparse, false, 1e-12);
  }
}
// Integers make ties in pools and exact zeros before ReLUs.
TEST(Lanes, TiesAndZerosMatchReference) {
  for (const Case& test : cases(16)) {
    compare<double>(test, Algorithm::direct, true, 1e-12);
    compare<float>(test, Algorithm::direct, true, 1e-5);
    compare<double>(test, Algorithm::sparse, true, 1e-12);
  }
}
TEST(Lanes, Float32MatchesReference) {
  for (const Case& test : cases(33)) {
    compare<float>(test, Algorithm::direct, false, 1e-5);
    compare<float>(test, Algorithm::automatic, false, 1e-5);
    compare<float>(test, Algorithm::sparse, false, 1e-5);
    compare<float>(test, Algorithm::winograd, false, 2e-5);
    compare<float>(test, Algorithm::row_winograd, false, 1e-5);
    compare<float>(test, Algorithm::nine_winograd, false, 1e-5);
  }
}

TEST(Lanes, GradientsThatAreMostlyZeroMatchReference) {
  for (const index n : {16, 63, 70, 129})
    compare<float>({"dense_behind_relus", dense_behind_relus(n)}, Algorithm::direct, false, 1e-5);
}
TEST(Lanes, NaNsAmongZerosAreKept) {
  LaneChain chain = dense_behind_relus(40).chain;
  const auto gradients = [&](auto value) {
    using T = decltype(value);
    chain.dtype = dtype_of<T>();
    Data data = make_data(*make_lane_segment(chain), chain, false);
    data.inputs.front()[5 * 70 + 3] = std::numeric_limits<double>::quiet_NaN();
    return run<T>(chain, data, 2, true).gradients;
  };
  const auto listed = gradients(0.0f), whole = gradients(0.0);
  index found = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (std::size_t k = 0; k < whole[i].size(); ++k) {
      EXPECT_EQ(std::isnan(listed[i][k]), std::isnan(whole[i][k])) << i << ", " << k;
      found += std::isnan(whole[i][k]);
    }
  }
  EXPECT_GT(found, 0);
}

// A NaN is in all outputs that look at it and changes no other sample's.
TEST(Lanes, NaNsReachTheirOwnSampleAlone) {
  constexpr index kSpoilt = 5;
  for (const index channels : {1, 3}) {
    for (const double at_zero : {0.0, 1.0}) {
      LaneChain chain = ChainBuilder(19, channels, 13, 14)
                            .conv(5, 5, 5, 1, 2, 2)
                            .relu(at_zero)
                            .pool(2, 2, 2, 2)
                            .keep()
                            .chain;
      for (const Algorithm algorithm : {Algorithm::direct, Algorithm::automatic, Algorithm::winograd,
                                        Algorithm::row_winograd, Algorithm::nine_winograd}) {
        chain = with(chain, algorithm);
        Data data = make_data(*make_lane_segment(chain), chain, false);
        const Result whole = run<float>(chain, data, 1, true);
        const index sample = channels * 13 * 14;
        data.inputs.front()[static_cast<std::size_t>(kSpoilt * sample + 6 * 14 + 7)] =
            std::numeric_limits<double>::quiet_NaN();
        const Result spoilt = run<float>(chain, data, 1, true);
        const Vector expected = reference(chain, data.inputs, data.labels, data.d_outputs).outputs.front();
        const auto outputs = static_cast<index>(expected.size()) / 19;
        index found = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const bool nan = std::isnan(spoilt.outputs.front()[i]);
          found += std::isnan(expected[i]);
          EXPECT_TRUE(nan || !std::isnan(expected[i])) << i;
          EXPECT_TRUE(static_cast<index>(i) / outputs == kSpoilt ||
                      spoilt.outputs.front()[i] == whole.outputs.front()[i])
              << i;
        }
        EXPECT_GT(found, 0);
        for (index i = 0; i < 19 * sample; ++i) {
          const auto at = static_cast<std::size_t>(i);
          EXPECT_TRUE(i / sample == kSpoilt || spoilt.gradients.front()[at] == whole.gradients.front()[at])
              << i;
        }
      }
    }
  }
}

TEST(Lanes, SameBitsAtEveryThreadCount) {
  constexpr Algorithm kAlgorithms[] = {Algorithm::automatic, Algorithm::sparse, Algorithm::winograd,
                                       Algorithm::row_winograd, Algorithm::nine_winograd};
  for (const index n : {16, 31, 64, 65}) {
    for (const Case& test : cases(n)) {
      for (const Algorithm algorithm : kAlgorithms) {
        LaneChain chain = with(test.builder.chain, algorithm);
        for (const bool by_block : {false, true}) {
          if (by_block && (!chain.loss || keeps(chain))) continue;
          chain.by_block = by_block;
          const Data data = make_data(*make_lane_segment(chain), chain, false);
          const Result alone = run<float>(chain, data, 1, true);
          for (const int threads : {2, 3}) {
            const Result together = run<float>(chain, data, threads, true);
            EXPECT_EQ(alone.outputs, together.outputs) << test.name;
            EXPECT_EQ(alone.gradients, together.gradients) << test.name;
          }
        }
      }
    }
  }
}

TEST(Lanes, InferenceEqualsTraining) {
  for (const Case& test : cases(31)) {
    for (const Algorithm algorithm :
         {Algorithm::winograd, Algorithm::row_winograd, Algorithm::nine_winograd, Algorithm::sparse}) {
      LaneChain chain = with(test.builder.chain, algorithm);
      const Data data = make_data(*make_lane_segment(chain), chain, false);
      const Result training = run<float>(chain, data, 2, false);
      chain.training = false;
      EXPECT_EQ(run<float>(chain, data, 2, false).outputs, training.outputs) << test.name;
    }
  }
}

}  // namespace
}  // namespace tenfold
