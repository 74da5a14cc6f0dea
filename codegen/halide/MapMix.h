//===- MapMix.h - attune.map_mix as convolutions with explicit padding ------------------------===//
//
// The reference lowering tests at every tap whether it lies on the map; here the map is padded, so
// that stencils are visible as sums of loops in indexing maps.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_MAPMIX_H
#define ATTUNE_CODEGEN_HALIDE_MAPMIX_H

#include "mlir/IR/PatternMatch.h"

namespace attune::codegen::halide {

void populateMapMixPatterns(mlir::RewritePatternSet &patterns);

} // namespace attune::codegen::halide
#endif
