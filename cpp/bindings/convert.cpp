#include <algorithm>

#include "bindings.h"
#include "tenfold/error.h"

namespace tenfold::bindings {

py::dtype to_numpy(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return py::dtype::of<float>();
    case DType::float64:
      return py::dtype::of<double>();
    case DType::int64:
      return py::dtype::of<std::int64_t>();
  }
  throw InvalidType("unknown dtype");
}

DType to_dtype(const py::dtype& dtype) {
  if (dtype.is(py::dtype::of<float>()) || dtype.equal(py::dtype::of<float>())) return DType::float32;
  if (dtype.equal(py::dtype::of<double>())) return DType::float64;
  if (dtype.equal(py::dtype::of<std::int64_t>())) return DType::int64;
  throw InvalidType("an array must have dtype float32, float64 or int64; received " +
                    py::cast<std::string>(py::str(dtype)));
}

TensorType type_of(const py::array& array) {
  TensorType type;
  type.dtype = to_dtype(array.dtype());
  type.shape.assign(array.shape(), array.shape() + array.ndim());
  return type;
}

py::array empty(const TensorType& type) {
  return py::array(to_numpy(type.dtype), type.shape);
}

Attributes to_attributes(const py::dict& dict) {
  Attributes attributes;
  for (const auto& [key, value] : dict) {
    const std::string name = py::cast<std::string>(key);
    if (py::isinstance<py::bool_>(value)) {
      attributes.set(name, py::cast<bool>(value));
    } else if (py::isinstance<py::int_>(value)) {
      attributes.set(name, py::cast<index>(value));
    } else if (py::isinstance<py::float_>(value)) {
      attributes.set(name, py::cast<double>(value));
    } else if (py::isinstance<py::str>(value)) {
      attributes.set(name, py::cast<std::string>(value));
    } else {
      attributes.set(name, py::cast<Shape>(value));
    }
  }
  return attributes;
}

py::dict to_dict(const Attributes& attributes) {
  py::dict dict;
  for (const auto& [name, value] : attributes.values()) {
    std::visit([&dict, key = name](const auto& held) { dict[py::str(key)] = py::cast(held); }, value);
  }
  return dict;
}

bool is_array_of(const py::array& array, const TensorType& type) {
  const auto rank = static_cast<std::size_t>(array.ndim());
  return (array.flags() & py::array::c_style) && rank == type.shape.size() &&
         std::equal(type.shape.begin(), type.shape.end(), array.shape()) &&
         (array.dtype().is(to_numpy(type.dtype)) || array.dtype().equal(to_numpy(type.dtype)));
}

const void* read_pointer(const py::array& array, const TensorType& type, const char* argument) {
  if (!is_array_of(array, type)) {
    reject("_core", argument, "must be a C-contiguous ", to_string(type), " array; received ",
           to_string(type_of(array)));
  }
  return array.data();
}

void* write_pointer(py::array& array, const TensorType& type, const char* argument) {
  read_pointer(array, type, argument);
  if (!array.writeable()) reject("_core", argument, "must be writeable");
  return array.mutable_data();
}

}  // namespace tenfold::bindings
