//===- Emit.h - From kernel functions to machine code -----------------------------------------===//
//
// The last two steps of code generation: a module of kernel functions (func, scf, arith, math,
// vector, memref on `!llvm.ptr` arguments) becomes the LLVM dialect, then object files.
//
// Different modules in different contexts may be compiled at the same time. A failure is our bug
// (the emitters made IR that does not lower); the error holds the diagnostics.
//
//   if (llvm::Error error = lowerToLLVM(module, target))
//     return error;
//   auto object = emitObject(module, target);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_EMIT_H
#define ATTUNE_CODEGEN_CPU_EMIT_H

#include "attune/codegen/cpu/Target.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <memory>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
class ThreadPoolInterface;
} // namespace llvm

namespace attune::codegen {

/// Lowers everything in `module` to the LLVM dialect, in place. Transcendental functions of f32
/// become polynomials (Math.h), so that no call into libm is left in vector code.
llvm::Error lowerToLLVM(mlir::ModuleOp module, const CpuTarget &target);

/// LLVM IR of a lowered module, with the functions of `bitcode` that it calls (Bitcode.h),
/// optimised for `target`.
using Bitcodes = llvm::ArrayRef<std::string>;
llvm::Expected<std::unique_ptr<llvm::Module>> translate(mlir::ModuleOp module,
                                                        llvm::LLVMContext &context,
                                                        const CpuTarget &target,
                                                        Bitcodes bitcode = {});
llvm::Error optimise(llvm::Module &module, const CpuTarget &target);
llvm::Expected<llvm::SmallVector<char>> emitObject(llvm::Module &module, const CpuTarget &target);

/// All of the above for a lowered module: position-independent ELF objects that belong together,
/// made on the threads of `pool` (null: on this one; the objects do not depend on it), one such
/// object, assembly, or IR text.
using Objects = std::vector<llvm::SmallVector<char>>;
llvm::Expected<Objects> emitObjects(mlir::ModuleOp module, const CpuTarget &target,
                                    Bitcodes bitcode, llvm::ThreadPoolInterface *pool);
llvm::Expected<llvm::SmallVector<char>> emitObject(mlir::ModuleOp module, const CpuTarget &target,
                                                   Bitcodes bitcode = {});
llvm::Expected<std::string> emitAssembly(mlir::ModuleOp module, const CpuTarget &target,
                                         Bitcodes bitcode = {});
llvm::Expected<std::string> emitLLVMIR(mlir::ModuleOp module, const CpuTarget &target,
                                       Bitcodes bitcode = {});

} // namespace attune::codegen
#endif
