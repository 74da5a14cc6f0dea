//===- Region.h - Scalars of `Elements` as regions of attune ops ------------------------------===//
//
// Turns scalar expressions into the body of a region that is isolated from above. What the body
// needs from outside becomes captures: of all tensors that hold a subexpression, the one that
// varies with the fewest indices is loaded from, so a padding mask stays [B,M] however often an
// exporter expanded it; expressions of positions alone are computed in the region.
//
//   RegionBuilder region(elements);
//   region.plan(mask);                                    // then create the op with
//   region.captures() region.start(builder, indexArguments, captureArguments); Value condition =
//   region.emit(mask);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_REGION_H
#define ATTUNE_PASSES_RAISE_REGION_H

#include "attune/passes/raise/Elements.h"

namespace attune {

class RegionBuilder {
public:
  explicit RegionBuilder(Elements &elements) : elements(elements) {}

  /// Scalars that the region has as arguments; not looked into.
  void given(mlir::Value scalar) { givenScalars.insert(scalar); }
  void plan(mlir::Value scalar);
  llvm::ArrayRef<mlir::Value> captures() const { return captured.getArrayRef(); }

  void start(mlir::OpBuilder &builder, const mlir::IRMapping &arguments,
             mlir::ValueRange captureArguments);
  /// What a given scalar is, where that is computed in the region itself.
  void define(mlir::Value scalar, mlir::Value value) { values.map(scalar, value); }
  mlir::Value emit(mlir::Value scalar);

private:
  /// The element to load instead of computing the scalar, if that is better.
  const ElementOf *loadInstead(mlir::Value scalar);

  Elements &elements;
  llvm::SetVector<mlir::Value> captured;
  llvm::DenseSet<mlir::Value> givenScalars, planned;
  llvm::DenseMap<mlir::Value, ElementOf> loads;
  mlir::OpBuilder *builder = nullptr;
  mlir::IRMapping values;
};

} // namespace attune
#endif
