// Optimisers.
#include "bindings.h"
#include "tenfold/error.h"
#include "tenfold/optim.h"
#include "tenfold/parallel.h"

namespace tenfold::bindings {
namespace {

template <class T>
void step_as(const Optimizer& optimizer, const TensorType& type, py::array& parameters,
             const py::array& gradients, std::vector<py::array>& states, double learning_rate,
             std::int64_t step) {
  T* p = static_cast<T*>(write_pointer(parameters, type, "parameters"));
  const T* g = static_cast<const T*>(read_pointer(gradients, type, "gradients"));
  std::vector<T*> state;
  for (py::array& array : states) state.push_back(static_cast<T*>(write_pointer(array, type, "states")));
  const index n = type.count();
  py::gil_scoped_release release;
  parallel(static_cast<double>(n),
           [&](const Team& team) { optimizer.step(team, n, p, g, state.data(), learning_rate, step, true); });
}

void step(const Optimizer& optimizer, py::array parameters, const py::array& gradients,
          std::vector<py::array> states, double learning_rate, std::int64_t step) {
  const TensorType type = type_of(parameters);
  if (!is_floating(type.dtype)) {
    reject_type("Optimizer.step", "parameters", "must be float32 or float64; received ", name_of(type.dtype));
  }
  if (states.size() != static_cast<std::size_t>(optimizer.state_count())) {
    reject("Optimizer.step", "states", "must be ", optimizer.state_count(), " arrays; received ",
           states.size());
  }
  if (step < 0) reject("Optimizer.step", "step", "must be at least 0; received ", step);
  if (type.dtype == DType::float32) {
    step_as<float>(optimizer, type, parameters, gradients, states, learning_rate, step);
  } else {
    step_as<double>(optimizer, type, parameters, gradients, states, learning_rate, step);
  }
}

}  // namespace

void bind_optim(py::module_& module) {
  py::class_<Optimizer, std::shared_ptr<Optimizer>>(module, "Optimizer")
      .def_property_readonly("state_count", &Optimizer::state_count)
      .def("step", &step, py::arg("parameters").noconvert(), py::arg("gradients").noconvert(),
           py::arg("states"), py::arg("learning_rate"), py::arg("step"));

  py::class_<SGD, Optimizer, std::shared_ptr<SGD>>(module, "SGD")
      .def(py::init([](double momentum, double dampening, double weight_decay, bool nesterov) {
             return std::make_shared<SGD>(SGD::Options{momentum, dampening, weight_decay, nesterov});
           }),
           py::arg("momentum") = 0.0, py::arg("dampening") = 0.0, py::arg("weight_decay") = 0.0,
           py::arg("nesterov") = false);
  py::class_<Adam, Optimizer, std::shared_ptr<Adam>>(module, "Adam")
      .def(py::init([](double beta1, double beta2, double eps, double weight_decay, bool decoupled) {
             return std::make_shared<Adam>(Adam::Options{beta1, beta2, eps, weight_decay, decoupled});
           }),
           py::arg("beta1") = 0.9, py::arg("beta2") = 0.999, py::arg("eps") = 1e-8,
           py::arg("weight_decay") = 0.0, py::arg("decoupled") = false);
  py::class_<RMSprop, Optimizer, std::shared_ptr<RMSprop>>(module, "RMSprop")
      .def(py::init([](double alpha, double eps, double weight_decay, double momentum) {
             return std::make_shared<RMSprop>(RMSprop::Options{alpha, eps, weight_decay, momentum});
           }),
           py::arg("alpha") = 0.99, py::arg("eps") = 1e-8, py::arg("weight_decay") = 0.0,
           py::arg("momentum") = 0.0);
}

}  // namespace tenfold::bindings
