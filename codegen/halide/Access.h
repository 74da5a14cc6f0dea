//===- Access.h - How an operator's operand follows from its result ---------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_ACCESS_H
#define ATTUNE_CODEGEN_HALIDE_ACCESS_H

#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/Operation.h"

namespace attune::codegen::halide {

/// The axis of the result that an axis of the operand moves with: a block of the one needs a block
/// of the other.
struct AxisUse {
  int64_t axis = -1;    ///< -1: with none, all of the operand's axis is needed
  bool shifted = false; ///< neighbours of the block are needed too
};

struct Access {
  llvm::SmallVector<AxisUse> axes; ///< one per axis of the operand
  /// Elements are read more than once within one evaluation of the result.
  bool repeated = false;
  /// Read at sums of loops (a window).
  bool window = false;
};

/// For a tensor operand of a supported operator with one result shape.
Access getAccess(mlir::OpOperand &operand);

/// Operators that only say where elements are.
bool isView(mlir::Operation *op);

/// Operators that do work per element beyond moving it.
bool isExpensive(mlir::Operation *op);

} // namespace attune::codegen::halide
#endif
