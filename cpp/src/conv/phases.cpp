#include "conv/phases.h"

#include <algorithm>
#include <cmath>

#include "conv/winograd.h"
#include "conv/winograd_gradient_choice.h"
#include "kernels/conv.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kBehind = 16;  // elements behind the last phase that may be read
// Rows of a phase that are copied before the same rows of the next one, which may lie in the same sets of the caches.
constexpr index kRows = 8;

// Whether the phases of an axis have its padding themselves, which need not be copied then.
bool pads_phases(const Axis& axis, Border border) {
  return border == Border::constant && axis.pad_before % axis.dilation == 0 &&
         axis.pad_after % axis.dilation == 0;
}

// Products of a channel's or filter's pixel from which on its copy counts little, and for the weight gradient, which is made
// of two copies.
constexpr index kProductsOfCopy = 12, kProductsOfCopies = 16;

// Whether phases are images of some size, hardly more than what they are made of, and their copies few beside the products.
bool suits(const ConvGeometry& g, const ConvOptions& options, index products_of_copy) {
  constexpr index kLeastExtent = 6;
  constexpr double kMostWaste = 1.2;
  const Window& w = g.window;
  const bool dilated = w[1].dilation > 1 || w[2].dilation > 1;
  if (w.rank != 2 || g.groups != 1 || !dilated || w[1].stride != 1 || w[2].stride != 1) return false;
  if (g.images == 0 || w.input_count() == 0 || !std::isfinite(options.border_value)) return false;
  const ConvGeometry phase = phase_geometry(g);
  const double phases = static_cast<double>(phase.images / g.images);
  const auto small = [](const Axis& a) { return std::min(a.size, a.output) < kLeastExtent; };
  return !small(phase.window[1]) && !small(phase.window[2]) &&
         phases * static_cast<double>(phase.window.input_count()) <=
             kMostWaste * static_cast<double>(w.input_count()) &&
         g.channels * g.filters >= products_of_copy * (g.channels + g.filters);
}

// Every `step`-th element of an axis of so many, from each of the first `step` on.
ShiftAxis phases_of(Axis axis, index step, index places, Border border) {
  axis.kernel = axis.stride = step, axis.dilation = 1, axis.output = places;
  return shift_forward(axis, border);
}

}  // namespace

ConvGeometry phase_geometry(const ConvGeometry& geometry) {
  ConvGeometry g = geometry;
  g.window.border = Border::constant;
  for (int i = 1; i < 3; ++i) {
    Axis& axis = g.window[i];
    g.images *= axis.dilation;
    axis.output = divide_up(axis.output, axis.dilation);
    if (pads_phases(axis, geometry.window.border)) {
      axis.size = divide_up(axis.size, axis.dilation);
      axis.pad_before /= axis.dilation, axis.pad_after /= axis.dilation;
    } else {
      axis.size = axis.output + axis.kernel - 1;
      axis.pad_before = axis.pad_after = 0;
    }
    axis.dilation = 1;
  }
  return g;
}

bool phases_apply(const ConvGeometry& g, const ConvOptions& options, bool adjoint) {
  if (!suits(g, options, kProductsOfCopy)) return false;
  const ConvGeometry phase = phase_geometry(g);
  if (!winograd_applies(phase, adjoint)) return false;
  return winograd_choice(adjoint ? winograd_adjoint(phase, false) : winograd_forward(phase, options)) != 0;
}

bool phases_gradient_applies(const ConvGeometry& g, const ConvOptions& options) {
  if (!suits(g, options, kProductsOfCopies)) return false;
  const ConvGeometry phase = phase_geometry(g);
  return winograd_gradient_applies(phase, 0, sizeof(float)) && winograd_gradient_choice(phase) != 0;
}

template <class T>
PhaseImages<T>::PhaseImages(const ConvGeometry& geometry)
    : geometry_(geometry), phase_(phase_geometry(geometry)) {
  for (std::size_t i = 0; i < 2; ++i) {
    Axis axis = geometry.window[static_cast<int>(i) + 1];
    const Axis& phase = phase_.window[static_cast<int>(i) + 1];
    step_[i] = axis.dilation;
    if (pads_phases(axis, geometry.window.border)) axis.pad_before = axis.pad_after = 0;
    input_[i] = phases_of(axis, axis.dilation, phase.size, geometry.window.border);
    Axis output;
    output.size = axis.output;
    output_[i] = phases_of(output, axis.dilation, phase.output, Border::constant);
  }
}

template <class T>
std::size_t PhaseImages<T>::input_bytes() const {
  const index elements = phase_.images * phase_.channels * phase_.window.input_count() + kBehind;
  return align_up(static_cast<std::size_t>(elements) * sizeof(T));
}
template <class T>
std::size_t PhaseImages<T>::output_bytes() const {
  const index elements = phase_.images * phase_.filters * phase_.window.output_count() + kBehind;
  return align_up(static_cast<std::size_t>(elements) * sizeof(T));
}

template <class T>
void PhaseImages<T>::split(const Team& team, const std::array<ShiftAxis, 2>& looks, index channels,
                           const T* from, T fill, T* to) const {
  const auto& k = kernels<ConvKernels, T>();
  const index width = looks[1].source, plane = looks[0].source * width;
  const index rows = looks[0].grid, columns = looks[1].grid;
  team.for_each(geometry_.images * channels, [&](index item) {
    const index n = item / channels, c = item % channels;
    for (index fh = 0; fh < step_[0]; ++fh) {
      const ShiftPhase& down = looks[0].phases[static_cast<std::size_t>(fh)];
      for (index begin = 0; begin < rows; begin += kRows) {
        const index end = std::min(rows, begin + kRows);
        for (index fw = 0; fw < step_[1]; ++fw) {
          const ShiftPhase& along = looks[1].phases[static_cast<std::size_t>(fw)];
          const index image = (n * step_[0] + fh) * step_[1] + fw;
          for (index u = begin; u < end; ++u) {
            const index h = down.table[static_cast<std::size_t>(u)];
            T* const row = to + ((image * channels + c) * rows + u) * columns;
            if (h < 0) {
              k.fill(columns, fill, row);
            } else {
              k.pad_row(columns, along.table.data(), along.inside_begin, along.inside_end, along.first,
                        step_[1], from + item * plane + h * width, fill, row);
            }
          }
        }
      }
    }
  });
}

template <class T>
void PhaseImages<T>::join(const Team& team, std::array<index, 2> low, std::array<index, 2> high,
                          const std::array<index, 2>& extent, index channels, const T* from, T* to) const {
  const auto& k = kernels<ConvKernels, T>();
  const index width = high[1] - low[1], plane = (high[0] - low[0]) * width;
  team.for_each(geometry_.images * channels, [&](index item) {
    const index n = item / channels, c = item % channels;
    // The columns from p on, of a phase's row.
    const auto place = [&](index row, index p) {
      const index image = (n * step_[0] + row % step_[0]) * step_[1] + p % step_[1];
      return from + ((image * channels + c) * extent[0] + row / step_[0]) * extent[1] + p / step_[1];
    };
    for (index fh = 0; fh < step_[0]; ++fh) {
      const index first_row = low[0] + (fh - low[0] % step_[0] + step_[0]) % step_[0];
      for (index begin = first_row; begin < high[0]; begin += kRows * step_[0]) {
        const index end = std::min(high[0], begin + kRows * step_[0]);
        const auto each_row = [&](const auto& body) {
          for (index row = begin; row < end; row += step_[0])
            body(row, to + item * plane + (row - low[0]) * width);
        };
        if (step_[1] == 2) {
          const ConvRun run{0, width, 0};
          each_row([&](index row, T* target) {
            k.scatter_pair(1, 1, &run, place(row, low[1]), place(row, low[1] + 1), 0, target, 0, nullptr,
                           kConvReplace);
          });
          continue;
        }
        for (index first = 0; first < std::min(step_[1], width); ++first) {
          const ConvRun run{0, divide_up(width - first, step_[1]), first};
          each_row([&](index row, T* target) {
            k.scatter(1, 1, &run, place(row, low[1] + first), 0, target, 0, step_[1]);
          });
        }
      }
    }
  });
}

template <class T>
void PhaseImages<T>::split_input(const Team& team, const T* x, T fill, T* phases) const {
  split(team, input_, geometry_.channels, x, fill, phases);
}
template <class T>
void PhaseImages<T>::split_output(const Team& team, const T* y, T* phases) const {
  split(team, output_, geometry_.filters, y, T(0), phases);
}

template <class T>
void PhaseImages<T>::join_output(const Team& team, const T* phases, T* y) const {
  const Window &w = geometry_.window, &p = phase_.window;
  join(team, {0, 0}, {w[1].output, w[2].output}, {p[1].output, p[2].output}, geometry_.filters, phases, y);
}
template <class T>
void PhaseImages<T>::join_input(const Team& team, const T* phases, bool padded, T* x) const {
  const Window &w = geometry_.window, &p = phase_.window;
  const auto low = [&](const Axis& a) { return padded || pads_phases(a, w.border) ? 0 : a.pad_before; };
  const auto high = [&](const Axis& a) { return padded ? a.padded() : low(a) + a.size; };
  join(team, {low(w[1]), low(w[2])}, {high(w[1]), high(w[2])}, {p[1].size, p[2].size}, geometry_.channels,
       phases, x);
}

template <class T>
PhasedProduct<T>::PhasedProduct(const ConvGeometry& g, const ConvOptions& options, bool adjoint, bool padded)
    : images_(g),
      inner_(phase_geometry(g), options),
      adjoint_(adjoint),
      padded_(padded),
      fill_(static_cast<T>(options.border_value)) {}

template <class T>
std::size_t PhasedProduct<T>::workspace(int threads) const {
  return images_.input_bytes() + images_.output_bytes() +
         (adjoint_ ? inner_.adjoint_workspace(threads) : inner_.apply_workspace(threads));
}

template <class T>
void PhasedProduct<T>::run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
                           std::byte* workspace) const {
  T* const x = reinterpret_cast<T*>(workspace);
  T* const y = reinterpret_cast<T*>(workspace + images_.input_bytes());
  std::byte* const rest = workspace + images_.input_bytes() + images_.output_bytes();
  if (adjoint_) {
    images_.split_output(team, source, y);
    inner_.adjoint(team, y, weight, bias, x, rest);
    images_.join_input(team, x, padded_, target);
  } else {
    images_.split_input(team, source, fill_, x);
    inner_.apply(team, x, weight, bias, y, rest);
    images_.join_output(team, y, target);
  }
}

template <class T>
PhasedGradient<T>::PhasedGradient(const ConvGeometry& g, const ConvOptions& options)
    : images_(g), inner_(phase_geometry(g), options), fill_(static_cast<T>(options.border_value)) {}

template <class T>
std::size_t PhasedGradient<T>::workspace(int threads) const {
  return images_.input_bytes() + images_.output_bytes() + inner_.weight_gradient_workspace(threads);
}

template <class T>
void PhasedGradient<T>::run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const {
  T* const x_phases = reinterpret_cast<T*>(workspace);
  T* const dy_phases = reinterpret_cast<T*>(workspace + images_.input_bytes());
  images_.split_input(team, x, fill_, x_phases);
  images_.split_output(team, dy, dy_phases);
  inner_.weight_gradient(team, x_phases, dy_phases, dw, nullptr,
                         workspace + images_.input_bytes() + images_.output_bytes());
}

#define TENFOLD_INSTANTIATE(T)     \
  template class PhaseImages<T>;   \
  template class PhasedProduct<T>; \
  template class PhasedGradient<T>;
TENFOLD_INSTANTIATE(float)
TENFOLD_INSTANTIATE(double)
#undef TENFOLD_INSTANTIATE

}  // namespace tenfold
