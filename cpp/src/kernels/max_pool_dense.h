// Maxima of windows that begin at every column: of every row of the input first, which windows above each other share, then
// of their rows. A stride takes some of them, which is still faster than to look at one element after the other.
#pragma once

#include "kernels/max_pool_rows.h"
#include "kernels/sweep.h"

namespace tenfold {
namespace TENFOLD_ISA {
namespace {

template <class T, class P>
class DenseMaxima {
 public:
  explicit DenseMaxima(const PoolGeometry& g)
      : g_(g),
        h_(g.h),
        w_(g.w),
        pitch_(whole(most(w_.pad + w_.size, whole(columns()) + (w_.kernel - 1) * w_.dilation))),
        width_(whole(columns())),
        carried_(power_of_two((h_.kernel - 1) * h_.dilation + 1)) {}
  DenseMaxima(const DenseMaxima&) = delete;
  DenseMaxima& operator=(const DenseMaxima&) = delete;

  bool applies() const {
    return flat(g_) && w_.output > 0 && pitch_ <= kRoom && carried_ * width_ <= kRoom &&
           h_.kernel <= kMostRows && all_inside(w_) && all_inside(h_);
  }

  void run(index planes, const T* x, T* y, P* positions) {
    const index in = h_.size * w_.size, out = h_.output * w_.output, strip = least(h_.size, kRoom / pitch_);
    y_end_ = y + planes * out;
    fill(strip * pitch_, -static_cast<T>(__builtin_inf()), padded_);
    for (index p = 0; p < planes; ++p, x += in, y += out, positions = later(positions, out)) {
      Vec<T> finite = {};
      index oh = 0, last = last_row(0);
      for (index begin = 0; begin < h_.size; begin += strip) {
        const index rows = least(strip, h_.size - begin);
        for (index r = 0; r < rows; ++r) {
          finite += copy_row(x + (begin + r) * w_.size, padded_ + r * pitch_ + w_.pad);
        }
        for (index r = 0; r < rows; ++r) {
          if (w_.kernel == 3) {
            maxima_of_row<3>(padded_ + r * pitch_, slot_of(begin + r));
          } else {
            maxima_of_row<0>(padded_ + r * pitch_, slot_of(begin + r));
          }
          for (; oh < h_.output && last <= begin + r; last = ++oh < h_.output ? last_row(oh) : 0) {
            maxima_of_windows(oh, y + oh * w_.output, later(positions, oh * w_.output));
          }
        }
      }
      const T sum = sum_of_lanes<T>(finite);
      if (sum != sum) max_plane(g_, x, y, positions);
    }
  }

 private:
  static constexpr index n = kLanes<T>, kRoom = 4096, kMostRows = 32;
  using Lane = decltype(Mask<T>{}[0] + 0);

  static index whole(index count) { return (count + n - 1) / n * n; }
  // Up to the one at which the last window begins.
  index columns() const { return (w_.output - 1) * w_.stride + 1; }
  index last_row(index oh) const {
    const Inside rows = taps_inside(h_, oh);
    return rows.first + (rows.count - 1) * h_.dilation;
  }
  static index power_of_two(index least) {
    index power = 1;
    while (power < least) power *= 2;
    return power;
  }
  index slot_of(index row) const { return (row & (carried_ - 1)) * width_; }

  // Zeros; NaN where an element is no number or infinite, which cannot be told from the padding or not be compared.
  __attribute__((always_inline)) Vec<T> copy_row(const T* from, T* to) const {
    Vec<T> zeros = {};
    const auto put = [&](auto full, index c) __attribute__((always_inline)) {
      constexpr bool kWhole = decltype(full)::value == 1;
      const Vec<T> v = load_part<kWhole>(from + c, w_.size - c);
      zeros += v * T(0);
      if constexpr (kWhole) {
        store(to + c, v);
      } else {
        store_first(to + c, v, w_.size - c);
      }
    };
    index c = 0;
    for (; c + n <= w_.size; c += n) put(Number<1>{}, c);
    if (c < w_.size) put(Number<0>{}, c);
    return zeros;
  }

  // best_[slot + c], at_[slot + c]: the maximum of the window that begins at column c of a row, and what it is called less
  // what its row is.
  template <int kTaps>
  __attribute__((always_inline)) void maxima_of_row(const T* row, index slot) {
    const index taps = kTaps > 0 ? kTaps : w_.kernel, step = kTapNumbers<P> ? 1 : w_.dilation;
    for (index c = 0; c < width_; c += n) {
      const T* from = row + c;
      Vec<T> best = load(from);
      Mask<T> at = {};
#pragma GCC unroll 2
      for (index k = 1; k < taps; ++k) {
        from += w_.dilation;
        const Vec<T> v = load(from);
        const Mask<T> take = v > best;
        best = select<T>(take, v, best);
        if constexpr (kKept<P>) at = take ? splat_int<T>(k * step) : at;
      }
      store(best_ + slot + c, best);
      if constexpr (kKept<P>) __builtin_memcpy(at_ + slot + c, &at, sizeof at);
    }
  }

  // A row of the output.
  __attribute__((always_inline)) void maxima_of_windows(index oh, T* y, P* positions) {
    const Inside rows = taps_inside(h_, oh);
    const index step = kTapNumbers<P> ? w_.kernel : h_.dilation * w_.size;
    const index name = rows.tap * step + (kTapNumbers<P> ? 0 : (oh * h_.stride - h_.pad) * w_.size - w_.pad);
    index slots[kMostRows];
    for (index k = 0; k < rows.count; ++k) slots[k] = slot_of(rows.first + k * h_.dilation);
    const auto names = [&](index slot, index k) __attribute__((always_inline)) {
      Mask<T> at;
      __builtin_memcpy(&at, at_ + slot, sizeof at);
      return at + splat_int<T>(name + k * step);
    };
    const auto block = [&](index c, Mask<T>& at) __attribute__((always_inline)) {
      Vec<T> best = load(best_ + slots[0] + c);
      if constexpr (kKept<P>) at = names(slots[0] + c, 0);
      for (index k = 1; k < rows.count; ++k) {
        const Vec<T> v = load(best_ + slots[k] + c);
        const Mask<T> take = v > best;
        best = select<T>(take, v, best);
        if constexpr (kKept<P>) at = take ? names(slots[k] + c, k) : at;
      }
      if constexpr (kKept<P> && !kTapNumbers<P>) at += splat_int<T>(c) + iota<T>();
      return best;
    };
    Mask<T> at = {};
    if (w_.stride > 1) {
      for (index c = 0; c < width_; c += n) {
        store(picked_ + c, block(c, at));
        if constexpr (kKept<P>) __builtin_memcpy(picked_at_ + c, &at, sizeof at);
      }
      for (index ow = 0, c = 0; ow < w_.output; ++ow, c += w_.stride) {
        y[ow] = picked_[c];
        if constexpr (kKept<P>) positions[ow] = static_cast<P>(picked_at_[c]);
      }
      return;
    }
    // What the last block has behind its row is written over the next ones.
    const bool room = y + width_ <= y_end_;
    for (index c = 0; c < w_.output; c += n) {
      const Vec<T> best = block(c, at);
      const index left = w_.output - c;
      if (room || left >= n) {
        store(y + c, best);
        if constexpr (kKept<P>) store_positions<true, T>(positions + c, at, n);
      } else {
        store_first(y + c, best, left);
        if constexpr (kKept<P>) store_positions<false, T>(positions + c, at, left);
      }
    }
  }

  const PoolGeometry& g_;
  const PoolAxis h_, w_;
  const index pitch_, width_;  // of padded rows, and of their maxima
  const index carried_;        // rows of maxima there are
  const T* y_end_ = nullptr;
  T padded_[kRoom];
  T best_[kRoom];
  Lane at_[kRoom];
  // A row of which the stride takes some.
  T picked_[kRoom];
  Lane picked_at_[kRoom];
};

// False where another form must take it.
template <class T, class P>
bool max_dense(const PoolGeometry& g, index planes, const T* x, T* y, P* positions) {
  if (g.w.stride == 2 && g.w.kernel <= 3) return false;  // half of all columns is too many there
  DenseMaxima<T, P> maxima(g);
  if (!maxima.applies()) return false;
  maxima.run(planes, x, y, positions);
  return true;
}

}  // namespace
}  // namespace TENFOLD_ISA
}  // namespace tenfold
