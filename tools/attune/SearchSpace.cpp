// `attune search space`: what can be searched in a model of the user, as a space file.
#include "attune/search/Document.h"
#include "attune/search/templates/ModelTemplate.h"
#include "attune/support/WriteFile.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Search.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

namespace attune::tools {
namespace {

/// JSON's strings are YAML's too.
std::string quoted(llvm::StringRef text) {
  std::string json;
  llvm::raw_string_ostream(json) << llvm::json::Value(llvm::json::fixUTF8(text));
  return json;
}

void writeSpace(llvm::raw_ostream &os, llvm::StringRef model,
                llvm::ArrayRef<std::string> alternatives, const CompileOptions &options,
                llvm::ArrayRef<ModelChoice> choices) {
  os << "attune-space: 1\n"
     << "template: {model: " << quoted(model) << ", choices: [" << search::listed(alternatives)
     << "]";
  if (!options.fixedDims.empty()) {
    std::map<std::string, int64_t> dims;
    for (const auto &dim : options.fixedDims)
      dims[dim.getKey().str()] = dim.getValue();
    os << ", dims: {";
    llvm::interleaveComma(dims, os,
                          [&](const auto &dim) { os << quoted(dim.first) << ": " << dim.second; });
    os << "}";
  }
  os << "}\nvars:\n";
  for (const auto &[name, choice] : llvm::zip(search::variableNames(choices), choices))
    if (choice.alternatives.size() > 1)
      os << "  - {name: " << name << ", kind: cat, values: [" << search::listed(choice.alternatives)
         << "]}\n";
  os << "objectives:\n"
     << "  - {cost: latency_ms, goal: min}\n"
     << "  # What the model is worth is for a worker to say (docs/search.md):\n"
     << "  # - {metric: val_acc, goal: max}\n"
     << "# evaluator: {name: worker, command: [python3, train.py]}\n"
     << "strategy: nsga2\n"
     << "budget: {evals: 100}\n";
}

} // namespace

int searchSpace(Args args) {
  std::string output, wanted = "softmax,linear,cosformer,local16";
  CompileOptions options;
  std::vector<std::string> positional;
  Options parser("search space", "MODEL.onnx -o SPACE.yaml [options]");
  parser.addString("o", "SPACE.yaml", "the space file to write (- is standard output)", output);
  parser.addString("choices", "LIST",
                   "what attention may be (default: softmax,linear,cosformer,local16; localN: N "
                   "positions to both sides)",
                   wanted);
  parser.addDims(options);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1 || output.empty()) {
    llvm::errs() << "attune search space: expects one model and -o SPACE.yaml\n";
    return kUsage;
  }
  llvm::SmallVector<llvm::StringRef> names;
  llvm::StringRef(wanted).split(names, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  std::vector<std::string> alternatives(names.begin(), names.end());
  CompileReport found;
  auto choices = findChoices(positional[0], alternatives, options, &found);
  if (!choices)
    return report(choices.takeError());
  for (const CompileRemark &remark : found.remarks)
    if (remark.name == "AlternativeRefused")
      llvm::errs() << "note: " << remark.message << "\n";
  if (llvm::none_of(*choices, [](const ModelChoice &c) { return c.alternatives.size() > 1; }))
    return report(llvm::createStringError("the model has no softmax attention that " +
                                          search::listed(alternatives) + " could stand for"));
  // The space file names the model as seen from its own folder, if that is the model's too.
  llvm::StringRef model = positional[0], folder = llvm::sys::path::parent_path(output);
  llvm::SmallString<128> path(model);
  if (output != "-" && llvm::sys::path::parent_path(model) == folder)
    path = llvm::sys::path::filename(model);
  else if (output != "-")
    (void)llvm::sys::fs::make_absolute(path);
  if (llvm::Error error = writeFile(output, [&](llvm::raw_ostream &os) {
        writeSpace(os, path, alternatives, options, *choices);
      }))
    return report(std::move(error));
  if (output != "-")
    llvm::outs() << output << "\n";
  return kOk;
}

} // namespace attune::tools
