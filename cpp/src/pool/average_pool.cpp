#include "kernels/average_pool.h"
#include "kernels/past.h"
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
    : planes_(planes) {
  for (int i = 0; i < 3; ++i) {
    const Axis& axis = window[i];
    Line& line = lines_[static_cast<std::size_t>(i)];
    line.size = axis.size, line.kernel = axis.kernel, line.stride = axis.stride, line.pad = axis.pad_before;
    for (index o = 0; o < axis.output; ++o) {
      line.begin.push_back(std::clamp<index>(axis.position(o, 0), 0, axis.size));
      line.end.push_back(std::clamp<index>(axis.position(o, 0) + axis.kernel, 0, axis.size));
      const index along = i == 0 ? options.divisor_override : 1;
      line.divisor.push_back(static_cast<T>(
          options.divisor_override != 0 ? along : counted(axis, o, options.count_include_pad)));
      line.share.push_back(T(1) / line.divisor.back());
    }
  }
}

template <class T>
AveragePool<T>::AveragePool(const AdaptiveGeometry& geometry) : planes_(geometry.planes) {
  for (std::size_t i = 0; i < 3; ++i) {
    lines_[i].size = geometry.input[i];
    for (index o = 0; o < geometry.output[i]; ++o) {
      const Range range = adaptive_piece(o, geometry.input[i], geometry.output[i]);
      lines_[i].begin.push_back(range.begin);
      lines_[i].end.push_back(range.end);
      lines_[i].divisor.push_back(static_cast<T>(range.size()));
      lines_[i].share.push_back(T(1) / lines_[i].divisor.back());
    }
  }
}

template <class T, class Line>
SumAxis<T> sum_axis(const Line& line) {
  return {line.size,
          static_cast<index>(line.begin.size()),
          line.begin.data(),
          line.end.data(),
          line.divisor.data(),
          line.share.data(),
          line.kernel,
          line.stride,
          line.pad};
}
template <class T, class Lines>
SumGeometry<T> sum_geometry(const Lines& lines) {
  return {sum_axis<T>(lines[0]), sum_axis<T>(lines[1]), sum_axis<T>(lines[2])};
}
template <class T>
index inputs_of(const SumGeometry<T>& g) {
  return g.d.size * g.h.size * g.w.size;
}
template <class T>
index outputs_of(const SumGeometry<T>& g) {
  return g.d.output * g.h.output * g.w.output;
}

template <class T>
void AveragePool<T>::forward(const Team& team, const T* x, T* y) const {
  const auto& k = kernels<AveragePoolKernels, T>();
  const auto g = sum_geometry<T>(lines_);
  const index in = inputs_of(g), out = outputs_of(g);
  each_block(team, planes_, in, [&](index p, index count) { k.sum(g, count, x + p * in, y + p * out); });
}

template <class T>
void AveragePool<T>::backward(const Team& team, const T* dy, T* dx) const {
  const auto& k = kernels<AveragePoolKernels, T>();
  const auto g = sum_geometry<T>(lines_);
  const index in = inputs_of(g), out = outputs_of(g);
  const bool past = passes_caches(static_cast<std::size_t>(planes_ * in) * sizeof(T));
  each_block(team, planes_, in,
             [&](index p, index count) { k.sum_backward(g, count, dy + p * out, past, dx + p * in); });
}

template class AveragePool<float>;
template class AveragePool<double>;

}  // namespace tenfold
