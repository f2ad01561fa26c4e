#include "conv/depthwise.h"

#include <algorithm>

#include "tenfold/memory.h"

namespace tenfold {
namespace {

// A strip's copy: half of a first-level cache of 32 KB, the rest is for the target and the next pixels.
constexpr index kStripBytes = 16 * 1024;
// Rows longer than this would not leave room for a tile's rows in the second-level cache.
constexpr index kRowBytes = 32 * 1024;
// Pieces of work, so that many threads have something to do.
constexpr index kItems = 64;
// Elements of an item below which handing it out costs more than a few percent.
constexpr index kItemElements = 4096;
// Filters on one channel: the general engine's tiles load a pixel once for all of them.
constexpr index kMaxMultiplier = 4;

index round_up(index n, index to) {
  return (n + to - 1) / to * to;
}

bool two_axes(const Window& w) {
  const Axis& a = w[0];
  return a.size == 1 && a.kernel == 1 && a.stride == 1 && a.pad_before == 0 && a.pad_after == 0;
}

bool is_regular(const std::vector<index>& rows, index step) {
  const index pitch = rows.size() > 1 ? rows[1] - rows[0] : step;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] != static_cast<index>(i) * pitch) return false;
  }
  return pitch > 0 && step % pitch == 0 && step / pitch <= 2;
}

// The tap at each of three places in a row along an axis, or nothing where it looks at other places.
bool three_places(const ShiftAxis& axis, index (&tap)[3]) {
  if (axis.parts.size() != 1 || axis.parts[0].taps.size() != 3) return false;
  for (index& t : tap) t = -1;
  for (const ShiftTap& t : axis.parts[0].taps) {
    const index place = t.shift * axis.step + t.phase;
    if (place > 2) return false;
    tap[place] = t.tap;
  }
  return tap[0] >= 0 && tap[1] >= 0 && tap[2] >= 0;
}

// Whether what the source does not have is the fill everywhere.
bool is_constant(const ShiftPhase& phase) {
  for (index u = 0; u < static_cast<index>(phase.table.size()); ++u) {
    const bool inside = phase.inside_begin <= u && u < phase.inside_end;
    if (!inside && phase.table[static_cast<std::size_t>(u)] >= 0) return false;
  }
  return true;
}

// Planes of an item: enough work, and enough items.
index planes_of_item(index planes, index elements) {
  return std::max<index>(1, std::min(kItemElements / std::max<index>(1, elements), planes / kItems));
}

}  // namespace

bool depthwise_applies(const ConvGeometry& g) {
  const index multiplier = g.filters / g.groups;
  const Axis& width = g.window[2];
  // A signal of one channel has nothing but columns: the engine cuts them, strips of rows cannot.
  return two_axes(g.window) && g.channels == g.groups && multiplier <= (g.groups > 1 ? kMaxMultiplier : 1) &&
         width.stride <= DepthwisePadding::kMaxPhases &&
         (width.padded() + width.stride * 2) * g.window[1].extent() * static_cast<index>(sizeof(double)) <=
             8 * kRowBytes;
}

bool depthwise_adjoint_applies(const ConvGeometry& g) {
  const Axis &h = g.window[1], &w = g.window[2];
  // Every target has a tap, and the columns go in pairs at most.
  const auto complete = [](const Axis& a) {
    return a.stride == 1 || (a.dilation == 1 && a.kernel >= a.stride);
  };
  return depthwise_applies(g) && g.filters == g.channels && complete(h) && complete(w) && w.stride <= 2 &&
         w.size >= 2;
}

template <class T>
DepthwiseSource<T>::DepthwiseSource(const ShiftAxis& height, const ShiftAxis& width, T fill)
    : height_(height), width_(width), k_(kernels<DepthwiseKernels, T>()), fill_(fill) {
  const index lanes = k_.lanes;
  DepthwisePadding& p = padding_;
  p.phases = static_cast<index>(width.phases.size());
  p.count = width.grid + width.reach;
  p.width = width.source;
  p.step = width.step;
  p.constant = true;
  for (index f = 0; f < p.phases; ++f) {
    const ShiftPhase& phase = width.phases[static_cast<std::size_t>(f)];
    p.table[f] = phase.table.data();
    p.begin[f] = phase.inside_begin, p.end[f] = phase.inside_end, p.first[f] = phase.first;
    p.constant = p.constant && is_constant(phase);
  }
  height_phases_ = static_cast<index>(height.phases.size());
  // One phase: the padding behind a row may be the one before the next row.
  index used = p.count;
  if (p.phases == 1 && p.constant && p.begin[0] < p.end[0]) {
    used = std::max({p.end[0], p.count - p.begin[0], width.grid});
  }
  // Neighbouring target rows look at neighbouring source rows: a vector of the source may hold two.
  if (p.phases == 1 && height_phases_ == 1 && k_.halves && used <= lanes / 2) {
    halves_ = true;
    p.pitch = p.row = lanes / 2;
  } else {
    p.pitch = round_up(used, lanes);
    p.row = p.phases * p.pitch;
    // Rows a multiple of 4096 bytes apart would fight for the same lines of the first-level cache.
    if (p.row * static_cast<index>(sizeof(T)) % 4096 == 0) p.row += lanes;
  }
  if (p.phases == 1) lead_ = (lanes - p.begin[0] % lanes) % lanes;  // the source's pixels lie aligned
  const index row_bytes = height_phases_ * p.row * static_cast<index>(sizeof(T));
  // Whole tiles of four rows.
  strip_ = std::max<index>(1, height.grid);
  if ((strip_ + height.reach) * row_bytes > kStripBytes) {
    strip_ = std::max<index>(4, (kStripBytes / row_bytes - height.reach) / 4 * 4);
    strip_ = std::min(strip_, std::max<index>(1, height.grid));
  }
  strips_ = (std::max<index>(1, height.grid) + strip_ - 1) / strip_;
  for (index u = 0; u < strips_ * strip_ + height.reach; ++u) {
    for (const ShiftPhase& phase : height.phases) {
      const bool there = u < static_cast<index>(phase.table.size());
      row_source_.push_back(there ? phase.table[static_cast<std::size_t>(u)] : -1);
    }
  }
  // One more row for pairs of which only the first exists.
  elements_ = round_up(
      lead_ + ((strip_ + height.reach) * height_phases_ + 1) * p.row + p.count + kDepthwiseSlack * lanes,
      lanes);
}

template <class T>
const T* DepthwiseSource<T>::load(const T* plane, index s, bool fresh, T* scratch) const {
  const index begin = s * strip_ * height_phases_;
  const index rows = (std::min(strip_, height_.grid - s * strip_) + height_.reach) * height_phases_;
  k_.pad(padding_, rows, row_source_.data() + begin, plane, fill_, fresh, scratch + lead_);
  return scratch + lead_;
}

template <class T>
const T* DepthwiseSource<T>::next(const T* plane, index s) const {
  if (s + 1 == strips_) return plane + source_plane();
  const index first = ((s + 1) * strip_ + height_.reach) * height_phases_;
  return plane + std::max<index>(0, row_source_[static_cast<std::size_t>(first)]) * width_.source;
}

template <class T>
index DepthwiseSource<T>::lines() const {
  const index bytes = height_phases_ * padding_.phases * k_.lanes * static_cast<index>(sizeof(T));
  return std::max<index>(1, bytes / static_cast<index>(kAlignment));
}

namespace {

// Where taps look at, from the first of these rows on.
template <class T>
std::vector<index> rows_of(const DepthwiseSource<T>& source, const std::vector<ShiftTap>& taps,
                           index& first) {
  std::vector<index> rows;
  for (const ShiftTap& tap : taps) rows.push_back(source.row_offset(tap));
  first = rows.empty() ? 0 : *std::min_element(rows.begin(), rows.end());
  for (index& row : rows) row -= first;
  return rows;
}

}  // namespace

template <class T>
DepthwiseProduct<T>::DepthwiseProduct(ShiftAxis height, ShiftAxis width, index images, index channels,
                                      index multiplier, index taps, double fill, ConvActivation activation)
    : height_(std::move(height)),
      width_(std::move(width)),
      images_(images),
      channels_(channels),
      multiplier_(multiplier),
      taps_(taps),
      activation_(activation),
      source_(height_, width_, static_cast<T>(fill)),
      k_(kernels<DepthwiseKernels, T>()) {
  index taps_w = 0;
  for (const ShiftPartAxis& part : width_.parts) taps_w += static_cast<index>(part.taps.size());
  parts_.reserve(height_.parts.size());
  for (const ShiftPartAxis& h : height_.parts) {
    parts_.emplace_back();
    Part& part = parts_.back();
    part.begin = h.begin, part.count = h.count, part.start = h.start, part.step = h.step;
    // Taps in the order of the rows and columns that they look at.
    const auto sorted = [](std::vector<ShiftTap> list) {
      std::sort(list.begin(), list.end(), [](const ShiftTap& a, const ShiftTap& b) {
        return a.shift != b.shift ? a.shift < b.shift : a.phase < b.phase;
      });
      return list;
    };
    const auto taps_h = sorted(h.taps);
    part.rows = rows_of(source_, taps_h, part.source);
    for (const ShiftPartAxis& w : width_.parts) {
      const auto side = static_cast<std::size_t>(width_.parts.size() == 1 ? 0 : w.start);
      const auto list = sorted(w.taps);
      for (const ShiftTap& tap : list) part.columns[side].push_back(w.begin + source_.column_offset(tap));
      for (const ShiftTap& i : taps_h) {
        for (const ShiftTap& j : list) part.weights[side].push_back(i.tap * taps_w + j.tap);
      }
    }
    part.in_order = parts_.size() == 1 && width_.parts.size() == 1;
    for (std::size_t i = 0; i < part.weights[0].size(); ++i) {
      part.in_order = part.in_order && part.weights[0][i] == static_cast<index>(i);
    }
    for (int side = 0; side < 2; ++side) {
      part.looks[side] = {static_cast<index>(part.rows.size()),
                          static_cast<index>(part.columns[side].size()),
                          part.rows.data(),
                          part.columns[side].data(),
                          source_.row_step(),
                          is_regular(part.rows, source_.row_step())};
    }
  }
  block_ = planes_of_item(images_ * channels_, height_.target * width_.target);
}

template <class T>
std::size_t DepthwiseProduct<T>::workspace(int threads) const {
  return static_cast<std::size_t>(threads) *
         align_up(static_cast<std::size_t>(source_.elements() + round_up(taps_, k_.lanes)) * sizeof(T));
}

template <class T>
void DepthwiseProduct<T>::plane(const Part& part, index strip, const T* scratch, const T* weight, T bias,
                                T* local, const T* ahead, T* target) const {
  const index first = strip * source_.strip();
  const index begin = std::max(part.begin, first),
              end = std::min(part.begin + part.count, first + source_.strip());
  if (begin >= end) return;
  const DepthwiseTarget to{end - begin,      width_.target, part.step * width_.target,
                           source_.halves(), ahead,         ahead ? source_.strip_bytes() : 0,
                           source_.lines()};
  const auto ordered = [&](int side, T* copy) -> const T* {
    if (part.in_order) return weight;
    const std::vector<index>& order = part.weights[side];
    for (std::size_t i = 0; i < order.size(); ++i) copy[i] = weight[order[i]];
    return copy;
  };
  const T* const w_even = ordered(0, local);
  const T* const w_odd = ordered(1, local + part.weights[0].size());
  const T* from = scratch + (begin - first) * source_.row_step() + part.source;
  T* at = target + (part.start + (begin - part.begin) * part.step) * width_.target;
  if (width_.parts.size() == 1) {
    k_.correlate(part.looks[0], to, from, w_even, bias, activation_, at);
  } else {
    k_.correlate_pairs(part.looks[0], part.looks[1], to, from, w_even, w_odd, bias, at);
  }
}

template <class T>
void DepthwiseProduct<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                              std::byte* workspace) const {
  T* scratch =
      reinterpret_cast<T*>(workspace) + team.rank() * static_cast<index>(this->workspace(1) / sizeof(T));
  T* local = scratch + source_.elements();
  const index planes = images_ * channels_, plane_size = height_.target * width_.target;
  const index strips = source_.strips();
  const auto one = [&](index p, index s, bool fresh) {
    const T* padded = source_.load(source + p * source_.source_plane(), s, fresh, scratch);
    const T* ahead = source_.next(source + p * source_.source_plane(), s);
    const index c = p % channels_;
    for (index q = 0; q < multiplier_; ++q) {
      const index f = c * multiplier_ + q;
      T* to = target + (p * multiplier_ + q) * plane_size;
      for (const Part& part : parts_) {
        plane(part, s, padded, weight + f * taps_, bias ? bias[f] : T(0), local, ahead, to);
        ahead = nullptr;
      }
    }
  };
  if (strips > 1 && planes < kItems) {
    team.for_each(planes * strips, [&](index i) { one(i / strips, i % strips, true); });
    return;
  }
  team.for_each((planes + block_ - 1) / block_, [&](index i) {
    for (index p = i * block_; p < std::min(planes, (i + 1) * block_); ++p) {
      for (index s = 0; s < strips; ++s) one(p, s, p == i * block_ && s == 0);
    }
  });
}

template <class T>
bool DepthwiseThree<T>::applies(const ShiftAxis& height, const ShiftAxis& width) {
  index tap[3];
  if (!three_places(height, tap) || !three_places(width, tap)) return false;
  if (height.step != width.step || width.step > 2) return false;
  if (width.target < kernels<DepthwiseKernels, T>().plane_columns) return false;
  const index pad = -width.phases[0].first;
  return pad >= 0 && pad <= 1 && std::all_of(width.phases.begin(), width.phases.end(), is_constant);
}

template <class T>
DepthwiseThree<T>::DepthwiseThree(const ShiftAxis& height, const ShiftAxis& width, index images,
                                  index channels, index multiplier, double fill, ConvActivation activation)
    : k_(kernels<DepthwiseKernels, T>()),
      fill_(static_cast<T>(fill)),
      activation_(activation),
      planes_(images * channels),
      channels_(channels),
      multiplier_(multiplier),
      source_plane_(height.source * width.source),
      rows_(height.target) {
  index down[3] = {}, across[3] = {};
  three_places(height, down);
  three_places(width, across);
  for (int i = 0; i < 9; ++i) weight_[i] = down[i / 3] * 3 + across[i % 3];
  const index phases = static_cast<index>(height.phases.size());
  for (index u = 0; u < (height.grid + height.reach) * phases; ++u) {
    row_source_.push_back(
        height.phases[static_cast<std::size_t>(u % phases)].table[static_cast<std::size_t>(u / phases)]);
  }
  plane_ = {width.target, width.source, width.step, -width.phases[0].first, row_source_.data()};
  const index elements = height.target * width.target;
  block_ = planes_of_item(planes_, elements);
  pieces_ = std::clamp<index>(kItems / std::max<index>(1, planes_), 1,
                              std::max<index>(1, elements / kItemElements));
}

template <class T>
std::size_t DepthwiseThree<T>::workspace(int threads) const {
  return static_cast<std::size_t>(threads) * align_up(static_cast<std::size_t>(plane_.width) * sizeof(T));
}

template <class T>
void DepthwiseThree<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                            std::byte* workspace) const {
  T* missing = reinterpret_cast<T*>(workspace + static_cast<std::size_t>(team.rank()) * this->workspace(1));
  bool filled = false;
  const index piece = round_up((rows_ + pieces_ - 1) / pieces_, 4);
  team.for_each((planes_ + block_ - 1) / block_ * pieces_, [&](index item) {
    if (!filled) std::fill(missing, missing + plane_.width, fill_);
    filled = true;
    const index begin = item % pieces_ * piece, end = std::min(rows_, begin + piece);
    const index first = item / pieces_ * block_;
    for (index p = first; p < std::min(planes_, first + block_); ++p) {
      for (index q = 0; q < multiplier_; ++q) {
        const index f = p % channels_ * multiplier_ + q;
        T w[9];
        for (int i = 0; i < 9; ++i) w[i] = weight[f * 9 + weight_[i]];
        k_.correlate_plane(plane_, begin, end, source + p * source_plane_, missing, fill_, w,
                           bias ? bias[f] : T(0), activation_,
                           target + (p * multiplier_ + q) * rows_ * plane_.columns);
      }
    }
  });
}

template <class T>
DepthwiseWeightGradient<T>::DepthwiseWeightGradient(ShiftAxis height, ShiftAxis width, index images,
                                                    index channels, index multiplier, double fill)
    : height_(std::move(height)),
      width_(std::move(width)),
      images_(images),
      filters_(channels * multiplier),
      multiplier_(multiplier),
      source_(height_, width_, static_cast<T>(fill)),
      k_(kernels<DepthwiseKernels, T>()) {
  for (const ShiftTap& tap : height_.parts[0].taps) rows_.push_back(source_.row_offset(tap));
  for (const ShiftTap& tap : width_.parts[0].taps) columns_.push_back(source_.column_offset(tap));
  taps_ = static_cast<index>(rows_.size() * columns_.size());
  looks_ = {static_cast<index>(rows_.size()),
            static_cast<index>(columns_.size()),
            rows_.data(),
            columns_.data(),
            source_.row_step(),
            is_regular(rows_, source_.row_step())};
  block_ = planes_of_item(filters_, images_ * height_.target * width_.target);
  chunks_ = std::clamp<index>((kItems + filters_ - 1) / filters_, 1,
                              std::max<index>(1, images_ * source_.strips()));
}

template <class T>
std::size_t DepthwiseWeightGradient<T>::workspace(int threads) const {
  const auto bytes = [](index n) { return align_up(static_cast<std::size_t>(n) * sizeof(T)); };
  return static_cast<std::size_t>(threads) * bytes(source_.elements() + taps_ * k_.lanes) +
         (chunks_ > 1 ? bytes(chunks_ * filters_ * taps_) : 0);
}

template <class T>
void DepthwiseWeightGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw,
                                     std::byte* workspace) const {
  const std::size_t own =
      align_up(static_cast<std::size_t>(source_.elements() + taps_ * k_.lanes) * sizeof(T));
  T* scratch = reinterpret_cast<T*>(workspace + static_cast<std::size_t>(team.rank()) * own);
  T* sums = scratch + source_.elements();
  T* partial =
      chunks_ > 1 ? reinterpret_cast<T*>(workspace + static_cast<std::size_t>(team.size()) * own) : dw;
  const index channels = filters_ / multiplier_, plane_size = height_.target * width_.target;
  const index strips = source_.strips(), units = images_ * strips;
  const index blocks = (filters_ + block_ - 1) / block_;
  team.for_each(chunks_ * blocks, [&](index item) {
    const index chunk = item / blocks, block = item % blocks;
    bool fresh = true;
    for (index f = block * block_; f < std::min(filters_, (block + 1) * block_); ++f) {
      std::fill(sums, sums + taps_ * k_.lanes, T(0));
      for (index unit = units * chunk / chunks_; unit < units * (chunk + 1) / chunks_; ++unit) {
        const index n = unit / strips, s = unit % strips, first = s * source_.strip();
        const T* padded =
            source_.load(x + (n * channels + f / multiplier_) * source_.source_plane(), s, fresh, scratch);
        if (s + 1 < strips || strips == 1) fresh = false;
        const DepthwiseTarget target{std::min(source_.strip(), height_.target - first),
                                     width_.target,
                                     width_.target,
                                     source_.halves(),
                                     nullptr,
                                     0,
                                     0};
        k_.dot(looks_, target, padded, dy + (n * filters_ + f) * plane_size + first * width_.target, sums);
      }
      T* to = partial + (chunk * filters_ + f) * taps_;
      k_.sum_lanes(taps_, sums, to);
    }
  });
  if (chunks_ == 1) return;
  team.for_range(filters_ * taps_, 256, [&](index begin, index end) {
    for (index i = begin; i < end; ++i) {
      T sum = partial[i];
      for (index chunk = 1; chunk < chunks_; ++chunk) sum += partial[chunk * filters_ * taps_ + i];
      dw[i] = sum;
    }
  });
}

template class DepthwiseSource<float>;
template class DepthwiseSource<double>;
template class DepthwiseProduct<float>;
template class DepthwiseProduct<double>;
template class DepthwiseThree<float>;
template class DepthwiseThree<double>;
template class DepthwiseWeightGradient<float>;
template class DepthwiseWeightGradient<double>;

}  // namespace tenfold
