// What the binding files share: conversions between Python and the core's types.
//
// A binding checks its arrays, takes the pointers, releases the GIL in an inner scope, calls, returns.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "tenfold/graph.h"
#include "tenfold/op.h"

namespace tenfold::bindings {

namespace py = pybind11;

// numpy dtype <-> DType; throws InvalidType for anything but float32, float64 and int64.
py::dtype to_numpy(DType dtype);
DType to_dtype(const py::dtype& dtype);
// The type of an array; its memory must be C-contiguous (the Python layer sees to that).
TensorType type_of(const py::array& array);
// A new, uninitialised array.
py::array empty(const TensorType& type);
// A dict of bool / int / float / str / sequence of int.
Attributes to_attributes(const py::dict& dict);
py::dict to_dict(const Attributes& attributes);
// Whether it is a C-contiguous array of exactly this type.
bool is_array_of(const py::array& array, const TensorType& type);
// The items of a tuple or list as such arrays; nothing where one of them is none.
template <class Items>
std::optional<std::vector<py::array>> arrays_of(const Items& items, const std::vector<TensorType>& types) {
  if (items.size() != types.size()) return std::nullopt;
  std::vector<py::array> arrays;
  arrays.reserve(types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    const py::handle item = items[i];
    if (!py::isinstance<py::array>(item)) return std::nullopt;
    arrays.push_back(py::reinterpret_borrow<py::array>(item));
    if (!is_array_of(arrays.back(), types[i])) return std::nullopt;
  }
  return arrays;
}
// The pointer of a C-contiguous array of exactly this type; throws InvalidArgument naming `argument` otherwise.
const void* read_pointer(const py::array& array, const TensorType& type, const char* argument);
// The same for an array that is written to.
void* write_pointer(py::array& array, const TensorType& type, const char* argument);

void bind_runtime(py::module_& module);
void bind_graph(py::module_& module);
void bind_program(py::module_& module);
void bind_optim(py::module_& module);

}  // namespace tenfold::bindings
