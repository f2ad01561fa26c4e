// A graph: operations in the order they were recorded, and the values between them.
//
// Values are numbered; a value is either a leaf (an input of the program, a parameter, a buffer, a constant; what it
// means is the owner's business) or an output of one node. Nodes only use values that exist, so the order of
// recording is a topological order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tenfold/op.h"

namespace tenfold {

using ValueId = int;

struct Node {
  std::string kind;  // the registry's name, or "callback"
  Attributes attributes;
  std::shared_ptr<const Op> op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::string name;  // where it came from, for people: "0.conv"
};

struct Value {
  TensorType type;
  int producer = -1;  // node, -1 for a leaf
  int slot = 0;       // which of the producer's outputs
};

class Graph {
 public:
  ValueId add_leaf(TensorType type);
  // Creates the op from the registry (and throws what it throws); returns the ids of its outputs.
  std::vector<ValueId> add(const std::string& kind, const Attributes& attributes, std::vector<ValueId> inputs,
                           std::string name = "");
  // Adds a node whose op was made elsewhere (a fused op, a Python callback).
  std::vector<ValueId> add_op(const std::string& kind, const Attributes& attributes,
                              std::shared_ptr<const Op> op, std::vector<ValueId> inputs,
                              std::string name = "");

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& values() const { return values_; }
  const TensorType& type(ValueId id) const;

 private:
  std::vector<Node> nodes_;
  std::vector<Value> values_;
};

}  // namespace tenfold
