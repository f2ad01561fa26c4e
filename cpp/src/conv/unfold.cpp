#include "tenfold/conv.h"

#include <algorithm>

#include "kernels/conv.h"

namespace tenfold {

template <class T>
Unfolding<T>::Unfolding(const Window& window, index images, index channels, double border_value)
    : window_(window), planes_(images * channels), border_value_(static_cast<T>(border_value)) {
  for (int i = 0; i < 3; ++i) {
    const Axis& a = window[i];
    auto& table = source_[static_cast<std::size_t>(i)];
    for (index k = 0; k < a.kernel; ++k) {
      for (index o = 0; o < a.output; ++o)
        table.push_back(border_source(a.position(o, k), a.size, window.border));
    }
  }
}

namespace {

// One row of taps: which outputs of tap k of the last axis lie inside, so that they are first + o * stride.
struct Inside {
  index begin, end, first;
};
Inside inside(const Axis& a, index k) {
  const index first = a.position(0, k);
  const index begin = first >= 0 ? 0 : std::min(a.output, (-first + a.stride - 1) / a.stride);
  const index end =
      first >= a.size ? begin : std::clamp((a.size - 1 - first) / a.stride + 1, begin, a.output);
  return {begin, end, first};
}

}  // namespace

// y[c][kd][kh][kw][od][oh][ow] <-- x[c][d][h][w]
template <class T>
void Unfolding<T>::unfold(const Team& team, const T* x, T* y) const {
  const auto& k = kernels<ConvKernels, T>();
  const Axis &a0 = window_[0], &a1 = window_[1], &a2 = window_[2];
  const index taps = window_.kernel_count(), outputs = window_.output_count();
  team.for_each(planes_ * taps, [&](index i) {
    const index tap = i % taps, k2 = tap % a2.kernel, k1 = tap / a2.kernel % a1.kernel,
                k0 = tap / a2.kernel / a1.kernel;
    const T* from = x + i / taps * window_.input_count();
    T* to = y + i * outputs;
    const Inside in = inside(a2, k2);
    for (index o0 = 0; o0 < a0.output; ++o0) {
      const index d = source_[0][static_cast<std::size_t>(k0 * a0.output + o0)];
      for (index o1 = 0; o1 < a1.output; ++o1, to += a2.output) {
        const index h = source_[1][static_cast<std::size_t>(k1 * a1.output + o1)];
        if (d < 0 || h < 0) {
          k.fill(a2.output, border_value_, to);
        } else {
          k.pad_row(a2.output, source_[2].data() + k2 * a2.output, in.begin, in.end, in.first, a2.stride,
                    from + (d * a1.size + h) * a2.size, border_value_, to);
        }
      }
    }
  });
}

template <class T>
void Unfolding<T>::fold(const Team& team, const T* y, T* x) const {
  const auto& k = kernels<ConvKernels, T>();
  const Axis &a0 = window_[0], &a1 = window_[1], &a2 = window_[2];
  team.for_each(planes_, [&](index plane) {
    T* to = x + plane * window_.input_count();
    const T* from = y + plane * window_.kernel_count() * window_.output_count();
    k.fill(window_.input_count(), 0, to);
    for (index k0 = 0; k0 < a0.kernel; ++k0) {
      for (index k1 = 0; k1 < a1.kernel; ++k1) {
        for (index k2 = 0; k2 < a2.kernel; ++k2) {
          const Inside in = inside(a2, k2);
          for (index o0 = 0; o0 < a0.output; ++o0) {
            const index d = source_[0][static_cast<std::size_t>(k0 * a0.output + o0)];
            for (index o1 = 0; o1 < a1.output; ++o1, from += a2.output) {
              const index h = source_[1][static_cast<std::size_t>(k1 * a1.output + o1)];
              if (d < 0 || h < 0) continue;
              k.fold_row(a2.output, source_[2].data() + k2 * a2.output, in.begin, in.end, in.first, a2.stride,
                         from, to + (d * a1.size + h) * a2.size);
            }
          }
        }
      }
    }
  });
}

template class Unfolding<float>;
template class Unfolding<double>;

}  // namespace tenfold
