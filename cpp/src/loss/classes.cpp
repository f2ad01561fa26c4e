#include "loss/classes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/softmax.h"
#include "loss/softmax_rows.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

template <class T>
T weight_of(const T* weight, index label) {
  return weight == nullptr ? T(1) : weight[label];
}

void report(const char* function, const ClassGeometry& g, index position, index label, ErrorSink* errors) {
  if (errors == nullptr || errors->error) return;
  try {
    reject(function, "target", "must hold labels from 0 to ", g.classes - 1, " (or ignore_index, ",
           g.ignore_index, "); received ", label, " at position ", position);
  } catch (...) {
    errors->error = std::current_exception();
  }
}

// term(position, partial) for all positions; returns the sum of all chunks on every member.
template <class Term>
Partial sum_positions(const Team& team, const ClassGeometry& g, Partial* partials, Term&& term) {
  const index total = g.positions();
  team.for_each(g.chunks(), [&](index chunk) {
    Partial partial;
    const index end = std::min(total, (chunk + 1) * ClassGeometry::kChunk);
    for (index s = chunk * ClassGeometry::kChunk; s < end; ++s) term(s, partial);
    partials[chunk] = partial;
  });
  Partial sum;
  for (index chunk = 0; chunk < g.chunks(); ++chunk) {
    sum.value += partials[chunk].value;
    sum.weight += partials[chunk].weight;
    if (sum.wrong < 0) sum.wrong = partials[chunk].wrong;
  }
  return sum;
}

std::size_t partial_bytes(const ClassGeometry& g) {
  return align_up(static_cast<std::size_t>(g.chunks()) * sizeof(Partial));
}

// Whether a label counts; an illegal one is noted.
bool counts(const ClassGeometry& g, const index* labels, index position, Partial& partial) {
  const index label = labels[position];
  if (label == g.ignore_index) return false;
  if (g.legal(label)) return true;
  if (partial.wrong < 0) partial.wrong = position;
  return false;
}

// The last words of a forward pass, by one member.
template <class T>
void finish(const Team& team, const char* function, const ClassGeometry& g, Reduction reduction,
            const Partial& sum, const index* labels, T* y, double* denominator, ErrorSink* errors) {
  team.once([&] {
    if (reduction == Reduction::mean) y[0] = static_cast<T>(sum.value / sum.weight);
    if (reduction == Reduction::sum) y[0] = static_cast<T>(sum.value);
    *denominator = reduction == Reduction::mean ? sum.weight : 1;
    if (sum.wrong >= 0) report(function, g, sum.wrong, labels[sum.wrong], errors);
  });
}

}  // namespace

template <class T>
std::size_t CrossEntropy<T>::forward_workspace() const {
  return partial_bytes(geometry) + 2 * align_up(static_cast<std::size_t>(geometry.positions()) * sizeof(T));
}

template <class T>
void CrossEntropy<T>::forward(const Team& team, const T* x, const index* labels, const T* shares,
                              const T* weight, T* y, T* probabilities, double* denominator,
                              std::byte* workspace, ErrorSink* errors) const {
  const auto& k = kernels<SoftmaxKernels, T>();
  const ClassGeometry& g = geometry;
  const index n = g.classes, inner = g.inner;
  Partial* partials = reinterpret_cast<Partial*>(workspace);
  T* largest = reinterpret_cast<T*>(workspace + partial_bytes(g));
  T* log_sums = reinterpret_cast<T*>(workspace + partial_bytes(g) +
                                     align_up(static_cast<std::size_t>(g.positions()) * sizeof(T)));
  if (inner == 1) {
    team.for_range(g.samples, softmax_grain(n), [&](index begin, index end) {
      softmax_rows(end - begin, n, x + begin * n, probabilities + begin * n, largest + begin,
                   log_sums + begin);
    });
  } else {
    const index pieces = (inner + ClassGeometry::kChunk - 1) / ClassGeometry::kChunk;
    team.for_each(g.samples * pieces, [&](index task) {
      const index sample = task / pieces, first = task % pieces * ClassGeometry::kChunk;
      const index at = sample * n * inner + first, position = sample * inner + first;
      k.softmax_columns(std::min(ClassGeometry::kChunk, inner - first), n, inner, x + at, probabilities + at,
                        largest + position, log_sums + position);
    });
  }

  const T keep = static_cast<T>(1 - smoothing), spread = static_cast<T>(smoothing / static_cast<double>(n));
  const Partial sum = sum_positions(team, g, partials, [&](index s, Partial& partial) {
    const T* row = x + g.offset(s);
    // -log softmax(x)_c = log_sum - (x_c - largest)
    const T log_sum = log_sums[s], top = largest[s];
    T term = 0;
    if (labels != nullptr) {
      if (counts(g, labels, s, partial)) {
        const T w = weight_of(weight, labels[s]);
        term = keep * w * (log_sum - (row[labels[s] * inner] - top));
        partial.weight += w;
        if (spread != 0) {
          T all = 0;
          for (index c = 0; c < n; ++c) all += weight_of(weight, c) * (log_sum - (row[c * inner] - top));
          term += spread * all;
        }
      }
    } else {
      const T* share = shares + g.offset(s);
      for (index c = 0; c < n; ++c) {
        term +=
            weight_of(weight, c) * (keep * share[c * inner] + spread) * (log_sum - (row[c * inner] - top));
      }
      partial.weight += 1;
    }
    if (reduction == Reduction::none) y[s] = term;
    partial.value += term;
  });
  finish(team, "cross_entropy", g, reduction, sum, labels, y, denominator, errors);
}

template <class T>
void CrossEntropy<T>::backward(const Team& team, const index* labels, const T* shares, const T* weight,
                               const T* probabilities, const double* denominator, const T* dy, T* dx) const {
  const auto& k = kernels<SoftmaxKernels, T>();
  const ClassGeometry& g = geometry;
  const index n = g.classes, inner = g.inner;
  const T keep = static_cast<T>(1 - smoothing), spread = static_cast<T>(smoothing / static_cast<double>(n));
  T all_weights = static_cast<T>(n);
  if (weight != nullptr) {
    all_weights = 0;
    for (index c = 0; c < n; ++c) all_weights += weight[c];
  }
  const T common = reduction == Reduction::none ? T(0) : static_cast<T>(dy[0] / *denominator);
  constexpr index kBlock = 64;
  const index pieces = (inner + kBlock - 1) / kBlock;
  const index tasks = inner == 1 ? (g.samples + kBlock - 1) / kBlock : g.samples * pieces;
  team.for_each(tasks, [&](index task) {
    // `width` positions, `step` values apart, and for each: scale = its share of dy, total = scale times the
    // sum of a.
    const index position = inner == 1 ? task * kBlock : task / pieces * inner + task % pieces * kBlock;
    const index width = std::min(kBlock, inner == 1 ? g.samples - position : inner - task % pieces * kBlock);
    const index step = inner == 1 ? n : 1;
    const index at = g.offset(position);
    const T* p = probabilities + at;
    T* d = dx + at;
    T scale[kBlock], total[kBlock];
    for (index i = 0; i < width; ++i) {
      const index s = position + i;
      scale[i] = reduction == Reduction::none ? dy[s] : common;
      if (labels != nullptr) {
        const bool used = labels[s] != g.ignore_index && g.legal(labels[s]);
        if (!used) scale[i] = 0;
        total[i] = used ? scale[i] * (keep * weight_of(weight, labels[s]) + spread * all_weights) : T(0);
      } else {
        T sum = 0;
        const T* share = shares + at + i * step;
        for (index c = 0; c < n; ++c) sum += weight_of(weight, c) * (keep * share[c * inner] + spread);
        total[i] = scale[i] * sum;
      }
    }
    const auto coefficient = [&](index i, index c) {
      const T w = weight_of(weight, c);
      return shares == nullptr ? w * spread : w * (keep * shares[at + i * step + c * inner] + spread);
    };
    // An ignored position has no gradient even where its probabilities are NaN.
    const auto put = [&](index i, index c) {
      const index j = i * step + c * inner;
      d[j] = scale[i] == 0 ? T(0) : p[j] * total[i] - scale[i] * coefficient(i, c);
    };
    if (shares == nullptr && weight == nullptr) {
      // The coefficient is the same for all classes, and total is 0 where scale is.
      T less[kBlock];
      for (index i = 0; i < width; ++i) less[i] = scale[i] * spread;
      if (inner == 1) {
        k.cross_entropy_rows_backward(width, n, p, total, less, d);
      } else {
        k.cross_entropy_columns_backward(width, n, inner, p, total, less, d);
      }
    } else if (inner == 1) {
      for (index i = 0; i < width; ++i) {
        for (index c = 0; c < n; ++c) put(i, c);
      }
    } else {
      for (index c = 0; c < n; ++c) {
        for (index i = 0; i < width; ++i) put(i, c);
      }
    }
    if (labels != nullptr) {
      for (index i = 0; i < width; ++i) {
        const index label = labels[position + i];
        if (scale[i] != 0) d[i * step + label * inner] -= scale[i] * keep * weight_of(weight, label);
      }
    }
  });
}

template <class T>
std::size_t NegativeLogLikelihood<T>::forward_workspace() const {
  return partial_bytes(geometry);
}

template <class T>
void NegativeLogLikelihood<T>::forward(const Team& team, const T* x, const index* labels, const T* weight,
                                       T* y, double* denominator, std::byte* workspace,
                                       ErrorSink* errors) const {
  const ClassGeometry& g = geometry;
  const Partial sum =
      sum_positions(team, g, reinterpret_cast<Partial*>(workspace), [&](index s, Partial& partial) {
        T term = 0;
        if (counts(g, labels, s, partial)) {
          const T w = weight_of(weight, labels[s]);
          term = -w * x[g.offset(s) + labels[s] * g.inner];
          partial.weight += w;
        }
        if (reduction == Reduction::none) y[s] = term;
        partial.value += term;
      });
  finish(team, "nll_loss", g, reduction, sum, labels, y, denominator, errors);
}

template <class T>
void NegativeLogLikelihood<T>::backward(const Team& team, const index* labels, const T* weight,
                                        const double* denominator, const T* dy, T* dx) const {
  const ClassGeometry& g = geometry;
  const T common = reduction == Reduction::none ? T(0) : static_cast<T>(dy[0] / *denominator);
  team.for_each(g.samples, [&](index sample) {
    T* d = dx + sample * g.classes * g.inner;
    std::fill(d, d + g.classes * g.inner, T(0));
    for (index i = 0; i < g.inner; ++i) {
      const index s = sample * g.inner + i, label = labels[s];
      if (label == g.ignore_index || !g.legal(label)) continue;
      d[label * g.inner + i] = -weight_of(weight, label) * (reduction == Reduction::none ? dy[s] : common);
    }
  });
}

template <class T>
std::size_t Accuracy<T>::forward_workspace() const {
  return partial_bytes(geometry);
}

template <class T>
void Accuracy<T>::forward(const Team& team, const T* x, const index* labels, T* y, std::byte* workspace,
                          ErrorSink* errors) const {
  const ClassGeometry& g = geometry;
  const Partial sum =
      sum_positions(team, g, reinterpret_cast<Partial*>(workspace), [&](index s, Partial& partial) {
        if (!counts(g, labels, s, partial)) return;
        const T* row = x + g.offset(s);
        const index label = labels[s];
        const T own = row[label * g.inner];
        index above = std::isnan(own) ? g.classes : 0;
        for (index c = 0; c < g.classes; ++c) {
          const T other = row[c * g.inner];
          above += !(other <= own) || (other == own && c < label);
        }
        partial.value += above < k;
        partial.weight += 1;
      });
  double unused;
  finish(team, "accuracy", g, Reduction::mean, sum, labels, y, &unused, errors);
}

template struct CrossEntropy<float>;
template struct CrossEntropy<double>;
template struct NegativeLogLikelihood<float>;
template struct NegativeLogLikelihood<double>;
template struct Accuracy<float>;
template struct Accuracy<double>;

}  // namespace tenfold
