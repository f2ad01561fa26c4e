// Convolution with 16 images in the vector lanes (kernels/lanes.h): planes are turned to [channel][row][column][16] and
// back, so that no vector is lost at the end of a row. For many small images with few channels. Here is what the forms in
// lane_product.h and lane_gradient.h share.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/lanes.h"
#include "kernels/lanes_conv.h"
#include "tenfold/conv.h"
#include "tenfold/memory.h"

namespace tenfold {

enum class LaneOperator { apply, adjoint, weight_gradient };

// Rows of 16 images in lanes, with room for the padding beside each row; rows outside of the image are padding too.
struct LaneRows {
  index channels = 1, rows = 1;  // that there is room for
  index height = 1, width = 1;   // of an image
  index left = 0, right = 0;

  index row() const { return (left + width + right) * kLaneBlock; }
  index plane() const { return rows * row(); }
  index elements() const { return channels * plane(); }
  index pixels() const { return channels * height * width; }  // of an image
};

// Blocks of 16 images, and in each strips of rows of the target (of dy, for the weight gradient) that stay in the
// second-level cache with what they look at.
struct LaneLayout {
  LaneRows x, y;     // room for a strip
  index height = 0;  // rows that are cut into strips
  index strip = 0;   // rows of a strip; 0 where not even one fits
  index strips = 0, blocks = 0;

  index items() const { return blocks * strips; }
};
LaneLayout lane_layout(const ConvGeometry& geometry, LaneOperator op, std::size_t element_size);

// Whether the adjoint gathers what every element of x gets; without a stride it scatters dy, in register tiles as well.
bool lane_adjoint_gathers(const ConvGeometry& geometry);
// The number of the geometry's kernel among those of Winograd along rows, -1 if there is none.
int lane_row_winograd_number(const ConvGeometry& geometry);

// Along an axis: the first element of y that reaches element 0 of x, if there were one; the last one that reaches `element`.
index first_reaching(const Axis& axis);
index last_reaching(const Axis& axis, index element);

// A strip at hand: rows begin .. end - 1 of `images` images from `image` on.
struct LaneStrip {
  index image, images, begin, end;
  index rows() const { return end - begin; }
};

template <class T>
class LaneStrips {
 protected:
  LaneStrips(const ConvGeometry& geometry, const ConvOptions& options, LaneOperator op)
      : geometry_(geometry),
        layout_(lane_layout(geometry, op, sizeof(T))),
        lanes_(kernels<LaneKernels, T>()),
        fill_(static_cast<T>(options.border_value)) {}

  LaneStrip strip(index item) const {
    const index image = item / layout_.strips * kLaneBlock, begin = item % layout_.strips * layout_.strip;
    return {image, std::min(kLaneBlock, geometry_.images - image), begin,
            std::min(layout_.height, begin + layout_.strip)};
  }

  // lanes <-- `count` rows of a strip's images from `first` on, perhaps above the image; what is outside is padding.
  void read_x(const LaneStrip& strip, index first, index count, const T* x, T* lanes) const {
    read(layout_.x, strip, first, count, fill_, x, lanes);
  }
  void read_y(const LaneStrip& strip, index first, index count, const T* y, T* lanes) const {
    read(layout_.y, strip, first, count, T(0), y, lanes);
  }
  // A strip's rows of the target <-- lanes, plus a number per channel unless it is null.
  void write(const LaneRows& rows, const LaneStrip& strip, const T* lanes, T* to,
             const T* add = nullptr) const;

  // The row of x that row `row` of y begins to look at, perhaps above the image; and so many look at how many.
  index first_look(index row) const {
    const Axis& h = geometry_.window[1];
    return row * h.stride - h.pad_before;
  }
  index looks(index rows) const {
    const Axis& h = geometry_.window[1];
    return (rows - 1) * h.stride + h.extent();
  }
  // Where the taps of all channels look in rows of x (see LaneConv).
  std::vector<index> taps() const;

  // What so many elements take of a workspace.
  static std::size_t bytes(index elements) {
    return align_up(static_cast<std::size_t>(elements) * sizeof(T));
  }

  ConvGeometry geometry_;
  LaneLayout layout_;
  const LaneKernels<T>& lanes_;

 private:
  void read(const LaneRows& rows, const LaneStrip& strip, index first, index count, T fill, const T* from,
            T* lanes) const;

  T fill_;
};

}  // namespace tenfold
