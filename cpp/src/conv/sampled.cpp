#include "conv/sampled.h"

#include <algorithm>

#include "kernels/conv.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kPlanes = 8;  // of a piece of work

// The outputs that look at the image, and the pixels they look at.
void sample(const Axis& a, Samples& x, Samples& y) {
  const index begin = a.pad_before > 0 ? (a.pad_before + a.stride - 1) / a.stride : 0;
  const index last = a.size - 1 + a.pad_before;  // position of the last pixel, counted from output 0's
  const index end = last < 0 ? 0 : std::min(a.output, last / a.stride + 1);
  y = {a.output, begin, 1, std::max<index>(0, end - begin)};
  x = {a.size, begin * a.stride - a.pad_before, a.stride, y.count};
}

ConvGeometry inner_geometry(const ConvGeometry& g) {
  ConvGeometry inner = g;
  inner.window.border = Border::constant;
  for (int i = 0; i < 3; ++i) {
    Samples x, y;
    sample(g.window[i], x, y);
    Axis& axis = inner.window[i];
    axis = {};
    axis.size = axis.output = y.count;
  }
  return inner;
}

}  // namespace

bool sampled_applies(const ConvGeometry& g, const ConvOptions& options) {
  const Window& w = g.window;
  if (w.kernel_count() != 1 || g.images == 0) return false;
  if (w.padded() && (w.border != Border::constant || options.border_value != 0)) return false;
  bool plain = true;
  for (int i = 0; i < 3; ++i) {
    Samples x, y;
    sample(w[i], x, y);
    if (y.count == 0) return false;
    plain = plain && x.all() && y.all();
  }
  return !plain;
}

template <class T>
Sampled<T>::Sampled(const ConvGeometry& geometry, const ConvOptions& options)
    : geometry_(geometry), options_(options), inner_(inner_geometry(geometry), options) {
  for (int i = 0; i < 3; ++i)
    sample(geometry.window[i], x_[static_cast<std::size_t>(i)], y_[static_cast<std::size_t>(i)]);
}

template <class T>
std::size_t Sampled<T>::bytes(const Axes& axes, index planes) const {
  if (all(axes)) return 0;
  return align_up(static_cast<std::size_t>(planes * axes[0].count * axes[1].count * axes[2].count) *
                  sizeof(T));
}

template <class T>
void Sampled<T>::gather(const Team& team, const Axes& axes, index planes, const T* from, T* to) const {
  const auto& k = kernels<ConvKernels, T>();
  const auto& [depth, height, width] = axes;
  const index rows = depth.count * height.count;
  team.for_range(planes, kPlanes, [&](index begin, index end) {
    for (index plane = begin; plane < end; ++plane) {
      for (index r = 0; r < rows; ++r) {
        const index d = depth.begin + r / height.count * depth.step,
                    h = height.begin + r % height.count * height.step;
        k.pad_row(width.count, nullptr, 0, width.count, width.begin, width.step,
                  from + ((plane * depth.size + d) * height.size + h) * width.size, T(0),
                  to + (plane * rows + r) * width.count);
      }
    }
  });
}

template <class T>
void Sampled<T>::spread(const Team& team, const Axes& axes, index channels, const T* from, const T* bias,
                        bool relu, T* to) const {
  const auto& k = kernels<ConvKernels, T>();
  const auto& [depth, height, width] = axes;
  // Sample of position p along an axis, or -1.
  const auto sample_of = [](const Samples& s, index p) {
    const index i = p - s.begin;
    return i >= 0 && i % s.step == 0 && i / s.step < s.count ? i / s.step : index{-1};
  };
  team.for_range(geometry_.images * channels, kPlanes, [&](index begin, index end) {
    for (index plane = begin; plane < end; ++plane) {
      T rest = bias ? bias[plane % channels] : T(0);
      if (relu && rest < 0) rest = options_.keep_sign ? T(-0.0) : T(0);
      for (index d = 0; d < depth.size; ++d) {
        for (index h = 0; h < height.size; ++h) {
          T* row = to + ((plane * depth.size + d) * height.size + h) * width.size;
          const index i = sample_of(depth, d), j = sample_of(height, h);
          if (i < 0 || j < 0) {
            k.fill(width.size, rest, row);
          } else {
            k.spread_row(width.size, width.count, width.begin, width.step,
                         from + ((plane * depth.count + i) * height.count + j) * width.count, rest, row);
          }
        }
      }
    }
  });
}

// ---- y = A x, x = A^T y ----

template <class T>
std::size_t SampledProduct<T>::workspace(int threads) const {
  const ConvGeometry& g = this->geometry_;
  return this->bytes(this->x_, g.images * g.channels) + this->bytes(this->y_, g.images * g.filters) +
         (adjoint_ ? this->inner_.adjoint_workspace(threads) : this->inner_.apply_workspace(threads));
}

template <class T>
void SampledProduct<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                            std::byte* workspace) const {
  const ConvGeometry& g = this->geometry_;
  const auto& from = adjoint_ ? this->y_ : this->x_;
  const auto& to = adjoint_ ? this->x_ : this->y_;
  const index from_channels = adjoint_ ? g.filters : g.channels,
              to_channels = adjoint_ ? g.channels : g.filters;
  const T* inner_source = source;
  T* inner_target = target;
  if (!this->all(from)) {
    T* const gathered = reinterpret_cast<T*>(workspace);
    workspace += this->bytes(from, g.images * from_channels);
    this->gather(team, from, g.images * from_channels, source, gathered);
    inner_source = gathered;
  }
  if (!this->all(to)) {
    inner_target = reinterpret_cast<T*>(workspace);
    workspace += this->bytes(to, g.images * to_channels);
  }
  if (adjoint_) {
    this->inner_.adjoint(team, inner_source, weight, bias, inner_target, workspace);
  } else {
    this->inner_.apply(team, inner_source, weight, bias, inner_target, workspace);
  }
  if (inner_target != target)
    this->spread(team, to, to_channels, inner_target, bias, !adjoint_ && this->options_.relu, target);
}

// ---- dw = <dy, x> ----

template <class T>
std::size_t SampledGradient<T>::workspace(int threads) const {
  const ConvGeometry& g = this->geometry_;
  return this->bytes(this->x_, g.images * g.channels) + this->bytes(this->y_, g.images * g.filters) +
         this->inner_.weight_gradient_workspace(threads);
}

template <class T>
void SampledGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const {
  const ConvGeometry& g = this->geometry_;
  const auto samples = [&](const auto& axes, index planes, const T* of) {
    if (this->all(axes)) return of;
    T* const gathered = reinterpret_cast<T*>(workspace);
    workspace += this->bytes(axes, planes);
    this->gather(team, axes, planes, of, gathered);
    return static_cast<const T*>(gathered);
  };
  const T* const inner_x = samples(this->x_, g.images * g.channels, x);
  const T* const inner_dy = samples(this->y_, g.images * g.filters, dy);
  this->inner_.weight_gradient(team, inner_x, inner_dy, dw, workspace);
}

template class Sampled<float>;
template class Sampled<double>;
template class SampledProduct<float>;
template class SampledProduct<double>;
template class SampledGradient<float>;
template class SampledGradient<double>;

}  // namespace tenfold
