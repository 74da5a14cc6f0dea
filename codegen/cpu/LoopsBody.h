//===- LoopsBody.h - A kernel's region as loops over memrefs ----------------------------------===//
//
// What the generic emitters of every target start from: operators by their reference lowering,
// bufferised, as loops over scalars. Temporaries are arguments, because a kernel never allocates.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LOOPSBODY_H
#define ATTUNE_CODEGEN_CPU_LOOPSBODY_H

#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace attune::codegen {

/// The region as a function `func` of (inputs, results, dims, scratch): memrefs and index values.
/// It returns the kernel's result.
class LoopsBody {
public:
  enum class Loops {
    Serial,  ///< scf.for; a failed check makes the result not 0
    Parallel ///< scf.parallel around them where iterations are independent; cf.assert stays
  };

  /// `name` is a prefix of everything that goes into `module`.
  LoopsBody(KernelOp op, mlir::ModuleOp module, llvm::StringRef name, Loops loops)
      : op(op), module(module), name(name), loops(loops) {}

  /// A failure has emitted a diagnostic.
  llvm::LogicalResult build();
  /// Constant tables that the reference lowering made, under names of this kernel.
  void moveGlobals(mlir::ModuleOp target);

  /// An index value of `func` as an expression that can be rebuilt in the host function.
  llvm::FailureOr<HostExpr> hostExpr(mlir::Value value);
  /// The dim argument of `func` that is the extent of a `?` axis of buffer `number`.
  mlir::Value dimOfBuffer(unsigned number, int64_t axis);
  /// The memrefs of `func`'s buffers over raw pointers (`buffer(i)`), scratch behind the kernel's
  /// own; `dims` are values of its dim arguments.
  Values memrefs(KernelBuilder &kb, mlir::ValueRange dims,
                 llvm::function_ref<mlir::Value(int64_t)> buffer);

  mlir::func::FuncOp func;
  llvm::SmallVector<HostExpr> scratch; ///< in bytes
  llvm::SmallVector<mlir::MemRefType> scratchTypes;

private:
  KernelOp op;
  mlir::ModuleOp module;
  llvm::StringRef name;
  Loops loops;
  llvm::SmallVector<llvm::SmallVector<HostExpr>> scratchExtents;

  unsigned numBuffers() { return op.getInputs().size() + op.getNumResults(); }
  void cloneRegion();
  llvm::LogicalResult bufferize();
  llvm::LogicalResult separateParallelLoops();
  void copiesToLoops();
  void replaceAsserts();
  llvm::FailureOr<HostExpr> extentOf(mlir::Value memref, int64_t axis);
  llvm::LogicalResult moveAllocations();
};

} // namespace attune::codegen
#endif
