//===- GemmResults.h - From the sums of a block to the results of a product -------------------===//
//
// Sums go through shared memory, so that neighbouring threads have neighbouring columns, four each
// where rows allow: vectors of the epilogue.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_GEMMRESULTS_H
#define ATTUNE_CODEGEN_GPU_GEMMRESULTS_H

#include "attune/codegen/gpu/GemmKernels.h"

namespace attune::codegen {

class GemmResults {
public:
  using Value = mlir::Value;
  static constexpr int64_t kSumBytes = 4;

  /// To be made at the start of the function. `columns`: of a block's tile.
  GemmResults(DeviceBuilder &kb, Scope &scope, const GemmKernel &kernel, int64_t columns);

  /// Bytes that sums of so many rows take.
  static int64_t bytes(int64_t rows, int64_t columns);
  /// Neighbouring columns that are computed as one vector.
  static int64_t lanesOf(const GemmKernel &kernel);
  /// Puts neighbouring sums of a row to `memory` (shared).
  void put(Value memory, Value row, Value column, mlir::ValueRange sums);
  /// What `threads` threads, this one the `thread`-th, put there in `rows` rows becomes results,
  /// or, with a `part`, stays sums of it. `rowOf`: the row of the product.
  void finish(Value memory, Value thread, int64_t threads, int64_t rows, const GemmBlock &block,
              bool partial, llvm::function_ref<Value(Value)> rowOf);
  /// Adds all parts of `lanesOf` sums, of which the first is the `number`-th.
  void finishParts(Value number, Value parts);

  /// False if the epilogue could not be built, or can fail.
  bool valid();

private:
  Value address(Value memory, Value row, Value column);
  Value load(Value address);
  /// Of a part's sum, in elements.
  Value partOffset(Value part, Value batch, Value row, Value column);

  DeviceBuilder &kb;
  Scope &scope;
  const GemmKernel &kernel;
  int64_t columns;
  Lanes lanes;
  EpilogueCode epilogue;
};

} // namespace attune::codegen
#endif
