#include "tenfold/conv.h"

#include <algorithm>

namespace tenfold {
namespace {

// Calls visit(x index, w index, y index) for every product of the definition; x index is -1 in the constant
// border.
template <class Visit>
void every_product(const ConvGeometry& g, Visit&& visit) {
  const Window& w = g.window;
  const index C = g.channels / g.groups, F = g.filters / g.groups;
  for (index n = 0; n < g.images; ++n) {
    for (index f = 0; f < g.filters; ++f) {
      for (index o0 = 0; o0 < w[0].output; ++o0) {
        for (index o1 = 0; o1 < w[1].output; ++o1) {
          for (index o2 = 0; o2 < w[2].output; ++o2) {
            const index y = (((n * g.filters + f) * w[0].output + o0) * w[1].output + o1) * w[2].output + o2;
            for (index c = 0; c < C; ++c) {
              const index plane = n * g.channels + f / F * C + c;
              for (index k0 = 0; k0 < w[0].kernel; ++k0) {
                for (index k1 = 0; k1 < w[1].kernel; ++k1) {
                  for (index k2 = 0; k2 < w[2].kernel; ++k2) {
                    const index s0 = border_source(w[0].position(o0, k0), w[0].size, w.border);
                    const index s1 = border_source(w[1].position(o1, k1), w[1].size, w.border);
                    const index s2 = border_source(w[2].position(o2, k2), w[2].size, w.border);
                    const bool outside = s0 < 0 || s1 < 0 || s2 < 0;
                    const index x =
                        outside ? -1 : ((plane * w[0].size + s0) * w[1].size + s1) * w[2].size + s2;
                    visit(x, (((f * C + c) * w[0].kernel + k0) * w[1].kernel + k1) * w[2].kernel + k2, y);
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace

template <class T>
void reference_convolution(const ConvGeometry& g, double border_value, const T* x, const T* w, const T* bias,
                           T* y) {
  const index outputs = g.window.output_count();
  for (index i = 0; i < g.images * g.filters * outputs; ++i)
    y[i] = bias ? bias[i / outputs % g.filters] : T(0);
  every_product(g, [&](index xi, index wi, index yi) {
    y[yi] += w[wi] * (xi < 0 ? static_cast<T>(border_value) : x[xi]);
  });
}

template <class T>
void reference_convolution_backward(const ConvGeometry& g, double border_value, const T* x, const T* w,
                                    const T* dy, T* dx, T* dw) {
  if (dx) std::fill(dx, dx + g.images * g.channels * g.window.input_count(), T(0));
  if (dw) std::fill(dw, dw + g.filters * (g.channels / g.groups) * g.window.kernel_count(), T(0));
  every_product(g, [&](index xi, index wi, index yi) {
    if (dx && xi >= 0) dx[xi] += w[wi] * dy[yi];
    if (dw) dw[wi] += dy[yi] * (xi < 0 ? static_cast<T>(border_value) : x[xi]);
  });
}

template void reference_convolution<float>(const ConvGeometry&, double, const float*, const float*,
                                           const float*, float*);
template void reference_convolution<double>(const ConvGeometry&, double, const double*, const double*,
                                            const double*, double*);
template void reference_convolution_backward<float>(const ConvGeometry&, double, const float*, const float*,
                                                    const float*, float*, float*);
template void reference_convolution_backward<double>(const ConvGeometry&, double, const double*,
                                                     const double*, const double*, double*, double*);

}  // namespace tenfold
