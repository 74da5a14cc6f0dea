#ifndef ATTUNE_DIALECT_OPS_TOEPLITZ_TD
#define ATTUNE_DIALECT_OPS_TOEPLITZ_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_ToeplitzOp : Attune_Op<"toeplitz", [Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_FormInterface, ["getForms"]>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "product with a Toeplitz matrix along a sequence: long convolution";
  let description = [{
    `result[b,n,e] = sum_m c(n - m) input[b,m,e]` over all `m` where the coefficient exists:

    - `causal`: `c(t) = coeffs[t, e]` for `0 <= t < K`, 0 elsewhere; N = M;
    - `bidirectional`: `c(t) = coeffs[t + M - 1, e]` for `-M < t < N`.

    | value | shape |
    | --- | --- |
    | `coeffs` | `[K]` or `[K,E]`; bidirectional: K = N + M - 1, which gives N where it is dynamic |
    | `input`, `result` | `[B,M,E]`, `[B,N,E]` |

    Computed in f32 (f64 for f64 inputs) and cast once; the order of the sum follows `form` (`auto`,
    `quadratic`: the tiled direct product, `fft`). An FFT's error is relative to the largest value of
    the channel, so `auto` takes it only where the caller bounded the dynamic range. Any extent may be dynamic or 0.

    Errors: shapes that contradict the table, element types that are no floats.

    Source: "Stable, Fast and Accurate: Kernelized Attention with Relative Positional Encoding" (NeurIPS 2021).
    Example:

    ```mlir
    %y = attune.toeplitz ins(%c, %x : tensor<?x512xf32>, tensor<1x?x512xf32>) {direction = #attune.direction<causal>} -> tensor<1x?x512xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$coeffs, AnyRankedTensor:$input,
    DefaultValuedAttr<Attune_DirectionAttr, "::attune::Direction::Causal">:$direction,
    DefaultValuedAttr<Attune_FormAttr, "::attune::Form::Auto">:$form);
  let results = (outs AnyRankedTensor:$result);
  let extraClassDeclaration = [{
    bool isCausal() { return getDirection() == ::attune::Direction::Causal; }
    ::mlir::RankedTensorType getInputType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getInput().getType());
    }
    ::mlir::FloatType getAccumType();
    /// Whether every channel has its own coefficients.
    bool hasChannelCoeffs();
  }];
  let assemblyFormat = [{
    `ins` `(` $coeffs `,` $input `:` type($coeffs) `,` type($input) `)` attr-dict `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif
