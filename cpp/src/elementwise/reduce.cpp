#include <algorithm>
#include <limits>

#include "kernels/elementwise.h"
#include "kernels/past.h"
#include "tenfold/elementwise.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

// A piece is what one thread folds in one go: long enough to hide its overhead, short enough for many threads
// and for small rounding errors (pieces are joined pairwise).
constexpr index kPieceElements = 8192;
constexpr index kPieceRows = 256;
// Columns folded side by side where the inner axis is kept.
constexpr index kColumns = 2048;
// So few inner elements that outputs are folded side by side.
constexpr index kFewElements = 256;

index offset_of(const std::vector<Reduce::Axis>& axes, index i) {
  index offset = 0;
  for (std::size_t a = axes.size(); a-- > 0;) {
    offset += (a > 0 ? i % axes[a].size : i) * axes[a].stride;
    if (a > 0) i /= axes[a].size;
  }
  return offset;
}

template <class T>
const FoldKernel<T>& fold_of(Reduction kind) {
  const auto& k = kernels<ElementwiseKernels, T>();
  return kind == Reduction::max ? k.max : kind == Reduction::min ? k.min : k.sum;
}

template <class T>
T join(Reduction kind, T a, T b) {
  if (kind == Reduction::max) return b > a || b != b ? b : a;
  if (kind == Reduction::min) return b < a || b != b ? b : a;
  return a + b;
}

}  // namespace

index Reduce::kept_offset(index i) const {
  return offset_of(kept, i);
}
index Reduce::folded_offset(index i) const {
  return offset_of(folded, i);
}

index Reduce::piece_length() const {
  return std::min(inner, kPieceElements);
}
index Reduce::piece_rows() const {
  if (inner_folded) return std::max<index>(1, kPieceElements / inner);
  return std::clamp<index>(kPieceElements / inner, 16, kPieceRows);
}
index Reduce::pieces() const {
  if (!inner_folded) return divide_up(folded_count, piece_rows());
  return inner > kPieceElements ? folded_count * divide_up(inner, kPieceElements)
                                : divide_up(folded_count, piece_rows());
}
index Reduce::produced_workspace_count(int threads) const {
  return threads * kPieceElements + workspace_count();
}
index Reduce::workspace_count() const {
  return count() == 0 || pieces() == 1 ? 0 : outputs() * pieces();
}

Reduce make_reduce(const Shape& shape, const std::vector<bool>& folded) {
  Reduce geometry;
  geometry.shape = shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (folded[i]) geometry.shape[i] = 1;
  }
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    // Empty: only the number of outputs matters.
    geometry.inner_folded = true;
    geometry.inner = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (!folded[i]) geometry.kept_count *= shape[i];
    }
    return geometry;
  }
  struct Run {
    index size, stride;
    bool folded;
  };
  std::vector<Run> runs;  // innermost first
  index stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (!runs.empty() && runs.back().folded == folded[i]) {
      runs.back().size *= shape[i];
    } else {
      runs.push_back({shape[i], stride, folded[i]});
    }
    stride *= shape[i];
  }
  if (runs.empty()) return geometry;
  geometry.inner = runs[0].size;
  geometry.inner_folded = runs[0].folded;
  for (std::size_t i = runs.size(); i-- > 1;) {
    (runs[i].folded ? geometry.folded : geometry.kept).push_back({runs[i].size, runs[i].stride});
    (runs[i].folded ? geometry.folded_count : geometry.kept_count) *= runs[i].size;
  }
  return geometry;
}

Reduce make_unbroadcast(const Shape& operand, const Shape& shape) {
  std::vector<bool> folded(shape.size());
  const std::size_t missing = shape.size() - operand.size();
  for (std::size_t i = 0; i < shape.size(); ++i) folded[i] = i < missing || operand[i - missing] != shape[i];
  return make_reduce(shape, folded);
}

namespace {

// The elements as they lie in memory.
template <class T>
struct Stored {
  static constexpr bool kStored = true;
  const T* x;
  const T* at(const Team&, index offset, index) const { return x + offset; }
};

// The same, copied when they are read.
template <class T>
struct Copied {
  static constexpr bool kStored = false;
  const T* x;
  T* copy;
  bool past;
  const T* at(const Team&, index offset, index n) const {
    if (past) {
      write_past(copy + offset, x + offset, n * static_cast<index>(sizeof(T)));
    } else {
      copy_elements(x + offset, n, copy + offset);
    }
    return x + offset;
  }
};

// Elements computed when they are needed, into a scratch of kPieceElements per thread.
template <class T>
struct Produced {
  static constexpr bool kStored = false;
  const Producer<T>& produce;
  T* scratch;
  const T* at(const Team& team, index offset, index n) const {
    T* mine = scratch + team.rank() * kPieceElements;
    produce(offset, n, mine);
    return mine;
  }
};

// partial[output][piece] where an output's inner elements are few and lie right before the next one's: some outputs at a
// time, each by the same sums as alone.
template <class T, class Source>
void reduce_side_by_side(const Team& team, const Reduce& g, Reduction kind, const Source& source,
                         T* partial) {
  constexpr index kMost = 256, kTogether = kPieceElements;  // outputs, and elements, at a time
  const FoldKernel<T>& fold = fold_of<T>(kind);
  const index pieces = g.pieces(), rows = g.piece_rows(), along = g.kept.back().size;
  const index fair = divide_up(g.kept_count, 2 * team.size());
  const index group = std::max<index>(1, std::min({kMost, kTogether / g.inner, along, fair}));
  const index groups = divide_up(along, group);
  const index all = g.kept_count / along * groups;
  team.for_each(all * pieces, [&](index i) {
    const index piece = i / all, first = i % groups * group;
    const index o = i % all / groups * along + first, count = std::min(group, along - first);
    const index base = g.kept_offset(o), begin = piece * rows, end = std::min(begin + rows, g.folded_count);
    T results[kMost];
    for (index r = begin; r < end; ++r) {
      const T* x = source.at(team, base + g.folded_offset(r), count * g.inner);
      for (index j = 0; j < count; ++j, x += g.inner) {
        const T value = fold.row(g.inner, x);
        results[j] = r == begin ? value : join(kind, results[j], value);
      }
    }
    for (index j = 0; j < count; ++j) partial[(o + j) * pieces + piece] = results[j];
  });
}

template <class T, class Source>
void reduce_source(const Team& team, const Reduce& g, Reduction kind, const Source& source, T* workspace,
                   T* y) {
  const FoldKernel<T>& fold = fold_of<T>(kind);
  const T terms = static_cast<T>(g.terms());
  if (g.count() == 0) {
    const T value = kind == Reduction::mean ? std::numeric_limits<T>::quiet_NaN() : T(0);
    team.for_range(g.outputs(), 1024, [&](index begin, index end) { std::fill(y + begin, y + end, value); });
    return;
  }
  const index pieces = g.pieces(), rows = g.piece_rows();
  const bool direct = pieces == 1;
  T* partial = direct ? y : workspace;  // partial[kept][piece][column]

  if (g.inner_folded && g.inner < kFewElements && !g.kept.empty() && g.kept.back().stride == g.inner) {
    reduce_side_by_side(team, g, kind, source, partial);
  } else if (g.inner_folded) {
    const index length = g.piece_length(), per_row = divide_up(g.inner, length);
    // In the order in which they lie in memory, as far as pieces are whole.
    team.for_each(g.kept_count * pieces, [&](index item) {
      const index part = item % per_row, o = item / per_row % g.kept_count,
                  group = item / per_row / g.kept_count;
      const index piece = group * per_row + part, i = o * pieces + piece, base = g.kept_offset(o);
      if (per_row > 1) {
        const index begin = part * length, width = std::min(length, g.inner - begin);
        partial[i] = fold.row(width, source.at(team, base + g.folded_offset(group) + begin, width));
        return;
      }
      const index begin = piece * rows, end = std::min(begin + rows, g.folded_count);
      T result = fold.row(g.inner, source.at(team, base + g.folded_offset(begin), g.inner));
      for (index r = begin + 1; r < end; ++r) {
        result = join(kind, result, fold.row(g.inner, source.at(team, base + g.folded_offset(r), g.inner)));
      }
      partial[i] = result;
    });
  } else {
    const index blocks = divide_up(g.inner, kColumns);
    const bool one_axis = g.folded.size() <= 1;
    const index run_axis = g.folded.empty() ? g.folded_count : g.folded.back().size;
    const index stride = g.folded.empty() ? 0 : g.folded.back().stride;
    team.for_each(g.kept_count * pieces * blocks, [&](index i) {
      const index block = i % blocks, piece = i / blocks % pieces, o = i / blocks / pieces;
      const index column = block * kColumns, width = std::min(kColumns, g.inner - column);
      const index begin = piece * rows, end = std::min(begin + rows, g.folded_count);
      const index base = g.kept_offset(o) + column;
      T* target = partial + (o * pieces + piece) * g.inner + column;
      for (index r = begin; r < end;) {
        index run = one_axis ? end - r : std::min(end - r, run_axis - r % run_axis);
        // What is not stored is made a row at a time, or some that lie side by side.
        if constexpr (!Source::kStored) run = stride == width ? std::min(run, kPieceElements / width) : 1;
        fold.columns(run, stride, width, source.at(team, base + g.folded_offset(r), run * width), r == begin,
                     target);
        r += run;
      }
    });
  }

  const index columns = g.inner_folded ? 1 : g.inner;
  if (!direct) {
    // Pairwise: partial[p] <- partial[p] + partial[p + 1], then in steps of 2, 4, ...
    const index blocks = divide_up(columns, kColumns);
    team.for_each(g.kept_count * blocks, [&](index i) {
      const index o = i / blocks, column = i % blocks * kColumns,
                  width = std::min(kColumns, columns - column);
      T* first = partial + o * pieces * columns + column;
      for (index step = 1; step < pieces; step *= 2) {
        for (index p = 0; p + step < pieces; p += 2 * step) {
          fold.columns(1, 0, width, first + (p + step) * columns, false, first + p * columns);
        }
      }
      copy_elements(first, width, y + o * columns + column);
    });
  }
  if (kind == Reduction::mean) {
    const auto& k = kernels<ElementwiseKernels, T>();
    team.for_range(g.outputs(), 1024, [&](index begin, index end) {
      k.div.forward(end - begin, y + begin, 1, &terms, 0, false, y + begin);
    });
  }
}

}  // namespace

template <class T>
void reduce(const Team& team, const Reduce& geometry, Reduction kind, const T* x, T* workspace, T* y) {
  reduce_source<T>(team, geometry, kind, Stored<T>{x}, workspace, y);
}

template <class T>
void reduce_copied(const Team& team, const Reduce& geometry, Reduction kind, const T* x, T* workspace, T* y,
                   T* copy) {
  const bool past = passes_caches(static_cast<std::size_t>(geometry.count()) * sizeof(T));
  reduce_source<T>(team, geometry, kind, Copied<T>{x, copy, past}, workspace, y);
}

template <class T>
void reduce_produced(const Team& team, const Reduce& geometry, Reduction kind, const Producer<T>& produce,
                     T* workspace, T* y) {
  T* partial = workspace + team.size() * kPieceElements;
  reduce_source<T>(team, geometry, kind, Produced<T>{produce, workspace}, partial, y);
}

template <class T>
void spread_backward(const Team& team, const Broadcast& spread, T divisor, const T* dy, T* dx) {
  const auto& k = kernels<ElementwiseKernels, T>();
  const bool past = passes_caches(static_cast<std::size_t>(spread.count()) * sizeof(T));
  for_parts<T>(team, spread, nullptr, dy, [&](const BroadcastPart<T>& part) {
    k.div.forward(part.n, part.b, part.step_b, &divisor, 0, past, dx + part.offset);
  });
}

template <class T>
void extreme_backward(const Team& team, const Reduce& g, const T* x, const T* y, const T* dy, T* dx) {
  if (g.count() == 0) return;
  team.for_range(g.count(), 1024, [&](index begin, index end) { std::fill(dx + begin, dx + end, T(0)); });
  if (g.inner_folded) {
    team.for_each(g.outputs(), [&](index i) {
      const index start = g.kept_offset(i);
      for (index r = 0; r < g.folded_count; ++r) {
        const index row = start + g.folded_offset(r);
        for (index p = row; p < row + g.inner; ++p) {
          if (x[p] == y[i] || x[p] != x[p]) {
            dx[p] = dy[i];
            return;
          }
        }
      }
    });
    return;
  }
  // Row by row over a block of columns, each of which is found once.
  constexpr index kBlock = 256;
  const index blocks = divide_up(g.inner, kBlock);
  team.for_each(g.kept_count * blocks, [&](index i) {
    const index column = i % blocks * kBlock, width = std::min(kBlock, g.inner - column);
    const index start = g.kept_offset(i / blocks) + column, out = i / blocks * g.inner + column;
    bool found[kBlock] = {};
    index left = width;
    for (index r = 0; r < g.folded_count && left > 0; ++r) {
      const index row = start + g.folded_offset(r);
      for (index j = 0; j < width; ++j) {
        const T value = x[row + j];
        if (found[j] || !(value == y[out + j] || value != value)) continue;
        dx[row + j] = dy[out + j];
        found[j] = true;
        --left;
      }
    }
  });
}

template void reduce<float>(const Team&, const Reduce&, Reduction, const float*, float*, float*);
template void reduce<double>(const Team&, const Reduce&, Reduction, const double*, double*, double*);
template void reduce_copied<float>(const Team&, const Reduce&, Reduction, const float*, float*, float*,
                                   float*);
template void reduce_copied<double>(const Team&, const Reduce&, Reduction, const double*, double*, double*,
                                    double*);
template void reduce_produced<float>(const Team&, const Reduce&, Reduction, const Producer<float>&, float*,
                                     float*);
template void reduce_produced<double>(const Team&, const Reduce&, Reduction, const Producer<double>&, double*,
                                      double*);
template void spread_backward<float>(const Team&, const Broadcast&, float, const float*, float*);
template void spread_backward<double>(const Team&, const Broadcast&, double, const double*, double*);
template void extreme_backward<float>(const Team&, const Reduce&, const float*, const float*, const float*,
                                      float*);
template void extreme_backward<double>(const Team&, const Reduce&, const double*, const double*,
                                       const double*, double*);

}  // namespace tenfold
