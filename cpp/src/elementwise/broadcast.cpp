#include <algorithm>

#include "tenfold/elementwise.h"
#include "tenfold/error.h"

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

}  // namespace tenfold
