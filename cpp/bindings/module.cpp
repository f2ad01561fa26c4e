// tenfold._core: a table of contents.
#include "bindings.h"
#include "tenfold/error.h"

PYBIND11_MODULE(_core, module) {
  namespace py = pybind11;
  module.doc() = "The compiled core of tenfold.";
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const tenfold::InvalidType& e) {
      py::set_error(PyExc_TypeError, e.what());
    }
    // InvalidArgument is a std::invalid_argument, which pybind11 makes a ValueError.
  });
  tenfold::bindings::bind_runtime(module);
  tenfold::bindings::bind_graph(module);
  tenfold::bindings::bind_program(module);
  tenfold::bindings::bind_optim(module);
}
