#include "conv/few_pixels.h"

#include <algorithm>

#include "tenfold/memory.h"

namespace tenfold {
namespace {

// Channels that a member unfolds at a time: their planes stay in the first-level cache, and a row gets whole lines.
constexpr index kChannels = 16;
// Pixels, where channels are turned by squares of so many.
constexpr index kPixels = 16;
// Pixels of all images up to which the weights are most of what is read.
constexpr index kMostPixels = 128;
// Fewer weights take less time than the unfolding.
constexpr index kLeastWeights = index{1} << 17;

// By pixel and tap: the element of a plane, -1 in the constant border.
std::vector<index> looks_of(const Window& w) {
  std::vector<index> looks;
  looks.reserve(static_cast<std::size_t>(w.output_count() * w.kernel_count()));
  const std::vector<index> source[] = {w.source(0), w.source(1), w.source(2)};
  const auto at = [&](int axis, index o, index k) {
    return source[axis][static_cast<std::size_t>(o * w[axis].kernel + k)];
  };
  for (index o0 = 0; o0 < w[0].output; ++o0) {
    for (index o1 = 0; o1 < w[1].output; ++o1) {
      for (index o2 = 0; o2 < w[2].output; ++o2) {
        for (index k0 = 0; k0 < w[0].kernel; ++k0) {
          for (index k1 = 0; k1 < w[1].kernel; ++k1) {
            for (index k2 = 0; k2 < w[2].kernel; ++k2) {
              const index d = at(0, o0, k0), h = at(1, o1, k1), column = at(2, o2, k2);
              const bool outside = d < 0 || h < 0 || column < 0;
              looks.push_back(outside ? -1 : (d * w[1].size + h) * w[2].size + column);
            }
          }
        }
      }
    }
  }
  return looks;
}

template <class T>
StridedPlan<T> plan_of(const ConvGeometry& g) {
  const index row = g.channels * g.window.kernel_count();
  return plan_strided<T>(g.filters, g.images * g.window.output_count(), row, {row, 1},
                         {1, row_pitch<T>(row)});
}

}  // namespace

template <class T>
bool few_pixels_applies(const ConvGeometry& g) {
  const index pixels = g.images * g.window.output_count();
  return g.groups == 1 && pixels > 0 && pixels < kMostPixels &&
         g.filters * g.channels * g.window.kernel_count() >= kLeastWeights &&
         plan_of<T>(g).form == ProductForm::dots;
}

template <class T>
FewPixels<T>::FewPixels(const ConvGeometry& g, double border_value, GemmActivation activation)
    : images_(g.images),
      channels_(g.channels),
      filters_(g.filters),
      plane_(g.window.input_count()),
      pixels_(g.window.output_count()),
      taps_(g.window.kernel_count()),
      pitch_(row_pitch<T>(g.channels * g.window.kernel_count())),
      border_value_(static_cast<T>(border_value)),
      activation_(activation),
      look_(looks_of(g.window)),
      plan_(plan_of<T>(g)) {
  identity_ = taps_ == 1 && pixels_ == plane_;
  for (index i = 0; i < pixels_ * taps_; ++i) {
    index& look = look_[static_cast<std::size_t>(i)];
    identity_ = identity_ && look == i;
    if (look >= 0) continue;
    outside_.push_back({i / taps_, i % taps_});
    look = 0;
  }
}

template <class T>
std::size_t FewPixels<T>::looks_bytes() const {
  return align_up(static_cast<std::size_t>(images_ * pixels_ * pitch_) * sizeof(T));
}
// Room for the product (F x N P) where that is not y.
template <class T>
std::size_t FewPixels<T>::target_bytes() const {
  return images_ == 1 ? 0 : align_up(static_cast<std::size_t>(filters_ * images_ * pixels_) * sizeof(T));
}
template <class T>
std::size_t FewPixels<T>::workspace(int threads) const {
  return looks_bytes() + target_bytes() + plan_.workspace(threads);
}

// The channels first .. last - 1 of an image.
template <class T>
void FewPixels<T>::unfold(index first, index last, const T* x, T* u) const {
  u += first * taps_;
  for (index p = 0; p < pixels_; ++p) {
    const index* const look = look_.data() + p * taps_;
    T* to = u + p * pitch_;
    for (index c = first; c < last; ++c, to += taps_) {
      const T* const from = x + c * plane_;
      for (index tap = 0; tap < taps_; ++tap) to[tap] = from[look[tap]];
    }
  }
  for (const auto& [p, tap] : outside_) {
    for (index c = first; c < last; ++c) u[p * pitch_ + (c - first) * taps_ + tap] = border_value_;
  }
}

template <class T>
void FewPixels<T>::unfold(const Team& team, const T* x, T* u) const {
  const index image = channels_ * plane_, rows = pixels_ * pitch_;
  if (identity_) {
    const index pieces = divide_up(pixels_, kPixels);
    team.for_each(images_ * pieces, [&](index i) {
      const index n = i / pieces, p = i % pieces * kPixels;
      plan_.kernels().pack(channels_, std::min(kPixels, pixels_ - p), x + n * image + p, plane_, 1, pitch_,
                           u + n * rows + p * pitch_);
    });
    return;
  }
  const index pieces = divide_up(channels_, kChannels);
  team.for_each(images_ * pieces, [&](index i) {
    const index n = i / pieces, first = i % pieces * kChannels;
    unfold(first, std::min(channels_, first + kChannels), x + n * image, u + n * rows);
  });
}

template <class T>
void FewPixels<T>::run(const Team& team, const T* x, const T* w, const T* bias, T* y,
                       std::byte* workspace) const {
  T* const u = reinterpret_cast<T*>(workspace);
  T* const product = images_ == 1 ? y : reinterpret_cast<T*>(workspace + looks_bytes());
  unfold(team, x, u);
  StridedC<T> c{product, images_ * pixels_};
  c.bias_row = bias, c.activation = activation_;
  run_strided(team, plan_, w, u, c, workspace + looks_bytes() + target_bytes());
  if (images_ == 1) return;
  team.for_range(filters_, kChannels, [&](index begin, index end) {
    for (index f = begin; f < end; ++f) {
      for (index n = 0; n < images_; ++n)
        std::copy_n(product + (f * images_ + n) * pixels_, pixels_, y + (n * filters_ + f) * pixels_);
    }
  });
}

template bool few_pixels_applies<float>(const ConvGeometry&);
template bool few_pixels_applies<double>(const ConvGeometry&);
template class FewPixels<float>;
template class FewPixels<double>;

}  // namespace tenfold
