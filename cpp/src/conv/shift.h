// A convolution as shifted looks at a padded copy of its source.
//
// Along an axis, grid position j of a part looks through a tap at  phase[u],  u = j + shift,  where the
// phases are the residues of the padded source modulo its step: so every tap of any stride is a unit-stride
// look. A convolution is one part whose step is the stride; its adjoint reads y with step 1 and has a part
// for every residue of the input modulo the stride, which writes every stride-th target.
//
//   source buffer   [channel][phase0][phase1][phase2][u0][u1][u2] <-- source[channel][p0][p1][p2]
//   target          target[channel][start + j * step] <-- grid position j
#pragma once

#include <array>
#include <vector>

#include "tenfold/window.h"

namespace tenfold {

struct ShiftTap {
  index tap;    // of the window along the axis
  index phase;  // of the source buffer
  index shift;
};

// One axis of one part.
struct ShiftPartAxis {
  index begin = 0, count = 0;  // grid positions
  index start = 0, step = 1;   // of the target, for the first of them
  std::vector<ShiftTap> taps;
};

// A phase of the source along an axis: table[u] is a source position or -1; for inside_begin <= u <
// inside_end it is first + u * step.
struct ShiftPhase {
  std::vector<index> table;
  index inside_begin = 0, inside_end = 0, first = 0;
};

struct ShiftAxis {
  index grid = 1;        // grid positions of all parts: 0 .. grid - 1
  index reach = 0;       // largest shift
  index step = 1;        // between source positions of a phase
  index source = 1;      // extent of the source
  index target = 1;      // extent of the target
  bool complete = true;  // every target position belongs to a part
  std::vector<ShiftPhase> phases;
  std::vector<ShiftPartAxis> parts;
};

// y = A x along an axis.
ShiftAxis shift_forward(const Axis& axis, Border border);
// x = A^T y: the target is the input (`padded` false: what lies in the padding is dropped) or the padded
// input.
ShiftAxis shift_adjoint(const Axis& axis, bool padded);
// The same look at the source where the shifts of a single part of step 1 have a common divisor, a dilation: a part for
// every residue of the target modulo it, with shifts that are not dilated. Else the axis as it is.
ShiftAxis without_dilation(const ShiftAxis& axis);

}  // namespace tenfold
