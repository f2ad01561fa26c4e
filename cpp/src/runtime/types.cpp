#include "tenfold/types.h"

#include <limits>

#include "tenfold/error.h"

namespace tenfold {

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::int64:
      return "int64";
  }
  return "unknown";
}

index TensorType::count() const {
  index product = 1;
  for (index extent : shape) product *= extent;
  return product;
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string to_string(const TensorType& type) {
  return std::string(name_of(type.dtype)) + " " + to_string(type.shape);
}

index checked_count(const Shape& shape, const char* function, const char* argument) {
  // 2^48 elements: far beyond any memory, and small enough that bytes and strides cannot overflow either.
  constexpr index kLimit = index{1} << 48;
  index product = 1;
  bool empty = false;
  for (index extent : shape) {
    if (extent < 0)
      reject(function, argument, "must have no negative extent; its shape is ", to_string(shape));
    if (extent == 0) {
      empty = true;
    } else if (product > kLimit / extent) {
      reject(function, argument, "must have at most 2^48 elements; its shape is ", to_string(shape));
    } else {
      product *= extent;
    }
  }
  return empty ? 0 : product;
}

}  // namespace tenfold
