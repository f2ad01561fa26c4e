#include "conv/lane_gradient.h"

namespace tenfold {
namespace {

constexpr index kLanes = kLaneBlock;
// Slots.
constexpr index kMaxChunks = 32;
// Rows of dy that a pass keeps in the first-level cache, of at most so many filters.
constexpr index kNearBytes = 16 * 1024, kNearFilters = 6;

}  // namespace

template <class T>
LaneGradient<T>::LaneGradient(const ConvGeometry& geometry, const ConvOptions& options)
    : LaneStrips<T>(geometry, options, LaneOperator::weight_gradient),
      tap_(this->taps()),
      chunks_(std::min(this->layout_.items(), kMaxChunks)) {
  const index row =
      std::min(geometry.filters, kNearFilters) * this->layout_.y.row() * static_cast<index>(sizeof(T));
  near_rows_ = std::clamp<index>(kNearBytes / row, 1, this->layout_.strip);
}

template <class T>
std::size_t LaneGradient<T>::workspace(int threads) const {
  return this->bytes(chunks_ * sums()) +
         static_cast<std::size_t>(threads) *
             (this->bytes(this->layout_.x.elements()) + this->bytes(this->layout_.y.elements()) +
              this->bytes(sums() * kLanes));
}

template <class T>
void LaneGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const {
  const ConvGeometry& g = this->geometry_;
  const Axis &h = g.window[1], &w = g.window[2];
  const LaneRows &of_x = this->layout_.x, &of_y = this->layout_.y;
  T* const slots = reinterpret_cast<T*>(workspace);
  const std::size_t of_slots = this->bytes(chunks_ * sums());
  std::byte* at =
      workspace + of_slots + static_cast<std::size_t>(team.rank()) * (this->workspace(1) - of_slots);
  T* const own_x = reinterpret_cast<T*>(at);
  T* const own_y = reinterpret_cast<T*>(at += this->bytes(of_x.elements()));
  T* const acc = reinterpret_cast<T*>(at + this->bytes(of_y.elements()));
  const auto& kernels = tenfold::kernels<LaneConvKernels, T>();
  LaneConvWeight<T> call{};
  call.acc = acc;
  call.filters = g.filters, call.taps = static_cast<index>(tap_.size());
  call.cols = of_y.width;
  call.tap = tap_.data();
  call.x_row = h.stride * of_x.row(), call.x_col = w.stride * kLanes;
  call.dy_plane = of_y.plane(), call.dy_row = of_y.row();
  const index items = this->layout_.items();
  team.for_each(chunks_, [&](index chunk) {
    std::fill(acc, acc + sums() * kLanes, T(0));
    for (index item = items * chunk / chunks_; item < items * (chunk + 1) / chunks_; ++item) {
      const LaneStrip strip = this->strip(item);
      this->read_x(strip, this->first_look(strip.begin), this->looks(strip.rows()), x, own_x);
      this->read_y(strip, strip.begin, strip.rows(), dy, own_y);
      for (index top = 0; top < strip.rows(); top += near_rows_) {
        call.rows = std::min(near_rows_, strip.rows() - top);
        call.x = own_x + top * call.x_row, call.dy = own_y + top * call.dy_row;
        kernels.weight(call);
      }
    }
    this->lanes_.sum_lanes(sums(), acc, slots + chunk * sums(), false);
  });
  team.for_range(sums(), 256, [&](index begin, index end) {
    for (index i = begin; i < end; ++i) {
      T total = slots[i];
      for (index chunk = 1; chunk < chunks_; ++chunk) total += slots[chunk * sums() + i];
      dw[i] = total;
    }
  });
}

template class LaneGradient<float>;
template class LaneGradient<double>;

}  // namespace tenfold
