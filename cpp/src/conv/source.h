// The padded, phase-split copy of a group's channels, strip by strip (see shift.h for its layout), or the channels where
// they lie.
#pragma once

#include <algorithm>
#include <array>

#include "conv/shift.h"
#include "gemm/driver.h"
#include "kernels/conv.h"
#include "kernels/line.h"
#include "tenfold/memory.h"

namespace tenfold {

// Elements that a look may read behind the last one that it needs.
constexpr index kShiftSlack = 256;

// Memory that is read or written next, so many elements of each row of some planes, asked for little by little while
// something else is computed: what a copy waits for is then in the second-level cache.
template <class T>
class Ahead {
 public:
  Ahead() = default;
  Ahead(const T* first, index planes, index plane, index span) : Ahead(first, planes, plane, 1, span, span) {}
  Ahead(const T* first, index planes, index plane, index rows, index pitch, index span)
      : from_(first), planes_(planes), plane_(plane), rows_(rows), pitch_(pitch), span_(span) {
    if (pitch == span) rows_ = 1, span_ *= rows;
  }

  // In `calls` calls of more(lines(calls)) everything is asked for.
  index lines(index calls) const {
    return divide_up(planes_ * rows_ * divide_up(span_, kLine<T>), std::max<index>(1, calls));
  }
  void more(index lines) {
    for (; lines > 0 && planes_ > 0; --lines) {
      __builtin_prefetch(from_ + at_, 0, 2);
      go_on(kLine<T>);
    }
  }
  // What a register tile asks for on its way that sums so many products, step(products) elements apart.
  index step(index products) const {
    const index tiles = divide_up(span_, products * kLine<T>);
    return divide_up(span_, std::max<index>(1, tiles * products));
  }
  GemmFetch<T> with_tile(index products, index step) {
    if (planes_ == 0) return {};
    const GemmFetch<T> fetch{from_ + at_, step};
    go_on(step * products);
    return fetch;
  }

 private:
  void go_on(index elements) {
    at_ += elements;
    if (at_ < span_) return;
    at_ = 0, from_ += pitch_;
    if (++row_ < rows_) return;
    row_ = 0, from_ += plane_ - rows_ * pitch_, --planes_;
  }

  const T* from_ = nullptr;
  index planes_ = 0, plane_ = 0, rows_ = 1, pitch_ = 0, span_ = 0, row_ = 0, at_ = 0;
};

template <class T>
class ShiftSource {
 public:
  // `single`: elements of a look are read one by one, so that a look may have gaps.
  ShiftSource(const std::array<ShiftAxis, 3>* axes, index channels, bool single = false)
      : axes_(*axes), channels_(channels) {
    in_place_ = true, gaps_ = single;
    for (int i = 0; i < 3; ++i) {
      const ShiftAxis& a = axis(i);
      const ShiftPhase& phase = a.phases[0];
      phases_ *= static_cast<index>(a.phases.size());
      // The source is its own buffer: one phase, position u is source u, and nothing is missing.
      if (a.phases.size() != 1 || a.step != 1 || phase.first != 0 || a.grid + a.reach != a.source)
        in_place_ = false;
      for (const ShiftTap& t : a.parts[0].taps) {
        const ShiftPhase& of_tap = a.phases[static_cast<std::size_t>(t.phase)];
        if (t.shift < of_tap.inside_begin || t.shift + a.grid > of_tap.inside_end) gaps_ = false;
      }
    }
    if (in_place_) gaps_ = false;
    strip_axis_ = axis(0).grid > 1 ? 0 : axis(1).grid > 1 ? 1 : 2;
    set_strip(std::max<index>(1, axis(strip_axis_).grid));
  }

  const ShiftAxis& axis(int i) const { return axes_[static_cast<std::size_t>(i)]; }
  bool in_place() const { return in_place_ || gaps_; }
  int strip_axis() const { return strip_axis_; }
  index grid() const { return axis(strip_axis_).grid; }  // along the strip axis
  index strip() const { return strip_; }
  index strips() const { return (grid() + strip_ - 1) / strip_; }
  index extent(int i) const { return extent_[static_cast<std::size_t>(i)]; }
  index channel_stride() const { return channel_stride_; }
  index source_plane() const { return axis(0).source * axis(1).source * axis(2).source; }

  // Grid positions per strip along the strip axis.
  void set_strip(index strip) {
    strip_ = strip;
    for (int i = 0; i < 3; ++i) {
      const ShiftAxis& a = axis(i);
      extent_[static_cast<std::size_t>(i)] =
          (i == strip_axis_ && !in_place_ ? std::min(strip, a.grid) : a.grid) + a.reach;
    }
    block_ = extent(0) * extent(1) * extent(2);
    channel_stride_ = gaps_ ? source_plane() : phases_ * block_;
    if (!in_place()) {
      channel_stride_ = (channel_stride_ + 15) / 16 * 16;
      // Channels a multiple of 4096 bytes apart would fight for the same lines of the first-level cache.
      if (channel_stride_ * static_cast<index>(sizeof(T)) % 4096 == 0) channel_stride_ += 16;
    }
  }

  // Elements of a strip of one channel per grid position of the strip axis: what a longer strip costs.
  index cross_section() const {
    index product = phases_;
    for (int i = 0; i < 3; ++i) {
      if (i != strip_axis_) product *= axis(i).grid + axis(i).reach;
    }
    return product;
  }

  index scratch_elements() const { return gaps_ ? 0 : channels_ * channel_stride_ + kShiftSlack; }
  // From a grid position to the next one.
  index pitch(int i) const {
    index product = gaps_ ? axis(i).step : 1;
    for (int j = i + 1; j < 3; ++j) product *= gaps_ ? axis(j).source : extent(j);
    return product;
  }

  // Where a tap of a channel looks, relative to the grid position.
  index offset(index channel, const ShiftTap& t0, const ShiftTap& t1, const ShiftTap& t2) const {
    if (gaps_) {
      const auto position = [&](int i, const ShiftTap& t) {
        return axis(i).phases[static_cast<std::size_t>(t.phase)].first + t.shift * axis(i).step;
      };
      return ((channel * axis(0).source + position(0, t0)) * axis(1).source + position(1, t1)) *
                 axis(2).source +
             position(2, t2);
    }
    const index phase = (t0.phase * static_cast<index>(axis(1).phases.size()) + t1.phase) *
                            static_cast<index>(axis(2).phases.size()) +
                        t2.phase;
    return channel * channel_stride_ + phase * block_ + t0.shift * pitch(0) + t1.shift * pitch(1) + t2.shift;
  }

  // Makes the strip that starts at grid position `begin` available: returns where grid position `begin` of
  // channel 0 of `channels` lies. `source` is the first channel's plane; `end` is the end of the tensor.
  const T* load(const ConvKernels<T>& k, const T* source, const T* end, index channels, index begin, T fill,
                T* scratch, index slack = kShiftSlack) const {
    if (gaps_) return source + begin * pitch(strip_axis_);
    const index rows = std::min(strip_, grid() - begin) + axis(strip_axis_).reach;
    if (in_place_) {
      const index skip = begin * pitch(strip_axis_);
      index span = rows * pitch(strip_axis_);
      for (int i = 0; i < strip_axis_; ++i) span += (extent(i) - 1) * pitch(i);
      // A tile of fewer columns than a vector reads on.
      if (end - source >= (channels - 1) * channel_stride_ + skip + span + slack) {
        if (strips() > 1) fetch(source + skip, channels, span);
        return source + skip;
      }
      for (index c = 0; c < channels; ++c) {
        copy_elements(source + c * channel_stride_ + skip, span, scratch + c * channel_stride_);
      }
      return scratch;
    }
    for (index c = 0; c < channels; ++c) {
      T* to = scratch + c * channel_stride_;
      const T* from = source + c * source_plane();
      for (const ShiftPhase& p0 : axis(0).phases) {
        for (const ShiftPhase& p1 : axis(1).phases) {
          for (const ShiftPhase& p2 : axis(2).phases) {
            load_phase(k, {&p0, &p1, &p2}, from, begin, rows, fill, to);
            to += block_;
          }
        }
      }
    }
    return scratch;
  }

  // What `load` of a strip will copy, or what lies there with gaps; nothing where it has fetched it, or where the processor
  // follows so few channels by itself.
  Ahead<T> ahead(const T* source, index channels, index begin) const {
    constexpr index kLeastChannels = 8;
    if (in_place_ || channels < kLeastChannels) return {};
    const ShiftAxis& along = axis(strip_axis_);
    const index last = begin + std::min(strip_, grid() - begin) + along.reach - 1;
    index inner = 1, low = along.source, high = -1;
    for (int i = strip_axis_ + 1; i < 3; ++i) inner *= axis(i).source;
    for (const ShiftPhase& phase : along.phases) {
      const index from = std::max(begin, phase.inside_begin), to = std::min(last, phase.inside_end - 1);
      if (from > to) continue;
      low = std::min(low, phase.first + from * along.step);
      high = std::max(high, phase.first + to * along.step);
    }
    if (high < low) return {};
    return {source + low * inner, channels, source_plane(), (high + 1 - low) * inner};
  }

 private:
  // Asks for the strip: its channels are more streams than the processor follows by itself.
  void fetch(const T* source, index channels, index span) const {
    for (index c = 0; c < channels; ++c) {
      const T* from = source + c * channel_stride_;
      for (index i = 0; i < span; i += kLine<T>) __builtin_prefetch(from + i);
    }
  }

  void load_phase(const ConvKernels<T>& k, const std::array<const ShiftPhase*, 3>& phase, const T* source,
                  index begin, index rows, T fill, T* to) const {
    index first[3] = {0, 0, 0}, count[3] = {extent(0), extent(1), extent(2)};
    first[strip_axis_] = begin;
    count[strip_axis_] = rows;
    const index inside_begin = std::clamp<index>(phase[2]->inside_begin - first[2], 0, count[2]);
    const index inside_end = std::clamp<index>(phase[2]->inside_end - first[2], inside_begin, count[2]);
    for (index u0 = 0; u0 < count[0]; ++u0) {
      const index d = phase[0]->table[static_cast<std::size_t>(first[0] + u0)];
      for (index u1 = 0; u1 < count[1]; ++u1) {
        const index h = phase[1]->table[static_cast<std::size_t>(first[1] + u1)];
        T* row = to + u0 * pitch(0) + u1 * pitch(1);
        if (d < 0 || h < 0) {
          k.fill(count[2], fill, row);
        } else {
          k.pad_row(count[2], phase[2]->table.data() + first[2], inside_begin, inside_end,
                    phase[2]->first + first[2] * axis(2).step, axis(2).step,
                    source + (d * axis(1).source + h) * axis(2).source, fill, row);
        }
      }
    }
  }

  const std::array<ShiftAxis, 3>& axes_;  // outlives this
  index channels_;
  index phases_ = 1;
  bool in_place_ = false, gaps_ = false;
  int strip_axis_ = 2;
  index strip_ = 1;
  std::array<index, 3> extent_ = {};
  index block_ = 0, channel_stride_ = 0;
};

}  // namespace tenfold
