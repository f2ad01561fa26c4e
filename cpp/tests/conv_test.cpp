// The three operators against the definition; small integers, so that every sum is exact.
#include "tenfold/conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conv/phases.h"
#include "conv/winograd_gradient_choice.h"
#include "late_member.h"
#include "tenfold/error.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

struct Case {
  const char* reason;
  index images, channels, filters, groups;
  Shape size, kernel, stride, dilation, pads;
};

const Case kCases[] = {
    {"plain", 2, 3, 5, 1, {7, 11}, {3, 2}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"strips", 1, 9, 19, 1, {61, 47}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"rows_of_whole_vectors", 1, 3, 17, 1, {66, 64}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"rows_of_whole_vectors_stride", 2, 3, 16, 1, {66, 65}, {3, 5}, {2, 2}, {1, 1}, {1, 1, 2, 1}},
    {"rows_joined", 1, 3, 16, 1, {29, 27}, {5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}},
    {"rows_joined_in_place", 2, 6, 17, 1, {14, 14}, {5, 5}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"rows_joined_less_than_a_tile", 1, 5, 9, 1, {4, 12}, {3, 4}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"rows_joined_stride", 2, 3, 13, 1, {27, 29}, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 1}},
    {"rows_joined_strips", 1, 40, 9, 1, {90, 43}, {1, 5}, {1, 1}, {1, 1}, {0, 0, 1, 1}},
    {"gaps_within_a_vector", 2, 9, 24, 1, {9, 7}, {3, 5}, {1, 1}, {1, 1}, {1, 1, 2, 2}},
    {"images_share_panels", 9, 33, 40, 1, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"filters_share_padding", 1, 40, 130, 1, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"filters_share_packed_pixels", 1, 40, 33, 1, {7, 9}, {5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}},
    {"filters_share_packed_pixels_in_place", 2, 20, 40, 1, {9, 8}, {5, 4}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"filters_share_packed_pixels_of_groups", 1, 36, 82, 2, {6, 7}, {5, 4}, {1, 1}, {1, 1}, {2, 2, 1, 2}},
    {"filters_share_packed_pixels_stride", 1, 50, 30, 1, {11, 12}, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}},
    {"blocks_of_pixels_shared_out", 1, 20, 30, 1, {29, 27}, {4, 7}, {1, 1}, {1, 1}, {2, 1, 3, 3}},
    {"blocks_of_pixels_shared_out_stride", 1, 20, 30, 2, {49, 47}, {7, 6}, {2, 2}, {1, 1}, {3, 3, 3, 2}},
    {"deep", 2, 70, 12, 1, {6, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"stride_and_dilation", 2, 3, 5, 1, {13, 11}, {3, 3}, {2, 3}, {3, 2}, {2, 1, 0, 3}},
    {"phases", 2, 33, 40, 1, {23, 26}, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}},
    {"phases_of_uneven_sizes", 1, 40, 37, 1, {61, 71}, {3, 3}, {1, 1}, {2, 3}, {2, 1, 3, 4}},
    {"phases_of_rows", 2, 36, 33, 1, {33, 13}, {3, 3}, {1, 1}, {4, 1}, {4, 4, 1, 1}},
    {"phases_of_columns", 1, 36, 33, 1, {9, 37}, {3, 3}, {1, 1}, {1, 2}, {0, 0, 1, 0}},
    {"phases_of_five", 1, 48, 40, 1, {27, 25}, {5, 5}, {1, 1}, {2, 2}, {4, 4, 4, 4}},
    {"in_place", 3, 20, 17, 1, {9, 8}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"in_place_rows", 3, 4, 17, 1, {9, 40}, {5, 5}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"depthwise", 2, 7, 7, 7, {13, 19}, {3, 3}, {2, 1}, {1, 1}, {1, 1, 1, 1}},
    {"depthwise_rows", 1, 5, 5, 5, {11, 53}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"depthwise_rows_without_padding", 2, 3, 6, 3, {9, 50}, {3, 3}, {1, 1}, {1, 1}, {0, 2, 0, 1}},
    {"depthwise_every_second_row", 2, 3, 6, 3, {13, 71}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
    {"depthwise_every_second_row_behind", 2, 3, 3, 3, {12, 66}, {3, 3}, {2, 2}, {1, 1}, {0, 1, 0, 3}},
    {"depthwise_planes_share_items", 2, 70, 70, 70, {7, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"depthwise_items_share_planes", 1, 2, 2, 2, {130, 70}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"depthwise_dilated", 2, 5, 5, 5, {17, 23}, {3, 3}, {1, 1}, {2, 3}, {2, 2, 3, 3}},
    {"depthwise_dilated_rows", 2, 3, 6, 3, {19, 11}, {3, 2}, {1, 2}, {4, 1}, {1, 5, 0, 1}},
    {"depthwise_dilated_strips", 1, 3, 3, 3, {131, 70}, {3, 3}, {1, 1}, {5, 2}, {5, 5, 2, 2}},
    {"depthwise_dilated_further_than_the_plane", 1, 3, 3, 3, {7, 9}, {3, 3}, {1, 1}, {6, 2}, {6, 6, 2, 2}},
    {"depthwise_dilated_five", 1, 3, 3, 3, {23, 9}, {5, 5}, {1, 1}, {2, 2}, {4, 4, 4, 4}},
    {"groups", 2, 6, 40, 2, {9, 11}, {3, 2}, {1, 1}, {1, 1}, {1, 1, 0, 1}},
    {"images_in_lanes", 31, 1, 6, 1, {9, 8}, {5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}},
    {"images_in_lanes_stride", 31, 9, 7, 1, {9, 10}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
    {"images_in_lanes_stride_in_strips", 16, 8, 7, 1, {67, 31}, {3, 5}, {2, 3}, {1, 1}, {1, 2, 0, 1}},
    {"images_in_lanes_stride_dilated", 16, 4, 6, 1, {12, 13}, {3, 2}, {3, 2}, {2, 3}, {1, 0, 2, 1}},
    {"images_in_lanes_stride_past_window", 16, 4, 6, 1, {11, 9}, {2, 1}, {3, 1}, {1, 1}, {1, 3, 0, 0}},
    {"images_in_lanes_by_pairs", 17, 3, 5, 1, {9, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"every_second_pixel", 3, 20, 17, 1, {9, 8}, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
    {"looks_with_gaps", 2, 5, 19, 1, {13, 18}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
    {"looks_with_gaps_and_dilation", 3, 14, 70, 2, {35, 34}, {3, 2}, {2, 3}, {3, 2}, {0, 0, 0, 0}},
    {"pixels_in_the_padding", 2, 3, 5, 1, {4, 5}, {1, 1}, {2, 1}, {1, 1}, {3, 1, 0, 2}},
    {"every_fourth_pixel", 1, 3, 5, 1, {9, 150}, {3, 5}, {2, 4}, {1, 1}, {1, 1, 2, 3}},
    {"samples_of_every_fourth", 2, 3, 5, 1, {7, 150}, {1, 1}, {3, 4}, {1, 1}, {0, 0, 0, 0}},
    {"samples_of_long_rows", 2, 3, 5, 1, {9, 75}, {1, 1}, {2, 2}, {1, 1}, {1, 2, 0, 9}},
    {"samples_of_a_volume", 2, 3, 5, 1, {5, 7, 70}, {1, 1, 1}, {2, 3, 2}, {1, 1, 1}, {0, 1, 2, 0, 1, 40}},
    {"samples_of_large_images", 4, 260, 13, 1, {47, 60}, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
    {"samples_of_large_volumes",
     4,
     3,
     29,
     1,
     {5, 23, 50},
     {1, 1, 1},
     {2, 2, 2},
     {1, 1, 1},
     {0, 0, 0, 0, 0, 0}},
    {"large_images_in_a_border", 2, 5, 36, 1, {23, 30}, {1, 1}, {1, 1}, {1, 1}, {2, 1, 0, 3}},
    {"window_is_the_image", 7, 5, 19, 1, {4, 3}, {4, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"few_pixels", 2, 70, 260, 1, {6, 5}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 0, 1}},
    {"few_pixels_of_whole_planes", 2, 2050, 131, 1, {6, 5}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"few_pixels_sampled", 1, 1030, 131, 1, {9, 8}, {1, 1}, {2, 2}, {1, 1}, {0, 1, 0, 0}},
    {"few_pixels_of_a_long_sum", 1, 450, 131, 1, {9, 11}, {4, 3}, {1, 1}, {1, 1}, {0, 1, 2, 0}},
    {"few_pixels_of_patches", 2, 60, 131, 1, {12, 15}, {4, 5}, {4, 5}, {1, 1}, {0, 0, 0, 0}},
    {"three_stride_two", 2, 9, 33, 1, {13, 20}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
    {"four_stride_two", 2, 9, 33, 1, {14, 20}, {4, 4}, {2, 2}, {1, 1}, {1, 1, 1, 1}},
    {"images_in_one_product", 3, 530, 130, 1, {7, 7}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"images_cut_a_tile", 5, 70, 530, 1, {13, 11}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}},
    {"side_by_side", 3, 17, 389, 1, {22, 26}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
    {"side_by_side_deep", 1, 131, 530, 1, {24, 24}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
    {"side_by_side_chunks_cut_pairs", 1, 385, 128, 1, {24, 22}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
    {"side_by_side_rows", 2, 20, 33, 1, {600}, {2}, {2}, {1}, {0, 0}},
    {"side_by_side_volume", 2, 9, 33, 1, {4, 16, 22}, {2, 2, 2}, {2, 2, 2}, {1, 1, 1}, {0, 0, 0, 0, 0, 0}},
    {"side_by_side_large", 1, 5, 33, 1, {4, 30, 26}, {2, 3, 2}, {2, 3, 2}, {1, 1, 1}, {0, 0, 0, 0, 0, 0}},
    {"images_in_one_product_of_aliased_weights",
     2,
     1024,
     260,
     1,
     {8, 8},
     {1, 1},
     {1, 1},
     {1, 1},
     {0, 0, 0, 0}},
    {"patches", 3, 5, 19, 1, {12, 20}, {4, 5}, {4, 5}, {1, 1}, {0, 0, 0, 0}},
    {"patches_before_the_end", 1, 5, 33, 1, {15, 23}, {4, 4}, {4, 4}, {1, 1}, {0, 0, 0, 0}},
    {"patches_in_groups", 7, 3, 17, 1, {160, 176}, {16, 16}, {16, 16}, {1, 1}, {0, 0, 0, 0}},
    {"patches_one_by_one", 2, 3, 17, 1, {256, 320}, {8, 16}, {8, 16}, {1, 1}, {0, 0, 0, 0}},
    {"patches_of_a_signal", 2, 7, 17, 1, {203}, {10}, {10}, {1}, {0, 0}},
    {"patches_of_a_volume", 2, 5, 18, 1, {4, 9, 14}, {2, 3, 4}, {2, 3, 4}, {1, 1, 1}, {0, 0, 0, 0, 0, 0}},
    {"many_tiles", 2, 17, 19, 1, {53, 50}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
    {"signal", 2, 3, 5, 1, {901}, {7}, {2}, {1}, {3, 2}},
    {"volume", 2, 3, 4, 1, {5, 6, 7}, {2, 3, 3}, {1, 2, 1}, {2, 1, 1}, {1, 1, 1, 0, 2, 2}},
};

template <class T>
std::vector<T> integers(index count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(static_cast<int>(random() % 9) - 4);
  return values;
}

ConvGeometry geometry_of(const Case& c, Border border) {
  ConvGeometry g;
  g.window = make_window({"conv", c.size, c.kernel, c.stride, c.dilation, c.pads, border});
  g.images = c.images, g.channels = c.channels, g.filters = c.filters, g.groups = c.groups;
  return g;
}

// Relative to the largest magnitude.
template <class T>
void expect_close(const char* name, const std::vector<T>& actual, const std::vector<T>& expected,
                  double tolerance) {
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    const double difference = std::abs(static_cast<double>(actual[i] - expected[i]));
    if (!(difference <= error)) error = difference;  // NaN too
  }
  EXPECT_LE(error, tolerance * largest) << name;
}

// The sum of dy by filter.
template <class T>
std::vector<T> bias_gradient_of(const ConvGeometry& g, const std::vector<T>& dy) {
  const auto filters = static_cast<std::size_t>(g.filters),
             pixels = static_cast<std::size_t>(g.window.output_count());
  std::vector<T> db(filters);
  for (std::size_t i = 0; i < dy.size(); ++i) db[i / pixels % filters] += dy[i];
  return db;
}

template <class T>
void check(const Case& c, Border border, std::initializer_list<ConvAlgorithm> algorithms) {
  const ConvGeometry g = geometry_of(c, border);
  const auto count = [](const Shape& shape) { return checked_count(shape, "test", "shape"); };
  const auto x = integers<T>(count(g.input_shape()), 1), w = integers<T>(count(g.weight_shape()), 2);
  const auto bias = integers<T>(g.filters, 3), dy = integers<T>(count(g.output_shape()), 4);
  std::vector<T> expected_y(dy.size()), expected_dx(x.size()), expected_dw(w.size());
  reference_convolution(g, 2, x.data(), w.data(), bias.data(), expected_y.data());
  reference_convolution_backward(g, 2, x.data(), w.data(), dy.data(), expected_dx.data(), expected_dw.data());
  const auto expected_db = bias_gradient_of(g, dy);

  for (const ConvAlgorithm algorithm : algorithms) {
    SCOPED_TRACE(std::string(c.reason) + " " + name_of(border) + " " +
                 std::to_string(static_cast<int>(algorithm)));
    ConvOptions options;
    options.algorithm = algorithm;
    options.border_value = 2;
    const Convolution<T> conv(g, options);
    std::vector<T> y(dy.size()), dx(x.size()), dw(w.size()), db(bias.size());
    const int threads = num_threads();
    const Buffer workspace(std::max({conv.apply_workspace(threads), conv.adjoint_workspace(threads),
                                     conv.weight_gradient_workspace(threads)}));
    parallel(1e9, [&](const Team& team) {
      conv.apply(team, x.data(), w.data(), bias.data(), y.data(), workspace.data());
      conv.adjoint(team, dy.data(), w.data(), nullptr, dx.data(), workspace.data());
      conv.weight_gradient(team, x.data(), dy.data(), dw.data(), db.data(), workspace.data());
    });
    // The automatic choice for these may be a form of Winograd's whose numbers are no integers.
    const bool free =
        algorithm == ConvAlgorithm::automatic && sizeof(T) == 4 && c.stride == Shape{1, 1} && c.groups == 1;
    const bool three = c.kernel == Shape{3, 3}, five = c.kernel == Shape{5, 5};
    const bool dilated = c.dilation != Shape(c.dilation.size(), 1);
    const auto tolerance = [&](bool by_phases) {
      return free && (three || five) && (!dilated || by_phases) ? 2e-6 : 0;
    };
    expect_close("y", y, expected_y, tolerance(phases_apply(g, options, false)));
    expect_close("dx", dx, expected_dx, tolerance(phases_apply(g, options, true)));
    expect_close("db", db, expected_db, 0);
    // Where another form is chosen for the weight gradient, it is exact.
    const bool winograd_gradient =
        dilated ? phases_gradient_applies(g, options)
                : winograd_gradient_applies(g, 0, sizeof(T)) && winograd_gradient_choice(g) != 0;
    expect_close("dw", dw, expected_dw, winograd_gradient ? tolerance(true) : 0);
  }
}

TEST(Convolution, EqualsTheDefinition) {
  constexpr auto automatic = ConvAlgorithm::automatic, im2col = ConvAlgorithm::im2col,
                 direct = ConvAlgorithm::direct, winograd = ConvAlgorithm::winograd,
                 winograd2 = ConvAlgorithm::winograd2;
  for (const Case& c : kCases) {
    const auto check_both = [&c](Border border, std::initializer_list<ConvAlgorithm> algorithms) {
      check<float>(c, border, algorithms);
      check<double>(c, border, algorithms);
    };
    // Halves and small integers: exact as well.
    if (c.kernel == Shape{3, 3} && c.stride == Shape{1, 1} && c.dilation == Shape{1, 1} && c.groups == 1) {
      check_both(Border::constant, {automatic, im2col, direct, winograd2});
      check_both(Border::symmetric, {winograd2});
    } else if (std::string(c.reason).find("stride_two") != std::string::npos) {
      check_both(Border::constant, {automatic, im2col, direct, winograd});
    } else {
      check_both(Border::constant, {automatic, im2col, direct});
    }
    const bool padded = std::any_of(c.pads.begin(), c.pads.end(), [](index pad) { return pad > 0; });
    for (const Border border : {Border::reflect, Border::circular}) {
      if (padded) check<float>(c, border, {automatic});
    }
  }
}

TEST(Convolution, DilatedWindowsGoByPhases) {
  const Case cases[] = {
      {"both", 1, 64, 64, 1, {64, 66}, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}},
      {"uneven", 1, 64, 64, 1, {121, 111}, {3, 3}, {1, 1}, {2, 3}, {2, 1, 3, 4}},
      {"rows", 2, 64, 64, 1, {80, 64}, {3, 3}, {1, 1}, {4, 1}, {4, 4, 1, 1}},
  };
  for (const Case& c : cases) {
    const ConvGeometry g = geometry_of(c, Border::constant);
    for (const bool adjoint : {false, true}) EXPECT_TRUE(phases_apply(g, {}, adjoint)) << c.reason;
    EXPECT_TRUE(phases_gradient_applies(g, {})) << c.reason;
    ConvOptions options;
    options.border_value = std::numeric_limits<double>::infinity();
    EXPECT_FALSE(phases_apply(g, options, false)) << c.reason;
  }
  const Case few{"few channels", 1, 3, 64, 1, {64, 66}, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}};
  EXPECT_FALSE(phases_apply(geometry_of(few, Border::constant), {}, false));
  const Case tiny{"tiny phases", 1, 64, 64, 1, {17, 17}, {3, 3}, {1, 1}, {6, 6}, {6, 6, 6, 6}};
  EXPECT_FALSE(phases_apply(geometry_of(tiny, Border::constant), {}, false));
}

TEST(Convolution, ALateMemberTouchesNothing) {
  const int before = num_threads();
  set_num_threads(2);
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.reason);
    const ConvGeometry g = geometry_of(c, Border::constant);
    ConvOptions options;
    options.border_value = 2;
    const Convolution<float> conv(g, options);
    const auto count = [](const Shape& shape) { return checked_count(shape, "test", "shape"); };
    const auto x = integers<float>(count(g.input_shape()), 1),
               w = integers<float>(count(g.weight_shape()), 2);
    const auto bias = integers<float>(g.filters, 3), dy = integers<float>(count(g.output_shape()), 4);
    std::vector<float> y(dy.size()), dx(x.size()), dw(w.size()), db(bias.size());
    expect_untouched_by_a_late_member("apply", conv.apply_workspace(2),
                                      [&](const Team& team, std::byte* space) {
                                        conv.apply(team, x.data(), w.data(), bias.data(), y.data(), space);
                                      });
    expect_untouched_by_a_late_member("adjoint", conv.adjoint_workspace(2),
                                      [&](const Team& team, std::byte* space) {
                                        conv.adjoint(team, dy.data(), w.data(), nullptr, dx.data(), space);
                                      });
    expect_untouched_by_a_late_member(
        "weight_gradient", conv.weight_gradient_workspace(2), [&](const Team& team, std::byte* space) {
          conv.weight_gradient(team, x.data(), dy.data(), dw.data(), db.data(), space);
        });
  }
  set_num_threads(before);
}

// Winograd's forms share out and copy what they transform by the size of the team.
TEST(Convolution, KeepsToItsWorkspaceInEveryTeam) {
  const Case cases[] = {
      {"eight parts of the weight gradient", 5, 8, 8, 1, {64, 64}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"four parts", 3, 16, 8, 1, {64, 60}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"two parts of few tiles", 1, 16, 16, 1, {52, 56}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"groups of filters", 1, 40, 128, 1, {15, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {"chunks of all", 2, 24, 40, 1, {9, 11}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},
  };
  const int before = num_threads();
  for (const Case& c : cases) {
    const ConvGeometry g = geometry_of(c, Border::constant);
    const auto count = [](const Shape& shape) { return checked_count(shape, "test", "shape"); };
    const auto x = integers<float>(count(g.input_shape()), 1),
               w = integers<float>(count(g.weight_shape()), 2);
    const auto dy = integers<float>(count(g.output_shape()), 4);
    const auto expected_db = bias_gradient_of(g, dy);
    for (const ConvAlgorithm algorithm : {ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
      ConvOptions options;
      options.algorithm = algorithm;
      const Convolution<float> conv(g, options);
      std::vector<float> y(dy.size()), dx(x.size()), dw(w.size()), db(static_cast<std::size_t>(g.filters)),
          alone[3];
      for (const int threads : {1, 2, 3, 5, 10}) {
        SCOPED_TRACE(std::string(c.reason) + ", threads " + std::to_string(threads));
        set_num_threads(threads);
        const auto check_run = [&](std::size_t bytes, const auto& run) {
          constexpr std::size_t kBehind = 4096;
          const std::byte mark{0xA5};
          const Buffer workspace(bytes + kBehind);
          std::byte* const behind = workspace.data() + bytes;
          std::fill(behind, behind + kBehind, mark);
          std::atomic<bool> over{false};  // the member whose copies are the last does everything
          parallel(1e9, [&](const Team& team) {
            const bool last = team.rank() + 1 == team.size();
            while (!last && !over) std::this_thread::yield();
            run(team, workspace.data());
            if (last) over = true;
          });
          EXPECT_EQ(std::count(behind, behind + kBehind, mark), std::ptrdiff_t{kBehind});
        };
        check_run(conv.apply_workspace(threads), [&](const Team& team, std::byte* space) {
          conv.apply(team, x.data(), w.data(), nullptr, y.data(), space);
        });
        check_run(conv.adjoint_workspace(threads), [&](const Team& team, std::byte* space) {
          conv.adjoint(team, dy.data(), w.data(), nullptr, dx.data(), space);
        });
        check_run(conv.weight_gradient_workspace(threads), [&](const Team& team, std::byte* space) {
          conv.weight_gradient(team, x.data(), dy.data(), dw.data(), db.data(), space);
        });
        if (threads == 1) alone[0] = y, alone[1] = dx, alone[2] = dw;
        EXPECT_EQ(y, alone[0]);
        EXPECT_EQ(dx, alone[1]);
        EXPECT_EQ(dw, alone[2]);
        EXPECT_EQ(db, expected_db);
      }
    }
  }
  set_num_threads(before);
}

TEST(Convolution, ReluKeepsTheSignWhenAsked) {
  ConvGeometry g =
      geometry_of({"", 1, 1, 1, 1, {1, 3}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}}, Border::constant);
  const float x[3] = {-2, 0, 3}, w[1] = {1};
  for (bool keep : {false, true}) {
    ConvOptions options;
    options.relu = true;
    options.keep_sign = keep;
    const Convolution<float> conv(g, options);
    float y[3];
    const Buffer workspace(conv.apply_workspace(1));
    conv.apply(Team::alone(), x, w, nullptr, y, workspace.data());
    EXPECT_EQ(std::vector<float>(y, y + 3), (std::vector<float>{0, 0, 3}));
    EXPECT_EQ(std::signbit(y[0]), keep);
    EXPECT_FALSE(std::signbit(y[1]));
  }
}

TEST(Convolution, RefusesWhatDoesNotFit) {
  ConvGeometry g = geometry_of(kCases[0], Border::constant);
  g.groups = 2;
  EXPECT_THROW(Convolution<float>{g}, InvalidArgument);
  EXPECT_THROW(conv_algorithm_from("fft", "conv2d"), InvalidArgument);
}

TEST(Unfolding, FoldIsTheTranspose) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.reason);
    for (Border border : {Border::constant, Border::reflect, Border::replicate}) {
      const ConvGeometry g = geometry_of(c, border);
      const Window& window = g.window;
      const Unfolding<double> unfolding(window, 1, 2);
      const auto x = integers<double>(2 * window.input_count(), 1);
      const auto y = integers<double>(2 * window.kernel_count() * window.output_count(), 2);
      std::vector<double> columns(y.size()), image(x.size());
      parallel(1e9, [&](const Team& team) {
        unfolding.unfold(team, x.data(), columns.data());
        unfolding.fold(team, y.data(), image.data());
      });
      double left = 0, right = 0;
      for (std::size_t i = 0; i < y.size(); ++i) left += columns[i] * y[i];
      for (std::size_t i = 0; i < x.size(); ++i) right += x[i] * image[i];
      EXPECT_EQ(left, right);
    }
  }
}

}  // namespace
}  // namespace tenfold
