// What the files of program/ops share: typed pointers out of a call, checks of inputs, registration by template.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "tenfold/error.h"
#include "tenfold/op.h"

namespace tenfold {

template <class T>
const T* input(const ForwardCall& call, int i) {
  return static_cast<const T*>(call.inputs[i]);
}
template <class T>
T* output(const ForwardCall& call, int i) {
  return static_cast<T*>(call.outputs[i]);
}
template <class T>
T* saved(const ForwardCall& call, int i) {
  return static_cast<T*>(call.saved[i]);
}

template <class T>
const T* input(const BackwardCall& call, int i) {
  return static_cast<const T*>(call.inputs[i]);
}
template <class T>
const T* output(const BackwardCall& call, int i) {
  return static_cast<const T*>(call.outputs[i]);
}
template <class T>
const T* saved(const BackwardCall& call, int i) {
  return static_cast<const T*>(call.saved[i]);
}
template <class T>
const T* d_output(const BackwardCall& call, int i) {
  return static_cast<const T*>(call.d_outputs[i]);
}
template <class T>
T* d_input(const BackwardCall& call, int i) {
  return static_cast<T*>(call.d_inputs[i]);
}

// Every floating input must have the type of the first one; names[i] is input i's name in messages.
void require_same_dtype(const char* function, const std::vector<TensorType>& inputs,
                        std::initializer_list<const char*> names);

// Registers  template <class T> class SomeOp : public Op { SomeOp(const Attributes&, const std::vector<TensorType>&) };
// The first floating input chooses T.
template <template <class> class TypedOp>
void add_typed(OpRegistry& registry, const std::string& kind) {
  registry.add(
      kind, [](const Attributes& attributes, const std::vector<TensorType>& inputs) -> std::unique_ptr<Op> {
        for (const TensorType& type : inputs) {
          if (type.dtype == DType::float64) return std::make_unique<TypedOp<double>>(attributes, inputs);
          if (type.dtype == DType::float32) break;
        }
        return std::make_unique<TypedOp<float>>(attributes, inputs);
      });
}

// The same for one class that serves several kinds:  SomeOp(kind, attributes, inputs).
template <template <class> class TypedOp>
void add_kind(OpRegistry& registry, const std::string& kind) {
  registry.add(
      kind,
      [kind](const Attributes& attributes, const std::vector<TensorType>& inputs) -> std::unique_ptr<Op> {
        if (!inputs.empty() && inputs[0].dtype == DType::float64) {
          return std::make_unique<TypedOp<double>>(kind, attributes, inputs);
        }
        return std::make_unique<TypedOp<float>>(kind, attributes, inputs);
      });
}

// One per file of this folder; registry.cpp calls them all.
void register_elementwise_ops(OpRegistry& registry);
void register_reduce_ops(OpRegistry& registry);
void register_shape_ops(OpRegistry& registry);
void register_linear_ops(OpRegistry& registry);
void register_conv_ops(OpRegistry& registry);
void register_pool_ops(OpRegistry& registry);
void register_softmax_ops(OpRegistry& registry);
void register_loss_ops(OpRegistry& registry);
void register_norm_ops(OpRegistry& registry);
void register_random_ops(OpRegistry& registry);

}  // namespace tenfold
