#ifndef ATTUNE_DIALECT_OPS_ATTENTION_TD
#define ATTUNE_DIALECT_OPS_ATTENTION_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_AttentionOp : Attune_Op<"attention", [
    AttrSizedOperandSegments, AttrSizedResultSegments, Pure, IsolatedFromAbove,
    SingleBlock,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_StateInterface>,
    DeclareOpInterfaceMethods<Attune_RowsInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<Attune_SearchInterface, ["getSearchKnobs"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "attention with a score region, a mask region and a choice of weighting";
  let description = [{
    For batch `b`, query head `h` and query `n`, `result[b,h,n,:] = sum_m w(n,m) value[b,hk,m,:]`,
    where `hk = h div (H / Hk)` (grouped queries) and the weights follow, in this order, from

    1. `x = scale * dot(query[b,h,n,:], key[b,hk,m,:])`, plus `scores[b,h,n,m]` when given
       (`x = scores` alone without query and key; `scale` is 1 when absent);
    2. `x = score(x, b, h, i, j, n, m, captures...)`, where `i = q_offset[b] + n` (0 when absent)
       and `j = m` are absolute positions; `logits` is this `x`;
    3. `allowed = mask(b, h, i, j, n, m, captures...) and m < kv_len[b]`;
    4. the weighting:
       - `softmax`: `w = exp(x - t) / (sum exp(x - t) + exp(sink[h] - t))` over allowed keys, with
         `t` the greatest allowed `x` (or sink); `lse = t + log(denominator)`. A row whose `t` is
         -inf (no allowed key, or only scores of -inf, and no sink) is empty: its result is given by
         `empty_row`, its `lse` is -inf;
       - `none`: `w = x`, 0 where not allowed;
       - `sum`: as `none`, divided by `sum w + eps` (`eps_mode = add`) or `max(sum w, eps)` (`clamp`);
       - `count`: as `none`, divided by the number of allowed keys, at least 1.

    An empty region means the identity (score) or no mask (mask). Regions are pure, isolated from
    above but for `captures`, and use only `arith`, `math`, `index`, `affine.apply`,
    `tensor.extract` and `tensor.dim`.

    | value | shape | type |
    | --- | --- | --- |
    | `query`, `key`, `value` | `[B,H,N,D]`, `[B,Hk,M,D]`, `[B,Hk,M,E]`, Hk divides H | floats |
    | `scores`, `logits` | `[B,H,N,M]` | floats |
    | `sink` | `[H]` | float |
    | `q_offset`, `kv_len` | `[B]` or `[1]` | integer or index |
    | `block_index` | `[H,P,R]`: the R key blocks which query block p of P may see | integer or index |
    | `result`, `lse` | `[B,H,N,E]`, `[B,H,N]` | floats |

    `accum` is the type of the score region, of both contractions and of the quotient (f32, or f64
    for f64 inputs); `softmax_type` that of exponentials and their sum (as `accum`); results are cast
    once. Any extent may be dynamic or 0. Keys and values at or beyond `kv_len` are never used,
    whatever they hold; a NaN in another disallowed value may or may not reach the row.

    Errors: everything above that the types or attributes contradict. `block_index` is verified,
    but has no reference lowering yet.

    Source: "Attention Is All You Need" (NeurIPS 2017); regions as in FlexAttention; ONNX Attention-23
    to 25. Example (causal, soft-capped):

    ```mlir
    %o, %lse = attune.attention ins(%q, %k, %v : tensor<1x8x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>)
        scale(%c : f32) -> tensor<1x8x?x64xf32> lse(tensor<1x8x?xf32>)
      score {
      ^bb0(%x: f32, %b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
        %cap = arith.constant 30.0 : f32
        %r = arith.divf %x, %cap : f32
        %t = math.tanh %r : f32
        %y = arith.mulf %t, %cap : f32
        attune.yield %y : f32
      } mask {
      ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index):
        %p = arith.cmpi sle, %j, %i : index
        attune.yield %p : i1
      }
    ```
  }];
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
  let builders = [
    // Softmax attention with empty regions; further operands by the `...Mutable` accessors.
    OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$query, "::mlir::Value":$key,
                   "::mlir::Value":$value, "::mlir::Value":$scale,
                   CArg<"::mlir::ValueRange", "{}">:$captures)>
  ];
  let extraClassDeclaration = [{
    /// The arguments of a region's block, by name. `score` is null for the mask.
    struct RegionArgs {
      ::mlir::Value score, b, h, i, j, n, m;
      ::mlir::Block::BlockArgListType captures;
    };

    bool hasScore() { return !getScore().empty(); }
    bool hasMask() { return !getMask().empty(); }
    /// Gives an empty region its block with the right arguments. The caller fills it and ends it
    /// with `attune.yield`. Add captures before.
    RegionArgs addScore(::mlir::OpBuilder &builder);
    RegionArgs addMask(::mlir::OpBuilder &builder);
    /// Arguments of regions that are not empty.
    RegionArgs getScoreArgs();
    RegionArgs getMaskArgs();
    /// What the region yields.
    ::mlir::Value getScoreValue();
    ::mlir::Value getMaskValue();

    /// Types of accumulation and of the softmax, defaults applied.
    ::mlir::FloatType getAccumType();
    ::mlir::FloatType getWeightType();

    /// Static extents, `ShapedType::kDynamic` where unknown.
    int64_t getBatch() { return getResultExtent(0); }
    int64_t getNumHeads() { return getResultExtent(1); }
    int64_t getNumQueries() { return getResultExtent(2); }
    int64_t getValueDim() { return getResultExtent(3); }
    int64_t getNumKVHeads() { return getValueExtent(1); }
    int64_t getNumKeys() { return getValueExtent(2); }
    /// Head size of query and key; 0 without them.
    int64_t getKeyDim();
    /// Query heads per key head, if static.
    std::optional<int64_t> getGroupSize();

  private:
    int64_t getResultExtent(int64_t dim);
    int64_t getValueExtent(int64_t dim);
  public:
  }];
  let assemblyFormat = [{
    `ins` `(` custom<AttentionInputs>($query, type($query), $key, type($key), $value, type($value)) `)`
    (`scale` `(` $scale^ `:` type($scale) `)`)?
    (`scores` `(` $scores^ `:` type($scores) `)`)?
    (`sink` `(` $sink^ `:` type($sink) `)`)?
    (`q_offset` `(` $q_offset^ `:` type($q_offset) `)`)?
    (`kv_len` `(` $kv_len^ `:` type($kv_len) `)`)?
    (`block_index` `(` $block_index^ `:` type($block_index) `)`)?
    (`captures` `(` $captures^ `:` type($captures) `)`)?
    attr-dict `->` type($result) (`lse` `(` type($lse)^ `)`)? (`logits` `(` type($logits)^ `)`)?
    (`score` $score^)? (`mask` $mask^)?
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

#endif
