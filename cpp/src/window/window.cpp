#include "tenfold/window.h"

#include "tenfold/error.h"

namespace tenfold {
namespace {

constexpr struct {
  Border border;
  const char* name;
} kBorders[] = {
    {Border::constant, "constant"},   {Border::reflect, "reflect"},   {Border::symmetric, "symmetric"},
    {Border::replicate, "replicate"}, {Border::circular, "circular"},
};

// No extent, stride, dilation or pad may exceed this: products of two and sums of several then fit an index.
constexpr index kMaxExtent = index{1} << 31;

index modulo(index a, index n) {
  return ((a % n) + n) % n;
}

void check_entries(const WindowSpec& spec, const Shape& values, const char* argument, index least) {
  for (index value : values) {
    if (value < least) {
      reject(spec.function, argument, "must be ", least > 0 ? "positive" : "non-negative",
             " along every axis; received ", to_string(values));
    }
    if (value > kMaxExtent) {
      reject(spec.function, argument, "must be at most 2^31 along every axis; received ", to_string(values));
    }
  }
}

void check_border(const WindowSpec& spec, const Axis& axis) {
  const index pad = std::max(axis.pad_before, axis.pad_after);
  if (pad == 0 || spec.border == Border::constant) return;
  if (axis.size == 0) {
    reject(spec.function, "input", "must not be empty along a padded axis when border is '",
           name_of(spec.border), "'; its spatial size is ", to_string(spec.size));
  }
  if (spec.border == Border::reflect && pad >= axis.size) {
    reject(spec.function, "padding",
           "must be smaller than the input along every axis when border is 'reflect'; ", "received padding ",
           pad, " for size ", axis.size);
  }
}

}  // namespace

const char* name_of(Border border) {
  for (const auto& entry : kBorders) {
    if (entry.border == border) return entry.name;
  }
  return "unknown";
}

Border border_from(const std::string& name, const char* function) {
  for (const auto& entry : kBorders) {
    if (name == entry.name) return entry.border;
  }
  reject(function, "border",
         "must be 'valid', 'constant', 'reflect', 'symmetric', 'replicate' or 'circular'; received '", name,
         "'");
}

index border_source(index p, index size, Border border) {
  if (p >= 0 && p < size) return p;
  switch (border) {
    case Border::constant:
      return -1;
    case Border::reflect: {
      if (size == 1) return 0;
      const index q = modulo(p, 2 * size - 2);
      return q < size ? q : 2 * size - 2 - q;
    }
    case Border::symmetric: {
      const index q = modulo(p, 2 * size);
      return q < size ? q : 2 * size - 1 - q;
    }
    case Border::replicate:
      return p < 0 ? 0 : size - 1;
    case Border::circular:
      return modulo(p, size);
  }
  return -1;
}

index Axis::output_size(bool ceil) const {
  const index room = padded() - extent();
  if (room < 0) return 0;
  index outputs = (ceil ? (room + stride - 1) / stride : room / stride) + 1;
  if (ceil && (outputs - 1) * stride >= size + pad_before) --outputs;
  return outputs;
}

bool Window::padded() const {
  for (const Axis& axis : axes) {
    if (axis.pad_before > 0 || axis.pad_after > 0) return true;
  }
  return false;
}

std::vector<index> Window::source(int axis) const {
  const Axis& a = (*this)[axis];
  std::vector<index> table(static_cast<std::size_t>(a.output * a.kernel));
  for (index o = 0; o < a.output; ++o) {
    for (index k = 0; k < a.kernel; ++k) {
      table[static_cast<std::size_t>(o * a.kernel + k)] = border_source(a.position(o, k), a.size, border);
    }
  }
  return table;
}

std::vector<index> Window::pad_source(int axis) const {
  const Axis& a = (*this)[axis];
  std::vector<index> table(static_cast<std::size_t>(a.padded()));
  for (index p = 0; p < a.padded(); ++p) {
    table[static_cast<std::size_t>(p)] = border_source(p - a.pad_before, a.size, border);
  }
  return table;
}

Window make_window(const WindowSpec& spec) {
  check_entries(spec, spec.size, "input", 0);
  check_entries(spec, spec.kernel, "kernel_size", 1);
  check_entries(spec, spec.stride, "stride", 1);
  check_entries(spec, spec.dilation, "dilation", 1);
  check_entries(spec, spec.pads, "padding", 0);

  Window window;
  window.rank = static_cast<int>(spec.size.size());
  window.border = spec.border;
  for (int i = 0; i < window.rank; ++i) {
    const auto j = static_cast<std::size_t>(i);
    Axis& axis = window[3 - window.rank + i];
    axis.size = spec.size[j];
    axis.kernel = spec.kernel[j];
    axis.stride = spec.stride[j];
    axis.dilation = spec.dilation[j];
    axis.pad_before = spec.pads[2 * j];
    axis.pad_after = spec.pads[2 * j + 1];
    check_border(spec, axis);
    if (axis.extent() > axis.padded()) {
      reject(spec.function, "kernel_size",
             "must fit the padded input: dilation * (kernel_size - 1) + 1 <= size + padding; received "
             "kernel_size ",
             axis.kernel, ", dilation ", axis.dilation, ", size ", axis.size, ", padding ", axis.pad_before,
             " + ", axis.pad_after);
    }
    axis.output = axis.output_size(spec.ceil);
  }
  return window;
}

}  // namespace tenfold
