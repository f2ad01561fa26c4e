#include "tenfold/graph.h"

#include "tenfold/error.h"

namespace tenfold {

ValueId Graph::add_leaf(TensorType type) {
  values_.push_back({std::move(type), -1, 0});
  return static_cast<ValueId>(values_.size()) - 1;
}

const TensorType& Graph::type(ValueId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= values_.size()) {
    reject("Graph", "value", "must be from 0 to ", values_.size(), " - 1; received ", id);
  }
  return values_[static_cast<std::size_t>(id)].type;
}

std::vector<ValueId> Graph::add(const std::string& kind, const Attributes& attributes,
                                std::vector<ValueId> inputs, std::string name) {
  std::vector<TensorType> types;
  for (ValueId id : inputs) types.push_back(type(id));
  auto op = OpRegistry::global().create(kind, attributes, types);
  return add_op(kind, attributes, std::move(op), std::move(inputs), std::move(name));
}

std::vector<ValueId> Graph::add_op(const std::string& kind, const Attributes& attributes,
                                   std::shared_ptr<const Op> op, std::vector<ValueId> inputs,
                                   std::string name) {
  const int producer = static_cast<int>(nodes_.size());
  std::vector<ValueId> outputs;
  for (std::size_t slot = 0; slot < op->outputs().size(); ++slot) {
    values_.push_back({op->outputs()[slot], producer, static_cast<int>(slot)});
    outputs.push_back(static_cast<ValueId>(values_.size()) - 1);
  }
  nodes_.push_back({kind, attributes, std::move(op), std::move(inputs), outputs, std::move(name)});
  return outputs;
}

}  // namespace tenfold
