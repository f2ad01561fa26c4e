// dw[f][c][kh][kw] = sum over images and pixels of dy[f][p] * x[c][p + k] for 3 x 3 windows of stride 1
// and for 3 x 3 and 4 x 4 windows of stride 2, by Winograd's form transposed: t * t products with K = tiles
// (kernels/winograd.h).
#pragma once

#include <array>
#include <vector>

#include "conv/shift.h"
#include "conv/winograd.h"

namespace tenfold {

// Whether the form exists for a geometry: where Winograd's convolution does, but for 5 x 5 windows (whose taps from tiles
// of 2 x 2 err more than 4 times as much as the direct form's).
bool winograd_gradient_applies(const ConvGeometry& geometry);
// The better tile (with stride 2 the only one, 2) for the weight gradient of a geometry, from its shape only; 0 where
// neither is clearly better than the other algorithms.
int winograd_gradient_choice(const ConvGeometry& geometry);
// The same, but never 0.
int winograd_gradient_tile(const ConvGeometry& geometry);

// Rows of tiles are cut into chunks by shape alone. All members transform a chunk's tiles of x and of dy, then
// they share out groups of channels and filters and add the products; of the last chunk they make the taps.
//
//   v[element][block of L channels][tile][L]          <-- x
//   u[element][panel of filters][tile][panel's width] <-- dy
template <class T>
class WinogradGradient {
 public:
  WinogradGradient(const ConvGeometry& geometry, int tile, double fill);
  WinogradGradient(const WinogradGradient&) = delete;

  std::size_t workspace(int threads) const;
  void run(const Team& team, const T* x, const T* dy, T* dw, std::byte* workspace) const;

 private:
  struct Scratch {
    T* rows;    // padded rows of L channels, side by side: [L][pitch]
    T* pixels;  // turned: [row][column][L]
    T* sums;    // products of an item: [element][channel panel][filter panel][row][column]
    T* taps;    // of an item's channels and a panel of filters
    T* turned;  // the same, filter by filter
  };
  std::size_t shared_bytes() const;  // v, u, and the sums of all items where there are several chunks
  std::array<index, 5> scratch_elements() const;
  std::size_t scratch_bytes() const;
  Scratch scratch_of(int rank, std::byte* workspace) const;

  index chunk_tiles() const { return chunk_lines_ * TW_; }
  index v_step() const { return blocks_ * v_block_; }
  index u_step() const { return panels_ * u_panel_; }
  index item_step() const { return group_ * (k_.lanes / R_) * filters_ * R_ * width_; }  // between elements

  void turn(const std::array<ShiftPhase, 2>& look, index height, index width, const T* source, index channels,
            index first_row, index rows, T fill, const Scratch& s) const;
  void transform(index begin, index end, index piece, const T* x, const T* dy, T* v, T* u,
                 const Scratch& s) const;
  void multiply(index c_group, index f_group, index tiles, bool resume, const T* v, const T* u,
                T* sums) const;
  void finish(index c_group, index f_group, const T* sums, T* dw, const Scratch& s) const;

  ConvGeometry geometry_;
  const WinogradKernels<T>& k_;
  const GemmKernels<T>& gemm_;
  const ConvKernels<T>& conv_;
  std::array<ShiftPhase, 2> x_look_, dy_look_;  // position in the tiles -> position in the image
  int which_;                                   // of kWinogradGradientForms, with ...
  index m_, step_, looks_, taps_, elements_;    // ... its numbers, taps r * r and elements t * t
  T fill_;
  index TH_, TW_, lines_;          // tiles of an image by rows and columns; rows of tiles of all images
  index R_ = 1, width_ = 1;        // channels and filters of a register tile
  index blocks_, panels_;          // of L channels; of `width_` filters
  index group_ = 1, filters_ = 1;  // blocks and panels of an item
  index together_ = 1;             // rows of tiles that are turned at a time
  index chunk_lines_ = 1, chunks_ = 1;
  index v_block_ = 0, u_panel_ = 0;  // elements between blocks and panels
  index pitch_ = 0;                  // columns of padded rows
};

}  // namespace tenfold
