//===- Emit.h - From device functions to PTX --------------------------------------------------===//
//
// The last step for a GPU: a module of functions (func, scf, arith, math, vector, memref, nvvm on
// `!llvm.ptr` arguments), of which those with `nvvm.kernel` can be launched, becomes PTX text.
// LLVM's NVPTX back end is all it takes, in process.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_EMIT_H
#define ATTUNE_CODEGEN_GPU_EMIT_H

#include "attune/codegen/gpu/Target.h"
#include "mlir/IR/BuiltinOps.h"

namespace attune::codegen {

/// PTX of `module`, which is lowered in place. A failure is our bug: emitters refuse what has no
/// instructions (findRefused) before they make device code of it.
llvm::Expected<std::string> emitPtx(mlir::ModuleOp module, const GpuTarget &target);

} // namespace attune::codegen
#endif
