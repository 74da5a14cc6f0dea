//===- Math.h - What a GPU has no instruction for ---------------------------------------------===//
#ifndef ATTUNE_CODEGEN_GPU_MATH_H
#define ATTUNE_CODEGEN_GPU_MATH_H

#include "mlir/Pass/Pass.h"

#include <optional>
#include <string>

namespace attune::codegen {

/// Replaces functions of f32 by polynomials: those of the CPU (codegen/cpu/MathPolynomials.cpp,
/// with their bounds on errors). Nothing becomes a call: there is no library to link.
std::unique_ptr<mlir::Pass> createExpandDeviceMathPass();

/// Why device code cannot be made of what is below `op` (reference lowering, loops): the operator
/// and its type. Nothing if it can.
std::optional<std::string> findRefused(mlir::Operation *op);

} // namespace attune::codegen
#endif
