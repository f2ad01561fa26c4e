// The pixels of a product that lie in rows, and the operand that picks them when its panels are packed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "gemm/driver.h"
#include "kernels/conv.h"

namespace tenfold {

constexpr index kMostColumns = kGemmMaxVectors * 64 / static_cast<index>(sizeof(float));  // of a tile

// Columns of a product: the pixels of all images in turn, row by row.
struct PixelRows {
  index length = 1, step = 1;  // pixels of a row, elements from one to the next
  std::vector<index> begin;    // by row of an image: its first element
  index image = 0;             // elements from image to image

  // f(run) for the runs of n pixels from a column on: so many of them lie in one row, and the element of the first.
  template <class F>
  void for_each_run(index column, index n, F&& f) const {
    const index rows = static_cast<index>(begin.size());
    index at = column % length, row = column / length % rows, base = column / length / rows * image;
    for (index i = 0; i < n; at = 0) {
      const index pixels = std::min(n - i, length - at);
      f(ConvRun{i, pixels, base + begin[static_cast<std::size_t>(row)] + at * step});
      i += pixels;
      if (++row == rows) row = 0, base += image;
    }
  }
  // run[r] of them; returns how many.
  index runs(index column, index n, ConvRun* run) const {
    index count = 0;
    for_each_run(column, n, [&](const ConvRun& of) { run[count++] = of; });
    return count;
  }
};

// Zeros behind the n columns of a packed panel.
template <class T>
void clear_behind(index n, index width, index kc, T* panel) {
  if (n == width) return;
  for (index k = 0; k < kc; ++k) std::fill(panel + k * width + n, panel + (k + 1) * width, T(0));
}

// B[k][j] = source[look[k] + the place of pixel j]; pixels of a row lie side by side.
template <class T>
struct LooksB {
  static constexpr bool kDirect = false;
  const ConvKernels<T>& kernels;
  const PixelRows& rows;
  const std::ptrdiff_t* look;
  const T* source;

  bool columns_together() const { return true; }
  void pack(const GemmKernels<T>& /*gemm*/, index j, index n, index k, index kc, index width, T* to) const {
    ConvRun run[kMostColumns];
    const index runs = rows.runs(j, n, run);
    clear_behind(n, width, kc, to);
    kernels.pack_panel(kc, source, look + k, runs, run, to, width);
  }
  index turns(index /*n*/, index /*kc*/) const { return 0; }
  GemmFetch<T> ahead(index /*turn*/, index /*j*/, index /*k*/, index /*kc*/) const { return {}; }
};

}  // namespace tenfold
