//===- ConstantEval.h - Evaluates operators on constants --------------------------------------===//
//
// Runs the body of a linalg operator over its iteration space when every input is a constant.
// Used by constant folding; nothing here changes IR.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_CANONICALIZE_CONSTANTEVAL_H
#define ATTUNE_PASSES_CANONICALIZE_CONSTANTEVAL_H

#include "attune/passes/raise/ConstantLaws.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune {

/// One element: floats as double, integers sign-extended (i1 as 0 or 1).
union Cell {
  double f;
  int64_t i;
};

/// Reads an element of a constant.
Cell readCell(const ConstantData &data, int64_t position);

/// The result of one scalar arith or math operator, rounded to its type; empty if not known how.
std::optional<Cell> evaluateScalar(mlir::Operation *op, llvm::ArrayRef<Cell> operands);

/// All elements of the only result; empty unless the shapes are static, every input is a constant,
/// and the body is understood. `maxSteps` bounds iterations times operators.
std::optional<std::vector<Cell>> evaluate(mlir::linalg::LinalgOp op, int64_t maxSteps);

/// A constant attribute of these elements, outside the text if it is large.
mlir::TypedAttr makeConstant(mlir::RankedTensorType type, llvm::ArrayRef<Cell> cells);

} // namespace attune
#endif
