#include "conv/sampled.h"

#include <algorithm>

#include "kernels/conv.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kPlanes = 8;  // of a piece of work

struct SampledPlanes {
  SampledPlane x, y;
};

// The outputs that look at the image, and the pixels they look at.
SampledPlanes sample(const Window& window) {
  SampledPlanes planes;
  for (int i = 0; i < 3; ++i) {
    const Axis& a = window[i];
    const index begin = a.pad_before > 0 ? (a.pad_before + a.stride - 1) / a.stride : 0;
    const index last = a.size - 1 + a.pad_before;  // position of the last pixel, counted from output 0's
    const index end = last < 0 ? 0 : std::min(a.output, last / a.stride + 1);
    const index count = std::max<index>(0, end - begin);
    planes.y.axes[static_cast<std::size_t>(i)] = {a.output, begin, 1, count};
    planes.x.axes[static_cast<std::size_t>(i)] = {a.size, begin * a.stride - a.pad_before, a.stride, count};
  }
  return planes;
}

ConvGeometry inner_geometry(const ConvGeometry& g) {
  const SampledPlanes planes = sample(g.window);
  ConvGeometry inner = g;
  inner.window.border = Border::constant;
  for (int i = 0; i < 3; ++i) {
    Axis& axis = inner.window[i];
    axis = {};
    axis.size = axis.output = planes.y.axes[static_cast<std::size_t>(i)].count;
  }
  return inner;
}

// to[row][i] <-- the samples of a plane
template <class T>
void gather_plane(const SampledPlane& plane, const T* from, T* to) {
  const auto& k = kernels<ConvKernels, T>();
  const auto& [depth, height, width] = plane.axes;
  for (index row = 0; row < plane.rows(); row += height.count, to += height.count * width.count) {
    k.pick_rows(height.count, width.count, from + plane.pixel_row(row) * width.size + width.begin,
                height.step * width.size, width.step, to);
  }
}

// The samples of a plane <-- from[row][i], its other pixels <-- rest.
template <class T>
void spread_plane(const SampledPlane& plane, const T* from, T rest, T* to) {
  const auto& k = kernels<ConvKernels, T>();
  const Samples& width = plane.axes[2];
  index at = 0;  // row of pixels
  for (index row = 0; row < plane.rows(); ++row, from += width.count, ++at) {
    const index next = plane.pixel_row(row);
    k.fill((next - at) * width.size, rest, to + at * width.size);
    k.spread_row(width.size, width.count, width.begin, width.step, from, rest, to + next * width.size);
    at = next;
  }
  k.fill((plane.pixel_rows() - at) * width.size, rest, to + at * width.size);
}

// The samples of so many planes, in `room` unless the planes have no other pixels.
template <class T>
const T* gather(const Team& team, const SampledPlane& plane, index planes, const T* from, T* room) {
  if (plane.all()) return from;
  team.for_range(planes, kPlanes, [&](index begin, index end) {
    for (index i = begin; i < end; ++i)
      gather_plane(plane, from + i * plane.pixels(), room + i * plane.count());
  });
  return room;
}

// Room for the samples of so many planes: none where they are all there is.
template <class T>
std::size_t room_for(const SampledPlane& plane, index planes) {
  return plane.all() ? 0 : align_up(static_cast<std::size_t>(planes * plane.count()) * sizeof(T));
}

}  // namespace

bool sampled_applies(const ConvGeometry& g, const ConvOptions& options) {
  const Window& w = g.window;
  if (w.kernel_count() != 1 || g.images == 0) return false;
  if (w.padded() && (w.border != Border::constant || options.border_value != 0)) return false;
  const SampledPlanes planes = sample(w);
  return planes.y.count() > 0 && !(planes.x.all() && planes.y.all());
}

// ---- y = A x, x = A^T y ----

template <class T>
SampledProduct<T>::SampledProduct(const ConvGeometry& g, const ConvOptions& options, bool adjoint)
    : adjoint_(adjoint),
      relu_(!adjoint && options.relu),
      keep_sign_(options.keep_sign),
      images_(g.images),
      source_channels_(adjoint ? g.filters : g.channels),
      target_channels_(adjoint ? g.channels : g.filters),
      source_(adjoint ? sample(g.window).y : sample(g.window).x),
      target_(adjoint ? sample(g.window).x : sample(g.window).y),
      inner_(inner_geometry(g), options) {}

template <class T>
std::size_t SampledProduct<T>::source_bytes() const {
  return room_for<T>(source_, images_ * source_channels_);
}
template <class T>
std::size_t SampledProduct<T>::target_bytes() const {
  return room_for<T>(target_, images_ * target_channels_);
}

template <class T>
std::size_t SampledProduct<T>::workspace(int threads) const {
  return source_bytes() + target_bytes() +
         (adjoint_ ? inner_.adjoint_workspace(threads) : inner_.apply_workspace(threads));
}

// What the pixels of a channel are that no sample reaches.
template <class T>
T SampledProduct<T>::rest(const T* bias, index channel) const {
  const T value = bias ? bias[channel] : T(0);
  return relu_ && value < 0 ? (keep_sign_ ? T(-0.0) : T(0)) : value;
}

template <class T>
void SampledProduct<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                            std::byte* workspace) const {
  const index planes = images_ * target_channels_;
  const T* const samples =
      gather(team, source_, images_ * source_channels_, source, reinterpret_cast<T*>(workspace));
  workspace += source_bytes();
  T* const sums = target_.all() ? target : reinterpret_cast<T*>(workspace);
  workspace += target_bytes();
  if (adjoint_) {
    inner_.adjoint(team, samples, weight, bias, sums, workspace);
  } else {
    inner_.apply(team, samples, weight, bias, sums, workspace);
  }
  if (target_.all()) return;
  team.for_range(planes, kPlanes, [&](index begin, index end) {
    for (index i = begin; i < end; ++i) {
      spread_plane(target_, sums + i * target_.count(), rest(bias, i % target_channels_),
                   target + i * target_.pixels());
    }
  });
}

// ---- dw = <dy, x> ----

template <class T>
SampledGradient<T>::SampledGradient(const ConvGeometry& g, const ConvOptions& options)
    : x_planes_(g.images * g.channels),
      y_planes_(g.images * g.filters),
      x_(sample(g.window).x),
      y_(sample(g.window).y),
      inner_(inner_geometry(g), options) {}

template <class T>
std::size_t SampledGradient<T>::workspace(int threads) const {
  return room_for<T>(x_, x_planes_) + room_for<T>(y_, y_planes_) + inner_.weight_gradient_workspace(threads);
}

template <class T>
void SampledGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const {
  const T* const inner_x = gather(team, x_, x_planes_, x, reinterpret_cast<T*>(workspace));
  workspace += room_for<T>(x_, x_planes_);
  const T* const inner_dy = gather(team, y_, y_planes_, dy, reinterpret_cast<T*>(workspace));
  workspace += room_for<T>(y_, y_planes_);
  inner_.weight_gradient(team, inner_x, inner_dy, dw, workspace);
}

template class SampledProduct<float>;
template class SampledProduct<double>;
template class SampledGradient<float>;
template class SampledGradient<double>;

}  // namespace tenfold
