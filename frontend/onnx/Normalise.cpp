#include "attune/frontend/onnx/Load.h"

#include "onnx/checker.h"
#include "onnx/inliner/inliner.h"
#include "onnx/shape_inference/implementation.h"
#include "onnx/version_converter/convert.h"
#include "llvm/Support/Regex.h"

namespace attune::onnx {

/// One line without the ONNX library's brackets, contexts and source places.
static std::string clean(const char *message) {
  llvm::StringRef text(message);
  text = text.split("\n\n==> Context").first.trim();
  llvm::Regex node("\\(op_type: *([^,)]*)(, node name: *([^)]*))?\\): *");
  llvm::SmallVector<llvm::StringRef> parts;
  std::string result;
  if (node.match(text, &parts)) {
    result = "node '" + parts[3].str() + "' (" + parts[1].str() + "): ";
    text = text.substr(text.find(parts[0]) + parts[0].size());
  }
  llvm::Regex tag("^\\[[A-Za-z]*(Error)?\\] *");
  while (tag.match(text, &parts))
    text = text.substr(parts[0].size());
  for (char c : text)
    result += c == '\n' ? ' ' : c;
  return result;
}

template <typename Step> static void guarded(const char *what, Step step) {
  try {
    step();
  } catch (const std::exception &error) {
    throw ImportError(std::string(what) + ": " + clean(error.what()));
  }
}

/// Whether the library's conversion to the newest opset would change what the model computes: it
/// takes the batch axis off the graph's inputs for Scan 8, and gives DFT's axis as its length.
static bool conversionIsWrong(const ::onnx::ModelProto &model, int64_t opset) {
  for (const auto &node : model.graph().node())
    if ((node.op_type() == "Scan" && opset < 9) || (node.op_type() == "DFT" && opset < 20))
      return true;
  return false;
}

/// The newest opset that conversion reaches. Conversion that fails leaves the model as it is:
/// converters are chosen by the version an operator has in the model's opset.
static void convertOpset(::onnx::ModelProto &model) {
  int newest = ::onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  for (const auto &import : model.opset_import())
    if ((import.domain().empty() || import.domain() == "ai.onnx") &&
        (import.version() == newest || conversionIsWrong(model, import.version())))
      return;
  try {
    ::onnx::ModelProto converted = ::onnx::version_conversion::ConvertVersion(model, newest);
    ::onnx::checker::check_model(converted);
    model = std::move(converted);
  } catch (const std::exception &) {
  }
}

static std::string describe(const ::onnx::TypeProto &type) {
  if (!type.has_tensor_type())
    return "?";
  std::string text = DType(type.tensor_type().elem_type()).name() + "[", separator;
  for (const auto &dim : type.tensor_type().shape().dim()) {
    text += separator + (dim.has_dim_value()       ? std::to_string(dim.dim_value())
                         : dim.dim_param().empty() ? "?"
                                                   : dim.dim_param());
    separator = ", ";
  }
  return text + "]";
}

/// ", its inputs are ..." for the node that a message names.
static std::string inputTypes(const ::onnx::ModelProto &model, const std::string &message) {
  ::onnx::ModelProto lenient = model;
  ::onnx::shape_inference::InferShapes(lenient);
  std::map<std::string, std::string> types;
  const auto &graph = lenient.graph();
  for (const auto *values : {&graph.input(), &graph.value_info(), &graph.output()})
    for (const auto &value : *values)
      types[value.name()] = describe(value.type());
  for (const auto &tensor : graph.initializer()) {
    ::onnx::TypeProto type;
    type.mutable_tensor_type()->set_elem_type(tensor.data_type());
    for (int64_t size : tensor.dims())
      type.mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(size);
    types[tensor.name()] = describe(type);
  }
  for (const auto &node : graph.node()) {
    if (message.find("node '" + node.name() + "'") == std::string::npos)
      continue;
    std::string text;
    for (const auto &input : node.input())
      text += (text.empty() ? "; its inputs: " : ", ") + types[input];
    return text;
  }
  return "";
}

static void infer(::onnx::ModelProto &model) {
  // No data propagation: it spends an object per element of every vector, weights included, and
  // the converters evaluate shape arithmetic themselves.
  ::onnx::ShapeInferenceOptions strict(/*check_type_val=*/true, /*strict_mode_val=*/1,
                                       /*data_prop_val=*/false);
  std::string message;
  try {
    ::onnx::shape_inference::InferShapes(model, ::onnx::OpSchemaRegistry::Instance(), strict);
    return;
  } catch (const std::exception &error) {
    message = clean(error.what());
  }
  try {
    message += inputTypes(model, message);
  } catch (const std::exception &) {
    // The message stands without them.
  }
  throw ImportError("types or shapes do not fit: " + message);
}

/// The checker wants a shape on every graph output; exporters and runtimes do without.
static void fillOutputShapes(::onnx::ModelProto &model) {
  auto lacksShape = [](const ::onnx::ValueInfoProto &output) {
    return output.type().has_tensor_type() && !output.type().tensor_type().has_shape();
  };
  if (std::none_of(model.graph().output().begin(), model.graph().output().end(), lacksShape))
    return;
  try {
    ::onnx::shape_inference::InferShapes(model);
  } catch (const std::exception &) {
    // The checker or the strict inference says what is wrong.
  }
}

/// Inference inside function bodies does not know the defaults of the operator's attributes.
static void writeDefaults(::onnx::ModelProto &model) {
  std::map<std::string, int64_t> opsets;
  for (const auto &import : model.opset_import())
    opsets[import.domain()] = import.version();
  for (auto &node : *model.mutable_graph()->mutable_node()) {
    const auto *schema = ::onnx::OpSchemaRegistry::Schema(node.op_type(), opsets[node.domain()],
                                                          node.domain());
    if (!schema || !schema->HasFunction())
      continue;
    std::set<std::string> given;
    for (const auto &attribute : node.attribute())
      given.insert(attribute.name());
    for (const auto &[name, attribute] : schema->attributes())
      if (!attribute.default_value.name().empty() && !given.count(name))
        *node.add_attribute() = attribute.default_value;
  }
}

void nameDomains(::onnx::ModelProto &model) {
  static constexpr const char *kContrib = "com.microsoft";
  bool found = false;
  for (auto &node : *model.mutable_graph()->mutable_node())
    if (node.op_type() == "SimplifiedLayerNormalization" && node.domain().empty()) {
      node.set_domain(kContrib);
      found = true;
    }
  for (const auto &import : model.opset_import())
    found &= import.domain() != kContrib;
  if (!found)
    return;
  auto *import = model.add_opset_import();
  import->set_domain(kContrib);
  import->set_version(1);
}

void normalise(::onnx::ModelProto &model) {
  fillOutputShapes(model);
  guarded("not a valid ONNX model", [&] {
    ::onnx::checker::check_function_call_cycles(model);
    // A function may import another opset than the model: inlining converts it.
    ::onnx::checker::check_model(model, /*full_check=*/false,
                                 /*skip_opset_compatibility_check=*/true);
  });
  // The graph first: function bodies, which may have newer opsets, follow it when inlined.
  google::protobuf::RepeatedPtrField<::onnx::FunctionProto> functions;
  functions.Swap(model.mutable_functions());
  convertOpset(model);
  model.mutable_functions()->Swap(&functions);
  guarded("cannot inline the model's functions", [&] {
    if (model.functions_size())
      ::onnx::inliner::InlineLocalFunctions(model, /*convert_version=*/true);
  });
  validate(model);
  writeDefaults(model);
  infer(model);
}

} // namespace attune::onnx
