#include "conv/side_by_side.h"

#include <algorithm>

#include "conv/images.h"
#include "kernels/past.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kPair = 2;  // pixels of a window along a row

// Asks for the pairs of each run, which lie at from + run.target. These are more streams than the processor follows by
// itself.
template <class T>
void ask_for(const T* from, index runs, const ConvRun* run) {
  for (index r = 0; r < runs; ++r) {
    const T* const first = from + run[r].target;
    const index span = run[r].count * kPair;
    for (index i = 0; i < span; i += kLine<T>) __builtin_prefetch(first + i);
    __builtin_prefetch(first + span - 1);
  }
}

// Row i and column j of the product is pixel i % taps, of channel i / taps, of window j. A row of windows is written at
// once: its pixels lie side by side, in pairs of the product's rows.
template <class T>
struct WindowsC {
  static constexpr bool kTakesRows = true;
  const ConvKernels<T>& kernels;
  const Window& window;
  const PixelRows& rows_of;
  T* x;
  const T* bias;
  bool past;  // the caches

  void operator()(const T* sums, index lds, index i, index j, index rows, index columns, bool first,
                  bool last) const {
    const index taps = window.kernel_count(), pairs = taps / kPair;
    const index plane = window.input_count(), slice = window[1].size * window[2].size;
    const ConvPut put = !first ? kConvAdd : last && past ? kConvReplacePast : kConvReplace;
    rows_of.for_each_run(j, columns, [&](ConvRun run) {
      run.count *= kPair;
      for (index r = 0; r < rows; r += kPair) {
        const index channel = (i + r) / taps, pair = (i + r) / kPair % pairs;
        const index d = pair / window[1].kernel, h = pair % window[1].kernel;
        T* const target = x + channel * plane + d * slice + h * window[2].size;
        const T* const even = sums + r * lds;
        kernels.scatter_pair(1, 1, &run, even, even + lds, lds, target, plane,
                             last && bias ? bias + channel : nullptr, put);
      }
    });
  }
};

// Row k of B is the k-th element of all windows: elements 2 p and 2 p + 1 lie side by side, those of the first window at
// source[pair[p]].
template <class T>
struct PairsB {
  static constexpr bool kDirect = false;
  const ConvKernels<T>& kernels;
  const Window& window;
  const PixelRows& rows;
  const std::ptrdiff_t* pair;
  const T* source;
  index band;  // columns

  bool columns_together() const { return true; }
  void pack(const GemmKernels<T>& /*gemm*/, index j, index n, index k, index kc, index width, T* to) const {
    ConvRun run[kMostColumns];
    const index runs = rows.runs(j, n, run);
    clear_behind(n, width, kc, to);
    const auto pack_one = [&](index of, T* row) {
      for (index r = 0; r < runs; ++r) {
        kernels.pick_rows(1, run[r].count, source + pair[of / kPair] + of % kPair + run[r].target, 0, kPair,
                          row + run[r].column);
      }
    };
    // A chunk of K may begin or end inside a pair.
    index kk = 0;
    if (k % kPair != 0) pack_one(k + kk, to), ++kk;
    const index pairs = (kc - kk) / kPair;
    ConvRun next[kMostColumns];
    const index next_runs = rows.runs(j + n, width, next);
    for (index p = 0; p < pairs; p += kTogether) {
      const index first = (k + kk) / kPair + p, count = std::min(kTogether, pairs - p);
      for (index i = 0; i < count; ++i) ask_for(source + pair[first + i], next_runs, next);
      kernels.pack_pairs(count, source, pair + first, runs, run, to + (kk + kPair * p) * width, width);
    }
    kk += kPair * pairs;
    if (kk < kc) pack_one(k + kk, to + kk * width);
  }

  // A channel in every turn: what the windows of a band look at there. (In a volume, in their first rows of pixels.)
  index turns(index /*n*/, index kc) const { return divide_up(kc, window.kernel_count()); }
  GemmFetch<T> ahead(index turn, index j, index k, index kc) const {
    const index channel = k / window.kernel_count() + turn, row = j / rows.length;
    const index last = std::min((j + band - 1) / rows.length, static_cast<index>(rows.begin.size()) - 1);
    const index at = j % rows.length * kPair;
    const index span = (last + 1 - row) * window[1].kernel * window[2].size - at;
    return {source + channel * window.input_count() + rows.begin[static_cast<std::size_t>(row)] + at,
            std::min(divide_up(span, kc), index{kLine<T>})};
  }

 private:
  static constexpr index kTogether = 4;
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
  const index taps = w.kernel_count();
  return w[2].kernel == kPair && g.groups == 1 && g.images > 0 && w.output_count() >= kLeastPixels &&
         g.channels * taps >= kLeastTerms && g.filters >= (adjoint ? kLeastTerms : kLeastFilters);
}

template <class T>
SideBySide<T>::SideBySide(const ConvGeometry& g, bool adjoint, GemmActivation activation)
    : geometry_(g), adjoint_(adjoint), activation_(activation) {
  const Window& w = g.window;
  const index elements = g.channels * w.kernel_count(), pixels = w.output_count();
  rows_.length = w[2].output, rows_.step = kPair;
  for (index d = 0; d < w[0].output; ++d) {
    for (index h = 0; h < w[1].output; ++h)
      rows_.begin.push_back((d * w[0].kernel * w[1].size + h * w[1].kernel) * w[2].size);
  }
  if (adjoint) {
    plan_ = plan_strided_tiles<T>(elements, pixels, g.filters, {1, elements}, {pixels, 1}, kPair);
    return;
  }
  plan_ = make_gemm_plan<T>(g.filters, pixels, elements, !aliased<T>(elements), false);
  pairs_.reserve(static_cast<std::size_t>(elements / kPair));
  for (index c = 0; c < g.channels; ++c) {
    for (index d = 0; d < w[0].kernel; ++d) {
      for (index h = 0; h < w[1].kernel; ++h)
        pairs_.push_back(((c * w[0].size + d) * w[1].size + h) * w[2].size);
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
  const bool past = passes_caches(static_cast<std::size_t>(g.images * x_image) * sizeof(T));
  const double multiply_adds = g.multiply_adds() / static_cast<double>(g.images);
  for_images(team, g.images, multiply_adds, plan_.workspace(1), workspace,
             [&](const Team& members, index n, std::byte* scratch) {
               if (adjoint_) {
                 gemm_driver(members, plan_, StridedA<T>{weight, 1, plan_.m},
                             StridedB<T>{source + n * y_image, plan_.n, 1},
                             WindowsC<T>{k, g.window, rows_, target + n * x_image, bias, past}, scratch);
               } else {
                 StridedC<T> c{target + n * y_image, plan_.n};
                 c.bias_row = bias, c.activation = activation_;
                 gemm_driver(members, plan_, StridedA<T>{weight, plan_.k, 1},
                             PairsB<T>{k, g.window, rows_, pairs_.data(), source + n * x_image,
                                       plan_.column(plan_.n_begin(1))},
                             c, scratch);
               }
             });
}

template class SideBySide<float>;
template class SideBySide<double>;

}  // namespace tenfold
