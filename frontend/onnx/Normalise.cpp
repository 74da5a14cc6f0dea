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

/// The newest opset that conversion reaches. Conversion that fails leaves the model as it is:
/// converters are chosen by the version an operator has in the model's opset.
static void convertOpset(::onnx::ModelProto &model) {
  int newest = ::onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  for (const auto &import : model.opset_import())
    if ((import.domain().empty() || import.domain() == "ai.onnx") && import.version() == newest)
      return;
  try {
    ::onnx::ModelProto converted = ::onnx::version_conversion::ConvertVersion(model, newest);
    ::onnx::checker::check_model(converted);
    model = std::move(converted);
  } catch (const std::exception &) {
  }
}

void normalise(::onnx::ModelProto &model) {
  guarded("not a valid ONNX model", [&] {
    ::onnx::checker::check_function_call_cycles(model);
    ::onnx::checker::check_model(model);
  });
  guarded("cannot inline the model's functions", [&] {
    if (model.functions_size())
      ::onnx::inliner::InlineLocalFunctions(model, /*convert_version=*/true);
  });
  convertOpset(model);
  validate(model);
  guarded("types or shapes do not fit", [&] {
    ::onnx::ShapeInferenceOptions strict(/*check_type_val=*/true, /*strict_mode_val=*/1,
                                         /*data_prop_val=*/true);
    ::onnx::shape_inference::InferShapes(model, ::onnx::OpSchemaRegistry::Instance(), strict);
  });
}

} // namespace attune::onnx
