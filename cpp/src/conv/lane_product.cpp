#include "conv/lane_product.h"

#include "kernels/lanes_row_winograd.h"

namespace tenfold {
namespace {

constexpr index kLanes = kLaneBlock;
// What the points of some pairs of rows take of the first-level cache.
constexpr index kNearBytes = 16 * 1024;

template <class T>
const LaneConvKernels<T>& conv_kernels() {
  return kernels<LaneConvKernels, T>();
}

}  // namespace

// ---- y = A x ----

template <class T>
LaneDirect<T>::LaneDirect(const ConvGeometry& geometry, const ConvOptions& options)
    : LaneProduct<T>(geometry, options, LaneOperator::apply), relu_(options.relu), tap_(this->taps()) {
  const Axis &h = geometry.window[1], &w = geometry.window[2];
  for (index oh = 0; oh < this->layout_.strip; ++oh) {
    for (index ow = 0; ow < w.output; ++ow) {
      pixel_.push_back(oh * h.stride * this->layout_.x.row() + ow * w.stride * kLanes);
      place_.push_back((oh * w.output + ow) * kLanes);
    }
  }
}

template <class T>
void LaneDirect<T>::run(const Team& team, const T* x, const T* weight, const T* bias, T* y,
                        std::byte* workspace) const {
  const LaneRows& of_y = this->layout_.y;
  const auto& kernels = conv_kernels<T>();
  this->for_each_strip(
      team, workspace, [](const auto&) {},
      [&](const LaneStrip& strip, const auto& own) {
        this->read_x(strip, this->first_look(strip.begin), this->looks(strip.rows()), x, own.x);
        LaneConv<T> call{};
        call.x = own.x, call.w = weight, call.bias = bias, call.y = own.y;
        call.filters = this->geometry_.filters, call.taps = static_cast<index>(tap_.size());
        call.pixels = strip.rows() * of_y.width;
        call.tap = tap_.data(), call.pixel = pixel_.data(), call.place = place_.data();
        call.y_plane = of_y.plane();
        call.relu = relu_;
        kernels.forward(call);
        this->write(of_y, strip, own.y, y);
      });
}

template <class T>
LaneRowWinograd<T>::LaneRowWinograd(const ConvGeometry& geometry, const ConvOptions& options)
    : LaneProduct<T>(geometry, options, LaneOperator::apply),
      relu_(options.relu),
      number_(lane_row_winograd_number(geometry)) {
  const index r = geometry.window[1].kernel;
  const index points = kernels<LaneRowWinogradKernels, float>().form[number_].points;
  const index row = geometry.channels * points * kLanes;
  row_pairs_ = std::clamp<index>(kNearBytes / static_cast<index>(sizeof(T)) / (2 * row), 1,
                                 divide_up(this->layout_.strip, 2));
  this->weights_ = geometry.filters * geometry.channels * r * points;
  this->scratch_ = (2 * row_pairs_ + r - 1) * row;
}

template <class T>
void LaneRowWinograd<T>::run(const Team& team, const T* x, const T* weight, const T* bias, T* y,
                             std::byte* workspace) const {
  const ConvGeometry& g = this->geometry_;
  const LaneRows &of_x = this->layout_.x, &of_y = this->layout_.y;
  const auto& kernels = tenfold::kernels<LaneRowWinogradKernels, T>();
  this->for_each_strip(
      team, workspace,
      [&](const auto& own) { kernels.transform[number_](g.filters * g.channels, weight, own.weights); },
      [&](const LaneStrip& strip, const auto& own) {
        const index looks = this->looks(strip.rows()) + strip.rows() % 2;  // of whole pairs
        this->read_x(strip, this->first_look(strip.begin), looks, x, own.x);
        LaneWinograd<T> call{};
        call.x = own.x, call.u = own.weights, call.bias = bias, call.y = own.y, call.scratch = own.scratch;
        call.channels = g.channels, call.filters = g.filters;
        call.out_h = strip.rows(), call.out_w = of_y.width;
        call.x_plane = of_x.plane(), call.x_row = of_x.row();
        call.y_plane = of_y.plane(), call.y_row = of_y.row();
        call.tiles = row_pairs_;
        call.relu = relu_;
        kernels.forward[number_](call);
        this->write(of_y, strip, own.y, y);
      });
}

// ---- x = A^T y ----

template <class T>
LaneGather<T>::LaneGather(const ConvGeometry& geometry, const ConvOptions& options)
    : LaneProduct<T>(geometry, options, LaneOperator::adjoint) {
  const Axis &h = geometry.window[1], &w = geometry.window[2];
  for (index part_h = 0; part_h < h.stride; ++part_h) {
    for (index part_w = 0; part_w < w.stride; ++part_w) parts_.push_back(make_part(part_h, part_w));
  }
  this->weights_ = geometry.filters * geometry.channels * geometry.window.kernel_count();
}

template <class T>
typename LaneGather<T>::Part LaneGather<T>::make_part(index part_h, index part_w) const {
  const ConvGeometry& g = this->geometry_;
  const Axis &h = g.window[1], &w = g.window[2];
  const LaneRows &x = this->layout_.x, &y = this->layout_.y;
  Part part;
  for (index kh = 0; kh < h.kernel; ++kh) {
    for (index kw = 0; kw < w.kernel; ++kw) {
      if ((part_h + kh * h.dilation) % h.stride == 0 && (part_w + kw * w.dilation) % w.stride == 0)
        part.taps.push_back(kh * w.kernel + kw);
    }
  }
  for (index f = 0; f < g.filters; ++f) {
    for (const index tap : part.taps) {
      const index kh = tap / w.kernel, kw = tap % w.kernel;
      part.tap.push_back(f * y.plane() - (part_h + kh * h.dilation) / h.stride * y.row() -
                         (part_w + kw * w.dilation) / w.stride * kLanes);
    }
  }
  for (index row = 0; row < this->layout_.strip; ++row) {
    const index at_row = (row + h.pad_before + part_h) / h.stride - first_reaching(h);
    const bool part_row = (row + h.pad_before + part_h) % h.stride == 0;
    for (index column = 0; column < w.size; ++column) {
      if (!part_row || (column + w.pad_before + part_w) % w.stride != 0) continue;
      const index at_column = (column + w.pad_before + part_w) / w.stride + y.left;
      part.pixel.push_back(at_row * y.row() + at_column * kLanes);
      part.place.push_back(row * x.row() + column * kLanes);
    }
    part.pixels.push_back(static_cast<index>(part.pixel.size()));
  }
  return part;
}

template <class T>
void LaneGather<T>::sort_weights(const T* weight, T* sorted) const {
  const ConvGeometry& g = this->geometry_;
  const index taps = g.window.kernel_count();
  for (const Part& part : parts_) {
    for (index c = 0; c < g.channels; ++c) {
      for (index f = 0; f < g.filters; ++f) {
        for (const index tap : part.taps) *sorted++ = weight[(f * g.channels + c) * taps + tap];
      }
    }
  }
}

template <class T>
void LaneGather<T>::run(const Team& team, const T* dy, const T* weight, const T* bias, T* dx,
                        std::byte* workspace) const {
  const ConvGeometry& g = this->geometry_;
  const Axis& h = g.window[1];
  const LaneRows& of_x = this->layout_.x;
  const auto& kernels = conv_kernels<T>();
  this->for_each_strip(
      team, workspace, [&](const auto& own) { sort_weights(weight, own.weights); },
      [&](const LaneStrip& strip, const auto& own) {
        const index looks = last_reaching(h, strip.rows() - 1) - first_reaching(h) + 1;
        this->read_y(strip, strip.begin / h.stride + first_reaching(h), looks, dy, own.y);
        LaneConv<T> call{};
        call.x = own.y, call.w = own.weights, call.bias = bias, call.y = own.x;
        call.filters = g.channels, call.y_plane = of_x.plane();
        for (const Part& part : parts_) {
          call.taps = static_cast<index>(part.tap.size());
          call.tap = part.tap.data(), call.pixel = part.pixel.data(), call.place = part.place.data();
          call.pixels = part.pixels[static_cast<std::size_t>(strip.rows() - 1)];
          kernels.forward(call);
          call.w += g.channels * call.taps;
        }
        this->write(of_x, strip, own.x, dx);
      });
}

template <class T>
void LaneScatter<T>::run(const Team& team, const T* dy, const T* weight, const T* bias, T* dx,
                         std::byte* workspace) const {
  const ConvGeometry& g = this->geometry_;
  const Axis &h = g.window[1], &w = g.window[2];
  const LaneRows &of_x = this->layout_.x, &of_y = this->layout_.y;
  const auto& kernels = conv_kernels<T>();
  this->for_each_strip(
      team, workspace, [](const auto&) {},
      [&](const LaneStrip& strip, const auto& own) {
        // All rows of y that reach the strip. In padded coordinates; row oh of y reaches oh * stride to oh * stride + extent - 1.
        const index top = strip.begin + h.pad_before, bottom = strip.end - 1 + h.pad_before;
        const index from =
            std::clamp<index>(divide_up(std::max<index>(0, top - h.extent() + 1), h.stride), 0, h.output);
        const index count = std::clamp<index>(bottom / h.stride + 1 - from, 0, h.output - from);
        this->read_y(strip, from, count, dy, own.y);
        LaneConvInput<T> call{};
        call.dy = own.y, call.w = weight;
        call.channels = g.channels, call.filters = g.filters;
        call.kernel_h = h.kernel, call.kernel_w = w.kernel;
        call.stride_h = h.stride, call.stride_w = w.stride;
        call.dilation_h = h.dilation, call.dilation_w = w.dilation;
        call.out_h = count, call.out_w = w.output, call.width = of_x.row() / kLanes;
        call.dy_plane = of_y.plane(), call.dy_row = of_y.row();
        call.dx_plane = of_x.plane(), call.dx_row = of_x.row();
        // Rows count from the first row of y, or from the strip where that lies further.
        call.first_row = top - from * h.stride, call.last_row = call.first_row + strip.rows();
        call.dx = own.x;
        kernels.input(call);
        this->write(of_x, strip, own.x + call.first_row * call.dx_row, dx, bias);
      });
}

#define TENFOLD_INSTANTIATE(T)       \
  template class LaneDirect<T>;      \
  template class LaneRowWinograd<T>; \
  template class LaneGather<T>;      \
  template class LaneScatter<T>;
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)

}  // namespace tenfold
