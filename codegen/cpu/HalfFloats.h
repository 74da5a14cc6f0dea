//===- HalfFloats.h - Conversions of f16 and bf16 ---------------------------------------------===//
//
// Integer code for `arith.extf` and `arith.truncf` between f32 and the 16-bit floats where the
// target has no instruction for them; LLVM would call compiler support functions, which nothing in
// an artifact defines. Rounds to nearest even; NaN stays NaN. Part of the math patterns (Math.h).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_HALFFLOATS_H
#define ATTUNE_CODEGEN_CPU_HALFFLOATS_H

#include "attune/codegen/cpu/Target.h"
#include "mlir/IR/PatternMatch.h"

namespace attune::codegen {

void populateExpandHalfFloatPatterns(mlir::RewritePatternSet &patterns, const CpuTarget &target);

} // namespace attune::codegen
#endif
