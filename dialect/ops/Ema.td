#ifndef ATTUNE_DIALECT_OPS_EMA_TD
#define ATTUNE_DIALECT_OPS_EMA_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_EmaOp : Attune_Op<"ema", [
    AttrSizedOperandSegments, Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_FormInterface, ["getForms"]>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "multi-dimensional damped moving average along a sequence (diagonal state space)";
  let description = [{
    Every channel `c` of `input [B,L,C]` drives n independent states:

        h_t[k] = decay[c,k] h_{t-1}[k] + input_weight[c,k] x_t[c]
        y_t[c] = sum_k output_weight[c,k] h_t[k] + skip[c] x_t[c]

    from `h = init_state` or 0. `bidirectional`: the coefficients are `[2C,n]`; the second half runs
    over the sequence from its end, and both sums are added. `truncation = T` leaves out what lies T or
    more steps back. `final_state` is h after the last step.

    | value (all floats) | shape |
    | --- | --- |
    | `input`, `result` | `[B,L,C]` |
    | `decay`, `input_weight`, `output_weight` | `[C,n]`, or `[2C,n]` if bidirectional |
    | `skip` | `[C]` |
    | `init_state`, `final_state` | `[B,C,n]` |

    Computed in f32 (f64 for f64 inputs) and cast once. Any extent but n may be dynamic; L may be 0.

    Errors: shapes or element types that contradict the table, n dynamic or < 1, constant `decay` beyond
    1 in magnitude, `bidirectional` or `truncation` with an initial or final state, `truncation` < 1.

    Source: Mega (ICLR 2023); S4D. Example:

    ```mlir
    %y = attune.ema ins(%x : tensor<1x?x512xf32>) coeffs(%a, %b, %c : tensor<512x16xf32>, tensor<512x16xf32>, tensor<512x16xf32>)
        skip(%w : tensor<512xf32>) -> tensor<1x?x512xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$input, AnyRankedTensor:$decay, AnyRankedTensor:$input_weight,
    AnyRankedTensor:$output_weight, Optional<AnyRankedTensor>:$skip,
    Optional<AnyRankedTensor>:$init_state,
    DefaultValuedAttr<BoolAttr, "false">:$bidirectional, OptionalAttr<I64Attr>:$truncation,
    DefaultValuedAttr<Attune_FormAttr, "::attune::Form::Auto">:$form);
  let results = (outs AnyRankedTensor:$result, Optional<AnyRankedTensor>:$final_state);
  let builders = [
    // One result of the input's type, forward, from zero.
    OpBuilder<(ins "::mlir::Value":$input, "::mlir::Value":$decay, "::mlir::Value":$input_weight,
                   "::mlir::Value":$output_weight, "::mlir::Value":$skip,
                   CArg<"bool", "false">:$bidirectional)>
  ];
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getInputType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getInput().getType());
    }
    ::mlir::FloatType getAccumType();
    /// States per channel, static by verification.
    int64_t getNumStates();
    /// Of a truncated average: the form that takes fewer multiply-adds, at any length.
    ::attune::Form getTruncatedForm();
  }];
  let assemblyFormat = [{
    `ins` `(` $input `:` type($input) `)`
    `coeffs` `(` $decay `,` $input_weight `,` $output_weight `:` type($decay) `,` type($input_weight) `,` type($output_weight) `)`
    (`skip` `(` $skip^ `:` type($skip) `)`)? (`init_state` `(` $init_state^ `:` type($init_state) `)`)?
    attr-dict `->` type($result) (`final_state` `(` type($final_state)^ `)`)?
  }];
  let hasVerifier = 1;
}

#endif
