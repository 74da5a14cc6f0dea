//===- KernelBuilder.h - Builds the loops of a CPU kernel -------------------------------------===//
//
// A thin layer over OpBuilder in which the emitters of codegen/cpu are written. Memory is reached
// through `!llvm.ptr` plus an offset in elements (`llvm.load`/`llvm.store`, element alignment),
// loops are `scf`, arithmetic is `arith`/`math`/`vector`; index arithmetic folds constants as it is
// built. Alignment is never assumed beyond the element's own.
//
//   kb.forLoop(kb.idx(0), rows, 1, [&](Value row) {
//     Value x = kb.load(kb.vec(8), src, kb.mul(row, 8));
//     kb.store(kb.fma(x, x, x), dst, kb.mul(row, 8));
//   });
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_KERNELBUILDER_H
#define ATTUNE_CODEGEN_CPU_KERNELBUILDER_H

#include "attune/codegen/cpu/Target.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace attune::codegen {

using Values = llvm::SmallVector<mlir::Value>;

/// Arguments of a kernel or task function, see runtime/kernel_abi.h.
struct KernelArgs {
  mlir::Value ctx, buffers, dims;
  mlir::Value task, worker; ///< null in the kernel function itself
};

class KernelBuilder {
public:
  using Value = mlir::Value;

  KernelBuilder(mlir::Location loc, const CpuTarget &target)
      : b(loc.getContext()), loc(loc), target(target) {}

  mlir::OpBuilder b;
  mlir::Location loc;
  const CpuTarget &target;

  // Types.
  mlir::Type f32() { return b.getF32Type(); }
  mlir::Type index() { return b.getIndexType(); }
  mlir::Type ptr() { return mlir::LLVM::LLVMPointerType::get(b.getContext()); }
  /// A vector of `lanes` elements; 0 lanes means one register of the target.
  mlir::VectorType vec(int64_t lanes = 0, mlir::Type element = {});
  int64_t lanes() const { return target.lanes(32); }

  // Index arithmetic, no signed wrap; constants fold.
  Value idx(int64_t value);
  Value add(Value x, Value y);
  Value add(Value x, int64_t y);
  Value sub(Value x, Value y);
  Value mul(Value x, Value y);
  Value mul(Value x, int64_t y);
  Value div(Value x, int64_t y); ///< floor, x >= 0, y > 0
  Value div(Value x, Value y);
  Value rem(Value x, Value y);
  Value ceilDiv(Value x, int64_t y);
  Value roundUp(Value x, int64_t y);
  Value min(Value x, Value y);
  Value max(Value x, Value y);
  Value cmp(mlir::arith::CmpIPredicate predicate, Value x, Value y);
  Value lt(Value x, Value y) { return cmp(mlir::arith::CmpIPredicate::slt, x, y); }
  Value eq(Value x, Value y) { return cmp(mlir::arith::CmpIPredicate::eq, x, y); }
  Value select(Value condition, Value x, Value y);

  // Constants and vectors.
  Value constF(double value, mlir::Type type = {}); ///< scalar (f32) or splat of a vector type
  Value constI(int64_t value, mlir::Type type);     ///< integer scalar or splat
  Value laneIds(mlir::VectorType type);             ///< 0, 1, 2, … (integer vector)
  Value splat(Value scalar, int64_t lanes = 0);
  Value fma(Value x, Value y, Value z);

  // Memory. `offset` counts elements of `type`'s scalar type (null: 0).
  Value gep(Value base, Value offset, mlir::Type element);
  Value load(mlir::Type type, Value base, Value offset = {});
  void store(Value value, Value base, Value offset = {});
  /// Lanes below `count` (an index) only; other lanes read as zero and are not written.
  Value loadPartial(mlir::VectorType type, Value base, Value offset, Value count);
  void storePartial(Value value, Value base, Value offset, Value count);
  void prefetch(Value base, Value offset, mlir::Type element, int locality = 3);
  /// The line will be written: it comes in exclusively.
  void prefetchWrite(Value base, Value offset, mlir::Type element);

  // Control flow.
  void forLoop(Value lower, Value upper, int64_t step, llvm::function_ref<void(Value)> body);
  Values forLoop(Value lower, Value upper, int64_t step, mlir::ValueRange init,
                 llvm::function_ref<Values(Value, mlir::ValueRange)> body);
  void ifThen(Value condition, llvm::function_ref<void()> then);
  Values ifElse(Value condition, mlir::TypeRange types, llvm::function_ref<Values()> then,
                llvm::function_ref<Values()> otherwise);
  /// `body(n)` for the one n in [1, most] that equals `value`; the caller guarantees the range.
  void switchOn(Value value, int64_t most, llvm::function_ref<void(int64_t)> body);

  // Functions of the kernel ABI. The body is built by `body`; a task or kernel returns 0 unless
  // `body` gives an i32.
  mlir::func::FuncOp kernel(mlir::ModuleOp module, llvm::StringRef name,
                            llvm::function_ref<Value(const KernelArgs &)> body);
  mlir::func::FuncOp task(mlir::ModuleOp module, llvm::StringRef name,
                          llvm::function_ref<Value(const KernelArgs &)> body);
  Value buffer(const KernelArgs &args, int64_t number);
  Value dim(const KernelArgs &args, int64_t number);
  Value threads(const KernelArgs &args); ///< index
  /// Calls ctx->parallel_for over `count` tasks of `task`; the i32 result.
  Value parallelFor(const KernelArgs &args, Value count, mlir::func::FuncOp task);

private:
  mlir::func::FuncOp function(mlir::ModuleOp module, llvm::StringRef name, bool task,
                              llvm::function_ref<Value(const KernelArgs &)> body);
};

} // namespace attune::codegen
#endif
