// Winograd's minimal filtering F(m x m, r x r) for r x r windows of stride 1: t * t products with K = C per tile of
// m x m outputs, t = m + r - 1, instead of r r m m: F(2 x 2, 3 x 3) has 2.25 times fewer, F(4 x 4, 3 x 3) 4 times,
// F(2 x 2, 5 x 5) 2.8 times, F(4 x 4, 5 x 5), which has nine products along an axis, 4.9 times. With stride 2, 4 x 4
// windows need 1.8 times fewer and 3 x 3 ones 1.4 times (kernels/winograd.h).
#pragma once

#include <array>
#include <vector>

#include "conv/source.h"
#include "kernels/gemm.h"
#include "kernels/winograd.h"
#include "tenfold/conv.h"
#include "tenfold/parallel.h"

namespace tenfold {

// target[n][f] = act(sum over c of w[f][c] * padded source[n][c] + bias[f]), cross-correlation.
struct WinogradProblem {
  std::array<Axis, 2> axes;          // of the source, with its padding (perhaps negative), and output
  Border border = Border::constant;  // of the source
  index images = 1, source_channels = 1, target_channels = 1;
  index kernel = 3;                          // r
  index stride = 1;                          // 1 or 2
  bool adjoint = false;                      // of stride 2
  index weight_row = 9, weight_channel = 9;  // strides of w by target channel and source channel
  bool rotated = false;                      // taps in reverse order
  double fill = 0;
  ConvActivation activation = ConvActivation::none;
  int tile = 2;  // m, for stride 1
};

// Whether a form exists for a geometry's apply or adjoint: 2-D windows, dilation 1, one group; 3 x 3 or 5 x 5 of stride
// 1, 3 x 3 or 4 x 4 of stride 2. The adjoint of stride 2 needs an odd padding, of a constant.
bool winograd_applies(const ConvGeometry& geometry, bool adjoint);
// Throws InvalidArgument where one of them is missing, or not with this tile (0: any).
void require_winograd(const ConvGeometry& geometry, int tile);
// The better tile for a problem, from its shape only: 2 or 4; 0 where neither is clearly better than the other
// algorithms.
int winograd_choice(const WinogradProblem& problem);
// The same, but never 0.
int winograd_tile(const WinogradProblem& problem);

WinogradProblem winograd_forward(const ConvGeometry& geometry, const ConvOptions& options);
// x = A^T y; the target is the input, or the padded input.
WinogradProblem winograd_adjoint(const ConvGeometry& geometry, bool padded);

// Either tiles are shared out (all weights transformed first, for all; every item transforms its tiles into its
// member's own cache) or filters are (all tiles first; every item its filters): whichever leaves the larger
// transformed operand in the cache. An item's products and the outputs made of them never leave it. Every item reads all
// that is shared: where weights are too many for the last-level cache, filters are shared out, and tiles that are too many
// follow each other in stretches, each with the weights transformed anew.
template <class T>
class Winograd {
 public:
  explicit Winograd(const WinogradProblem& problem);

  std::size_t workspace(int threads) const;
  // bias (target_channels) may be null.
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  struct Scratch {
    T* rows;  // staged looks of a block of tiles at a channel
    WinogradMove* moves;
    T* taps;  // of some channels, filters side by side
    T* own;   // transformed tiles of a block, or transformed weights of some filters
    T* sums;  // products [row panel][column panel][element][row][column]
    WinogradRun* runs;
    index* first;  // run of every vector of the block's outputs
  };
  // Of a block of tiles: its moves, and where looks go on (kernels/winograd.h).
  struct Staging {
    index moves, down, right;
  };
  struct Call {
    const T *source, *weight, *bias;
    T *target, *shared;
    bool each;  // every member transforms what is shared for itself
  };

  // Taps of a weight, whole squares of sixteen.
  index taps_room() const { return (r_ * r_ + 15) / 16 * 16; }
  index row(index panel) const { return problem_.target_channels * panel / panels_; }
  // Transformed weights of some filters and K channels: u[element][panel][k][row].
  static index u_step(index filters, index K) { return filters * K + kSkew; }
  // Transformed tiles, of those that exist at one time: v[element][panel][channel][column].
  index v_panel() const { return problem_.source_channels * NR_; }
  index v_step() const { return divide_up(filters_out_ ? stretch_ : block_, NR_) * v_panel() + kSkew; }
  std::size_t shared_bytes() const;
  // Whether every one of so many members transforms for itself what else they would share: lines that one has written
  // travel to the others, and back before they are written again, which takes longer unless it is much of the work.
  bool own(int members) const;
  index own_elements() const;
  std::array<std::size_t, 7> scratch_layout() const;
  std::size_t scratch_bytes() const;
  Scratch scratch_of(int rank, std::byte* at) const;

  // Of the looks of a tile in a staged line, which begins with tile `begin`.
  index place(index begin, index tile) const {
    return (tile - begin) * step_ + (tile / TW_ - begin / TW_) * gap_;
  }
  void make_runs(index begin, index end, const Scratch& s) const;
  Staging make_moves(index begin, index end, const Scratch& s) const;
  void transform_weights(index panel, index k_begin, index k_end, const T* weight, const Scratch& s, T* u,
                         index u_apart) const;
  void transform_tiles(index begin, index end, index c_begin, index c_end, const T* source, const Scratch& s,
                       T* v) const;
  Ahead<T> rows_ahead(index begin, index end, const T* source) const;
  Ahead<T> target_ahead(index begin, index end, index c_begin, index c_end, const T* target) const;
  void multiply(index p_begin, index p_end, index K, bool resume, const T* u, index u_apart, const T* v,
                index tiles, const Scratch& s, Ahead<T>* next_rows = nullptr, Ahead<T> outputs = {}) const;
  // Filters are shared out, over the stretch of tiles that begins with `first`; or all tiles are.
  void share_filters(const Team& team, index first, const Call& call, const Scratch& s) const;
  void share_tiles(const Team& team, const Call& call, const Scratch& s) const;
  void transform_products(index p_begin, index p_end, index tiles, const T* bias, const Scratch& s,
                          T* target) const;

  // Elements between transformed planes: planes a multiple of 4096 bytes apart would fight for the same cache
  // lines.
  static constexpr index kSkew = 16;
  // Elements behind a row of staged looks: at least the looks' last ones, and whole cache lines.
  static constexpr index kGap = 16;

  WinogradProblem problem_;
  const WinogradKernels<T>& k_;
  const GemmKernels<T>& gemm_;
  std::array<ShiftPhase, 2> look_;  // padded position -> source position
  int form_;                        // of kWinogradForms, with ...
  index m_, r_, step_, looks_;      // ... its numbers
  index elements_;                  // t * t
  index TH_, TW_, tiles_;           // tiles of an image by rows and columns; of all images
  index NR_, panels_, most_rows_;   // columns of a panel; panels of filters and the tallest of them
  index depth_ = 1;                 // channels summed at a time
  bool filters_out_ = false;        // filters are shared out
  bool whole_ = false;              // ... and the products of all tiles exist at one time
  double again_ = 0;                // time of transforming once more what is shared, as a part of all
  index stretch_ = 1;               // ... tiles whose transforms exist at one time then
  index block_ = 1;                 // tiles of an item, or whose products exist at one time
  index group_ = 1;                 // filter panels whose products exist at one time
  index vectors_ = 1;               // of outputs of a block, in a row
  index groups_ = 1;                // of step_ elements of a look along an axis
  index gap_ = 0;                   // behind a row of tiles, where vectors of tiles end with it
  index pitch_ = 0;                 // of staged lines
  index moves_ = 0;                 // of a block, at most
};

}  // namespace tenfold
