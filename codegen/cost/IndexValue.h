//===- IndexValue.h - Index arithmetic at known sizes -----------------------------------------===//
//
// Evaluates index values of a kernel's region by folding, so that the cost model knows every extent
// of one call without specialising the region.
//
//   IndexValue valueOf(kernel, {128, 384});   // the values of its dims
//   int64_t rows = valueOf.extent(tensor, 0);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_INDEXVALUE_H
#define ATTUNE_CODEGEN_COST_INDEXVALUE_H

#include "attune/passes/fuse/Dims.h"

namespace attune::codegen {

/// May add index arithmetic to the region.
class IndexValue {
public:
  IndexValue(KernelOp kernel, llvm::ArrayRef<int64_t> dims);

  /// What is known only in a call (it depends on elements of a tensor) counts as 1.
  int64_t operator()(mlir::Value value);
  int64_t operator()(mlir::OpFoldResult value);
  int64_t extent(mlir::Value tensor, int64_t axis);
  int64_t elements(mlir::Value tensor);

private:
  mlir::Attribute evaluate(mlir::Value value);
  DimResolver resolver;
  llvm::DenseMap<mlir::Value, mlir::Attribute> known;
};

} // namespace attune::codegen
#endif
