// Op (one eager operation) and Graph.
#include <memory>
#include <mutex>
#include <utility>

#include "bindings.h"
#include "tenfold/cpu.h"
#include "tenfold/error.h"
#include "tenfold/gemm.h"
#include "tenfold/memory.h"
#include "tenfold/parallel.h"
#include "tenfold/team_choice.h"

namespace tenfold::bindings {
namespace {

// One operation that Python calls again and again.
struct EagerOp {
  std::shared_ptr<const Op> op;
  Isa isa = active_isa();  // whose kernels it has
  TeamChoice choice;
  std::mutex choosing;
};

// The workspace of a call, which the calling thread keeps for its next one: the first touch of fresh memory goes through the
// system, page by page, which takes longer than many a convolution. A call within a call has its own.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes) : buffer_(std::exchange(kept, Buffer())) {
    if (buffer_.bytes() >= bytes) return;
    buffer_ = Buffer();  // before there is another one
    buffer_ = Buffer(bytes);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() {
    if (buffer_.bytes() > kept.bytes() && buffer_.bytes() <= kMostKept) kept = std::move(buffer_);
  }

  std::byte* data() const { return buffer_.data(); }

 private:
  static constexpr std::size_t kMostKept = std::size_t{64} << 20;
  static thread_local Buffer kept;

  Buffer buffer_;
};
thread_local Buffer Workspace::kept;

std::vector<py::array> run_op(EagerOp& eager, const std::vector<py::array>& arrays, std::uint64_t seed) {
  const Op& op = *eager.op;
  std::vector<const void*> inputs;
  if (arrays.size() != op.inputs().size()) {
    reject("Op", "inputs", "must be ", op.inputs().size(), " arrays; received ", arrays.size());
  }
  for (std::size_t i = 0; i < arrays.size(); ++i)
    inputs.push_back(read_pointer(arrays[i], op.inputs()[i], "inputs"));
  std::vector<py::array> results;
  std::vector<void*> outputs;
  for (const TensorType& type : op.outputs()) {
    results.push_back(empty(type));
    outputs.push_back(results.back().mutable_data());
  }
  std::vector<Buffer> buffers;
  std::vector<void*> saved;
  for (const TensorType& type : op.saved()) {
    if (!op.forward_needs_saved()) break;
    buffers.emplace_back(type.bytes());
    saved.push_back(buffers.back().data());
  }
  ErrorSink errors;
  {
    py::gil_scoped_release release;
    const Workspace workspace(op.forward_workspace(num_threads()));
    const ForwardCall call{inputs.data(),    outputs.data(), saved.empty() ? nullptr : saved.data(),
                           workspace.data(), {seed, 0},      &errors};
    if (op.is_view()) {
      copy_bytes(outputs[0], inputs[0], op.outputs()[0].bytes());
    } else {
      auto forward = [&](const Team& team) { op.forward(team, call); };
      // Calls at the same time take each other's threads: their times say nothing.
      if (const std::unique_lock<std::mutex> only(eager.choosing, std::try_to_lock); only) {
        eager.choice.run(op.work(), 1, forward);
      } else {
        parallel(op.work(), forward);
      }
    }
  }
  if (errors.error) std::rethrow_exception(errors.error);
  return results;
}

// The results for contiguous arrays of the types it was made for, None for anything else.
py::object run_op_if_fits(EagerOp& eager, const py::list& inputs, std::uint64_t seed) {
  if (eager.isa != active_isa()) return py::none();
  const auto arrays = arrays_of(inputs, eager.op->inputs());
  return arrays ? py::cast(run_op(eager, *arrays, seed)) : py::none();
}

// out = op(a) op(b): the bare product, for measurements.
void product(const py::array& a, const py::array& b, py::array out, bool transpose_a, bool transpose_b) {
  const TensorType type = type_of(out);
  if (type.shape.size() != 2 || a.ndim() != 2 || b.ndim() != 2)
    reject("gemm", "a, b and out", "must be matrices");
  const index m = type.shape[0], n = type.shape[1], k = static_cast<index>(a.shape(transpose_a ? 0 : 1));
  const Shape a_shape = transpose_a ? Shape{k, m} : Shape{m, k};
  const Shape b_shape = transpose_b ? Shape{n, k} : Shape{k, n};
  const void* from_a = read_pointer(a, {type.dtype, a_shape}, "a");
  const void* from_b = read_pointer(b, {type.dtype, b_shape}, "b");
  void* to = write_pointer(out, type, "out");
  const Transpose ta = transpose_a ? Transpose::yes : Transpose::no;
  const Transpose tb = transpose_b ? Transpose::yes : Transpose::no;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    gemm<T>(ta, tb, m, n, k, T{1}, static_cast<const T*>(from_a), a_shape[1], static_cast<const T*>(from_b),
            b_shape[1], zero, static_cast<T*>(to), n);
  };
  if (!is_floating(type.dtype)) reject_type("gemm", "out", "must be float32 or float64");
  const py::gil_scoped_release release;
  if (type.dtype == DType::float32) {
    run(0.0f);
  } else {
    run(0.0);
  }
}

}  // namespace

void bind_graph(py::module_& module) {
  module.def("gemm", &product, py::arg("a"), py::arg("b"), py::arg("out"), py::arg("transpose_a") = false,
             py::arg("transpose_b") = false);

  py::class_<EagerOp>(module, "Op")
      .def(py::init(
               [](const std::string& kind, const py::dict& attributes, const std::vector<py::array>& inputs) {
                 std::vector<TensorType> types;
                 for (const py::array& array : inputs) types.push_back(type_of(array));
                 auto made = std::make_unique<EagerOp>();
                 made->op = OpRegistry::global().create(kind, to_attributes(attributes), types);
                 return made;
               }),
           py::arg("kind"), py::arg("attributes"), py::arg("inputs"))
      .def("__call__", &run_op, py::arg("inputs"), py::arg("seed") = 0)
      .def("run_if_fits", &run_op_if_fits, py::arg("inputs"), py::arg("seed") = 0)
      .def_property_readonly("flops", [](const EagerOp& eager) { return eager.op->flops(); });

  py::class_<Graph>(module, "Graph")
      .def(py::init<>())
      .def(
          "add_leaf",
          [](Graph& graph, const py::dtype& dtype, Shape shape) {
            return graph.add_leaf({to_dtype(dtype), std::move(shape)});
          },
          py::arg("dtype"), py::arg("shape"))
      .def(
          "add",
          [](Graph& graph, const std::string& kind, const py::dict& attributes, std::vector<ValueId> inputs,
             std::string name) {
            return graph.add(kind, to_attributes(attributes), std::move(inputs), std::move(name));
          },
          py::arg("kind"), py::arg("attributes"), py::arg("inputs"), py::arg("name") = "")
      .def("shape", [](const Graph& graph, ValueId id) { return py::tuple(py::cast(graph.type(id).shape)); })
      .def("dtype", [](const Graph& graph, ValueId id) { return to_numpy(graph.type(id).dtype); })
      .def("node_count", [](const Graph& graph) { return graph.nodes().size(); })
      .def("nodes", [](const Graph& graph) {
        py::list list;
        for (const Node& node : graph.nodes()) {
          py::dict entry;
          entry["kind"] = node.kind;
          entry["attributes"] = to_dict(node.attributes);
          entry["inputs"] = node.inputs;
          entry["outputs"] = node.outputs;
          entry["name"] = node.name;
          entry["flops"] = node.op->flops();
          list.append(entry);
        }
        return list;
      });
}

}  // namespace tenfold::bindings
