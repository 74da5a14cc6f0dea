//===- BroadcastSum.h - Sums over products or distances of broadcast operands -----------------===//
//
// What `attune-raise-broadcast-sums` looks for: the terms of a sum, the loops that they run over
// once divided indices are loops of their own, and whether operands are codes of bytes.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_BROADCASTSUM_H
#define ATTUNE_PASSES_RAISE_BROADCASTSUM_H

#include "attune/passes/raise/ByteCodes.h"
#include "attune/passes/raise/IntegerShifts.h"

namespace attune {

/// The sum of terms that an operator computes.
struct SumTerms {
  enum Kind {
    Products,
    Distances,
    ByteDistances, ///< of operands that are codes of bytes
    Shifts         ///< of integers, or floats of them
  } kind = Products;
  ElementOf a, b;                      ///< of shifts: the integer; b is not used
  bool negated = false;                ///< of distances: terms are -|a - b|
  std::optional<IntegerShifts> shifts; ///< of shifts
  std::optional<ByteElement> codes[2]; ///< of a and b as bytes; where there is none, a constant
  ByteCode code;                       ///< of both

};

/// A free index of the operator, in the parts that operands see: outermost first, `index = sum of
/// part times unit`.
struct SumLoop {
  mlir::Value index;
  llvm::SmallVector<mlir::Value> parts;
  llvm::SmallVector<int64_t> units;
};

/// An operand of the contraction: a tensor, and where it is read.
struct SumOperand {
  mlir::Value tensor;
  mlir::AffineMap map;
};

class SumMatcher {
public:
  SumMatcher(Sizes &sizes, mlir::linalg::LinalgOp op) : sizes(sizes), elements(sizes), op(op) {}

  /// The operator as linalg.contract or attune.contract, or null.
  mlir::Value raise(mlir::OpBuilder &builder);
  SumTerms::Kind kind() const { return sum.kind; }
  llvm::StringRef reason;       ///< why not, where the terms are those of a layer
  llvm::StringRef notInBytes{}; ///< why codes of bytes became floats

private:
  bool match();
  bool matchTerm(mlir::Value term, llvm::ArrayRef<mlir::Value> results,
                 llvm::ArrayRef<mlir::Value> inner);
  bool matchDistance(mlir::Value a, mlir::Value b, llvm::ArrayRef<mlir::Value> inner);
  bool matchBytes(mlir::Value a, mlir::Value b, llvm::ArrayRef<mlir::Value> inner);
  std::optional<ElementOf> held(mlir::Value scalar);
  bool split(SumLoop &loop, llvm::SmallDenseSet<int64_t> boundaries);
  void findBoundaries(mlir::Value scalar, mlir::Value index, llvm::SmallDenseSet<int64_t> &found);
  mlir::Value tensorOf(mlir::OpBuilder &builder, const ElementOf &element,
                       const std::optional<ByteElement> &code);
  std::optional<SumOperand> operand(mlir::OpBuilder &builder, const ElementOf &element,
                                    mlir::Value tensor);
  SumOperand shiftCodes(mlir::OpBuilder &builder);
  mlir::Value convolution(mlir::OpBuilder &builder, const SumOperand &a, const SumOperand &b,
                          mlir::Value init, mlir::AffineMap result);
  mlir::Value contract(mlir::OpBuilder &builder, const SumOperand &a, const SumOperand &b,
                       mlir::AffineMap result, llvm::ArrayRef<mlir::OpFoldResult> shape);
  mlir::Value afterBytes(mlir::OpBuilder &builder, mlir::Value value, mlir::Type element);
  mlir::AffineExpr asAffine(mlir::Value index);
  llvm::SmallVector<mlir::OpFoldResult> extents(mlir::OpBuilder &builder, const SumLoop &loop);

  Sizes &sizes;
  Elements elements;
  mlir::linalg::LinalgOp op;
  SumTerms sum;
  llvm::SmallVector<SumLoop> loops;     ///< those of the result, then those summed over
  llvm::SmallVector<mlir::Value> parts; ///< of all loops
};

} // namespace attune
#endif
