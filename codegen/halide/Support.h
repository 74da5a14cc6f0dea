//===- Support.h - What can be translated -----------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_SUPPORT_H
#define ATTUNE_CODEGEN_HALIDE_SUPPORT_H

#include "attune/codegen/halide/Region.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/Support/Error.h"

namespace attune::codegen::halide {

/// Fails with the first operator, type or form that the translation has no counterpart for.
llvm::Error checkSupported(const Region &region);

/// The name in OpenCL C of a scalar function that is translated for devices only; else empty.
llvm::StringRef getDeviceFunction(mlir::Operation &op);

/// The scalar that `op` combines partial results with: its last operation, which takes the old
/// value on one side only and may be regrouped. Null if the reduction has to run in order.
mlir::Operation *getCombiner(mlir::linalg::GenericOp op);

} // namespace attune::codegen::halide
#endif
