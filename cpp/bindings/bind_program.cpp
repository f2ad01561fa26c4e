// Program, and ops whose forward and backward are Python functions.
#include <cstring>
#include <map>
#include <optional>

#include "bindings.h"
#include "tenfold/error.h"
#include "tenfold/memory.h"
#include "tenfold/optim.h"
#include "tenfold/program.h"

namespace tenfold::bindings {
namespace {

// An array that shows the core's memory; valid during the call only.
py::array view(const TensorType& type, const void* data, bool writeable) {
  // A base of None stops pybind11 from copying.
  py::array array(to_numpy(type.dtype), type.shape, const_cast<void*>(data), py::none());
  if (!writeable) array.attr("setflags")(py::arg("write") = false);
  return array;
}

// The thread that opened the region calls Python; the others wait.
class CallbackOp final : public Op {
 public:
  CallbackOp(std::string name, py::function forward, py::function backward, std::vector<TensorType> inputs,
             std::vector<TensorType> outputs)
      : name_(std::move(name)), forward_(std::move(forward)), backward_(std::move(backward)) {
    inputs_ = std::move(inputs);
    outputs_ = std::move(outputs);
  }

  bool backward_needs_output(int) const override { return true; }

  void forward(const Team& team, const ForwardCall& call) const override {
    team.on_caller([&] {
      if (call.errors->error) return;
      const py::gil_scoped_acquire acquire;
      try {
        py::list inputs;
        for (std::size_t i = 0; i < inputs_.size(); ++i)
          inputs.append(view(inputs_[i], call.inputs[i], false));
        const py::list results = forward_(*py::tuple(inputs));
        store("forward", results, outputs_, call.outputs);
      } catch (...) {
        call.errors->error = std::current_exception();
      }
    });
  }

  void backward(const Team& team, const BackwardCall& call) const override {
    team.on_caller([&] {
      if (call.errors->error) return;
      const py::gil_scoped_acquire acquire;
      try {
        py::list inputs, outputs, gradients;
        for (std::size_t i = 0; i < inputs_.size(); ++i)
          inputs.append(view(inputs_[i], call.inputs[i], false));
        for (std::size_t j = 0; j < outputs_.size(); ++j) {
          outputs.append(view(outputs_[j], call.outputs[j], false));
          if (call.d_outputs[j] == nullptr) {
            gradients.append(py::none());
          } else {
            gradients.append(view(outputs_[j], call.d_outputs[j], false));
          }
        }
        const py::list results = backward_(py::tuple(inputs), py::tuple(outputs), py::tuple(gradients));
        store("backward", results, inputs_, call.d_inputs);
      } catch (...) {
        call.errors->error = std::current_exception();
      }
    });
  }

 private:
  // Checks everything before it copies anything.
  void store(const char* what, const py::list& results, const std::vector<TensorType>& types,
             void* const* targets) const {
    const std::string function = name_ + "." + what;
    if (results.size() != types.size()) {
      reject(function.c_str(), "result", "must be ", types.size(), " arrays; received ", results.size());
    }
    std::vector<py::array> arrays;
    for (std::size_t i = 0; i < types.size(); ++i) {
      const bool none = results[i].is_none();
      if (none && std::string(what) == "forward")
        reject(function.c_str(), "result", "must be an array; received None");
      arrays.push_back(none ? py::array() : py::array::ensure(results[i], py::array::c_style));
      if (none || targets[i] == nullptr) continue;
      if (type_of(arrays[i]) != types[i]) {
        reject(function.c_str(), "result", i, " must be ", to_string(types[i]), "; received ",
               to_string(type_of(arrays[i])));
      }
    }
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (targets[i] == nullptr) continue;
      if (results[i].is_none()) {
        std::memset(targets[i], 0, types[i].bytes());
      } else {
        copy_bytes(targets[i], arrays[i].data(), types[i].bytes());
      }
    }
  }

  std::string name_;
  py::function forward_, backward_;
};

// A program and the arrays whose memory it uses.
struct BoundProgram {
  BoundProgram(const Graph& graph, ProgramSpec spec)
      : types(graph.values().size()), gradients(spec.gradients), program(graph, std::move(spec)) {
    for (std::size_t id = 0; id < types.size(); ++id) types[id] = graph.values()[id].type;
  }

  const TensorType& type(ValueId id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= types.size())
      reject("Program", "value", "is unknown: ", id);
    return types[static_cast<std::size_t>(id)];
  }

  // A program that another thread runs may need the GIL for a callback before it lets us bind.
  void bind(ValueId leaf, py::array array) {
    void* const data = const_cast<void*>(read_pointer(array, type(leaf), "array"));
    {
      const py::gil_scoped_release release;
      program.bind(leaf, data);
    }
    bound[leaf] = std::move(array);
  }

  void bind_gradient(ValueId leaf, py::array array) {
    void* const data = write_pointer(array, type(leaf), "array");
    {
      const py::gil_scoped_release release;
      program.bind_gradient(leaf, data);
    }
    bound_gradients[leaf] = std::move(array);
  }

  // None for inputs that are not contiguous arrays of the program's types.
  py::object forward_if_fits(const py::tuple& inputs, bool update) {
    auto arrays = arrays_of(inputs, program.input_types());
    return arrays ? py::cast(forward(std::move(*arrays), 0, 0, update)) : py::none();
  }

  std::vector<py::array> forward(std::vector<py::array> inputs, std::uint64_t seed, std::uint64_t step,
                                 bool update) {
    const auto& input_types = program.input_types();
    if (inputs.size() != input_types.size()) {
      reject("Program.forward", "inputs", "must be ", input_types.size(), " arrays; received ",
             inputs.size());
    }
    std::vector<const void*> in;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      in.push_back(read_pointer(inputs[i], input_types[i], "inputs"));
    std::vector<py::array> results;
    std::vector<void*> out;
    for (const TensorType& output : program.output_types()) {
      results.push_back(empty(output));
      out.push_back(results.back().mutable_data());
    }
    last_inputs = std::move(inputs);  // backward reads them
    {
      const py::gil_scoped_release release;
      program.forward(in, out, {seed, step}, update);
    }
    return results;
  }

  std::vector<py::array> backward(const std::vector<std::optional<py::array>>& d_outputs) {
    const auto& output_types = program.output_types();
    std::vector<const void*> in;
    for (std::size_t j = 0; j < d_outputs.size(); ++j) {
      in.push_back(d_outputs[j] ? read_pointer(*d_outputs[j], output_types.at(j), "d_outputs") : nullptr);
    }
    std::vector<py::array> results;
    std::vector<void*> out;
    for (ValueId id : gradients) {
      const auto there = bound_gradients.find(id);
      results.push_back(there == bound_gradients.end() ? empty(type(id)) : there->second);
      out.push_back(there == bound_gradients.end() ? results.back().mutable_data() : nullptr);
    }
    {
      const py::gil_scoped_release release;
      program.backward(in, out);
    }
    return results;
  }

  py::list profile(std::vector<py::array> inputs, const std::vector<std::optional<py::array>>& d_outputs,
                   std::uint64_t seed, index repetitions) {
    const auto& input_types = program.input_types();
    const auto& output_types = program.output_types();
    if (inputs.size() != input_types.size()) {
      reject("Program.profile", "inputs", "must be ", input_types.size(), " arrays; received ",
             inputs.size());
    }
    std::vector<const void*> in, d_out;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      in.push_back(read_pointer(inputs[i], input_types[i], "inputs"));
    for (std::size_t j = 0; j < d_outputs.size(); ++j) {
      d_out.push_back(d_outputs[j] ? read_pointer(*d_outputs[j], output_types.at(j), "d_outputs") : nullptr);
    }
    last_inputs = std::move(inputs);
    std::vector<InstructionProfile> profiles;
    {
      const py::gil_scoped_release release;
      profiles = program.profile(in, d_out, {seed, 0}, repetitions);
    }
    py::list list;
    for (const InstructionProfile& profile : profiles) {
      py::dict entry;
      entry["backward"] = profile.backward;
      entry["node"] = profile.node;
      entry["kind"] = profile.kind;
      entry["name"] = profile.name;
      entry["output"] = py::tuple(py::cast(profile.output));
      entry["flops"] = profile.flops;
      entry["seconds"] = py::array(py::cast(profile.seconds));
      list.append(entry);
    }
    return list;
  }

  index train(const Optimizer& optimizer, py::array parameters, const py::array& flat_gradients,
              std::vector<py::array> states, const std::vector<py::array>& data, const py::array& order,
              const py::array& learning_rates, std::int64_t first_step, std::uint64_t seed,
              py::array results) {
    TrainingRun run;
    const auto& input_types = program.input_types();
    const DType dtype = program.output_types().at(0).dtype;
    const TensorType flat{dtype, {static_cast<index>(parameters.size())}};
    run.samples = data.empty() ? 0 : static_cast<index>(data[0].shape(0));
    for (std::size_t k = 0; k < data.size(); ++k) {
      TensorType type = input_types.at(k);
      type.shape.at(0) = run.samples;
      run.data.push_back(read_pointer(data[k], type, "data"));
    }
    run.steps = static_cast<index>(learning_rates.size());
    run.learning_rates = static_cast<const double*>(
        read_pointer(learning_rates, {DType::float64, {run.steps}}, "learning_rates"));
    const index batch = input_types.at(0).shape.at(0);
    run.order = static_cast<const index*>(read_pointer(order, {DType::int64, {run.steps * batch}}, "order"));
    run.first_step = first_step;
    run.seed = seed;
    run.results = static_cast<double*>(write_pointer(
        results, {DType::float64, {run.steps, static_cast<index>(program.output_types().size())}},
        "results"));
    run.optimizer = &optimizer;
    run.parameter_count = flat.shape[0];
    run.parameters = write_pointer(parameters, flat, "parameters");
    run.gradients = read_pointer(flat_gradients, flat, "gradients");
    if (states.size() != static_cast<std::size_t>(optimizer.state_count())) {
      reject("Program.train", "states", "must be ", optimizer.state_count(), " arrays; received ",
             states.size());
    }
    for (py::array& state : states) run.states.push_back(write_pointer(state, flat, "states"));
    const py::gil_scoped_release release;
    return program.train(run);
  }

  std::vector<TensorType> types;
  std::vector<ValueId> gradients;
  Program program;
  std::map<ValueId, py::array> bound, bound_gradients;
  std::vector<py::array> last_inputs;
};

}  // namespace

void bind_program(py::module_& module) {
  auto graph = module.attr("Graph").cast<py::class_<Graph>>();
  graph.def(
      "add_callback",
      [](Graph& self, const std::string& name, py::function forward, py::function backward,
         const std::vector<ValueId>& inputs, const std::vector<std::pair<py::dtype, Shape>>& outputs,
         const std::string& scope) {
        std::vector<TensorType> in, out;
        for (ValueId id : inputs) in.push_back(self.type(id));
        for (const auto& [dtype, shape] : outputs) out.push_back({to_dtype(dtype), shape});
        auto op = std::make_shared<CallbackOp>(name, std::move(forward), std::move(backward), std::move(in),
                                               std::move(out));
        return self.add_op("callback", {}, std::move(op), inputs, scope);
      },
      py::arg("name"), py::arg("forward"), py::arg("backward"), py::arg("inputs"), py::arg("outputs"),
      py::arg("scope") = "");

  py::class_<BoundProgram>(module, "Program")
      .def(py::init([](const Graph& of, std::vector<ValueId> inputs, std::vector<ValueId> outputs,
                       std::vector<ValueId> gradients, std::vector<std::pair<ValueId, ValueId>> updates,
                       std::optional<std::size_t> differentiated_outputs, bool repeatable, bool fuse) {
             ProgramSpec spec;
             spec.inputs = std::move(inputs);
             spec.outputs = std::move(outputs);
             spec.gradients = std::move(gradients);
             spec.updates = std::move(updates);
             if (differentiated_outputs) spec.differentiated_outputs = *differentiated_outputs;
             spec.repeatable = repeatable;
             spec.fuse = fuse;
             return std::make_unique<BoundProgram>(of, std::move(spec));
           }),
           py::arg("graph"), py::arg("inputs"), py::arg("outputs"),
           py::arg("gradients") = std::vector<ValueId>{},
           py::arg("updates") = std::vector<std::pair<ValueId, ValueId>>{},
           py::arg("differentiated_outputs") = py::none(), py::arg("repeatable") = false,
           py::arg("fuse") = true)
      .def("bind", &BoundProgram::bind, py::arg("leaf"), py::arg("array"))
      .def("bind_gradient", &BoundProgram::bind_gradient, py::arg("leaf"), py::arg("array"))
      .def("forward", &BoundProgram::forward, py::arg("inputs"), py::arg("seed") = 0, py::arg("step") = 0,
           py::arg("update") = false)
      .def("forward_if_fits", &BoundProgram::forward_if_fits, py::arg("inputs"), py::arg("update"))
      .def("backward", &BoundProgram::backward, py::arg("d_outputs"))
      .def("profile", &BoundProgram::profile, py::arg("inputs"), py::arg("d_outputs"), py::arg("seed") = 0,
           py::arg("repetitions") = 1)
      .def("train", &BoundProgram::train, py::arg("optimizer"), py::arg("parameters"), py::arg("gradients"),
           py::arg("states"), py::arg("data"), py::arg("order"), py::arg("learning_rates"),
           py::arg("first_step"), py::arg("seed"), py::arg("results"))
      .def_property_readonly("arena_bytes",
                             [](const BoundProgram& self) { return self.program.arena_bytes(); })
      .def_property_readonly("buffer_bytes",
                             [](const BoundProgram& self) { return self.program.sum_of_buffers(); })
      .def_property_readonly("kinds", [](const BoundProgram& self) {
        std::vector<std::string> kinds;
        for (const Node& node : self.program.graph().nodes()) kinds.push_back(node.kind);
        return kinds;
      });
}

}  // namespace tenfold::bindings
