//===- Region.h - A kernel region in the form that is translated to Halide --------------------===//
//
// The first step of the Halide back end: the region of an `attune.kernel` becomes a function of its
// own in which only structured operators are left (linalg.generic, fill, tensor views, pad, insert,
// index arithmetic). Everything with a reference lowering is lowered by it. The kernel itself is
// not changed.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_REGION_H
#define ATTUNE_CODEGEN_HALIDE_REGION_H

#include "attune/codegen/cpu/Target.h"
#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace attune::codegen::halide {

/// What larger indices that come from memory are taken for: far enough from overflow for Halide's
/// bounds. An axis that is indexed so must be no longer.
inline constexpr int64_t kMostIndex = int64_t(1) << 30;

struct Region {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// Arguments: the kernel's inputs, then its dims. Returns the kernel's results.
  mlir::func::FuncOp func;
  unsigned inputs = 0;
  bool onDevice = false;
  /// The last result says whether assertions held (Checks.h); the kernel has no such result.
  bool checked = false;
  /// For every `?` of an input: the dim that is its extent.
  llvm::SmallVector<llvm::SmallVector<int64_t>> inputDims;

  mlir::Block &body() const { return mlir::func::FuncOp(func).getBody().front(); }
  mlir::Block::BlockArgListType arguments() const { return body().getArguments(); }

  /// The number of the dim that a `?` axis of argument `input` has as its extent.
  int64_t dimOf(unsigned input, int64_t axis) const;
};

/// The region of `kernel` in translatable form, or why it cannot be had: a reason that completes
/// "the Halide back end does not take this kernel: ...". `target` is null for a device, which has
/// functions of its own for what are polynomials on a CPU.
llvm::Expected<Region> makeRegion(KernelOp kernel, const CpuTarget *target);

} // namespace attune::codegen::halide
#endif
