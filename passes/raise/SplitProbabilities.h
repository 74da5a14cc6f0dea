//===- SplitProbabilities.h - Weights that combine several softmaxes --------------------------===//
//
// `(P1 - f P2) V` is `P1 V - f (P2 V)`: differential attention, gated mixtures of maps. Apart, each
// product is an attention whose scores and probabilities never reach memory. Used by
// `--attune-raise-attention` before it looks for attention.
//
//   o = (softmax(s1) - f * softmax(s2)) v
//   becomes o1 = softmax(s1) v;  o2 = softmax(s2) v;  o = o1 - f * o2
//
// Parts of one softmax (an axis, or every second head, taken apart by constant indices) become one
// product with all of it, over the parts too.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_SPLITPROBABILITIES_H
#define ATTUNE_PASSES_RAISE_SPLITPROBABILITIES_H

#include "attune/passes/raise/Match.h"

namespace attune {

/// Replaces the result of the contraction if its operand `side` combines at least two softmaxes, or
/// parts of one, each times something that is the same for a row. Returns the new contractions;
/// none if it does not, and then nothing has changed.
llvm::SmallVector<mlir::Operation *> splitProbabilities(mlir::func::FuncOp func,
                                                        const Contraction &output, unsigned side);

} // namespace attune
#endif
