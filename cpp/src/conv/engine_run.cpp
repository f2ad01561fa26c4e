// An engine at work: weights are packed, then items of pixels run through the tiles.
#include "conv/engine.h"

#include <algorithm>

#include "tenfold/memory.h"

namespace tenfold {

// packed[g][part][tile][k][m] <-- w[g][m][c][tap]
template <class T>
void ShiftEngine<T>::pack(const Team& team, const T* weight, T* packed) const {
  team.for_each(problem_.groups * tiles_, [&](index piece) {
    const index g = piece / tiles_, first = piece % tiles_ * MR_;
    const index rows = std::min(MR_, problem_.target_channels - first);
    for (const Part& part : parts_) {
      if (!part.packs) continue;
      k_.pack_weights(part.K, MR_, rows, weight + g * problem_.weight_group + first * problem_.weight_row,
                      problem_.weight_row, part.map.data(),
                      packed + g * packed_group_ + part.packed + first * part.K);
    }
  });
}

template <class T>
void ShiftEngine<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                         std::byte* workspace) const {
  T* const packed =
      reinterpret_cast<T*>(workspace + (own_ ? static_cast<std::size_t>(team.rank()) * packed_bytes() : 0));
  if (packed_group_ > 0 && !own_) pack(team, weight, packed);
  bool packed_yet = !own_;
  std::byte* at = workspace + (own_ ? static_cast<std::size_t>(team.size()) : 1) * packed_bytes();
  T* shared = reinterpret_cast<T*>(at);
  at += shared_bytes();
  T* const panels = reinterpret_cast<T*>(at);
  at += panel_bytes();
  Scratch s = scratch_of(team.rank(), at);

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
  if (gathered_) {
    if (shared_) {
      const index stride = strips * source_.scratch_elements();
      share_panels(team, shared, stride, problem_.groups * stride, s, panels);
    } else {
      share_panels(team, source, problem_.source_channels * plane, image_elements, s, panels);
    }
  }
  team.for_each(blocks * problem_.groups * strips * pixel_shares_ * splits, [&](index i) {
    if (!packed_yet) pack(Team::alone(), weight, packed);
    packed_yet = true;
    Item item;
    item.tile_begin = i % splits * tiles_per_item_;
    item.tile_end = std::min(tiles_, item.tile_begin + tiles_per_item_);
    i /= splits;
    item.pixel_share = i % pixel_shares_;
    i /= pixel_shares_;
    item.strip = i % strips * source_.strip();
    i /= strips;
    item.group = i % problem_.groups;
    item.image = i / problem_.groups * images_per_item_;
    item.images = std::min(images_per_item_, problem_.images - item.image);
    const T* first = source + item.image * image_elements + item.group * problem_.source_channels * plane;
    T* to = target + (item.image * target_channels + item.group * problem_.target_channels) * target_plane_;
    const T* group_bias = bias ? bias + item.group * problem_.target_channels : nullptr;
    const T* group_packed = packed + item.group * packed_group_;
    const T* group_weight = weight + item.group * problem_.weight_group;
    const T* group_panels = gathered_ ? panels + item.group * panel_group_ : nullptr;
    if (shared_) {
      const index stride = problem_.groups * strips * source_.scratch_elements();
      const T* base = shared + item.image * stride +
                      (item.group * strips + item.strip / source_.strip()) * source_.scratch_elements();
      if (im2col_) {
        run_im2col(item, s, base, stride, group_bias, group_panels, group_packed, group_weight, to);
      } else {
        run_direct(item, s, base, group_bias, group_packed, group_weight, to);
      }
      return;
    }
    if (!im2col_) {
      const T* base = source_.load(k_, first, end, problem_.source_channels, item.strip,
                                   static_cast<T>(problem_.fill), s.source, slack_of(item.strip));
      run_direct(item, s, base, group_bias, group_packed, group_weight, to);
    } else if (source_.in_place()) {
      run_im2col(item, s, first, image_elements, group_bias, group_panels, group_packed, group_weight, to);
    } else {
      for (index n = 0; n < item.images; ++n) {
        source_.load(k_, first + n * image_elements, end, problem_.source_channels, 0,
                     static_cast<T>(problem_.fill), s.source + n * source_.scratch_elements());
      }
      run_im2col(item, s, s.source, source_.scratch_elements(), group_bias, nullptr, group_packed,
                 group_weight, to);
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

// Part p, in the strip that begins at `strip`: flat positions over the pitch of the buffer, gaps belong to no run.
template <class T>
void ShiftEngine<T>::lay_tiles(std::size_t p, index strip, Tables& tables) const {
  const int t = source_.strip_axis();
  const index strip_end = std::min(source_.grid(), strip + source_.strip());
  const Part& part = parts_[p];
  const Part* const odd = part.paired ? &parts_[p + 1] : nullptr;
  index begin[3], count[3], start[3];
  for (int i = 0; i < 3; ++i) {
    const ShiftPartAxis& a = *part.axis[static_cast<std::size_t>(i)];
    begin[i] = a.begin, count[i] = a.count, start[i] = a.start;
    if (i == t) {
      begin[i] = std::max(a.begin, strip);
      count[i] = std::min(a.begin + a.count, strip_end) - begin[i];
      start[i] += (begin[i] - a.begin) * a.step;
      begin[i] -= strip;
    }
  }
  tables.count = 0;
  if (count[t] <= 0) return;
  const index step[3] = {part.axis[0]->step, part.axis[1]->step, part.axis[2]->step};
  // Rows without gaps on either side are one row.
  if (count[2] == source_.extent(2) && step[2] == 1 && count[2] == target_pitch_[1] && step[1] == 1) {
    count[2] *= count[1];
    count[1] = 1;
  }
  const index pitch = source_.pitch(1);
  // Of a pair: how many targets the rows of the other part lack.
  const index lacking = odd ? part.axis[2]->count - odd->axis[2]->count : 0;

  index tiles = 0, runs = 0;
  for (index d = 0; d < count[0]; ++d) {
    const index origin = (begin[0] + d) * source_.pitch(0) + begin[1] * pitch + begin[2];
    const index to = (start[0] + d * step[0]) * target_pitch_[0] + start[1] * target_pitch_[1] + start[2];
    const index flat = part.joined ? count[1] * count[2] : (count[1] - 1) * pitch + count[2];
    const index stretches = part.apart ? count[1] : 1, length = part.apart ? count[2] : flat;
    const index all = divide_up(length, k_.lanes), each = divide_up(all * k_.lanes, NR_);
    index row = 0;
    for (index i = 0; i < stretches * each; ++i) {
      // Tiles are about as wide as each other, and moved back where they would leave their row, or where nothing may be
      // read behind them.
      const index first = all * (i % each) / each, vectors = all * (i % each + 1) / each - first;
      index at = i / each * pitch + first * k_.lanes;
      if (part.apart) {
        at = std::min(at, i / each * pitch + std::max(index{0}, length - vectors * k_.lanes));
      } else if (source_.in_place() || part.joined) {
        at = std::max(index{0}, std::min(at, flat - vectors * k_.lanes));
      }
      const index end = std::min(flat, at + vectors * k_.lanes);
      if (part.joined) {
        tables.joined[tiles] = looks_of(at, vectors, count[1], count[2], pitch);
        tables.tiles[tiles++] = {origin, runs, 1, vectors};
        tables.runs[runs++] = {0, end - at, to + at};
        continue;
      }
      Tile tile{origin + at, runs, 0, vectors};
      while (row < count[1] && row * pitch + count[2] <= at) ++row;
      for (index r = row; r < count[1] && r * pitch < end; ++r) {
        const index from = std::max(at, r * pitch), until = std::min(end, r * pitch + count[2]);
        if (until <= from) continue;
        const bool end_of_row = until == r * pitch + count[2];
        const index elements = odd ? 2 * (until - from) - (end_of_row ? lacking : 0) : until - from;
        tables.runs[runs++] = {from - at, elements,
                               to + r * step[1] * target_pitch_[1] + (from - r * pitch) * step[2]};
      }
      tile.runs = runs - tile.run;
      if (tile.runs == 0) continue;
      if (part.closes) tables.gaps[tiles] = gaps_of(tile, tables.runs + tile.run);
      tables.tiles[tiles++] = tile;
    }
  }
  tables.count = tiles;
}

template <class T>
typename ShiftEngine<T>::Tables ShiftEngine<T>::tables_of(std::size_t p, index strip,
                                                          const Scratch& s) const {
  if (!kept_.empty()) return kept_[static_cast<std::size_t>(strip / source_.strip()) * parts_.size() + p];
  Tables tables = s.tables;
  lay_tiles(p, strip, tables);
  return tables;
}

template <class T>
void ShiftEngine<T>::run_direct(const Item& item, const Scratch& s, const T* base, const T* bias,
                                const T* packed, const T* weight, T* target) const {
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const Part& part = parts_[p];
    const Tables tables = tables_of(p, item.strip, s);
    const Part* const odd = part.paired ? &parts_[++p] : nullptr;  // computed along with it
    // Of the pair: how much further the other part looks.
    const index further = odd ? odd->axis[2]->begin - part.axis[2]->begin : 0;
    const index step = part.axis[2]->step;

    // Filters outermost: a tile's weights stay in the first-level cache while the strip passes.
    for (index f = item.tile_begin; f < item.tile_end; ++f) {
      const index first = f * MR_, rows = std::min(MR_, problem_.target_channels - first);
      const T* start_value = bias ? bias + first : nullptr;
      T* out = target + first * target_plane_;
      for (index i = 0; i < tables.count; ++i) {
        const Tile& tile = tables.tiles[i];
        const ConvRun* const runs = tables.runs + tile.run;
        const ConvLooks* const looks = part.joined ? tables.joined + i : nullptr;
        const auto compute = [&](const Part& of, index ahead, T* c, index ldc, const ConvGaps* gaps) {
          const T* const a =
              of.packs ? packed + of.packed + first * of.K : weight + first * problem_.weight_row + of.map[0];
          k_.tile[rows][tile.vectors](of.K, a, of.packs ? 1 : problem_.weight_row, of.packs ? MR_ : 1,
                                      base + tile.flat + ahead, of.offset.data(), c, ldc, start_value, false,
                                      problem_.activation, gaps, looks);
        };
        if (odd) {
          compute(part, 0, s.tile, NR_, nullptr);
          compute(*odd, further, s.tile + MR_ * NR_, NR_, nullptr);
          k_.scatter_pair(rows, tile.runs, runs, s.tile, s.tile + MR_ * NR_, NR_, out, target_plane_, nullptr,
                          kConvReplace);
        } else if (runs->count == tile.vectors * k_.lanes && step == 1) {
          compute(part, 0, out + runs->target, target_plane_, nullptr);
        } else if (part.closes && !looks) {
          compute(part, 0, out, target_plane_, tables.gaps + i);
        } else {
          compute(part, 0, s.tile, NR_, nullptr);
          k_.scatter(rows, tile.runs, runs, s.tile, NR_, out, target_plane_, step);
        }
      }
    }
  }
}

// Asks for the weights that are packed next: their pieces are too short and far apart for the processor to
// guess.
template <class T>
void ShiftEngine<T>::fetch_weights(index K, index rows, const T* weight, const index* map) const {
  const index row = problem_.weight_row, step = std::max<index>(1, kLine<T> / row);
  index next = -1;
  for (index k = 0; k < K; ++k) {
    if (map[k] < next && map[k] >= next - kLine<T>) continue;
    next = map[k] + kLine<T>;
    for (index m = 0; m < rows; m += step) __builtin_prefetch(weight + map[k] + m * row);
  }
}

// Columns are the pixels of all images of an item one after the other, without gaps: which of them lie in which tile, where
// they look and where they go.
template <class T>
void ShiftEngine<T>::lay_columns(const Part& part, index images, index image_stride, Scratch& s) const {
  if (gathered_ && s.laid == &part) return;
  s.laid = &part;
  index begin[3], count[3], start[3], step[3];
  for (int i = 0; i < 3; ++i) {
    const ShiftPartAxis& a = *part.axis[static_cast<std::size_t>(i)];
    begin[i] = a.begin, count[i] = a.count, start[i] = a.start, step[i] = a.step;
  }
  if (count[2] == source_.extent(2) && step[2] == 1 && count[2] == target_pitch_[1] && step[1] == 1) {
    count[2] *= count[1];
    count[1] = 1;
  }
  const index target_image = problem_.groups * problem_.target_channels * target_plane_;
  index tiles = 0, runs = 0, column = 0;
  for (index n = 0; n < images; ++n) {
    for (index d = 0; d < count[0]; ++d) {
      for (index h = 0; h < count[1]; ++h) {
        index look = n * image_stride + (begin[0] + d) * source_.pitch(0) +
                     (begin[1] + h) * source_.pitch(1) + begin[2];
        index to = n * target_image + (start[0] + d * step[0]) * target_pitch_[0] +
                   (start[1] + h * step[1]) * target_pitch_[1] + start[2];
        for (index left = count[2]; left > 0;) {
          if (column == 0) s.tables.tiles[tiles++] = {0, runs, 0, 0};
          const index fits = std::min(left, NR_ - column);
          s.looks[runs] = {column, fits, look};
          s.tables.runs[runs++] = {column, fits, to};
          ++s.tables.tiles[tiles - 1].runs;
          s.tables.tiles[tiles - 1].vectors = divide_up(column + fits, k_.lanes);
          look += fits, to += fits * step[2], left -= fits;
          column = (column + fits) % NR_;
        }
      }
    }
  }
  s.tables.count = tiles;
}

// panels[group][part][block of depth_][tile][k][column] <-- the pixels of all images, which are one block of columns.
template <class T>
void ShiftEngine<T>::share_panels(const Team& team, const T* base, index group_stride, index image_stride,
                                  Scratch& s, T* panels) const {
  for (const Part& part : parts_) {
    index pixels = problem_.images;
    for (const ShiftPartAxis* axis : part.axis) pixels *= axis->count;
    const index tiles = divide_up(pixels, NR_), depths = divide_up(part.K, depth_);
    team.for_each(problem_.groups * depths * tiles, [&](index i) {
      const index tile = i % tiles, block = i / tiles % depths, g = i / tiles / depths, k0 = block * depth_;
      lay_columns(part, problem_.images, image_stride, s);
      k_.pack_panel(std::min(depth_, part.K - k0), base + g * group_stride, part.offset.data() + k0,
                    s.tables.tiles[tile].runs, s.looks + s.tables.tiles[tile].run,
                    panels + g * panel_group_ + part.panels + (block * panels_ + tile) * depth_ * NR_, NR_);
    });
  }
}

template <class T>
void ShiftEngine<T>::run_im2col(const Item& item, Scratch& s, const T* base, index image_stride,
                                const T* bias, const T* panels, const T* packed, const T* weight,
                                T* target) const {
  for (const Part& part : parts_) {
    const index step = part.axis[2]->step;
    lay_columns(part, item.images, image_stride, s);
    const index tiles = s.tables.count, blocks = divide_up(tiles, panels_);
    const index end = blocks * (item.pixel_share + 1) / pixel_shares_ * panels_;
    for (index first = blocks * item.pixel_share / pixel_shares_ * panels_; first < end; first += panels_) {
      const index last = std::min(tiles, first + panels_);
      for (index k0 = 0; k0 < part.K; k0 += depth_) {
        const index K = std::min(depth_, part.K - k0);
        const bool finish = k0 + K == part.K;
        const T* const block = panels ? panels + part.panels + k0 * panels_ * NR_ : s.panels;
        for (index i = first; i < last && !panels; ++i) {
          k_.pack_panel(K, base, part.offset.data() + k0, s.tables.tiles[i].runs,
                        s.looks + s.tables.tiles[i].run, s.panels + (i - first) * depth_ * NR_, NR_);
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
            const Tile& tile = s.tables.tiles[i];
            const ConvRun& run = s.tables.runs[tile.run];
            // A tile whose sum and place are each in one piece goes straight there.
            const bool straight = K == part.K && tile.runs == 1 && step == 1;
            T* sums = s.tile + ((f - item.tile_begin) * panels_ + i - first) * MR_ * NR_;
            t.b = block + (i - first) * depth_ * NR_;
            t.c = straight ? out + run.target : sums;
            t.ldc = straight ? target_plane_ : NR_;
            t.n = straight ? run.count : tile.vectors * k_.lanes;
            gemm_.tile[tile.vectors - 1][rows - 1](t);
            if (finish && !straight)
              k_.scatter(rows, tile.runs, s.tables.runs + tile.run, sums, NR_, out, target_plane_, step);
          }
        }
      }
    }
  }
}

#define TENFOLD_INSTANTIATE(T) \
  template void ShiftEngine<T>::run(const Team&, const T*, const T*, const T*, T*, std::byte*) const;
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)
#undef TENFOLD_INSTANTIATE

}  // namespace tenfold
