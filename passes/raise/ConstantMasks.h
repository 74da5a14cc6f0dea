//===- ConstantMasks.h - Constant masks of attention as bounds of positions -------------------===//
//
// Attention reads a constant mask [.., queries, keys] element by element, and computes all keys.
// Where the mask is a band, blocks along the diagonal, padding or a conjunction of those, its reads
// become comparisons of positions, of which kernels know what blocks of keys they leave out. Where
// it is not, but has nothing outside of such bounds, they are required beside it.
//
//   mask { %p = tensor.extract %triangle[%c0, %c0, %n, %m]  ->  mask { %p = cmpi sle, %j, %i
//
// Masks are the conjunction of flags in the mask region and, of a softmax, tables added to the
// score: -inf hides a key, and so does what is far below all scores if every row keeps a key.
// Masks that differ between heads or batches are left alone. Used by `--attune-raise-attention`, on
// attention that was raised and on what the importer made.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_CONSTANTMASKS_H
#define ATTUNE_PASSES_RAISE_CONSTANTMASKS_H

#include "attune/dialect/Attune.h"

namespace attune {

void boundConstantMasks(AttentionOp op);

} // namespace attune
#endif
