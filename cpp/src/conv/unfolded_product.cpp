#include "conv/unfolded_product.h"

#include <algorithm>
#include <cstring>

#include "tenfold/memory.h"

namespace tenfold {
namespace {

// Pixels of all images up to which the weights are most of what is read.
constexpr index kMostPixels = 128;
// Bytes of u for more of them.
constexpr index kUnfoldedBytes = 1024 * 1024;
// Pixels that are worth copying as a run.
constexpr index kLeastRun = 4;
// Channels that a member unfolds at a time: their planes stay in the first-level cache, and a row gets whole lines.
constexpr index kChannels = 16;
// Pixels, where channels are turned by squares of so many.
constexpr index kPixels = 16;
// Filters that a piece of the result has.
constexpr index kFilters = 16;

index pixels_of(const ConvGeometry& g) {
  return g.images * g.window.output_count();
}

template <class T>
StridedPlan<T> plan_of(const ConvGeometry& g, index images) {
  const index row = g.channels * g.window.kernel_count();
  return plan_strided<T>(g.filters, images * g.window.output_count(), row, {row, 1}, {1, row_pitch<T>(row)});
}

// Windows as long as their strides and without padding.
bool tiles_the_image(const Window& w) {
  for (int i = 0; i < 3; ++i) {
    const Axis& a = w[i];
    if (a.kernel != a.stride || (a.dilation != 1 && a.kernel != 1) || a.pad_before != 0 || a.pad_after != 0)
      return false;
  }
  return true;
}

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

// `windows` runs of a window's length.
template <class T>
void copy_row(index windows, index length, const T* from, index pitch, T* to) {
  const auto copy = [&](auto bytes) {
    for (index i = 0; i < windows; ++i, from += length, to += pitch) std::memcpy(to, from, bytes);
  };
  // A copy of known length is a few moves.
  const auto bytes = static_cast<std::size_t>(length) * sizeof(T);
  switch (bytes) {
    case 16:
      return copy(std::integral_constant<std::size_t, 16>{});
    case 32:
      return copy(std::integral_constant<std::size_t, 32>{});
    case 64:
      return copy(std::integral_constant<std::size_t, 64>{});
    default:
      return copy(bytes);
  }
}

}  // namespace

template <class T>
bool few_pixels_applies(const ConvGeometry& g) {
  constexpr index kLeastWeights = index{1} << 17;  // fewer take less time than the unfolding
  return g.groups == 1 && pixels_of(g) > 0 && pixels_of(g) < kMostPixels &&
         g.filters * g.channels * g.window.kernel_count() >= kLeastWeights &&
         plan_of<T>(g, g.images).form == ProductForm::dots;
}

bool patches_apply(const ConvGeometry& g) {
  // Fewer terms or filters do not repay the copy.
  constexpr index kLeastTerms = 64, kLeastFilters = 16;
  const Window& w = g.window;
  return g.groups == 1 && pixels_of(g) > 0 && tiles_the_image(w) && w[2].kernel >= kLeastRun &&
         g.channels * w.kernel_count() >= kLeastTerms && g.filters >= kLeastFilters;
}

template <class T>
UnfoldedProduct<T>::UnfoldedProduct(const ConvGeometry& g, double border_value, GemmActivation activation)
    : geometry_(g),
      border_value_(static_cast<T>(border_value)),
      activation_(activation),
      plane_(g.window.input_count()),
      pixels_(g.window.output_count()),
      taps_(g.window.kernel_count()),
      pitch_(row_pitch<T>(g.channels * taps_)),
      together_(g.images),
      in_runs_(tiles_the_image(g.window) && g.window[2].kernel >= kLeastRun) {
  if (pixels_of(g) >= kMostPixels) {
    const index most = kUnfoldedBytes / static_cast<index>(sizeof(T)) / (pixels_ * pitch_);
    together_ = divide_up(g.images, divide_up(g.images, std::clamp<index>(most, 1, g.images)));
  }
  plans_ = {plan_of<T>(g, together_), plan_of<T>(g, g.images % together_)};
  if (in_runs_) return;
  look_ = looks_of(g.window);
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
std::size_t UnfoldedProduct<T>::unfolded_bytes() const {
  return align_up(static_cast<std::size_t>(together_ * pixels_ * pitch_) * sizeof(T));
}
// Room for the product (F x N P) where that is no part of y.
template <class T>
std::size_t UnfoldedProduct<T>::product_bytes() const {
  if (together_ == 1) return 0;
  return align_up(static_cast<std::size_t>(geometry_.filters * together_ * pixels_) * sizeof(T));
}
template <class T>
std::size_t UnfoldedProduct<T>::workspace(int threads) const {
  return unfolded_bytes() + product_bytes() +
         std::max(plans_[0].workspace(threads), plans_[1].workspace(threads));
}

template <class T>
void UnfoldedProduct<T>::turn(const Team& team, index first, index count, const T* x, T* u) const {
  const index channels = geometry_.channels, pieces = divide_up(pixels_, kPixels);
  team.for_each(count * pieces, [&](index i) {
    const index n = i / pieces, p = i % pieces * kPixels;
    plans_[0].kernels().pack(channels, std::min(kPixels, pixels_ - p),
                             x + (first + n) * channels * plane_ + p, plane_, 1, pitch_,
                             u + (n * pixels_ + p) * pitch_);
  });
}

template <class T>
void UnfoldedProduct<T>::copy_runs(const Team& team, index first, index count, const T* x, T* u) const {
  const Window& w = geometry_.window;
  const index rows = w[0].output * w[1].output, windows = w[2].output, length = w[2].kernel;
  team.for_each(count * rows, [&](index i) {
    const index d = i % rows / w[1].output * w[0].kernel, h = i % rows % w[1].output * w[1].kernel;
    const T* const image = x + (first + i / rows) * geometry_.channels * plane_;
    T* to = u + i * windows * pitch_;
    for (index c = 0; c < geometry_.channels; ++c) {
      for (index kd = 0; kd < w[0].kernel; ++kd) {
        for (index kh = 0; kh < w[1].kernel; ++kh, to += length) {
          const T* const from = image + c * plane_ + ((d + kd) * w[1].size + h + kh) * w[2].size;
          copy_row(windows, length, from, pitch_, to);
        }
      }
    }
  });
}

template <class T>
void UnfoldedProduct<T>::look_up(const Team& team, index first, index count, const T* x, T* u) const {
  const index channels = geometry_.channels, pieces = divide_up(channels, kChannels);
  team.for_each(count * pieces, [&](index i) {
    const index n = i / pieces, begin = i % pieces * kChannels;
    look_up(begin, std::min(channels, begin + kChannels), x + (first + n) * channels * plane_,
            u + n * pixels_ * pitch_);
  });
}

template <class T>
void UnfoldedProduct<T>::look_up(index first_channel, index last_channel, const T* image, T* u) const {
  u += first_channel * taps_;
  for (index p = 0; p < pixels_; ++p) {
    const index* const look = look_.data() + p * taps_;
    T* to = u + p * pitch_;
    for (index c = first_channel; c < last_channel; ++c, to += taps_) {
      const T* const from = image + c * plane_;
      for (index tap = 0; tap < taps_; ++tap) to[tap] = from[look[tap]];
    }
  }
  for (const auto& [p, tap] : outside_) {
    for (index c = 0; c < last_channel - first_channel; ++c) u[p * pitch_ + c * taps_ + tap] = border_value_;
  }
}

template <class T>
void UnfoldedProduct<T>::unfold(const Team& team, index first, index count, const T* x, T* u) const {
  if (in_runs_) {
    copy_runs(team, first, count, x, u);
  } else if (identity_) {
    turn(team, first, count, x, u);
  } else {
    look_up(team, first, count, x, u);
  }
}

template <class T>
void UnfoldedProduct<T>::run(const Team& team, const T* x, const T* w, const T* bias, T* y,
                             std::byte* workspace) const {
  T* const u = reinterpret_cast<T*>(workspace);
  T* const room = reinterpret_cast<T*>(workspace + unfolded_bytes());
  std::byte* const rest = workspace + unfolded_bytes() + product_bytes();
  const index filters = geometry_.filters, images = geometry_.images;
  for (index first = 0; first < images; first += together_) {
    const index count = std::min(together_, images - first);
    T* const target = y + first * filters * pixels_;
    T* const product = together_ == 1 ? target : room;
    unfold(team, first, count, x, u);
    StridedC<T> c{product, count * pixels_};
    c.bias_row = bias, c.activation = activation_;
    run_strided(team, plans_[count == together_ ? 0 : 1], w, u, c, rest);
    if (together_ == 1) continue;
    team.for_range(filters, kFilters, [&](index begin, index end) {
      for (index f = begin; f < end; ++f) {
        for (index n = 0; n < count; ++n)
          copy_elements(product + (f * count + n) * pixels_, pixels_, target + (n * filters + f) * pixels_);
      }
    });
  }
}

template bool few_pixels_applies<float>(const ConvGeometry&);
template bool few_pixels_applies<double>(const ConvGeometry&);
template class UnfoldedProduct<float>;
template class UnfoldedProduct<double>;

}  // namespace tenfold
