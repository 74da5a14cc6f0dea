//===- Checks.h - Assertions of a kernel as a result ------------------------------------------===//
//
// A device cannot stop: what `cf.assert` in the bodies of operators demands becomes one more result
// of the region, an i32 that is 0 if all of it holds, else 1 (ATTUNE_KERNEL_INDEX_OUT_OF_RANGE).
// What an assertion guards is clamped by its maker.
//
//   linalg.generic ins(%at) outs(%o) { %ok = cmpi ult, %i, %n; cf.assert %ok; ... }
//   // becomes
//   linalg.generic ins(%at) outs(%o) { ... }
//   %failed = linalg.generic ins(%at) outs(%zero) { maxsi(old, select(cmpi ult, %i, %n, 0, 1)) }
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_CHECKS_H
#define ATTUNE_CODEGEN_HALIDE_CHECKS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace attune::codegen::halide {

/// Whether a result was added. Assertions that read results of their operator stay.
bool moveChecksToResult(mlir::func::FuncOp func);

} // namespace attune::codegen::halide
#endif
