#include "conv/patches.h"

#include <algorithm>
#include <cstring>

#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kPatchBytes = 1024 * 1024;  // of the images that are copied at a time
constexpr index kFilters = 16;              // that a piece of the result has

// `windows` runs of a window's length.
template <class T>
void copy_runs(index windows, index length, const T* from, index pitch, T* to) {
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

bool patches_apply(const ConvGeometry& g) {
  // Shorter runs take longer to copy, fewer terms or filters do not repay it.
  constexpr index kLeastRun = 4, kLeastTerms = 64, kLeastFilters = 16;
  const Window& w = g.window;
  for (int i = 0; i < 3; ++i) {
    const Axis& a = w[i];
    if (a.kernel != a.stride || (a.dilation != 1 && a.kernel != 1) || a.pad_before != 0 || a.pad_after != 0)
      return false;
  }
  return g.groups == 1 && g.images * w.output_count() > 0 && w[2].kernel >= kLeastRun &&
         g.channels * w.kernel_count() >= kLeastTerms && g.filters >= kLeastFilters;
}

template <class T>
Patches<T>::Patches(const ConvGeometry& geometry, GemmActivation activation)
    : geometry_(geometry),
      activation_(activation),
      pixels_(geometry.window.output_count()),
      row_(geometry.channels * geometry.window.kernel_count()),
      pitch_(row_pitch<T>(row_)) {
  const index most = kPatchBytes / static_cast<index>(sizeof(T)) / (pixels_ * pitch_);
  together_ = std::clamp<index>(most, 1, geometry_.images);
  together_ = divide_up(geometry_.images, divide_up(geometry_.images, together_));
  for (std::size_t i = 0; i < 2; ++i) {
    const index images = i == 0 ? together_ : geometry_.images % together_;
    plans_[i] = plan_strided<T>(geometry_.filters, images * pixels_, row_, {row_, 1}, {1, pitch_});
  }
}

template <class T>
std::size_t Patches<T>::patches_bytes() const {
  return align_up(static_cast<std::size_t>(together_ * pixels_ * pitch_) * sizeof(T));
}
// Room for the product (F x N P) where that is no part of y.
template <class T>
std::size_t Patches<T>::product_bytes() const {
  if (together_ == 1) return 0;
  return align_up(static_cast<std::size_t>(geometry_.filters * together_ * pixels_) * sizeof(T));
}
template <class T>
std::size_t Patches<T>::workspace(int threads) const {
  return patches_bytes() + product_bytes() +
         std::max(plans_[0].workspace(threads), plans_[1].workspace(threads));
}

template <class T>
void Patches<T>::copy(const Team& team, index first, index count, const T* x, T* u) const {
  const Window& w = geometry_.window;
  const index rows = w[0].output * w[1].output, windows = w[2].output, length = w[2].kernel;
  const index plane = w.input_count();
  team.for_each(count * rows, [&](index i) {
    const index d = i % rows / w[1].output * w[0].kernel, h = i % rows % w[1].output * w[1].kernel;
    const T* const image = x + (first + i / rows) * geometry_.channels * plane;
    T* to = u + i * windows * pitch_;
    for (index c = 0; c < geometry_.channels; ++c) {
      for (index kd = 0; kd < w[0].kernel; ++kd) {
        for (index kh = 0; kh < w[1].kernel; ++kh, to += length) {
          const T* const from = image + c * plane + ((d + kd) * w[1].size + h + kh) * w[2].size;
          copy_runs(windows, length, from, pitch_, to);
        }
      }
    }
  });
}

template <class T>
void Patches<T>::run(const Team& team, const T* x, const T* w, const T* bias, T* y,
                     std::byte* workspace) const {
  T* const u = reinterpret_cast<T*>(workspace);
  T* const room = reinterpret_cast<T*>(workspace + patches_bytes());
  std::byte* const rest = workspace + patches_bytes() + product_bytes();
  const index filters = geometry_.filters, images = geometry_.images;
  for (index first = 0; first < images; first += together_) {
    const index count = std::min(together_, images - first);
    T* const target = y + first * filters * pixels_;
    T* const product = together_ == 1 ? target : room;
    copy(team, first, count, x, u);
    StridedC<T> c{product, count * pixels_};
    c.bias_row = bias, c.activation = activation_;
    run_strided(team, plans_[count == together_ ? 0 : 1], w, u, c, rest);
    if (together_ == 1) continue;
    team.for_range(filters, kFilters, [&](index begin, index end) {
      for (index f = begin; f < end; ++f) {
        for (index n = 0; n < count; ++n)
          std::copy_n(product + (f * count + n) * pixels_, pixels_, target + (n * filters + f) * pixels_);
      }
    });
  }
}

template class Patches<float>;
template class Patches<double>;

}  // namespace tenfold
