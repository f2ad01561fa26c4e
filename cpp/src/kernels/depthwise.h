// Kernels of depthwise convolution: every filter looks at one channel.
//
// The source is a plane copied row by row into scratch memory, padded and with its columns split by stride phase, so
// that every tap is a unit-stride load:  look(i, j) of target (r, c) = source[r * row_step + row[i] + column[j] + c].
// Loads may reach up to kDepthwiseSlack vectors behind the last look; what they find there is not used.
#pragma once

#include <stddef.h>

#include "kernels/conv.h"
#include "kernels/dispatch.h"

namespace tenfold {

constexpr ptrdiff_t kDepthwiseSlack = 3;

// How a row is copied: position u of phase f shows source[table[f][u]], which is first[f] + u * step for begin[f] <= u
// < end[f] and the fill where table[f][u] < 0.
struct DepthwisePadding {
  static constexpr int kMaxPhases = 8;
  ptrdiff_t phases, count;  // positions of a phase that are used
  ptrdiff_t row, pitch;     // elements of a copied row, and of a phase in it
  ptrdiff_t width, step;    // of the source
  bool constant;            // no table entry outside begin .. end is a source position
  const ptrdiff_t* table[kMaxPhases];
  ptrdiff_t begin[kMaxPhases], end[kMaxPhases], first[kMaxPhases];
};

// The looks of a target's rows, or of every second of its columns.
struct DepthwiseLooks {
  ptrdiff_t taps_h, taps_w;
  const ptrdiff_t *row, *column;
  ptrdiff_t row_step;
  bool regular;  // row[i] = i * pitch and row_step is pitch or 2 * pitch
};

struct DepthwiseTarget {
  ptrdiff_t rows, columns, pitch;  // pitch: elements between rows
  bool halves;  // a vector holds two target rows: pitch of the source is half a vector, row_step is a pitch
  // Memory that will be copied next, asked for on the way: so many cache lines for every vector of the target.
  const void* ahead;
  ptrdiff_t ahead_bytes, ahead_lines;
};

// A plane that is read where it lies, by windows of 3 x 3. Target (r, c) looks at the padded source from (stride * r,
// stride * c) on: padded row u is source row row_source[u], or missing where that is negative, and padded column v is
// source column v - pad, or the fill beyond.
struct DepthwisePlane {
  ptrdiff_t columns, width;  // of the target and of the source
  ptrdiff_t stride, pad;     // 1 or 2; 0 or 1
  const ptrdiff_t* row_source;
};

template <class T>
struct DepthwiseKernels {
  ptrdiff_t lanes;
  bool halves;  // whether DepthwiseTarget::halves is legal

  // to[r * p.row ...] <- row row_source[r] of the plane, or the fill where row_source[r] < 0. With p.constant the
  // positions that do not show the source are written only if the scratch is `fresh`: the next plane finds them there.
  // Where p.count > p.pitch, the end of a row's padding is the beginning of the next row's.
  void (*pad)(const DepthwisePadding& p, ptrdiff_t rows, const ptrdiff_t* row_source, const T* plane, T fill,
              bool fresh, T* to);

  // target[r][c] = act(bias + sum over i, j of w[i * taps_w + j] * look(i, j))
  void (*correlate)(const DepthwiseLooks& looks, const DepthwiseTarget& target, const T* source, const T* w,
                    T bias, ConvActivation activation, T* to);
  // Columns of the target from which on correlate_plane is worth it: the ends of rows cost time where masks do.
  ptrdiff_t plane_columns;
  // Target rows begin <= r < end of a plane: target[r][c] = act(bias + sum of w[i * 3 + j] * look(i, j)). `missing` is
  // a row of fill, as wide as the source's.
  void (*correlate_plane)(const DepthwisePlane& p, ptrdiff_t begin, ptrdiff_t end, const T* source,
                          const T* missing, T fill, const T* w, T bias, ConvActivation activation, T* to);
  // What `correlate` does, where even columns have the looks `even` and odd ones those of `odd`, which differ in their
  // columns only: target[r][2 c] = bias + sum of w_even * even's look(i, j) of (r, c).
  void (*correlate_pairs)(const DepthwiseLooks& even, const DepthwiseLooks& odd,
                          const DepthwiseTarget& target, const T* source, const T* w_even, const T* w_odd,
                          T bias, T* to);
  // sums[(i * taps_w + j) * lanes + l] += lane-wise sums over all (r, c) of dy[r][c] * look(i, j). Nothing behind dy's
  // rows is read.
  void (*dot)(const DepthwiseLooks& looks, const DepthwiseTarget& target, const T* source, const T* dy,
              T* sums);

  // to[t] = the sum of the lanes of vector t, in one order.
  void (*sum_lanes)(ptrdiff_t taps, const T* sums, T* to);
};
TENFOLD_DECLARE_KERNELS(DepthwiseKernels)

}  // namespace tenfold
