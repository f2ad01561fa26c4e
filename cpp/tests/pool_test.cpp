// Pooling over buffers of exactly the size it may touch: the sanitizer run finds what reads or writes beyond.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tenfold/cpu.h"
#include "tenfold/pool.h"

namespace tenfold {
namespace {

struct Case {
  const char* name;
  Shape size, kernel, stride, dilation, pads;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"lenet", {28, 28}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"lenet_second", {10, 10}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"odd", {7, 67}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"3x3_stride_2", {9, 69}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"3x3_stride_2_padded", {8, 66}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_2_narrow", {13, 13}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"3x3_stride_2_narrow_padded", {11, 15}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_2_unused_end", {12, 40}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"3x3_stride_3_2", {11, 34}, {3, 3}, {3, 2}, {1, 1}, {0, 0, 1, 1}},
      {"3x3_stride_2_wide", {5, 2500}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"2x2_wide", {4, 2500}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"2x2_padded", {6, 38}, {2, 2}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"2x2_padded_wide", {6, 70}, {2, 2}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_2_wide_padded_behind", {10, 72}, {3, 3}, {2, 2}, {1, 1}, {0, 1, 0, 1}},
      {"3x3_stride_2_wide_padded_beside", {9, 71}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}},
      {"3x3_stride_2_wide_one_row", {3, 59}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"4x4_stride_2", {10, 71}, {4, 4}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"3x2_stride_1_2", {9, 35}, {3, 2}, {1, 2}, {1, 1}, {1, 1, 0, 0}},
      {"1x3_stride_3_2", {8, 35}, {1, 3}, {3, 2}, {1, 1}, {0, 0, 1, 1}},
      {"few_outputs", {4, 4}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"one_output", {3, 3}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"few_outputs_padded", {6, 5}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_2_padded_behind", {10, 40}, {3, 3}, {2, 2}, {1, 1}, {0, 1, 0, 1}},
      {"3x3_stride_2_two_columns_outside", {9, 40}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 2, 2}},
      {"2x3_stride_3_2_dilated_rows", {12, 21}, {2, 3}, {3, 2}, {4, 1}, {1, 1, 1, 1}},
      {"narrow_odd", {9, 11}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"narrow_tall", {10, 7}, {3, 2}, {3, 2}, {1, 1}, {0, 0, 0, 0}},
      {"one_column", {8, 3}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"3x3_stride_2_55", {15, 55}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"3x3_stride_2_56_padded", {14, 56}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"small_tiles", {6, 9}, {3, 2}, {3, 3}, {1, 1}, {0, 0, 0, 0}},
      {"padded_tiles", {5, 7}, {2, 2}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_1", {7, 37}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_1_narrow", {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_1_strips", {75, 67}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_1_wide", {4, 4200}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"2x2_parts", {91, 111}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"2x2_parts_of_planes", {50, 34}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
      {"3x3_stride_2_parts", {112, 91}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {"3x3_stride_2_parts_padded_behind", {110, 100}, {3, 3}, {2, 2}, {1, 1}, {0, 1, 0, 1}},
      {"3x3_dilated_parts", {61, 97}, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}},
      {"only_padding_parts", {3, 300}, {2, 2}, {1, 1}, {3, 3}, {9, 9, 9, 9}},
      {"5x4_stride_2_1_dilated", {13, 24}, {5, 4}, {2, 1}, {2, 3}, {3, 4, 5, 4}},
      {"5x5_stride_2", {17, 57}, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}},
      {"4x4_stride_4", {16, 56}, {4, 4}, {4, 4}, {1, 1}, {0, 0, 0, 0}},
      {"3x4_stride_2_5_dilated", {12, 61}, {3, 4}, {2, 5}, {1, 3}, {1, 0, 4, 3}},
      {"plane", {8, 8}, {8, 8}, {8, 8}, {1, 1}, {0, 0, 0, 0}},
      {"5_stride_2", {5, 41}, {1, 5}, {1, 2}, {1, 1}, {0, 0, 2, 2}},
      {"dilated", {9, 43}, {2, 3}, {2, 2}, {3, 4}, {0, 0, 0, 0}},
      {"only_padding_dilated", {3, 3}, {2, 2}, {1, 1}, {3, 3}, {9, 9, 9, 9}},
      {"stride_3", {9, 17}, {3, 3}, {3, 3}, {1, 1}, {1, 0, 0, 2}},
      {"volume", {3, 5, 18}, {2, 2, 2}, {2, 2, 2}, {1, 1, 1}, {0, 1, 0, 0, 0, 0}},
  };
  return all;
}

// What is kept of the maximum at tap (i, j, k), at a position.
std::int64_t kept(const Window& window, index i, index j, index k, index, std::uint8_t) {
  return (i * window[1].kernel + j) * window[2].kernel + k;
}
std::int64_t kept(const Window&, index, index, index, index position, index) {
  return position;
}

enum class Input { numbers, special, minus_infinity };

template <class T>
std::vector<T> make_input(Input kind, std::size_t size) {
  constexpr T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> x(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t number = (i * 7919) % 31;
    x[i] = static_cast<T>(number);
    if (kind == Input::minus_infinity) x[i] = -inf;
    if (kind == Input::special) {
      x[i] = number % 2 == 0 ? T(0) : -T(0);
      if (i % 13 == 5) x[i] = -inf;
      if (i % 37 == 4) x[i] = inf;
      if (i % 101 >= 97) x[i] = nan;
    }
  }
  return x;
}

// Equal with the sign of zero; a NaN equals every NaN.
template <class T>
bool same(T a, T b) {
  return (a != a && b != b) || (a == b && std::signbit(a) == std::signbit(b));
}

template <class T, class P>
void check_case(const Case& c, Input kind) {
  const Window window =
      make_window({"test", c.size, c.kernel, c.stride, c.dilation, c.pads, Border::constant, false});
  constexpr index planes = 3;
  constexpr std::size_t behind = 16;  // elements that nothing may write to
  const index in = window.input_count(), out = window.output_count();
  const auto x = make_input<T>(kind, static_cast<std::size_t>(planes * in));
  const auto outputs = static_cast<std::size_t>(planes * out);
  std::vector<T> y(outputs + behind, T(99)), values(y);
  std::vector<P> positions(outputs + behind, P(99));
  const MaxPool pool(window, planes, "test");
  pool.forward(Team::alone(), x.data(), y.data(), positions.data());
  pool.forward(Team::alone(), x.data(), values.data(), static_cast<P*>(nullptr));
  for (std::size_t i = outputs; i < y.size(); ++i) {
    ASSERT_TRUE(y[i] == T(99) && values[i] == T(99) && positions[i] == P(99))
        << c.name << " behind the outputs";
  }

  const std::size_t cache = cache_bytes();
  set_cache_bytes(0);
  std::vector<T> far(outputs + behind, T(99)), far_values(far);
  std::vector<P> far_positions(outputs + behind, P(99));
  pool.forward(Team::alone(), x.data(), far.data(), far_positions.data());
  pool.forward(Team::alone(), x.data(), far_values.data(), static_cast<P*>(nullptr));
  set_cache_bytes(cache);
  EXPECT_TRUE(std::equal(far.begin(), far.end(), y.begin(), same<T>)) << c.name << " out of no cache";
  EXPECT_TRUE(std::equal(far_values.begin(), far_values.end(), values.begin(), same<T>))
      << c.name << " values out of no cache";
  EXPECT_EQ(far_positions, positions) << c.name << " out of no cache";

  std::vector<T> dy(outputs), expected(x.size() + behind, T(0));
  std::fill_n(expected.begin() + planes * in, behind, T(99));
  std::size_t o = 0;
  for (index p = 0; p < planes; ++p) {
    for (index od = 0; od < window[0].output; ++od) {
      for (index oh = 0; oh < window[1].output; ++oh) {
        for (index ow = 0; ow < window[2].output; ++ow, ++o) {
          T best = -std::numeric_limits<T>::infinity();
          index where = -1, expected_kept = static_cast<P>(-1);
          for (index i = 0; i < window[0].kernel; ++i) {
            for (index j = 0; j < window[1].kernel; ++j) {
              for (index k = 0; k < window[2].kernel; ++k) {
                const index d = window[0].position(od, i), h = window[1].position(oh, j),
                            w = window[2].position(ow, k);
                if (d < 0 || h < 0 || w < 0 || d >= window[0].size || h >= window[1].size ||
                    w >= window[2].size) {
                  continue;
                }
                const index at = (d * window[1].size + h) * window[2].size + w;
                const T v = x[static_cast<std::size_t>(p * in + at)];
                if (where < 0 || v > best || (std::isnan(v) && !std::isnan(best))) {
                  best = v;
                  where = at;
                  expected_kept = kept(window, i, j, k, at, P{});
                }
              }
            }
          }
          ASSERT_TRUE(same(y[o], best)) << c.name << " output " << o << ": " << y[o] << ", not " << best;
          ASSERT_TRUE(same(values[o], best))
              << c.name << " value " << o << ": " << values[o] << ", not " << best;
          ASSERT_EQ(positions[o], expected_kept) << c.name << " output " << o;
          dy[o] = static_cast<T>(1 + o % 7);
          if (where >= 0) expected[static_cast<std::size_t>(p * in + where)] += dy[o];
        }
      }
    }
  }
  const auto check_gradient = [&](const char* how) {
    std::vector<T> dx(expected);
    std::fill_n(dx.begin(), planes * in, T(-1));
    pool.backward(Team::alone(), dy.data(), positions.data(), dx.data());
    EXPECT_EQ(dx, expected) << c.name << how;
    std::vector<T> exact(x.size());
    pool.backward(Team::alone(), dy.data(), positions.data(), exact.data());
    EXPECT_TRUE(std::equal(exact.begin(), exact.end(), expected.begin())) << c.name << how;
  };
  check_gradient("");
  set_cache_bytes(0);
  check_gradient(" past the caches");
  set_cache_bytes(cache);
}

TEST(MaxPool, EveryIsaAgreesWithTheDefinition) {
  const Isa before = active_isa();
  for (Isa isa : available_isas()) {
    set_isa(name_of(isa));
    for (const Case& c : cases()) {
      for (Input kind : {Input::numbers, Input::special, Input::minus_infinity}) {
        check_case<float, std::uint8_t>(c, kind);
        check_case<float, index>(c, kind);
        check_case<double, std::uint8_t>(c, kind);
        check_case<double, index>(c, kind);
      }
    }
  }
  set_isa(name_of(before));
}

TEST(AveragePool, GradientIsTheAdjoint) {
  // <pool x, y> = <x, pool' y>, whatever the geometry.
  const Isa before = active_isa();
  for (Isa isa : available_isas()) {
    set_isa(name_of(isa));
    for (const Case& c : cases()) {
      const Shape dense(c.kernel.size(), 1);
      const Window window =
          make_window({"test", c.size, c.kernel, c.stride, dense, c.pads, Border::constant, true});
      constexpr index planes = 2;
      std::vector<double> x(static_cast<std::size_t>(planes * window.input_count())), dx(x.size());
      std::vector<double> y(static_cast<std::size_t>(planes * window.output_count())), dy(y.size());
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>((i * 7919) % 31);
      for (std::size_t i = 0; i < y.size(); ++i) dy[i] = static_cast<double>((i * 104729) % 17);
      const AveragePool<double> pool(window, planes, {false, 0});
      pool.forward(Team::alone(), x.data(), y.data());
      pool.backward(Team::alone(), dy.data(), dx.data());
      double left = 0, right = 0;
      for (std::size_t i = 0; i < y.size(); ++i) left += y[i] * dy[i];
      for (std::size_t i = 0; i < x.size(); ++i) right += x[i] * dx[i];
      EXPECT_NEAR(left, right, 1e-10 * std::abs(left)) << c.name;
    }
  }
  set_isa(name_of(before));
}

}  // namespace
}  // namespace tenfold
