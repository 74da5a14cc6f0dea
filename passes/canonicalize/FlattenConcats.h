//===- FlattenConcats.h - Concatenations of concatenations along one axis ---------------------===//
//
// A tensor that is assembled part by part (assignments to slices, caches that grow) is a chain of
// concatenations of slices of concatenations, which doubles where it is computed element by
// element.
//
//   concat(slice(concat(a, b, c) up to b), d)  ->  concat(a, b, d)
//   slice(concat(a, b, c) inside b)            ->  slice(b)
//
// Only where the extents of the inputs along the axis are known.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_CANONICALIZE_FLATTENCONCATS_H
#define ATTUNE_PASSES_CANONICALIZE_FLATTENCONCATS_H

#include "mlir/IR/PatternMatch.h"

namespace attune {

void populateFlattenConcats(mlir::RewritePatternSet &patterns);

} // namespace attune
#endif
