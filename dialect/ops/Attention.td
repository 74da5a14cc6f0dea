#ifndef ATTUNE_DIALECT_OPS_ATTENTION_TD
#define ATTUNE_DIALECT_OPS_ATTENTION_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_AttentionOp : Attune_Op<"attention", [
    AttrSizedOperandSegments, AttrSizedResultSegments, Pure, IsolatedFromAbove,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "attention with a score region, a mask region and a choice of normalisation";
  let arguments = (ins
    Optional<AnyRankedTensor>:$query, Optional<AnyRankedTensor>:$key, AnyRankedTensor:$value,
    Optional<AnyFloat>:$scale, Optional<AnyRankedTensor>:$scores, Optional<AnyRankedTensor>:$sink,
    Optional<AnyRankedTensor>:$q_offset, Optional<AnyRankedTensor>:$kv_len,
    Optional<AnyRankedTensor>:$block_index, Variadic<AnyType>:$captures,
    DefaultValuedAttr<Attune_WeightingAttr, "::attune::Weighting::Softmax">:$weighting,
    OptionalAttr<F64Attr>:$eps,
    DefaultValuedAttr<Attune_EpsModeAttr, "::attune::EpsMode::Add">:$eps_mode,
    DefaultValuedAttr<Attune_EmptyRowAttr, "::attune::EmptyRow::Zero">:$empty_row,
    OptionalAttr<TypeAttr>:$accum, OptionalAttr<TypeAttr>:$softmax_type);
  let results = (outs AnyRankedTensor:$result, Optional<AnyRankedTensor>:$lse,
                      Optional<AnyRankedTensor>:$logits);
  let regions = (region AnyRegion:$score, AnyRegion:$mask);
  let hasVerifier = 1;
}

#endif
