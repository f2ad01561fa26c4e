#include "pool/geometry.h"
#include "tenfold/pool.h"

namespace tenfold {
namespace {

// How many positions of output o's window count along an axis; at least 1, so that an empty window gives 0.
index counted(const Axis& axis, index o, bool include_pad) {
  index begin = axis.position(o, 0);
  index end = std::min(begin + axis.kernel, axis.size + axis.pad_after);
  if (!include_pad) {
    begin = std::max<index>(begin, 0);
    end = std::min(end, axis.size);
  }
  return std::max<index>(end - begin, 1);
}

}  // namespace

template <class T>
AveragePool<T>::AveragePool(const Window& window, index planes, const AveragePoolOptions& options)
    : window_(window), planes_(planes) {
  for (int i = 0; i < 3; ++i) {
    const Axis& axis = window[i];
    auto& divisors = divisors_[static_cast<std::size_t>(i)];
    for (index o = 0; o < axis.output; ++o) {
      const index along = i == 0 ? options.divisor_override : 1;
      divisors.push_back(static_cast<T>(
          options.divisor_override != 0 ? along : counted(axis, o, options.count_include_pad)));
    }
  }
}

template <class T>
void AveragePool<T>::forward(const Team& team, const T* x, T* y) const {
  const auto& k = kernels<PoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  team.for_each(planes_, [&](index p) {
    k.sum(g, x + p * in, divisors_[0].data(), divisors_[1].data(), divisors_[2].data(), y + p * out);
  });
}

template <class T>
void AveragePool<T>::backward(const Team& team, const T* dy, T* dx) const {
  const auto& k = kernels<PoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  team.for_each(planes_, [&](index p) {
    k.sum_backward(g, dy + p * out, divisors_[0].data(), divisors_[1].data(), divisors_[2].data(),
                   dx + p * in);
  });
}

template class AveragePool<float>;
template class AveragePool<double>;

}  // namespace tenfold
