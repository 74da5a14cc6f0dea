#include "attune/frontend/onnx/Importer.h"

#include "attune/dialect/Attune.h"
#include "mlir/IR/Verifier.h"
#include "onnx/defs/parser.h"
#include "onnx/defs/schema.h"

using namespace mlir;

namespace attune::onnx {

Tensor Scope::find(const std::string &name) const {
  for (const Scope *scope = this; scope; scope = scope->parent)
    if (auto it = scope->values.find(name); it != scope->values.end())
      return it->second;
  return {};
}

Importer::Importer(MLIRContext &context, LoadedModel &loaded)
    : builder(&context), context(context), loaded(loaded) {}

std::string artifactType(DType dtype) {
  if (dtype.isBool())
    return "bool";
  if (dtype == 16)
    return "bf16";
  if (dtype.isFloat8())
    return "f8" + dtype.name().substr(StringRef("float8").size());
  return (dtype.isFloat() ? "f" : dtype.isUnsigned() ? "u" : "i") + std::to_string(dtype.bits());
}

//===--------------------------------------------------------------------------------------------===//
// The function
//===--------------------------------------------------------------------------------------------===//

static Location nameLoc(MLIRContext &context, const std::string &name) {
  return NameLoc::get(StringAttr::get(&context, name));
}

/// The symbol of each axis of an input, "" where static.
static std::vector<std::string> dimNames(const ::onnx::ValueInfoProto &input) {
  std::vector<std::string> names;
  int axis = 0;
  for (const auto &dim : input.type().tensor_type().shape().dim()) {
    std::string name;
    if (!dim.has_dim_value())
      name =
          dim.dim_param().empty() ? input.name() + "_dim" + std::to_string(axis) : dim.dim_param();
    names.push_back(name);
    ++axis;
  }
  return names;
}

static ArrayAttr dimsAttr(Builder &builder, ArrayRef<std::string> names) {
  SmallVector<StringRef> refs(names.begin(), names.end());
  return builder.getStrArrayAttr(refs);
}

OwningOpRef<ModuleOp> Importer::run(StringRef name) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(builder.getUnknownLoc());
  if (!name.empty())
    module->setSymName(name);
  const auto &graph = loaded.model.graph();
  std::set<std::string> weights;
  for (const auto &tensor : graph.initializer())
    weights.insert(tensor.name());
  SmallVector<Type> types;
  for (const auto &input : graph.input()) {
    if (weights.count(input.name()) || loaded.weights.count(input.name()))
      continue;
    std::string what = "input '" + input.name() + "'";
    if (!input.type().tensor_type().has_shape())
      throw ImportError("unsupported: " + what +
                        " has no shape; accepted: a shape in the model or one given for the input");
    SmallVector<int64_t> shape;
    for (const auto &dim : input.type().tensor_type().shape().dim())
      shape.push_back(dim.has_dim_value() ? dim.dim_value() : ShapedType::kDynamic);
    DType dtype = input.type().tensor_type().elem_type();
    if (dtype.bits() == 0)
      throw ImportError("unsupported: " + what + " has element type " + dtype.name());
    types.push_back(RankedTensorType::get(shape, dtype.type(&context)));
    arguments.push_back(&input);
  }

  builder.setInsertionPointToEnd(module->getBody());
  auto main = func::FuncOp::create(builder, builder.getUnknownLoc(), "main",
                                   builder.getFunctionType(types, {}));
  Block *entry = main.addEntryBlock();
  builder.setInsertionPointToEnd(entry);
  // Everything over dim symbols goes before this marker.
  Operation *marker = arith::ConstantIndexOp::create(builder, builder.getUnknownLoc(), 0);
  extents.emplace(marker);

  Scope outer;
  for (const auto &import : loaded.model.opset_import())
    outer.opsets[import.domain() == "ai.onnx" ? "" : import.domain()] = import.version();
  scope = &outer;
  addArguments(main);
  for (const auto &[name, weight] : loaded.weights)
    outer.values[name] = Tensor::ofConstant(toAttr(context, weight, name), weight.dtype);
  addInitializers(graph, outer);
  convertNodes(graph.node(), outer);
  addResults(main);
  marker->erase();
  return module;
}

void Importer::addArguments(func::FuncOp main) {
  for (auto [i, input] : llvm::enumerate(arguments)) {
    DType dtype = input->type().tensor_type().elem_type();
    std::vector<std::string> names = dimNames(*input);
    Shape shape;
    Value argument = main.getArgument(i);
    for (auto [axis, dim] : llvm::enumerate(input->type().tensor_type().shape().dim()))
      shape.push_back(dim.has_dim_value() ? Extent(dim.dim_value())
                                          : extents->symbol(names[axis], argument, axis));
    main.setArgAttr(i, kNameAttr, builder.getStringAttr(input->name()));
    main.setArgAttr(i, kDimsAttr, dimsAttr(builder, names));
    if (dtype.isUnsigned() || dtype.isFloat8())
      main.setArgAttr(i, kDtypeAttr, builder.getStringAttr(artifactType(dtype)));
    argument.setLoc(nameLoc(context, input->name()));
    scope->values[input->name()] = Tensor::ofValue(argument, dtype, shape);
  }
}

void Importer::addResults(func::FuncOp main) {
  SmallVector<Value> values;
  SmallVector<Type> types;
  std::vector<Tensor> results;
  for (const auto &output : loaded.model.graph().output()) {
    Tensor tensor = scope->find(output.name());
    if (!tensor)
      throw ImportError("output '" + output.name() + "' is not computed by any node");
    int declared = output.type().tensor_type().elem_type();
    if (declared && declared != tensor.dtype())
      throw ImportError("output '" + output.name() + "' has element type " + tensor.dtype().name() +
                        ", the model declares " + DType(declared).name());
    values.push_back(tensor.value(builder, nameLoc(context, output.name()), *extents));
    types.push_back(values.back().getType());
    results.push_back(tensor);
  }
  func::ReturnOp::create(builder, builder.getUnknownLoc(), values);
  main.setFunctionType(builder.getFunctionType(main.getArgumentTypes(), types));
  for (auto [i, tensor] : llvm::enumerate(results)) {
    std::vector<std::string> names;
    for (const Extent &e : tensor.shape())
      names.push_back(e.constant() ? "" : extents->str(e));
    const std::string &name = loaded.model.graph().output(i).name();
    main.setResultAttr(i, kNameAttr, builder.getStringAttr(name));
    main.setResultAttr(i, kDimsAttr, dimsAttr(builder, names));
    if (tensor.dtype().isUnsigned() || tensor.dtype().isFloat8())
      main.setResultAttr(i, kDtypeAttr, builder.getStringAttr(artifactType(tensor.dtype())));
  }
}

void Importer::addInitializers(const ::onnx::GraphProto &graph, Scope &scope) {
  for (const auto &tensor : graph.initializer()) {
    Weight weight = readTensor(tensor, "initialiser '" + tensor.name() + "'");
    scope.values[tensor.name()] =
        Tensor::ofConstant(toAttr(context, weight, tensor.name()), weight.dtype);
  }
}

//===--------------------------------------------------------------------------------------------===//
// Nodes
//===--------------------------------------------------------------------------------------------===//

template <typename Nodes> void Importer::convertNodes(const Nodes &nodes, Scope &inner) {
  Scope *outer = std::exchange(scope, &inner);
  for (const auto &proto : nodes)
    convertNode(proto, inner);
  scope = outer;
}

void Importer::convertNode(const ::onnx::NodeProto &proto, Scope &scope) {
  std::string domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
  auto opset = scope.opsets.find(domain);
  int64_t imported = opset == scope.opsets.end() ? 0 : opset->second;
  const ::onnx::OpSchema *schema =
      ::onnx::OpSchemaRegistry::Schema(proto.op_type(), imported, domain);
  int version = schema ? schema->SinceVersion() : imported;
  ConvertFn convert = Registry::get().find(domain, proto.op_type(), version);
  if (!convert && expand(proto, scope, imported))
    return;

  Node node(*this, proto, version, scope.path);
  if (!convert) {
    std::string versions = Registry::get().versions(domain, proto.op_type());
    if (!versions.empty())
      node.unsupported("this version of the operator; accepted: " + versions);
    node.unsupported(domain.empty()
                         ? "there is no converter for the operator"
                         : "operator of domain '" + domain +
                               "'; accepted: operators with a function body in the model or in a "
                               "functions file");
  }
  try {
    convert(node);
    node.finish();
  } catch (const UseFunctionBody &) {
    if (!expand(proto, scope, imported))
      node.unsupported("this form of the operator; it has no function body");
    return;
  } catch (const std::overflow_error &error) {
    node.fail(error.what());
  }
  for (int i = 0; i < proto.output_size(); ++i)
    if (!proto.output(i).empty())
      scope.values[proto.output(i)] = node.outputs()[i];
}

::onnx::TypeProto toProto(const Tensor &tensor) {
  ::onnx::TypeProto type;
  type.mutable_tensor_type()->set_elem_type(tensor.dtype());
  auto *shape = type.mutable_tensor_type()->mutable_shape();
  for (const Extent &e : tensor.shape()) {
    auto *dim = shape->add_dim();
    if (auto c = e.constant())
      dim->set_dim_value(*c);
  }
  return type;
}

/// Gives attributes of the body that refer to attributes of the call their values.
static void bindAttributes(::onnx::NodeProto &node,
                           const std::map<std::string, const ::onnx::AttributeProto *> &actual) {
  auto *attributes = node.mutable_attribute();
  for (int i = 0; i < attributes->size();) {
    auto &attribute = *attributes->Mutable(i);
    if (!attribute.ref_attr_name().empty()) {
      auto it = actual.find(attribute.ref_attr_name());
      if (it == actual.end()) {
        attributes->DeleteSubrange(i, 1);
        continue;
      }
      std::string name = attribute.name();
      attribute = *it->second;
      attribute.set_name(name);
    }
    if (attribute.has_g())
      for (auto &inner : *attribute.mutable_g()->mutable_node())
        bindAttributes(inner, actual);
    ++i;
  }
}

bool Importer::expand(const ::onnx::NodeProto &proto, Scope &outer, int64_t opset) {
  const ::onnx::OpSchema *schema = ::onnx::OpSchemaRegistry::Schema(
      proto.op_type(), opset, proto.domain() == "ai.onnx" ? "" : proto.domain());
  if (!schema)
    return false;
  ::onnx::FunctionProto body;
  if (schema->HasFunction()) {
    body = *schema->GetFunction(opset);
  } else if (schema->HasContextDependentFunction()) {
    std::vector<::onnx::TypeProto> types;
    for (const std::string &input : proto.input()) {
      Tensor tensor = input.empty() ? Tensor() : outer.find(input);
      types.push_back(tensor ? toProto(tensor) : ::onnx::TypeProto());
    }
    ::onnx::FunctionBodyBuildContextImpl call(proto, types);
    if (!schema->BuildContextDependentFunction(call, body, opset))
      return false;
  } else {
    return false;
  }
  std::map<std::string, const ::onnx::AttributeProto *> actual;
  for (const auto &[name, attribute] : schema->attributes())
    if (!attribute.default_value.name().empty())
      actual[name] = &attribute.default_value;
  for (const auto &attribute : proto.attribute())
    actual[attribute.name()] = &attribute;

  Scope inner;
  inner.path = outer.path + proto.name() + "/";
  inner.depth = outer.depth + 1;
  if (inner.depth > 50)
    throw ImportError("unsupported: node '" + proto.name() + "': function bodies nest too deeply");
  inner.opsets = outer.opsets;
  for (const auto &import : body.opset_import())
    inner.opsets[import.domain()] = import.version();
  for (int i = 0; i < body.input_size() && i < proto.input_size(); ++i)
    if (!proto.input(i).empty())
      inner.values[body.input(i)] = outer.find(proto.input(i));
  for (auto &node : *body.mutable_node()) {
    bindAttributes(node, actual);
    for (auto &input : *node.mutable_input())
      if (!input.empty() && !inner.values.count(input) && llvm::is_contained(body.input(), input))
        input.clear();
    Scope *saved = std::exchange(scope, &inner);
    convertNode(node, inner);
    scope = saved;
  }
  for (int i = 0; i < proto.output_size() && i < body.output_size(); ++i)
    if (!proto.output(i).empty())
      outer.values[proto.output(i)] = inner.find(body.output(i));
  return true;
}

std::vector<Tensor> Node::inlineGraph(const ::onnx::GraphProto &graph, ArrayRef<Tensor> inputs) {
  Scope inner;
  inner.parent = importer.scope;
  inner.opsets = importer.scope->opsets;
  inner.path = importer.scope->path;
  inner.depth = importer.scope->depth + 1;
  check(graph.input_size() == int(inputs.size()),
        "the subgraph has " + std::to_string(graph.input_size()) + " inputs, " +
            std::to_string(inputs.size()) + " are given");
  for (auto [formal, actual] : llvm::zip(graph.input(), inputs))
    inner.values[formal.name()] = actual;
  importer.addInitializers(graph, inner);
  importer.convertNodes(graph.node(), inner);
  std::vector<Tensor> outputs;
  for (const auto &output : graph.output())
    outputs.push_back(inner.find(output.name()));
  return outputs;
}

std::vector<Tensor> Node::inlineFunction(const std::string &text, ArrayRef<Tensor> inputs) {
  int newest = ::onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  std::string full = "<domain: \"attune\", opset_import: [\"\" : " + std::to_string(newest) +
                     "]> body " + text;
  ::onnx::FunctionProto body;
  auto status = ::onnx::OnnxParser::Parse(body, full);
  if (!status.IsOK() || body.input_size() != int(inputs.size()))
    throw ImportError("internal error, please report: the body of " + op() +
                      " does not parse: " + status.ErrorMessage());
  Scope inner;
  inner.path = nodeName + "/";
  inner.depth = importer.scope->depth + 1;
  inner.opsets[""] = newest;
  std::set<std::string> absent;
  for (auto [formal, actual] : llvm::zip(body.input(), inputs)) {
    if (actual)
      inner.values[formal] = actual;
    else
      absent.insert(formal);
  }
  for (auto &node : *body.mutable_node())
    for (auto &input : *node.mutable_input())
      if (absent.count(input))
        input.clear();
  importer.convertNodes(body.node(), inner);
  std::vector<Tensor> outputs;
  for (const auto &output : body.output())
    outputs.push_back(inner.find(output));
  return outputs;
}

} // namespace attune::onnx
