// A chain of small layers as one operation that runs by sample, the batch in the vector lanes.
//
// A member of the team takes blocks of 16 samples through the whole chain, forward and backward, so that a
// block's activations ([C][H][W][16], kernels/lanes.h) stay in its L2. What leaves a block:
//   - convolution weight gradients go to the slot of the block's chunk and are summed in index order after a
//   barrier;
//   - dense weight gradients are computed after that barrier over the whole batch, by tiles of the weight
//   matrix, from
//     what every block left of the layer's input and output gradient: small, and deterministic without
//     copies.
// Chunks and tiles are cut by shape, so the bits do not depend on the number of threads.
//
// When the loss ends the chain and nothing else flows back (`by_block`), forward already takes each block
// through its backward for d_loss = 1, while its activations are in L2; only the small leftovers of the block
// (input rows and output gradients of dense layers, chunk slots) are saved, and backward finishes them: it
// multiplies by d_loss where it stores the sums. The activations never leave L2 and no gradient is written
// twice. Otherwise the activations of all blocks are saved, and backward walks the blocks.
#pragma once

#include <memory>
#include <vector>

#include "tenfold/op.h"
#include "tenfold/window.h"

namespace tenfold {

struct LaneLayer {
  enum class Kind { conv, linear, relu, max_pool, flatten };
  // The last four: wherever the shape allows it.
  enum class Algorithm { automatic, direct, winograd, row_winograd, nine_winograd, sparse };
  Kind kind;
  Axis height, width;  // conv and max_pool, with output set
  index features = 0;  // conv and linear: output channels
  bool bias = false;
  double at_zero = 1;                          // relu
  bool kept = false;                           // its value is an output of the segment
  Algorithm algorithm = Algorithm::automatic;  // conv
};

// Inputs of the op: x (N, C, H, W) or (N, I), then weight [, bias] of every layer that has them, then the
// labels if loss or accuracy are wanted. Outputs: the kept values in order, then the loss, then the accuracy
// (scalars).
struct LaneChain {
  DType dtype = DType::float32;
  Shape x;
  std::vector<LaneLayer> layers;
  bool loss = false;      // mean cross-entropy of the last value, which is (N, classes)
  bool accuracy = false;  // share of labels that are the last value's argmax
  index ignore_index = -100;
  bool training = false;
  bool by_block = false;  // forward runs the blocks' backward too; needs training, loss, and no kept value
};

// Elements that one block of 16 samples keeps at once, in training its gradients included: what has to fit in
// L2.
index lane_block_elements(const LaneChain& chain);

// Whether a dense layer is large enough to skip the background of its inputs, if they are the segment's own
// (kernels/lanes_background.h).
bool may_skip_background(index inputs, index outputs);

std::unique_ptr<Op> make_lane_segment(const LaneChain& chain);

}  // namespace tenfold
