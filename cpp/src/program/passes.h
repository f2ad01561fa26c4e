// Graph to graph: what makes a program faster without changing what it computes.
#pragma once

#include <vector>

#include "tenfold/graph.h"

namespace tenfold {

// A rewritten graph; map[old value] is the value's new id, -1 where it was fused away (never for kept values).
struct Rewritten {
  Graph graph;
  std::vector<ValueId> map;
};

// conv / linear followed by relu becomes one node whose epilogue applies the activation; in training a relu that is left
// tells backward by the sign of 0 what it would else read its input for. `kept` values survive.
Rewritten fuse_activations(const Graph& graph, const std::vector<ValueId>& kept, bool training);

// A matmul that reads a matrix whose last two axes were exchanged reads it as it lies.
Rewritten fold_transposes(const Graph& graph, const std::vector<ValueId>& kept, bool training);

// Chains of small layers, with their loss if it follows, become one node that runs by sample (lanes/lane_segment.h).
// Comes first: it takes activations into its own layers. Which chains are small is a matter of shapes alone.
Rewritten form_lane_segments(const Graph& graph, const std::vector<ValueId>& kept, bool training);

// Copies a graph node by node through `map`: the tool passes are written with.
class Rewriter {
 public:
  explicit Rewriter(const Graph& graph);

  // The new id of an old value (its producer has been copied or replaced).
  ValueId mapped(ValueId old) const { return result_.map[static_cast<std::size_t>(old)]; }
  std::vector<ValueId> mapped(const std::vector<ValueId>& old) const;
  // Copies node `i` as it is.
  void copy(int i);
  // Adds a node to the new graph and makes its outputs stand for `old_outputs`.
  void replace(const std::string& kind, const Attributes& attributes, std::shared_ptr<const Op> op,
               std::vector<ValueId> new_inputs, const std::vector<ValueId>& old_outputs,
               const std::string& name);
  Rewritten finish() && { return std::move(result_); }

 private:
  const Graph& old_;
  Rewritten result_;
};

// consumers[value]: the nodes that read it, in order, once per input position.
std::vector<std::vector<int>> consumers_of(const Graph& graph);

}  // namespace tenfold
