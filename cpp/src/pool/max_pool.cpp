#include <algorithm>

#include "kernels/past.h"
#include "pool/geometry.h"
#include "tenfold/error.h"
#include "tenfold/pool.h"

namespace tenfold {

MaxPool::MaxPool(const Window& window, index planes, const char* function)
    : window_(window), planes_(planes) {
  const index plane = checked_count({window[0].size, window[1].size, window[2].size}, function, "input");
  if (plane > kMostPlaneElements) {
    reject(function, "input", "must have fewer than 2^31 elements in a channel; received ", plane);
  }
}

bool MaxPool::taps_fit() const {
  return window_.kernel_count() <= kMostTapNumbers;
}

namespace {

// Whether a pass over so many bytes finds none of its input in a cache, nor a reader its output.
bool exceeds_caches(index bytes) {
  return passes_caches(static_cast<std::size_t>(bytes));
}

// Outputs begin .. begin + count - 1 of an axis as an axis of its own, which begins at element `skipped`.
PoolAxis part_of(const PoolAxis& axis, index begin, index count, index& skipped) {
  PoolAxis part = axis;
  const index start = begin * axis.stride - axis.pad;
  skipped = std::clamp<index>(start, 0, axis.size);
  part.size = axis.size - skipped;
  part.pad = skipped - start;
  part.output = count;
  part.inner_begin = std::clamp<index>(axis.inner_begin - begin, 0, count);
  part.inner_end = std::clamp<index>(axis.inner_end - begin, part.inner_begin, count);
  return part;
}

// body(geometry, planes, x, y) for parts of some planes that have at most `most` outputs: some planes or, of larger ones,
// some rows. x, y: where these begin in the arrays of the planes.
template <class Body>
void for_output_parts(const PoolGeometry& g, index planes, index most, const Body& body) {
  const index in = g.h.size * g.w.size, out = g.h.output * g.w.output;
  if (out <= most) {
    const index together = most / std::max<index>(1, out);
    for (index p = 0; p < planes; p += together) body(g, std::min(together, planes - p), p * in, p * out);
    return;
  }
  const index rows = most / g.w.output;
  for (index p = 0; p < planes; ++p) {
    for (index r = 0; r < g.h.output; r += rows) {
      PoolGeometry part = g;
      index skipped = 0;
      part.h = part_of(g.h, r, std::min(rows, g.h.output - r), skipped);
      body(part, 1, p * in + skipped * g.w.size, p * out + r * g.w.output);
    }
  }
}

// Windows of 2 x 2 side by side. Others take longer than their outputs' way to memory.
bool tiles_by_pairs(const PoolGeometry& g) {
  const auto pairs = [](const PoolAxis& a) { return a.kernel == 2 && a.stride == 2 && a.dilation == 1; };
  return g.d.size == 1 && g.d.output == 1 && pairs(g.h) && pairs(g.w);
}

}  // namespace

template <class T>
void MaxPool::forward(const Team& team, const T* x, T* y, std::uint8_t* taps) const {
  constexpr index kBytes = sizeof(T), kMost = 8192 / kBytes;
  const auto& k = kernels<MaxPoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  const bool far = exceeds_caches(planes_ * (in + out) * kBytes);
  const auto run = [&](const PoolGeometry& part, index planes, const T* from, T* to, std::uint8_t* at) {
    if (at != nullptr) {
      k.with_taps(part, planes, from, far, to, at);
    } else {
      k.values(part, planes, from, far, to);
    }
  };
  const auto places = [&](index at) { return taps != nullptr ? taps + at : nullptr; };
  if (!far || !tiles_by_pairs(g) || g.w.output > kMost) {
    each_block(team, planes_, in,
               [&](index p, index planes) { run(g, planes, x + p * in, y + p * out, places(p * out)); });
    return;
  }
  // Rows begin anywhere in a line: outputs are gathered, and leave past the caches by whole lines.
  each_block(team, planes_, in, [&](index p, index planes) {
    alignas(kLineBytes) T values[kMost];
    alignas(kLineBytes) std::uint8_t numbers[kMost];
    for_output_parts(g, planes, kMost, [&](const PoolGeometry& part, index count, index from, index to) {
      run(part, count, x + p * in + from, values, taps != nullptr ? numbers : nullptr);
      const index made = count * part.h.output * part.w.output;
      write_past(y + p * out + to, values, made * kBytes);
      if (taps != nullptr) write_past(places(p * out + to), numbers, made);
    });
  });
}

template <class T>
void MaxPool::forward(const Team& team, const T* x, T* y, index* positions) const {
  if (positions == nullptr) return forward(team, x, y, static_cast<std::uint8_t*>(nullptr));
  const auto& k = kernels<MaxPoolKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  const bool far = exceeds_caches(planes_ * in * static_cast<index>(sizeof(T)));
  each_block(team, planes_, in, [&](index p, index count) {
    k.with_positions(g, count, x + p * in, far, y + p * out, positions + p * out);
  });
}

template <class T>
void MaxPool::backward(const Team& team, const T* dy, const std::uint8_t* taps, T* dx) const {
  const auto& k = kernels<MaxPoolGradientKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  const bool past = passes_caches(static_cast<std::size_t>(planes_ * in) * sizeof(T));
  each_block(team, planes_, in, [&](index p, index count) {
    k.by_taps(g, count, dy + p * out, taps + p * out, past, dx + p * in);
  });
}

template <class T>
void MaxPool::backward(const Team& team, const T* dy, const index* positions, T* dx) const {
  const auto& k = kernels<MaxPoolGradientKernels, T>();
  const PoolGeometry g = pool_geometry(window_);
  const index in = window_.input_count(), out = window_.output_count();
  each_block(team, planes_, in, [&](index p, index count) {
    k.by_positions(g, count, dy + p * out, positions + p * out, dx + p * in);
  });
}

#define TENFOLD_INSTANTIATE(T, P)                                         \
  template void MaxPool::forward<T>(const Team&, const T*, T*, P*) const; \
  template void MaxPool::backward<T>(const Team&, const T*, const P*, T*) const;
TENFOLD_INSTANTIATE(float, std::uint8_t)
TENFOLD_INSTANTIATE(float, index)
TENFOLD_INSTANTIATE(double, std::uint8_t)
TENFOLD_INSTANTIATE(double, index)
#undef TENFOLD_INSTANTIATE

}  // namespace tenfold
