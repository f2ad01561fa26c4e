// dw[f][c][k] = sum over images and pixels of dy[f][p] * look[c][k][p], and db[f] = sum of dy[f][p] on the way.
#pragma once

#include <array>
#include <vector>

#include "conv/bias_sums.h"
#include "conv/source.h"
#include "kernels/gemm.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

// Whether the form `dot` below takes so many filters and looks (channels times taps), in rows of so many pixels.
bool weight_gradient_dots(index filters, index looks, index row);
// How many shares of so many images of so many pixels have sums of their own, which are added in the end: `sums` of each
// group, in slots of so many bytes for a share.
index weight_gradient_chunks(bool dots, index images, index pixels, index groups, index sums,
                             index slot_bytes);

// Two forms (see kernels/conv.h): `dot` walks pixels as vectors and needs no packing, for few filters or few
// taps; `outer` packs dy and has the filters as vectors. The strips of all images are cut into chunks by shape alone; every
// chunk has its own slot of sums, and slots are added in order, also those of the gradient of a bias.
template <class T>
class WeightGradient {
 public:
  WeightGradient(std::array<ShiftAxis, 3> forward_axes, index images, index groups, index channels,
                 index filters, double fill);
  WeightGradient(const WeightGradient&) = delete;

  static constexpr bool kTakesBias = true;
  std::size_t workspace(int threads) const;
  // db may be null.
  void run(const Team& team, const T* x, const T* dy, T* dw, T* db, std::byte* workspace) const;

 private:
  struct Scratch {
    T* source;
    T* packed;        // dyt of a block of pixels
    T* of_block;      // sums of its filters (outer)
    index* position;  // of the pixels of a strip in the buffer (outer), or where their rows start there (dot)
    index* dy_row;    // where the rows start in dy (dot)
  };
  std::size_t slots_bytes() const { return align_up(static_cast<std::size_t>(chunks_ * slot_) * sizeof(T)); }
  std::size_t scratch_bytes() const;
  Scratch scratch_of(int rank, std::byte* workspace) const;
  // Sums of dy go to `bias` unless that is null.
  void dot(const Scratch& s, index strip, index channels, const T* base, const T* dy, T* slot, double* bias,
           bool resume, Ahead<T> ahead) const;
  void outer(const Scratch& s, index strip, index channels, index block_begin, index block_end, const T* base,
             const T* dy, const T* next_dy, T* slot, double* bias, bool resume, Ahead<T> ahead) const;
  const T* strip_of_dy(const T* dy, index group, index unit) const;
  void reduce(const Team& team, T* slots, T* dw) const;

  std::array<ShiftAxis, 3> axes_;
  const ConvKernels<T>& k_;
  const GemmKernels<T>& gemm_;
  index images_, groups_, channels_, filters_, taps_;
  bool dot_;
  ShiftSource<T> source_;
  T fill_;
  index pixels_ = 0;   // of an output plane
  index vectors_ = 1;  // outer: of a block of filters
  index width_ = 1;    // outer: filters of a block, vectors_ * lanes
  index blocks_ = 1;   // outer: blocks of filters
  index shares_ = 1;   // outer: shares of the blocks, each an item of its own
  index chunks_ = 1, channel_blocks_ = 1, channels_per_block_ = 1;
  index slot_ = 0;  // elements of a chunk's sums
  BiasSums bias_;
  std::vector<index> offset_;  // by (channel of a block, tap)
};

}  // namespace tenfold
