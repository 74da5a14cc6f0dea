//===- Sizes.h - Extents as expressions that can be compared ----------------------------------===//
//
// Gives the extent of any axis of any tensor as an affine expression over index values of the
// function, so that two extents can be proved equal although they were computed separately.
// Matchers of the canonicalize and raise stages use it; it adds at most `tensor.dim` of arguments.
//
//   Sizes sizes(func);
//   if (sizes.equal(sizes.of(a, 1), sizes.of(b, 0))) ...
//
// Two argument axes that name the same symbol in `attune.dims` have the same extent. A false answer
// of `equal` means "not provable". Valid while the tensors asked about exist.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_SIZES_H
#define ATTUNE_PASSES_RAISE_SIZES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

namespace attune {

class Sizes {
public:
  explicit Sizes(mlir::func::FuncOp func) : func(func), context(func.getContext()) {}

  mlir::AffineExpr of(mlir::Value tensor, int64_t axis);
  /// The value of an index (or integer) as an expression; opaque values become symbols.
  mlir::AffineExpr of(mlir::Value index);
  mlir::AffineExpr of(mlir::OpFoldResult size);
  mlir::AffineExpr constant(int64_t value);

  bool equal(mlir::AffineExpr a, mlir::AffineExpr b);
  /// Also true if the function checks it, possibly multiplied by other extents: equal at run time,
  /// or an extent that the tensor also has is 0.
  bool equalWhereUsed(mlir::AffineExpr a, mlir::AffineExpr b);
  /// The constant that the expression is, if it is one.
  static std::optional<int64_t> asConstant(mlir::AffineExpr expr);
  unsigned numSymbols() const { return values.size(); }
  /// The value that a symbol expression stands for, or null for other expressions.
  mlir::Value symbolValue(mlir::AffineExpr expr) const;
  mlir::MLIRContext *getContext() const { return context; }

  /// The expression as an attribute or as index arithmetic in front of the insertion point.
  mlir::OpFoldResult get(mlir::OpBuilder &builder, mlir::Location loc, mlir::AffineExpr expr);

private:
  mlir::AffineExpr compute(mlir::Value tensor, int64_t axis);
  mlir::AffineExpr argument(mlir::BlockArgument arg, int64_t axis);
  mlir::AffineExpr symbol(mlir::Value value);
  void collectChecks();

  mlir::func::FuncOp func;
  mlir::MLIRContext *context;
  llvm::SmallVector<mlir::Value> values;
  llvm::DenseMap<mlir::Value, unsigned> ids;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::AffineExpr> known;
  llvm::DenseMap<mlir::Value, mlir::AffineExpr> indices;
  llvm::StringMap<mlir::AffineExpr> named;
  /// What the function asserts to be equal.
  std::optional<llvm::SmallVector<std::pair<mlir::AffineExpr, mlir::AffineExpr>>> checks;
};

} // namespace attune
#endif
