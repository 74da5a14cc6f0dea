//===- Commands.h - The subcommands of `attune` -----------------------------------------------===//
//
// Each takes its arguments without the program and command name and returns the exit code: 0 ok,
// 1 the user's input is wrong or unsupported, 2 usage, 3 internal error.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_COMMANDS_H
#define ATTUNE_TOOLS_ATTUNE_COMMANDS_H

#include "attune/codegen/Compiler.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace attune::tools {

using Args = llvm::ArrayRef<llvm::StringRef>;

int compileCommand(Args args);
int runCommand(Args args);
int checkCommand(Args args);
int benchCommand(Args args);
int explainCommand(Args args);
int inspectCommand(Args args);
int searchCommand(Args args);
int calibrateCommand(Args args);
int costCommand(Args args);
int profileCommand(Args args);

enum ExitCode { kOk = 0, kUserError = 1, kUsage = 2, kInternalError = 3 };

/// Prints the error and gives its exit code.
int report(llvm::Error error);

/// Compiles `model` (`.onnx`, `.mlir`) to a temporary artifact and returns its path; a `.so` is
/// returned as it is. The caller removes temporaries with `removeTemporary`.
llvm::Expected<std::string> compileToTemporary(llvm::StringRef model,
                                               const CompileOptions &options = {});
void removeTemporary(llvm::StringRef path);

} // namespace attune::tools
#endif
