#include "conv/lane_conv.h"

#include <algorithm>
#include <limits>

#include "conv/weight_gradient.h"
#include "kernels/conv.h"
#include "kernels/lanes_row_winograd.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kLanes = kLaneBlock;
// Fewer images leave most lanes empty.
constexpr index kLeastImages = 16;
// Rows of a strip and what they look at: they stay in the second-level cache.
constexpr index kStripBytes = 512 * 1024;
// Slots of weight gradients.
constexpr index kMaxChunks = 32;
// Rows of dy that a pass of the weight gradient keeps in the first-level cache, of at most six filters.
constexpr index kNearBytes = 16 * 1024;

// The number of a geometry's kernel among those of Winograd along rows, -1 if there is none.
int row_kernel(const ConvGeometry& g) {
  const Axis &h = g.window[1], &w = g.window[2];
  const bool plain = h.stride == 1 && w.stride == 1 && h.dilation == 1 && w.dilation == 1;
  return plain && h.kernel == w.kernel ? lane_winograd_number(h.kernel) : -1;
}

// The share of the peak that register tiles of lanes reach.
constexpr double kShare = 0.85;

// Multiply-adds at the peak of 16 images: by the definition; by Winograd along rows, where it exists and its error is
// allowed; of the adjoint of a stride, whose zeros beside dy are computed too.
double direct_time(const ConvGeometry& g) {
  return static_cast<double>(g.filters * g.channels * g.window.kernel_count() * g.window.output_count()) /
         kShare;
}
double row_time(const ConvGeometry& g, std::size_t element_size) {
  const int number = row_kernel(g);
  if (number < 0 || element_size != sizeof(float)) return std::numeric_limits<double>::infinity();
  return row_winograd_cost(kernels<LaneRowWinogradKernels, float>().forward_cost[number], g.window[1].kernel,
                           g.channels, g.filters, g.window[1].output * divide_up(g.window[2].output, 2));
}

double gather_time(const ConvGeometry& g) {
  const Window& w = g.window;
  return static_cast<double>(g.filters * g.channels * w.kernel_count() * w.input_count() /
                             (w[1].stride * w[2].stride)) /
         kShare;
}

// Whether the adjoint gathers what every element of x gets; without a stride it scatters dy, in register tiles as well.
bool gathers(const ConvGeometry& g) {
  return g.window[1].stride * g.window[2].stride > 1;
}
// The first element of y that reaches element 0 of x, if there were one; the last one that reaches `element`.
index first_reaching(const Axis& a) {
  const index last_tap = a.extent() - 1;
  return a.pad_before >= last_tap ? divide_up(a.pad_before - last_tap, a.stride)
                                  : -((last_tap - a.pad_before) / a.stride);
}
index last_reaching(const Axis& a, index element) {
  return (element + a.pad_before) / a.stride;
}

// Room for strips of `strip` rows, of x where it is the target. Pairs of outputs may look at a row and a column more.
LaneRows rows_of_x(const ConvGeometry& g, index strip, bool target) {
  const Axis &h = g.window[1], &w = g.window[2];
  if (target && gathers(g)) return {g.channels, strip, h.size, w.size, 0, 0};
  // A target's rows are counted from where the first row of y that reaches them begins.
  const index rows = target ? strip + h.extent() - 1 + h.stride : (strip - 1) * h.stride + h.extent();
  if (target || row_kernel(g) < 0) return {g.channels, rows, h.size, w.size, w.pad_before, w.pad_after};
  return {g.channels, rows + strip % 2, h.size, w.size, w.pad_before, w.pad_after + w.output % 2};
}

LaneRows rows_of_y(const ConvGeometry& g, index strip, bool target) {
  const Axis &h = g.window[1], &w = g.window[2];
  if (!target && gathers(g)) {
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

// The most rows that fit, in even shares; 0 where one does not. Strips that gather begin at a multiple of the stride: what
// their rows look at is the same for all.
index strip_of(const ConvGeometry& g, bool adjoint, std::size_t element_size) {
  const index height = adjoint ? g.window[1].size : g.window[1].output;
  index strip = height;
  while (strip > 0 && bytes_of_strip(g, strip, adjoint, element_size) > kStripBytes) --strip;
  if (strip == 0) return 0;
  strip = divide_up(height, divide_up(height, strip));
  const index step = adjoint && gathers(g) ? g.window[1].stride : 1;
  return std::min(height, divide_up(strip, step) * step);
}

// Where the taps look in rows of x.
std::vector<index> taps_of(const ConvGeometry& g, const LaneRows& x) {
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

// lanes <-- rows first .. first + count - 1 of `images` images; lanes beyond them are zeros.
template <class T>
void read(const LaneKernels<T>& k, const LaneRows& p, const T* from, index images, index first, index count,
          T fill, T* lanes) {
  const index begin = std::clamp<index>(-first, 0, count),
              end = std::clamp<index>(p.height - first, begin, count);
  for (index c = 0; c < p.channels; ++c) {
    T* const to = lanes + c * p.plane();
    const T* const plane = from + (c * p.height + first) * p.width;
    if (p.left == 0 && p.right == 0) {
      std::fill(to, to + begin * p.row(), fill);
      k.to_lanes((end - begin) * p.width, plane + begin * p.width, p.pixels(), images, to + begin * p.row());
    } else {
      std::fill(to, to + begin * p.row() + p.left * kLanes, fill);
      for (index r = begin; r < end; ++r) {
        T* const row = to + r * p.row() + p.left * kLanes;
        k.to_lanes(p.width, plane + r * p.width, p.pixels(), images, row);
        std::fill(row + p.width * kLanes, row + (p.width + p.right) * kLanes, fill);
        if (r + 1 < end) std::fill(row + (p.width + p.right) * kLanes, row + p.row(), fill);
      }
    }
    std::fill(to + end * p.row(), to + count * p.row(), fill);
  }
}

// Rows first .. first + count - 1 of images <-- lanes, plus a number per channel unless it is null.
template <class T>
void write(const LaneKernels<T>& k, const LaneRows& p, const T* lanes, index images, index first, index count,
           const T* add, T* to) {
  const bool gaps = p.left + p.right > 0;
  for (index c = 0; c < p.channels; ++c) {
    const T* const from = lanes + c * p.plane() + p.left * kLanes;
    T* const plane = to + (c * p.height + first) * p.width;
    for (index r = 0; r < (gaps ? count : 1); ++r) {
      const index width = gaps ? p.width : count * p.width;
      k.from_lanes(width, from + r * p.row(), plane + r * p.width, p.pixels(), images, false);
    }
    if (add == nullptr) continue;
    for (index n = 0; n < images; ++n) {
      for (index i = 0; i < count * p.width; ++i) plane[n * p.pixels() + i] += add[c];
    }
  }
}

template <class T>
std::size_t bytes_of(index elements) {
  return align_up(static_cast<std::size_t>(elements) * sizeof(T));
}

// Multiply-adds at the peak of 16 images in the other forms: the gaps between rows are computed too, unless rows are whole
// vectors; sums of few rows are bound by loads.
double other_time(const ConvGeometry& g, bool adjoint) {
  const Window& w = g.window;
  const index strides = adjoint ? w[1].stride * w[2].stride : 1;
  const index height = adjoint ? w[1].size : w[1].output, width = adjoint ? w[2].size : w[2].output;
  const index row = std::max<index>(1, width / (adjoint ? w[2].stride : 1));
  const bool whole = row % kLanes == 0 && row >= 2 * kLanes;
  const index gap = whole ? 0 : w[2].dilation * (w[2].kernel - 1) / w[2].stride;
  const index targets = adjoint ? g.channels : g.filters;
  const double vectors = static_cast<double>(height * width / strides) * static_cast<double>(row + gap) /
                         static_cast<double>(row);
  const double finish = whole ? 4 : 20;  // to write a vector of sums into rows
  const double full = w[2].stride > 1 && !whole ? 0.72 : 0.8;
  return static_cast<double>(g.filters * g.channels * w.kernel_count()) * vectors /
             (targets < 3 ? full / 2 : full) +
         finish * static_cast<double>(targets * height * width);
}

// The same of a weight gradient: sums end at every row, or filters lie in the lanes.
double other_gradient_time(const ConvGeometry& g) {
  constexpr double kDot = 0.65, kOuter = 0.8;  // shares of the peak
  const index looks = g.channels * g.window.kernel_count(), row = g.window[2].output;
  const index rows = g.window[1].output;
  const auto whole = [](index n) { return divide_up(n, kLanes) * kLanes; };
  return weight_gradient_dots(g.filters, looks, row)
             ? static_cast<double>(g.filters * looks * rows * whole(row)) / kDot
             : static_cast<double>(whole(g.filters) * looks * rows * row) / kOuter;
}

// Rows of 16 images that the other forms copy, every phase of a stride for itself.
double copied_rows(const ConvGeometry& g, bool adjoint) {
  const Axis &h = g.window[1], &w = g.window[2];
  const index rows = adjoint ? g.filters * (h.output + (h.extent() - 1) / h.stride)
                             : g.channels * ((h.output - 1) * h.stride + h.extent()) * w.stride;
  return static_cast<double>(kLanes * rows);
}

}  // namespace

bool lane_conv_choice(const ConvGeometry& g, LaneOperator op, std::size_t element_size) {
  const Window& w = g.window;
  if (w.rank > 2 || g.groups != 1 || g.images < kLeastImages || w.output_count() == 0) return false;
  for (int i = 1; i < 3; ++i) {
    if (w[i].pad_before < 0 || w[i].pad_after < 0) return false;
  }
  if (w.border != Border::constant && w.padded()) return false;
  const bool adjoint = op == LaneOperator::adjoint;
  const index strip = strip_of(g, adjoint, element_size);
  if (strip == 0) return false;

  constexpr double kClearly = 0.9;
  const double filling =
      static_cast<double>(divide_up(g.images, kLanes) * kLanes) / static_cast<double>(g.images);
  // Rows that several strips look at are turned for each of them.
  const index strips = divide_up(adjoint ? w[1].size : w[1].output, strip);
  const double turned = static_cast<double>(strips * (rows_of_x(g, strip, adjoint).elements() +
                                                      rows_of_y(g, strip, !adjoint).elements())) /
                        kLanes;
  const double product = op == LaneOperator::apply ? std::min(direct_time(g), row_time(g, element_size))
                         : adjoint && gathers(g)   ? gather_time(g)
                                                   : direct_time(g);
  const bool gradient = op == LaneOperator::weight_gradient;
  const auto& k = kernels<LaneConvKernels, float>();
  const LaneConvCosts& costs = gradient ? k.weight_costs : k.costs;
  const double lanes = filling * (product + costs.turn * turned);
  const double other = gradient ? other_gradient_time(g) : other_time(g, adjoint);
  return lanes < kClearly * (other + costs.copied_row * copied_rows(g, adjoint));
}

template <class T>
LaneStrips<T>::LaneStrips(const ConvGeometry& geometry, const ConvOptions& options, LaneOperator op)
    : geometry_(geometry),
      k_(kernels<LaneKernels, T>()),
      conv_(kernels<LaneConvKernels, T>()),
      fill_(static_cast<T>(options.border_value)) {
  const bool adjoint = op == LaneOperator::adjoint;
  strip_ = strip_of(geometry, adjoint, sizeof(T));
  strips_ = divide_up(adjoint ? geometry.window[1].size : geometry.window[1].output, strip_);
  blocks_ = divide_up(geometry.images, kLanes);
  x_ = rows_of_x(geometry, strip_, adjoint);
  y_ = rows_of_y(geometry, strip_, !adjoint);
  tap_ = taps_of(geometry_, x_);
}

template <class T>
index LaneStrips<T>::first_row(index begin) const {
  const Axis& h = geometry_.window[1];
  return begin * h.stride - h.pad_before;
}

// ---- y = A x, x = A^T y ----

template <class T>
LaneProduct<T>::LaneProduct(const ConvGeometry& geometry, const ConvOptions& options, LaneOperator op)
    : LaneStrips<T>(geometry, options, op), op_(op), relu_(options.relu && op == LaneOperator::apply) {
  if (op == LaneOperator::adjoint) {
    if (gathers(geometry)) make_parts();
    return;
  }
  rows_ = row_time(geometry, sizeof(T)) < direct_time(geometry);
  if (rows_) {
    const index pair = 2 * geometry.channels * row_winograd_points(geometry.window[1].kernel) * kLanes;
    row_pairs_ =
        std::clamp<index>(kNearBytes / static_cast<index>(sizeof(T)) / pair, 1, divide_up(this->strip_, 2));
    return;
  }
  const Axis &h = geometry.window[1], &w = geometry.window[2];
  for (index oh = 0; oh < this->strip_; ++oh) {
    for (index ow = 0; ow < w.output; ++ow) {
      pixel_.push_back(oh * h.stride * this->x_.row() + ow * w.stride * kLanes);
      place_.push_back((oh * w.output + ow) * kLanes);
    }
  }
}

template <class T>
std::size_t LaneProduct<T>::workspace(int threads) const {
  return static_cast<std::size_t>(threads) *
         (bytes_of<T>(this->x_.elements()) + bytes_of<T>(this->y_.elements()) + bytes_of<T>(points()) +
          bytes_of<T>(scratch()));
}

template <class T>
index LaneProduct<T>::points() const {
  const ConvGeometry& g = this->geometry_;
  const index r = g.window[1].kernel;
  if (!parts_.empty()) return g.filters * g.channels * g.window.kernel_count();
  return rows_ ? g.filters * g.channels * r * row_winograd_points(r) : 0;
}
template <class T>
index LaneProduct<T>::scratch() const {
  const ConvGeometry& g = this->geometry_;
  const index r = g.window[1].kernel;
  return rows_ ? g.channels * row_winograd_points(r) * (2 * row_pairs_ + r - 1) * kLanes : 0;
}

// Rows begin .. end - 1 of y.
template <class T>
void LaneProduct<T>::apply(index block, index begin, index end, const T* x, const T* weight, const T* bias,
                           T* y, const Own& own) const {
  const ConvGeometry& g = this->geometry_;
  const Axis& h = g.window[1];
  const index first = block * kLanes, images = std::min(kLanes, g.images - first);
  const index looks = (end - begin - 1) * h.stride + h.extent() + (rows_ ? (end - begin) % 2 : 0);
  read(this->k_, this->x_, x + first * this->x_.pixels(), images, this->first_row(begin), looks, this->fill_,
       own.x);
  if (rows_) {
    apply_rows(end - begin, bias, own);
  } else {
    apply_direct(end - begin, weight, bias, own);
  }
  write(this->k_, this->y_, own.y, images, begin, end - begin, static_cast<const T*>(nullptr),
        y + first * this->y_.pixels());
}

template <class T>
void LaneProduct<T>::apply_rows(index rows, const T* bias, const Own& own) const {
  LaneWinograd<T> call{};
  call.x = own.x, call.u = own.points, call.bias = bias, call.y = own.y, call.scratch = own.scratch;
  call.channels = this->geometry_.channels, call.filters = this->geometry_.filters;
  call.out_h = rows, call.out_w = this->y_.width;
  call.x_plane = this->x_.plane(), call.x_row = this->x_.row();
  call.y_plane = this->y_.plane(), call.y_row = this->y_.row();
  call.tiles = row_pairs_;
  call.relu = relu_;
  kernels<LaneRowWinogradKernels, T>().forward[row_kernel(this->geometry_)](call);
}

template <class T>
void LaneProduct<T>::apply_direct(index rows, const T* weight, const T* bias, const Own& own) const {
  const ConvGeometry& g = this->geometry_;
  LaneConv<T> call{};
  call.x = own.x, call.w = weight, call.bias = bias, call.y = own.y;
  call.filters = g.filters, call.taps = static_cast<index>(this->tap_.size());
  call.pixels = rows * this->y_.width;
  call.tap = this->tap_.data(), call.pixel = pixel_.data(), call.place = place_.data();
  call.y_plane = this->y_.plane();
  call.relu = relu_;
  this->conv_.forward(call);
}

// The weights of every part, [channel][filter][taps].
template <class T>
void LaneProduct<T>::sort_weights(const T* weight, T* sorted) const {
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

// Elements of x whose places are congruent, in padded coordinates, look at dy by the same taps.
template <class T>
void LaneProduct<T>::make_parts() {
  const ConvGeometry& g = this->geometry_;
  const Axis &h = g.window[1], &w = g.window[2];
  const LaneRows &x = this->x_, &y = this->y_;
  for (index part_h = 0; part_h < h.stride; ++part_h) {
    for (index part_w = 0; part_w < w.stride; ++part_w) {
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
      for (index row = 0; row < this->strip_; ++row) {
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
      parts_.push_back(std::move(part));
    }
  }
}

template <class T>
void LaneProduct<T>::gather(index block, index begin, index end, const T* dy, const T* bias, T* dx,
                            const Own& own) const {
  const ConvGeometry& g = this->geometry_;
  const Axis& h = g.window[1];
  const index first = block * kLanes, images = std::min(kLanes, g.images - first);
  const index looks = last_reaching(h, end - begin - 1) - first_reaching(h) + 1;
  read(this->k_, this->y_, dy + first * this->y_.pixels(), images, begin / h.stride + first_reaching(h),
       looks, T(0), own.y);
  LaneConv<T> call{};
  call.x = own.y, call.w = own.points, call.bias = bias, call.y = own.x;
  call.filters = g.channels, call.y_plane = this->x_.plane();
  for (const Part& part : parts_) {
    call.taps = static_cast<index>(part.tap.size());
    call.tap = part.tap.data(), call.pixel = part.pixel.data(), call.place = part.place.data();
    call.pixels = part.pixels[static_cast<std::size_t>(end - begin - 1)];
    this->conv_.forward(call);
    call.w += g.channels * call.taps;
  }
  write(this->k_, this->x_, own.x, images, begin, end - begin, static_cast<const T*>(nullptr),
        dx + first * this->x_.pixels());
}

// Rows begin .. end - 1 of x, from all rows of y that reach them.
template <class T>
void LaneProduct<T>::scatter(index block, index begin, index end, const T* dy, const T* weight, const T* bias,
                             T* dx, const Own& own) const {
  const ConvGeometry& g = this->geometry_;
  const Axis &h = g.window[1], &w = g.window[2];
  const index first = block * kLanes, images = std::min(kLanes, g.images - first);
  // In padded coordinates; row oh of y reaches oh * stride to oh * stride + extent - 1.
  const index top = begin + h.pad_before, bottom = end - 1 + h.pad_before;
  const index from =
      std::clamp<index>(divide_up(std::max<index>(0, top - h.extent() + 1), h.stride), 0, h.output);
  const index count = std::clamp<index>(bottom / h.stride + 1 - from, 0, h.output - from);
  read(this->k_, this->y_, dy + first * this->y_.pixels(), images, from, count, T(0), own.y);
  LaneConvInput<T> call{};
  call.dy = own.y, call.w = weight;
  call.channels = g.channels, call.filters = g.filters;
  call.kernel_h = h.kernel, call.kernel_w = w.kernel;
  call.stride_h = h.stride, call.stride_w = w.stride;
  call.dilation_h = h.dilation, call.dilation_w = w.dilation;
  call.out_h = count, call.out_w = w.output, call.width = this->x_.row() / kLanes;
  call.dy_plane = this->y_.plane(), call.dy_row = this->y_.row();
  call.dx_plane = this->x_.plane(), call.dx_row = this->x_.row();
  // Rows count from the first row of y, or from the strip where that lies further.
  call.first_row = top - from * h.stride, call.last_row = call.first_row + end - begin;
  call.dx = own.x;
  this->conv_.input(call);
  write(this->k_, this->x_, own.x + call.first_row * call.dx_row, images, begin, end - begin, bias,
        dx + first * this->x_.pixels());
}

template <class T>
void LaneProduct<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                         std::byte* workspace) const {
  std::byte* mine = workspace + static_cast<std::size_t>(team.rank()) * this->workspace(1);
  const auto take = [&mine](index elements) {
    T* const taken = reinterpret_cast<T*>(mine);
    mine += bytes_of<T>(elements);
    return taken;
  };
  Own own;
  own.x = take(this->x_.elements()), own.y = take(this->y_.elements());
  own.points = take(points()), own.scratch = take(scratch());
  const Axis& h = this->geometry_.window[1];
  bool ready = !rows_ && parts_.empty();
  const index rows = op_ == LaneOperator::apply ? h.output : h.size;
  team.for_each(this->blocks_ * this->strips_, [&](index item) {
    const index block = item / this->strips_, strip = item % this->strips_;
    const index begin = strip * this->strip_, end = std::min(rows, begin + this->strip_);
    // Each member transforms the weights for itself: that takes less time than sharing them.
    if (!ready && rows_) {
      kernels<LaneRowWinogradKernels, T>().transform[row_kernel(this->geometry_)](
          this->geometry_.filters * this->geometry_.channels, weight, own.points);
    } else if (!ready) {
      sort_weights(weight, own.points);
    }
    ready = true;
    if (op_ == LaneOperator::apply) {
      apply(block, begin, end, source, weight, bias, target, own);
    } else if (!parts_.empty()) {
      gather(block, begin, end, source, bias, target, own);
    } else {
      scatter(block, begin, end, source, weight, bias, target, own);
    }
  });
}

// ---- dw = <dy, x> ----

template <class T>
LaneGradient<T>::LaneGradient(const ConvGeometry& geometry, const ConvOptions& options)
    : LaneStrips<T>(geometry, options, LaneOperator::weight_gradient),
      chunks_(std::min(this->blocks_ * this->strips_, kMaxChunks)) {
  const index row = std::min<index>(geometry.filters, 6) * this->y_.row() * static_cast<index>(sizeof(T));
  near_rows_ = std::clamp<index>(kNearBytes / row, 1, this->strip_);
}

template <class T>
std::size_t LaneGradient<T>::workspace(int threads) const {
  return bytes_of<T>(chunks_ * sums()) +
         static_cast<std::size_t>(threads) *
             (bytes_of<T>(this->x_.elements()) + bytes_of<T>(this->y_.elements()) +
              bytes_of<T>(sums() * kLanes));
}

template <class T>
void LaneGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const {
  const ConvGeometry& g = this->geometry_;
  const Axis &h = g.window[1], &w = g.window[2];
  const LaneRows &of_x = this->x_, &of_y = this->y_;
  T* const slots = reinterpret_cast<T*>(workspace);
  const std::size_t of_slots = bytes_of<T>(chunks_ * sums());
  std::byte* at =
      workspace + of_slots + static_cast<std::size_t>(team.rank()) * (this->workspace(1) - of_slots);
  T* const own_x = reinterpret_cast<T*>(at);
  T* const own_y = reinterpret_cast<T*>(at += bytes_of<T>(of_x.elements()));
  T* const acc = reinterpret_cast<T*>(at + bytes_of<T>(of_y.elements()));
  LaneConvWeight<T> call{};
  call.acc = acc;
  call.filters = g.filters, call.taps = static_cast<index>(this->tap_.size());
  call.cols = of_y.width;
  call.tap = this->tap_.data();
  call.x_row = h.stride * of_x.row(), call.x_col = w.stride * kLanes;
  call.dy_plane = of_y.plane(), call.dy_row = of_y.row();
  const index items = this->blocks_ * this->strips_;
  team.for_each(chunks_, [&](index chunk) {
    std::fill(acc, acc + sums() * kLanes, T(0));
    for (index item = items * chunk / chunks_; item < items * (chunk + 1) / chunks_; ++item) {
      const index first = item / this->strips_ * kLanes, images = std::min(kLanes, g.images - first);
      const index begin = item % this->strips_ * this->strip_, end = std::min(h.output, begin + this->strip_);
      read(this->k_, of_x, x + first * of_x.pixels(), images, this->first_row(begin),
           (end - begin - 1) * h.stride + h.extent(), this->fill_, own_x);
      read(this->k_, of_y, dy + first * of_y.pixels(), images, begin, end - begin, T(0), own_y);
      for (index top = 0; top < end - begin; top += near_rows_) {
        call.rows = std::min(near_rows_, end - begin - top);
        call.x = own_x + top * call.x_row, call.dy = own_y + top * call.dy_row;
        this->conv_.weight(call);
      }
    }
    this->k_.sum_lanes(sums(), acc, slots + chunk * sums(), false);
  });
  team.for_range(sums(), 256, [&](index begin, index end) {
    for (index i = begin; i < end; ++i) {
      T total = slots[i];
      for (index chunk = 1; chunk < chunks_; ++chunk) total += slots[chunk * sums() + i];
      dw[i] = total;
    }
  });
}

template class LaneStrips<float>;
template class LaneStrips<double>;
template class LaneProduct<float>;
template class LaneProduct<double>;
template class LaneGradient<float>;
template class LaneGradient<double>;

}  // namespace tenfold
