#include "gemm/strided.h"

#include <cmath>

namespace tenfold {
namespace {

// Times in multiply-adds of a vector, measured on AMD Zen 4 with bench_gemm's shapes: what it takes, for a vector of
// elements, ...
constexpr double kPackRows = 60;     // to pack A: little by itself, but others read what one member packed
constexpr double kPackTurned = 5;    // to pack B where a column lies side by side
constexpr double kPackAliased = 14;  // ... and columns lie in the same sets of the caches
constexpr double kPackCopied = 5;    // ... where a row does
constexpr double kPackRagged = 3;    // to pack the end of a B that is read in place
constexpr double kTurn = 6;          // to write C in the transposed form, of a square that has it
// ... and to read an operand where it lies, each time. The processor does not fetch ahead rows that share no page.
constexpr index kApart = 2048;       // bytes
constexpr double kPassA = 1.6;       // an A whose rows alias, in tiles of more than kFlatRows
constexpr double kPassAcross = 2;    // a large A that is read across rows that alias
constexpr double kPassB = 0.6;       // a B whose rows alias
constexpr double kPassApart = 0.11;  // a B whose rows are apart
constexpr double kDotSums = 48;      // to add the lanes of a vector of sums of the dot form
constexpr double kDotCall = 80;      // ... and for each of its tiles
constexpr double kDotAliased = 1.2;  // more, where the rows of both alias
constexpr double kDotCopy = 1.5;     // to copy an element so that it runs along k

template <class T>
struct Choice {
  GemmPlan<T> plan;
  double time = 0;
};

// What reading an A with panels of so many rows takes, and a B, each time.
template <class T>
double pass_of_a(MatrixLayout a, index elements, index rows) {
  if (aliased_across<T>(a, elements)) return kPassAcross;
  return rows > tallest_tile<T>(a) ? kPassA : 0;
}
template <class T>
double pass_of_b(MatrixLayout b) {
  if (aliased<T>(b.row)) return kPassB;
  return b.row * static_cast<index>(sizeof(T)) >= kApart ? kPassApart : 0;
}

// Tiles of up to so many rows for a product whose operands have these layouts, each operand packed or read in place,
// whichever is cheaper.
template <class T>
Choice<T> plan_tiles(index m, index n, index k, MatrixLayout a, MatrixLayout b, bool turned, index tallest) {
  GemmPlan<T> plan = make_gemm_plan<T>(m, n, k, true, true, 1, tallest);
  const double lanes = plan.kernels->lanes, depth = static_cast<double>(k);
  const double a_size = static_cast<double>(m) * depth, b_size = static_cast<double>(n) * depth;
  const index rows = divide_up(m, std::max<index>(1, plan.m_panels));
  const double a_passes = pass_of_a<T>(a, m * k, rows) * static_cast<double>(plan.n_panels);
  const double b_passes = pass_of_b<T>(b) * static_cast<double>(plan.m_panels);
  const double b_pack = b.column == 1 ? kPackCopied : aliased<T>(b.column) ? kPackAliased : kPackTurned;
  plan.a_direct = a_passes <= kPackRows;
  plan.b_direct = b.column == 1 && b_passes <= b_pack;
  plan.turned = turned;
  cut_into_items(plan);
  double time = plan.time + a_size / lanes * (plan.a_direct ? a_passes : kPackRows) +
                b_size / lanes * (plan.b_direct ? b_passes : b_pack);
  if (plan.ragged()) {
    const double vectors = static_cast<double>(plan.ragged_width()) / lanes;
    time += vectors * ((plan.packs_end() ? kPackRagged * depth : 0) +
                       plan.kernels->ragged_store * static_cast<double>(m * plan.chunks));
  }
  return {plan, time};
}

// The same in tiles of any height, or in flat ones.
template <class T>
Choice<T> plan_tiles(index m, index n, index k, MatrixLayout a, MatrixLayout b, bool turned) {
  const Choice<T> any = plan_tiles<T>(m, n, k, a, b, turned, kGemmMaxRows);
  if (tallest_tile<T>(a) == kGemmMaxRows) return any;
  const Choice<T> flat = plan_tiles<T>(m, n, k, a, b, turned, tallest_tile<T>(a));
  return flat.time < any.time ? flat : any;
}

// to[i][kk] <-- from[i * row + kk * column]
template <class T>
void copy_along_k(index count, index k, const T* from, MatrixLayout layout, T* to) {
  for (index kk = 0; kk < k; ++kk) {
    for (index i = 0; i < count; ++i) to[i * k + kk] = from[i * layout.row + kk * layout.column];
  }
}

template <class T>
void run_dots(const Team& team, const StridedPlan<T>& plan, const T* a, const T* b, const StridedC<T>& c,
              std::byte* workspace) {
  const GemmKernels<T>& kernels = plan.kernels();
  T* own = reinterpret_cast<T*>(workspace) + team.rank() * plan.copies();
  index a_row = plan.a.row, b_row = plan.b.column;
  bool copied = false;
  // Called within the loop: a late member touches no scratch memory.
  const auto copy_operands = [&] {
    if (plan.copies_a()) {
      copy_along_k(plan.m, plan.k, a, plan.a, own);
      a = own, a_row = plan.k, own += plan.m * plan.k;
    }
    if (plan.copies_b()) {
      copy_along_k(plan.n, plan.k, b, {plan.b.column, plan.b.row}, own);
      b = own, b_row = plan.k;
    }
    copied = true;
  };
  const index R = kernels.dot_rows, S = kernels.dot_columns;
  const index m_panels = (plan.m + R - 1) / R, bands = (plan.n + plan.band - 1) / plan.band;
  const bool far = plan.n * plan.k > kNear<T>;
  team.for_each(bands * plan.cuts, [&](index item) {
    if (!copied) copy_operands();
    T sums[kGemmMaxDotRows * kGemmMaxDotColumns];
    const index cut = item % plan.cuts, band = item / plan.cuts;
    const index p_begin = m_panels * cut / plan.cuts, p_end = m_panels * (cut + 1) / plan.cuts;
    const index j_end = std::min(plan.n, (band + 1) * plan.band);
    for (index k = 0; k < plan.k || k == 0; k += plan.kc) {
      for (index j = band * plan.band; j < j_end; j += S) {
        const index columns = std::min(S, j_end - j);
        for (index p = p_begin; p < p_end; ++p) {
          const index i = plan.m * p / m_panels, rows = plan.m * (p + 1) / m_panels - i;
          GemmDot<T> dot{};
          dot.k = std::min(plan.kc, plan.k - k);
          dot.a = a + i * a_row + k, dot.a_row = a_row;
          dot.b = b + j * b_row + k, dot.b_row = b_row;
          dot.s = sums, dot.lds = columns;
          dot.ahead = far && p == p_begin ? S * b_row : 0;
          kernels.dot[rows - 1][columns - 1](dot);
          GemmTile<T> tile{};
          tile.n = columns;
          c([&](const GemmTile<T>& t) { kernels.finish(rows, columns, sums, t); }, tile, i, j, rows, k == 0,
            k + plan.kc >= plan.k);
        }
      }
    }
  });
}

}  // namespace

template <class T>
StridedPlan<T> plan_strided(index m, index n, index k, MatrixLayout a, MatrixLayout b) {
  StridedPlan<T> plan;
  plan.m = m, plan.n = n, plan.k = k, plan.a = a, plan.b = b;
  Choice<T> best = plan_tiles<T>(m, n, k, a, b, false);
  const GemmKernels<T>& kernels = *best.plan.kernels;
  const double lanes = kernels.lanes, rows = static_cast<double>(m), columns = static_cast<double>(n),
               depth = static_cast<double>(k);

  Choice<T> turned = plan_tiles<T>(n, m, k, {b.column, b.row}, {a.column, a.row}, true);
  const double squares =
      static_cast<double>(turned.plan.chunks * turned.plan.m_panels) * std::ceil(rows / lanes);
  turned.time += squares * lanes * kTurn;
  if (turned.time < best.time) best = turned, plan.form = ProductForm::transposed;

  if (m > 0 && n > 0) {
    constexpr index kChunk = 2048 / static_cast<index>(sizeof(T));
    const index R = kernels.dot_rows, S = kernels.dot_columns;
    const index m_panels = (m + R - 1) / R, n_panels = (n + S - 1) / S;
    const index chunks = m_panels == 1 ? 1 : std::max<index>(1, (k + kChunk - 1) / kChunk);
    const double height = rows / static_cast<double>(m_panels),
                 width = columns / static_cast<double>(n_panels);
    const double tile =
        std::max({height * width, height + width, 4.0}) * depth / lanes +
        static_cast<double>(chunks) * (std::ceil(height * width / lanes) * kDotSums + kDotCall);
    const double copies = kDotCopy * depth * ((a.column == 1 ? 0 : rows) + (b.row == 1 ? 0 : columns));
    const double slower = aliased<T>(b.row == 1 ? b.column : k) ? kDotAliased : 1;
    const double time = slower * static_cast<double>(m_panels * n_panels) * tile + copies;
    if (time < best.time) {
      best.time = time;
      plan.form = ProductForm::dots;
      plan.kc = chunks == 1 ? std::max<index>(1, k) : GemmPlan<T>::round_up((k + chunks - 1) / chunks);
      constexpr double kItem = 16384;  // enough to be worth taking
      constexpr index kItems = 16;
      const index panels =
          std::max<index>(1, static_cast<index>(kItem / tile / static_cast<double>(m_panels)));
      plan.band = S * std::min(panels, std::max<index>(1, n_panels / kItems));
      const index bands = (n + plan.band - 1) / plan.band;
      const index most = std::min(m_panels, static_cast<index>(time / static_cast<double>(bands) / kItem));
      plan.cuts = std::clamp<index>((kItems + bands - 1) / bands, 1, std::max<index>(1, most));
    }
  }
  plan.tiles = best.plan, plan.time = best.time;
  return plan;
}

template <class T>
void run_strided(const Team& team, const StridedPlan<T>& plan, const T* a, const T* b, const StridedC<T>& c,
                 std::byte* workspace) {
  switch (plan.form) {
    case ProductForm::tiles:
      return gemm_driver(team, plan.tiles, StridedA<T>{a, plan.a.row, plan.a.column},
                         StridedB<T>{b, plan.b.row, plan.b.column}, c, workspace);
    case ProductForm::transposed:
      return gemm_driver(team, plan.tiles, StridedA<T>{b, plan.b.column, plan.b.row},
                         StridedB<T>{a, plan.a.column, plan.a.row}, TransposedC<T>{plan.kernels(), c},
                         workspace);
    case ProductForm::dots:
      return run_dots(team, plan, a, b, c, workspace);
  }
}

#define TENFOLD_INSTANTIATE(T)                                                                             \
  template StridedPlan<T> plan_strided<T>(index, index, index, MatrixLayout, MatrixLayout);                \
  template void run_strided<T>(const Team&, const StridedPlan<T>&, const T*, const T*, const StridedC<T>&, \
                               std::byte*);
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)

}  // namespace tenfold
