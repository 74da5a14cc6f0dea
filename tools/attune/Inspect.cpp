#include "attune/tools/attune/Inputs.h"
#include "attune/tools/attune/Options.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {
namespace {

std::string shapeOf(const attune_port &port) {
  std::string text;
  for (int32_t axis = 0; axis < port.rank; ++axis)
    text += (axis ? "x" : "") + (port.symbols[axis] ? std::string(port.symbols[axis])
                                                    : std::to_string(port.shape[axis]));
  return text;
}

llvm::json::Array namesOf(const attune_kernel &kernel) {
  llvm::json::Array nodes;
  for (uint32_t i = 0; i < kernel.node_count; ++i)
    nodes.push_back(llvm::json::fixUTF8(kernel.nodes[i]));
  return nodes;
}

void printJson(const attune_signature &signature) {
  llvm::json::Array kernels;
  for (uint32_t i = 0; i < signature.kernel_count; ++i) {
    const attune_kernel &kernel = *signature.kernels[i];
    kernels.push_back(llvm::json::Object{{"symbol", kernel.symbol},
                                         {"name", llvm::json::fixUTF8(kernel.name)},
                                         {"backend", kernel.backend},
                                         {"emitter", kernel.emitter},
                                         {"nodes", namesOf(kernel)}});
  }
  llvm::outs() << llvm::json::Value(llvm::json::Object{
                      {"model", llvm::json::fixUTF8(signature.model)},
                      {"compiler", signature.compiler},
                      {"cpu", signature.cpu},
                      {"target", signature.target},
                      {"weights_bytes", static_cast<int64_t>(signature.weights_bytes)},
                      {"kernels", std::move(kernels)}})
               << "\n";
}

void printText(const attune_signature &signature) {
  bool host = llvm::StringRef(signature.target) == "cpu";
  llvm::outs() << signature.compiler << " for " << (host ? "" : signature.target)
               << (host ? "" : ", host ") << signature.cpu << ", " << signature.weights_bytes
               << " bytes of weights\n";
  for (uint32_t i = 0; i < signature.input_count; ++i)
    llvm::outs() << "input    " << signature.inputs[i]->name << " " << shapeOf(*signature.inputs[i])
                 << "\n";
  for (uint32_t i = 0; i < signature.output_count; ++i)
    llvm::outs() << "output   " << signature.outputs[i]->name << " "
                 << shapeOf(*signature.outputs[i]) << "\n";
  for (uint32_t i = 0; i < signature.kernel_count; ++i) {
    const attune_kernel &kernel = *signature.kernels[i];
    llvm::outs() << "kernel   " << llvm::left_justify(kernel.backend, 8)
                 << llvm::left_justify(kernel.emitter, 17) << kernel.name << "\n";
  }
}

} // namespace

int inspectCommand(Args args) {
  bool json = false;
  std::vector<std::string> positional;
  Options parser("inspect", "MODEL.so [--json]");
  parser.addSwitch("json", "print one JSON object", json);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune inspect: expects one artifact, found " << positional.size() << "\n";
    return kUsage;
  }
  try {
    Session session(positional[0]);
    json ? printJson(session.signature()) : printText(session.signature());
  } catch (const std::exception &error) {
    return report(llvm::createStringError(error.what()));
  }
  return kOk;
}

} // namespace attune::tools
