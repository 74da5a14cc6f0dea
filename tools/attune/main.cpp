#include "attune/codegen/Artifact.h"
#include "attune/codegen/cpu/Target.h"
#include "attune/support/WriteFile.h"
#include "attune/tools/attune/Commands.h"

#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>

using namespace attune::tools;

namespace {

struct Command {
  llvm::StringRef name, help;
  int (*run)(Args);
};

constexpr llvm::StringRef kUsageText = "usage: attune COMMAND [options]\n\ncommands:\n";

const Command kCommands[] = {
    {"bench", "measure the latency of a model or artifact", benchCommand},
    {"calibrate", "measure this machine for predictions", calibrateCommand},
    {"check", "compare the optimised model with its reference lowering", checkCommand},
    {"compile", "compile an ONNX model to a native shared library", compileCommand},
    {"cost", "predict time, energy and memory of a model, without running it", costCommand},
    {"explain", "say which attention was recognised, and why others were not", explainCommand},
    {"inspect", "print an artifact's ports and kernels, and who generated them", inspectCommand},
    {"profile", "measure every kernel of a model beside its prediction", profileCommand},
    {"run", "run a model on tensors from files", runCommand},
    {"search", "search architectures", searchCommand},
};

void printHelp(llvm::raw_ostream &os) {
  os << kUsageText;
  for (const Command &command : kCommands)
    os << "  " << llvm::left_justify(command.name, 10) << command.help << "\n";
  os << "\n`attune COMMAND --help` lists a command's options; `attune --version` prints "
        "versions.\n";
}

int printVersion() {
  llvm::outs() << attune::codegen::compilerVersion();
  if (auto target = attune::codegen::CpuTarget::parse("host"))
    llvm::outs() << ", host CPU " << target->cpu << "\n";
  else
    return report(target.takeError());
  return kOk;
}

} // namespace

int attune::tools::report(llvm::Error error) {
  int code = kUserError;
  llvm::handleAllErrors(
      std::move(error),
      [&](const CompileError &compile) {
        if (compile.kind == CompileError::Kind::User) {
          llvm::errs() << "error: " << compile.text << "\n";
          return;
        }
        code = kInternalError;
        llvm::errs() << "internal error: " << compile.text
                     << "\nThis is a bug of Attune. Please report it with the model or a "
                        "reproducer (`attune compile --stop-after=import` prints one).\n";
      },
      [&](const llvm::ErrorInfoBase &other) {
        llvm::errs() << "error: " << other.message() << "\n";
      });
  return code;
}

static int run(Args args) {
  if (args.empty()) {
    printHelp(llvm::errs());
    return kUsage;
  }
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    printHelp(llvm::outs());
    return kOk;
  }
  if (args[0] == "--version")
    return printVersion();
  for (const Command &command : kCommands)
    if (command.name == args[0])
      return command.run(Args(args).drop_front());
  llvm::errs() << "attune: unknown command `" << args[0] << "`\n";
  printHelp(llvm::errs());
  return kUsage;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  // A file that may not grow gives an error where it is written, like a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  int code = run(llvm::SmallVector<llvm::StringRef>(argv + 1, argv + argc));
  if (llvm::Error error = attune::finishStandardOutput()) {
    int lost = report(std::move(error));
    code = code == kOk ? lost : code;
  }
  llvm::errs().clear_error(); // nowhere is left to say that something could not be said
  return code;
}
