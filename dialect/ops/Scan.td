#ifndef ATTUNE_DIALECT_OPS_SCAN_TD
#define ATTUNE_DIALECT_OPS_SCAN_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_ScanOp : Attune_Op<"scan", [Pure, SameOperandsAndResultType,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "cumulative sum or product along one axis";
  let arguments = (ins AnyRankedTensor:$input, Attune_ScanKindAttr:$kind, I64Attr:$axis,
    DefaultValuedAttr<BoolAttr, "false">:$exclusive, DefaultValuedAttr<BoolAttr, "false">:$reverse);
  let results = (outs AnyRankedTensor:$result);
  let hasVerifier = 1;
}

#endif
