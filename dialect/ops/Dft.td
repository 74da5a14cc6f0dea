#ifndef ATTUNE_DIALECT_OPS_DFT_TD
#define ATTUNE_DIALECT_OPS_DFT_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_DftOp : Attune_Op<"dft", [Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "discrete Fourier transform along one axis";
  let arguments = (ins AnyRankedTensor:$input, Index:$length, I64Attr:$axis,
    DefaultValuedAttr<BoolAttr, "false">:$inverse, DefaultValuedAttr<BoolAttr, "false">:$onesided);
  let results = (outs AnyRankedTensor:$result);
  let hasVerifier = 1;
}

#endif
