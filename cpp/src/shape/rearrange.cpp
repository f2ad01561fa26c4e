#include "shape/rearrange.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tenfold {
namespace {

// Neighbouring axes that are taken whole and lie in the input as in the output are one axis.
bool mergeable(const RearrangeAxis& a, const RearrangeAxis& b) {
  return a.table.empty() && b.table.empty() && a.stride == b.input * b.stride;
}

std::vector<RearrangeAxis> simplify(std::vector<RearrangeAxis> axes) {
  std::vector<RearrangeAxis> simple;
  for (RearrangeAxis& axis : axes) {
    bool identity = axis.output == axis.input;
    for (std::size_t o = 0; identity && o < axis.table.size(); ++o)
      identity = axis.table[o] == static_cast<index>(o);
    if (identity) axis.table.clear();
    if (identity && axis.output == 1) continue;
    if (!simple.empty() && mergeable(simple.back(), axis)) {
      RearrangeAxis& merged = simple.back();
      merged.output *= axis.output;
      merged.input *= axis.input;
      merged.stride = axis.stride;
    } else {
      simple.push_back(std::move(axis));
    }
  }
  if (simple.empty()) simple.push_back({1, 1, 1, {}});
  return simple;
}

template <class T>
void copy_strided(index n, const T* x, index stride, T* y) {
  if (stride == 1) {
    std::copy(x, x + n, y);
  } else {
    for (index i = 0; i < n; ++i) y[i] = x[i * stride];
  }
}

template <class T>
void add_strided(index n, const T* dy, T* dx, index stride) {
  if (stride == 1) {
    for (index i = 0; i < n; ++i) dx[i] += dy[i];
  } else {
    for (index i = 0; i < n; ++i) dx[i * stride] += dy[i];
  }
}

}  // namespace

Rearrange::Rearrange(std::vector<RearrangeAxis> axes, bool with_inverse) {
  std::vector<RearrangeAxis> simple = simplify(std::move(axes));
  index output_stride = 1;
  for (std::size_t a = simple.size(); a-- > 0;) {
    Axis axis;
    static_cast<RearrangeAxis&>(axis) = std::move(simple[a]);
    axis.output_stride = output_stride;
    output_stride *= axis.output;
    if (a + 1 == simple.size()) {
      line_ = std::move(axis);
      continue;
    }
    output_lines_ *= axis.output;
    input_lines_ *= axis.input;
    if (!axis.table.empty()) {
      axis.first.assign(static_cast<std::size_t>(axis.input) + 1, 0);
      for (index p : axis.table) {
        if (p >= 0) ++axis.first[static_cast<std::size_t>(p) + 1];
      }
      for (std::size_t i = 1; i < axis.first.size(); ++i) axis.first[i] += axis.first[i - 1];
      axis.readers.resize(static_cast<std::size_t>(axis.first.back()));
      std::vector<index> next = axis.first;
      for (std::size_t o = 0; o < axis.table.size(); ++o) {
        if (axis.table[o] >= 0) {
          index& slot = next[static_cast<std::size_t>(axis.table[o])];
          axis.readers[static_cast<std::size_t>(slot++)] = static_cast<index>(o);
        }
      }
    }
    outer_.insert(outer_.begin(), std::move(axis));
  }

  if (line_.table.empty()) {
    run_end_ = line_.output;
    once_ = line_.stride == 1;
    find_permutation(with_inverse);
    return;
  }
  const auto all = [this](auto position) {
    for (index o = 0; o < line_.output; ++o) {
      if (line_.table[static_cast<std::size_t>(o)] != position(o)) return false;
    }
    return true;
  };
  repeats_ = all([](index) { return 0; });
  reverses_ = line_.stride == 1 && line_.output == line_.input &&
              all([this](index o) { return line_.input - 1 - o; });
  for (index o = 0; o < line_.output;) {
    index end = o + 1;
    const index* t = line_.table.data();
    if (t[o] >= 0) {
      while (end < line_.output && t[end] == t[end - 1] + 1) ++end;
      if (end - o > run_end_ - run_begin_) {
        run_begin_ = o;
        run_end_ = end;
        run_start_ = t[o];
      }
    }
    o = end;
  }
  const auto reads = std::count_if(line_.table.begin(), line_.table.end(), [](index t) { return t >= 0; });
  once_ = reverses_ || (line_.stride == 1 && run_end_ - run_begin_ == line_.input && reads == line_.input);
}

void Rearrange::find_permutation(bool with_inverse) {
  std::vector<const Axis*> axes = {&line_};
  for (std::size_t a = 0; a < outer_.size(); ++a) {
    if (!outer_[a].table.empty()) return;
    axes.push_back(&outer_[a]);
    if (outer_[a].stride == 1 && line_.stride != 1) beside_ = static_cast<int>(a);
  }
  std::sort(axes.begin(), axes.end(), [](const Axis* a, const Axis* b) { return a->stride > b->stride; });
  if (!with_inverse) return;
  std::vector<RearrangeAxis> back;
  for (const Axis* axis : axes) back.push_back({axis->input, axis->output, axis->output_stride, {}});
  inverse_ = std::shared_ptr<const Rearrange>(new Rearrange(std::move(back), false));
}

// Of a permutation under which other elements lie side by side: square by square, so that lines are read and written whole,
// some of them after each other in the input.
template <class T>
void Rearrange::turn(const Team& team, const T* x, T* y) const {
  constexpr index kSquare = 16, kAcross = 128, kAlong = 512;  // of a square, and of a piece
  const Axis& beside = outer_[static_cast<std::size_t>(beside_)];
  const index across = divide_up(beside.output, kAcross), along = divide_up(line_.output, kAlong);
  team.for_each(output_lines_ / beside.output * across * along, [&](index piece) {
    const index row = piece / along % across * kAcross, rows_end = std::min(row + kAcross, beside.output);
    const index column = piece % along * kAlong, columns_end = std::min(column + kAlong, line_.output);
    const T* from = x;
    T* to = y;
    index rest = piece / along / across;
    for (std::size_t a = outer_.size(); a-- > 0;) {
      if (static_cast<int>(a) == beside_) continue;
      const index at = rest % outer_[a].output;
      from += at * outer_[a].stride, to += at * outer_[a].output_stride;
      rest /= outer_[a].output;
    }
    for (index c = column; c < columns_end; c += kSquare) {
      const index columns = std::min(kSquare, columns_end - c);
      for (index r = row; r < rows_end; r += kSquare) {
        const index rows = std::min(kSquare, rows_end - r);
        T square[kSquare][kSquare];
        for (index i = 0; i < columns; ++i) {
          const T* const source = from + (c + i) * line_.stride + r;
          for (index j = 0; j < rows; ++j) square[j][i] = source[j];
        }
        for (index j = 0; j < rows; ++j)
          std::copy_n(square[j], columns, to + (r + j) * beside.output_stride + c);
      }
    }
  });
}

template <class T>
void Rearrange::forward(const Team& team, const T* x, T constant, T* y) const {
  if (line_.output == 0 || output_lines_ == 0) return;
  if (beside_ >= 0) return turn(team, x, y);
  const index* table = line_.table.data();
  const index stride = line_.stride;
  team.for_range(output_lines_, std::max<index>(1, 4096 / line_.output), [&](index begin, index end) {
    std::array<index, kMaxAxes> at;
    index rest = begin;
    for (std::size_t a = outer_.size(); a-- > 0;) {
      at[a] = rest % outer_[a].output;
      rest /= outer_[a].output;
    }
    // Lines that follow each other along the last of the other axes.
    for (index l = begin; l < end;) {
      index base = 0, lines = 1;
      bool inside = true;
      for (std::size_t a = 0; a + 1 < outer_.size(); ++a) {
        const index p = outer_[a].table.empty() ? at[a] : outer_[a].table[static_cast<std::size_t>(at[a])];
        inside = inside && p >= 0;
        base += p * outer_[a].stride;
      }
      const Axis* const last = outer_.empty() ? nullptr : &outer_.back();
      const index first = last ? at[outer_.size() - 1] : 0;
      if (last) lines = std::min(end - l, last->output - first);
      for (index i = first; i < first + lines; ++i) {
        const index p = !last ? 0 : last->table.empty() ? i : last->table[static_cast<std::size_t>(i)];
        T* line = y + (l + i - first) * line_.output;
        if (!inside || p < 0) {
          std::fill(line, line + line_.output, constant);
          continue;
        }
        const T* from = x + base + (last ? p * last->stride : 0);
        if (repeats_) {
          std::fill(line, line + line_.output, *from);
          continue;
        }
        if (reverses_) {
          std::reverse_copy(from, from + line_.output, line);
          continue;
        }
        for (index o = 0; o < run_begin_; ++o) line[o] = table[o] < 0 ? constant : from[table[o] * stride];
        copy_strided(run_end_ - run_begin_, from + run_start_ * stride, stride, line + run_begin_);
        for (index o = run_end_; o < line_.output; ++o)
          line[o] = table[o] < 0 ? constant : from[table[o] * stride];
      }
      l += lines;
      if (!last) continue;
      at[outer_.size() - 1] += lines;
      for (std::size_t a = outer_.size(); a-- > 0 && at[a] == outer_[a].output;) {
        at[a] = 0;
        if (a > 0) ++at[a - 1];
      }
    }
  });
}

template <class T>
void Rearrange::backward(const Team& team, const T* dy, T* dx) const {
  if (line_.input == 0) return;
  if (inverse_) return inverse_->forward(team, dy, T(0), dx);
  const index* table = line_.table.data();
  const index stride = line_.stride;
  team.for_range(input_lines_, std::max<index>(1, 4096 / line_.input), [&](index begin, index end) {
    const std::size_t rank = outer_.size();
    std::array<index, kMaxAxes> at, from, until, reader;
    index rest = begin;
    for (std::size_t a = rank; a-- > 0;) {
      at[a] = rest % outer_[a].input;
      rest /= outer_[a].input;
    }
    for (index l = begin; l < end; ++l) {
      index base = 0;
      bool read = line_.output > 0;
      for (std::size_t a = 0; a < rank; ++a) {
        base += at[a] * outer_[a].stride;
        if (outer_[a].table.empty()) {
          from[a] = at[a];
          until[a] = at[a] + 1;
        } else {
          from[a] = outer_[a].first[static_cast<std::size_t>(at[a])];
          until[a] = outer_[a].first[static_cast<std::size_t>(at[a]) + 1];
        }
        reader[a] = from[a];
        read = read && from[a] < until[a];
      }
      T* line = dx + base;
      bool fresh = once_ && read;
      for (index i = 0; !fresh && i < line_.input; ++i) line[i * stride] = T(0);
      // All combinations of the outputs that read this input line, the last axis fastest.
      while (read) {
        index offset = 0;
        for (std::size_t a = 0; a < rank; ++a) {
          const index o =
              outer_[a].table.empty() ? reader[a] : outer_[a].readers[static_cast<std::size_t>(reader[a])];
          offset += o * outer_[a].output_stride;
        }
        const T* d = dy + offset;
        if (fresh && reverses_) {
          std::reverse_copy(d, d + line_.input, line);
          fresh = false;
        } else if (fresh) {
          std::copy_n(d + run_begin_, line_.input, line);
          fresh = false;
        } else {
          for (index o = 0; o < run_begin_; ++o) {
            if (table[o] >= 0) line[table[o] * stride] += d[o];
          }
          add_strided(run_end_ - run_begin_, d + run_begin_, line + run_start_ * stride, stride);
          for (index o = run_end_; o < line_.output; ++o) {
            if (table[o] >= 0) line[table[o] * stride] += d[o];
          }
        }
        read = false;
        for (std::size_t a = rank; a-- > 0;) {
          if (++reader[a] < until[a]) {
            read = true;
            break;
          }
          reader[a] = from[a];
        }
      }
      for (std::size_t a = rank; a-- > 0;) {
        if (++at[a] < outer_[a].input) break;
        at[a] = 0;
      }
    }
  });
}

template void Rearrange::forward(const Team&, const float*, float, float*) const;
template void Rearrange::forward(const Team&, const double*, double, double*) const;
template void Rearrange::forward(const Team&, const index*, index, index*) const;
template void Rearrange::backward(const Team&, const float*, float*) const;
template void Rearrange::backward(const Team&, const double*, double*) const;

}  // namespace tenfold
