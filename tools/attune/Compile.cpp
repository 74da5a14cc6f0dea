#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Tune.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/BinaryFormat/Magic.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>

namespace attune::tools {

static llvm::Error setEmit(llvm::StringRef text, EmitKind &emit) {
  auto kind = llvm::StringSwitch<std::optional<EmitKind>>(text)
                  .Case("so", EmitKind::Artifact)
                  .Case("obj", EmitKind::Object)
                  .Case("asm", EmitKind::Assembly)
                  .Case("llvm", EmitKind::LLVMIR)
                  .Case("mlir", EmitKind::MLIR)
                  .Case("ptx", EmitKind::PTX)
                  .Default(std::nullopt);
  if (!kind)
    return llvm::createStringError("--emit accepts so, obj, asm, llvm, mlir or ptx, found `" +
                                   text + "`");
  emit = *kind;
  return llvm::Error::success();
}

static llvm::Error setStop(llvm::StringRef text, std::string &stage) {
  for (llvm::StringRef name : {"import", "canonicalize", "raise", "rewrite", "fuse"})
    if (text == name) {
      stage = text.str();
      return llvm::Error::success();
    }
  return llvm::createStringError(
      "--stop-after accepts import, canonicalize, raise, rewrite or fuse, found `" + text + "`");
}

static void printSummary(llvm::raw_ostream &os, llvm::StringRef output, const CompileReport &report,
                         double seconds) {
  os << output << ": " << report.kernelCalls << " kernel calls (" << report.kernels.size()
     << " kernels), " << report.attentions << " attention ops raised, "
     << llvm::format("%.1f s, ", seconds) << llvm::format("%.1f MB\n", report.fileBytes / 1e6);
}

int compileCommand(Args args) {
  CompileOptions options;
  std::string output;
  bool time = false, tunes = false;
  TuneOptions tuning;
  int64_t threads = llvm::hardware_concurrency().compute_thread_count();
  std::vector<std::string> positional;
  Options parser("compile", "MODEL.onnx -o MODEL.so [options]");
  parser.addString("o", "FILE", "output file (default: the model's name with .so; - for text)",
                   output);
  parser.addCompileOptions(options);
  parser.add("emit", "KIND", "so (default), obj, asm, llvm, mlir or ptx",
             [&](llvm::StringRef text) { return setEmit(text, options.emit); });
  parser.add("stop-after", "STAGE",
             "write the IR after import, canonicalize, raise, rewrite or fuse",
             [&](llvm::StringRef text) { return setStop(text, options.stopAfter); });
  parser.addOptionalInteger("tune", "K",
                            "measure the K cheapest alternatives (default 3) of every decision", 2,
                            tuning.alternatives, tunes);
  parser.addInteger("threads", "N", "threads that measurements are for (default: all)", 1, threads);
  parser.addSwitch("progress", "show progress of --tune, as on a terminal", tuning.progress);
  parser.addSwitch("time", "print the time of each stage", time);
  parser.addNotImplemented({"precision", "config", "print-config", "no-cache", "cache-dir"});
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1) {
    llvm::errs() << "attune compile: expects one model, found " << positional.size() << "\n";
    return kUsage;
  }
  bool text = !options.stopAfter.empty() || options.emit == EmitKind::MLIR ||
              options.emit == EmitKind::Assembly || options.emit == EmitKind::LLVMIR ||
              options.emit == EmitKind::PTX;
  if (output.empty() && text)
    output = "-";
  if (output.empty()) {
    llvm::SmallString<128> name(positional[0]);
    llvm::sys::path::replace_extension(name, options.emit == EmitKind::Object ? "o" : "so");
    output = name.str().str();
  }

  auto start = std::chrono::steady_clock::now();
  options.threads = tuning.threads = threads;
  unsigned tuned = 0;
  if (tunes) {
    tuning.progress |= llvm::sys::Process::StandardErrIsDisplayed();
    auto measured = tune(positional[0], options, tuning);
    if (!measured)
      return report(measured.takeError());
    tuned = *measured;
  }
  CompileReport result;
  if (llvm::Error error = compileModel(positional[0], output, options, &result))
    return report(std::move(error));
  std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  llvm::raw_ostream &summary = output == "-" ? llvm::errs() : llvm::outs();
  if (options.emit == EmitKind::Artifact && options.stopAfter.empty())
    printSummary(summary, output, result, passed.count());
  if (tunes)
    summary << tuned << " decisions measured\n";
  if (time)
    for (const auto &[stage, ms] : result.stageMs)
      summary << llvm::format("%10.1f ms  ", ms) << stage << "\n";
  return kOk;
}

llvm::Expected<std::string> compileToTemporary(llvm::StringRef model,
                                               const CompileOptions &options) {
  llvm::file_magic magic; // unknown if the file cannot be read: that is for the compiler to say
  if (model.ends_with(".so") ||
      (!llvm::identify_magic(model, magic) && magic == llvm::file_magic::elf_shared_object))
    return model.str();
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("attune", "so", path))
    return llvm::createStringError(code, "cannot create a temporary file: " + code.message());
  if (llvm::Error error = compileModel(model, path, options)) {
    llvm::sys::fs::remove(path);
    return std::move(error);
  }
  return path.str().str();
}

void removeTemporary(llvm::StringRef path) { llvm::sys::fs::remove(path); }

} // namespace attune::tools
