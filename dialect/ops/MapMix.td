#ifndef ATTUNE_DIALECT_OPS_MAPMIX_TD
#define ATTUNE_DIALECT_OPS_MAPMIX_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_MapMixOp : Attune_Op<"map_mix", [
    AttrSizedOperandSegments, Pure,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "mixing of attention maps across heads and neighbouring positions";
  let description = [{
    Maps are unmasked logits `[B,G,N,M]`. `x = (1 - beta) maps + beta previous` (`maps` alone without
    `previous`), then `result = alpha * f(x) + (1 - alpha) * x`, where `f` is a chain of stages. Stage s
    is a convolution over (N, M) with the maps as channels, zero padding "same", and an activation:

        t_s[o,n,m] = act_s(bias_s[o] + sum_{c,p,q} weight_s[o,c,p,q] t_{s-1}[first(o) + c, n + (p - P/2) d, m + (q - Q/2) d])

    with `groups_s` groups of channels and dilation `d = dilations_s`. A 1x1 stage mixes heads only.
    `act_s` is `none`, `relu` or `leaky_relu` with slope `slopes_s`.

    | value | shape |
    | --- | --- |
    | `maps`, `previous` | `[B,G,N,M]` |
    | `weights` (one per stage) | `[O, I / groups, P, Q]`, P and Q odd and static |
    | `biases` (one per stage) | `[O]` |
    | `result` | `[B,O,N,M]`, O of the last stage; O = G unless alpha = 1 |

    Computed in f32 (f64 for f64 maps) and cast once.

    Errors: shapes or element types (floats) that contradict the table, no stage, lists of another length,
    groups or dilations < 1, groups that do not divide, slopes without leaky_relu, alpha or beta outside [0, 1],
    beta without `previous`. The caller gives unmasked maps: -inf times a weight poisons the neighbourhood.

    Source: "Evolving Attention with Residual Convolutions" (ICML 2021), EIT (arXiv 2212.10197), talking heads
    (arXiv 2003.02436). Example:

    ```mlir
    %m = attune.map_mix ins(%s : tensor<1x8x?x?xf32>) previous(%p : tensor<1x8x?x?xf32>)
        weights(%w : tensor<8x8x3x3xf32>) biases(%b : tensor<8xf32>)
        {alpha = 0.3 : f64, beta = 0.5 : f64, groups = array<i64: 1>, dilations = array<i64: 1>,
         acts = [#attune.map_act<leaky_relu>], slopes = array<f64: 0.01>} -> tensor<1x8x?x?xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$maps, Optional<AnyRankedTensor>:$previous,
    Variadic<AnyRankedTensor>:$weights, Variadic<AnyRankedTensor>:$biases,
    DefaultValuedAttr<F64Attr, "1.0">:$alpha, DefaultValuedAttr<F64Attr, "0.0">:$beta,
    DenseI64ArrayAttr:$groups, DenseI64ArrayAttr:$dilations,
    TypedArrayAttrBase<Attune_MapActAttr, "activations">:$acts, DenseF64ArrayAttr:$slopes);
  let results = (outs AnyRankedTensor:$result);
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getMapsType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getMaps().getType());
    }
    ::mlir::FloatType getAccumType();
    int64_t getNumStages() { return getWeights().size(); }
    /// Activation of a stage.
    ::attune::MapAct getAct(int64_t stage);
    /// Positions on either side that the whole chain reads along N and M.
    std::pair<int64_t, int64_t> getHalo();
  }];
  let assemblyFormat = [{
    `ins` `(` $maps `:` type($maps) `)` (`previous` `(` $previous^ `:` type($previous) `)`)?
    `weights` `(` $weights `:` type($weights) `)` `biases` `(` $biases `:` type($biases) `)`
    attr-dict `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif
