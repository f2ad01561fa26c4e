// Both gradients of a convolution behind which windows of four pixels are pooled, on blocks of 16 samples
// (kernels/lanes.h has the layout), for windows of r x r taps, r = 3 or 5, without dilation.
//
// Of the four pixels of a pooling window one has a gradient, and none where a ReLU in front of the pool was shut: most
// of dy is 0. What is not differs from sample to sample, so that lanes cannot skip it together. Here samples are taken
// apart: a list holds the pixels with a gradient g, and for each of them
//
//   dw[f][kh] += g * x[row h + kh, from column w on],      dx[row h + kh, from column w on] += g * w[f][kh]
//
// where a row of the window, kw and channels, is one run of neighbouring elements: x and dx are turned into rows
// [H][W][C'] of each sample, C' >= C channels, and w and dw are [F][r][run]. What a run has beyond its r C' elements is 0 in
// w, so that pixels of dx behind a window get g * 0. The multiplications depend on the data, the order of the sums does not.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/dispatch.h"
#include "kernels/lanes.h"

namespace tenfold {

// Runs are cut into vectors of so many elements, or parts of them, on every ISA.
constexpr ptrdiff_t kRunPart = 8;

// How x and dx lie as rows. Offsets count elements.
struct SampleRows {
  ptrdiff_t channels;  // C'; what lies in channels beyond C is of no meaning
  ptrdiff_t run;       // elements of a row of a window, up to a multiple of kRunPart
  ptrdiff_t elements;  // of a sample
  ptrdiff_t sample;    // from one sample to the next
  ptrdiff_t row;       // from one row of pixels to the next
};

// Memory that is asked for meanwhile, since it is needed afterwards.
struct LaneAhead {
  const char* begin;
  ptrdiff_t bytes;
};

template <class T>
struct LaneSparse {
  SampleRows rows;
  const T* x;
  const T* d;                  // gradient of the pooled values
  const unsigned char* codes;  // [windows_h][windows_w][16] in planes
  const int32_t* pixel;  // [windows_h][windows_w][4], where the looks of a window's pixels begin in rows
  const ptrdiff_t*
      source;  // [elements of a sample], where they lie in x and dx; kNoSource: channels beyond C
  T* dw;       // [F][r][run], added to
  T* sums;     // [F][16], added to: all of dy; or null
  const T* w;  // [F][r][run]; only read with dx
  T* dx;       // overwritten, all rows and columns; or null
  T* scratch;  // of lane_sparse_scratch elements
  const LaneAhead* ahead;
  ptrdiff_t ahead_count;
  ptrdiff_t filters, windows_h, windows_w;
  ptrdiff_t d_plane, d_row, code_plane;
  ptrdiff_t strip;  // rows of windows whose pixels make one list for every filter and kListedSamples samples
};

constexpr ptrdiff_t kNoSource = -1;

constexpr ptrdiff_t kListedSamples = 4;

// Entries of a list: one for each window and sample, and room to write four at a time.
constexpr ptrdiff_t lane_sparse_list(ptrdiff_t strip, ptrdiff_t windows_w) {
  return strip * windows_w * kListedSamples + 4;
}
// x or dx as rows, and what vectors may read beyond.
constexpr ptrdiff_t lane_sparse_rows(const SampleRows& rows) {
  return kLaneBlock * rows.sample + kLaneBlock;
}
// x, dx if it is wanted, and the entries (two elements each) and lengths of lists.
constexpr ptrdiff_t lane_sparse_scratch(const SampleRows& rows, ptrdiff_t filters, ptrdiff_t list,
                                        bool with_dx) {
  return (with_dx ? 2 : 1) * lane_sparse_rows(rows) + kLaneBlock / kListedSamples * filters * (2 * list + 1);
}

template <class T>
struct LaneSparseKernels {
  // Elements of kListedSamples samples' x that stay in the first-level cache meanwhile, without and with dx.
  ptrdiff_t near[2];
  // By kernel, see lane_winograd_number.
  void (*backward[2])(const LaneSparse<T>& call);
  // packed[F][r][run] <-- w[F][C][r][r], zeros in what is beyond C channels and r columns.
  void (*pack[2])(const SampleRows& rows, ptrdiff_t filters, ptrdiff_t channels, const T* w, T* packed);
  // dw[F][C][r][r] <-- scale * the sum of `parts` packed ones, `pitch` elements apart.
  void (*unpack[2])(const SampleRows& rows, ptrdiff_t filters, ptrdiff_t channels, ptrdiff_t parts,
                    const T* packed, ptrdiff_t pitch, T scale, T* dw);
};
TENFOLD_DECLARE_KERNELS(LaneSparseKernels)

}  // namespace tenfold
