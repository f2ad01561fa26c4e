// Whether and how the weight gradient is made in Winograd's form: by its time and by its error.
#pragma once

#include "tenfold/conv.h"

namespace tenfold {

// Tiles that a register tile sums at a time, at most: two panels of them stay in the first-level cache.
constexpr index kGradientDepth = 160;

// Whether the form exists for a geometry: where Winograd's convolution does, but 5 x 5 windows have it in float32 only, with
// tiles of 4 (from tiles of 2 their taps err more than 4 times as much as the direct form's).
// With stride 2 tiles are of 2. `tile`: 0 for any.
bool winograd_gradient_applies(const ConvGeometry& geometry, int tile, std::size_t element_size);
// The better tile for the weight gradient of a geometry in float32, from its shape only; 0 where
// neither is clearly better than the other algorithms, or errs little enough.
int winograd_gradient_choice(const ConvGeometry& geometry);
// The faster tile, never 0.
int winograd_gradient_tile(const ConvGeometry& geometry);
// The form of a tile, of kWinogradGradientForms.
int winograd_gradient_form(const ConvGeometry& geometry, int tile);
// How many tiles are summed at a time: the shorter sums are, the less their rounding errors grow, and the longer the
// products take.
index winograd_gradient_depth(const ConvGeometry& geometry, int tile);

}  // namespace tenfold
