#ifndef ATTUNE_DIALECT_OPS_SCAN_TD
#define ATTUNE_DIALECT_OPS_SCAN_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_ScanOp : Attune_Op<"scan", [Pure, SameOperandsAndResultType,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_RowsInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "cumulative sum or product along one axis";
  let description = [{
    `result[.., t, ..]` combines `input[.., s, ..]` for all `s <= t` by addition (`sum`) or
    multiplication (`prod`); `exclusive` means `s < t` (the first element is then 0 or 1); `reverse`
    runs from the other end (`s >= t`, or `s > t`).

    Input and result have the same type: floats or integers of any shape with at least one axis.
    f16 and bf16 accumulate in f32; integers wrap around.

    Errors: an axis that is not in `[0, rank)`, elements that are neither integers nor floats.

    Source: ONNX CumSum-14. Example:

    ```mlir
    %y = attune.scan %x {axis = 1 : i64, kind = #attune.scan_kind<sum>, reverse = true} : tensor<2x?xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$input, Attune_ScanKindAttr:$kind, I64Attr:$axis,
    DefaultValuedAttr<BoolAttr, "false">:$exclusive, DefaultValuedAttr<BoolAttr, "false">:$reverse);
  let results = (outs AnyRankedTensor:$result);
  let builders = [
    OpBuilder<(ins "::mlir::Value":$input, "::attune::ScanKind":$kind, "int64_t":$axis,
                   CArg<"bool", "false">:$exclusive, CArg<"bool", "false">:$reverse), [{
      build($_builder, $_state, input.getType(), input, kind, axis, exclusive, reverse);
    }]>
  ];
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getInputType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getInput().getType());
    }
  }];
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasVerifier = 1;
}

#endif
