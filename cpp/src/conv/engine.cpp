// What an engine is made of: the form of its tiles, its parts, its memory. engine_run.cpp runs it.
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
// Filters that are worth packing pixels for, and tiles of them that are worth an item where pixels are packed already.
constexpr index kLeastFilters = 128, kLeastTiles = 2;
// Items to aim at, so that several threads have even shares.
constexpr index kItems = 16;
// Packed weights of so many bytes that are used for so many pixels every member packs for itself: fetching them from
// another one's cache takes longer.
constexpr index kOwnBytes = 128 * 1024, kOwnPixels = 4096;
// Weights of a tile up to so many bytes are read where they lie for fewer pixels, unless their rows fall into the same
// sets of the cache.
constexpr index kReadBytes = 16 * 1024, kAliased = 4096;
// Bytes of an engine's tables up to which they are made once: making them takes as long as a hundred multiply-adds of a
// vector for each tile.
constexpr std::size_t kKeptBytes = 128 * 1024;
// Bytes of a strip of the padded source, and at most of one that fills its tiles better: it stays in the second-level
// cache.
constexpr index kStripBytes = 384 * 1024, kMostStripBytes = 512 * 1024;

std::size_t bytes_of(index count, std::size_t size) {
  return align_up(static_cast<std::size_t>(count) * size);
}

template <class Element>
Element* take(std::byte*& at, index count) {
  std::byte* const taken = at;
  at += bytes_of(count, sizeof(Element));
  return reinterpret_cast<Element*>(taken);
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
  for (Part& part : parts_) part.closes = !part.paired && adjoins(*part.axis[1], *part.axis[2]);
  keep_tables();
  own_ = packed_group_ > 0 && static_cast<index>(packed_bytes()) <= kOwnBytes &&
         problem_.images * target_plane_ >= kOwnPixels;
}

// Time of all filters over a stretch of columns, in tiles of `rows` x `widest` vectors and one for the rest:
// a vector multiply-add per unit, but no less than the loads (most looks straddle two lines) or the latency of
// the sums.
template <class T>
double ShiftEngine<T>::tile_time(index rows, index columns, index widest, const Looks& looks) const {
  // A further load beside the multiply-adds; the second one costs three times as much.
  constexpr double kLoad = 0.2;
  const auto time = [&](index vectors) {
    if (vectors == 0) return 0.0;
    const auto r = static_cast<double>(rows), v = static_cast<double>(vectors);
    const auto more = static_cast<double>(looks.pieces - 1);
    const double loads = r + (2 + more) * v + static_cast<double>(looks.offsets);
    return std::max({r * v, loads, 8.0}) + (looks.time + kLoad * more * more) * v;
  };
  const index vectors = divide_up(columns, k_.lanes);
  return static_cast<double>(divide_up(problem_.target_channels, rows)) *
         (static_cast<double>(vectors / widest) * time(widest) + time(vectors % widest));
}

// Looks that are told by offsets. To load those takes time where vectors are no whole lines, of which two are loaded at once.
template <class T>
typename ShiftEngine<T>::Looks ShiftEngine<T>::direct_looks(double time, index pieces) const {
  return {time, pieces, k_.lanes < kLine<T> ? 1 : 0};
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
  // The shortest strip that is worth its halo: looks take longer where the second-level cache does not hold it.
  constexpr double kBeyond = 0.5;
  const ShiftAxis& along = source_.axis(source_.strip_axis());
  const index section = std::max<index>(1, problem_.source_channels * source_.cross_section());
  const bool stays =
      source_.in_place() || 2 * along.reach * section * static_cast<index>(sizeof(T)) <= kStripBytes;
  const double far_look = kPackedLook + 1 / static_cast<double>(taps) + (stays ? 0 : kBeyond);
  const double weights = kWeight * static_cast<double>(problem_.target_channels) /
                         static_cast<double>(std::max<index>(1, problem_.images));
  struct Form {
    index rows = 1, vectors = 1;
    double time = 0;
  };
  // To write a row of a tile that ends within a line, the rest of which the next tile writes.
  constexpr double kBrokenLine = 12;
  const auto direct_form = [&](index columns) {
    Form best;
    for (index rows = k_.max_rows; rows >= 1; --rows) {
      for (index vectors = k_.vectors[rows]; vectors >= std::max<index>(1, k_.vectors[rows] - 1); --vectors) {
        Form form{rows, vectors, tile_time(rows, columns, vectors, direct_looks(far_look))};
        if (vectors * k_.lanes % kLine<T> != 0) {
          const index all_rows = divide_up(problem_.target_channels, rows) * rows;
          form.time += kBrokenLine * static_cast<double>(all_rows * divide_up(columns, vectors * k_.lanes)) /
                       static_cast<double>(problem_.source_channels * taps);
        }
        if (best.time == 0 || form.time < best.time) best = form;
      }
    }
    return best;
  };
  const auto packed_form = [&](index columns) {
    Form best;
    for (int v = kGemmMaxVectors; v >= 1; --v) {
      for (index rows = gemm_.rows_at_most[v - 1]; rows >= 1; --rows) {
        const Form form{rows, v, tile_time(rows, columns, v, {kPackedLook})};
        if (best.time == 0 || form.time < best.time) best = form;
      }
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
    joined.time = tile_time(joined.rows, count[1] * count[2], joined.vectors,
                            direct_looks(far_look, rows_of_vector(count[2])));
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
  if (im2col_) return cut_filters(together, pixels, taps, wanted);
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
  const Looks looks = direct_looks(far_look, joins_ ? rows_of_vector(count[2]) : 1);
  const auto time_of = [&](index positions) {
    const auto time = [&](index n) { return tile_time(MR_, n, NR_ / k_.lanes, looks); };
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

// Items of the im2col form: pixels of so many images together, whole blocks of them, and a share of the filters.
template <class T>
void ShiftEngine<T>::cut_filters(index together, index pixels, index taps, index wanted) {
  source_.set_strip(std::max<index>(1, source_.grid()));
  images_per_item_ = together;
  const index K = problem_.source_channels * taps;
  depth_ = divide_up(K, divide_up(K, kDepth));
  const index tiles = std::max<index>(1, divide_up(together * pixels, NR_));
  panels_ = divide_up(tiles, divide_up(tiles, std::max<index>(1, kBlockColumns / NR_)));
  tiles_per_item_ = std::min(tiles_, std::max<index>(1, kItemFilters / MR_));
  late_ = problem_.images <= images_per_item_ && tiles <= panels_;
  index items =
      divide_up(problem_.images, images_per_item_) * problem_.groups * divide_up(tiles_, tiles_per_item_);
  if (items > 0 && items < wanted) {
    // Of few images; more of them are read faster where one member pads them, in its own cache.
    if (2 * items < wanted) {
      index blocks = divide_up(tiles, panels_);
      if (blocks > 1 && blocks % 2 == 1 && items * blocks < wanted) {  // even shares for two members
        panels_ = divide_up(tiles, blocks + 1);
        blocks = divide_up(tiles, panels_);
      }
      pixel_shares_ = std::min(blocks, divide_up(wanted, items));
      items *= pixel_shares_;
    }
    // Pixels that are one block in every part are packed once. Else every share of the filters packs them again, so it
    // must not be too small.
    index most = together;
    for (const ShiftAxis& axis : problem_.axes) {
      index longest = 0;
      for (const ShiftPartAxis& part : axis.parts) longest = std::max(longest, part.count);
      most *= longest;
    }
    gathered_ = late_ && divide_up(most, NR_) <= panels_;
    const index least = gathered_ ? kLeastTiles : divide_up(kLeastFilters, MR_);
    const index share = std::max(divide_up(tiles_per_item_ * items, wanted), least);
    tiles_per_item_ = std::min(tiles_per_item_, share);
  }
  gathered_ = gathered_ && tiles_per_item_ < tiles_;
  shared_ = !source_.in_place() && (tiles_per_item_ < tiles_ || pixel_shares_ > 1);
}

template <class T>
void ShiftEngine<T>::build_parts() {
  // To put a vector of a finished tile into its row, in multiply-adds of a vector.
  constexpr double kScatter = 4;
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
        constexpr auto kElement = static_cast<index>(sizeof(T));
        const bool reads = !im2col_ && part.rows && problem_.images * target_plane_ < kOwnPixels &&
                           part.K * MR_ * kElement <= kReadBytes &&
                           problem_.weight_row * kElement % kAliased != 0;
        part.packs = !late_ && !reads;
        part.packed = packed_group_;
        if (part.packs) packed_group_ += part.K * MR_ * tiles_;
        part.panels = panel_group_;
        if (gathered_) panel_group_ += divide_up(part.K, depth_) * depth_ * panels_ * NR_;
        const index rows = p0.count * p1.count;
        index tiles, lines;
        if (im2col_) {
          tiles = divide_up(images_per_item_ * rows * p2.count, NR_);
          lines = images_per_item_ * rows;
        } else {
          part.joined = joins_ && joinable(p1, p2);
          const index flat = (p1.count - 1) * source_.extent(2) + p2.count;
          const auto time = [&](index columns, index pieces = 1) {
            return tile_time(MR_, columns, NR_ / k_.lanes, direct_looks(0, pieces));
          };
          const double together =
              part.joined ? time(p1.count * p2.count, rows_of_vector(p2.count)) : time(flat);
          // Tiles of one row alone: what they sum need not be taken apart, and where rows are whole vectors, their targets
          // may be aligned. Else the last tile of a row repeats pixels.
          const bool whole = p2.count % k_.lanes == 0;
          const bool repeats = p2.step == 1 && p2.count >= NR_ && !adjoins(p1, p2);
          const double taking_apart = whole ? 1.05 : 1 + kScatter / static_cast<double>(part.K);
          part.apart = (whole || repeats) && p2.count < source_.extent(2) &&
                       static_cast<double>(p1.count) * time(p2.count) < taking_apart * together;
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
void ShiftEngine<T>::keep_tables() {
  const std::size_t bytes = static_cast<std::size_t>(source_.strips()) * parts_.size() * tables_bytes();
  if (im2col_ || bytes > kKeptBytes) return;
  kept_memory_ = Buffer(bytes);
  std::byte* at = kept_memory_.data();
  for (index strip = 0; strip < source_.grid(); strip += source_.strip()) {
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      kept_.push_back(take_tables(at));
      lay_tiles(p, strip, kept_.back());
    }
  }
}

template <class T>
std::size_t ShiftEngine<T>::tables_bytes() const {
  return bytes_of(max_tiles_, sizeof(Tile)) + bytes_of(max_runs_, sizeof(ConvRun)) +
         bytes_of(joins_ ? max_tiles_ : 0, sizeof(ConvLooks)) +
         bytes_of(k_.joins_rows && !im2col_ ? max_tiles_ : 0, sizeof(ConvGaps));
}

template <class T>
typename ShiftEngine<T>::Tables ShiftEngine<T>::take_tables(std::byte*& at) const {
  Tables tables;
  tables.tiles = take<Tile>(at, max_tiles_);
  tables.runs = take<ConvRun>(at, max_runs_);
  tables.joined = take<ConvLooks>(at, joins_ ? max_tiles_ : 0);
  tables.gaps = take<ConvGaps>(at, k_.joins_rows && !im2col_ ? max_tiles_ : 0);
  tables.count = 0;
  return tables;
}

template <class T>
std::size_t ShiftEngine<T>::scratch_bytes() const {
  std::size_t total = bytes_of(shared_ ? 0 : source_.scratch_elements() * images_per_item_, sizeof(T));
  total += bytes_of(im2col_ ? tiles_per_item_ * panels_ * MR_ * NR_ : 2 * MR_ * NR_, sizeof(T));
  total += bytes_of(im2col_ && !gathered_ ? depth_ * panels_ * NR_ : 0, sizeof(T));
  total += bytes_of(late_ ? depth_ * MR_ : 0, sizeof(T));
  return total + tables_bytes() + bytes_of(im2col_ ? max_runs_ : 0, sizeof(ConvRun));
}

template <class T>
typename ShiftEngine<T>::Scratch ShiftEngine<T>::scratch_of(int rank, std::byte* workspace) const {
  std::byte* at = workspace + static_cast<std::size_t>(rank) * scratch_bytes();
  Scratch s;
  s.source = take<T>(at, shared_ ? 0 : source_.scratch_elements() * images_per_item_);
  s.tile = take<T>(at, im2col_ ? tiles_per_item_ * panels_ * MR_ * NR_ : 2 * MR_ * NR_);
  s.panels = take<T>(at, im2col_ && !gathered_ ? depth_ * panels_ * NR_ : 0);
  s.weights = take<T>(at, late_ ? depth_ * MR_ : 0);
  s.tables = take_tables(at);
  s.looks = take<ConvRun>(at, im2col_ ? max_runs_ : 0);
  s.laid = nullptr;
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
std::size_t ShiftEngine<T>::panel_bytes() const {
  return align_up(static_cast<std::size_t>(problem_.groups * panel_group_) * sizeof(T));
}

template <class T>
std::size_t ShiftEngine<T>::workspace(int threads) const {
  const auto members = static_cast<std::size_t>(threads);
  return (own_ ? members : 1) * packed_bytes() + shared_bytes() + panel_bytes() + members * scratch_bytes();
}

template class ShiftEngine<float>;
template class ShiftEngine<double>;

}  // namespace tenfold
