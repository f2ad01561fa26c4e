// A plain interpreter of lane chains in float64, for the tests and for what a benchmark checks before it
// reports.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "program/lanes/lane_segment.h"

namespace tenfold::lanes_reference {

using Vector = std::vector<double>;
using Kind = LaneLayer::Kind;

inline Axis axis(index size, index kernel, index stride, index before, index after, index dilation) {
  Axis a;
  a.size = size;
  a.kernel = kernel;
  a.stride = stride;
  a.dilation = dilation;
  a.pad_before = before;
  a.pad_after = after;
  a.output = a.output_size();
  return a;
}

// Builds a chain, following the shape.
struct ChainBuilder {
  LaneChain chain;
  index c, h, w;

  ChainBuilder(index n, index channels, index height, index width) : c(channels), h(height), w(width) {
    chain.x = {n, c, h, w};
    chain.training = true;
  }
  LaneLayer& add(LaneLayer layer) {
    chain.layers.push_back(layer);
    return chain.layers.back();
  }
  ChainBuilder& conv(index features, index kh, index kw, index stride = 1, index before = 0, index after = 0,
                     index dilation = 1, bool bias = true) {
    LaneLayer layer{Kind::conv, axis(h, kh, stride, before, after, dilation),
                    axis(w, kw, stride, before, after, dilation)};
    layer.features = features;
    layer.bias = bias;
    add(layer);
    c = features;
    h = layer.height.output;
    w = layer.width.output;
    return *this;
  }
  ChainBuilder& pool(index kh, index kw, index sh, index sw, index pad = 0) {
    LaneLayer layer{Kind::max_pool, axis(h, kh, sh, pad, pad, 1), axis(w, kw, sw, pad, pad, 1)};
    add(layer);
    h = layer.height.output;
    w = layer.width.output;
    return *this;
  }
  ChainBuilder& relu(double at_zero = 1) {
    add({Kind::relu, {}, {}}).at_zero = at_zero;
    return *this;
  }
  ChainBuilder& flatten() {
    add({Kind::flatten, {}, {}});
    c = c * h * w;
    h = w = 1;
    return *this;
  }
  ChainBuilder& linear(index features, bool bias = true) {
    LaneLayer& layer = add({Kind::linear, {}, {}});
    layer.features = features;
    layer.bias = bias;
    c = features;
    h = w = 1;
    return *this;
  }
  ChainBuilder& keep() {
    chain.layers.back().kept = true;
    return *this;
  }
  ChainBuilder& loss() {
    chain.loss = chain.accuracy = true;
    return *this;
  }
};

struct Result {
  std::vector<Vector> outputs, gradients;  // gradients[i] of input i, empty for labels
};

// The chain layer by layer, sample by sample. d_outputs are the gradients of the outputs.
inline Result reference(const LaneChain& chain, const std::vector<Vector>& inputs,
                        const std::vector<index>& labels, const std::vector<Vector>& d_outputs) {
  struct State {
    index c, h, w;
    Vector v;
  };
  const index n = chain.x[0];
  std::vector<State> values{
      {chain.x[1], chain.x.size() > 2 ? chain.x[2] : 1, chain.x.size() > 3 ? chain.x[3] : 1, inputs[0]}};
  std::vector<std::size_t> weight_of;
  std::vector<std::vector<index>> winners;
  Result result;
  std::size_t next = 1;
  for (const LaneLayer& layer : chain.layers) {
    const State& x = values.back();
    const Axis &ah = layer.height, &aw = layer.width;
    State y{x.c, x.h, x.w, {}};
    std::vector<index> winner;
    weight_of.push_back(next);
    if (layer.kind == Kind::conv) {
      const Vector& w = inputs[next];
      y = {layer.features, ah.output, aw.output, {}};
      for (index s = 0; s < n; ++s)
        for (index f = 0; f < y.c; ++f)
          for (index oh = 0; oh < y.h; ++oh)
            for (index ow = 0; ow < y.w; ++ow) {
              double sum = layer.bias ? inputs[next + 1][f] : 0;
              for (index c = 0; c < x.c; ++c)
                for (index kh = 0; kh < ah.kernel; ++kh)
                  for (index kw = 0; kw < aw.kernel; ++kw) {
                    const index ih = ah.position(oh, kh), iw = aw.position(ow, kw);
                    if (ih < 0 || iw < 0 || ih >= x.h || iw >= x.w) continue;
                    sum += w[((f * x.c + c) * ah.kernel + kh) * aw.kernel + kw] *
                           x.v[((s * x.c + c) * x.h + ih) * x.w + iw];
                  }
              y.v.push_back(sum);
            }
    } else if (layer.kind == Kind::linear) {
      const index in = x.c * x.h * x.w;
      y = {layer.features, 1, 1, {}};
      for (index s = 0; s < n; ++s)
        for (index o = 0; o < y.c; ++o) {
          double sum = layer.bias ? inputs[next + 1][o] : 0;
          for (index i = 0; i < in; ++i) sum += inputs[next][o * in + i] * x.v[s * in + i];
          y.v.push_back(sum);
        }
    } else if (layer.kind == Kind::max_pool) {
      y.h = ah.output;
      y.w = aw.output;
      for (index p = 0; p < n * x.c; ++p)
        for (index oh = 0; oh < y.h; ++oh)
          for (index ow = 0; ow < y.w; ++ow) {
            double best = -std::numeric_limits<double>::infinity();
            index at = -1;
            for (index kh = 0; kh < ah.kernel; ++kh)
              for (index kw = 0; kw < aw.kernel; ++kw) {
                const index ih = ah.position(oh, kh), iw = aw.position(ow, kw);
                if (ih < 0 || iw < 0 || ih >= x.h || iw >= x.w) continue;
                const double v = x.v[(p * x.h + ih) * x.w + iw];
                if (at < 0 || v > best) {
                  best = v;
                  at = (p * x.h + ih) * x.w + iw;
                }
              }
            y.v.push_back(best);
            winner.push_back(at);
          }
    } else if (layer.kind == Kind::relu) {
      for (double v : x.v) y.v.push_back(v < 0 ? 0 : v);
    } else {
      y = {x.c * x.h * x.w, 1, 1, x.v};
    }
    if (layer.features > 0) next += layer.bias ? 2 : 1;
    winners.push_back(winner);
    values.push_back(y);
    if (layer.kept) result.outputs.push_back(values.back().v);
  }

  result.gradients.resize(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) result.gradients[i].assign(inputs[i].size(), 0);
  Vector d(values.back().v.size(), 0);
  std::size_t output = result.outputs.size();
  const std::size_t kept = output;
  if (chain.loss) {
    const State& z = values.back();
    const index classes = z.c;
    double loss = 0, hits = 0;
    index counted = 0;
    for (index label : labels) counted += label != chain.ignore_index;
    for (index s = 0; s < n; ++s) {
      const double* row = z.v.data() + s * classes;
      const double top = *std::max_element(row, row + classes);
      double sum = 0;
      for (index c = 0; c < classes; ++c) sum += std::exp(row[c] - top);
      if (labels[s] == chain.ignore_index) continue;
      hits += std::max_element(row, row + classes) - row == labels[s];
      loss += std::log(sum) + top - row[labels[s]];
      for (index c = 0; c < classes; ++c) {
        d[s * classes + c] = (std::exp(row[c] - top) / sum - (c == labels[s])) / counted * d_outputs[kept][0];
      }
    }
    result.outputs.push_back({loss / counted});
    result.outputs.push_back({hits / counted});
  }

  for (std::size_t l = chain.layers.size(); l-- > 0;) {
    const LaneLayer& layer = chain.layers[l];
    const State &x = values[l], &y = values[l + 1];
    const Axis &ah = layer.height, &aw = layer.width;
    if (layer.kept) {
      --output;
      const Vector& more = d_outputs[output];
      for (std::size_t i = 0; i < d.size(); ++i) d[i] += more[i];
    }
    Vector dx(x.v.size(), 0);
    Vector& dw = result.gradients[std::min(weight_of[l], inputs.size() - 1)];
    if (layer.kind == Kind::conv) {
      const Vector& w = inputs[weight_of[l]];
      for (index s = 0; s < n; ++s)
        for (index f = 0; f < y.c; ++f)
          for (index oh = 0; oh < y.h; ++oh)
            for (index ow = 0; ow < y.w; ++ow) {
              const double g = d[((s * y.c + f) * y.h + oh) * y.w + ow];
              if (layer.bias) result.gradients[weight_of[l] + 1][f] += g;
              for (index c = 0; c < x.c; ++c)
                for (index kh = 0; kh < ah.kernel; ++kh)
                  for (index kw = 0; kw < aw.kernel; ++kw) {
                    const index ih = ah.position(oh, kh), iw = aw.position(ow, kw);
                    if (ih < 0 || iw < 0 || ih >= x.h || iw >= x.w) continue;
                    const index wi = ((f * x.c + c) * ah.kernel + kh) * aw.kernel + kw;
                    const index xi = ((s * x.c + c) * x.h + ih) * x.w + iw;
                    dw[wi] += g * x.v[xi];
                    dx[xi] += g * w[wi];
                  }
            }
    } else if (layer.kind == Kind::linear) {
      const index in = x.c * x.h * x.w;
      for (index s = 0; s < n; ++s)
        for (index o = 0; o < y.c; ++o) {
          const double g = d[s * y.c + o];
          if (layer.bias) result.gradients[weight_of[l] + 1][o] += g;
          for (index i = 0; i < in; ++i) {
            dw[o * in + i] += g * x.v[s * in + i];
            dx[s * in + i] += g * inputs[weight_of[l]][o * in + i];
          }
        }
    } else if (layer.kind == Kind::max_pool) {
      for (std::size_t i = 0; i < d.size(); ++i) dx[winners[l][i]] += d[i];
    } else if (layer.kind == Kind::relu) {
      for (std::size_t i = 0; i < d.size(); ++i)
        dx[i] = x.v[i] > 0 ? d[i] : x.v[i] == 0 ? layer.at_zero * d[i] : 0;
    } else {
      dx = d;
    }
    d = dx;
  }
  result.gradients[0] = d;
  return result;
}

inline ChainBuilder lenet(index batch) {
  return ChainBuilder(batch, 1, 28, 28)
      .conv(6, 5, 5, 1, 2, 2)
      .relu()
      .pool(2, 2, 2, 2)
      .conv(16, 5, 5)
      .relu()
      .pool(2, 2, 2, 2)
      .flatten()
      .linear(120)
      .relu()
      .linear(84)
      .relu()
      .linear(10)
      .loss();
}

}  // namespace tenfold::lanes_reference
