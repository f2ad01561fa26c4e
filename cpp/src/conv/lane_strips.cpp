#include "conv/lane_strips.h"

#include "kernels/lanes_row_winograd.h"

namespace tenfold {
namespace {

constexpr index kLanes = kLaneBlock;
// Rows of a strip and what they look at: they stay in the second-level cache.
constexpr index kStripBytes = 512 * 1024;

// Room for strips of `strip` rows, of x where it is the target. Tiles of outputs may look at a row and columns more.
LaneRows rows_of_x(const ConvGeometry& g, index strip, bool target) {
  const Axis &h = g.window[1], &w = g.window[2];
  if (target && lane_adjoint_gathers(g)) return {g.channels, strip, h.size, w.size, 0, 0};
  // A target's rows are counted from where the first row of y that reaches them begins.
  const index rows = target ? strip + h.extent() - 1 + h.stride : (strip - 1) * h.stride + h.extent();
  const int number = lane_row_winograd_number(g);
  if (target || number < 0) return {g.channels, rows, h.size, w.size, w.pad_before, w.pad_after};
  const index tile = kernels<LaneRowWinogradKernels, float>().form[number].outputs;
  const index missing = divide_up(w.output, tile) * tile - w.output;
  return {g.channels, rows + strip % 2, h.size, w.size, w.pad_before, w.pad_after + missing};
}

LaneRows rows_of_y(const ConvGeometry& g, index strip, bool target) {
  const Axis &h = g.window[1], &w = g.window[2];
  if (!target && lane_adjoint_gathers(g)) {
    const index left = std::max<index>(0, -first_reaching(w));
    const index right = std::max<index>(0, last_reaching(w, w.size - 1) - (w.output - 1));
    return {g.filters, last_reaching(h, strip - 1) - first_reaching(h) + 1, h.output, w.output, left, right};
  }
  const index rows = target ? strip : std::min(h.output, (strip + h.extent() - 2) / h.stride + 1);
  return {g.filters, rows, h.output, w.output, 0, 0};
}

index bytes_of_strip(const ConvGeometry& g, index strip, bool adjoint, std::size_t element_size) {
  return (rows_of_x(g, strip, adjoint).elements() + rows_of_y(g, strip, !adjoint).elements()) *
         static_cast<index>(element_size);
}

// The most of `height` rows that fit, in even shares; 0 where one does not. Strips that gather begin at a multiple of the
// stride: what their rows look at is the same for all.
index rows_of_strip(const ConvGeometry& g, index height, bool adjoint, std::size_t element_size) {
  index strip = height;
  while (strip > 0 && bytes_of_strip(g, strip, adjoint, element_size) > kStripBytes) --strip;
  if (strip == 0) return 0;
  strip = divide_up(height, divide_up(height, strip));
  const index step = adjoint && lane_adjoint_gathers(g) ? g.window[1].stride : 1;
  return std::min(height, divide_up(strip, step) * step);
}

}  // namespace

LaneLayout lane_layout(const ConvGeometry& g, LaneOperator op, std::size_t element_size) {
  const bool adjoint = op == LaneOperator::adjoint;
  LaneLayout layout;
  layout.height = adjoint ? g.window[1].size : g.window[1].output;
  layout.strip = rows_of_strip(g, layout.height, adjoint, element_size);
  if (layout.strip == 0) return layout;
  layout.strips = divide_up(layout.height, layout.strip);
  layout.blocks = divide_up(g.images, kLanes);
  layout.x = rows_of_x(g, layout.strip, adjoint);
  layout.y = rows_of_y(g, layout.strip, !adjoint);
  return layout;
}

bool lane_adjoint_gathers(const ConvGeometry& g) {
  return g.window[1].stride * g.window[2].stride > 1;
}

int lane_row_winograd_number(const ConvGeometry& g) {
  const Axis &h = g.window[1], &w = g.window[2];
  const bool plain = h.stride == 1 && w.stride == 1 && h.dilation == 1 && w.dilation == 1;
  return plain && h.kernel == w.kernel ? lane_winograd_number(h.kernel) : -1;
}

index first_reaching(const Axis& a) {
  const index last_tap = a.extent() - 1;
  return a.pad_before >= last_tap ? divide_up(a.pad_before - last_tap, a.stride)
                                  : -((last_tap - a.pad_before) / a.stride);
}
index last_reaching(const Axis& a, index element) {
  return (element + a.pad_before) / a.stride;
}

template <class T>
std::vector<index> LaneStrips<T>::taps() const {
  const Axis &h = geometry_.window[1], &w = geometry_.window[2];
  std::vector<index> taps;
  for (index c = 0; c < geometry_.channels; ++c) {
    for (index kh = 0; kh < h.kernel; ++kh) {
      for (index kw = 0; kw < w.kernel; ++kw)
        taps.push_back(c * layout_.x.plane() + kh * h.dilation * layout_.x.row() + kw * w.dilation * kLanes);
    }
  }
  return taps;
}

template <class T>
void LaneStrips<T>::read(const LaneRows& p, const LaneStrip& strip, index first, index count, T fill,
                         const T* from, T* lanes) const {
  const index begin = std::clamp<index>(-first, 0, count),
              end = std::clamp<index>(p.height - first, begin, count);
  from += strip.image * p.pixels();
  for (index c = 0; c < p.channels; ++c) {
    T* const to = lanes + c * p.plane();
    const T* const plane = from + (c * p.height + first) * p.width;
    if (p.left == 0 && p.right == 0) {
      std::fill(to, to + begin * p.row(), fill);
      lanes_.to_lanes((end - begin) * p.width, plane + begin * p.width, p.pixels(), strip.images,
                      to + begin * p.row());
    } else {
      std::fill(to, to + begin * p.row() + p.left * kLanes, fill);
      for (index r = begin; r < end; ++r) {
        T* const row = to + r * p.row() + p.left * kLanes;
        lanes_.to_lanes(p.width, plane + r * p.width, p.pixels(), strip.images, row);
        std::fill(row + p.width * kLanes, row + (p.width + p.right) * kLanes, fill);
        if (r + 1 < end) std::fill(row + (p.width + p.right) * kLanes, row + p.row(), fill);
      }
    }
    std::fill(to + end * p.row(), to + count * p.row(), fill);
  }
}

template <class T>
void LaneStrips<T>::write(const LaneRows& p, const LaneStrip& strip, const T* lanes, T* to,
                          const T* add) const {
  const bool gaps = p.left + p.right > 0;
  const index count = strip.rows();
  to += strip.image * p.pixels();
  for (index c = 0; c < p.channels; ++c) {
    const T* const from = lanes + c * p.plane() + p.left * kLanes;
    T* const plane = to + (c * p.height + strip.begin) * p.width;
    for (index r = 0; r < (gaps ? count : 1); ++r) {
      const index width = gaps ? p.width : count * p.width;
      lanes_.from_lanes(width, from + r * p.row(), plane + r * p.width, p.pixels(), strip.images, false);
    }
    if (add == nullptr) continue;
    for (index n = 0; n < strip.images; ++n) {
      for (index i = 0; i < count * p.width; ++i) plane[n * p.pixels() + i] += add[c];
    }
  }
}

template class LaneStrips<float>;
template class LaneStrips<double>;

}  // namespace tenfold
