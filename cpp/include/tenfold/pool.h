// Pooling: the maximum or the average of every window, and their gradients.
//
// x is [planes][D][H][W] and y [planes][OD][OH][OW], both contiguous; a plane is one channel of one sample.
// Positions count in the flattened input plane, as torch's return_indices do. All functions are SPMD (see
// parallel.h).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tenfold/parallel.h"
#include "tenfold/types.h"
#include "tenfold/window.h"

namespace tenfold {

// The maximum of every window. The first maximum wins a tie, NaN is the maximum, the first of several.
// Padding never wins: a window without an element of the input inside gives -inf, has the position -1 and
// passes no gradient on.
class MaxPool {
 public:
  // Throws InvalidArgument when a plane has 2^31 elements or more.
  MaxPool(const Window& window, index planes, const char* function);

  // Which element was the maximum is kept for backward as its position, or as the number of its tap in the window
  // (row by row; 255 for none), which takes a byte and fits for windows of at most 255 taps.
  bool taps_fit() const;
  // taps and positions may be null.
  template <class T>
  void forward(const Team& team, const T* x, T* y, std::uint8_t* taps) const;
  template <class T>
  void forward(const Team& team, const T* x, T* y, index* positions) const;
  // dx[plane][position of o] += dy[plane][o], zero elsewhere.
  template <class T>
  void backward(const Team& team, const T* dy, const std::uint8_t* taps, T* dx) const;
  template <class T>
  void backward(const Team& team, const T* dy, const index* positions, T* dx) const;

  const Window& window() const { return window_; }

 private:
  Window window_;
  index planes_;
};

struct AveragePoolOptions {
  bool count_include_pad = true;  // a window's padding (not what ceil adds behind it) counts in the divisor
  index divisor_override = 0;     // divides every sum instead when it is not 0
};

// Windows that cut an axis of `input` elements into `output` pieces: output o takes  floor(o * input / output) up to,
// not including, ceil((o + 1) * input / output).  An output of 1 takes all: global pooling.
struct AdaptiveGeometry {
  index planes = 0;
  std::array<index, 3> input{1, 1, 1}, output{1, 1, 1};  // depth, height, width
};

// The average of every window; padding counts as zeros.
template <class T>
class AveragePool {
 public:
  AveragePool(const Window& window, index planes, const AveragePoolOptions& options);
  explicit AveragePool(const AdaptiveGeometry& geometry);

  void forward(const Team& team, const T* x, T* y) const;
  void backward(const Team& team, const T* dy, T* dx) const;

 private:
  // Output o takes begin[o] .. end[o] - 1 along the axis; the divisor of a window is the product of its axes'.
  struct Line {
    index size = 1, kernel = 0, stride = 0, pad = 0;  // stride 0: pieces of an adaptive geometry
    std::vector<index> begin, end;
    std::vector<T> divisor, share;  // share = 1 / divisor
  };
  index planes_;
  std::array<Line, 3> lines_;
};

template <class T>
void adaptive_max_pool(const Team& team, const AdaptiveGeometry& g, const T* x, T* y, index* positions);
template <class T>
void adaptive_max_pool_backward(const Team& team, const AdaptiveGeometry& g, const T* dy,
                                const index* positions, T* dx);

}  // namespace tenfold
