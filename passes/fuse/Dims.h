//===- Dims.h - Extents of tensors as index values --------------------------------------------===//
//
// Gives the extent of any axis of any tensor of the host function as a constant or an index value
// that depends only on the function's arguments (their extents, or integers read from tensors).
// Used by the fuse stage to list what a kernel needs, and by the exporter of the host program.
//
//   DimResolver dims(func);
//   OpFoldResult rows = dims.get(tensor, 0);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_FUSE_DIMS_H
#define ATTUNE_PASSES_FUSE_DIMS_H

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

namespace attune {

class DimResolver {
public:
  /// Arguments that name the same symbol in `attune.dims` share one value.
  explicit DimResolver(mlir::func::FuncOp func);
  /// For tensors inside a kernel's region: extents in terms of its `dims` block arguments.
  explicit DimResolver(KernelOp kernel);

  /// The extent, or null after a diagnostic when an operator cannot say.
  mlir::OpFoldResult get(mlir::Value tensor, int64_t axis);

  /// The extents of all `?` axes, in order, as values; failure after a diagnostic.
  llvm::FailureOr<llvm::SmallVector<mlir::Value>> dynamicExtents(mlir::Value tensor);

  /// Values that replaced others keep their extents.
  void forwardResults(mlir::ValueRange from, mlir::ValueRange to);

  /// The results of an op that goes: another op may get its place in memory.
  void forget(mlir::Operation *op);

private:
  mlir::OpFoldResult argument(mlir::BlockArgument arg, int64_t axis);
  mlir::OpFoldResult result(mlir::OpResult value, int64_t axis);
  mlir::Value resolved(mlir::Value index);

  mlir::Block *block;
  mlir::func::FuncOp func; ///< null inside a kernel
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::OpFoldResult> known;
  llvm::StringMap<mlir::Value> symbols;
};

} // namespace attune
#endif
