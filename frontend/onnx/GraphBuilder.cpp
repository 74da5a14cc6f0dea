#include "attune/frontend/onnx/GraphBuilder.h"

#include <cmath>

namespace attune::onnx {

GraphBuilder::GraphBuilder(const std::string &name, int64_t opset) {
  model.set_ir_version(10);
  model.add_opset_import()->set_version(opset);
  model.mutable_graph()->set_name(name);
}

std::string GraphBuilder::fresh(const std::string &stem) {
  return stem + "_" + std::to_string(count++);
}

static void setShape(::onnx::ValueInfoProto &info, const std::vector<GraphBuilder::Dim> &shape,
                     int32_t type) {
  auto *tensor = info.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  for (const GraphBuilder::Dim &dim : shape) {
    auto *entry = tensor->mutable_shape()->add_dim();
    if (const auto *extent = std::get_if<int64_t>(&dim))
      entry->set_dim_value(*extent);
    else
      entry->set_dim_param(std::get<std::string>(dim));
  }
}

std::string GraphBuilder::input(const std::string &name, const std::vector<Dim> &shape,
                                bool integers) {
  auto *info = model.mutable_graph()->add_input();
  info->set_name(name);
  setShape(*info, shape, integers ? ::onnx::TensorProto::INT64 : ::onnx::TensorProto::FLOAT);
  return name;
}

void GraphBuilder::output(const std::string &value, const std::vector<Dim> &shape) {
  auto *info = model.mutable_graph()->add_output();
  info->set_name(value);
  setShape(*info, shape, ::onnx::TensorProto::FLOAT);
}

::onnx::TensorProto &GraphBuilder::initialiser(const std::vector<int64_t> &shape, int32_t type,
                                               const std::string &stem) {
  auto *tensor = model.mutable_graph()->add_initializer();
  tensor->set_name(fresh(stem));
  tensor->set_data_type(type);
  for (int64_t extent : shape)
    tensor->add_dims(extent);
  return *tensor;
}

std::string GraphBuilder::weight(const std::vector<int64_t> &shape) {
  int64_t elements = 1;
  for (int64_t extent : shape)
    elements *= extent;
  weights += elements;
  return initialiser(shape, ::onnx::TensorProto::FLOAT, "w").name();
}

std::string GraphBuilder::serialise() {
  for (::onnx::TensorProto &tensor : *model.mutable_graph()->mutable_initializer())
    if (!tensor.has_raw_data())
      draw(tensor);
  return model.SerializeAsString();
}

void GraphBuilder::draw(::onnx::TensorProto &tensor) {
  int64_t elements = 1;
  for (int64_t extent : tensor.dims())
    elements *= extent;
  // Convolutions have their sums in the axes after the first.
  double summed = tensor.dims_size() > 2 ? elements / tensor.dims(0) : tensor.dims(0);
  std::normal_distribution<float> normal(0, 1 / std::sqrt(summed));
  std::vector<float> values(elements);
  for (float &value : values)
    value = normal(random);
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
}

std::string GraphBuilder::integers(const std::vector<int64_t> &values) {
  auto &tensor =
      initialiser({static_cast<int64_t>(values.size())}, ::onnx::TensorProto::INT64, "i");
  tensor.set_raw_data(values.data(), values.size() * sizeof(int64_t));
  return tensor.name();
}

std::string GraphBuilder::number(float value) {
  auto &tensor = initialiser({}, ::onnx::TensorProto::FLOAT, "c");
  tensor.set_raw_data(&value, sizeof value);
  return tensor.name();
}

std::string GraphBuilder::tensor(const std::vector<int64_t> &shape,
                                 const std::vector<float> &values) {
  auto &tensor = initialiser(shape, ::onnx::TensorProto::FLOAT, "t");
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  return tensor.name();
}

std::string GraphBuilder::op(const std::string &kind, const std::vector<std::string> &inputs,
                             const Attributes &attributes, unsigned results) {
  auto *node = model.mutable_graph()->add_node();
  std::string name = fresh(kind);
  node->set_op_type(kind);
  node->set_name(name);
  for (const std::string &input : inputs)
    node->add_input(input);
  for (unsigned i = 0; i < results; ++i)
    node->add_output(i ? name + "." + std::to_string(i) : name);
  for (const auto &[key, value] : attributes) {
    auto *attribute = node->add_attribute();
    attribute->set_name(key);
    if (const auto *integer = std::get_if<int64_t>(&value)) {
      attribute->set_type(::onnx::AttributeProto::INT);
      attribute->set_i(*integer);
    } else if (const auto *real = std::get_if<float>(&value)) {
      attribute->set_type(::onnx::AttributeProto::FLOAT);
      attribute->set_f(*real);
    } else if (const auto *text = std::get_if<std::string>(&value)) {
      attribute->set_type(::onnx::AttributeProto::STRING);
      attribute->set_s(*text);
    } else {
      attribute->set_type(::onnx::AttributeProto::INTS);
      for (int64_t element : std::get<std::vector<int64_t>>(value))
        attribute->add_ints(element);
    }
  }
  return name;
}

} // namespace attune::onnx
