// Whether a convolution runs with 16 images in the vector lanes (lane_strips.h), from shapes only.
#pragma once

#include "conv/lane_strips.h"

namespace tenfold {

// Whether the form exists for a geometry and is clearly better than the direct one.
bool lane_conv_choice(const ConvGeometry& geometry, LaneOperator op, std::size_t element_size);
// ... and whether `apply` is better by Winograd along rows.
bool lane_row_winograd_choice(const ConvGeometry& geometry, std::size_t element_size);

}  // namespace tenfold
