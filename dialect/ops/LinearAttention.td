#ifndef ATTUNE_DIALECT_OPS_LINEARATTENTION_TD
#define ATTUNE_DIALECT_OPS_LINEARATTENTION_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_LinearAttentionOp : Attune_Op<"linear_attention", [
    AttrSizedOperandSegments, AttrSizedResultSegments, Pure, IsolatedFromAbove,
    SingleBlock,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_FormInterface, ["getForms", "choosesAtRunTime", "getRunTimePrices"]>,
    DeclareOpInterfaceMethods<Attune_RowsInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "attention whose weights are products of features, gates and positions";
  let description = [{
    With features `u_i = phi_q(query_i)`, `y_j = phi_k(key_j) * key_mask_j` (scalar maps, identity when
    the region is empty), query `i` weighs key `j` by

        w(i,j) = (u_i . y_j) * P(i,j) * T(i,j) * G(i,j) * C(i,j)

    - `P = sum_r query_pos[r,i] key_pos[r,j]`, 1 without position tables;
    - `T = toeplitz[j - i + N - 1]`, 1 without coefficients;
    - `G = prod_{t = j+1..i} exp(decay_t)`, per head or per feature (inside the dot product), 1
      without decay;
    - `C`: 1 for `j <= i`, else 0, if `direction = causal`; 1 if `bidirectional`.

    `result_i = sum_j w(i,j) value_j / d_i`, where `d_i` follows from `norm`: 1 (`none`), the weights'
    sum guarded by `eps` (`sum`: plus `eps`, or at least `eps`, by `eps_mode`; absent: 0), or the number
    of visible keys (`count`: i + 1, or M). With `den = plain` that sum leaves out gates and momentum.

    `update` names the recurrence of a causal op, with S [F, E] and Z [F] starting at `init_state`,
    `init_norm` or 0, and `u_i S_i` read after the update of step i:

    | update | S_t |
    | --- | --- |
    | `sum` | `S + y v^T` |
    | `gated` | `exp(g) S + y v^T` |
    | `delta` | `S + beta y (v - S^T y)^T` |
    | `gated_delta` | `S' = exp(g) S`, then the delta step on S' |
    | `momentum` | `P' = mu P - step y v^T`, `S - P'`; weight `step (1 - mu^(i-j+1)) / (1 - mu)` |
    | `adaptive_momentum` | as `momentum`, `mu_t = clamp((1 - sqrt(step \|U_t - U_{t-1}\| / \|P_{t-1}\|))^2, 0, 0.9999)` for t >= 1 with `U_t = y_t v_t^T` and Frobenius norms; first step `P = -U_0` |

    `state`, a scalar map, is applied to every element of `S = sum_j y_j v_j^T` before it is read
    (bidirectional only). `final_state`, `final_norm` are S and Z after the last step (causal only; not
    with momentum, whose P no result carries). Where both norms of `mu_t` are 0 it is NaN.
    `form` says how it is computed, where that form exists; with `auto`, `form_prices` choose among its
    forms by the sizes of each call.

    | value | shape |
    | --- | --- |
    | `query`, `key`, `value` | `[B,H,N,D]`, `[B,Hk,M,D]`, `[B,Hk,M,E]`, Hk divides H; causal: N = M |
    | `query_pos`, `key_pos` | `[R,N]`, `[R,M]`: feature dim F = R D, position-major (r, d); without: F = D |
    | `toeplitz` | `[N+M-1]` or `[H,N+M-1]`; 0 if N = M = 0 |
    | `decay` | `[B,Hk,M]` or `[B,Hk,M,D]`, logarithms |
    | `beta` | `[B,Hk,M]` |
    | `mu` (`momentum`), `step` (both momentum updates) | float scalars |
    | `key_mask` | `[B,M]`, floats |
    | `init_state`, `final_state` | `[B,Hk,F,E]` |
    | `init_norm`, `final_norm` | `[B,Hk,F]` |
    | `result` | `[B,H,N,E]` |

    Everything is computed in `accum` (f32, or f64 for f64 inputs) and cast once. Any extent may be
    dynamic or 0.

    Errors: shapes or element types that contradict the table, `accum` that is no float type, one
    position table alone; an update other than `sum` without `direction = causal`; `decay`, `beta`,
    `mu`, `step` missing for their updates or given with others; `toeplitz` with another update than
    `sum`; position tables with gates per feature or a delta update; `norm = softmax`, `norm = sum` with a
    delta update; `eps`, `eps_mode`, `den`, `init_norm`, `final_norm` without `norm = sum`, `eps` < 0,
    `eps_mode = clamp` without `eps`; an initial or final state without `direction = causal`, with
    `toeplitz` or with momentum; a `state` region with `direction = causal` or `toeplitz`; regions that
    do not map one scalar of type `accum` to one, by `arith` and `math` alone.

    Source: "Transformers are RNNs" (ICML 2020), cosFormer (ICLR 2022), Momentum Transformer (MSML 2022), ONNX
    LinearAttention-27. Example:

    ```mlir
    %o = attune.linear_attention ins(%q, %k, %v : tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>)
        {direction = #attune.direction<causal>, norm = #attune.weighting<sum>, eps = 1.0e-6 : f64} -> tensor<1x8x?x64xf32>
      phi_q {
      ^bb0(%x: f32):
        %zero = arith.constant 0.0 : f32
        %y = arith.maximumf %x, %zero : f32
        attune.yield %y : f32
      } phi_k {
      ^bb0(%x: f32):
        %zero = arith.constant 0.0 : f32
        %y = arith.maximumf %x, %zero : f32
        attune.yield %y : f32
      }
    ```
  }];
  let arguments = (ins AnyRankedTensor:$query, AnyRankedTensor:$key, AnyRankedTensor:$value,
    Optional<AnyRankedTensor>:$query_pos, Optional<AnyRankedTensor>:$key_pos,
    Optional<AnyRankedTensor>:$toeplitz, Optional<AnyRankedTensor>:$decay,
    Optional<AnyRankedTensor>:$beta, Optional<AnyFloat>:$mu, Optional<AnyFloat>:$step,
    Optional<AnyRankedTensor>:$key_mask, Optional<AnyRankedTensor>:$init_state,
    Optional<AnyRankedTensor>:$init_norm,
    DefaultValuedAttr<Attune_DirectionAttr, "::attune::Direction::Causal">:$direction,
    DefaultValuedAttr<Attune_UpdateAttr, "::attune::Update::Sum">:$update,
    DefaultValuedAttr<Attune_WeightingAttr, "::attune::Weighting::None">:$norm,
    OptionalAttr<F64Attr>:$eps,
    DefaultValuedAttr<Attune_EpsModeAttr, "::attune::EpsMode::Add">:$eps_mode,
    DefaultValuedAttr<Attune_DenominatorAttr, "::attune::Denominator::Weighted">:$den,
    DefaultValuedAttr<Attune_FormAttr, "::attune::Form::Auto">:$form,
    OptionalAttr<Attune_FormPricesAttr>:$form_prices, OptionalAttr<TypeAttr>:$accum);
  let results = (outs AnyRankedTensor:$result, Optional<AnyRankedTensor>:$final_state,
                      Optional<AnyRankedTensor>:$final_norm);
  let regions = (region AnyRegion:$phi_q, AnyRegion:$phi_k, AnyRegion:$state);
  let builders = [
    // One result, empty regions; further operands by the `...Mutable` accessors.
    OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$query, "::mlir::Value":$key,
                   "::mlir::Value":$value, "::attune::Direction":$direction)>
  ];
  let extraClassDeclaration = [{
    bool isCausal() { return getDirection() == ::attune::Direction::Causal; }
    bool hasGate() { return getUpdate() == Update::Gated || getUpdate() == Update::GatedDelta; }
    bool hasDelta() { return getUpdate() == Update::Delta || getUpdate() == Update::GatedDelta; }
    bool hasMomentum() {
      return getUpdate() == Update::Momentum || getUpdate() == Update::AdaptiveMomentum;
    }
    /// Whether gates differ per feature.
    bool hasFeatureGates();
    /// The type in which everything is computed.
    ::mlir::FloatType getAccumType();
    /// Gives an empty region its block with one argument of the accumulation type. The caller fills
    /// it and ends it with `attune.yield`.
    ::mlir::Value addMap(::mlir::OpBuilder &builder, ::mlir::Region &region);
    /// Static extents, `ShapedType::kDynamic` where unknown.
    int64_t getKeyDim();
    int64_t getValueDim();
    /// R, 1 without position tables.
    int64_t getNumPositionTerms();
  }];
  let assemblyFormat = [{
    `ins` `(` $query `,` $key `,` $value `:` type($query) `,` type($key) `,` type($value) `)`
    (`pos` `(` $query_pos^ `,` $key_pos `:` type($query_pos) `,` type($key_pos) `)`)?
    (`toeplitz` `(` $toeplitz^ `:` type($toeplitz) `)`)?
    (`decay` `(` $decay^ `:` type($decay) `)`)?
    (`beta` `(` $beta^ `:` type($beta) `)`)?
    (`momentum` `(` custom<Momentum>($mu, type($mu), $step, type($step))^ `)`)?
    (`key_mask` `(` $key_mask^ `:` type($key_mask) `)`)?
    (`init_state` `(` $init_state^ `:` type($init_state) `)`)?
    (`init_norm` `(` $init_norm^ `:` type($init_norm) `)`)?
    attr-dict `->` type($result) (`final_state` `(` type($final_state)^ `)`)?
    (`final_norm` `(` type($final_norm)^ `)`)?
    (`phi_q` $phi_q^)? (`phi_k` $phi_k^)? (`state` $state^)?
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

#endif
