#include "program/ops/op_base.h"

namespace tenfold {

template <class T>
T Attributes::get(const std::string& name) const {
  const auto entry = values_.find(name);
  if (entry == values_.end()) reject("Attributes", name.c_str(), "is missing");
  if (const T* value = std::get_if<T>(&entry->second)) return *value;
  if constexpr (std::is_same_v<T, double>) {
    if (const index* value = std::get_if<index>(&entry->second)) return static_cast<double>(*value);
  }
  reject("Attributes", name.c_str(), "has another type than the operation expects");
}

template bool Attributes::get<bool>(const std::string&) const;
template index Attributes::get<index>(const std::string&) const;
template double Attributes::get<double>(const std::string&) const;
template std::string Attributes::get<std::string>(const std::string&) const;
template Shape Attributes::get<Shape>(const std::string&) const;

double Op::work() const {
  double elements = flops() / 2;
  for (const TensorType& type : inputs_) elements += static_cast<double>(type.count());
  for (const TensorType& type : outputs_) elements += static_cast<double>(type.count());
  return elements;
}

double Op::backward_flops(const std::vector<bool>& wanted) const {
  double flops_wanted = 0;
  for (std::size_t i = 0; i < wanted.size() && i < 2; ++i) flops_wanted += wanted[i] ? flops() : 0;
  return flops_wanted;
}

OpRegistry& OpRegistry::global() {
  static OpRegistry* registry = [] {
    auto* made = new OpRegistry;
    register_elementwise_ops(*made);
    register_reduce_ops(*made);
    register_shape_ops(*made);
    register_linear_ops(*made);
    register_conv_ops(*made);
    register_pool_ops(*made);
    register_softmax_ops(*made);
    register_loss_ops(*made);
    register_norm_ops(*made);
    register_random_ops(*made);
    return made;
  }();
  return *registry;
}

void OpRegistry::add(const std::string& kind, OpFactory factory) {
  factories_[kind] = std::move(factory);
}

std::shared_ptr<const Op> OpRegistry::create(const std::string& kind, const Attributes& attributes,
                                             const std::vector<TensorType>& inputs) const {
  const auto entry = factories_.find(kind);
  if (entry == factories_.end()) reject("Graph.add", "kind", "is unknown: '", kind, "'");
  return entry->second(attributes, inputs);
}

std::vector<std::string> OpRegistry::kinds() const {
  std::vector<std::string> names;
  for (const auto& entry : factories_) names.push_back(entry.first);
  return names;
}

void require_same_dtype(const char* function, const std::vector<TensorType>& inputs,
                        std::initializer_list<const char*> names) {
  const char* const* name = names.begin();
  const TensorType* first = nullptr;
  const char* first_name = nullptr;
  for (std::size_t i = 0; i < inputs.size() && name != names.end(); ++i, ++name) {
    if (!is_floating(inputs[i].dtype)) {
      reject_type(function, *name, "must be float32 or float64; received ", name_of(inputs[i].dtype));
    }
    if (first == nullptr) {
      first = &inputs[i];
      first_name = *name;
    } else if (inputs[i].dtype != first->dtype) {
      reject_type(function, *name, "must have the dtype of ", first_name, ", ", name_of(first->dtype),
                  "; received ", name_of(inputs[i].dtype));
    }
  }
}

}  // namespace tenfold
