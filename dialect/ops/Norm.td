#ifndef ATTUNE_DIALECT_OPS_NORM_TD
#define ATTUNE_DIALECT_OPS_NORM_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_NormOp : Attune_Op<"norm", [
    AttrSizedOperandSegments, AttrSizedResultSegments, Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "layer, RMS or group normalisation";
  let arguments = (ins AnyRankedTensor:$input, Optional<AnyRankedTensor>:$scale,
    Optional<AnyRankedTensor>:$bias, Attune_NormKindAttr:$kind, I64Attr:$axis,
    DefaultValuedAttr<I64Attr, "1">:$groups, F64Attr:$eps);
  let results = (outs AnyRankedTensor:$result, Optional<AnyRankedTensor>:$mean,
                      Optional<AnyRankedTensor>:$inv_std);
  let hasVerifier = 1;
}

#endif
