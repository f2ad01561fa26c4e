// Outputs that leave past the caches are the same, whatever their address and size.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tenfold/cpu.h"
#include "tenfold/op.h"

namespace tenfold {
namespace {

struct Case {
  const char* kind;
  std::vector<Shape> shapes;
  Attributes attributes;
};

Attributes attributes(std::initializer_list<std::pair<const char*, Attributes::Value>> values) {
  Attributes result;
  for (const auto& [name, value] : values) result.set(name, value);
  return result;
}

std::vector<Case> cases() {
  const Shape odd{5, 3, 37, 29}, channel{3, 1, 1};
  const Attributes windows = attributes({{"function", std::string("conv_transpose2d")},
                                         {"stride", Shape{2, 2}},
                                         {"dilation", Shape{1, 1}},
                                         {"pads", Shape{0, 0, 0, 0}},
                                         {"border", std::string("constant")}});
  return {
      {"relu", {{4000}}, attributes({{"at_zero", 1.0}})},
      {"relu", {odd}, attributes({{"at_zero", 0.0}})},
      {"relu", {odd}, attributes({{"at_zero", 0.5}, {"keep_sign", true}})},
      {"sigmoid", {odd}, {}},
      {"add", {odd, channel}, {}},
      {"mul", {odd, odd}, {}},
      {"softmax", {{9, 700}}, attributes({{"axis", index{1}}})},
      {"softmax", {{3, 4099}}, attributes({{"axis", index{1}}})},
      {"log_softmax", {{9, 700}}, attributes({{"axis", index{1}}})},
      {"mean", {odd}, attributes({{"axes", Shape{0, 2, 3}}})},
      {"batch_norm", {odd}, attributes({{"training", true}})},
      {"permute", {odd}, attributes({{"axes", Shape{0, 2, 3, 1}}})},
      {"permute", {{7, 5, 300}}, attributes({{"axes", Shape{1, 0, 2}}})},
      {"conv_transpose", {{2, 33, 12, 16}, {33, 17, 2, 2}, {17}}, windows},  // rows of whole vectors
      {"conv_transpose", {{2, 33, 12, 15}, {33, 17, 2, 2}, {17}}, windows},
  };
}

// All outputs and input gradients of an operation whose arrays begin `offset` elements behind a multiple of a line.
std::vector<std::vector<float>> results(const Case& c, std::size_t offset) {
  std::vector<TensorType> types;
  for (const Shape& shape : c.shapes) types.push_back({DType::float32, shape});
  const auto op = OpRegistry::global().create(c.kind, c.attributes, types);
  std::vector<std::vector<float>> arrays;
  arrays.reserve(16);
  const auto add = [&](const TensorType& type, unsigned step) {
    arrays.emplace_back(static_cast<std::size_t>(type.count()) + 32, -7.0f);
    float* data = arrays.back().data();
    while (reinterpret_cast<std::uintptr_t>(data) % 64 != 0) ++data;
    data += offset;
    for (index i = 0; step > 0 && i < type.count(); ++i) {
      data[i] = static_cast<float>((i * step) % 23) - 11.0f;
    }
    return data;
  };
  std::vector<const void*> inputs, d_outputs;
  std::vector<void*> outputs, d_inputs, saved;
  for (const TensorType& type : op->inputs()) inputs.push_back(add(type, 7));
  for (const TensorType& type : op->outputs()) d_outputs.push_back(add(type, 5));
  for (const TensorType& type : op->saved()) saved.push_back(add(type, 0));
  const std::size_t first = arrays.size();
  for (const TensorType& type : op->outputs()) outputs.push_back(add(type, 0));
  for (const TensorType& type : op->inputs()) d_inputs.push_back(add(type, 0));
  std::vector<double> workspace(std::max(op->forward_workspace(1), op->backward_workspace(1)) / 8 + 8);
  auto* bytes = reinterpret_cast<std::byte*>(workspace.data());
  while (reinterpret_cast<std::uintptr_t>(bytes) % 64 != 0) bytes += 8;
  ErrorSink errors;
  op->forward(Team::alone(), {inputs.data(), outputs.data(), saved.data(), bytes, {}, &errors});
  op->backward(
      Team::alone(),
      {inputs.data(), outputs.data(), saved.data(), d_outputs.data(), d_inputs.data(), bytes, {}, &errors});
  return {arrays.begin() + static_cast<std::ptrdiff_t>(first), arrays.end()};
}

TEST(PastTheCaches, AnOutputIsTheSame) {
  const std::size_t cache = cache_bytes();
  const Isa isa = active_isa();
  for (Isa each : available_isas()) {
    set_isa(name_of(each));
    for (const Case& c : cases()) {
      for (std::size_t offset : {0, 1, 4, 15}) {
        set_cache_bytes(cache);
        const auto expected = results(c, offset);
        set_cache_bytes(0);
        // Allocations may have other addresses: compare what lies between the margins.
        const auto found = results(c, offset);
        for (std::size_t k = 0; k < expected.size(); ++k) {
          auto a = expected[k], b = found[k];
          const auto margin = [](float v) { return v == -7.0f; };
          a.erase(a.begin(), std::find_if_not(a.begin(), a.end(), margin));
          b.erase(b.begin(), std::find_if_not(b.begin(), b.end(), margin));
          while (!a.empty() && margin(a.back())) a.pop_back();
          while (!b.empty() && margin(b.back())) b.pop_back();
          ASSERT_EQ(a, b) << c.kind << " offset " << offset << " array " << k;
        }
      }
    }
  }
  set_isa(name_of(isa));
  set_cache_bytes(cache);
}

TEST(PastTheCaches, TheCacheIsDetected) {
  EXPECT_GE(cache_bytes(), std::size_t{1} << 18);
}

}  // namespace
}  // namespace tenfold
