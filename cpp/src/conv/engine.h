// target = W * looks(source): the product behind apply and adjoint.
#pragma once

#include <array>
#include <vector>

#include "conv/source.h"
#include "kernels/gemm.h"
#include "tenfold/conv.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"

namespace tenfold {

struct ShiftProblem {
  std::array<ShiftAxis, 3> axes;
  std::array<index, 3> kernel;
  index images, groups;
  index source_channels, target_channels;          // per group
  index weight_row, weight_channel, weight_group;  // strides of w by target channel, source channel, group
  double fill = 0;                                 // beyond the source
  ConvActivation activation = ConvActivation::none;
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;
};

template <class T>
class ShiftEngine {
 public:
  explicit ShiftEngine(ShiftProblem problem);
  ShiftEngine(const ShiftEngine&) = delete;

  std::size_t workspace(int threads) const;
  // bias (groups * target_channels) may be null.
  void run(const Team& team, const T* source, const T* weight, const T* bias, T* target,
           std::byte* workspace) const;

 private:
  struct Part {  // one combination of parts of the axes
    std::array<const ShiftPartAxis*, 3> axis;
    index K = 0;
    std::vector<index> offset, map;  // by k: where to look, where the weight lies
    bool packs = false;              // its weights are packed; else they are read where they lie
    index packed = 0;                // elements before its packed weights of a group
    index panels = 0;                // elements before its packed pixels, where these are shared
    // The other half of the targets of a row: this part writes every second one, the next part those between.
    bool paired = false;
    bool rows = false;    // a row's weights lie side by side: map[k] is map[0] + k
    bool apart = false;   // no tile spans two rows of the target
    bool joined = false;  // tiles span rows, and only their pixels
    bool closes = false;  // rows lie side by side in the target, and gaps between them are left out
  };
  struct Tile {  // columns of a tile: where they look and where they go
    index flat, run, runs, vectors;
  };
  struct Tables {  // which pixels lie in which tile
    Tile* tiles;
    ConvRun* runs;
    ConvLooks* joined;  // by tile
    ConvGaps* gaps;     // by tile
    index count;        // of tiles
  };
  struct Scratch {
    T* source;
    T* tile;
    T* panels;
    T* weights;
    Tables tables;
    ConvRun* looks;
    const Part* laid;  // whose columns the tables hold, where they are the same for all items
  };
  struct Item {
    index image, images, group, strip, pixel_share, tile_begin, tile_end;
  };

  void choose();
  void cut_filters(index together, index pixels, index taps, index wanted);
  // What a step of a tile's sum takes for its pixels: from the second-level cache, for each vector, which a low tile asks for
  // more often; loads for a vector, where rows are joined; and loads that tell where they lie.
  struct Looks {
    double time;
    index pieces = 1, offsets = 0;
  };
  Looks direct_looks(double time, index pieces = 1) const;
  double tile_time(index rows, index columns, index widest, const Looks& looks) const;
  void build_parts();
  void pair_parts();
  void keep_tables();
  Scratch scratch_of(int rank, std::byte* workspace) const;
  std::size_t tables_bytes() const;
  Tables take_tables(std::byte*& at) const;
  std::size_t scratch_bytes() const;
  std::size_t shared_bytes() const;
  std::size_t packed_bytes() const;
  std::size_t panel_bytes() const;
  index slack_of(index strip) const;
  void pack(const Team& team, const T* weight, T* packed) const;
  void lay_tiles(std::size_t p, index strip, Tables& tables) const;
  Tables tables_of(std::size_t p, index strip, const Scratch& s) const;
  ConvGaps gaps_of(const Tile& tile, const ConvRun* runs) const;
  ConvLooks looks_of(index first, index vectors, index rows, index length, index pitch) const;
  index rows_of_vector(index row) const;
  bool adjoins(const ShiftPartAxis& rows, const ShiftPartAxis& row) const;
  bool joinable(const ShiftPartAxis& rows, const ShiftPartAxis& row) const;
  void fetch_weights(index K, index rows, const T* weight, const index* map) const;
  void run_direct(const Item& item, const Scratch& s, const T* base, const T* bias, const T* packed,
                  const T* weight, T* target) const;
  void lay_columns(const Part& part, index images, index image_stride, Scratch& s) const;
  void share_panels(const Team& team, const T* base, index group_stride, index image_stride, Scratch& s,
                    T* panels) const;
  void run_im2col(const Item& item, Scratch& s, const T* base, index image_stride, const T* bias,
                  const T* panels, const T* packed, const T* weight, T* target) const;

  ShiftProblem problem_;
  const ConvKernels<T>& k_;
  const GemmKernels<T>& gemm_;
  ShiftSource<T> source_;
  std::vector<Part> parts_;
  Buffer kept_memory_;
  std::vector<Tables> kept_;  // by strip and part, where they are few
  std::array<index, 3> target_pitch_;
  index target_plane_ = 0;
  bool im2col_ = false;
  bool joins_ = false;   // parts whose rows can be joined are: what lies between is not computed
  bool shared_ = false;  // the padded source is made once, before the items, instead of by every item
  index MR_ = 1, NR_ = 1, tiles_ = 1;  // rows and columns of a tile, row tiles of a group
  index packed_group_ = 0;             // elements of a group's packed weights
  index images_per_item_ = 1, tiles_per_item_ = 1;
  index max_tiles_ = 0, max_runs_ = 0;
  index panels_ = 0, depth_ = 0;  // im2col: panels per block, k per block
  index pixel_shares_ = 1;        // ... and items that the blocks of some images are shared out to
  bool own_ = false;              // every member packs the weights for itself
  bool late_ = false;  // im2col: weights are used by one item only, which packs them itself, block by block
  bool gathered_ = false;  // im2col: pixels are packed once, before the items, instead of by every item
  index panel_group_ = 0;  // elements of a group's packed pixels
};

}  // namespace tenfold
