// A tensor seen along one axis, as (outer, n, inner), and how the work on its rows or columns is shared out.
#pragma once

#include <algorithm>

#include "tenfold/error.h"
#include "tenfold/parallel.h"
#include "tenfold/types.h"

namespace tenfold {

struct AxisView {
  index outer = 1, n = 1, inner = 1;

  // A scalar has one axis of extent 1, as in PyTorch.
  static AxisView of(const char* function, const Shape& shape, index axis) {
    const index rank = std::max<index>(1, static_cast<index>(shape.size()));
    if (axis < -rank || axis >= rank) {
      reject(function, "axis", "must be from ", -rank, " to ", rank - 1, " for an input of shape ",
             to_string(shape), "; received ", axis);
    }
    if (axis < 0) axis += rank;
    AxisView view;
    for (index i = 0; i < static_cast<index>(shape.size()); ++i) {
      (i < axis ? view.outer : i == axis ? view.n : view.inner) *= shape[static_cast<std::size_t>(i)];
    }
    return view;
  }

  // Positions beside the axis.
  index positions() const { return outer * inner; }

  // rows(first, count) where inner = 1, `grain` rows and more, else columns(offset of the first column's first value,
  // width); a barrier ends it.
  template <class Rows, class Columns>
  void share(const Team& team, index grain, Rows&& rows, Columns&& columns) const {
    if (inner == 1) {
      team.for_range(outer, grain, [&](index begin, index end) { rows(begin, end - begin); });
      return;
    }
    const index pieces = (inner + kColumns - 1) / kColumns;
    team.for_each(outer * pieces, [&](index task) {
      const index first = task % pieces * kColumns;
      columns(task / pieces * n * inner + first, std::min(kColumns, inner - first));
    });
  }

  static constexpr index kColumns = 256;  // n columns of this many values should stay in the cache
};

}  // namespace tenfold
