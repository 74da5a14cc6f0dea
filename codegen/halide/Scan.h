//===- Scan.h - attune.scan as sums that share nothing ----------------------------------------===//
//
// The reference lowering goes along the axis step by step, which is no work for a device. Here
// every place has a sum over the whole axis of what it counts, in the order of the axis:
//
//   result[.., i, ..] = sum over j of (j <= i ? input[.., j, ..] : 0)
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_SCAN_H
#define ATTUNE_CODEGEN_HALIDE_SCAN_H

#include "mlir/IR/PatternMatch.h"

namespace attune::codegen::halide {

void populateScanPatterns(mlir::RewritePatternSet &patterns);

} // namespace attune::codegen::halide
#endif
