#include "gemm/strided.h"

#include <algorithm>
#include <cmath>

namespace tenfold {
namespace {

// Times in multiply-adds of a vector, beside those of the kernels (GemmCosts), measured on AMD Zen 4 with bench_gemm's
// shapes: what it takes, for a vector of elements, ...
constexpr double kPackTurned = 5;    // to pack B where a column lies side by side
constexpr double kPackAliased = 14;  // ... and columns lie in the same sets of the caches
constexpr double kPackFar = 20;      // ... or in two of them, of a large B
constexpr double kPackRagged = 3;    // to pack the end of a B that is read in place
constexpr double kPassA = 1.6;    // to read an A whose rows alias in tiles of more than kFlatRows, each time
constexpr double kDotSums = 48;   // to add the lanes of a vector of sums of the dot form
constexpr double kDotCall = 80;   // ... and for each of its tiles
constexpr double kDotPart = 1.5;  // to put a vector of sums aside and take it up again
constexpr double kDotPause = 40;  // ... and for each of its tiles
constexpr double kDotAliased = 1.2;  // more, where the rows of both alias
constexpr double kDotCopy = 1.5;     // to copy an element so that it runs along k

// Lines of an A that is read across its rows, which lie `pitch` elements apart: so many stay in the first-level cache, what
// the sets hold that they fall into, and half of all beside what goes by.
template <class T>
index lines_that_stay(index pitch) {
  constexpr index kSets = 64, kWays = 8, kMost = kSets * kWays / 2;
  const index bytes = pitch * static_cast<index>(sizeof(T));
  if (bytes == 0 || bytes % kLineBytes != 0) return kMost;
  const index lines = bytes / kLineBytes, every = std::min(kSets, lines & -lines);  // set that they fall into
  return std::min(kMost, kSets / every * kWays);
}

template <class T>
struct Choice {
  GemmPlan<T> plan;
  double time = 0;     // packing included
  double packing = 0;  // the part of it that every member of a team has for itself

  // Of two members, in the time of one: which form is faster is asked for a team.
  double in_team() const { return time + packing; }
};

// What reading an A with panels of so many rows takes, and a B, each time.
template <class T>
double pass_of_a(const GemmCosts& costs, MatrixLayout a, index m, index k, index rows) {
  if (aliased_across<T>(a, m * k)) return costs.across_aliased;
  if (a.row == 1) return k > lines_that_stay<T>(a.column) ? costs.across : 0;
  if (rows > tallest_tile<T>(a)) return kPassA;
  return aliased<T>(a.row) && m * k > kNear<T> ? costs.along_aliased : 0;
}
template <class T>
double pass_of_b(const GemmCosts& costs, MatrixLayout b, index k) {
  if (aliased<T>(b.row)) return costs.b_aliased;
  const index pitch = b.row * static_cast<index>(sizeof(T));
  return k >= costs.deep || pitch >= costs.apart || k * pitch >= costs.large ? costs.b_apart : 0;
}

// What packing a B of n columns takes that each lie side by side. The processor follows short ones from one to the next.
template <class T>
double pack_turned(index n, index k, index pitch) {
  constexpr index kTogether = 2048 / static_cast<index>(sizeof(T));
  if (n * k > kNear<T> && k > kTogether && aliased<T>(2 * pitch)) return kPackFar;
  return aliased<T>(pitch) ? kPackAliased : kPackTurned;
}

// The same of all panels of columns.
template <class T>
double passes_of_a(const GemmPlan<T>& plan, MatrixLayout a) {
  const index rows = divide_up(plan.m, std::max<index>(1, plan.m_panels));
  return pass_of_a<T>(plan.kernels->costs, a, plan.m, plan.k, rows) * static_cast<double>(plan.n_panels);
}

// Tiles of up to so many rows for a product whose operands have these layouts, each operand packed or read in place,
// whichever is cheaper.
template <class T>
Choice<T> plan_tiles(index m, index n, index k, MatrixLayout a, MatrixLayout b, index grain, bool turned,
                     index tallest) {
  GemmPlan<T> plan = make_gemm_plan<T>(m, n, k, true, true, grain, tallest);
  const double lanes = plan.kernels->lanes, depth = static_cast<double>(k);
  const double a_size = static_cast<double>(m) * depth, b_size = static_cast<double>(n) * depth;
  const GemmCosts& costs = plan.kernels->costs;
  const double a_passes = passes_of_a(plan, a);
  const double b_passes = pass_of_b<T>(costs, b, k) * static_cast<double>(plan.m_panels);
  const double b_pack = b.column == 1 ? costs.pack_b : pack_turned<T>(n, k, b.column);
  plan.a_direct = reads_a_in_place(plan, a);
  plan.b_direct = b.column == 1 && b_passes <= b_pack;
  plan.turned = turned;
  cut_into_items(plan);
  const double packing = plan.b_direct ? 0 : b_size / lanes * b_pack;
  double time = plan.time + a_size / lanes * (plan.a_direct ? a_passes : costs.pack_a) +
                (plan.b_direct ? b_size / lanes * b_passes : packing);
  if (plan.ragged()) {
    const double vectors = static_cast<double>(plan.ragged_width()) / lanes;
    time += vectors * ((plan.packs_end() ? kPackRagged * depth : 0) +
                       plan.kernels->ragged_store * static_cast<double>(m * plan.chunks));
  }
  return {plan, time, packing};
}

// The same in tiles of any height, or in flat ones.
template <class T>
Choice<T> plan_tiles(index m, index n, index k, MatrixLayout a, MatrixLayout b, bool turned) {
  const Choice<T> any = plan_tiles<T>(m, n, k, a, b, 1, turned, kGemmMaxRows);
  if (tallest_tile<T>(a) == kGemmMaxRows) return any;
  const Choice<T> flat = plan_tiles<T>(m, n, k, a, b, 1, turned, tallest_tile<T>(a));
  return flat.in_team() < any.in_team() ? flat : any;
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
  T* own = reinterpret_cast<T*>(workspace) + team.rank() * (plan.copies() + plan.parts());
  T* const parts = own + plan.copies();
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
  const bool by_a = plan.streams_a;
  const index S = kernels.dot_columns, passing = by_a ? plan.m : plan.n, near = by_a ? plan.n : plan.m;
  const index passing_panels = plan.passing_panels(), near_panels = plan.near_panels();
  const index tile_parts = kernels.dot_rows * S * kernels.lanes;
  constexpr index kMostSums = kGemmMaxDotRows * kGemmMaxDotColumns + kLine<T>;
  const bool far = passing * plan.k > kNear<T>;
  T sums[kMostSums], turned[kMostSums];
  GemmDot<T> dot{};
  dot.s = sums;
  GemmTile<T> target{};
  // C <-- the sums of a tile, of rows i .. of what stays near and j .. of what goes by.
  const auto write = [&](index i, index rows, index j, index columns) {
    if (by_a) {
      for (index r = 0; r < rows; ++r) {
        for (index s = 0; s < columns; ++s) turned[s * rows + r] = sums[r * columns + s];
      }
      std::swap(i, j), std::swap(rows, columns);
    }
    target.n = columns;
    c([&](const GemmTile<T>& t) { kernels.finish(rows, columns, by_a ? turned : sums, t); }, target, i, j,
      rows, true, true);
  };
  team.for_each(divide_up(passing_panels, plan.band) * plan.cuts, [&](index item) {
    if (!copied) copy_operands();
    const T *const from = by_a ? a : b, *const to = by_a ? b : a;
    const index from_row = by_a ? a_row : b_row, to_row = by_a ? b_row : a_row;
    const index cut = item % plan.cuts, q_begin = item / plan.cuts * plan.band,
                q_end = std::min(passing_panels, q_begin + plan.band);
    const index p_begin = near_panels * cut / plan.cuts, p_end = near_panels * (cut + 1) / plan.cuts;
    // What goes by next is asked for by the first tiles of what goes by now.
    const index rows_at_once = p_end - p_begin >= S / 2 ? 2 : S;
    dot.a_row = to_row, dot.b_row = dot.next_row = from_row;
    dot.all_rows = rows_at_once == S;
    for (index k = 0; k < plan.k || k == 0; k += plan.kc) {
      const bool last = k + plan.kc >= plan.k;
      dot.k = std::min(plan.kc, plan.k - k);
      dot.resumes = k > 0, dot.pauses = !last;
      dot.parts = parts;
      for (index q = q_begin; q < q_end; ++q) {
        const index j = q * S, columns = std::min(S, passing - j);
        dot.b = from + j * from_row + k;
        const index next = q + 1 < q_end ? S * from_row
                           : last        ? S * from_row - k
                                         : plan.kc - (q - q_begin) * S * from_row;
        index row_of_next = far ? 0 : S;
        index i = near * p_begin / near_panels, rows = 0;
        for (index p = p_begin; p < p_end; ++p, i += rows, dot.parts += tile_parts) {
          rows = near * (p + 1) / near_panels - i;
          dot.a = to + i * to_row + k;
          dot.next = row_of_next < S ? dot.b + next + row_of_next * from_row : nullptr;
          row_of_next += rows_at_once;
          kernels.dot[rows - 1][columns - 1](dot);
          if (last) write(i, rows, j, columns);
        }
      }
    }
  });
}

// Completes a plan of the dot form, and returns its time.
template <class T>
double plan_dots(StridedPlan<T>& plan) {
  // Of what stays near: beside the rows that go by it stays in the second-level cache.
  constexpr index kPart = 512 * 1024 / static_cast<index>(sizeof(T));
  constexpr index kMostPanels = 16;  // of what stays near, where K is cut
  constexpr double kItem = 16384;    // enough to be worth taking
  constexpr index kItems = 16;
  const GemmKernels<T>& kernels = plan.kernels();
  plan.streams_a = plan.m > plan.n;
  const index passing_panels = plan.passing_panels(), near_panels = plan.near_panels();
  const index parts = std::max<index>(1, divide_up(std::min(plan.m, plan.n) * plan.k, kPart));
  plan.kc = parts == 1 ? std::max<index>(1, plan.k) : GemmPlan<T>::round_up(divide_up(plan.k, parts));

  const double lanes = kernels.lanes, depth = static_cast<double>(plan.k);
  const double rows = static_cast<double>(plan.streams_a ? plan.n : plan.m),
               columns = static_cast<double>(plan.streams_a ? plan.m : plan.n);
  const double height = rows / static_cast<double>(near_panels),
               width = columns / static_cast<double>(passing_panels);
  const double tile = std::max({height * width, height + width, 4.0}) * depth / lanes + kDotCall +
                      std::ceil(height * width / lanes) * kDotSums +
                      static_cast<double>(parts - 1) * (kDotPart * height * width + kDotPause);
  const double copies = kDotCopy * depth *
                        ((plan.a.column != 1 ? static_cast<double>(plan.m) : 0) +
                         (plan.b.row != 1 ? static_cast<double>(plan.n) : 0));
  const double slower = aliased<T>(plan.b.row == 1 ? plan.b.column : plan.k) ? kDotAliased : 1;
  const double time = slower * static_cast<double>(near_panels * passing_panels) * tile + copies;

  const index least = parts == 1 ? 1 : divide_up(near_panels, kMostPanels);
  const index panels =
      std::max<index>(1, static_cast<index>(kItem / tile / static_cast<double>(near_panels)));
  plan.band = std::min(panels, std::max<index>(1, passing_panels / kItems));
  const index bands = divide_up(passing_panels, plan.band);
  const index most = std::min(near_panels, static_cast<index>(time / static_cast<double>(bands) / kItem));
  plan.cuts = std::max(least, std::clamp<index>(divide_up(kItems, bands), 1, std::max<index>(1, most)));
  return time;
}

}  // namespace

template <class T>
bool reads_a_in_place(const GemmPlan<T>& plan, MatrixLayout a) {
  return passes_of_a(plan, a) <= plan.kernels->costs.pack_a;
}

template <class T>
GemmPlan<T> plan_strided_tiles(index m, index n, index k, MatrixLayout a, MatrixLayout b, index grain) {
  return plan_tiles<T>(m, n, k, a, b, grain, false, kGemmMaxRows).plan;
}

template <class T>
StridedPlan<T> plan_strided(index m, index n, index k, MatrixLayout a, MatrixLayout b) {
  StridedPlan<T> plan;
  plan.m = m, plan.n = n, plan.k = k, plan.a = a, plan.b = b;
  Choice<T> best = plan_tiles<T>(m, n, k, a, b, false);
  const GemmKernels<T>& kernels = *best.plan.kernels;

  Choice<T> turned = plan_tiles<T>(n, m, k, {b.column, b.row}, {a.column, a.row}, true);
  const index squares = turned.plan.chunks * turned.plan.m_panels * divide_up(m, index{kernels.lanes});
  turned.time += static_cast<double>(squares * kernels.lanes) *
                 (m * n > kNear<T> ? kernels.costs.turn_far : kernels.costs.turn);
  if (turned.in_team() < best.in_team()) best = turned, plan.form = ProductForm::transposed;

  if (m > 0 && n > 0) {
    StridedPlan<T> dots = plan;
    dots.tiles.kernels = &kernels;
    const double time = plan_dots(dots);
    if (time < best.time) {
      best.time = time;
      dots.form = ProductForm::dots;
      plan = dots;
    }
  }
  plan.tiles = best.plan, plan.time = best.time;
  const bool b_goes_by = b.column == 1 && streams<T>(m, n, k);
  if (b_goes_by || (a.row == 1 && streams<T>(n, m, k))) {
    plan.form = ProductForm::streamed;
    plan.stream = b_goes_by ? plan_stream<T>(m, n, k, false) : plan_stream<T>(n, m, k, true);
  }
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
    case ProductForm::streamed:
      if (plan.stream.turned) {
        return run_stream(team, plan.stream, StridedA<T>{b, plan.b.column, plan.b.row},
                          StridedB<T>{a, plan.a.column, plan.a.row}, c, workspace);
      }
      return run_stream(team, plan.stream, StridedA<T>{a, plan.a.row, plan.a.column},
                        StridedB<T>{b, plan.b.row, plan.b.column}, c, workspace);
  }
}

#define TENFOLD_INSTANTIATE(T)                                                                             \
  template bool reads_a_in_place<T>(const GemmPlan<T>&, MatrixLayout);                                     \
  template GemmPlan<T> plan_strided_tiles<T>(index, index, index, MatrixLayout, MatrixLayout, index);      \
  template StridedPlan<T> plan_strided<T>(index, index, index, MatrixLayout, MatrixLayout);                \
  template void run_strided<T>(const Team&, const StridedPlan<T>&, const T*, const T*, const StridedC<T>&, \
                               std::byte*);
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)

}  // namespace tenfold
