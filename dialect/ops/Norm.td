#ifndef ATTUNE_DIALECT_OPS_NORM_TD
#define ATTUNE_DIALECT_OPS_NORM_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_NormOp : Attune_Op<"norm", [
    AttrSizedOperandSegments, AttrSizedResultSegments, Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_RowsInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "layer, RMS or group normalisation";
  let description = [{
    `result = (input - mean) * inv_std * scale + bias`, with
    `inv_std = 1 / sqrt(mean((input - mean)^2) + eps)`; `scale` is 1 and `bias` 0 when absent.

    - `layer`: statistics over the axes `[axis, rank)`;
    - `rms`: the same with `mean` = 0;
    - `group`: input `[N, C, spatial...]`, `axis` = 1; statistics per `n` and group over C / groups
      channels and all spatial axes. `groups` = C is instance normalisation.

    | value | shape |
    | --- | --- |
    | `input`, `result` | any, at least `axis` + 1 axes |
    | `scale`, `bias` | layer, rms: broadcast to the input, aligned at the last axis, an extent of 1 repeats; group: `[C]` |
    | `mean` (layer), `inv_std` (layer, rms) | the input's, with extent 1 on `[axis, rank)` |

    All elements are floats. Everything is computed in f32 (f64 if the input is f64) and cast once.
    The mean of no elements is NaN.

    Errors: an axis out of range, a scale or bias that does not broadcast, groups that do not divide
    C, results that the kind does not define.

    Source: ONNX LayerNormalization-17, RMSNormalization-23, GroupNormalization-21,
    InstanceNormalization-22. Example:

    ```mlir
    %y = attune.norm ins(%x : tensor<?x384xf32>) scale(%g : tensor<384xf32>) bias(%b : tensor<384xf32>)
        {axis = 1 : i64, eps = 1.0e-12 : f64, kind = #attune.norm_kind<layer>} -> tensor<?x384xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$input, Optional<AnyRankedTensor>:$scale,
    Optional<AnyRankedTensor>:$bias, Attune_NormKindAttr:$kind, I64Attr:$axis,
    DefaultValuedAttr<I64Attr, "1">:$groups, F64Attr:$eps);
  let results = (outs AnyRankedTensor:$result, Optional<AnyRankedTensor>:$mean,
                      Optional<AnyRankedTensor>:$inv_std);
  let builders = [
    // One result, of the input's type.
    OpBuilder<(ins "::mlir::Value":$input, "::mlir::Value":$scale, "::mlir::Value":$bias,
                   "::attune::NormKind":$kind, "int64_t":$axis, "double":$eps,
                   CArg<"int64_t", "1">:$groups)>
  ];
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getInputType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getInput().getType());
    }
    /// Type of the statistics and of the whole computation.
    ::mlir::FloatType getAccumType();
  }];
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)` (`scale` `(` $scale^ `:` type($scale) `)`)?
    (`bias` `(` $bias^ `:` type($bias) `)`)? attr-dict `->` type($result)
    (`mean` `(` type($mean)^ `)`)? (`inv_std` `(` type($inv_std)^ `)`)?
  }];
  let hasVerifier = 1;
}

#endif
