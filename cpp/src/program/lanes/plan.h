// A lane segment lowered to stages, with the form of every operator and the place of everything in memory.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/lanes.h"
#include "kernels/lanes_nine_winograd.h"
#include "kernels/lanes_row_winograd.h"
#include "kernels/lanes_sparse.h"
#include "program/lanes/lane_segment.h"

namespace tenfold {
namespace lanes {

constexpr index kLanes = kLaneBlock;
// Channels of filters whose points a job adds up.
constexpr index kPairPiece = 32;

// Fewer inputs or outputs of a dense layer are not worth the lists of what is no background.
constexpr index kBackgroundInputs = 64, kBackgroundOutputs = 24;

// Where a value lies in a block's area: [channels][rows][cols][16], with the zero padding its consumer needs
// around it.
struct Plane {
  index channels = 1, height = 1, width = 1;
  index pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  index offset = 0;  // in the area, elements

  index rows() const { return pad_top + height + pad_bottom; }
  index cols() const { return pad_left + width + pad_right; }
  index row() const { return cols() * kLanes; }
  index plane() const { return rows() * row(); }
  index origin() const { return (pad_top * cols() + pad_left) * kLanes; }
  index elements() const { return channels * plane(); }
  index features() const { return channels * height * width; }
  bool padded() const { return rows() != height || cols() != width; }
};

// How an operator of a convolution is computed: as the definition says; that, on the pixels that have a gradient; with
// Winograd's 6 x 6 points of tiles; with those of rows; with nine an axis.
enum class Form { direct, sparse, winograd, rows, nine };

// What the sparse form of a convolution's gradients needs to know, see LaneSparse.
struct SparseStage {
  SampleRows rows{};
  index strip = 1;
  std::vector<std::int32_t> pixel;
  std::vector<index> source;
  index weights = 0;  // offset of the packed weights among a member's
  index scratch = 0;  // elements
};

// A dense layer of data that have a background, see kernels/lanes_background.h.
struct BackgroundStage {
  index block = 0;    // in the area: backgrounds, [16]
  index columns = 0;  // how many
  // Among the leftovers: columns; of all samples backgrounds and gradients, [N] and [N][O].
  index e = 0, places = 0, counts = 0, samples = 0, d_rows = 0, d_pitch = 0;
};

// One or several fused layers.
struct Stage {
  LaneLayer::Kind kind;
  int in, out;  // values
  Axis height, width;
  index features = 0, taps = 0;
  int weight = -1, bias = -1;  // inputs of the op
  bool relu = false, pool = false;
  double at_zero = 1;
  Axis pool_height, pool_width;
  std::vector<index> tap, pixel, place;  // see LaneConv
  std::vector<index> window_place;       // of the pooled gradient: place[4 * window + tap] in a plane of dy
  index codes = 0;                       // offset in the area
  index strip_rows = 1;                  // rows of dy that a pass of the weight gradient takes
  Form forward_form = Form::direct, input_form = Form::direct, weight_form = Form::direct;
  bool any(Form form) const { return forward_form == form || input_form == form || weight_form == form; }
  index tiles_h = 0, tiles_w = 0;  // Winograd's tiles
  index points = 0;                // offset of weights transformed for tiles among a member's: [F][C][36]
  index forward_points = 0;        // ... for rows or with nine an axis
  SparseStage sparse;
  bool on_background = false;
  BackgroundStage background;
  index looks =
      0;  // what a filter's weight gradient is summed in: its K taps, 36 points a channel, or rows of runs
  index sums = 0;       // offset in a member's accumulators: [F][looks][16], or [F][looks] in the sparse form
  index bias_sums = 0;  // ... [F][16]
  index slot = 0;       // offset in a chunk's slot: [F][looks], then [F]
  index samples_rows = 0, d_out = 0;  // dense: offsets in the leftovers: [N][pitch], [blocks][O][16]
  index pitch = 0;
};

// A share of the work that follows the barrier: rows of a dense weight, elements of a convolution's, channels of filters
// of one whose gradient is summed in points, or filters of one in the sparse form.
struct Job {
  int stage;
  index begin, end, count;  // of count
};

// The chain lowered to stages, and every offset. Offsets and sizes count elements of the segment's type.
struct Plan {
  index samples = 0, blocks = 0, chunks = 0;
  std::vector<Plane> values;
  std::vector<Stage> stages;
  std::vector<std::pair<int, int>> kept;  // value, output
  int last = 0;                           // value
  index area = 0;                         // activations and codes of a block
  index gradient[2] = {0, 0};             // the gradients of even and odd values
  index expanded = 0;                     // dy of a pooled convolution, or the sparse form's scratch
  index sums = 0;                         // accumulators of the convolutions
  index points = 0;                       // transformed weights of the convolutions
  index tiles = 0;                        // scratch of Winograd's kernels
  index scratch = 0;                      // a gradient that comes from outside
  index slot = 0;                         // of a chunk
  index leftovers = 0;                    // what blocks leave for the end: slots, dense rows and gradients
  std::vector<Job> jobs;
  index handed_over = 0;  // of a dense weight's gradient, by a job

  // Of block b; the last one may have fewer than the lanes.
  index samples_of(index b) const { return samples - b * kLanes < kLanes ? samples - b * kLanes : kLanes; }
  // Of a member: what forward needs, and what backward needs besides.
  index forward_member() const { return points + tiles; }
  index member() const { return gradient[0] + gradient[1] + expanded + sums + scratch; }
};

Plan make_plan(const LaneChain& chain);

// Where the samples of block b lie in x, which has `pitch` elements a sample, in `order` if there is one
// (ForwardCall::rows); the last one again and again in lanes beyond the batch.
template <class T>
void rows_of_block(const Plan& plan, index b, const T* x, const index* order, index pitch, const T** rows) {
  for (index n = 0; n < kLanes; ++n) {
    const index samples = plan.samples_of(b), sample = b * kLanes + (n < samples ? n : samples - 1);
    rows[n] = x + (order != nullptr ? order[sample] : sample) * pitch;
  }
}

// An output tile's side for a kernel of r x r; tiles look at 6 x 6 inputs.
index tile_side(index r);
// The number of the stage's kernels among those of Winograd's forms.
int kernel_number(const Stage& stage);
const LaneRowWinogradForm& row_form(const Stage& stage);

// How many tiles Winograd's kernels take at a time, and the scratch that takes.
struct TileScratch {
  index forward_tiles = 1;  // of a row of tiles, or pairs of rows
  index weight_rows = 1;    // of tiles
  index elements = 0;
};
TileScratch tile_scratch(const Stage& stage, const Plane& in);

}  // namespace lanes
}  // namespace tenfold
