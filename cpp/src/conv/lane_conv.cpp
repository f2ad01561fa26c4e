#include "conv/lane_conv.h"

#include <algorithm>

#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kLanes = kLaneBlock;
// Fewer images leave most lanes empty.
constexpr index kLeastImages = 16;
// A block's planes: they stay in the second-level cache.
constexpr index kBlockBytes = 768 * 1024;
// Slots of weight gradients.
constexpr index kMaxChunks = 32;
// Rows of dy that a pass of the weight gradient keeps in the first-level cache, of at most six filters: 16 KB.
constexpr index kStripBytes = 16 * 1024;

index divide_up(index a, index b) {
  return (a + b - 1) / b;
}

LanePlanes planes_of_x(const ConvGeometry& g) {
  const Axis &h = g.window[1], &w = g.window[2];
  return {g.channels, h.size, w.size, h.pad_before, h.pad_after, w.pad_before, w.pad_after};
}

LanePlanes planes_of_y(const ConvGeometry& g) {
  LanePlanes y;
  y.channels = g.filters, y.height = g.window[1].output, y.width = g.window[2].output;
  return y;
}

// Where the taps look in planes of x.
std::vector<index> taps_of(const ConvGeometry& g, const LanePlanes& x) {
  const Axis &h = g.window[1], &w = g.window[2];
  std::vector<index> taps;
  for (index c = 0; c < g.channels; ++c) {
    for (index kh = 0; kh < h.kernel; ++kh) {
      for (index kw = 0; kw < w.kernel; ++kw)
        taps.push_back(c * x.plane() + kh * h.dilation * x.row() + kw * w.dilation * kLanes);
    }
  }
  return taps;
}

// lanes <-- `images` images; lanes beyond them are zeros.
template <class T>
void read(const LaneKernels<T>& k, const LanePlanes& p, const T* from, index images, T fill, T* lanes) {
  if (p.plane() == p.height * p.width * kLanes)
    return k.to_lanes(p.pixels(), from, p.pixels(), images, lanes);
  std::fill(lanes, lanes + p.elements(), fill);
  for (index c = 0; c < p.channels; ++c) {
    for (index h = 0; h < p.height; ++h) {
      k.to_lanes(p.width, from + (c * p.height + h) * p.width, p.pixels(), images,
                 lanes + c * p.plane() + p.origin() + h * p.row());
    }
  }
}

template <class T>
void write(const LaneKernels<T>& k, const LanePlanes& p, const T* lanes, index images, T* to) {
  if (p.plane() == p.height * p.width * kLanes)
    return k.from_lanes(p.pixels(), lanes, to, p.pixels(), images);
  for (index c = 0; c < p.channels; ++c) {
    for (index h = 0; h < p.height; ++h) {
      k.from_lanes(p.width, lanes + c * p.plane() + p.origin() + h * p.row(),
                   to + (c * p.height + h) * p.width, p.pixels(), images);
    }
  }
}

template <class T>
std::size_t bytes_of(index elements) {
  return align_up(static_cast<std::size_t>(elements) * sizeof(T));
}

}  // namespace

bool lane_conv_choice(const ConvGeometry& g, LaneOperator op, std::size_t element_size) {
  const Window& w = g.window;
  if (w.rank > 2 || g.groups != 1 || g.images < kLeastImages || w.output_count() == 0) return false;
  for (int i = 1; i < 3; ++i) {
    if (w[i].pad_before < 0 || w[i].pad_after < 0) return false;
  }
  if (w.border != Border::constant && w.padded()) return false;
  const LanePlanes x = planes_of_x(g), y = planes_of_y(g);
  if ((x.elements() + y.elements()) * static_cast<index>(element_size) > kBlockBytes) return false;

  // Cycles of 16 images: multiply-adds at their share of the peak, and turning (measured).
  constexpr double kShare = 0.85, kTurn = 6, kClearly = 0.9;
  const double taps = static_cast<double>(g.channels * w.kernel_count()), f = static_cast<double>(g.filters);
  const double filling =
      static_cast<double>(divide_up(g.images, kLanes) * kLanes) / static_cast<double>(g.images);
  const double lanes = filling * (f * taps * static_cast<double>(w.output_count()) / kShare +
                                  kTurn * static_cast<double>(x.elements() + y.elements()) / kLanes);
  // Of the other forms: the gaps between rows are computed too; sums of few rows are bound by loads, and those of a
  // weight gradient end at every row.
  const bool adjoint = op == LaneOperator::adjoint;
  const index strides = adjoint ? w[1].stride * w[2].stride : 1;
  const index height = (adjoint ? w[1].size : w[1].output), width = adjoint ? w[2].size : w[2].output;
  const index row = std::max<index>(1, width / (adjoint ? w[2].stride : 1));
  const index gap = w[2].dilation * (w[2].kernel - 1) / w[2].stride;
  const bool weights = op == LaneOperator::weight_gradient;
  const double vectors = weights ? static_cast<double>(height * divide_up(width, kLanes) * kLanes)
                                 : static_cast<double>(height * width / strides) *
                                       static_cast<double>(row + gap) / static_cast<double>(row);
  constexpr double kFinish = 20;  // to write a vector of sums into rows
  const double finish =
      weights ? 0 : kFinish * static_cast<double>((adjoint ? g.channels : g.filters) * height * width);
  const double share = weights ? 0.65 : (adjoint ? g.channels : g.filters) < 3 ? kShare / 2 : kShare;
  return lanes < kClearly * (f * taps * vectors / share + finish);
}

// ---- y = A x, x = A^T y ----

template <class T>
LaneProduct<T>::LaneProduct(const ConvGeometry& geometry, const ConvOptions& options, LaneOperator op)
    : geometry_(geometry),
      k_(kernels<LaneKernels, T>()),
      op_(op),
      relu_(options.relu && op == LaneOperator::apply),
      fill_(static_cast<T>(options.border_value)),
      x_(planes_of_x(geometry)),
      y_(planes_of_y(geometry)),
      tap_(taps_of(geometry_, x_)) {
  const Axis &h = geometry_.window[1], &w = geometry_.window[2];
  for (index oh = 0; oh < h.output; ++oh) {
    for (index ow = 0; ow < w.output; ++ow) {
      pixel_.push_back(oh * h.stride * x_.row() + ow * w.stride * kLanes);
      place_.push_back((oh * w.output + ow) * kLanes);
    }
  }
}

template <class T>
std::size_t LaneProduct<T>::workspace(int threads) const {
  return static_cast<std::size_t>(threads) * (bytes_of<T>(x_.elements()) + bytes_of<T>(y_.elements()));
}

template <class T>
void LaneProduct<T>::apply(const T* x, const T* weight, const T* bias, T* y) const {
  LaneConv<T> call{};
  call.x = x, call.w = weight, call.bias = bias, call.y = y;
  call.filters = geometry_.filters, call.taps = static_cast<index>(tap_.size());
  call.pixels = static_cast<index>(pixel_.size());
  call.tap = tap_.data(), call.pixel = pixel_.data(), call.place = place_.data();
  call.y_plane = y_.plane();
  call.relu = relu_;
  k_.conv(call);
}

template <class T>
void LaneProduct<T>::adjoint(const T* dy, const T* weight, T* dx) const {
  const Axis &h = geometry_.window[1], &w = geometry_.window[2];
  LaneConvInput<T> call{};
  call.dy = dy, call.w = weight, call.dx = dx;
  call.channels = geometry_.channels, call.filters = geometry_.filters;
  call.kernel_h = h.kernel, call.kernel_w = w.kernel;
  call.stride_h = h.stride, call.stride_w = w.stride;
  call.dilation_h = h.dilation, call.dilation_w = w.dilation;
  call.out_h = h.output, call.out_w = w.output;
  call.first_row = x_.top, call.last_row = x_.top + x_.height, call.width = x_.row() / kLanes;
  call.dy_plane = y_.plane(), call.dy_row = y_.row();
  call.dx_plane = x_.plane(), call.dx_row = x_.row();
  k_.conv_input(call);
}

template <class T>
void LaneProduct<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                         std::byte* workspace) const {
  std::byte* const mine = workspace + static_cast<std::size_t>(team.rank()) * this->workspace(1);
  T* const x = reinterpret_cast<T*>(mine);
  T* const y = reinterpret_cast<T*>(mine + bytes_of<T>(x_.elements()));
  team.for_each(divide_up(geometry_.images, kLanes), [&](index block) {
    const index first = block * kLanes, images = std::min(kLanes, geometry_.images - first);
    if (op_ == LaneOperator::apply) {
      read(k_, x_, source + first * x_.pixels(), images, fill_, x);
      apply(x, weight, bias, y);
      write(k_, y_, y, images, target + first * y_.pixels());
      return;
    }
    read(k_, y_, source + first * y_.pixels(), images, T(0), y);
    adjoint(y, weight, x);
    T* const to = target + first * x_.pixels();
    write(k_, x_, x, images, to);
    if (bias == nullptr) return;
    const index plane = x_.height * x_.width;
    for (index p = 0; p < images * x_.channels; ++p) {
      for (index i = 0; i < plane; ++i) to[p * plane + i] += bias[p % x_.channels];
    }
  });
}

// ---- dw = <dy, x> ----

template <class T>
LaneGradient<T>::LaneGradient(const ConvGeometry& geometry, const ConvOptions& options)
    : geometry_(geometry),
      k_(kernels<LaneKernels, T>()),
      fill_(static_cast<T>(options.border_value)),
      x_(planes_of_x(geometry)),
      y_(planes_of_y(geometry)),
      tap_(taps_of(geometry_, x_)),
      blocks_(divide_up(geometry_.images, kLanes)),
      chunks_(std::min(blocks_, kMaxChunks)) {
  const index row = std::min<index>(geometry_.filters, 6) * y_.row() * static_cast<index>(sizeof(T));
  strip_ = std::clamp<index>(kStripBytes / row, 1, y_.height);
}

template <class T>
std::size_t LaneGradient<T>::workspace(int threads) const {
  return bytes_of<T>(chunks_ * sums()) +
         static_cast<std::size_t>(threads) *
             (bytes_of<T>(x_.elements()) + bytes_of<T>(y_.elements()) + bytes_of<T>(sums() * kLanes));
}

template <class T>
void LaneGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const {
  const Axis &h = geometry_.window[1], &w = geometry_.window[2];
  T* const slots = reinterpret_cast<T*>(workspace);
  const std::size_t of_slots = bytes_of<T>(chunks_ * sums());
  std::byte* at =
      workspace + of_slots + static_cast<std::size_t>(team.rank()) * (this->workspace(1) - of_slots);
  T* const own_x = reinterpret_cast<T*>(at);
  T* const own_y = reinterpret_cast<T*>(at += bytes_of<T>(x_.elements()));
  T* const acc = reinterpret_cast<T*>(at + bytes_of<T>(y_.elements()));
  LaneConvWeight<T> call{};
  call.acc = acc;
  call.filters = geometry_.filters, call.taps = static_cast<index>(tap_.size());
  call.cols = y_.width;
  call.tap = tap_.data();
  call.x_row = h.stride * x_.row(), call.x_col = w.stride * kLanes;
  call.dy_plane = y_.plane(), call.dy_row = y_.row();
  team.for_each(chunks_, [&](index chunk) {
    std::fill(acc, acc + sums() * kLanes, T(0));
    for (index block = blocks_ * chunk / chunks_; block < blocks_ * (chunk + 1) / chunks_; ++block) {
      const index first = block * kLanes, images = std::min(kLanes, geometry_.images - first);
      read(k_, x_, x + first * x_.pixels(), images, fill_, own_x);
      read(k_, y_, dy + first * y_.pixels(), images, T(0), own_y);
      for (index top = 0; top < y_.height; top += strip_) {
        call.rows = std::min(strip_, y_.height - top);
        call.x = own_x + top * call.x_row, call.dy = own_y + top * call.dy_row;
        k_.conv_weight(call);
      }
    }
    k_.sum_lanes(sums(), acc, slots + chunk * sums());
  });
  team.for_range(sums(), 256, [&](index begin, index end) {
    for (index i = begin; i < end; ++i) {
      T total = slots[i];
      for (index chunk = 1; chunk < chunks_; ++chunk) total += slots[chunk * sums() + i];
      dw[i] = total;
    }
  });
}

template class LaneProduct<float>;
template class LaneProduct<double>;
template class LaneGradient<float>;
template class LaneGradient<double>;

}  // namespace tenfold
