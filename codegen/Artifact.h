//===- Artifact.h - Writes the file that the runtime loads ------------------------------------===//
//
// Links the kernels' object code, appends metadata and weights, and fills the ELF note
// (docs/artifact.md). The file appears under its name only when it is complete.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_ARTIFACT_H
#define ATTUNE_CODEGEN_ARTIFACT_H

#include "attune/codegen/Program.h"
#include "attune/codegen/cpu/Emit.h"
#include "mlir/IR/BuiltinOps.h"

namespace attune::codegen {

/// Compiler name and version as artifacts and `--version` print it.
std::string compilerVersion();

/// Adds the empty note to the kernels' module; call before code is emitted.
void addNote(mlir::ModuleOp module);

/// `objects` hold the kernels of `program`. An error is the user's (a folder that cannot be
/// written, a full disk); no partial file is left behind.
llvm::Error writeArtifact(const Program &program, const Objects &objects, const CpuTarget &target,
                          llvm::StringRef path);

} // namespace attune::codegen
#endif
