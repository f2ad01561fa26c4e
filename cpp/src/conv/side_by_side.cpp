#include "conv/side_by_side.h"

#include <algorithm>

#include "conv/images.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kPair = 2;  // pixels of a window along a row

// Row i and column j of the product is pixel i % taps, of channel i / taps, of window j.
template <class T>
struct WindowsC {
  const ConvKernels<T>& kernels;
  const GemmKernels<T>& gemm;
  const Window& window;
  const PixelRows& rows_of;
  T* x;
  const T* bias;

  template <class Kernel>
  void operator()(Kernel kernel, GemmTile<T>& tile, index i, index j, index rows, bool first,
                  bool last) const {
    alignas(64) T sums[kGemmMaxRows * kMostColumns];
    ConvRun run[kMostColumns];
    const index runs = rows_of.runs(j, tile.n, run);
    for (index r = 0; r < runs; ++r) run[r].count *= kPair;
    const index width = (tile.n + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
    tile.c = sums, tile.ldc = width, tile.alpha = 1, tile.beta = 0;
    if (!gemm.reads_ends) tile.n = width;  // what is behind the columns exists, and whole vectors are faster

    // The tile's rows are the parts of windows that lie in one row of pixels, in pairs.
    const index taps = window.kernel_count(), channels = rows / taps, plane = window.input_count();
    T* const target = x + i / taps * plane;
    for (index c = 0; c < channels; ++c) {
      for (index d = 0; d < window[0].kernel; ++d) {
        for (index h = 0; h < window[1].kernel; ++h)
          ask_for(target + c * plane + (d * window[1].size + h) * window[2].size, runs, run);
      }
    }
    kernel(tile);
    index tap = 0;
    for (index d = 0; d < window[0].kernel; ++d) {
      for (index h = 0; h < window[1].kernel; ++h, tap += kPair) {
        const T* const even = sums + tap * width;
        kernels.scatter_pair(channels, runs, run, even, even + width, taps * width,
                             target + (d * window[1].size + h) * window[2].size, plane,
                             last && bias ? bias + i / taps : nullptr, !first);
      }
    }
  }
  static void ask_for(const T* to, index runs, const ConvRun* run) {
    constexpr index kLine = 64 / static_cast<index>(sizeof(T));
    for (index r = 0; r < runs; ++r) {
      for (index i = 0; i < run[r].count; i += kLine) __builtin_prefetch(to + run[r].target + i, 1);
      __builtin_prefetch(to + run[r].target + run[r].count - 1, 1);
    }
  }
};

}  // namespace

bool side_by_side_applies(const ConvGeometry& g, bool adjoint) {
  // Fewer pixels fill no tiles; fewer filters do not repay picking the pixels, nor fewer terms putting them back.
  constexpr index kLeastPixels = 128, kLeastTerms = 32, kLeastFilters = 128;
  const Window& w = g.window;
  for (int i = 0; i < 3; ++i) {
    const Axis& a = w[i];
    const bool side_by_side = a.kernel == a.stride && (a.dilation == 1 || a.kernel == 1);
    if (!side_by_side || a.pad_before != 0 || a.pad_after != 0 || a.size != a.output * a.stride) return false;
  }
  const index taps = w.kernel_count(), tallest = kernels<GemmKernels, float>().rows_at_most[0];
  return w[2].kernel == kPair && taps <= tallest && g.groups == 1 && g.images > 0 &&
         w.output_count() >= kLeastPixels && g.channels * taps >= kLeastTerms &&
         g.filters >= (adjoint ? kLeastTerms : kLeastFilters);
}

template <class T>
SideBySide<T>::SideBySide(const ConvGeometry& g, bool adjoint, GemmActivation activation)
    : geometry_(g), adjoint_(adjoint), activation_(activation) {
  const Window& w = g.window;
  const index taps = w.kernel_count(), elements = g.channels * taps, pixels = w.output_count();
  rows_.length = w[2].output, rows_.step = kPair;
  for (index d = 0; d < w[0].output; ++d) {
    for (index h = 0; h < w[1].output; ++h)
      rows_.begin.push_back((d * w[0].kernel * w[1].size + h * w[1].kernel) * w[2].size);
  }
  if (adjoint) {
    plan_ = make_gemm_plan<T>(elements, pixels, g.filters, !aliased<T>(elements), !aliased<T>(pixels), taps);
    return;
  }
  plan_ = make_gemm_plan<T>(g.filters, pixels, elements, !aliased<T>(elements), false);
  looks_.reserve(static_cast<std::size_t>(elements));
  for (index c = 0; c < g.channels; ++c) {
    for (index d = 0; d < w[0].kernel; ++d) {
      for (index h = 0; h < w[1].kernel; ++h) {
        for (index v = 0; v < w[2].kernel; ++v)
          looks_.push_back(((c * w[0].size + d) * w[1].size + h) * w[2].size + v);
      }
    }
  }
}

template <class T>
std::size_t SideBySide<T>::workspace(int threads) const {
  return images_workspace(plan_.workspace(threads), plan_.workspace(1), threads);
}

template <class T>
void SideBySide<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                        std::byte* workspace) const {
  const ConvGeometry& g = geometry_;
  const auto& k = kernels<ConvKernels, T>();
  const index x_image = g.channels * g.window.input_count(), y_image = g.filters * g.window.output_count();
  const double multiply_adds = g.multiply_adds() / static_cast<double>(g.images);
  for_images(team, g.images, multiply_adds, plan_.workspace(1), workspace,
             [&](const Team& members, index n, std::byte* scratch) {
               if (adjoint_) {
                 gemm_driver(members, plan_, StridedA<T>{weight, 1, plan_.m},
                             StridedB<T>{source + n * y_image, plan_.n, 1},
                             WindowsC<T>{k, *plan_.kernels, g.window, rows_, target + n * x_image, bias},
                             scratch);
               } else {
                 StridedC<T> c{target + n * y_image, plan_.n};
                 c.bias_row = bias, c.activation = activation_;
                 gemm_driver(members, plan_, StridedA<T>{weight, plan_.k, 1},
                             LooksB<T>{k, rows_, looks_.data(), source + n * x_image}, c, scratch);
               }
             });
}

template class SideBySide<float>;
template class SideBySide<double>;

}  // namespace tenfold
