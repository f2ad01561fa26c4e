// The one home of the geometry that convolution, transposed convolution, pooling, unfold and fold share.
//
// Along an axis, output position o looks through tap k at input position  o * stride + k * dilation - pad_before.
// Positions outside 0 .. size-1 are mapped by the border. A Window is up to three such axes; 1-D and 2-D windows are
// 3-D windows whose leading axes are trivial (size, kernel and stride 1), so that one code serves all ranks.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tenfold/types.h"

namespace tenfold {

enum class Border {
  constant,   // a chosen constant outside, 0 unless told
  reflect,    // mirror, edge not repeated:  c b | a b c | b a
  symmetric,  // mirror, edge repeated:      b a | a b c | c b
  replicate,  // the edge goes on:           a a | a b c | c c
  circular,   // modulo:                     b c | a b c | a b
};
// `valid` (ignore the border: the output shrinks) is a padding of 0 with any border.

const char* name_of(Border border);
// Throws InvalidArgument for an unknown name; `function` is named in the message.
Border border_from(const std::string& name, const char* function);

// Where position `p` of an axis of `size` elements reads under `border`: 0 .. size-1, or -1 for the constant.
// Needs size >= 1 (and size >= 2 for reflect unless p is inside).
index border_source(index p, index size, Border border);

struct Axis {
  index size = 1;
  index kernel = 1;
  index stride = 1;
  index dilation = 1;
  index pad_before = 0;
  index pad_after = 0;
  index output = 1;  // number of output positions; see output_size

  index extent() const { return dilation * (kernel - 1) + 1; }  // input positions a window spans
  index padded() const { return size + pad_before + pad_after; }
  // floor((padded - extent) / stride) + 1; with `ceil`, rounded up as far as the last window still starts inside the
  // input or the padding before it (torch's ceil_mode).
  index output_size(bool ceil = false) const;
  // Output o, tap k looks at this position (may lie outside 0 .. size-1).
  index position(index o, index k) const { return o * stride + k * dilation - pad_before; }
};

struct Window {
  int rank = 2;              // 1, 2 or 3: how many trailing axes are real
  std::array<Axis, 3> axes;  // depth, height, width
  Border border = Border::constant;

  const Axis& operator[](int i) const { return axes[static_cast<std::size_t>(i)]; }
  Axis& operator[](int i) { return axes[static_cast<std::size_t>(i)]; }
  index input_count() const { return axes[0].size * axes[1].size * axes[2].size; }
  index output_count() const { return axes[0].output * axes[1].output * axes[2].output; }
  index kernel_count() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
  index padded_count() const { return axes[0].padded() * axes[1].padded() * axes[2].padded(); }
  bool padded() const;  // any axis has padding

  // source[o * kernel + k]: the input position that tap k of output o reads along an axis, -1 for the constant border.
  std::vector<index> source(int axis) const;
  // source of the padded axis: pad_source[p] for 0 <= p < padded(): the input position behind padded position p, or -1.
  std::vector<index> pad_source(int axis) const;
};

// What a user says about a window; every vector has one entry per real axis, pads two (before, after).
struct WindowSpec {
  const char* function;  // named in errors: "conv2d"
  Shape size, kernel, stride, dilation, pads;
  Border border = Border::constant;
  bool ceil = false;
};

// Checks the spec (positive kernel / stride / dilation, non-negative pads, window fits the padded input, border legal
// for the padding, no overflow) and computes the output sizes. Throws InvalidArgument.
Window make_window(const WindowSpec& spec);

}  // namespace tenfold
