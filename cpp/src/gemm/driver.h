// The blocked matrix product C (M x N) = A (M x K) B (K x N), with operands and result behind small policies,
// so that convolution packs B straight from the image and no im2col matrix exists.
//
//   gemm_driver(team, plan, a, b, c, workspace)
//
// Policies (i, j, k are element positions; all sizes in elements):
//   A::pack(kernels, i, rows, k, kc, to)    to[kk * rows + p] <-- A[i + p][k + kk]
//   A::direct(i, k) -> GemmPanelA           only where A::kDirect: a panel readable where it lies
//   A::rows_together()                      rows of a panel lie side by side in memory; likewise B's columns
//   B::pack(kernels, j, n, k, kc, width, to)  to[kk * width + q] <-- B[k + kk][j + q], 0 for n <= q < width
//   B::direct(j, k) -> GemmPanelB           only where B::kDirect
//   C::operator()(kernel, tile, i, j, rows, first, last)
//                                           fills tile.c, ldc, alpha, beta, bias, activation and calls
//                                           kernel(tile); `first` and `last` say whether this is the first /
//                                           last part of the sum
//
// Blocking. The shorter side's operand is packed whole, by all members together, and shared; the longer side
// is cut into bands, and the member that owns a band packs it into its own scratch, where it stays in L2:
//
//   shared  a[chunk][panel][kk][mr]   (or b[chunk][panel][kk][nr])
//   private b[panel][kk][nr]          one band of one chunk of K
//   for each band, chunk of K, row panel (stays in L1), column panel: register tile
//
// Same bits at every team size: members take whole tiles, never parts of a sum. K is cut into chunks by its
// length alone, a chunk is summed in ascending order in the registers, and chunks are added to C in ascending
// order. Which tile, band or member an element falls to changes nothing.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/gemm.h"
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
  index step;                               // row kk at data + kk * step ...
  const std::ptrdiff_t* offsets = nullptr;  // ... or at data + offsets[kk]
};

// How one product is cut; made once per shape. It keeps the kernels of the ISA that was active when it was
// made.
template <class T>
struct GemmPlan {
  const GemmKernels<T>* kernels = nullptr;
  index m = 0, n = 0, k = 0;
  bool a_direct = false, b_direct = false;    // read the operand where it lies
  bool a_private = false, b_private = false;  // packed band by band rather than whole and shared
  index width = 0;                            // columns of a panel, a whole number of vectors
  index m_panels = 0, n_panels = 0;
  index kc = 0, chunks = 0;      // chunks of K
  index chunks_at_once = 0;      // chunks whose shared panels exist at one time
  double time = 0;               // estimate without packing, in multiply-adds of a vector
  index band_m = 0, band_n = 0;  // panels of a band

  index row(index panel) const {
    return m * panel / m_panels;
  }  // balanced: panel heights differ by at most one
  index column(index panel) const { return std::min(n, panel * width); }
  index k_begin(index chunk) const { return k * chunk / chunks; }
  index m_bands() const { return (m_panels + band_m - 1) / band_m; }
  index n_bands() const { return (n_panels + band_n - 1) / band_n; }

  index shared_a() const {
    return a_direct || a_private ? 0 : round_up(m * std::min(k, kc * chunks_at_once));
  }
  index shared_b() const {
    return b_direct || b_private ? 0 : round_up(n_panels * width * std::min(k, kc * chunks_at_once));
  }
  index scratch_a() const {
    return a_direct || !a_private ? 0 : round_up(((m + m_panels - 1) / m_panels) * band_m * kc);
  }
  // A direct operand still needs room for its last, ragged panel, of all chunks.
  index scratch_b() const {
    if (b_direct) return ragged() ? round_up(ragged_width() * k) : 0;
    return b_private ? round_up(band_n * width * kc) : 0;
  }
  // Vectors of a row of B are read whole: a last panel that ends inside a vector is always packed.
  bool ragged() const { return n % kernels->lanes != 0; }
  index ragged_width() const {
    return (n - column(n_panels - 1) + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
  }
  std::size_t workspace(int threads) const {
    return static_cast<std::size_t>(shared_a() + shared_b() + threads * (scratch_a() + scratch_b())) *
           sizeof(T);
  }
  static index round_up(index elements) { return (elements + 15) / 16 * 16; }
};

// `a_direct`, `b_direct`: the policies can serve panels in place and the caller wants them to.
template <class T>
GemmPlan<T> make_gemm_plan(index m, index n, index k, bool a_direct = false, bool b_direct = false) {
  const GemmKernels<T>& kernels = tenfold::kernels<GemmKernels, T>();
  // A part of the sum: its panel of A (12 rows) is 24 KB and stays in L1.
  constexpr index kChunkBytes = 2048;
  constexpr index kBandBytes = 384 * 1024;  // in L2 beside what streams through it
  constexpr index kSharedBytes = 32 * 1024 * 1024;
  constexpr index kEnoughBands = 8, kBands = 32;  // bands worth cutting, and bands aimed at

  GemmPlan<T> plan;
  plan.kernels = &kernels;
  plan.m = m, plan.n = n, plan.k = k;
  plan.a_direct = a_direct, plan.b_direct = b_direct;

  // The tile with the least time: a multiply-add per element, but no less than the loads or the latency of a
  // chain; a wide tile reads more of B per multiply-add.
  constexpr double kCall = 50;  // of a tile: to begin, to drain the chains and to write
  int vectors = 0;
  for (int v = 1; v <= kGemmMaxVectors; ++v) {
    const index tallest = kernels.rows_at_most[v - 1];
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
  const index tallest = kernels.rows_at_most[vectors - 1];
  plan.m_panels = (m + tallest - 1) / tallest;
  plan.n_panels = (n + plan.width - 1) / plan.width;

  constexpr index kChunk = kChunkBytes / static_cast<index>(sizeof(T));
  plan.chunks = std::max<index>(1, (k + kChunk - 1) / kChunk);
  plan.kc = (k + plan.chunks - 1) / plan.chunks;

  const index band =
      std::max<index>(1, kBandBytes / static_cast<index>(sizeof(T)) / std::max<index>(1, plan.kc));
  const index most_n = std::max<index>(1, band / plan.width), most_m = std::max<index>(1, band / tallest);
  plan.band_n = plan.n_panels, plan.band_m = plan.m_panels;
  const bool cut_n = plan.n_panels >= kEnoughBands, cut_m = plan.m_panels >= kEnoughBands;
  if (cut_n && (n >= m || !cut_m)) {
    plan.b_private = true;
    plan.band_n = std::min(most_n, std::max<index>(1, plan.n_panels / kBands));
  } else if (cut_m) {
    plan.a_private = true;
    plan.band_m = std::min(most_m, std::max<index>(1, plan.m_panels / kBands));
  } else {
    plan.band_n = plan.band_m = 1;
  }
  plan.band_n = std::max<index>(1, plan.band_n), plan.band_m = std::max<index>(1, plan.band_m);

  const index chunk_bytes =
      (plan.a_private ? plan.n_panels * plan.width : m) * plan.kc * static_cast<index>(sizeof(T));
  plan.chunks_at_once =
      std::min(plan.chunks, std::max<index>(1, kSharedBytes / std::max<index>(1, chunk_bytes)));
  return plan;
}

template <class T, class A, class B, class C>
void gemm_driver(const Team& team, const GemmPlan<T>& plan, const A& a, const B& b, const C& c,
                 std::byte* workspace) {
  if (plan.m == 0 || plan.n == 0) return;
  const GemmKernels<T>& kernels = *plan.kernels;
  T* const shared_a = reinterpret_cast<T*>(workspace);
  T* const shared_b = shared_a + plan.shared_a();
  T* const own_a = shared_b + plan.shared_b() + team.rank() * (plan.scratch_a() + plan.scratch_b());
  T* const own_b = own_a + plan.scratch_a();

  // Panels begin .. end - 1 to to[panel][kk][p]. Where the elements of a row lie side by side, neighbouring
  // panels share its lines and pages: they are packed together, a few rows at a time.
  constexpr index kRowsAtOnce = 32;
  const auto pack_a = [&](index begin, index end, index k, index kc, T* to) {
    const index slice = a.rows_together() ? kRowsAtOnce : kc;
    for (index kk = 0; kk < kc; kk += slice) {
      for (index p = begin; p < end; ++p) {
        const index i = plan.row(p), rows = plan.row(p + 1) - i;
        a.pack(kernels, i, rows, k + kk, std::min(slice, kc - kk),
               to + (i - plan.row(begin)) * kc + kk * rows);
      }
    }
  };
  const auto pack_b = [&](index begin, index end, index k, index kc, T* to) {
    const index slice = b.columns_together() ? kRowsAtOnce : kc;
    for (index kk = 0; kk < kc; kk += slice) {
      for (index q = begin; q < end; ++q) {
        const index j = plan.column(q);
        b.pack(kernels, j, plan.column(q + 1) - j, k + kk, std::min(slice, kc - kk), plan.width,
               to + ((q - begin) * kc + kk) * plan.width);
      }
    }
  };

  for (index chunk_begin = 0; chunk_begin < plan.chunks; chunk_begin += plan.chunks_at_once) {
    const index chunk_end = std::min(plan.chunks, chunk_begin + plan.chunks_at_once);
    const index base = plan.k_begin(chunk_begin);

    // The shared panels of these chunks: a[chunk][panel][kk][mr], b[chunk][panel][kk][nr].
    const index a_panels = plan.shared_a() ? plan.m_panels : 0,
                b_panels = plan.shared_b() ? plan.n_panels : 0;
    // Panels packed together: some, where there are many.
    constexpr index kMany = 32, kTogether = 4;
    const auto groups = [](index panels) {
      return panels >= kMany ? (panels + kTogether - 1) / kTogether : panels;
    };
    const index a_groups = groups(a_panels), b_groups = groups(b_panels);
    if (a_groups + b_groups > 0) {
      team.for_each((a_groups + b_groups) * (chunk_end - chunk_begin), [&](index piece) {
        const index chunk = chunk_begin + piece / (a_groups + b_groups),
                    group = piece % (a_groups + b_groups);
        const index k = plan.k_begin(chunk), kc = plan.k_begin(chunk + 1) - k;
        if (group < a_groups) {
          const index begin = a_panels * group / a_groups, end = a_panels * (group + 1) / a_groups;
          pack_a(begin, end, k, kc, shared_a + plan.m * (k - base) + plan.row(begin) * kc);
        } else {
          const index begin = b_panels * (group - a_groups) / b_groups,
                      end = b_panels * (group - a_groups + 1) / b_groups;
          pack_b(begin, end, k, kc,
                 shared_b + plan.n_panels * plan.width * (k - base) + begin * plan.width * kc);
        }
      });
    }

    bool packed_ragged = false;  // by this member
    team.for_each(plan.m_bands() * plan.n_bands(), [&](index item) {
      const index m_band = item % plan.m_bands(), n_band = item / plan.m_bands();
      const index p_begin = m_band * plan.band_m, p_end = std::min(plan.m_panels, p_begin + plan.band_m);
      const index q_begin = n_band * plan.band_n, q_end = std::min(plan.n_panels, q_begin + plan.band_n);
      for (index chunk = chunk_begin; chunk < chunk_end; ++chunk) {
        const index k = plan.k_begin(chunk), kc = plan.k_begin(chunk + 1) - k;
        // This member's own panels of the chunk.
        if (!plan.a_direct && plan.a_private) pack_a(p_begin, p_end, k, kc, own_a);
        const bool ragged = plan.b_direct && q_end == plan.n_panels && plan.ragged();
        if (ragged && !packed_ragged) {
          const index j = plan.column(q_end - 1);
          b.pack(kernels, j, plan.n - j, 0, plan.k, plan.ragged_width(), own_b);
          packed_ragged = true;
        }
        if (!plan.b_direct && plan.b_private) pack_b(q_begin, q_end, k, kc, own_b);
        for (index p = p_begin; p < p_end; ++p) {
          const index i = plan.row(p), rows = plan.row(p + 1) - i;
          GemmPanelA<T> from_a{nullptr, 1, rows};
          if (plan.a_direct) {
            if constexpr (A::kDirect) from_a = a.direct(i, k);
          } else if (plan.a_private) {
            from_a.data = own_a + (i - plan.row(p_begin)) * kc;
          } else {
            from_a.data = shared_a + plan.m * (k - base) + i * kc;
          }
          for (index q = q_begin; q < q_end; ++q) {
            const index j = plan.column(q), columns = plan.column(q + 1) - j;
            GemmPanelB<T> from_b{nullptr, plan.width};
            if (plan.b_direct) {
              if (ragged && q == plan.n_panels - 1) {
                from_b.step = plan.ragged_width();
                from_b.data = own_b + k * from_b.step;
              } else {
                if constexpr (B::kDirect) from_b = b.direct(j, k);
              }
            } else if (plan.b_private) {
              from_b.data = own_b + (q - q_begin) * plan.width * kc;
            } else {
              from_b.data = shared_b + plan.n_panels * plan.width * (k - base) + q * plan.width * kc;
            }
            GemmTile<T> tile{};
            tile.k = kc;
            tile.a = from_a.data, tile.a_row = from_a.row, tile.a_step = from_a.step;
            tile.b = from_b.data, tile.b_step = from_b.step, tile.b_offset = from_b.offsets;
            tile.n = columns;
            const index vectors = (columns + kernels.lanes - 1) / kernels.lanes;
            // What comes next is fetched on the way. A's panel, while the last tile of this one runs; a B that
            // is read in place, for the next band, a line of its rows with every panel of A. Then an A that is
            // read in place across its rows: the line that the next panel does not share with this one.
            constexpr index kLine = 64 / static_cast<index>(sizeof(T));
            const index line = (p - p_begin) * kLine;
            if (q == q_end - 1 && !plan.a_direct && p + 1 < p_end) {
              tile.next = from_a.data + rows * kc, tile.next_step = rows;
            } else if (B::kDirect && plan.b_direct && line <= plan.width && !from_b.offsets &&
                       q + q_end - q_begin < plan.n_panels) {
              tile.next = from_b.data + (q_end - q_begin) * plan.width + line;
              tile.next_step = from_b.step;
            } else if (q == q_end - 1 && from_a.row == 1 && p + 1 < p_end) {
              tile.next = from_a.data + 2 * rows - 1, tile.next_step = from_a.step;
            }
            c(kernels.tile[from_b.offsets ? 1 : 0][vectors - 1][rows - 1], tile, i, j, rows, chunk == 0,
              chunk == plan.chunks - 1);
          }
        }
      }
    });
  }
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
};

// B[k][j] = data[k_offset[k] + j_offset[j]]: an image seen through a window.
template <class T>
struct GatherB {
  static constexpr bool kDirect = false;
  const T* data;
  const std::ptrdiff_t* k_offset;
  const std::ptrdiff_t* j_offset;
  bool columns_together() const { return false; }
  void pack(const GemmKernels<T>& kernels, index j, index n, index k, index kc, index width, T* to) const {
    kernels.pack_gather(n, kc, data, j_offset + j, k_offset + k, width, to);
  }
};

// B[k][j] = data[k_offset[k] + j]: the shifted rows of a padded image, read in place.
template <class T>
struct ShiftedB {
  static constexpr bool kDirect = true;
  const T* data;
  const std::ptrdiff_t* k_offset;
  bool columns_together() const { return true; }
  void pack(const GemmKernels<T>& kernels, index j, index n, index k, index kc, index width, T* to) const {
    for (index kk = 0; kk < kc; ++kk) {
      kernels.pack(n, 1, data + k_offset[k + kk] + j, 1, 1, width, to + kk * width);
    }
  }
  GemmPanelB<T> direct(index j, index k) const { return {data + j, 0, k_offset + k}; }
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
    constexpr index kMostLanes = 64 / static_cast<index>(sizeof(T));
    alignas(64) T sums[kGemmMaxRows * kGemmMaxVectors * kMostLanes];
    const index columns = tile.n;
    tile.ldc = tile.n = (columns + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
    tile.c = sums, tile.alpha = 1, tile.beta = 0;
    kernel(tile);
    GemmTile<T> target{};
    target.n = rows;
    to([&](const GemmTile<T>& t) { kernels.finish_transposed(columns, tile.ldc, sums, t); }, target, j, i,
       columns, first, last);
  }
};

}  // namespace tenfold
