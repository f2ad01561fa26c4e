#include "conv/winograd_gradient.h"

#include <algorithm>
#include <cstring>

#include "conv/winograd_gradient_choice.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

// Transformed tiles of a chunk, of x and dy together: all of them where that is little, else what stays in the last-level
// cache of small machines.
constexpr index kWholeBytes = 16 * 1024 * 1024;
constexpr index kChunkBytes = 6 * 1024 * 1024;
// The sums of all parts, which are added in the end, and how many there are at most.
constexpr index kPartsBytes = 7 * 1024 * 1024;
constexpr index kParts = 8;
// Sums of an item: they stay in the second-level cache.
constexpr index kSumBytes = 448 * 1024;
// Turned rows of a piece: they stay in the second-level cache.
constexpr index kTurnedBytes = 192 * 1024;
// Items to aim at, so that several threads have even shares.
constexpr index kItems = 16;
// Elements between blocks that lie a multiple of 4096 bytes apart would fight for the same cache lines.
constexpr index kSkew = 16;

}  // namespace

template <class T>
WinogradGradient<T>::WinogradGradient(const ConvGeometry& geometry, int tile, double fill)
    : geometry_(geometry),
      k_(kernels<WinogradKernels, T>()),
      gemm_(kernels<GemmKernels, T>()),
      conv_(kernels<ConvKernels, T>()),
      which_(winograd_gradient_form(geometry, tile)),
      depth_(winograd_gradient_depth(geometry, tile)),
      fill_(static_cast<T>(fill)) {
  const WinogradForm& form = kWinogradForms[kWinogradGradientForms[which_]];
  m_ = form.m, step_ = form.step, looks_ = form.looks, taps_ = form.r * form.r, elements_ = form.t * form.t;
  const Window& w = geometry_.window;
  const index L = k_.lanes;
  TH_ = divide_up(w[1].output, m_);
  TW_ = divide_up(w[2].output, m_);
  lines_ = geometry_.images * TH_;
  for (int i = 0; i < 2; ++i) {
    const auto j = static_cast<std::size_t>(i);
    Axis axis = w[i + 1];
    const index outputs = axis.output, tiles = i == 0 ? TH_ : TW_;
    axis.stride = 1, axis.kernel = looks_;
    axis.output = std::max<index>(0, tiles - 1) * step_ + 1;
    x_look_[j] = shift_forward(axis, w.border).phases[0];
    // dy, with zeros behind its end.
    ShiftPhase& dy = dy_look_[j];
    for (index p = 0; p < tiles * m_; ++p) dy.table.push_back(p < outputs ? p : -1);
    dy.inside_end = outputs;
  }
  pitch_ = std::max<index>(0, TW_ - 1) * step_ + looks_;

  // A register tile: half a vector or a vector of channels, and as many vectors of filters as leave least over.
  R_ = L;
  while (R_ > gemm_.rows_at_most[1]) R_ /= 2;
  double best = 0;
  index vectors = 1;
  for (index v = 1; v <= kGemmMaxVectors; ++v) {
    if (gemm_.rows_at_most[v - 1] < R_) continue;
    const double time = static_cast<double>(divide_up(geometry_.filters, v * L)) *
                        (static_cast<double>(std::max(R_ * v, index{8})) + 1);
    if (best == 0 || time <= best) best = time, vectors = v;
  }
  width_ = vectors * L;
  blocks_ = divide_up(geometry_.channels, L);
  panels_ = divide_up(geometry_.filters, width_);

  const auto elements = [](index bytes) { return bytes / static_cast<index>(sizeof(T)); };
  together_ = std::clamp<index>(elements(kTurnedBytes) / (pitch_ * L * step_), 1, std::max<index>(1, TH_));

  // An item: about a square of channels and filters whose sums fit, smaller where there would be few items.
  const auto too_many = [&] { return elements_ * group_ * L * filters_ * width_ > elements(kSumBytes); };
  const auto few = [&] { return items() < kItems; };
  group_ = blocks_, filters_ = panels_;
  while (group_ * filters_ > 1 && (too_many() || few())) {
    index& larger = group_ * L >= filters_ * width_ && group_ > 1 ? group_ : filters_ > 1 ? filters_ : group_;
    larger = divide_up(larger, 2);
  }

  // Two parts of few tiles, where what two members would transform for each other is twice both parts' sums.
  const index C = geometry_.channels, F = geometry_.filters, tiles = lines_ * TW_;
  const auto enough = [&] {
    return tiles >= 2 * parts_ * kGradientDepth ||
           (parts_ == 1 && tiles >= kGradientDepth && tiles * (C + F) >= 4 * C * F);
  };
  while (parts_ < kParts && 2 * parts_ * part_step() <= elements(kPartsBytes) && enough() &&
         lines_ >= 2 * parts_)
    parts_ *= 2;
  const index of_line = std::max<index>(1, elements_ * TW_ * (blocks_ * L + panels_ * width_));
  const index lines = std::max<index>(1, divide_up(lines_, parts_));
  const index least = divide_up(kGradientDepth / 2, std::max<index>(1, TW_));
  const index most =
      elements(kChunkBytes) / of_line / std::min<index>(parts_, 2);  // each of some members has one
  chunk_lines_ = parts_ == 1 && lines * of_line <= elements(kWholeBytes) ? lines : std::max(most, least);
  chunk_lines_ = std::clamp<index>(chunk_lines_, 1, lines);
  const index chunks = std::clamp<index>(divide_up(lines, chunk_lines_), 1,
                                         std::max<index>(1, lines_ / parts_));  // none is empty
  chunk_lines_ = divide_up(lines, chunks);
  chunks_ = parts_ * chunks;
  v_block_ = chunk_tiles() * L + kSkew;
  u_panel_ = chunk_tiles() * width_ + kSkew;
  bias_ = {chunks_ * strips(), F};
}

template <class T>
std::size_t WinogradGradient<T>::tiles_bytes() const {
  const auto bytes = [](index count) { return align_up(static_cast<std::size_t>(count) * sizeof(T)); };
  return bytes(elements_ * v_step()) + bytes(elements_ * u_step());
}

// Lines that one member has written travel to the others, and back before they are written again: it takes less to transform
// x once more, as long as it stays in the cache and is little of the work, and the shares are even.
template <class T>
bool WinogradGradient<T>::takes_filters(int members) const {
  constexpr std::size_t kMostBytes = 3 * 1024 * 1024;
  constexpr index kFilters = 64;  // whose products take seven times as long as transforming x
  const index share = divide_up(filter_groups(), members) * filters_ * width_;
  return chunks_ == 1 && geometry_.filters >= kFilters * (members - 1) &&
         19 * share * members <= 20 * geometry_.filters &&
         static_cast<std::size_t>(elements_ * v_step()) * sizeof(T) <= kMostBytes;
}

template <class T>
std::size_t WinogradGradient<T>::sums_bytes() const {
  return keeps_sums() ? align_up(static_cast<std::size_t>(parts_ * part_step()) * sizeof(T)) : 0;
}

// Elements of the buffers of a Scratch, in order.
template <class T>
std::array<index, 5> WinogradGradient<T>::scratch_elements() const {
  const index L = k_.lanes, of_taps = group_ * L * taps_ * width_;
  return {((together_ - 1) * step_ + looks_) * pitch_ * L, elements_ * item_step(), of_taps, of_taps,
          (m_ + 1) * L};
}

template <class T>
std::size_t WinogradGradient<T>::scratch_bytes() const {
  std::size_t total = 0;
  for (index count : scratch_elements()) total += align_up(static_cast<std::size_t>(count) * sizeof(T));
  return total;
}

template <class T>
typename WinogradGradient<T>::Scratch WinogradGradient<T>::scratch_of(std::byte* at) const {
  T* buffers[5];
  const auto counts = scratch_elements();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    buffers[i] = reinterpret_cast<T*>(at);
    at += align_up(static_cast<std::size_t>(counts[i]) * sizeof(T));
  }
  return {buffers[0], buffers[1], buffers[2], buffers[3], buffers[4]};
}

template <class T>
std::size_t WinogradGradient<T>::workspace(int threads) const {
  int copies = 1;  // a team may turn out smaller
  for (int members = 2; members <= threads; ++members) copies = std::max(copies, copies_of_tiles(members));
  return sums_bytes() + bias_.bytes() + static_cast<std::size_t>(copies) * tiles_bytes() +
         static_cast<std::size_t>(threads) * scratch_bytes();
}

// pixels[row][column][l] <-- source[l][first_row + row][column] through the look's tables; zeros for channels <= l.
template <class T>
void WinogradGradient<T>::turn(const std::array<ShiftPhase, 2>& look, index height, index width,
                               const T* source, index channels, index first_row, index rows, T fill,
                               const Scratch& s) const {
  const ShiftPhase &h = look[0], &w = look[1];
  const auto columns = static_cast<index>(w.table.size());
  const index L = k_.lanes, plane = height * width;
  const auto turn_outside = [&](index begin, index end, const T* row, T* to) {
    for (index i = begin; i < end; ++i) {
      const index at = w.table[static_cast<std::size_t>(i)];
      for (index l = 0; l < L; ++l)
        to[i * L + l] = l >= channels ? T(0) : at < 0 ? fill : row[l * plane + at];
    }
  };
  for (index r = 0; r < rows; ++r) {
    const index from = h.table[static_cast<std::size_t>(first_row + r)];
    T* const to = s.pixels + r * pitch_ * L;
    if (from < 0) {
      conv_.fill(columns * L, fill, to);
      continue;
    }
    const T* const row = source + from * width;
    turn_outside(0, w.inside_begin, row, to);
    gemm_.pack(channels, w.inside_end - w.inside_begin, row + w.first + w.inside_begin, plane, 1, L,
               to + w.inside_begin * L);
    turn_outside(w.inside_end, columns, row, to);
  }
}

template <class T>
typename WinogradGradient<T>::Chunk WinogradGradient<T>::chunk(index number) const {
  return {lines_ * number / chunks_, lines_ * (number + 1) / chunks_, number % (chunks_ / parts_) == 0};
}

// The sum of so many turned rows of dy, a vector of filters: of each column of a tile first, since sums in one vector would wait
// for each other.
template <class T>
const T* WinogradGradient<T>::sum_turned(index rows, const Scratch& s) const {
  const index L = k_.lanes, columns = m_ * L;
  T* const sum = s.bias + columns;
  for (index r = 0; r < rows; ++r)
    gemm_.add_rows(TW_, columns, s.pixels + r * pitch_ * L, columns, r > 0, s.bias);
  gemm_.add_rows(m_, L, s.bias, L, false, sum);
  return sum;
}

// A strip of a chunk: a block of channels, or a panel of filters.
template <class T>
void WinogradGradient<T>::transform(index chunk_number, index strip, index piece, const Operands& from, T* v,
                                    T* u, const Scratch& s) const {
  const Window& w = geometry_.window;
  const Chunk chunk = this->chunk(chunk_number);
  double* const bias = from.bias && piece >= blocks_
                           ? bias_.of(from.bias, chunk_number * strips() + strip) + (piece - blocks_) * width_
                           : nullptr;
  if (bias) std::fill(bias, bias + std::min(width_, geometry_.filters - (piece - blocks_) * width_), 0.0);
  const index L = k_.lanes, begin = chunk.begin, end = std::min(chunk.end, begin + (strip + 1) * together_);
  for (index line = begin + strip * together_; line < end;) {
    const index image = line / TH_, th = line % TH_;
    const index count = std::min({end - line, TH_ - th, together_});
    const auto turn_block = [&](bool of_x, index channel) {
      const index all = of_x ? geometry_.channels : geometry_.filters;
      const index height = of_x ? w[1].size : w[1].output, width = of_x ? w[2].size : w[2].output;
      turn(of_x ? x_look_ : dy_look_, height, width,
           (of_x ? from.x : from.dy) + (image * all + channel) * height * width, std::min(L, all - channel),
           th * (of_x ? step_ : m_), of_x ? (count - 1) * step_ + looks_ : count * m_, of_x ? fill_ : T(0),
           s);
    };
    if (piece < blocks_) {
      turn_block(true, piece * L);
      for (index i = 0; i < count; ++i) {
        k_.looks[which_](TW_, s.pixels + i * step_ * pitch_ * L, pitch_ * L,
                         v + piece * v_block_ + (line - begin + i) * TW_ * L, v_step(), L);
      }
    } else {
      const index panel = piece - blocks_;
      for (index f = 0; f < width_; f += L) {
        T* to = u + panel * u_panel_ + f;
        if (panel * width_ + f >= geometry_.filters) continue;  // nobody looks there
        turn_block(false, panel * width_ + f);
        if (bias) {
          const T* const sum = sum_turned(count * m_, s);
          for (index l = 0; l < std::min(L, geometry_.filters - panel * width_ - f); ++l)
            bias[f + l] += static_cast<double>(sum[l]);
        }
        for (index i = 0; i < count; ++i) {
          k_.gradients[which_](TW_, s.pixels + i * m_ * pitch_ * L, pitch_ * L,
                               to + (line - begin + i) * TW_ * width_, u_step(), width_);
        }
      }
    }
    line += count;
  }
}

// sums[element][channel panel][filter panel] of an item (+)= v u over a chunk's tiles.
template <class T>
void WinogradGradient<T>::multiply(index item, const Chunk& chunk, const T* v, const T* u, T* sums) const {
  const index f_groups = filter_groups(), c_group = item / f_groups, f_group = item % f_groups;
  const index L = k_.lanes, tiles = (chunk.end - chunk.begin) * TW_, slices = divide_up(tiles, depth_);
  const index first = c_group * group_, last = std::min(blocks_, first + group_);
  const index q_begin = f_group * filters_, q_end = std::min(panels_, q_begin + filters_);
  GemmTile<T> t{};
  t.a_row = 1, t.a_step = L, t.b_step = width_, t.ldc = width_, t.alpha = 1;
  for (index e = 0; e < elements_; ++e) {
    for (index slice = 0; slice < slices; ++slice) {
      const index k = tiles * slice / slices;
      t.k = tiles * (slice + 1) / slices - k;
      t.beta = chunk.first && slice == 0 ? T(0) : T(1);
      for (index q = q_begin; q < q_end; ++q) {
        const index vectors = divide_up(std::min(width_, geometry_.filters - q * width_), L);
        const auto& kernels = gemm_.tile[vectors - 1];
        t.n = vectors * L;
        t.b = u + e * u_step() + q * u_panel_ + k * width_;
        t.c = sums + e * item_step() + (q - q_begin) * R_ * width_;
        const T* a = v + e * v_step() + first * v_block_ + k * L;
        for (index block = first; block < last; ++block, a += v_block_) {
          const index channels = std::min(L, geometry_.channels - block * L);
          for (index c = 0; c < channels; c += R_, t.c += filters_ * R_ * width_) {
            t.a = a + c;
            kernels[std::min(R_, channels - c) - 1](t);
          }
        }
      }
    }
  }
}

// dw[f][c][tap] <-- the taps of an item's sums.
template <class T>
void WinogradGradient<T>::finish(index item, const T* sums, T* dw, const Scratch& s) const {
  const index f_groups = filter_groups(), c_group = item / f_groups, f_group = item % f_groups;
  const index L = k_.lanes, C = geometry_.channels;
  const index c_begin = c_group * group_ * L, c_end = std::min(C, c_begin + group_ * L),
              run = taps_ * (c_end - c_begin);
  const index q_begin = f_group * filters_, q_end = std::min(panels_, q_begin + filters_);
  for (index q = q_begin; q < q_end; ++q) {
    for (index c = c_begin; c < c_end; c += R_) {
      k_.taps[which_](std::min(R_, c_end - c), width_,
                      sums + ((c - c_begin) / R_ * filters_ + q - q_begin) * R_ * width_, item_step(),
                      s.taps + (c - c_begin) * taps_ * width_);
    }
    const index columns = std::min(width_, geometry_.filters - q * width_);
    gemm_.pack(run, divide_up(columns, L) * L, s.taps, width_, 1, run, s.turned);
    for (index f = 0; f < columns; ++f) {
      std::memcpy(dw + ((q * width_ + f) * C + c_begin) * taps_, s.turned + f * run,
                  static_cast<std::size_t>(run) * sizeof(T));
    }
  }
}

template <class T>
void WinogradGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, T* db,
                              std::byte* workspace) const {
  if (lines_ * TW_ == 0) {  // sums of nothing
    team.for_range(geometry_.filters * geometry_.channels * taps_, 1024,
                   [&](index begin, index end) { conv_.fill(end - begin, 0, dw + begin); });
    if (db) team.for_each(1, [&](index) { conv_.fill(geometry_.filters, 0, db); });
    return;
  }
  const auto copies = static_cast<std::size_t>(copies_of_tiles(team.size())),
             rank = static_cast<std::size_t>(team.rank());
  T* const sums = reinterpret_cast<T*>(workspace);
  const Operands from{x, dy, db ? workspace + sums_bytes() : nullptr};
  std::byte* const tiles = workspace + sums_bytes() + bias_.bytes();
  T* const v = reinterpret_cast<T*>(tiles + (copies > 1 ? rank : 0) * tiles_bytes());
  T* const u = v + align_up(static_cast<std::size_t>(elements_ * v_step()) * sizeof(T)) / sizeof(T);
  const Scratch s = scratch_of(tiles + copies * tiles_bytes() + rank * scratch_bytes());
  const index pieces = blocks_ + panels_, chunks = chunks_ / parts_;
  const auto sums_of = [&](index part, index item) {
    return sums + part * part_step() + item * elements_ * item_step();
  };
  if (takes_parts(team.size())) {
    team.for_each(parts_, [&](index part) {
      for (index i = part * chunks; i < (part + 1) * chunks; ++i) {
        const Chunk c = chunk(i);
        for (index j = 0; j < strips() * pieces; ++j) transform(i, j / pieces, j % pieces, from, v, u, s);
        for (index item = 0; item < items(); ++item) multiply(item, c, v, u, sums_of(part, item));
      }
    });
  } else if (takes_filters(team.size())) {
    const Chunk c = chunk(0);
    const auto transform_pieces = [&](index begin, index end) {
      for (index strip = 0; strip < strips(); ++strip) {
        for (index piece = begin; piece < end; ++piece) transform(0, strip, piece, from, v, u, s);
      }
    };
    bool ready = false;
    team.for_each(filter_groups(), [&](index group) {
      if (!ready) transform_pieces(0, blocks_);
      ready = true;
      const index first = group * filters_;
      transform_pieces(blocks_ + first, blocks_ + std::min(panels_, first + filters_));
      for (index item = group; item < items(); item += filter_groups()) {
        multiply(item, c, v, u, s.sums);
        finish(item, s.sums, dw, s);
      }
    });
  } else {
    for (index i = 0; i < chunks_; ++i) {
      const Chunk c = chunk(i);
      const bool done = parts_ == 1 && i + 1 == chunks_;
      team.for_each(strips() * pieces, [&](index j) { transform(i, j / pieces, j % pieces, from, v, u, s); });
      team.for_each(items(), [&](index item) {
        T* const to = keeps_sums() ? sums_of(i / chunks, item) : s.sums;
        multiply(item, c, v, u, to);
        if (done) finish(item, to, dw, s);
      });
    }
  }
  if (db) bias_.add(team, from.bias, db);
  if (parts_ == 1) return;
  team.for_each(items(), [&](index item) {
    gemm_.add_rows(parts_, elements_ * item_step(), sums_of(0, item), part_step(), false, s.sums);
    finish(item, s.sums, dw, s);
  });
}

template class WinogradGradient<float>;
template class WinogradGradient<double>;

}  // namespace tenfold
