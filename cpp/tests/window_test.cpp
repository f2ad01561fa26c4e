#include "tenfold/window.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tenfold/error.h"

namespace tenfold {
namespace {

std::vector<index> reads(index size, Border border, index from, index to) {
  std::vector<index> sources;
  for (index p = from; p <= to; ++p) sources.push_back(border_source(p, size, border));
  return sources;
}

TEST(Border, ReadsAsDrawn) {
  using V = std::vector<index>;
  EXPECT_EQ(reads(3, Border::constant, -2, 4), (V{-1, -1, 0, 1, 2, -1, -1}));
  EXPECT_EQ(reads(3, Border::reflect, -2, 4), (V{2, 1, 0, 1, 2, 1, 0}));
  EXPECT_EQ(reads(3, Border::symmetric, -2, 4), (V{1, 0, 0, 1, 2, 2, 1}));
  EXPECT_EQ(reads(3, Border::replicate, -2, 4), (V{0, 0, 0, 1, 2, 2, 2}));
  EXPECT_EQ(reads(3, Border::circular, -2, 4), (V{1, 2, 0, 1, 2, 0, 1}));
}

TEST(Border, GoesOnPeriodically) {
  for (index p = -20; p <= 20; ++p) {
    const index circular = border_source(p, 3, Border::circular),
                symmetric = border_source(p, 3, Border::symmetric);
    EXPECT_EQ(circular, border_source(p + 3, 3, Border::circular));
    EXPECT_EQ(symmetric, border_source(p + 6, 3, Border::symmetric));
    EXPECT_EQ(border_source(p, 3, Border::reflect), border_source(p + 4, 3, Border::reflect));
  }
}

TEST(Border, NamesAreRead) {
  for (Border border :
       {Border::constant, Border::reflect, Border::symmetric, Border::replicate, Border::circular}) {
    EXPECT_EQ(border_from(name_of(border), "test"), border);
  }
  EXPECT_THROW(border_from("mirror", "test"), InvalidArgument);
}

WindowSpec spec(index size, index kernel, index stride, index dilation, index before, index after) {
  WindowSpec s;
  s.function = "test";
  s.size = {size}, s.kernel = {kernel}, s.stride = {stride}, s.dilation = {dilation},
  s.pads = {before, after};
  return s;
}

// Counts the windows that fit, by trying them one after the other.
index count_windows(const WindowSpec& s) {
  index count = 0;
  while (count * s.stride[0] + s.dilation[0] * (s.kernel[0] - 1) < s.size[0] + s.pads[0] + s.pads[1]) ++count;
  return count;
}

TEST(Window, OutputSizeCountsTheWindowsThatFit) {
  for (index size = 1; size <= 9; ++size) {
    for (index kernel = 1; kernel <= 4; ++kernel) {
      for (index stride = 1; stride <= 5; ++stride) {
        for (index dilation = 1; dilation <= 2; ++dilation) {
          for (index before = 0; before <= 2; ++before) {
            const WindowSpec s = spec(size, kernel, stride, dilation, before, 1);
            const index count = count_windows(s);
            if (count == 0) {
              EXPECT_THROW(make_window(s), InvalidArgument);
            } else {
              EXPECT_EQ(make_window(s)[2].output, count);
            }
          }
        }
      }
    }
  }
}

TEST(Window, SourceIsPositionBehindTheBorder) {
  for (Border border :
       {Border::constant, Border::reflect, Border::symmetric, Border::replicate, Border::circular}) {
    WindowSpec s = spec(7, 3, 2, 2, 2, 1);
    s.border = border;
    const Window window = make_window(s);
    const std::vector<index> source = window.source(2), pad = window.pad_source(2);
    ASSERT_EQ(static_cast<index>(source.size()), window[2].output * 3);
    ASSERT_EQ(static_cast<index>(pad.size()), 10);
    for (index o = 0; o < window[2].output; ++o) {
      for (index k = 0; k < 3; ++k) {
        const index position = o * 2 + k * 2 - 2, found = source[static_cast<std::size_t>(o * 3 + k)];
        EXPECT_EQ(found, border_source(position, 7, border));
        EXPECT_EQ(found, pad[static_cast<std::size_t>(position + 2)]);
      }
    }
  }
}

TEST(Window, LeadingAxesAreTrivial) {
  WindowSpec s;
  s.function = "test";
  s.size = {11, 7}, s.kernel = {3, 2}, s.stride = {1, 2}, s.dilation = {1, 1}, s.pads = {1, 1, 0, 0};
  const Window window = make_window(s);
  EXPECT_EQ(window.rank, 2);
  EXPECT_EQ(window[0].size, 1);
  EXPECT_EQ(window.input_count(), 77);
  EXPECT_EQ(window.kernel_count(), 6);
  EXPECT_EQ(window.output_count(), 11 * 3);
  EXPECT_TRUE(window.padded());
}

TEST(Window, CeilModeDropsAWindowThatStartsInThePaddingBehind) {
  Axis axis;
  axis.size = 5, axis.kernel = 2, axis.stride = 2;
  EXPECT_EQ(axis.output_size(false), 2);
  EXPECT_EQ(axis.output_size(true), 3);
  axis.size = 4, axis.kernel = 1, axis.stride = 3, axis.pad_after = 2;
  EXPECT_EQ(axis.output_size(true), 2);  // a third window would start at 6, behind the input
}

TEST(Window, ArgumentsAreChecked) {
  EXPECT_NO_THROW(make_window(spec(5, 3, 1, 1, 0, 0)));
  EXPECT_THROW(make_window(spec(5, 0, 1, 1, 0, 0)), InvalidArgument);
  EXPECT_THROW(make_window(spec(5, 3, 0, 1, 0, 0)), InvalidArgument);
  EXPECT_THROW(make_window(spec(5, 3, -1, 1, 0, 0)), InvalidArgument);
  EXPECT_THROW(make_window(spec(5, 3, 1, 0, 0, 0)), InvalidArgument);
  EXPECT_THROW(make_window(spec(5, 3, 1, 1, -1, 0)), InvalidArgument);
  EXPECT_THROW(make_window(spec(2, 3, 1, 1, 0, 0)), InvalidArgument);
  WindowSpec reflect = spec(3, 3, 1, 1, 3, 0);
  reflect.border = Border::reflect;
  EXPECT_THROW(make_window(reflect), InvalidArgument);
  const index huge = std::numeric_limits<index>::max() / 2;
  EXPECT_THROW(make_window(spec(5, huge, 1, huge, 0, 0)), InvalidArgument);
}

}  // namespace
}  // namespace tenfold
