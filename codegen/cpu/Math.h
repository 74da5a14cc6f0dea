//===- Math.h - Polynomials for the functions of the math dialect -----------------------------===//
//
// Replaces what a CPU has no instruction for by branch-free polynomials on f32 scalars and vectors,
// so that no call into libm is left in a vector loop. Runs first in lowerToLLVM; emitters write
// plain `math.exp`.
//
// Largest error in ulp: top of MathPolynomials.cpp. Infinities, NaN, overflow
// and gradual underflow follow the C library. f64 keeps its calls into libm.
//
// Also expanded: `arith.maximumf` and friends to compare + select (NaN as the op defines it), and
// fused multiply-add to multiply + add where the target has none.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_MATH_H
#define ATTUNE_CODEGEN_CPU_MATH_H

#include "attune/codegen/cpu/Target.h"
#include "mlir/IR/PatternMatch.h"

#include <memory>

namespace mlir {
class Pass;
}

namespace attune::codegen {

/// Marks the scalar calls of sines that stay calls, for huge angles.
inline constexpr llvm::StringLiteral kLeftToLibm = "attune.libm";

void populateMathPolynomialPatterns(mlir::RewritePatternSet &patterns, const CpuTarget &target);
void populateExpandMathPatterns(mlir::RewritePatternSet &patterns, const CpuTarget &target);
std::unique_ptr<mlir::Pass> createExpandMathPass(const CpuTarget &target);

} // namespace attune::codegen
#endif
