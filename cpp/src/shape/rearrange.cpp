#include "shape/rearrange.h"

#include <algorithm>
#include <array>

#include "tenfold/memory.h"

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
    copy_elements(x, n, y);
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

Rearrange::Rearrange(std::vector<RearrangeAxis> axes) {
  std::vector<RearrangeAxis> simple = simplify(std::move(axes));
  permutes_ =
      std::all_of(simple.begin(), simple.end(), [](const RearrangeAxis& a) { return a.table.empty(); });
  if (permutes_) {
    std::vector<PermutationAxis> all;
    for (const RearrangeAxis& axis : simple) all.push_back({axis.output, axis.stride});
    permutation_ = Permutation(std::move(all));
    inverse_ = permutation_.inverse();
    return;
  }
  if (simple.size() == 1) simple.insert(simple.begin(), RearrangeAxis{});  // there is an outer axis
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
    covers_ = line_.stride == 1;
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
  covers_ = line_.stride == 1 && run_end_ - run_begin_ == line_.input;
}

template <class T>
void Rearrange::forward(const Team& team, const T* x, T constant, T* y) const {
  if (permutes_) return permutation_.run(team, x, y);
  if (line_.output == 0 || output_lines_ == 0) return;
  const Axis& last = outer_.back();
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
      index base = 0;
      bool inside = true;
      for (std::size_t a = 0; a + 1 < outer_.size(); ++a) {
        const index p = outer_[a].table.empty() ? at[a] : outer_[a].table[static_cast<std::size_t>(at[a])];
        inside = inside && p >= 0;
        base += p * outer_[a].stride;
      }
      const index first = at[outer_.size() - 1];
      const index lines = std::min(end - l, last.output - first);
      for (index i = first; i < first + lines; ++i) {
        const index p = last.table.empty() ? i : last.table[static_cast<std::size_t>(i)];
        T* line = y + (l + i - first) * line_.output;
        if (!inside || p < 0) {
          std::fill(line, line + line_.output, constant);
          continue;
        }
        const T* from = x + base + p * last.stride;
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
  if (permutes_) return inverse_.run(team, dy, dx);
  if (line_.input == 0) return;
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
      bool fresh = read && (reverses_ || covers_);
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
        } else {
          T* const run = line + run_start_ * stride;
          if (fresh) {
            copy_elements(d + run_begin_, line_.input, run);
          } else {
            add_strided(run_end_ - run_begin_, d + run_begin_, run, stride);
          }
          for (index o = 0; o < run_begin_; ++o) {
            if (table[o] >= 0) line[table[o] * stride] += d[o];
          }
          for (index o = run_end_; o < line_.output; ++o) {
            if (table[o] >= 0) line[table[o] * stride] += d[o];
          }
        }
        fresh = false;
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
