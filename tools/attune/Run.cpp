#include "attune/tools/attune/Run.h"
#include "attune/support/WriteFile.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/TensorFile.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <optional>

namespace attune::tools {

using llvm::StringRef;

static llvm::Expected<std::string> findInput(StringRef folder, size_t i, StringRef name) {
  std::string numbered = ("input_" + llvm::Twine(i)).str();
  for (StringRef stem : {StringRef(numbered), name})
    for (StringRef extension : {".pb", ".npy"}) {
      llvm::SmallString<128> path(folder);
      llvm::sys::path::append(path, stem + extension);
      if (!stem.contains('/') && llvm::sys::fs::exists(path))
        return path.str().str();
    }
  return llvm::createStringError("no file for input `" + name + "` in `" + folder + "`: expected " +
                                 numbered + ".pb, " + numbered + ".npy, " + name + ".pb or " +
                                 name + ".npy");
}

/// Paths by position in the signature; empty where `specs` give none.
static llvm::Expected<std::vector<std::string>> inputPaths(const attune_signature &signature,
                                                           llvm::ArrayRef<std::string> specs) {
  std::vector<std::string> paths(signature.input_count);
  for (StringRef spec : specs) {
    if (llvm::sys::fs::is_directory(spec)) {
      for (size_t i = 0; i < paths.size(); ++i) {
        llvm::Expected<std::string> path = findInput(spec, i, signature.inputs[i]->name);
        if (!path)
          return path.takeError();
        paths[i] = *path;
      }
      std::string next = ("input_" + llvm::Twine(paths.size())).str();
      for (StringRef extension : {".pb", ".npy"})
        if (llvm::sys::fs::exists(spec + "/" + next + extension))
          return llvm::createStringError("`" + spec + "` has files for " +
                                         llvm::Twine(paths.size() + 1) + " inputs or more (" +
                                         next + extension + "), the model takes " +
                                         llvm::Twine(paths.size()));
      continue;
    }
    auto [name, path] = spec.split('=');
    if (path.empty())
      return llvm::createStringError("`" + spec + "` is neither a folder nor NAME=FILE");
    size_t i = 0;
    while (i < paths.size() && name != signature.inputs[i]->name)
      ++i;
    if (i == paths.size()) {
      std::string accepted;
      for (size_t j = 0; j < paths.size(); ++j)
        accepted += (j ? ", `" : "`") + std::string(signature.inputs[j]->name) + "`";
      return llvm::createStringError("there is no input `" + name + "`, accepted are " +
                                     (accepted.empty() ? "none" : accepted));
    }
    paths[i] = path.str();
  }
  return paths;
}

llvm::Expected<std::vector<Tensor>> readInputs(const attune_signature &signature,
                                               llvm::ArrayRef<std::string> specs) {
  llvm::Expected<std::vector<std::string>> paths = inputPaths(signature, specs);
  if (!paths)
    return paths.takeError();
  std::vector<Tensor> inputs(paths->size());
  for (size_t i = 0; i < paths->size(); ++i) {
    if ((*paths)[i].empty())
      continue;
    llvm::Expected<NamedTensor> input = readTensorFile((*paths)[i], signature.inputs[i]->dtype);
    if (!input)
      return input.takeError();
    inputs[i] = std::move(input->tensor);
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!inputs[i])
      return llvm::createStringError("input `" + StringRef(signature.inputs[i]->name) +
                                     "` is missing: give --inputs DIR or --inputs " +
                                     signature.inputs[i]->name + "=FILE");
  return inputs;
}

static llvm::Error writeOutputs(const attune_signature &signature, StringRef folder,
                                llvm::ArrayRef<Tensor> outputs) {
  std::vector<FileContent> files;
  for (auto [i, output] : llvm::enumerate(outputs)) {
    std::string path = (folder + "/output_" + llvm::Twine(i)).str();
    llvm::Expected<std::string> proto = encodeTensorProto(signature.outputs[i]->name, output);
    if (!proto)
      return proto.takeError();
    files.push_back({path + ".pb", std::move(*proto)});
    llvm::Expected<std::string> npy = encodeNpy(output);
    if (!npy)
      return npy.takeError();
    files.push_back({path + ".npy", std::move(*npy)});
  }
  return writeFiles(files);
}

llvm::Error runtimeError(const Error &error) {
  auto kind =
      error.code == ATTUNE_ERROR_INTERNAL ? CompileError::Kind::Internal : CompileError::Kind::User;
  return llvm::make_error<CompileError>(kind, error.what());
}

static llvm::Error run(StringRef artifact, llvm::ArrayRef<std::string> specs, StringRef folder,
                       unsigned threads) {
  try {
    SessionOptions options;
    options.threads = threads;
    Session session(artifact.str(), std::move(options));
    const attune_signature &signature = session.signature();
    llvm::Expected<std::vector<Tensor>> inputs = readInputs(signature, specs);
    if (!inputs)
      return inputs.takeError();
    // A place that cannot be written to is better known before a long run.
    if (!folder.empty())
      if (std::error_code code = llvm::sys::fs::create_directories(folder))
        return llvm::createStringError(code, "cannot create `" + folder + "`: " + code.message());
    std::vector<Tensor> outputs = session.run(*inputs);
    if (!folder.empty())
      if (llvm::Error error = writeOutputs(signature, folder, outputs))
        return error;
    for (auto [i, output] : llvm::enumerate(outputs)) {
      llvm::outs() << signature.outputs[i]->name << ": " << dtypeName(output.dtype()) << " [";
      llvm::interleaveComma(output.shape(), llvm::outs());
      llvm::outs() << "]";
      for (size_t alias = 0; alias < signature.alias_count; ++alias)
        if (signature.aliases[alias]->output == i)
          llvm::outs() << ", may be in place of "
                       << signature.inputs[signature.aliases[alias]->input]->name;
      llvm::outs() << "\n";
    }
    return llvm::Error::success();
  } catch (const Error &error) {
    return runtimeError(error);
  } catch (const std::exception &error) {
    return llvm::createStringError(error.what());
  }
}

int runCommand(Args args) {
  CompileOptions compile;
  std::vector<std::string> positional, inputs;
  std::string outputs;
  int64_t threads = 0;
  Options parser("run", "MODEL.onnx|MODEL.so --inputs DIR|NAME=FILE [--outputs DIR] [options]");
  parser.add("inputs", "DIR|NAME=FILE",
             "folder with input_0.pb, ... (or .npy, or NAME.npy), or one input's file; repeatable",
             [&](StringRef text) {
               inputs.push_back(text.str());
               return llvm::Error::success();
             });
  parser.addString("outputs", "DIR", "write output_0.pb and output_0.npy, ... to this folder",
                   outputs);
  parser.addInteger("threads", "N", "threads (default: what the process may use)", 1, threads);
  parser.addCompileOptions(compile);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune run: expects one model, found " << positional.size() << "\n";
    return kUsage;
  }
  StringRef model = positional[0];
  unsigned count = unsigned(std::min<int64_t>(threads, UINT32_MAX));
  compile.threads = count;
  llvm::Expected<std::string> artifact = compileToTemporary(model, compile);
  if (!artifact)
    return report(artifact.takeError());
  llvm::scope_exit cleanUp([&] {
    if (*artifact != model)
      removeTemporary(*artifact);
  });
  if (llvm::Error error = run(*artifact, inputs, outputs, count))
    return report(std::move(error));
  return kOk;
}

} // namespace attune::tools
