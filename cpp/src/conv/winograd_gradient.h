// dw[f][c][kh][kw] = sum over images and pixels of dy[f][p] * x[c][p + k] for 3 x 3 windows of stride 1
// and for 3 x 3 and 4 x 4 windows of stride 2, by Winograd's form transposed: t * t products with K = tiles
// (kernels/winograd.h). db[f] is summed from the turned rows of dy.
#pragma once

#include <array>
#include <vector>

#include "conv/bias_sums.h"
#include "conv/shift.h"
#include "conv/winograd.h"

namespace tenfold {

// What it is chosen by is in winograd_gradient_choice.h.
//
// Rows of tiles are cut into parts, and these into chunks, by shape alone. A chunk's tiles of x and of dy are transformed,
// then the products are added item by item, which is a group of channels with one of filters; in the end the sums of
// the parts are added in order and make the taps.
//
//   v[element][block of L channels][tile][L]          <-- x
//   u[element][panel of filters][tile][panel's width] <-- dy
//   sums[part][item][element] ...
//
// A member takes whole parts where these give all members about as much to do: it reads no tile that another one
// transformed. So it does where it takes whole groups of filters, and transforms x for itself. Else all of them transform a
// chunk and share out its items.
template <class T>
class WinogradGradient {
 public:
  WinogradGradient(const ConvGeometry& geometry, int tile, double fill);
  WinogradGradient(const WinogradGradient&) = delete;

  static constexpr bool kTakesBias = true;
  std::size_t workspace(int threads) const;
  // db may be null.
  void run(const Team& team, const T* x, const T* dy, T* dw, T* db, std::byte* workspace) const;

 private:
  struct Scratch {
    T* pixels;  // turned: [row][column][L]
    T* sums;    // products of an item: [element][channel panel][filter panel][row][column]
    T* taps;    // of an item's channels and a panel of filters
    T* turned;  // the same, filter by filter
    T* bias;    // sums of a tile's columns of dy, and of these
  };
  // What is transformed: x and dy, and where the sums of dy go, null where nobody wants them.
  struct Operands {
    const T *x, *dy;
    std::byte* bias;
  };
  // Of a chunk: where its rows of tiles begin and end, and whether it is the first of its part.
  struct Chunk {
    index begin, end;
    bool first;
  };

  // At least four fifths of the members' time are used.
  bool takes_parts(int members) const {
    return parts_ > 1 && 5 * parts_ >= 4 * members * divide_up(parts_, members);
  }
  bool takes_filters(int members) const;
  int copies_of_tiles(int members) const {
    return takes_parts(members) || takes_filters(members) ? members : 1;
  }
  bool keeps_sums() const { return chunks_ > 1; }  // else an item's stay in its member's cache
  index channel_groups() const { return divide_up(blocks_, group_); }
  index filter_groups() const { return divide_up(panels_, filters_); }
  index items() const { return channel_groups() * filter_groups(); }
  index part_step() const { return items() * elements_ * item_step(); }  // between the sums of parts
  std::size_t tiles_bytes() const;                                       // v and u
  std::size_t sums_bytes() const;
  std::array<index, 5> scratch_elements() const;
  std::size_t scratch_bytes() const;
  Scratch scratch_of(std::byte* at) const;

  index chunk_tiles() const { return chunk_lines_ * TW_; }
  index v_step() const { return blocks_ * v_block_; }
  index u_step() const { return panels_ * u_panel_; }
  index item_step() const { return group_ * (k_.lanes / R_) * filters_ * R_ * width_; }  // between elements

  void turn(const std::array<ShiftPhase, 2>& look, index height, index width, const T* source, index channels,
            index first_row, index rows, T fill, const Scratch& s) const;
  Chunk chunk(index number) const;
  // Strips of a chunk, `together_` rows of tiles each; the last one of a short chunk may be empty.
  index strips() const { return divide_up(divide_up(lines_, chunks_), together_); }
  void transform(index chunk_number, index strip, index piece, const Operands& from, T* v, T* u,
                 const Scratch& s) const;
  const T* sum_turned(index rows, const Scratch& s) const;
  void multiply(index item, const Chunk& chunk, const T* v, const T* u, T* sums) const;
  void finish(index item, const T* sums, T* dw, const Scratch& s) const;

  ConvGeometry geometry_;
  const WinogradKernels<T>& k_;
  const GemmKernels<T>& gemm_;
  const ConvKernels<T>& conv_;
  std::array<ShiftPhase, 2> x_look_, dy_look_;  // position in the tiles -> position in the image
  int which_;                                   // of kWinogradGradientForms, with ...
  index m_, step_, looks_, taps_, elements_;    // ... its numbers, taps r * r and elements t * t
  index depth_;                                 // tiles that a register tile sums at a time
  T fill_;
  index TH_, TW_, lines_;          // tiles of an image by rows and columns; rows of tiles of all images
  index R_ = 1, width_ = 1;        // channels and filters of a register tile
  index blocks_, panels_;          // of L channels; of `width_` filters
  index group_ = 1, filters_ = 1;  // blocks and panels of an item
  index together_ = 1;             // rows of tiles that are turned at a time
  index parts_ = 1, chunk_lines_ = 1, chunks_ = 1;  // chunks of all parts, each has as many
  index v_block_ = 0, u_panel_ = 0;                 // elements between blocks and panels
  index pitch_ = 0;                                 // columns of turned rows
  BiasSums bias_;                                   // in parts (chunk, strip)
};

}  // namespace tenfold
