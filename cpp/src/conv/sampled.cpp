#include "conv/sampled.h"

#include <algorithm>

#include "conv/images.h"
#include "conv/pointwise.h"
#include "kernels/conv.h"
#include "kernels/line.h"
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

// Where row i of the samples of planes one after the other begins.
template <class T>
const T* sample_row(const SampledPlane& plane, const T* from, index i) {
  const index rows = plane.rows();
  return from + i / rows * plane.pixels() + plane.pixel_row(i % rows) * plane.axes[2].size +
         plane.axes[2].begin;
}

// to[row][i] <-- these rows of samples
template <class T>
void gather_rows(const SampledPlane& plane, const T* from, index begin, index end, T* to) {
  const auto& k = kernels<ConvKernels, T>();
  const auto& [depth, height, width] = plane.axes;
  for (index row = begin; row < end;) {
    const index rows = std::min(end - row, height.count - row % height.count);
    k.pick_rows(rows, width.count, sample_row(plane, from, row), height.step * width.size, width.step,
                to + row * width.count);
    row += rows;
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
    gather_rows(plane, from, begin * plane.rows(), end * plane.rows(), room);
  });
  return room;
}

// Room for the samples of so many planes: none where they are all there is.
template <class T>
std::size_t room_for(const SampledPlane& plane, index planes) {
  return plane.all() ? 0 : align_up(static_cast<std::size_t>(planes * plane.count()) * sizeof(T));
}

// The samples of an image, gathered a share of their rows at a time.
template <class T>
class Gathering {
 public:
  Gathering(const SampledPlane& plane, index planes, index shares)
      : plane_(plane), rows_(plane.rows() * planes), shares_(shares) {}

  // Those of `from`, into `to`; none where `from` is null.
  void begin(const T* from, T* to) { from_ = from, to_ = to, done_ = share_ = 0; }
  void gather_share() {
    if (from_) gather_until(rows_ * ++share_ / shares_);
  }
  void gather_rest() { gather_until(rows_); }

  // So many lines of the pixels that the share after the next one is gathered from.
  GemmFetch<T> ahead(index lines) const {
    const index begin = rows_ * (share_ + 1) / shares_, end = rows_ * (share_ + 2) / shares_;
    if (!from_ || end > rows_) return {};
    const index pixels = (end - begin) * plane_.axes[1].step * plane_.axes[2].size;
    return {sample_row(plane_, from_, begin),
            kLine<T> * std::max<index>(1, divide_up(pixels, kLine<T> * lines))};
  }

 private:
  void gather_until(index end) {
    gather_rows(plane_, from_, done_, end, to_);
    done_ = end;
  }

  const SampledPlane& plane_;
  index rows_, shares_;
  const T* from_ = nullptr;
  T* to_ = nullptr;
  index done_ = 0, share_ = 0;
};

// C of an image. With every tile goes a share of the next image's samples, whose pixels the tile before has asked for:
// gathered at once, they wait for memory.
template <class T>
struct GatheringC {
  StridedC<T> to;
  Gathering<T>* next;
  template <class Kernel>
  void operator()(Kernel kernel, GemmTile<T>& tile, index i, index j, index rows, bool first,
                  bool last) const {
    const GemmFetch<T> fetch = next->ahead(tile.k);
    if (fetch.data)
      tile.next = fetch.data, tile.next_step = fetch.step;  // the columns of this image are near
    to(kernel, tile, i, j, rows, first, last);
    next->gather_share();
  }
};

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
      inner_(inner_geometry(g), options) {
  constexpr index kLeastPixels = 512;  // fewer fill tiles better together with the next image's
  constexpr std::size_t kNear = 1024 * 1024;
  large_ = pointwise_form(inner_.geometry()) == PointwiseForm::plain && source_.count() >= kLeastPixels &&
           source_bytes(1) + target_bytes(1) <= kNear;
  if (!large_) return;
  plan_ = plan_strided<T>(target_channels_, source_.count(), source_channels_,
                          adjoint ? MatrixLayout{1, g.channels} : MatrixLayout{g.channels, 1},
                          {source_.count(), 1});
  large_ = plan_.form == ProductForm::tiles;
}

template <class T>
std::size_t SampledProduct<T>::source_bytes(index images) const {
  return room_for<T>(source_, images * source_channels_);
}
template <class T>
std::size_t SampledProduct<T>::target_bytes(index images) const {
  return room_for<T>(target_, images * target_channels_);
}
// Of one member that takes an image for itself.
template <class T>
std::size_t SampledProduct<T>::image_bytes() const {
  return 2 * source_bytes(1) + target_bytes(1) + align_up(plan_.workspace(1));
}

// Whether members take whole images.
template <class T>
bool SampledProduct<T>::apart(int members) const {
  return large_ && even_shares(images_, members);
}

template <class T>
std::size_t SampledProduct<T>::workspace(int threads) const {
  const std::size_t together =
      source_bytes(images_) + target_bytes(images_) +
      (adjoint_ ? inner_.adjoint_workspace(threads) : inner_.apply_workspace(threads));
  // A team may turn out smaller, and its shares uneven.
  return large_ ? std::max(together, static_cast<std::size_t>(threads) * image_bytes()) : together;
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
  if (apart(team.size())) return run_apart(team, source, weight, bias, target, workspace);
  const index planes = images_ * target_channels_;
  const T* const samples =
      gather(team, source_, images_ * source_channels_, source, reinterpret_cast<T*>(workspace));
  workspace += source_bytes(images_);
  T* const sums = target_.all() ? target : reinterpret_cast<T*>(workspace);
  workspace += target_bytes(images_);
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

// Image by image: gathered, multiplied and put back in the cache of one member.
template <class T>
void SampledProduct<T>::run_apart(const Team& team, const T* source, const T* weight, const T* bias,
                                  T* target, std::byte* workspace) const {
  std::byte* own = workspace + static_cast<std::size_t>(team.rank()) * image_bytes();
  const auto take = [&own](std::size_t bytes) {
    T* const taken = reinterpret_cast<T*>(own);
    own += bytes;
    return taken;
  };
  T *samples = take(source_bytes(1)), *next_samples = take(source_bytes(1));
  T* const room = take(target_bytes(1));
  const index source_image = source_channels_ * source_.pixels();
  const GemmPlan<T>& tiles = plan_.tiles;
  Gathering<T> gathering(source_, source_channels_, tiles.chunks * tiles.m_panels * tiles.n_panels);
  index gathered = -1;  // the image whose samples have been begun
  const auto owner = [&](index n) { return ((n + 1) * team.size() - 1) / images_; };
  team.for_each(images_, [&](index n) {
    const T* const from = source + n * source_image;
    T* const to = target + n * target_channels_ * target_.pixels();
    T* const sums = target_.all() ? to : room;
    StridedC<T> c{sums, target_.count()};
    c.bias_row = bias;
    c.activation = !relu_ ? kGemmNone : keep_sign_ ? kGemmReluKeepSign : kGemmRelu;
    if (source_.all()) {
      run_strided(Team::alone(), plan_, weight, from, c, own);
    } else {
      std::swap(samples, next_samples);
      if (gathered != n) gathering.begin(from, samples);
      gathering.gather_rest();
      gathered = n + 1 < images_ && owner(n + 1) == owner(n) ? n + 1 : -1;
      gathering.begin(gathered < 0 ? nullptr : from + source_image, next_samples);
      gemm_driver(Team::alone(), tiles, StridedA<T>{weight, plan_.a.row, plan_.a.column},
                  StridedB<T>{samples, source_.count(), 1}, GatheringC<T>{c, &gathering}, own);
    }
    if (!target_.all()) {
      for (index i = 0; i < target_channels_; ++i) {
        spread_plane(target_, sums + i * target_.count(), rest(bias, i), to + i * target_.pixels());
      }
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
  inner_.weight_gradient(team, inner_x, inner_dy, dw, nullptr, workspace);
}

template class SampledProduct<float>;
template class SampledProduct<double>;
template class SampledGradient<float>;
template class SampledGradient<double>;

}  // namespace tenfold
