#include <algorithm>
#include <limits>

#include "pool/geometry.h"
#include "tenfold/pool.h"

namespace tenfold {
namespace {

// body(output offset in the plane, depth, height, width) for every output of a plane.
template <class Body>
void each_output(const AdaptiveGeometry& g, Body&& body) {
  index o = 0;
  for (index od = 0; od < g.output[0]; ++od) {
    for (index oh = 0; oh < g.output[1]; ++oh) {
      for (index ow = 0; ow < g.output[2]; ++ow, ++o) {
        body(o, adaptive_piece(od, g.input[0], g.output[0]), adaptive_piece(oh, g.input[1], g.output[1]),
             adaptive_piece(ow, g.input[2], g.output[2]));
      }
    }
  }
}

// body(offset, count) for the contiguous runs of a window: its rows, or all of them at once where rows are
// whole.
template <class Body>
void each_run(const AdaptiveGeometry& g, Range d, Range h, Range w, Body&& body) {
  const index height = g.input[1], width = g.input[2];
  for (index i = d.begin; i < d.end; ++i) {
    if (w.size() == width) {
      body((i * height + h.begin) * width, h.size() * width);
      continue;
    }
    for (index j = h.begin; j < h.end; ++j) body((i * height + j) * width + w.begin, w.size());
  }
}

// Whether all pieces are as long as each other, so that the windows are as any pool's.
bool regular(const AdaptiveGeometry& g) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (g.input[i] % g.output[i] != 0) return false;
  }
  return true;
}
PoolGeometry pool_geometry(const AdaptiveGeometry& g) {
  const auto axis = [&](std::size_t i) {
    const index length = g.input[i] / g.output[i];
    return PoolAxis{g.input[i], length, length, 1, 0, g.output[i], 0, g.output[i]};
  };
  return {axis(0), axis(1), axis(2)};
}

index input_count(const AdaptiveGeometry& g) {
  return g.input[0] * g.input[1] * g.input[2];
}
index output_count(const AdaptiveGeometry& g) {
  return g.output[0] * g.output[1] * g.output[2];
}

}  // namespace

template <class T>
void adaptive_max_pool(const Team& team, const AdaptiveGeometry& g, const T* x, T* y, index* positions) {
  const index in = input_count(g), out = output_count(g);
  if (regular(g) && in <= kMostPlaneElements) {
    const auto& k = kernels<MaxPoolKernels, T>();
    const PoolGeometry pool = pool_geometry(g);
    return each_block(team, g.planes, in, [&](index p, index count) {
      if (positions != nullptr) {
        k.with_positions(pool, count, x + p * in, false, y + p * out, positions + p * out);
      } else {
        k.values(pool, count, x + p * in, false, y + p * out);
      }
    });
  }
  team.for_each(g.planes, [&](index p) {
    const T* plane = x + p * in;
    each_output(g, [&](index o, Range d, Range h, Range w) {
      index where = (d.begin * g.input[1] + h.begin) * g.input[2] + w.begin;
      T best = plane[where];
      each_run(g, d, h, w, [&](index at, index count) {
        for (index i = at; i < at + count; ++i) {
          const T v = plane[i];
          if (v > best || (v != v && best == best)) {
            best = v;
            where = i;
          }
        }
      });
      y[p * out + o] = best;
      if (positions != nullptr) positions[p * out + o] = where;
    });
  });
}

template <class T>
void adaptive_max_pool_backward(const Team& team, const AdaptiveGeometry& g, const T* dy,
                                const index* positions, T* dx) {
  const index in = input_count(g), out = output_count(g);
  team.for_each(g.planes, [&](index p) {
    std::fill_n(dx + p * in, in, T(0));
    for (index o = 0; o < out; ++o) dx[p * in + positions[p * out + o]] += dy[p * out + o];
  });
}

#define TENFOLD_INSTANTIATE(T)                                                                 \
  template void adaptive_max_pool(const Team&, const AdaptiveGeometry&, const T*, T*, index*); \
  template void adaptive_max_pool_backward(const Team&, const AdaptiveGeometry&, const T*, const index*, T*);
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)
#undef TENFOLD_INSTANTIATE

}  // namespace tenfold
