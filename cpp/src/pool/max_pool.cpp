#include "kernels/past.h"
#include "pool/geometry.h"
#include "tenfold/error.h"
#include "tenfold/pool.h"

namespace tenfold {

MaxPool::MaxPool(const Window& window, index planes, const char* function)
    : window_(window), planes_(planes) {
  const index plane = checked_count({window[0].size, window[1].size, window[2].size}, function, "input");
  if (plane > kMostPlaneElements) {
    reject(function, "input", "must have fewer than 2^31 elements in a channel; received ", plane);
  }
}

bool MaxPool::taps_fit() const {
  return window_.kernel_count() <= kMostTapNumbers;
}

template <class T>
void MaxPool::forward(const Team& team, const T* x, T* y, std::uint8_t* taps) const {
  const auto& k = kernels<MaxPoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    if (taps != nullptr) {
      k.with_taps(g, count, x + p * in, y + p * out, taps + p * out);
    } else {
      k.values(g, count, x + p * in, y + p * out);
    }
  });
}

template <class T>
void MaxPool::forward(const Team& team, const T* x, T* y, index* positions) const {
  if (positions == nullptr) return forward(team, x, y, static_cast<std::uint8_t*>(nullptr));
  const auto& k = kernels<MaxPoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    k.with_positions(g, count, x + p * in, y + p * out, positions + p * out);
  });
}

template <class T>
void MaxPool::backward(const Team& team, const T* dy, const std::uint8_t* taps, T* dx) const {
  const auto& k = kernels<MaxPoolGradientKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  const bool past = passes_caches(static_cast<std::size_t>(planes_ * in) * sizeof(T));
  each_block(team, planes_, in, [&](index p, index count) {
    k.by_taps(g, count, dy + p * out, taps + p * out, past, dx + p * in);
  });
}

template <class T>
void MaxPool::backward(const Team& team, const T* dy, const index* positions, T* dx) const {
  const auto& k = kernels<MaxPoolGradientKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    k.by_positions(g, count, dy + p * out, positions + p * out, dx + p * in);
  });
}

#define TENFOLD_INSTANTIATE(T, P)                                         \
  template void MaxPool::forward<T>(const Team&, const T*, T*, P*) const; \
  template void MaxPool::backward<T>(const Team&, const T*, const P*, T*) const;
TENFOLD_INSTANTIATE(float, std::uint8_t)
TENFOLD_INSTANTIATE(float, index)
TENFOLD_INSTANTIATE(double, std::uint8_t)
TENFOLD_INSTANTIATE(double, index)
#undef TENFOLD_INSTANTIATE

}  // namespace tenfold
