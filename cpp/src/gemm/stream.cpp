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

template <class T>
void run_stream(const Team& team, const StreamPlan<T>& plan, const StridedA<T>& a, const StridedB<T>& b,
                const StridedC<T>& c, std::byte* workspace) {
  constexpr index kAhead = kAheadBytes / static_cast<index>(sizeof(T));
  const GemmPlan<T>& tiles = plan.tiles;
  const GemmKernels<T>& kernels = *tiles.kernels;
  const index width = tiles.width, pitch = plan.pitch();
  T* const sums =
      reinterpret_cast<T*>(workspace) + team.rank() * (plan.sums() + plan.packed_b() + plan.packed_a());
  T* const columns = sums + plan.sums();
  T* const rows = columns + plan.packed_b();
  team.for_each(plan.pieces, [&](index piece) {
    const index q_begin = plan.by_piece.begin(piece), q_end = plan.by_piece.begin(piece + 1);
    const index begin = tiles.column(q_begin), end = tiles.column(q_end);
    for (index k = 0; k < tiles.k; k += plan.kc) {
      const index kc = std::min(plan.kc, tiles.k - k), left = tiles.k - k - kc;
      // Panels that are packed: all of them, or one that ends inside a vector.
      const auto is_packed = [&](index q) {
        return plan.packs() || (q + 1 == tiles.n_panels && tiles.packs_end());
      };
      const auto packed = [&](index q) { return columns + (plan.packs() ? (q - q_begin) * kc * width : 0); };
      for (index kk = 0; kk < kc; kk += kRowsAtOnce) {
        const index count = std::min(kRowsAtOnce, kc - kk);
        for (index q = plan.packs() ? q_begin : q_end - 1; q < q_end; ++q) {
          if (!is_packed(q)) continue;
          const index j = tiles.column(q);
          b.pack(kernels, j, tiles.column(q + 1) - j, k + kk, count, width, packed(q) + kk * width);
        }
      }
      for (index p = 0; p < tiles.m_panels; ++p) {
        const index i = tiles.row(p), height = tiles.row(p + 1) - i;
        a.pack(kernels, i, height, k, kc, rows);
        for (index q = q_begin; q < q_end; ++q) {
          const index j = tiles.column(q), n = tiles.column(q + 1) - j;
          const index vectors = divide_up(n, index{kernels.lanes});
          GemmTile<T> tile{};
          // What is behind the columns exists where they are packed, and whole vectors are faster.
          tile.k = kc, tile.n = is_packed(q) ? vectors * kernels.lanes : n;
          tile.a = rows, tile.a_row = 1, tile.a_step = height;
          const GemmPanelB<T> in_place = b.direct(j, k);
          tile.b = is_packed(q) ? packed(q) : in_place.data,
          tile.b_step = is_packed(q) ? width : in_place.step;
          tile.c = sums + i * pitch + (j - begin), tile.ldc = pitch;
          tile.alpha = 1, tile.beta = k == 0 ? T(0) : T(1);
          // What the tiles behind this one read in place, or the lines of the next part.
          const T* const next_part = b.data + (k + kc) * b.step + begin;
          const index behind = j + kAhead - end;  // ... this part's end
          const index line = (p * (q_end - q_begin) + q - q_begin) * kLine<T>;
          if (!plan.packs() && behind < 0) {
            tile.next = tile.b + kAhead, tile.next_step = tile.b_step;
          } else if (left > 0 && (!plan.packs() || line < end - begin)) {
            tile.next = next_part + (plan.packs() ? line : behind), tile.next_step = b.step;
          }
          kernels.tile[vectors - 1][height - 1](tile);
        }
      }
    }
    GemmTile<T> target{};
    if (plan.turned) {
      target.n = tiles.m;
      c([&](const GemmTile<T>& t) { kernels.finish_transposed(end - begin, pitch, sums, t); }, target, begin,
        0, end - begin, true, true);
    } else {
      target.n = end - begin;
      c([&](const GemmTile<T>& t) { kernels.finish(tiles.m, pitch, sums, t); }, target, 0, begin, tiles.m,
        true, true);
    }
  });
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
