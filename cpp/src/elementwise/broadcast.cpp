#include <algorithm>
#include <cstring>

#include "tenfold/elementwise.h"
#include "tenfold/error.h"
#include "tenfold/memory.h"

namespace tenfold {

void Broadcast::offsets(index row, index* a, index* b) const {
  *a = *b = 0;
  for (std::size_t i = outer.size(); i-- > 0;) {
    const Axis& axis = outer[i];
    const index position = i > 0 ? row % axis.size : row;
    *a += position * axis.stride_a;
    *b += position * axis.stride_b;
    if (i > 0) row /= axis.size;
  }
}

Broadcast make_broadcast(const char* function, const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  const auto extent = [rank](const Shape& shape, std::size_t i) {
    const std::size_t missing = rank - shape.size();
    return i < missing ? index{1} : shape[i - missing];
  };
  Broadcast geometry;
  geometry.shape.resize(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const index ea = extent(a, i), eb = extent(b, i);
    if (ea != eb && ea != 1 && eb != 1) {
      reject(function, "other",
             "must have a shape that broadcasts with input's: extents must be equal or 1, counted "
             "from the last axis; received ",
             to_string(a), " and ", to_string(b));
    }
    geometry.shape[i] = ea == 1 ? eb : ea;
    geometry.repeats_a |= ea != geometry.shape[i];
    geometry.repeats_b |= eb != geometry.shape[i];
  }
  checked_count(geometry.shape, function, "result");
  if (std::find(geometry.shape.begin(), geometry.shape.end(), 0) != geometry.shape.end()) {
    geometry.rows = 0;
    return geometry;
  }
  // From the last axis: drop extents of 1, join axes along which both operands go on as before.
  std::vector<Broadcast::Axis> axes;  // innermost first
  index next_a = 1, next_b = 1;
  for (std::size_t i = rank; i-- > 0;) {
    const index ea = extent(a, i), eb = extent(b, i), size = geometry.shape[i];
    if (size == 1) continue;
    const Broadcast::Axis axis{size, ea == 1 ? 0 : next_a, eb == 1 ? 0 : next_b};
    next_a *= ea;
    next_b *= eb;
    if (!axes.empty()) {
      Broadcast::Axis& last = axes.back();
      if (axis.stride_a == last.stride_a * last.size && axis.stride_b == last.stride_b * last.size) {
        last.size *= size;
        continue;
      }
    }
    axes.push_back(axis);
  }
  if (!axes.empty()) {
    geometry.inner = axes[0].size;
    geometry.step_a = axes[0].stride_a;
    geometry.step_b = axes[0].stride_b;
    geometry.outer.assign(axes.rbegin(), axes.rend() - 1);
  }
  for (const auto& axis : geometry.outer) geometry.rows *= axis.size;
  return geometry;
}

namespace {

// The elements of an operand in `rows` rows from `first` on, one behind the other. `stride` tells the operand's of an axis.
template <class T, class Stride>
void lay_out(const Broadcast& g, const T* operand, index step, Stride stride, index first, index rows,
             T* to) {
  constexpr index kChunk = 16 / sizeof(T);
  const index n = g.inner;
  const Broadcast::Axis& last = g.outer.back();
  while (rows > 0) {
    const index run = std::min(rows, last.size - first % last.size);
    index a, b;
    g.offsets(first, &a, &b);
    const T* row = operand + stride(Broadcast::Axis{0, a, b});
    const index next = stride(last), different = next == 0 ? 1 : run;
    for (index r = 0; r < different; ++r, row += next) {
      T* const put = to + r * n;
      if (step == 0) {
        T chunk[kChunk];
        std::fill_n(chunk, kChunk, *row);
        for (index j = 0; j < n; j += kChunk) std::memcpy(put + j, chunk, sizeof chunk);
      } else {
        index j = 0;
        for (; j + kChunk <= n; j += kChunk) std::memcpy(put + j, row + j, 16);
        for (; j < n; ++j) put[j] = row[j];
      }
    }
    for (index done = different; done < run;) {
      const index more = std::min(done, run - done);
      copy_elements(to, more * n, to + done * n);
      done += more;
    }
    first += run, rows -= run, to += run * n;
  }
}

template <class T>
const T* from(const T* operand, index offset) {
  return operand == nullptr ? nullptr : operand + offset;
}

}  // namespace

template <class T>
BroadcastPart<T> part_of_row(const Broadcast& g, index row, index begin, index n, const T* a, const T* b) {
  const index offset = row * g.inner + begin;
  if (g.lies_whole(a, b)) return {offset, n, from(a, offset), 1, from(b, offset), 1};
  index at_a, at_b;
  g.offsets(row, &at_a, &at_b);
  return {offset,   std::min(n, g.inner - begin),     from(a, at_a + begin * g.step_a),
          g.step_a, from(b, at_b + begin * g.step_b), g.step_b};
}

template <class T>
BroadcastPart<T> part_of_rows(const Broadcast& g, index row, index rows, const T* a, const T* b,
                              LaidOut<T>& scratch) {
  const auto placed = [&](const T* operand, bool repeats, index step, auto stride, T* laid) -> const T* {
    if (operand == nullptr || !repeats) return from(operand, row * g.inner);
    lay_out(g, operand, step, stride, row, rows, laid);
    return laid;
  };
  const auto stride_a = [](const Broadcast::Axis& axis) { return axis.stride_a; };
  const auto stride_b = [](const Broadcast::Axis& axis) { return axis.stride_b; };
  return {row * g.inner,
          rows * g.inner,
          placed(a, g.repeats_a, g.step_a, stride_a, scratch.a),
          1,
          placed(b, g.repeats_b, g.step_b, stride_b, scratch.b),
          1};
}

template BroadcastPart<float> part_of_row<float>(const Broadcast&, index, index, index, const float*,
                                                 const float*);
template BroadcastPart<double> part_of_row<double>(const Broadcast&, index, index, index, const double*,
                                                   const double*);
template BroadcastPart<float> part_of_rows<float>(const Broadcast&, index, index, const float*, const float*,
                                                  LaidOut<float>&);
template BroadcastPart<double> part_of_rows<double>(const Broadcast&, index, index, const double*,
                                                    const double*, LaidOut<double>&);

}  // namespace tenfold
