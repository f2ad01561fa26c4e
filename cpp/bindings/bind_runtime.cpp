#include "bindings.h"
#include "tenfold/cpu.h"
#include "tenfold/error.h"
#include "tenfold/parallel.h"
#include "tenfold/probe.h"

namespace tenfold::bindings {

void bind_runtime(py::module_& module) {
  module.def("num_threads", &num_threads);
  module.def("set_num_threads", &set_num_threads, py::arg("threads"));
  module.def("isa", [] { return std::string(name_of(active_isa())); });
  module.def("set_isa", &set_isa, py::arg("name"));
  module.def("available_isas", [] {
    std::vector<std::string> names;
    for (Isa isa : available_isas()) names.emplace_back(name_of(isa));
    return names;
  });
  module.def("cpu_name", &cpu_name);
  module.def(
      "fma_peak",
      [](const py::dtype& dtype, double seconds) {
        const DType type = to_dtype(dtype);
        if (!is_floating(type)) reject_type("fma_peak", "dtype", "must be float32 or float64");
        const py::gil_scoped_release release;
        return type == DType::float32 ? fma_peak<float>(seconds) : fma_peak<double>(seconds);
      },
      py::arg("dtype"), py::arg("seconds") = 0.01);
  module.def("round_trip", &round_trip, py::call_guard<py::gil_scoped_release>());
  module.def("compiler", [] { return std::string(TENFOLD_COMPILER); });
  module.def("has_openmp", [] {
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
  });
}

}  // namespace tenfold::bindings
