#include "norm/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/past.h"
#include "tenfold/memory.h"

namespace tenfold {
namespace {

constexpr index kPiece = 4096;  // values of a plane per piece: fits the L1 cache for the second pass
constexpr index kRows = 64;     // rows and columns of a block
constexpr index kColumns = 64;
// Small planes, which are not worth a call each: so many together, of up to so many values.
constexpr index kTogether = 32, kMostTogether = 256;
// The most values of a plane for which turning it is cheaper than sums across a vector.
constexpr index kMostMoments = 64, kMostSums = 16;

// Small planes of up to kTogether channels, turned: value i of channel c at [i * kTogether + c].
template <class T>
struct TurnedPlanes {
  TurnedPlanes(index inner, index width, const T* x) {
    kernels<GemmKernels, T>().pack(width, inner, x, inner, 1, kTogether, data);
  }
  alignas(kLineBytes) T data[kMostMoments * kTogether];
};

// The statistics of one piece and channel: moments (mean, squared deviations) or two sums.
struct Pair {
  double first, second;
};

std::size_t pair_bytes(index count) {
  return align_up(static_cast<std::size_t>(count) * sizeof(Pair));
}

}  // namespace

template <class T>
index BatchNorm<T>::pieces_per_plane() const {
  return divide_up(inner, kPiece);
}

template <class T>
index BatchNorm<T>::parts() const {
  return columns() ? divide_up(samples, kRows) : samples * pieces_per_plane();
}

template <class T>
std::size_t BatchNorm<T>::workspace() const {
  return pair_bytes(parts() * channels) + 3 * align_up(static_cast<std::size_t>(channels) * sizeof(T));
}

// planes(part, first channel, count, offset, length of each) or block(part, first channel, width, offset, rows) for every
// piece: several planes are small ones.
template <class T>
template <class Planes, class Columns>
void BatchNorm<T>::share(const Team& team, Planes&& planes, Columns&& block) const {
  if (columns()) {
    const index across = divide_up(channels, kColumns);
    team.for_each(parts() * across, [&](index task) {
      const index part = task / across, channel = task % across * kColumns;
      block(part, channel, std::min(kColumns, channels - channel), part * kRows * channels + channel,
            std::min(kRows, samples - part * kRows));
    });
    return;
  }
  const index together = inner <= kMostTogether ? kTogether : 1;
  const index pieces = pieces_per_plane(), across = divide_up(channels, together);
  team.for_each(samples * across * pieces, [&](index task) {
    const index piece = task % pieces, channel = task / pieces % across * together,
                sample = task / pieces / across;
    const index begin = piece * kPiece;
    planes(sample * pieces + piece, channel, std::min(together, channels - channel),
           (sample * channels + channel) * inner + begin, std::min(kPiece, inner - begin));
  });
}

template <class T>
void BatchNorm<T>::apply(const Team& team, const T* x, const T* weight, const T* bias, const T* mean,
                         const T* inverse, T* y, std::byte* workspace) const {
  const auto& k = kernels<NormKernels, T>();
  const std::size_t line = align_up(static_cast<std::size_t>(channels) * sizeof(T));
  T* factor = reinterpret_cast<T*>(workspace + pair_bytes(parts() * channels));
  T* offset_of = reinterpret_cast<T*>(workspace + pair_bytes(parts() * channels) + line);
  team.for_range(channels, 16, [&](index begin, index end) {
    for (index c = begin; c < end; ++c) {
      factor[c] = weight == nullptr ? inverse[c] : inverse[c] * weight[c];
      offset_of[c] = bias == nullptr ? T(0) : bias[c];
    }
  });
  const bool past = y != x && passes_caches(static_cast<std::size_t>(channels * values()) * sizeof(T));
  share(
      team,
      [&](index, index c, index count, index at, index n) {
        k.apply_planes(count, n, x + at, mean + c, factor + c, offset_of + c, past, y + at);
      },
      [&](index, index c, index width, index at, index rows) {
        k.apply_columns(rows, width, channels, x + at, mean + c, factor + c, offset_of + c, y + at);
      });
}

template <class T>
void BatchNorm<T>::forward_training(const Team& team, const T* x, const T* weight, const T* bias,
                                    const T* old_mean, const T* old_variance, T* y, T* mean, T* inverse,
                                    T* new_mean, T* new_variance, std::byte* workspace) const {
  const auto& k = kernels<NormKernels, T>();
  Pair* pairs = reinterpret_cast<Pair*>(workspace);
  const auto put = [&](index part, index channel, index n, T shift, T sum, T squares) {
    const double correction = static_cast<double>(sum) / static_cast<double>(n);
    pairs[part * channels + channel] = {static_cast<double>(shift) + correction,
                                        static_cast<double>(squares) - correction * static_cast<double>(sum)};
  };
  const auto moments = [&](index part, index c, index rows, index width, index pitch, const T* from) {
    T shift[kColumns], sum[kColumns], squares[kColumns];
    k.moments_columns(rows, width, pitch, from, shift, sum, squares);
    for (index i = 0; i < width; ++i) put(part, c + i, rows, shift[i], sum[i], squares[i]);
  };
  share(
      team,
      [&](index part, index c, index count, index at, index n) {
        if (n <= kMostMoments) {
          const TurnedPlanes<T> planes(n, count, x + at);
          return moments(part, c, n, count, kTogether, planes.data);
        }
        for (index i = 0; i < count; ++i) {
          T shift, sum, squares;
          k.moments_plane(n, x + at + i * n, &shift, &sum, &squares);
          put(part, c + i, n, shift, sum, squares);
        }
      },
      [&](index part, index c, index width, index at, index rows) {
        moments(part, c, rows, width, channels, x + at);
      });
  const index pieces = pieces_per_plane();
  team.for_range(channels, 16, [&](index begin, index end) {
    for (index c = begin; c < end; ++c) {
      // Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
      // (1979)
      double count = 0, average = 0, squares = 0;
      for (index part = 0; part < parts(); ++part) {
        const index length = columns() ? std::min(kRows, samples - part * kRows)
                                       : std::min(kPiece, inner - part % pieces * kPiece);
        const double n = static_cast<double>(length);
        const Pair& pair = pairs[part * channels + c];
        const double distance = pair.first - average;
        count += n;
        average += distance * n / count;
        squares += pair.second + distance * distance * n * (count - n) / count;
      }
      const double variance = count > 0 ? squares / count : 0;
      mean[c] = static_cast<T>(average);
      inverse[c] = static_cast<T>(1 / std::sqrt(variance + eps));
      if (old_mean == nullptr) continue;
      if (count == 0) {
        new_mean[c] = old_mean[c];
        new_variance[c] = old_variance[c];
        continue;
      }
      const double unbiased = squares / (count - 1);
      new_mean[c] = static_cast<T>((1 - momentum) * static_cast<double>(old_mean[c]) + momentum * average);
      new_variance[c] =
          static_cast<T>((1 - momentum) * static_cast<double>(old_variance[c]) + momentum * unbiased);
    }
  });
  apply(team, x, weight, bias, mean, inverse, y, workspace);
}

template <class T>
void BatchNorm<T>::forward_inference(const Team& team, const T* x, const T* weight, const T* bias,
                                     const T* mean, const T* variance, T* y, T* inverse,
                                     std::byte* workspace) const {
  team.for_range(channels, 16, [&](index begin, index end) {
    for (index c = begin; c < end; ++c) {
      inverse[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(variance[c]) + eps));
    }
  });
  apply(team, x, weight, bias, mean, inverse, y, workspace);
}

template <class T>
void BatchNorm<T>::backward(const Team& team, bool training, const T* x, const T* weight, const T* mean,
                            const T* inverse, const T* dy, T* dx, T* dweight, T* dbias,
                            std::byte* workspace) const {
  const auto& k = kernels<NormKernels, T>();
  Pair* pairs = reinterpret_cast<Pair*>(workspace);
  const std::size_t line = align_up(static_cast<std::size_t>(channels) * sizeof(T));
  T* factor = reinterpret_cast<T*>(workspace + pair_bytes(parts() * channels));
  T* a = reinterpret_cast<T*>(workspace + pair_bytes(parts() * channels) + line);
  T* b = reinterpret_cast<T*>(workspace + pair_bytes(parts() * channels) + 2 * line);
  const bool sums = dweight != nullptr || dbias != nullptr || training;
  const auto add_up = [&](index part, index c, index rows, index width, index pitch, const T* values,
                          const T* gradients) {
    T sum[kColumns], product[kColumns];
    k.sums_columns(rows, width, pitch, values, gradients, mean + c, sum, product);
    for (index i = 0; i < width; ++i) pairs[part * channels + c + i] = {sum[i], product[i]};
  };
  if (sums) {
    share(
        team,
        [&](index part, index c, index count, index at, index n) {
          if (n <= kMostSums) {
            const TurnedPlanes<T> values(n, count, x + at), gradients(n, count, dy + at);
            return add_up(part, c, n, count, kTogether, values.data, gradients.data);
          }
          for (index i = 0; i < count; ++i) {
            T sum, product;
            k.sums_plane(n, x + at + i * n, dy + at + i * n, mean[c + i], &sum, &product);
            pairs[part * channels + c + i] = {sum, product};
          }
        },
        [&](index part, index c, index width, index at, index rows) {
          add_up(part, c, rows, width, channels, x + at, dy + at);
        });
  }
  team.for_range(channels, 16, [&](index begin, index end) {
    for (index c = begin; c < end; ++c) {
      double sum = 0, product = 0;
      for (index part = 0; sums && part < parts(); ++part) {
        sum += pairs[part * channels + c].first;
        product += pairs[part * channels + c].second;
      }
      const double scale = static_cast<double>(inverse[c]);
      if (dbias != nullptr) dbias[c] = static_cast<T>(sum);
      if (dweight != nullptr) dweight[c] = static_cast<T>(product * scale);
      factor[c] = weight == nullptr ? inverse[c] : inverse[c] * weight[c];
      const double per_value = training && values() > 0 ? 1 / static_cast<double>(values()) : 0;
      a[c] = static_cast<T>(sum * per_value);
      b[c] = static_cast<T>(product * scale * scale * per_value);
    }
  });
  if (dx == nullptr) return;
  const bool past = dx != dy && passes_caches(static_cast<std::size_t>(channels * values()) * sizeof(T));
  share(
      team,
      [&](index, index c, index count, index at, index n) {
        k.backward_planes(count, n, x + at, dy + at, mean + c, factor + c, a + c, b + c, past, dx + at);
      },
      [&](index, index c, index width, index at, index rows) {
        k.backward_columns(rows, width, channels, x + at, dy + at, mean + c, factor + c, a + c, b + c,
                           dx + at);
      });
}

template struct BatchNorm<float>;
template struct BatchNorm<double>;

}  // namespace tenfold
