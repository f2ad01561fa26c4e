// The words every other header uses: extents, element types, shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tenfold {

using index = std::int64_t;  // every extent, offset and count
using Shape = std::vector<index>;

// The least integer that is not below a / b, for a >= 0 and b > 0.
constexpr index divide_up(index a, index b) {
  return (a + b - 1) / b;
}

enum class DType { float32, float64, int64 };

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::float32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::float64;
}
template <>
constexpr DType dtype_of<index>() {
  return DType::int64;
}

constexpr std::size_t size_of(DType dtype) {
  return dtype == DType::float32 ? 4 : 8;
}
constexpr bool is_floating(DType dtype) {
  return dtype != DType::int64;
}
const char* name_of(DType dtype);

// The type of a dense, C-contiguous tensor.
struct TensorType {
  DType dtype = DType::float32;
  Shape shape;

  index count() const;  // number of elements
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * size_of(dtype); }
  bool operator==(const TensorType& other) const { return dtype == other.dtype && shape == other.shape; }
  bool operator!=(const TensorType& other) const { return !(*this == other); }
};

std::string to_string(const Shape& shape);      // "(2, 3, 7)"
std::string to_string(const TensorType& type);  // "float32 (2, 3, 7)"

// Product of the extents; throws InvalidArgument when it does not fit an index or an extent is negative.
index checked_count(const Shape& shape, const char* function, const char* argument);

}  // namespace tenfold
