#include "attune/frontend/onnx/GraphEditor.h"

#include "onnx/shape_inference/implementation.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/STLExtras.h"

namespace attune::onnx {

using ::onnx::NodeProto;
using ::onnx::TensorProto;

static const llvm::fltSemantics *semanticsOf(int64_t type) {
  switch (type) {
  case TensorProto::FLOAT:
    return &llvm::APFloat::IEEEsingle();
  case TensorProto::DOUBLE:
    return &llvm::APFloat::IEEEdouble();
  case TensorProto::FLOAT16:
    return &llvm::APFloat::IEEEhalf();
  case TensorProto::BFLOAT16:
    return &llvm::APFloat::BFloat();
  default:
    return nullptr;
  }
}

GraphEditor::GraphEditor(const std::string &path) : path(path), model(parseModel(path)) {
  if (!model.has_graph())
    throw ImportError(path + " has no graph");
  nameDomains(model);
  validate(model);
  for (const auto &import : model.opset_import())
    if ((import.domain().empty() || import.domain() == "ai.onnx") && import.version() < 13)
      throw ImportError("unsupported: changes of a model of opset " +
                        std::to_string(import.version()) + "; accepted: from 13 on");
  ::onnx::ModelProto inferred = model;
  try {
    ::onnx::shape_inference::InferShapes(inferred);
  } catch (const std::exception &) {
    // What is not known is asked for, or not.
  }
  const ::onnx::GraphProto &graph = inferred.graph();
  for (const auto *values : {&graph.input(), &graph.value_info(), &graph.output()})
    for (const auto &value : *values)
      types[value.name()] = value.type();
  for (const TensorProto &tensor : graph.initializer()) {
    auto *type = types[tensor.name()].mutable_tensor_type();
    type->set_elem_type(tensor.data_type());
    type->mutable_shape()->clear_dim();
    for (int64_t size : tensor.dims())
      type->mutable_shape()->add_dim()->set_dim_value(size);
    names.insert(tensor.name());
  }
  for (const auto &input : graph.input())
    names.insert(input.name());
  for (NodeProto &node : *model.mutable_graph()->mutable_node()) {
    byName[node.name()] = &node;
    names.insert(node.name());
    for (const std::string &result : node.output()) {
      byResult[result] = &node;
      names.insert(result);
    }
  }
}

NodeProto *GraphEditor::node(const std::string &name) {
  auto found = byName.find(name);
  return found == byName.end() ? nullptr : found->second;
}

NodeProto *GraphEditor::producer(const std::string &value) {
  auto found = byResult.find(value);
  return found == byResult.end() ? nullptr : found->second;
}

int64_t GraphEditor::integer(const NodeProto &node, const std::string &attribute,
                             int64_t otherwise) const {
  for (const auto &candidate : node.attribute())
    if (candidate.name() == attribute)
      return candidate.i();
  return otherwise;
}

std::optional<double> GraphEditor::constant(const std::string &value) {
  const TensorProto *tensor = nullptr;
  for (const TensorProto &candidate : model.graph().initializer())
    if (candidate.name() == value)
      tensor = &candidate;
  if (NodeProto *node = producer(value); node && node->op_type() == "Constant")
    for (const auto &attribute : node->attribute()) {
      if (attribute.name() == "value_float")
        return attribute.f();
      if (attribute.name() == "value")
        tensor = &attribute.t();
    }
  if (!tensor || tensor->data_location() == TensorProto::EXTERNAL)
    return std::nullopt;
  const llvm::fltSemantics *semantics = semanticsOf(tensor->data_type());
  if (!semantics || llvm::any_of(tensor->dims(), [](int64_t size) { return size != 1; }))
    return std::nullopt;
  Weight weight = readTensor(*tensor, "tensor '" + value + "'");
  uint64_t bits = 0;
  std::memcpy(&bits, weight.data.data(), std::min(sizeof(bits), weight.data.size()));
  llvm::APFloat number(*semantics, llvm::APInt(llvm::APFloat::getSizeInBits(*semantics), bits));
  return number.convertToDouble();
}

int64_t GraphEditor::rank(const std::string &value) const {
  auto found = types.find(value);
  if (found == types.end() || !found->second.tensor_type().has_shape())
    return -1;
  return found->second.tensor_type().shape().dim_size();
}

int64_t GraphEditor::size(const std::string &value, int64_t axis) const {
  int64_t axes = rank(value);
  if (axis < 0)
    axis += axes;
  if (axis < 0 || axis >= axes)
    return -1;
  const auto &dim = types.at(value).tensor_type().shape().dim(axis);
  return dim.has_dim_value() ? dim.dim_value() : -1;
}

int64_t GraphEditor::type(const std::string &value) const {
  auto found = types.find(value);
  if (found == types.end() || !found->second.tensor_type().elem_type())
    throw ImportError("unsupported: the element type of '" + value + "' is not known");
  return found->second.tensor_type().elem_type();
}

std::string GraphEditor::fresh(const std::string &stem) {
  std::string name;
  do
    name = "attune/" + stem + "_" + std::to_string(count++);
  while (!names.insert(name).second);
  return name;
}

std::string GraphEditor::op(const std::string &kind, const std::vector<std::string> &inputs,
                            const std::vector<std::pair<std::string, Integers>> &attributes,
                            bool scalar) {
  NodeProto &node = added[anchor].emplace_back();
  node.set_op_type(kind);
  node.set_name(fresh(kind));
  for (const std::string &input : inputs)
    node.add_input(input);
  for (const auto &[name, values] : attributes) {
    auto *attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(scalar ? ::onnx::AttributeProto::INT : ::onnx::AttributeProto::INTS);
    if (scalar)
      attribute->set_i(values.front());
    else
      for (int64_t value : values)
        attribute->add_ints(value);
  }
  node.add_output(node.name());
  return node.name();
}

std::string GraphEditor::sum(const std::string &value) {
  return op("ReduceSum", {value, integers({-1})}, {{"keepdims", {1}}}, /*scalar=*/true);
}

TensorProto &GraphEditor::stored(const Integers &shape, int64_t type) {
  TensorProto &tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(fresh("constant"));
  tensor.set_data_type(type);
  for (int64_t size : shape)
    tensor.add_dims(size);
  return tensor;
}

std::string GraphEditor::tensor(const Integers &shape, const std::vector<double> &values,
                                int64_t type) {
  const llvm::fltSemantics *semantics = semanticsOf(type);
  if (!semantics)
    throw ImportError("unsupported: attention on elements of type " + DType(type).name());
  TensorProto &tensor = stored(shape, type);
  for (double value : values) {
    llvm::APFloat number(value);
    bool lossy;
    number.convert(*semantics, llvm::APFloat::rmNearestTiesToEven, &lossy);
    if (type == TensorProto::FLOAT)
      tensor.add_float_data(number.convertToFloat());
    else if (type == TensorProto::DOUBLE)
      tensor.add_double_data(number.convertToDouble());
    else
      tensor.add_int32_data(number.bitcastToAPInt().getZExtValue());
  }
  return tensor.name();
}

std::string GraphEditor::integers(const Integers &values) {
  TensorProto &tensor = stored({static_cast<int64_t>(values.size())}, TensorProto::INT64);
  for (int64_t value : values)
    tensor.add_int64_data(value);
  return tensor.name();
}

std::string GraphEditor::scalar(int64_t value) {
  TensorProto &tensor = stored({}, TensorProto::INT64);
  tensor.add_int64_data(value);
  return tensor.name();
}

void GraphEditor::finish(NodeProto &node, const std::string &value) {
  for (NodeProto &made : added[anchor])
    if (made.output(0) == value)
      made.set_output(0, node.output(0));
  removed.insert(&node);
}

void GraphEditor::rewire(NodeProto &node, int input, const std::string &value) {
  while (node.input_size() <= input)
    node.add_input("");
  node.set_input(input, value);
}

void GraphEditor::inlineWeights() {
  MappedFiles files;
  auto take = [&](TensorProto &tensor) {
    if (tensor.data_location() != TensorProto::EXTERNAL)
      return;
    Weight weight = mapExternal(tensor, path, files);
    if (model.ByteSizeLong() + weight.data.size() > std::numeric_limits<int>::max())
      throw ImportError("unsupported: weights of more than 2 GB in one file");
    tensor.set_raw_data(weight.data.data(), weight.data.size());
    tensor.clear_external_data();
    tensor.clear_data_location();
  };
  for (TensorProto &tensor : *model.mutable_graph()->mutable_initializer())
    take(tensor);
  for (NodeProto &node : *model.mutable_graph()->mutable_node())
    for (auto &attribute : *node.mutable_attribute())
      if (attribute.has_t())
        take(*attribute.mutable_t());
}

static void collectReads(const ::onnx::GraphProto &graph, std::set<std::string> &read);

static void collectReads(const NodeProto &node, std::set<std::string> &read) {
  read.insert(node.input().begin(), node.input().end());
  for (const auto &attribute : node.attribute()) {
    if (attribute.has_g())
      collectReads(attribute.g(), read);
    for (const auto &graph : attribute.graphs())
      collectReads(graph, read);
  }
}

static void collectReads(const ::onnx::GraphProto &graph, std::set<std::string> &read) {
  for (const NodeProto &node : graph.node())
    collectReads(node, read);
  for (const auto &output : graph.output())
    read.insert(output.name());
}

/// Nodes are in the order in which they run, so one pass from the end finds all.
void GraphEditor::eraseDead() {
  ::onnx::GraphProto &graph = *model.mutable_graph();
  std::set<std::string> read;
  for (const auto &output : graph.output())
    read.insert(output.name());
  std::vector<NodeProto> kept;
  for (NodeProto &node : llvm::reverse(*graph.mutable_node())) {
    if (llvm::none_of(node.output(), [&](const std::string &value) { return read.count(value); }))
      continue;
    collectReads(node, read);
    kept.push_back(std::move(node));
  }
  graph.clear_node();
  for (NodeProto &node : llvm::reverse(kept))
    *graph.add_node() = std::move(node);
  auto &stored = *graph.mutable_initializer();
  int live = 0;
  for (int i = 0; i < stored.size(); ++i)
    if (read.count(stored.Get(i).name()))
      stored.SwapElements(live++, i);
  stored.DeleteSubrange(live, stored.size() - live);
}

std::string GraphEditor::serialise() {
  ::onnx::GraphProto &graph = *model.mutable_graph();
  std::vector<NodeProto> nodes;
  for (NodeProto &node : *graph.mutable_node()) {
    if (auto before = added.find(&node); before != added.end())
      llvm::move(before->second, std::back_inserter(nodes));
    if (!removed.count(&node))
      nodes.push_back(std::move(node));
  }
  graph.clear_node();
  for (NodeProto &node : nodes)
    *graph.add_node() = std::move(node);
  eraseDead();
  inlineWeights();
  return model.SerializeAsString();
}

} // namespace attune::onnx
