#include "conv/weight_gradient.h"

#include <algorithm>

namespace tenfold {
namespace {

constexpr index kPixelBlock = 256;  // outer: pixels of packed dy, 64 KB with 64 filters
constexpr index kStripBytes =
    256 * 1024;  // of the padded source and of dy: they stay in the second-level cache
constexpr index kSlotBytes = 4 * 1024 * 1024;  // of all chunks together
constexpr index kChunks = 16;
// Fewer pixels are not worth a slot of their own. Dot sums, whose lanes are added, are cut into chunks only where they are few:
// that makes their error less, of which Winograd's form is allowed a multiple (docs/numerics.md), and from 16 x 16 x 3 x 3
// sums on Winograd's is the faster one.
constexpr index kChunkPixels = 512, kDotChunkPixels = 4 * 1024, kMostDotSums = 2048;
constexpr index kItems = 16;

index taps_of(const std::array<ShiftAxis, 3>& axes) {
  index taps = 1;
  for (const ShiftAxis& a : axes) taps *= static_cast<index>(a.parts[0].taps.size());
  return taps;
}

}  // namespace

bool weight_gradient_dots(index filters, index looks, index row) {
  // Dot sums are whole vectors until the end, so they only pay while they are few; its vectors run along rows. The other
  // form packs dy, which few looks do not repay (measured: 9 and 27 do not, 32 do).
  constexpr index kMostSums = 10 * 1024, kMostFilters = 16, kFewLooks = 32, kLeastRow = 8;
  return filters <= 4 ||
         (filters * looks <= kMostSums && (filters <= kMostFilters || looks < kFewLooks) && row >= kLeastRow);
}

namespace {

// Items of so many sums of each group.
index wanted_items(index images, index pixels, index groups, index sums) {
  const double work = static_cast<double>(images * pixels) * static_cast<double>(groups * sums);
  return work > kSerialWork ? kItems : 1;
}

}  // namespace

index weight_gradient_chunks(bool dots, index images, index pixels, index groups, index sums,
                             index slot_bytes) {
  const index most = std::max<index>(1, kSlotBytes / slot_bytes);
  const index wanted = divide_up(wanted_items(images, pixels, groups, sums), groups);
  const index strips = dots && sums > kMostDotSums
                           ? 0
                           : std::min(wanted, images * pixels / (dots ? kDotChunkPixels : kChunkPixels));
  const index worth = std::max(images, strips);
  return std::max<index>(1, std::min({worth, kChunks, most}));
}

template <class T>
WeightGradient<T>::WeightGradient(std::array<ShiftAxis, 3> forward_axes, index images, index groups,
                                  index channels, index filters, double fill)
    : axes_(std::move(forward_axes)),
      k_(kernels<ConvKernels, T>()),
      gemm_(kernels<GemmKernels, T>()),
      images_(images),
      groups_(groups),
      channels_(channels),
      filters_(filters),
      taps_(taps_of(axes_)),
      dot_(weight_gradient_dots(filters, channels * taps_, axes_[2].grid)),
      source_(&axes_, channels, !dot_),
      fill_(static_cast<T>(fill)) {
  pixels_ = axes_[0].grid * axes_[1].grid * axes_[2].grid;

  const index sums = filters * channels * taps_;
  if (dot_) {
    slot_ = groups * sums * k_.lanes;
  } else {
    const index widest = k_.outer_vectors * k_.lanes;
    blocks_ = divide_up(filters, widest);
    vectors_ = divide_up(divide_up(filters, blocks_), k_.lanes);
    width_ = vectors_ * k_.lanes;
    slot_ = groups * blocks_ * channels * taps_ * width_;
  }
  // Items: chunks first, they cost the adding of their slots only (which are many times larger in the dot form). Shares of the filters repeat the padding of
  // x, shares of the channels the packing of dy.
  chunks_ =
      weight_gradient_chunks(dot_, images, pixels_, groups, sums, slot_ * static_cast<index>(sizeof(T)));
  const index rest = divide_up(wanted_items(images, pixels_, groups, sums), chunks_ * groups);
  const index filter_first = dot_ ? 1 : std::clamp<index>(rest, 1, blocks_),
              channel_first = std::clamp<index>(rest, 1, channels);
  const index channels_then = std::clamp<index>(divide_up(rest, filter_first), 1, channels),
              filters_then = dot_ ? 1 : std::clamp<index>(divide_up(rest, channel_first), 1, blocks_);
  // Cycles: an element of the padded copy (every second one of a row takes a shuffle), and one of packed dy.
  const double padding = source_.in_place() ? 0.0
                                            : (axes_[2].step == 1 ? 0.2 : 0.5) *
                                                  static_cast<double>(channels * source_.channel_stride()),
               packing = dot_ ? 0.0 : 0.4 * static_cast<double>(filters * pixels_);
  const auto cost = [&](index by_filters, index by_channels) {
    return padding * static_cast<double>(by_filters) + packing * static_cast<double>(by_channels);
  };
  const bool filters_lead = cost(filter_first, channels_then) <= cost(filters_then, channel_first);
  shares_ = filters_lead ? filter_first : filters_then;
  channel_blocks_ = filters_lead ? channels_then : channel_first;
  channels_per_block_ = divide_up(channels, channel_blocks_);
  channel_blocks_ = divide_up(channels, channels_per_block_);

  const index along = source_.axis(source_.strip_axis()).reach;
  const index across = pixels_ / std::max<index>(1, source_.grid());
  const index section = channels_per_block_ * source_.cross_section() + (dot_ ? filters * across : 0);
  const index grid = std::max<index>(1, source_.grid());
  index strip = kStripBytes / static_cast<index>(sizeof(T)) / std::max<index>(1, section) - along;
  strip = std::clamp<index>(std::max(strip, divide_up(kPixelBlock, std::max<index>(1, across))), 1, grid);
  if (chunks_ > images) strip = std::min(strip, divide_up(grid * std::max<index>(1, images), chunks_));
  source_.set_strip(divide_up(grid, divide_up(grid, strip)));
  chunks_ = std::clamp<index>(chunks_, 1, std::max<index>(1, images * source_.strips()));
  bias_ = {chunks_, groups * filters};

  offset_.reserve(static_cast<std::size_t>(channels_per_block_ * taps_));
  for (index c = 0; c < channels_per_block_; ++c) {
    for (const ShiftTap& t0 : axes_[0].parts[0].taps) {
      for (const ShiftTap& t1 : axes_[1].parts[0].taps) {
        for (const ShiftTap& t2 : axes_[2].parts[0].taps) offset_.push_back(source_.offset(c, t0, t1, t2));
      }
    }
  }
}

template <class T>
std::size_t WeightGradient<T>::scratch_bytes() const {
  const auto bytes = [](index count, std::size_t size) {
    return align_up(static_cast<std::size_t>(count) * size);
  };
  return bytes(source_.scratch_elements(), sizeof(T)) + bytes(dot_ ? 0 : kPixelBlock * width_, sizeof(T)) +
         bytes(dot_ ? 0 : width_, sizeof(T)) + 2 * bytes(pixels_, sizeof(index));
}

template <class T>
typename WeightGradient<T>::Scratch WeightGradient<T>::scratch_of(int rank, std::byte* workspace) const {
  std::byte* at = workspace + static_cast<std::size_t>(rank) * scratch_bytes();
  const auto take = [&at](index count, std::size_t size) {
    std::byte* taken = at;
    at += align_up(static_cast<std::size_t>(count) * size);
    return taken;
  };
  Scratch s;
  s.source = reinterpret_cast<T*>(take(source_.scratch_elements(), sizeof(T)));
  s.packed = reinterpret_cast<T*>(take(dot_ ? 0 : kPixelBlock * width_, sizeof(T)));
  s.of_block = reinterpret_cast<T*>(take(dot_ ? 0 : width_, sizeof(T)));
  s.position = reinterpret_cast<index*>(take(pixels_, sizeof(index)));
  s.dy_row = reinterpret_cast<index*>(take(pixels_, sizeof(index)));
  return s;
}

template <class T>
std::size_t WeightGradient<T>::workspace(int threads) const {
  return slots_bytes() + bias_.bytes() + static_cast<std::size_t>(threads) * scratch_bytes();
}

template <class T>
void WeightGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, T* db,
                            std::byte* workspace) const {
  T* slots = reinterpret_cast<T*>(workspace);
  std::byte* const bias_slots = workspace + slots_bytes();
  const Scratch s = scratch_of(team.rank(), workspace + slots_bytes() + bias_.bytes());
  const index plane = source_.source_plane();
  const T* end = x + images_ * groups_ * channels_ * plane;
  const index strips = source_.strips(), units = images_ * strips;
  team.for_each(chunks_ * groups_ * shares_ * channel_blocks_, [&](index i) {
    const index block = i % channel_blocks_, share = i / channel_blocks_ % shares_,
                g = i / channel_blocks_ / shares_ % groups_, chunk = i / channel_blocks_ / shares_ / groups_;
    const index block_begin = blocks_ * share / shares_, block_end = blocks_ * (share + 1) / shares_;
    const index first = block * channels_per_block_;
    const index channels = std::min(channels_per_block_, channels_ - first);
    T* slot = slots + chunk * slot_ + g * (slot_ / groups_);
    if (dot_) {
      slot += first * taps_ * k_.lanes;
    } else {
      slot += first * taps_ * width_;
    }
    double* bias = db && block == 0 ? bias_.of(bias_slots, chunk) + g * filters_ : nullptr;
    if (bias) {
      const auto begins = [&](index b) { return dot_ ? b * filters_ : std::min(filters_, b * width_); };
      std::fill(bias + begins(block_begin), bias + begins(block_end), 0.0);
    }
    const index from = units * chunk / chunks_, to = units * (chunk + 1) / chunks_;
    bool resume = false;
    for (index unit = from; unit < to; ++unit) {
      const index n = unit / strips, strip = unit % strips * source_.strip();
      // Sums are over exactly the pixels: nothing is read behind them.
      const T* base = source_.load(k_, x + ((n * groups_ + g) * channels_ + first) * plane, end, channels,
                                   strip, fill_, s.source, 0);
      Ahead<T> ahead;
      if (unit + 1 < to) {
        ahead = source_.ahead(x + (((unit + 1) / strips * groups_ + g) * channels_ + first) * plane, channels,
                              (unit + 1) % strips * source_.strip());
      }
      if (dot_) {
        dot(s, strip, channels, base, dy + (n * groups_ + g) * filters_ * pixels_, slot, bias, resume, ahead);
      } else {
        outer(s, strip, channels, block_begin, block_end, base, strip_of_dy(dy, g, unit),
              unit + 1 < to ? strip_of_dy(dy, g, unit + 1) : nullptr, slot, bias, resume, ahead);
      }
      resume = true;
    }
    if (resume) return;
    // No images: sums of nothing.
    if (dot_) {
      for (index f = 0; f < filters_; ++f)
        k_.fill(channels * taps_ * k_.lanes, 0, slot + f * channels_ * taps_ * k_.lanes);
    } else {
      for (index b = block_begin; b < block_end; ++b)
        k_.fill(channels * taps_ * width_, 0, slot + b * channels_ * taps_ * width_);
    }
  });
  reduce(team, slots, dw);
  if (db) bias_.add(team, bias_slots, db);
}

// slot[f][c][tap][lane] += dy[f] * look[c][tap] over the pixels of the strip
template <class T>
void WeightGradient<T>::dot(const Scratch& s, index strip, index channels, const T* base, const T* dy,
                            T* slot, double* bias, bool resume, Ahead<T> ahead) const {
  const int t = source_.strip_axis();
  index count[3] = {axes_[0].grid, axes_[1].grid, axes_[2].grid}, first[3] = {0, 0, 0};
  first[t] = strip;
  count[t] = std::min(source_.strip(), source_.grid() - strip);
  const index dy_pitch[2] = {axes_[1].grid * axes_[2].grid, axes_[2].grid};
  index columns = count[2];
  if (columns == source_.extent(2) && columns == dy_pitch[1]) {
    columns *= count[1];
    count[1] = 1;
  }
  index rows = 0;
  for (index d = 0; d < count[0]; ++d) {
    for (index h = 0; h < count[1]; ++h, ++rows) {
      s.position[rows] = d * source_.pitch(0) + h * source_.pitch(1);
      s.dy_row[rows] = (first[0] + d) * dy_pitch[0] + (first[1] + h) * dy_pitch[1] + first[2];
    }
  }
  const index looks = channels * taps_, stride = channels_ * taps_ * k_.lanes;
  const index asked = ahead.lines(divide_up(filters_, k_.dot_filters) *
                                  divide_up(looks, k_.dot_taps[std::min(k_.dot_filters, filters_)]));
  for (index f = 0; f < filters_;) {
    const index m = std::min(k_.dot_filters, filters_ - f);
    for (index j = 0; j < looks; j += k_.dot_taps[m]) {
      ahead.more(asked);
      k_.dot[m](std::min(k_.dot_taps[m], looks - j), rows, columns, dy + f * pixels_, pixels_, s.dy_row, base,
                offset_.data() + j, s.position, slot + f * stride + j * k_.lanes, stride, resume);
    }
    // The rows of a strip follow one another in dy (strip_of_dy).
    for (const index end = f + m; f < end; ++f)
      if (bias) bias[f] += static_cast<double>(k_.sum(rows * columns, dy + f * pixels_ + s.dy_row[0]));
  }
}

// Where a strip begins in dy. The axes before the strip axis have one position, so it is contiguous there.
template <class T>
const T* WeightGradient<T>::strip_of_dy(const T* dy, index group, index unit) const {
  const index n = unit / source_.strips(), strip = unit % source_.strips() * source_.strip();
  return dy + (n * groups_ + group) * filters_ * pixels_ + strip * (pixels_ / source_.grid());
}

// slot[block][c][tap][f] += look[c][tap] * dyt[f] over the pixels of the strip
template <class T>
void WeightGradient<T>::outer(const Scratch& s, index strip, index channels, index block_begin,
                              index block_end, const T* base, const T* dy, const T* next_dy, T* slot,
                              double* bias, bool resume, Ahead<T> ahead) const {
  const int t = source_.strip_axis();
  index count[3] = {axes_[0].grid, axes_[1].grid, axes_[2].grid};
  count[t] = std::min(source_.strip(), source_.grid() - strip);
  index pixels = 0;
  for (index d = 0; d < count[0]; ++d) {
    for (index h = 0; h < count[1]; ++h) {
      for (index w = 0; w < count[2]; ++w)
        s.position[pixels++] = d * source_.pitch(0) + h * source_.pitch(1) + w * source_.pitch(2);
    }
  }
  const index looks = channels * taps_, calls = divide_up(looks, k_.outer_taps[vectors_]);
  const index asked = ahead.lines(divide_up(pixels, kPixelBlock) * (block_end - block_begin) * calls);
  for (index p = 0; p < pixels; p += kPixelBlock) {
    const index n = std::min(kPixelBlock, pixels - p);
    for (index b = block_begin; b < block_end; ++b) {
      const index filters = std::min(width_, filters_ - b * width_);
      const T* of_block = dy + b * width_ * pixels_ + p;
      // What is packed next.
      const bool last_block = b + 1 == block_end, last = last_block && p + n == pixels;
      const T* const row = last ? next_dy : last_block ? dy + p + n : dy + p;
      const index next = last_block ? block_begin : b + 1;
      Ahead<T> ahead_of_dy;
      if (row) {
        ahead_of_dy = {row + next * width_ * pixels_, std::min(width_, filters_ - next * width_), pixels_,
                       last_block && !last ? std::min(kPixelBlock, pixels - p - n) : n};
      }
      const index asked_of_dy = ahead_of_dy.lines(calls);
      if (filters >= k_.lanes) {
        gemm_.pack(filters, n, of_block, pixels_, 1, width_, s.packed);
      } else {
        k_.pack_dy(n, filters, width_, of_block, pixels_, s.packed);
      }
      if (bias) {
        gemm_.add_rows(n, filters, s.packed, width_, false, s.of_block);
        for (index f = 0; f < filters; ++f) bias[b * width_ + f] += static_cast<double>(s.of_block[f]);
      }
      T* sums = slot + b * channels_ * taps_ * width_;
      for (index j = 0; j < looks; j += k_.outer_taps[vectors_]) {
        ahead.more(asked);
        ahead_of_dy.more(asked_of_dy);
        k_.outer[vectors_](std::min(k_.outer_taps[vectors_], looks - j), n, base, offset_.data() + j,
                           s.position + p, s.packed, sums + j * width_, resume || p > 0);
      }
    }
  }
}

template <class T>
void WeightGradient<T>::reduce(const Team& team, T* slots, T* dw) const {
  const index looks = channels_ * taps_;
  if (dot_) {
    team.for_range(groups_ * filters_ * looks, 16, [&](index begin, index end) {
      for (index i = begin; i < end; ++i) {
        T total = 0;
        for (index chunk = 0; chunk < chunks_; ++chunk)
          total += k_.sum(k_.lanes, slots + chunk * slot_ + i * k_.lanes);
        dw[i] = total;
      }
    });
    return;
  }
  if (chunks_ > 1) {
    team.for_range(slot_, 256, [&](index begin, index end) {
      gemm_.add_rows(chunks_, end - begin, slots + begin, slot_, false, slots + begin);
    });
  }
  // dw[f][look] <-- slot[look][f], a vector of filters at a time.
  const index parts = divide_up(width_, k_.lanes);
  team.for_each(groups_ * blocks_ * parts, [&](index i) {
    const index b = i / parts % blocks_, g = i / parts / blocks_, f = b * width_ + i % parts * k_.lanes;
    if (f >= filters_) return;
    gemm_.pack(looks, std::min(k_.lanes, filters_ - f),
               slots + (g * blocks_ + b) * looks * width_ + f - b * width_, width_, 1, looks,
               dw + (g * filters_ + f) * looks);
  });
}

template class WeightGradient<float>;
template class WeightGradient<double>;

}  // namespace tenfold
