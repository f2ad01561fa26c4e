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

Rearrange::Rearrange(std::vector<RearrangeAxis> axes) {
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
    return;
  }
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
}

template <class T>
void Rearrange::forward(const Team& team, const T* x, T constant, T* y) const {
  if (line_.output == 0) return;
  const index* table = line_.table.data();
  const index stride = line_.stride;
  team.for_range(output_lines_, std::max<index>(1, 4096 / line_.output), [&](index begin, index end) {
    std::array<index, kMaxAxes> at;
    index rest = begin;
    for (std::size_t a = outer_.size(); a-- > 0;) {
      at[a] = rest % outer_[a].output;
      rest /= outer_[a].output;
    }
    for (index l = begin; l < end; ++l) {
      index base = 0;
      bool inside = true;
      for (std::size_t a = 0; a < outer_.size(); ++a) {
        const index p = outer_[a].table.empty() ? at[a] : outer_[a].table[static_cast<std::size_t>(at[a])];
        inside = inside && p >= 0;
        base += p * outer_[a].stride;
      }
      T* line = y + l * line_.output;
      if (!inside) {
        std::fill(line, line + line_.output, constant);
      } else {
        const T* from = x + base;
        for (index o = 0; o < run_begin_; ++o) line[o] = table[o] < 0 ? constant : from[table[o] * stride];
        copy_strided(run_end_ - run_begin_, from + run_start_ * stride, stride, line + run_begin_);
        for (index o = run_end_; o < line_.output; ++o)
          line[o] = table[o] < 0 ? constant : from[table[o] * stride];
      }
      for (std::size_t a = outer_.size(); a-- > 0;) {
        if (++at[a] < outer_[a].output) break;
        at[a] = 0;
      }
    }
  });
}

template <class T>
void Rearrange::backward(const Team& team, const T* dy, T* dx) const {
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
      for (index i = 0; i < line_.input; ++i) line[i * stride] = T(0);
      // All combinations of the outputs that read this input line, the last axis fastest.
      while (read) {
        index offset = 0;
        for (std::size_t a = 0; a < rank; ++a) {
          const index o =
              outer_[a].table.empty() ? reader[a] : outer_[a].readers[static_cast<std::size_t>(reader[a])];
          offset += o * outer_[a].output_stride;
        }
        const T* d = dy + offset;
        for (index o = 0; o < run_begin_; ++o) {
          if (table[o] >= 0) line[table[o] * stride] += d[o];
        }
        add_strided(run_end_ - run_begin_, d + run_begin_, line + run_start_ * stride, stride);
        for (index o = run_end_; o < line_.output; ++o) {
          if (table[o] >= 0) line[table[o] * stride] += d[o];
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
