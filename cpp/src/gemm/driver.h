// The blocked matrix product C (M x N) = A (M x K) B (K x N), with operands and result behind small policies,
// so that convolution packs B straight from the image and no im2col matrix exists.
//
//   gemm_driver(team, plan, a, b, c, workspace)
//
// Policies (i, j, k are element positions; all sizes in elements):
//   A::pack(kernels, i, rows, k, kc, to)    to[kk * rows + p] <-- A[i + p][k + kk]
//   A::direct(i, k) -> GemmPanelA           only where A::kDirect: a panel readable where it lies
//   A::rows_together()                      rows of a panel lie side by side in memory; likewise B's columns
//   A::ahead(i, rows, k, kc) -> GemmFetch   what a direct panel takes from memory that the one before it did not
//   B::pack(kernels, j, n, k, kc, width, to)  to[kk * width + q] <-- B[k + kk][j + q], 0 for n <= q < width
//   B::direct(j, k) -> GemmPanelB           only where B::kDirect
//   B::turns(n, kc), B::ahead(turn, j, k, kc) -> GemmFetch
//                                           so many sequences of kc lines are what packing or reading n columns
//                                           of a chunk takes from memory; the turn-th of them
//   C::operator()(kernel, tile, i, j, rows, first, last)
//                                           fills tile.c, ldc, alpha, beta, bias, activation and calls
//                                           kernel(tile); `first` and `last` say whether this is the first /
//                                           last part of the sum
//   or, where C has kTakesRows,
//   C::operator()(sums, lds, i, j, rows, columns, first, last)
//                                           takes the sums of tiles that lie side by side, sums[p * lds + q]; behind
//                                           its columns a row has some that may be read
//
// Blocking. Columns are cut into bands that stay in L2; within a band, rows and columns are cut into items:
//
//   for each band of columns, part of its rows, part of its columns: an item
//     for each chunk of K, row panel (in L1), column panel (in L2): register tile
//
//   shared a[chunk][panel][kk][mr]   packed whole, by all members together, before the items
//   own    b[chunk][panel][kk][nr]   a band, packed by the member that needs it, and kept for its next items
//
// What one member writes and another reads or writes next must travel between their caches, line by line, which takes
// longer than to pack it again: B is packed by everyone who needs it. Items follow one another along the columns
// of C first, so that members share out whole rows of C, whose lines they have to themselves; where C is turned when
// it is written, its rows are bands. A is packed only where it is large and lies badly; then it comes from the last
// level anyhow.
//
// Same bits at every team size: members take whole tiles, never parts of a sum. K is cut into chunks by its
// length alone, a chunk is summed in ascending order in the registers, and chunks are added to C in ascending
// order. Which tile, band or member an element falls to changes nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "kernels/gemm.h"
#include "kernels/line.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

template <class T>
struct GemmPanelA {
  const T* data;
  index row, step;  // element (p, kk) at data[p * row + kk * step]
};

template <class T>
struct GemmPanelB {
  const T* data;
  index step;  // row kk at data + kk * step
};

// Lines to fetch ahead: data + t * step for t = 0, 1, ...; none where data is null.
template <class T>
struct GemmFetch {
  const T* data = nullptr;
  index step = 0;
};

// A count cut into parts that differ by at most one. It is divided once: a tile has no time for divisions. The longer parts come
// first.
struct Cut {
  index each = 0, longer = 0;  // so much a part, and one more in the first so many
  Cut() = default;
  Cut(index count, index parts) : each(count / parts), longer(count % parts) {}
  index begin(index part) const { return part * each + std::min(part, longer); }
};

// The same with the longer parts between the others, for items: members of a team, whose shares are some items that follow each
// other, have as much as each other.
struct EvenCut {
  index count = 0, parts = 1;
  index begin(index part) const { return count * part / parts; }
};

// How one product is cut; made once per shape. It keeps the kernels of the ISA that was active when it was
// made.
template <class T>
struct GemmPlan {
  const GemmKernels<T>* kernels = nullptr;
  index m = 0, n = 0, k = 0;
  bool a_direct = false, b_direct = false;  // read the operand where it lies
  index width = 0;                          // columns of a panel, a whole number of vectors
  index m_panels = 0, n_panels = 0;
  index grain = 1, groups = 0;   // rows come in groups of so many, which no panel cuts; how many groups
  index kc = 0, chunks = 0;      // chunks of K
  index chunks_at_once = 0;      // chunks whose shared panels exist at one time
  bool turned = false;           // C is turned when it is written: lines of memory run along the rows here
  bool keeps_b = false;          // a band of packed columns is kept, all chunks at once of it
  double time = 0;               // estimate without packing, in multiply-adds of a vector
  index n_bands = 0;             // bands of column panels, all of about the same size
  index m_cuts = 0, n_cuts = 0;  // items of a band, along its rows and along its columns
  Cut by_panel, by_chunk;        // groups of rows, K
  EvenCut by_band, by_m_cut;     // column panels, row panels

  // From m_panels and n_panels.
  void set_items(index bands, index cuts_of_m, index cuts_of_n) {
    n_bands = bands, m_cuts = cuts_of_m, n_cuts = cuts_of_n;
    by_band = {n_panels, n_bands}, by_m_cut = {m_panels, m_cuts};
  }

  index row(index panel) const { return by_panel.begin(panel) * grain; }
  index column(index panel) const { return std::min(n, panel * width); }
  index k_begin(index chunk) const { return by_chunk.begin(chunk); }
  index items() const { return n_bands * m_cuts * n_cuts; }
  index n_begin(index band) const { return by_band.begin(band); }

  index shared_a() const { return a_direct ? 0 : round_up(m * std::min(k, kc * chunks_at_once)); }
  // A direct operand may need room for its last, ragged panel, of all chunks.
  index own_b() const {
    if (b_direct) return packs_end() ? round_up(ragged_width() * k) : 0;
    return round_up((n_panels + n_bands - 1) / n_bands * width *
                    (keeps_b ? std::min(k, kc * chunks_at_once) : kc));
  }
  bool ragged() const { return n % kernels->lanes != 0; }
  // Where vectors of a row of B are read whole, a last panel that ends inside one is always packed.
  bool packs_end() const { return b_direct && ragged() && !kernels->reads_ends; }
  index ragged_width() const {
    return (n - column(n_panels - 1) + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
  }
  std::size_t workspace(int threads) const {
    if (m == 0 || n == 0) return 0;
    return static_cast<std::size_t>(shared_a() + threads * own_b()) * sizeof(T);
  }
  static index round_up(index elements) { return (elements + 15) / 16 * 16; }
};

// Decides what the items are, once it is known which operands are packed.
template <class T>
void cut_into_items(GemmPlan<T>& plan) {
  constexpr index kElement = static_cast<index>(sizeof(T));
  constexpr index kBandBytes = 192 * 1024;   // of columns: in L2 beside the next ones and what streams by
  constexpr index kKeptBytes = 1024 * 1024;  // of columns, all chunks together
  constexpr index kSharedBytes = 32 * 1024 * 1024;
  constexpr double kItems = 128, kItemTime = 4000;  // items aimed at, and the time one should take at least
  constexpr index kFew = 8;                         // bands or panels
  constexpr index kReuse = 16;                      // row panels of an item whose columns come anew for it

  plan.chunks_at_once = std::min(
      plan.chunks, std::max<index>(1, kSharedBytes / kElement / std::max<index>(1, plan.m * plan.kc)));

  const index m_panels = std::max<index>(1, plan.m_panels), n_panels = std::max<index>(1, plan.n_panels);
  const index items = static_cast<index>(std::clamp(plan.time / kItemTime, 1.0, kItems));
  const auto shares = [](index whole, index part) { return (whole + part - 1) / part; };
  const auto fit = [&](index depth) {
    return kBandBytes / kElement / std::max<index>(1, depth * plan.width);
  };
  const index depth = std::min(plan.k, plan.kc * plan.chunks_at_once);
  const bool stays = fit(depth) >= 2;  // with all chunks; else one chunk at a time
  // Where A does not stay near, a panel of it is not fetched for one tile alone.
  const index least = plan.m * plan.kc * kElement > kBandBytes ? 2 : 1;
  index bands = shares(n_panels, std::max(least, fit(stays ? depth : plan.kc)));
  if (n_panels <= 2 * fit(depth)) bands = 1;  // nothing comes next
  // Bands are what members share out where that keeps their lines of C apart, or saves packing the same columns.
  if (plan.turned) {
    bands = std::max(bands, std::min(items, kFew));
  } else if (!plan.b_direct && m_panels < kFew) {
    bands = std::max(bands, shares(items, m_panels));
  }
  bands = std::min(bands, n_panels);

  const index panels = shares(n_panels, bands);
  plan.keeps_b = panels * plan.width * depth * kElement <= kKeptBytes;
  const index reused = std::max(m_panels / kReuse, shares(kFew, bands));
  const index m_cuts = std::min({shares(items, bands), m_panels, stays ? m_panels : reused});
  const index n_cuts = stays ? std::min(shares(items, bands * m_cuts), n_panels / bands) : 1;
  plan.set_items(bands, m_cuts, n_cuts);
}

// `a_direct`, `b_direct`: the policies can serve panels in place and the caller wants them to. `grain` divides m. Tiles
// have up to `tallest_tile` rows.
template <class T>
GemmPlan<T> make_gemm_plan(index m, index n, index k, bool a_direct = false, bool b_direct = false,
                           index grain = 1, index tallest_tile = kGemmMaxRows) {
  const GemmKernels<T>& kernels = tenfold::kernels<GemmKernels, T>();
  // A part of the sum: its panel of A (12 rows) is 24 KB and stays in L1.
  constexpr index kChunkBytes = 2048;

  GemmPlan<T> plan;
  plan.kernels = &kernels;
  plan.m = m, plan.n = n, plan.k = k;
  plan.a_direct = a_direct, plan.b_direct = b_direct;
  plan.grain = grain, plan.groups = m / grain;
  // Whole groups of rows that a tile so many vectors wide holds.
  const auto tallest_of = [&](int wide) {
    return std::min<index>(kernels.rows_at_most[wide - 1], tallest_tile) / grain * grain;
  };

  // The tile with the least time: a multiply-add per element, but no less than the loads or the latency of a
  // chain; a wide tile reads more of B per multiply-add.
  constexpr double kCall = 50;  // of a tile: to begin, to drain the chains and to write
  int vectors = 0;
  for (int v = 1; v <= kGemmMaxVectors; ++v) {
    const index tallest = tallest_of(v);
    if (tallest == 0) continue;
    const index panels = (m + tallest - 1) / tallest, all = (n + kernels.lanes - 1) / kernels.lanes;
    const double height = panels > 0 ? static_cast<double>(m) / static_cast<double>(panels) : 0;
    const auto time = [height](index vectors_wide) {
      const double wide = static_cast<double>(vectors_wide);
      return wide == 0 ? 0.0 : std::max({height * wide, height + wide, 8.0}) + 0.25 * wide;
    };
    const index calls = panels * ((all + v - 1) / v);
    const double total =
        static_cast<double>(panels * k) * (static_cast<double>(all / v) * time(v) + time(all % v)) +
        kCall * static_cast<double>(calls);
    if (vectors == 0 || total < plan.time) plan.time = total, vectors = v;
  }
  plan.width = static_cast<index>(vectors) * kernels.lanes;
  const index tallest = tallest_of(vectors);
  plan.m_panels = (m + tallest - 1) / tallest;
  plan.n_panels = (n + plan.width - 1) / plan.width;

  constexpr index kChunk = kChunkBytes / static_cast<index>(sizeof(T));
  plan.chunks = std::max<index>(1, (k + kChunk - 1) / kChunk);
  plan.kc = (k + plan.chunks - 1) / plan.chunks;
  plan.by_chunk = Cut(k, plan.chunks);
  plan.by_panel = Cut(plan.groups, std::max<index>(1, plan.m_panels));
  cut_into_items(plan);
  return plan;
}

// Whether a C takes rows of sums instead of tiles.
template <class C, class = void>
constexpr bool takes_rows = false;
template <class C>
constexpr bool takes_rows<C, std::enable_if_t<C::kTakesRows>> = true;

// For such a C: the sums of some tiles side by side, in L1 beside what makes the next ones.
template <class T, bool kExists>
struct RowSums {
  explicit RowSums(index /*tile*/) {}
};
template <class T>
struct RowSums<T, true> {
  explicit RowSums(index tile) : tiles(std::max<index>(1, kRoom / tile)) {}

  static constexpr index kRoom = 8 * 1024 / static_cast<index>(sizeof(T)), kBehind = 64;
  index tiles, first = 0, end = 0;  // so many at a time; those at hand
  alignas(kLineBytes) T data[kRoom + kBehind];
};

// One member's part of a product.
template <class T, class A, class B, class C>
class GemmDriver {
 public:
  GemmDriver(const Team& team, const GemmPlan<T>& plan, const A& a, const B& b, const C& c,
             std::byte* workspace)
      : team_(team),
        plan_(plan),
        kernels_(*plan.kernels),
        a_(a),
        b_(b),
        c_(c),
        shared_a_(reinterpret_cast<T*>(workspace)),
        own_b_(shared_a_ + plan.shared_a() + team.rank() * plan.own_b()) {}

  void run() {
    for (begin_ = 0; begin_ < plan_.chunks; begin_ += plan_.chunks_at_once) {
      end_ = std::min(plan_.chunks, begin_ + plan_.chunks_at_once);
      kept_band_ = -1;
      if (!plan_.a_direct) pack_shared_a();
      team_.for_each(plan_.items(), [&](index item) { run_item(item); });
    }
  }

 private:
  // Where the elements of a row lie side by side, neighbouring panels share its lines and pages: they are packed
  // together, so many rows at a time: fewer of a B, whose rows the processor can follow then.
  static constexpr index kRowsOfA = 32, kRowsOfB = 16;

  // a[chunk][panel][kk][p] of the chunks begin_ .. end_ - 1.
  void pack_shared_a() const {
    constexpr index kMany = 32, kTogether = 4;  // panels of an item: some, where there are many
    const index groups =
        plan_.m_panels >= kMany ? (plan_.m_panels + kTogether - 1) / kTogether : plan_.m_panels;
    team_.for_each(groups * (end_ - begin_), [&](index item) {
      const index chunk = begin_ + item / groups, group = item % groups;
      const index k = plan_.k_begin(chunk), kc = plan_.k_begin(chunk + 1) - k;
      const index slice = a_.rows_together() ? kRowsOfA : kc;
      for (index kk = 0; kk < kc; kk += slice) {
        for (index p = plan_.m_panels * group / groups; p < plan_.m_panels * (group + 1) / groups; ++p) {
          const index i = plan_.row(p), rows = plan_.row(p + 1) - i;
          a_.pack(kernels_, i, rows, k + kk, std::min(slice, kc - kk), packed_a(i, k, kc) + kk * rows);
        }
      }
    });
  }

  T* packed_a(index i, index k, index kc) const {
    return shared_a_ + plan_.m * (k - plan_.k_begin(begin_)) + i * kc;
  }

  // The column panels of a band, and how many the next one has.
  struct Band {
    index number, begin, end, next;
    index panels() const { return end - begin; }
  };
  Band band(index number) const {
    const index end = plan_.n_begin(number + 1);
    return {number, plan_.n_begin(number), end,
            number + 1 < plan_.n_bands ? plan_.n_begin(number + 2) - end : 0};
  }

  // A band's b[chunk][panel][kk][q]; without keeping, of one chunk.
  T* packed_b(const Band& band, index k) const {
    return own_b_ + (plan_.keeps_b ? band.panels() * plan_.width * (k - plan_.k_begin(begin_)) : 0);
  }

  void pack_b(const Band& band, index chunk) {
    if (plan_.keeps_b) {
      if (kept_band_ != band.number) kept_band_ = band.number, kept_chunks_ = begin_;
      if (chunk < kept_chunks_) return;
      kept_chunks_ = chunk + 1;
    }
    const index k = plan_.k_begin(chunk), kc = plan_.k_begin(chunk + 1) - k;
    const index slice = b_.columns_together() ? kRowsOfB : kc;
    T* const to = packed_b(band, k);
    for (index kk = 0; kk < kc; kk += slice) {
      for (index q = band.begin; q < band.end; ++q) {
        const index j = plan_.column(q);
        b_.pack(kernels_, j, plan_.column(q + 1) - j, k + kk, std::min(slice, kc - kk), plan_.width,
                to + ((q - band.begin) * kc + kk) * plan_.width);
      }
    }
  }

  void pack_ragged() {
    if (packed_ragged_) return;
    const index j = plan_.column(plan_.n_panels - 1);
    b_.pack(kernels_, j, plan_.n - j, 0, plan_.k, plan_.ragged_width(), own_b_);
    packed_ragged_ = true;
  }

  void run_item(index item) {
    const index n_cut = item % plan_.n_cuts, m_cut = item / plan_.n_cuts % plan_.m_cuts;
    const Band band = this->band(item / plan_.n_cuts / plan_.m_cuts);
    const index p_begin = plan_.by_m_cut.begin(m_cut), p_end = plan_.by_m_cut.begin(m_cut + 1);
    const EvenCut by_n_cut{band.panels(), plan_.n_cuts};
    const index q_begin = band.begin + by_n_cut.begin(n_cut), q_end = band.begin + by_n_cut.begin(n_cut + 1);
    if (plan_.packs_end() && q_end == plan_.n_panels) pack_ragged();
    for (index chunk = begin_; chunk < end_; ++chunk) {
      if (!plan_.b_direct) pack_b(band, chunk);
      for (index p = p_begin; p < p_end; ++p) run_panel(p, q_begin, q_end, band, chunk);
    }
  }

  // A row panel with the column panels q_begin .. q_end - 1 of a band.
  void run_panel(index p, index q_begin, index q_end, const Band& band, index chunk) const {
    const index k = plan_.k_begin(chunk), kc = plan_.k_begin(chunk + 1) - k;
    const index i = plan_.row(p), rows = plan_.row(p + 1) - i;
    const GemmPanelA<T> from_a = panel_a(i, rows, k, kc);
    const T* const packed = plan_.b_direct ? nullptr : packed_b(band, k);
    const index whole = plan_.width / kernels_.lanes;
    const Ahead ahead = this->ahead(p, band, k, kc);
    RowSums<T, takes_rows<C>> sums(rows * plan_.width);
    for (index q = q_begin; q < q_end; ++q) {
      const index j = plan_.column(q), columns = plan_.column(q + 1) - j;
      const GemmPanelB<T> from_b =
          packed ? GemmPanelB<T>{packed + (q - band.begin) * plan_.width * kc, plan_.width} : panel_b(q, k);
      GemmTile<T> tile{};
      tile.k = kc, tile.n = columns;
      tile.a = from_a.data, tile.a_row = from_a.row, tile.a_step = from_a.step;
      tile.b = from_b.data, tile.b_step = from_b.step;
      const GemmFetch<T> fetch = fetched(ahead, q, band, k, kc);
      tile.next = fetch.data, tile.next_step = fetch.step;
      const index vectors = columns == plan_.width ? whole : (columns + kernels_.lanes - 1) / kernels_.lanes;
      const auto kernel = kernels_.tile[vectors - 1][rows - 1];
      if constexpr (takes_rows<C>) {
        if (q >= sums.end) sums.first = q, sums.end = std::min(q_end, q + sums.tiles);
        tile.c = sums.data + (q - sums.first) * plan_.width;
        tile.ldc = (sums.end - sums.first) * plan_.width;
        tile.alpha = 1;
        // What is behind the columns exists, and whole vectors are faster.
        if (!kernels_.reads_ends) tile.n = vectors * kernels_.lanes;
        kernel(tile);
        if (q + 1 < sums.end) continue;
        const index begin = plan_.column(sums.first);
        c_(sums.data, tile.ldc, i, begin, rows, j + columns - begin, chunk == 0, chunk == plan_.chunks - 1);
      } else {
        c_(kernel, tile, i, j, rows, chunk == 0, chunk == plan_.chunks - 1);
      }
    }
  }

  GemmPanelA<T> panel_a(index i, index rows, index k, index kc) const {
    if constexpr (A::kDirect) {
      if (plan_.a_direct) return a_.direct(i, k);
    }
    return {packed_a(i, k, kc), 1, rows};
  }

  // Of a B that is read where it lies.
  GemmPanelB<T> panel_b(index q, index k) const {
    if (q == plan_.n_panels - 1 && plan_.packs_end())
      return {own_b_ + k * plan_.ragged_width(), plan_.ragged_width()};
    if constexpr (B::kDirect) return b_.direct(plan_.column(q), k);
    return {};
  }

  // What the tiles of a row panel fetch on their way: the last one, what the next panel of A takes that this one did not;
  // the last others of a band, what the next band takes from memory, in so many turns, of which `done` come after this
  // row panel.
  struct Ahead {
    GemmFetch<T> a;
    index column, turns, done;
  };
  Ahead ahead(index p, const Band& band, index k, index kc) const {
    Ahead ahead{};
    if (p + 1 < plan_.m_panels) ahead.a = ahead_of_a(p + 1, k, kc);
    if (band.next == 0) return ahead;
    ahead.column = plan_.column(band.end);
    ahead.turns = b_.turns(plan_.column(band.end + band.next) - ahead.column, kc);
    const index tiles = std::max<index>(1, band.panels() - 1);  // of a row panel that have a turn
    ahead.done = (plan_.m_panels - 1 - p) * tiles;
    return ahead;
  }
  GemmFetch<T> fetched(const Ahead& ahead, index q, const Band& band, index k, index kc) const {
    const index left = band.end - 1 - q;
    const bool one = band.panels() == 1;
    if (left == 0 && ahead.a.data && !one) return ahead.a;
    if (ahead.turns > 0) {
      const index turns_left = one ? ahead.done : ahead.done + left - 1;
      if (turns_left >= 0 && turns_left < ahead.turns)
        return b_.ahead(ahead.turns - 1 - turns_left, ahead.column, k, kc);
    }
    return left == 0 ? ahead.a : GemmFetch<T>{};
  }

  GemmFetch<T> ahead_of_a(index p, index k, index kc) const {
    const index i = plan_.row(p), rows = plan_.row(p + 1) - i;
    if (!plan_.a_direct) return {packed_a(i, k, kc), rows};
    return a_.ahead(i, rows, k, kc);
  }

  const Team& team_;
  const GemmPlan<T>& plan_;
  const GemmKernels<T>& kernels_;
  const A& a_;
  const B& b_;
  const C& c_;
  T *const shared_a_, *const own_b_;
  index begin_ = 0, end_ = 0;               // the chunks at hand
  index kept_band_ = -1, kept_chunks_ = 0;  // the band in own_b_, and its chunks up to this one
  bool packed_ragged_ = false;
};

template <class T, class A, class B, class C>
void gemm_driver(const Team& team, const GemmPlan<T>& plan, const A& a, const B& b, const C& c,
                 std::byte* workspace) {
  if (plan.m == 0 || plan.n == 0) return;
  GemmDriver<T, A, B, C>(team, plan, a, b, c, workspace).run();
}

// ---- policies ----

// A[i][k] = data[i * row + k * step]: any transposition of a matrix in memory.
template <class T>
struct StridedA {
  static constexpr bool kDirect = true;
  const T* data;
  index row, step;
  void pack(const GemmKernels<T>& kernels, index i, index rows, index k, index kc, T* to) const {
    kernels.pack(rows, kc, data + i * row + k * step, row, step, rows, to);
  }
  bool rows_together() const { return row == 1; }
  GemmPanelA<T> direct(index i, index k) const { return {data + i * row + k * step, row, step}; }
  // Elements of a column side by side: the line that a panel does not share with the one before it. Elements of a row: the
  // rows of a panel, line after line, where they follow one another.
  GemmFetch<T> ahead(index i, index rows, index k, index kc) const {
    if (row == 1) return {data + i + rows - 1 + k * step, step};
    return step == 1 && rows * row <= kc * kLine<T> ? GemmFetch<T>{data + i * row + k, kLine<T>}
                                                    : GemmFetch<T>{};
  }
};

// B[k][j] = data[k * step + j * column]; readable in place where column is 1.
template <class T>
struct StridedB {
  static constexpr bool kDirect = true;
  const T* data;
  index step, column;
  void pack(const GemmKernels<T>& kernels, index j, index n, index k, index kc, index width, T* to) const {
    kernels.pack(n, kc, data + k * step + j * column, column, step, width, to);
  }
  bool columns_together() const { return column == 1; }
  GemmPanelB<T> direct(index j, index k) const { return {data + k * step + j, step}; }
  // Rows side by side: a line of every row in turn. Columns side by side: all their elements, line after line, with
  // the first chunk.
  index turns(index n, index kc) const {
    constexpr index kMost = 512 * 1024 / static_cast<index>(sizeof(T));
    if (column == 1) return n / kLine<T> + 1;
    return step == 1 && n * column <= kMost && kc > 0 ? divide_up(n * column, kc * kLine<T>) : 0;
  }
  GemmFetch<T> ahead(index turn, index j, index k, index kc) const {
    if (column == 1) return {data + k * step + j + turn * kLine<T>, step};
    if (k > 0) return {};
    return {data + j * column + turn * kc * kLine<T>, kLine<T>};
  }
};

// C[i][j] = data[i * ldc + j] = activation(alpha * sum + beta * C[i][j] + bias_row[i] + bias_column[j]).
template <class T>
struct StridedC {
  T* data;
  index ldc;
  T alpha = 1, beta = 0;
  const T* bias_row = nullptr;
  const T* bias_column = nullptr;
  int activation = kGemmNone;
  template <class Kernel>
  void operator()(Kernel kernel, GemmTile<T>& tile, index i, index j, index /*rows*/, bool first,
                  bool last) const {
    tile.c = data + i * ldc + j, tile.ldc = ldc;
    tile.alpha = alpha, tile.beta = first ? beta : T(1);
    if (last) {
      tile.bias_row = bias_row ? bias_row + i : nullptr;
      tile.bias_column = bias_column ? bias_column + j : nullptr;
      tile.activation = activation;
    }
    kernel(tile);
  }
};

// The same of the transposed product: what the driver calls row i and column j is column i and row j of C.
template <class T>
struct TransposedC {
  const GemmKernels<T>& kernels;
  StridedC<T> to;
  template <class Kernel>
  void operator()(Kernel kernel, GemmTile<T>& tile, index i, index j, index rows, bool first,
                  bool last) const {
    alignas(kLineBytes)
        T sums[kGemmMaxRows * kGemmMaxVectors * kLine<T>];  // a vector is no longer than a line
    const index columns = tile.n;
    tile.ldc = (columns + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
    if (!kernels.reads_ends)
      tile.n = tile.ldc;  // what is behind the columns exists, and whole vectors are faster
    tile.c = sums, tile.alpha = 1, tile.beta = 0;
    kernel(tile);
    GemmTile<T> target{};
    target.n = rows;
    to([&](const GemmTile<T>& t) { kernels.finish_transposed(columns, tile.ldc, sums, t); }, target, j, i,
       columns, first, last);
  }
};

}  // namespace tenfold
