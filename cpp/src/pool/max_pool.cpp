#include "pool/geometry.h"
#include "tenfold/error.h"
#include "tenfold/pool.h"

namespace tenfold {

MaxPool::MaxPool(const Window& window, index planes, const char* function)
    : window_(window), planes_(planes) {
  const index plane = checked_count({window[0].size, window[1].size, window[2].size}, function, "input");
  if (plane >= index{1} << 31) {
    reject(function, "input", "must have fewer than 2^31 elements in a channel; received ", plane);
  }
}

template <class T>
void MaxPool::forward(const Team& team, const T* x, T* y, std::int32_t* positions) const {
  const auto& k = kernels<PoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    if (positions != nullptr) {
      k.max_positions32(g, count, x + p * in, y + p * out, positions + p * out);
    } else {
      k.max(g, count, x + p * in, y + p * out);
    }
  });
}

template <class T>
void MaxPool::forward(const Team& team, const T* x, T* y, index* positions) const {
  const auto& k = kernels<PoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    k.max_positions64(g, count, x + p * in, y + p * out, positions + p * out);
  });
}

template <class T>
void MaxPool::backward(const Team& team, const T* dy, const std::int32_t* positions, T* dx) const {
  const auto& k = kernels<PoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    k.max_backward32(g, count, dy + p * out, positions + p * out, dx + p * in);
  });
}

template <class T>
void MaxPool::backward(const Team& team, const T* dy, const index* positions, T* dx) const {
  const auto& k = kernels<PoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    k.max_backward64(g, count, dy + p * out, positions + p * out, dx + p * in);
  });
}

#define TENFOLD_INSTANTIATE(T, P)                                         \
  template void MaxPool::forward<T>(const Team&, const T*, T*, P*) const; \
  template void MaxPool::backward<T>(const Team&, const T*, const P*, T*) const;
TENFOLD_INSTANTIATE(float, std::int32_t)
TENFOLD_INSTANTIATE(float, index)
TENFOLD_INSTANTIATE(double, std::int32_t)
TENFOLD_INSTANTIATE(double, index)
#undef TENFOLD_INSTANTIATE

}  // namespace tenfold
