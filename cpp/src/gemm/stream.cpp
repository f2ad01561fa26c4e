#include "gemm/stream.h"

#include <algorithm>

#include "gemm/strided.h"
#include "kernels/line.h"

namespace tenfold {
namespace {

constexpr index kPieceBytes = 4096;  // of a row: a run that the processor follows, and few pages at a time
constexpr index kRowsAtOnce = 8;     // so many runs side by side
constexpr index kPieces = 4;         // at least, where they are not much shorter for it
constexpr index kAheadBytes = 256;   // in the run that a tile reads

}  // namespace

template <class T>
index StreamPlan<T>::pitch() const {
  return row_pitch<T>(widest());
}

template <class T>
bool streams(index rows, index n, index k) {
  constexpr index kMegabyte = 1024 * 1024 / static_cast<index>(sizeof(T));
  constexpr index kFew = 16;  // rows: their products wait for a B that is in the last cache, too
  constexpr index kShortest = 2048 / static_cast<index>(sizeof(T));
  const index large = (rows <= kFew ? 8 : 32) * kMegabyte;
  return rows <= kernels<GemmKernels, T>().costs.stream_rows && n >= kShortest && n * k >= large;
}

template <class T>
StreamPlan<T> plan_stream(index rows, index n, index k, bool turned) {
  StreamPlan<T> plan;
  plan.turned = turned;
  plan.tiles = make_gemm_plan<T>(rows, n, k, false, true);
  const GemmKernels<T>& kernels = *plan.tiles.kernels;
  const index vectors = std::max<index>(1, kLine<T> / kernels.lanes);
  if (vectors <= kGemmMaxVectors && rows <= kernels.rows_at_most[vectors - 1]) {
    // Whole lines, in place: what is asked for ahead is all there is.
    plan.tiles.width = vectors * kernels.lanes;
    plan.tiles.m_panels = 1, plan.tiles.by_panel = Cut(rows, 1);
    plan.tiles.n_panels = divide_up(n, plan.tiles.width);
  }
  // A tile's sums are fetched and put back with every part of K, its columns packed with every row panel: the more rows,
  // the longer a part is worth it, and the more of its columns fit beside them.
  plan.kc = std::clamp<index>(4 * rows / 16 * 16, kRowsAtOnce * (plan.packs() ? 2 : 1), 128);
  const index piece = kPieceBytes / static_cast<index>(sizeof(T));
  index pieces = std::max<index>(1, n / piece);
  if (pieces < kPieces) pieces = std::clamp<index>(4 * n / piece / 2 * 2, 1, kPieces);
  if (pieces > 2 * kPieces) pieces = divide_up(pieces, kPieces) * kPieces;  // even shares for members
  plan.pieces = std::min(pieces, plan.tiles.n_panels);
  plan.by_piece = Cut(plan.tiles.n_panels, plan.pieces);
  return plan;
}

namespace {

// One member's part of a product.
template <class T>
class StreamDriver {
 public:
  StreamDriver(const Team& team, const StreamPlan<T>& plan, const StridedA<T>& a, const StridedB<T>& b,
               const StridedC<T>& c, std::byte* workspace)
      : team_(team),
        plan_(plan),
        tiles_(plan.tiles),
        kernels_(*plan.tiles.kernels),
        a_(a),
        b_(b),
        c_(c),
        sums_(reinterpret_cast<T*>(workspace) +
              team.rank() * (plan.sums() + plan.packed_b() + plan.packed_a())),
        columns_(sums_ + plan.sums()),
        rows_(columns_ + plan.packed_b()) {}

  void run() const {
    team_.for_each(plan_.pieces, [&](index number) {
      const index first = plan_.by_piece.begin(number), last = plan_.by_piece.begin(number + 1);
      const Piece piece{first, last, tiles_.column(first), tiles_.column(last)};
      for (index k = 0; k < tiles_.k; k += plan_.kc) add_part(piece, {k, std::min(plan_.kc, tiles_.k - k)});
      write(piece);
    });
  }

 private:
  static constexpr index kAhead = kAheadBytes / static_cast<index>(sizeof(T));

  // Panels of columns, and the columns themselves.
  struct Piece {
    index q_begin, q_end, begin, end;
    index panels() const { return q_end - q_begin; }
    index columns() const { return end - begin; }
  };
  // A part of K.
  struct Part {
    index begin, count;
    index end() const { return begin + count; }
  };

  // Panels that are packed: all of them, or one that ends inside a vector.
  bool is_packed(index q) const { return plan_.packs() || (q + 1 == tiles_.n_panels && tiles_.packs_end()); }
  T* packed(const Piece& piece, index q, const Part& part) const {
    return columns_ + (plan_.packs() ? (q - piece.q_begin) * part.count * tiles_.width : 0);
  }

  void pack_columns(const Piece& piece, const Part& part) const {
    for (index kk = 0; kk < part.count; kk += kRowsAtOnce) {
      const index count = std::min(kRowsAtOnce, part.count - kk);
      for (index q = plan_.packs() ? piece.q_begin : piece.q_end - 1; q < piece.q_end; ++q) {
        if (!is_packed(q)) continue;
        const index j = tiles_.column(q);
        b_.pack(kernels_, j, tiles_.column(q + 1) - j, part.begin + kk, count, tiles_.width,
                packed(piece, q, part) + kk * tiles_.width);
      }
    }
  }

  // What a tile asks for: what the ones behind it read in place, or lines of the next part.
  GemmFetch<T> ahead(const Piece& piece, const Part& part, index p, index q) const {
    const index j = tiles_.column(q), behind = j + kAhead - piece.end;  // ... this part's end
    if (!plan_.packs() && behind < 0) return {b_.direct(j, part.begin).data + kAhead, b_.step};
    if (part.end() == tiles_.k) return {};
    const T* const next_part = b_.data + part.end() * b_.step + piece.begin;
    if (!plan_.packs()) return {next_part + behind, b_.step};
    const index line = (p * piece.panels() + q - piece.q_begin) * kLine<T>;
    return line < piece.columns() ? GemmFetch<T>{next_part + line, b_.step} : GemmFetch<T>{};
  }

  // sums (+)= A B over a part of K.
  void add_part(const Piece& piece, const Part& part) const {
    pack_columns(piece, part);
    for (index p = 0; p < tiles_.m_panels; ++p) {
      const index i = tiles_.row(p), height = tiles_.row(p + 1) - i;
      a_.pack(kernels_, i, height, part.begin, part.count, rows_);
      for (index q = piece.q_begin; q < piece.q_end; ++q) {
        const index j = tiles_.column(q), n = tiles_.column(q + 1) - j;
        const index vectors = divide_up(n, index{kernels_.lanes});
        const GemmPanelB<T> panel =
            is_packed(q) ? GemmPanelB<T>{packed(piece, q, part), tiles_.width} : b_.direct(j, part.begin);
        const GemmFetch<T> next = ahead(piece, part, p, q);
        GemmTile<T> tile{};
        // What is behind the columns exists where they are packed, and whole vectors are faster.
        tile.k = part.count, tile.n = is_packed(q) ? vectors * kernels_.lanes : n;
        tile.a = rows_, tile.a_row = 1, tile.a_step = height;
        tile.b = panel.data, tile.b_step = panel.step;
        tile.c = sums_ + i * plan_.pitch() + (j - piece.begin), tile.ldc = plan_.pitch();
        tile.alpha = 1, tile.beta = part.begin == 0 ? T(0) : T(1);
        tile.next = next.data, tile.next_step = next.step;
        kernels_.tile[vectors - 1][height - 1](tile);
      }
    }
  }

  // C <-- the sums of a piece.
  void write(const Piece& piece) const {
    GemmTile<T> target{};
    if (plan_.turned) {
      target.n = tiles_.m;
      c_([&](const GemmTile<T>& t) { kernels_.finish_transposed(piece.columns(), plan_.pitch(), sums_, t); },
         target, piece.begin, 0, piece.columns(), true, true);
    } else {
      target.n = piece.columns();
      c_([&](const GemmTile<T>& t) { kernels_.finish(tiles_.m, plan_.pitch(), sums_, t); }, target, 0,
         piece.begin, tiles_.m, true, true);
    }
  }

  const Team& team_;
  const StreamPlan<T>& plan_;
  const GemmPlan<T>& tiles_;
  const GemmKernels<T>& kernels_;
  const StridedA<T>& a_;
  const StridedB<T>& b_;
  const StridedC<T>& c_;
  T *const sums_, *const columns_, *const rows_;
};

}  // namespace

template <class T>
void run_stream(const Team& team, const StreamPlan<T>& plan, const StridedA<T>& a, const StridedB<T>& b,
                const StridedC<T>& c, std::byte* workspace) {
  StreamDriver<T>(team, plan, a, b, c, workspace).run();
}

#define TENFOLD_INSTANTIATE(T)                                                                           \
  template struct StreamPlan<T>;                                                                         \
  template bool streams<T>(index, index, index);                                                         \
  template StreamPlan<T> plan_stream<T>(index, index, index, bool);                                      \
  template void run_stream<T>(const Team&, const StreamPlan<T>&, const StridedA<T>&, const StridedB<T>&, \
                              const StridedC<T>&, std::byte*);
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)

}  // namespace tenfold
