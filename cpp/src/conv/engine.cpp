#include "conv/engine.h"

#include "tenfold/memory.h"

namespace tenfold {
namespace {

// KC: a block of a panel (KC x 48 floats) stays in the first-level cache.
constexpr index kDepth = 256;
// Columns of the pixel block that all filters run over while it lies in the second-level cache.
constexpr index kBlockColumns = 240;
// Columns of an im2col item: several images share it when they are small.
constexpr index kItemColumns = 480;
// Filters of an im2col item: bounds the block of unfinished sums.
constexpr index kItemFilters = 512;
// Filters that are worth packing pixels for.
constexpr index kLeastFilters = 128;
// Items to aim at, so that several threads have even shares.
constexpr index kItems = 16;
// Packed weights of so many bytes that are used for so many pixels every member packs for itself: fetching them from
// another one's cache takes longer.
constexpr index kOwnBytes = 128 * 1024, kOwnPixels = 4096;
// Bytes of a strip of the padded source, and at most of one that fills its tiles better: it stays in the second-level
// cache.
constexpr index kStripBytes = 384 * 1024, kMostStripBytes = 512 * 1024;

index divide_up(index a, index b) {
  return (a + b - 1) / b;
}

}  // namespace

template <class T>
ShiftEngine<T>::ShiftEngine(ShiftProblem problem)
    : problem_(std::move(problem)),
      k_(kernels<ConvKernels, T>()),
      gemm_(kernels<GemmKernels, T>()),
      source_(&problem_.axes, problem_.source_channels) {
  const auto& axes = problem_.axes;
  target_pitch_ = {axes[1].target * axes[2].target, axes[2].target, 1};
  target_plane_ = axes[0].target * target_pitch_[0];
  choose();
  build_parts();
  pair_parts();
  own_ = static_cast<index>(packed_bytes()) <= kOwnBytes && problem_.images * target_plane_ >= kOwnPixels;
}

// Time of all filters over a stretch of columns, in tiles of `rows` x `widest` vectors and one for the rest:
// a vector multiply-add per unit, but no less than the loads (most looks straddle two lines) or the latency of
// the sums; `look` is what a vector of pixels takes from the second-level cache, which a low tile asks for more often.
// `pieces`: loads of a vector of pixels where rows are joined.
template <class T>
double ShiftEngine<T>::tile_time(index rows, index columns, index widest, double look, index pieces) const {
  constexpr double kLoad =
      0.2;  // a further load beside the multiply-adds; the second one costs three times as much
  const auto time = [rows, look, pieces](index vectors) {
    if (vectors == 0) return 0.0;
    const auto r = static_cast<double>(rows), v = static_cast<double>(vectors);
    const auto more = static_cast<double>(pieces - 1);
    return std::max({r * v, r + (2 + more) * v, 8.0}) + (look + kLoad * more * more) * v;
  };
  const index vectors = divide_up(columns, k_.lanes);
  return static_cast<double>(divide_up(problem_.target_channels, rows)) *
         (static_cast<double>(vectors / widest) * time(widest) + time(vectors % widest));
}

// Of how many rows of so many pixels a vector can be.
template <class T>
index ShiftEngine<T>::rows_of_vector(index row) const {
  return 2 + (k_.lanes - 2) / row;
}

// Whether rows that are apart in the source lie side by side in the target.
template <class T>
bool ShiftEngine<T>::adjoins(const ShiftPartAxis& rows, const ShiftPartAxis& row) const {
  return k_.joins_rows && rows.step == 1 && row.step == 1 && rows.count > 1 && row.count == target_pitch_[1];
}

// Whether tiles can be made of the pixels of such rows alone.
template <class T>
bool ShiftEngine<T>::joinable(const ShiftPartAxis& rows, const ShiftPartAxis& row) const {
  return adjoins(rows, row) && rows_of_vector(row.count) <= kConvMaxPieces;
}

template <class T>
void ShiftEngine<T>::choose() {
  const auto& axes = problem_.axes;
  index count[3] = {}, pixels = 1, taps = 1;
  for (int i = 0; i < 3; ++i) {
    const auto j = static_cast<std::size_t>(i);
    count[i] = axes[j].parts.empty() ? 0 : axes[j].parts[0].count;
    pixels *= count[i];
    taps *= problem_.kernel[j];
  }
  // The direct form computes the gaps between rows as well, and its looks lie far apart: only the taps of a channel
  // share lines. im2col fills its tiles better, with as many images as do it best, but packs: so much time a piece of
  // a row, so much a vector. Weights are packed once for all images, or not at all.
  constexpr double kPiece = 5, kVector = 2, kWeight = 0.8, kPackedLook = 0.5;
  const double far_look = kPackedLook + 1 / static_cast<double>(taps);
  const double weights = kWeight * static_cast<double>(problem_.target_channels) /
                         static_cast<double>(std::max<index>(1, problem_.images));
  struct Form {
    index rows = 1, vectors = 1;
    double time = 0;
  };
  const auto consider = [&](Form& best, index rows, index vectors, index columns, double look) {
    const Form form{rows, vectors, tile_time(rows, columns, vectors, look)};
    if (best.time == 0 || form.time < best.time) best = form;
  };
  const auto direct_form = [&](index columns) {
    Form best;
    for (index rows = k_.max_rows; rows >= 1; --rows)
      consider(best, rows, k_.vectors[rows], columns, far_look);
    return best;
  };
  const auto packed_form = [&](index columns) {
    Form best;
    for (int v = kGemmMaxVectors; v >= 1; --v) {
      for (index rows = gemm_.rows_at_most[v - 1]; rows >= 1; --rows)
        consider(best, rows, v, columns, kPackedLook);
    }
    return best;
  };
  const bool whole_rows = source_.in_place() && count[2] == source_.extent(2);
  const index flat = whole_rows ? count[1] * count[2] : (count[1] - 1) * source_.extent(2) + count[2];
  double packed = 0;
  index together = 1;
  Form panel, form = direct_form(std::max<index>(1, flat));
  if (pixels > 0 && !whole_rows && joinable(axes[1].parts[0], axes[2].parts[0])) {
    Form joined = form;
    while (conv_pieces(joined.vectors) < rows_of_vector(count[2])) --joined.vectors;
    joined.time =
        tile_time(joined.rows, count[1] * count[2], joined.vectors, far_look, rows_of_vector(count[2]));
    joins_ = joined.time < form.time;
    if (joins_) form = joined;
  }
  for (index n = 1; pixels > 0 && n <= problem_.images && (n == 1 || n * pixels <= kItemColumns); ++n) {
    const Form of_n = packed_form(n * pixels);
    const index rows = whole_rows ? n : n * count[0] * count[1], vectors = divide_up(n * pixels, k_.lanes);
    const double packing =
        kPiece * static_cast<double>(rows + vectors / of_n.vectors) + kVector * static_cast<double>(vectors);
    const bool once = problem_.images <= n && n * pixels <= kBlockColumns && problem_.weight_row > 1;
    const double time = (1.05 * of_n.time + packing) / static_cast<double>(n) + (once ? 0.1 : 1.0) * weights;
    if (n == 1 || time <= packed) packed = time, together = n, panel = of_n;
  }
  im2col_ = problem_.algorithm == ConvAlgorithm::im2col ||
            (problem_.algorithm == ConvAlgorithm::automatic &&
             static_cast<double>(count[0]) * form.time + weights > packed && pixels > 0);
  if (im2col_) form = panel;
  MR_ = form.rows;
  NR_ = form.vectors * k_.lanes;
  tiles_ = divide_up(problem_.target_channels, MR_);

  const index grid = std::max<index>(1, source_.grid());
  const double work =
      static_cast<double>(problem_.images * problem_.groups * problem_.target_channels * pixels) *
      static_cast<double>(problem_.source_channels * taps);
  const index wanted = work > kSerialWork ? kItems : 1;
  const index independent = std::max<index>(1, problem_.images * problem_.groups);
  tiles_per_item_ = tiles_;
  if (im2col_) {
    source_.set_strip(grid);
    images_per_item_ = together;
    depth_ = divide_up(problem_.source_channels * taps, divide_up(problem_.source_channels * taps, kDepth));
    const index tiles = std::max<index>(1, divide_up(together * pixels, NR_));
    panels_ = divide_up(tiles, divide_up(tiles, std::max<index>(1, kBlockColumns / NR_)));
    tiles_per_item_ = std::min(tiles_, std::max<index>(1, kItemFilters / MR_));
    late_ = problem_.images <= images_per_item_ && tiles <= panels_;
    const index items =
        divide_up(problem_.images, images_per_item_) * problem_.groups * divide_up(tiles_, tiles_per_item_);
    if (items > 0 && items < wanted) {
      // Every share of the filters packs the pixels again, so it must not be too small.
      const index share = std::max(divide_up(tiles_per_item_ * items, wanted), divide_up(kLeastFilters, MR_));
      tiles_per_item_ = std::min(tiles_per_item_, share);
    }
    shared_ = !source_.in_place() && tiles_per_item_ < tiles_;
    return;
  }
  const ShiftAxis& along = source_.axis(source_.strip_axis());
  const index section = std::max<index>(1, problem_.source_channels * source_.cross_section());
  const index columns =
      std::max<index>(1, pixels / std::max<index>(1, count[source_.strip_axis()]));  // per position
  const index least = std::max({index{1}, along.reach, divide_up(4 * NR_, columns)});
  const auto fits = [&](index bytes) {
    return std::max(least, bytes / static_cast<index>(sizeof(T)) / section - along.reach);
  };
  const index share = std::max(least, divide_up(grid, divide_up(wanted, independent)));
  const index strip = std::clamp<index>(std::min(fits(kStripBytes), share), 1, grid);
  const index most = std::clamp<index>(std::min(fits(kMostStripBytes), share), 1, grid);
  // Of the strips about as long, the one whose tiles compute least beside the pixels.
  const int t = source_.strip_axis();
  const auto time_of = [&](index positions) {
    const auto time = [&](index n) {
      return tile_time(MR_, n, NR_ / k_.lanes, far_look, joins_ ? rows_of_vector(count[2]) : 1);
    };
    const auto columns_of = [&](index rows) {
      return whole_rows || joins_ ? rows * count[2] : (rows - 1) * source_.extent(2) + count[2];
    };
    if (t == 2) return time(positions);
    if (t == 1) return time(columns_of(positions));
    return static_cast<double>(positions) * time(columns_of(count[1]));
  };
  double best = 0;
  index best_strip = strip;
  for (index s = std::min(strip, std::max(least, strip / 2)); s <= most; ++s) {
    const index whole = grid / s, rest = grid % s;
    const double total = static_cast<double>(whole) * time_of(s) + (rest > 0 ? time_of(rest) : 0);
    if (best == 0 || total <= best) best = total, best_strip = s;
  }
  // An odd number of few items leaves one of two members idle at the end: longer strips where that makes it even.
  const auto uneven = [&](index s) {
    const index items = independent * divide_up(grid, s);
    return items > 1 && items < wanted && items % 2 == 1;
  };
  if (uneven(best_strip)) {
    index longer = best_strip + 1;
    while (longer < grid && uneven(longer)) ++longer;
    if (longer <= std::min(2 * best_strip, fits(kMostStripBytes)) && !uneven(longer)) best_strip = longer;
  }
  source_.set_strip(best_strip);
  const index items = independent * source_.strips();
  if (items > 0 && items < wanted) {
    tiles_per_item_ = divide_up(tiles_, std::min(tiles_, divide_up(wanted, items)));
  }
  shared_ = !source_.in_place() && tiles_per_item_ < tiles_;
}

template <class T>
void ShiftEngine<T>::build_parts() {
  const auto& axes = problem_.axes;
  for (const ShiftPartAxis& p0 : axes[0].parts) {
    for (const ShiftPartAxis& p1 : axes[1].parts) {
      for (const ShiftPartAxis& p2 : axes[2].parts) {
        Part part;
        part.axis = {&p0, &p1, &p2};
        if (p0.count == 0 || p1.count == 0 || p2.count == 0) continue;
        const std::size_t looks = p0.taps.size() * p1.taps.size() * p2.taps.size();
        part.offset.reserve(looks * static_cast<std::size_t>(problem_.source_channels));
        part.map.reserve(looks * static_cast<std::size_t>(problem_.source_channels));
        for (index c = 0; c < problem_.source_channels; ++c) {
          for (const ShiftTap& t0 : p0.taps) {
            for (const ShiftTap& t1 : p1.taps) {
              for (const ShiftTap& t2 : p2.taps) {
                part.offset.push_back(source_.offset(c, t0, t1, t2));
                part.map.push_back(c * problem_.weight_channel +
                                   (t0.tap * problem_.kernel[1] + t1.tap) * problem_.kernel[2] + t2.tap);
              }
            }
          }
        }
        part.K = static_cast<index>(part.offset.size());
        part.rows = part.map.back() - part.map.front() == part.K - 1 && problem_.weight_row != 1;
        for (index k = 0; k < part.K; ++k)
          part.rows = part.rows && part.map[static_cast<std::size_t>(k)] == part.map[0] + k;
        part.packed = packed_group_;
        if (!late_) packed_group_ += part.K * MR_ * tiles_;
        const index rows = p0.count * p1.count;
        index tiles, lines;
        if (im2col_) {
          tiles = divide_up(images_per_item_ * rows * p2.count, NR_);
          lines = images_per_item_ * rows;
        } else {
          part.joined = joins_ && joinable(p1, p2);
          const index flat = (p1.count - 1) * source_.extent(2) + p2.count;
          const auto time = [&](index columns, index pieces = 1) {
            return tile_time(MR_, columns, NR_ / k_.lanes, 0, pieces);
          };
          const double together =
              part.joined ? time(p1.count * p2.count, rows_of_vector(p2.count)) : time(flat);
          // Rows of whole vectors: their targets may be aligned, and no vector is taken apart.
          part.apart = p2.count % k_.lanes == 0 && p2.count < source_.extent(2) &&
                       static_cast<double>(p1.count) * time(p2.count) < 1.05 * together;
          part.joined = part.joined && !part.apart;
          tiles = part.apart ? rows * divide_up(p2.count, NR_)
                             : p0.count * (divide_up(p1.count * source_.extent(2), NR_) + 1);
          lines = rows;
        }
        max_tiles_ = std::max(max_tiles_, tiles + 1);
        max_runs_ = std::max(max_runs_, tiles + lines + 1 + k_.lanes);  // a tile moved back repeats runs
        parts_.push_back(std::move(part));
      }
    }
  }
}

// A row of a target of stride 2 belongs to two parts. Computed tile by tile in turn, they are written in whole vectors
// and while the line is in the cache.
template <class T>
void ShiftEngine<T>::pair_parts() {
  if (im2col_ || problem_.axes[2].parts.size() != 2) return;
  // The strips of a row need not hold the same targets of both.
  if (source_.strip_axis() == 2 && source_.strips() > 1) return;
  for (std::size_t i = 0; i + 1 < parts_.size(); ++i) {
    if (parts_[i].axis[0] != parts_[i + 1].axis[0] || parts_[i].axis[1] != parts_[i + 1].axis[1]) continue;
    if (parts_[i].axis[2]->start > parts_[i + 1].axis[2]->start) std::swap(parts_[i], parts_[i + 1]);
    const ShiftPartAxis &even = *parts_[i].axis[2], &odd = *parts_[i + 1].axis[2];
    parts_[i].paired = even.step == 2 && odd.start == even.start + 1 &&
                       (odd.count == even.count || odd.count + 1 == even.count);
  }
}

template <class T>
std::size_t ShiftEngine<T>::scratch_bytes() const {
  const auto bytes = [](index count, std::size_t size) {
    return align_up(static_cast<std::size_t>(count) * size);
  };
  std::size_t total = bytes(shared_ ? 0 : source_.scratch_elements() * images_per_item_, sizeof(T));
  total += bytes(im2col_ ? tiles_per_item_ * panels_ * MR_ * NR_ : 2 * MR_ * NR_, sizeof(T));
  total += bytes(im2col_ ? depth_ * panels_ * NR_ : 0, sizeof(T));
  total += bytes(late_ ? depth_ * MR_ : 0, sizeof(T));
  total += bytes(max_tiles_, sizeof(Tile)) + 2 * bytes(max_runs_, sizeof(ConvRun));
  total += bytes(joins_ ? max_tiles_ : 0, sizeof(ConvLooks));
  total += bytes(im2col_ ? 0 : max_tiles_, sizeof(ConvGaps));
  return total;
}

template <class T>
typename ShiftEngine<T>::Scratch ShiftEngine<T>::scratch_of(int rank, std::byte* workspace) const {
  std::byte* at = workspace + static_cast<std::size_t>(rank) * scratch_bytes();
  const auto take = [&at](index count, std::size_t size) {
    std::byte* taken = at;
    at += align_up(static_cast<std::size_t>(count) * size);
    return taken;
  };
  Scratch s;
  s.source =
      reinterpret_cast<T*>(take(shared_ ? 0 : source_.scratch_elements() * images_per_item_, sizeof(T)));
  s.tile =
      reinterpret_cast<T*>(take(im2col_ ? tiles_per_item_ * panels_ * MR_ * NR_ : 2 * MR_ * NR_, sizeof(T)));
  s.panels = reinterpret_cast<T*>(take(im2col_ ? depth_ * panels_ * NR_ : 0, sizeof(T)));
  s.weights = reinterpret_cast<T*>(take(late_ ? depth_ * MR_ : 0, sizeof(T)));
  s.tiles = reinterpret_cast<Tile*>(take(max_tiles_, sizeof(Tile)));
  s.runs = reinterpret_cast<ConvRun*>(take(max_runs_, sizeof(ConvRun)));
  s.looks = reinterpret_cast<ConvRun*>(take(max_runs_, sizeof(ConvRun)));
  s.joined = reinterpret_cast<ConvLooks*>(take(joins_ ? max_tiles_ : 0, sizeof(ConvLooks)));
  s.gaps = reinterpret_cast<ConvGaps*>(take(im2col_ ? 0 : max_tiles_, sizeof(ConvGaps)));
  return s;
}

template <class T>
std::size_t ShiftEngine<T>::shared_bytes() const {
  if (!shared_) return 0;
  return align_up(static_cast<std::size_t>(problem_.images * problem_.groups * source_.strips() *
                                           source_.scratch_elements()) *
                  sizeof(T));
}

template <class T>
std::size_t ShiftEngine<T>::packed_bytes() const {
  return align_up(static_cast<std::size_t>(problem_.groups * packed_group_) * sizeof(T));
}

template <class T>
std::size_t ShiftEngine<T>::bias_bytes() const {
  return align_up(static_cast<std::size_t>(problem_.groups * tiles_ * MR_) * sizeof(T));
}

template <class T>
std::size_t ShiftEngine<T>::workspace(int threads) const {
  const auto members = static_cast<std::size_t>(threads);
  return (own_ ? members : 1) * (packed_bytes() + bias_bytes()) + shared_bytes() + members * scratch_bytes();
}

// packed[g][part][tile][k][m] <-- w[g][m][c][tap], bias[g][tile * MR + m] <-- bias[g][m]
template <class T>
void ShiftEngine<T>::pack(const Team& team, const T* weight, const T* bias, std::byte* workspace) const {
  T* packed = reinterpret_cast<T*>(workspace);
  T* packed_bias = reinterpret_cast<T*>(workspace + packed_bytes());
  team.for_each(problem_.groups * tiles_, [&](index piece) {
    const index g = piece / tiles_, first = piece % tiles_ * MR_;
    const index rows = std::min(MR_, problem_.target_channels - first);
    for (const Part& part : parts_) {
      if (late_) break;
      k_.pack_weights(part.K, MR_, rows, weight + g * problem_.weight_group + first * problem_.weight_row,
                      problem_.weight_row, part.map.data(),
                      packed + g * packed_group_ + part.packed + first * part.K);
    }
    if (bias == nullptr) return;
    for (index m = 0; m < MR_; ++m) {
      packed_bias[piece * MR_ + m] = m < rows ? bias[g * problem_.target_channels + first + m] : 0;
    }
  });
}

template <class T>
void ShiftEngine<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                         std::byte* workspace) const {
  const std::size_t weights_bytes = packed_bytes() + bias_bytes();
  std::byte* const weights = workspace + (own_ ? static_cast<std::size_t>(team.rank()) * weights_bytes : 0);
  if (!own_) pack(team, weight, bias, weights);
  bool packed_yet = !own_;
  const T* packed = reinterpret_cast<const T*>(weights);
  const T* packed_bias = bias ? reinterpret_cast<const T*>(weights + packed_bytes()) : nullptr;
  std::byte* at = workspace + (own_ ? static_cast<std::size_t>(team.size()) : 1) * weights_bytes;
  T* shared = reinterpret_cast<T*>(at);
  at += shared_bytes();
  const Scratch s = scratch_of(team.rank(), at);

  const index target_channels = problem_.groups * problem_.target_channels;
  for (const ShiftAxis& axis : problem_.axes) {
    if (axis.complete) continue;
    // Some targets lie between the taps' reach: they get the bias alone.
    team.for_each(problem_.images * target_channels, [&](index plane) {
      k_.fill(target_plane_, bias ? bias[plane % target_channels] : T(0), target + plane * target_plane_);
    });
    break;
  }

  const index plane = source_.source_plane();
  const index image_elements = problem_.groups * problem_.source_channels * plane;
  const T* end = source + problem_.images * image_elements;
  const index blocks = divide_up(problem_.images, images_per_item_);
  const index splits = divide_up(tiles_, tiles_per_item_);
  const index strips = source_.strips();
  if (shared_) {
    // Several items look at the same pixels: pad them once, all members together.
    const index piece = divide_up(problem_.source_channels, 8),
                pieces = divide_up(problem_.source_channels, piece);
    team.for_each(problem_.images * problem_.groups * strips * pieces, [&](index i) {
      const index c = i % pieces * piece, load = i / pieces;
      source_.load(k_, source + (load / strips * problem_.source_channels + c) * plane, end,
                   std::min(piece, problem_.source_channels - c), load % strips * source_.strip(),
                   static_cast<T>(problem_.fill),
                   shared + load * source_.scratch_elements() + c * source_.channel_stride());
    });
  }
  team.for_each(blocks * problem_.groups * strips * splits, [&](index i) {
    if (!packed_yet) pack(Team::alone(), weight, bias, weights);
    packed_yet = true;
    Item item;
    item.tile_begin = i % splits * tiles_per_item_;
    item.tile_end = std::min(tiles_, item.tile_begin + tiles_per_item_);
    item.strip = i / splits % strips * source_.strip();
    item.group = i / splits / strips % problem_.groups;
    item.image = i / splits / strips / problem_.groups * images_per_item_;
    item.images = std::min(images_per_item_, problem_.images - item.image);
    const T* first = source + item.image * image_elements + item.group * problem_.source_channels * plane;
    T* to = target + (item.image * target_channels + item.group * problem_.target_channels) * target_plane_;
    const T* group_bias = packed_bias ? packed_bias + item.group * tiles_ * MR_ : nullptr;
    const T* group_packed = packed + item.group * packed_group_;
    const T* group_weight = weight + item.group * problem_.weight_group;
    if (shared_) {
      const index stride = problem_.groups * strips * source_.scratch_elements();
      const T* base = shared + item.image * stride +
                      (item.group * strips + item.strip / source_.strip()) * source_.scratch_elements();
      if (im2col_) {
        run_im2col(item, s, base, stride, group_bias, group_packed, group_weight, to);
      } else {
        run_direct(item, s, base, group_bias, group_packed, to);
      }
      return;
    }
    if (!im2col_) {
      const T* base = source_.load(k_, first, end, problem_.source_channels, item.strip,
                                   static_cast<T>(problem_.fill), s.source, slack_of(item.strip));
      run_direct(item, s, base, group_bias, group_packed, to);
    } else if (source_.in_place()) {
      run_im2col(item, s, first, image_elements, group_bias, group_packed, group_weight, to);
    } else {
      for (index n = 0; n < item.images; ++n) {
        source_.load(k_, first + n * image_elements, end, problem_.source_channels, 0,
                     static_cast<T>(problem_.fill), s.source + n * source_.scratch_elements());
      }
      run_im2col(item, s, s.source, source_.scratch_elements(), group_bias, group_packed, group_weight, to);
    }
  });
}

// Elements that the tiles of a strip read behind the last one they need, where the source is its own buffer.
template <class T>
index ShiftEngine<T>::slack_of(index strip) const {
  const int t = source_.strip_axis();
  index count[3];
  for (int i = 0; i < 3; ++i) {
    count[i] = source_.axis(i).grid;
    for (const Part& part : parts_) {
      if (part.axis[static_cast<std::size_t>(i)]->count != count[i]) return kShiftSlack;
    }
  }
  count[t] = std::min(source_.strip(), source_.grid() - strip);
  const index flat = joins_ ? count[1] * count[2] : (count[1] - 1) * source_.extent(2) + count[2];
  return flat >= NR_ ? 0 : k_.lanes;
}

// Of a tile whose runs follow each other in the target.
template <class T>
ConvGaps ShiftEngine<T>::gaps_of(const Tile& tile, const ConvRun* runs) const {
  const auto below = [&](index end) { return (std::uint32_t{1} << std::clamp(end, index{0}, k_.lanes)) - 1; };
  ConvGaps gaps = {};
  index target = runs[0].target;
  for (index v = 0; v < tile.vectors; ++v) {
    for (index r = 0; r < tile.runs; ++r) {
      const index begin = runs[r].column - v * k_.lanes, end = begin + runs[r].count;
      gaps.lanes[v] |= below(end) & ~below(begin);
      gaps.count[v] += std::max(index{0}, std::min(k_.lanes, end) - std::max(index{0}, begin));
    }
    gaps.target[v] = target;
    target += gaps.count[v];
  }
  return gaps;
}

// Of a tile that begins with pixel `first` of `rows` rows of `length` pixels, `pitch` apart.
template <class T>
ConvLooks ShiftEngine<T>::looks_of(index first, index vectors, index rows, index length, index pitch) const {
  ConvLooks looks = {};
  looks.pieces = rows_of_vector(length);
  index row = first / length, column = first % length;
  for (index v = 0; v < vectors; ++v) {
    index lane = length - column;  // where the next row begins
    std::fill_n(looks.at[v], kConvMaxPieces, row * pitch + column);
    for (index piece = 1; lane < k_.lanes && row + piece < rows; ++piece, lane += length) {
      looks.at[v][piece] = (row + piece) * pitch - lane;
      const index end = std::min(k_.lanes, lane + length);
      looks.lanes[v][piece - 1] = (std::uint32_t{1} << end) - (std::uint32_t{1} << lane);
    }
    for (column += k_.lanes; column >= length; column -= length) ++row;
  }
  return looks;
}

template <class T>
void ShiftEngine<T>::run_direct(const Item& item, const Scratch& s, const T* base, const T* bias,
                                const T* packed, T* target) const {
  const int t = source_.strip_axis();
  const index strip_end = std::min(source_.grid(), item.strip + source_.strip());
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const Part& part = parts_[p];
    const Part* const odd = part.paired ? &parts_[++p] : nullptr;  // computed along with it
    index begin[3], count[3], start[3];
    for (int i = 0; i < 3; ++i) {
      const ShiftPartAxis& a = *part.axis[static_cast<std::size_t>(i)];
      begin[i] = a.begin, count[i] = a.count, start[i] = a.start;
      if (i == t) {
        begin[i] = std::max(a.begin, item.strip);
        count[i] = std::min(a.begin + a.count, strip_end) - begin[i];
        start[i] += (begin[i] - a.begin) * a.step;
        begin[i] -= item.strip;
      }
    }
    if (count[t] <= 0) continue;
    const index step[3] = {part.axis[0]->step, part.axis[1]->step, part.axis[2]->step};
    const bool closes = !odd && adjoins(*part.axis[1], *part.axis[2]);
    // Rows without gaps on either side are one row.
    if (count[2] == source_.extent(2) && step[2] == 1 && count[2] == target_pitch_[1] && step[1] == 1) {
      count[2] *= count[1];
      count[1] = 1;
    }
    const index pitch = source_.pitch(1);

    // Of the pair: how much further the other part looks, and how many targets its rows lack.
    const index further = odd ? odd->axis[2]->begin - part.axis[2]->begin : 0;
    const index lacking = odd ? part.axis[2]->count - odd->axis[2]->count : 0;

    // Which pixels lie in which tile: flat positions over the pitch of the buffer, gaps belong to no run.
    index tiles = 0, runs = 0;
    for (index d = 0; d < count[0]; ++d) {
      const index origin = (begin[0] + d) * source_.pitch(0) + begin[1] * pitch + begin[2];
      const index to = (start[0] + d * step[0]) * target_pitch_[0] + start[1] * target_pitch_[1] + start[2];
      const index flat = part.joined ? count[1] * count[2] : (count[1] - 1) * pitch + count[2];
      const index stretches = part.apart ? count[1] : 1, length = part.apart ? count[2] : flat;
      const index all = divide_up(length, k_.lanes), each = divide_up(all * k_.lanes, NR_);
      index row = 0;
      for (index i = 0; i < stretches * each; ++i) {
        // Tiles are about as wide as each other, and moved back where nothing may be read behind them.
        const index first = all * (i % each) / each, vectors = all * (i % each + 1) / each - first;
        index at = i / each * pitch + first * k_.lanes;
        if (source_.in_place() || part.joined)
          at = std::max(index{0}, std::min(at, flat - vectors * k_.lanes));
        const index end = std::min(flat, at + vectors * k_.lanes);
        if (part.joined) {
          s.joined[tiles] = looks_of(at, vectors, count[1], count[2], pitch);
          s.tiles[tiles++] = {origin, runs, 1, vectors};
          s.runs[runs++] = {0, end - at, to + at};
          continue;
        }
        Tile tile{origin + at, runs, 0, vectors};
        while (row < count[1] && row * pitch + count[2] <= at) ++row;
        for (index r = row; r < count[1] && r * pitch < end; ++r) {
          const index from = std::max(at, r * pitch), until = std::min(end, r * pitch + count[2]);
          if (until <= from) continue;
          const bool end_of_row = until == r * pitch + count[2];
          const index elements = odd ? 2 * (until - from) - (end_of_row ? lacking : 0) : until - from;
          s.runs[runs++] = {from - at, elements,
                            to + r * step[1] * target_pitch_[1] + (from - r * pitch) * step[2]};
        }
        tile.runs = runs - tile.run;
        if (tile.runs == 0) continue;
        if (closes) s.gaps[tiles] = gaps_of(tile, s.runs + tile.run);
        s.tiles[tiles++] = tile;
      }
    }

    // Filters outermost: a tile's weights stay in the first-level cache while the strip passes.
    for (index f = item.tile_begin; f < item.tile_end; ++f) {
      const T* a = packed + part.packed + f * MR_ * part.K;
      const index rows = std::min(MR_, problem_.target_channels - f * MR_);
      const T* start_value = bias ? bias + f * MR_ : nullptr;
      T* out = target + f * MR_ * target_plane_;
      for (index i = 0; i < tiles; ++i) {
        const Tile& tile = s.tiles[i];
        const ConvRun& run = s.runs[tile.run];
        const auto compute = k_.tile[MR_][tile.vectors];
        const ConvLooks* const looks = part.joined ? s.joined + i : nullptr;
        if (odd) {
          compute(part.K, a, base + tile.flat, part.offset.data(), s.tile, NR_, start_value, false,
                  problem_.activation, nullptr, nullptr);
          compute(odd->K, packed + odd->packed + f * MR_ * odd->K, base + tile.flat + further,
                  odd->offset.data(), s.tile + MR_ * NR_, NR_, start_value, false, problem_.activation,
                  nullptr, nullptr);
          k_.scatter_pair(rows, tile.runs, s.runs + tile.run, s.tile, s.tile + MR_ * NR_, NR_, out,
                          target_plane_, nullptr, false);
        } else if (rows == MR_ && run.count == tile.vectors * k_.lanes && step[2] == 1) {
          compute(part.K, a, base + tile.flat, part.offset.data(), out + run.target, target_plane_,
                  start_value, false, problem_.activation, nullptr, looks);
        } else if (rows == MR_ && closes && !looks) {
          compute(part.K, a, base + tile.flat, part.offset.data(), out, target_plane_, start_value, false,
                  problem_.activation, s.gaps + i, nullptr);
        } else {
          compute(part.K, a, base + tile.flat, part.offset.data(), s.tile, NR_, start_value, false,
                  problem_.activation, nullptr, looks);
          k_.scatter(rows, tile.runs, s.runs + tile.run, s.tile, NR_, out, target_plane_, step[2]);
        }
      }
    }
  }
}

// Asks for the weights that are packed next: their pieces are too short and far apart for the processor to
// guess.
template <class T>
void ShiftEngine<T>::fetch_weights(index K, index rows, const T* weight, const index* map) const {
  constexpr index kLine = 64 / static_cast<index>(sizeof(T));
  const index row = problem_.weight_row, step = std::max<index>(1, kLine / row);
  index next = -1;
  for (index k = 0; k < K; ++k) {
    if (map[k] < next && map[k] >= next - kLine) continue;
    next = map[k] + kLine;
    for (index m = 0; m < rows; m += step) __builtin_prefetch(weight + map[k] + m * row);
  }
}

template <class T>
void ShiftEngine<T>::run_im2col(const Item& item, const Scratch& s, const T* base, index image_stride,
                                const T* bias, const T* packed, const T* weight, T* target) const {
  const index target_image = problem_.groups * problem_.target_channels * target_plane_;
  for (const Part& part : parts_) {
    index begin[3], count[3], start[3], step[3];
    for (int i = 0; i < 3; ++i) {
      const ShiftPartAxis& a = *part.axis[static_cast<std::size_t>(i)];
      begin[i] = a.begin, count[i] = a.count, start[i] = a.start, step[i] = a.step;
    }
    if (count[2] == source_.extent(2) && step[2] == 1 && count[2] == target_pitch_[1] && step[1] == 1) {
      count[2] *= count[1];
      count[1] = 1;
    }
    // Columns are the pixels of all images of the item one after the other, without gaps.
    index tiles = 0, runs = 0, column = 0;
    for (index n = 0; n < item.images; ++n) {
      for (index d = 0; d < count[0]; ++d) {
        for (index h = 0; h < count[1]; ++h) {
          index look = n * image_stride + (begin[0] + d) * source_.pitch(0) +
                       (begin[1] + h) * source_.pitch(1) + begin[2];
          index to = n * target_image + (start[0] + d * step[0]) * target_pitch_[0] +
                     (start[1] + h * step[1]) * target_pitch_[1] + start[2];
          for (index left = count[2]; left > 0;) {
            if (column == 0) s.tiles[tiles++] = {0, runs, 0, 0};
            const index fits = std::min(left, NR_ - column);
            s.looks[runs] = {column, fits, look};
            s.runs[runs++] = {column, fits, to};
            ++s.tiles[tiles - 1].runs;
            s.tiles[tiles - 1].vectors = divide_up(column + fits, k_.lanes);
            look += fits, to += fits * step[2], left -= fits;
            column = (column + fits) % NR_;
          }
        }
      }
    }
    for (index first = 0; first < tiles; first += panels_) {
      const index last = std::min(tiles, first + panels_);
      for (index k0 = 0; k0 < part.K; k0 += depth_) {
        const index K = std::min(depth_, part.K - k0);
        const bool finish = k0 + K == part.K;
        for (index i = first; i < last; ++i) {
          k_.pack_panel(K, base, part.offset.data() + k0, s.tiles[i].runs, s.looks + s.tiles[i].run,
                        s.panels + (i - first) * depth_ * NR_, NR_);
        }
        for (index f = item.tile_begin; f < item.tile_end; ++f) {
          const index rows = std::min(MR_, problem_.target_channels - f * MR_);
          T* out = target + f * MR_ * target_plane_;
          GemmTile<T> t{};
          t.k = K, t.a_row = 1, t.a_step = MR_, t.b_step = NR_;
          t.alpha = 1, t.beta = k0 > 0 ? T(1) : T(0);
          if (late_ && part.rows) {
            // Used once: packing them would cost more than their rows' pages.
            t.a = weight + f * MR_ * problem_.weight_row + part.map[0] + k0;
            t.a_row = problem_.weight_row, t.a_step = 1;
          } else if (late_) {
            k_.pack_weights(K, MR_, rows, weight + f * MR_ * problem_.weight_row, problem_.weight_row,
                            part.map.data() + k0, s.weights);
            t.a = s.weights;
            if (f + 1 < item.tile_end) {
              fetch_weights(K, std::min(MR_, problem_.target_channels - (f + 1) * MR_),
                            weight + (f + 1) * MR_ * problem_.weight_row, part.map.data() + k0);
            }
          } else {
            t.a = packed + part.packed + f * MR_ * part.K + k0 * MR_;
          }
          if (finish) {
            t.bias_row = bias ? bias + f * MR_ : nullptr;
            t.activation = static_cast<int>(problem_.activation);
          }
          for (index i = first; i < last; ++i) {
            const Tile& tile = s.tiles[i];
            const ConvRun& run = s.runs[tile.run];
            // A tile whose sum and place are each in one piece goes straight there.
            const bool straight = K == part.K && tile.runs == 1 && step[2] == 1;
            T* sums = s.tile + ((f - item.tile_begin) * panels_ + i - first) * MR_ * NR_;
            t.b = s.panels + (i - first) * depth_ * NR_;
            t.c = straight ? out + run.target : sums;
            t.ldc = straight ? target_plane_ : NR_;
            t.n = straight ? run.count : tile.vectors * k_.lanes;
            gemm_.tile[0][tile.vectors - 1][rows - 1](t);
            if (finish && !straight)
              k_.scatter(rows, tile.runs, s.runs + tile.run, sums, NR_, out, target_plane_, step[2]);
          }
        }
      }
    }
  }
}

template class ShiftEngine<float>;
template class ShiftEngine<double>;

}  // namespace tenfold
