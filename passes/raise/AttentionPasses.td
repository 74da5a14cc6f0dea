#ifndef ATTUNE_PASSES_RAISE_ATTENTIONPASSES_TD
#define ATTUNE_PASSES_RAISE_ATTENTIONPASSES_TD
include "mlir/Pass/PassBase.td"

def RaiseAttention : Pass<"attune-raise-attention", "::mlir::func::FuncOp"> {
  let summary = "Raise attention to attune.attention.";
  let description = [{
    Finds a contraction of queries and keys, a softmax over the keys and a contraction with the
    values, whatever stands between them: scalar factors on scores, queries or keys, additive bias,
    masks as choices or as 0 / -inf terms, soft caps, a sink column, a guard against rows of NaN,
    transposes and reshapes, keys and values repeated for groups of heads. Matching is on the scalar
    that each tensor element is, never on names or on one exporter's sequence of operators.
    Where the scores come from elsewhere (a table, a mix of maps), they are the operand `scores`.

    Without a softmax, the weights may be any function of single scores and positions (relu squared,
    laplace, sigmoid; `weighting = none`), also divided by their sum, with or without something
    positive that is added to it or keeps it from 0 (`sum`; before or after the contraction with the
    values). With `e = exp(x - t)` and the row's maximum t, `e / sum e` is a softmax and an exponential
    beside the sum its sink: `e / (sum e + exp(-t))` has a sink of 0. Weights that are a multiple of the
    scores were offered to linear attention before; they become attention if the factor varies
    with query and key (a decay that depends on data). Keys or values that are learned matrices make it
    a layer, not attention. What makes a weight 0 whatever the score is becomes the mask: there, a
    result that would be NaN (infinity times 0) is 0.

    Weights that combine several softmaxes, or parts of one, are taken apart first: of
    `(P1 - f P2) V` (differential attention), each is an attention, and the results are combined:

    ```mlir
    %p = linalg.generic ins(%p1, %p2) { subf(%a, mulf(%f, %b)) }      // [B,H,N,M]
    %o = linalg.generic ins(%p, %v) outs(%zero) { contraction over M }
    // becomes
    %o1 = linalg.generic ins(%p1, %v) outs(%zero) { contraction over M }
    %o2 = linalg.generic ins(%p2, %v) outs(%zero) { contraction over M }
    %o = linalg.generic ins(%o1, %o2) { addf(mulf(%a, 1), mulf(%b, -f)) }
    ```

    Factors of a softmax's probabilities that are the same for a row scale the result, those of a key
    the values. Any other map of single probabilities (`score_mod` and `prob_mod` of FlexAttention both
    come here) takes two attentions: one without values for the logarithm of each row's sum, `lse`, and
    one whose weights are `map(exp(x - lse))`; where scores may be large, as finite masks are, one more
    in between sums again relative to `lse`, which rounds away what many equal ones add.

    Needs contractions on zero-filled inits and `linalg.softmax`. Guarantees the same results up to
    rounding: -inf masks become the mask region with `empty_row = nan`, or `zero` behind the guard;
    finite masks stay in the score region unless every row keeps a key by position. With the guard,
    rows that are NaN because their inputs are become NaN instead of 0.

    Constant masks of attention, raised or imported, become bounds of positions: a table of
    [queries, keys] (repeated over heads and batches) read in a conjunction of the mask region, or
    added to the scores of a softmax with -inf, or with finite values far below all scores if every
    row keeps a key. If distance, block, key and row bounds are all that the table says, they replace
    the read (`tensor.extract %triangle[%c0, %c0, %n, %m]` becomes `arith.cmpi sle, %j, %i`); else
    they are required beside it if they leave out an eighth of the table.

    Before, with `%bias` = select(%keep, 0, -inf) of shape [B,1,1,M] and element-wise generics
    written as expressions:
    ```mlir
    %s = linalg.contract indexing_maps = [q, k, s] ins(%q, %k) outs(%zero)
    %x = %s * 0.125 + %bias
    %p = linalg.softmax dimension(3) ins(%x) outs(%e)
    %o = linalg.contract indexing_maps = [p, v, o] ins(%p, %v) outs(%zero)
    ```
    After:
    ```mlir
    %o = attune.attention ins(%q, %k, %v) scale(%c) captures(%keep) {empty_row = nan} mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index, %n: index, %m: index, %keep: tensor<?x?xi1>):
      %p = tensor.extract %keep[%b, %j]
      attune.yield %p
    }
    ```
    Remarks of category `attune-raise`: `AttnRaised`, and `AttnNotRaised` with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "Attentions raised">,
    Statistic<"numRefused", "refused", "Attentions recognised but not raised">
  ];
}

def RaiseMapMix : Pass<"attune-raise-map-mix", "::mlir::func::FuncOp"> {
  let summary = "Raise mixing of attention maps to attune.map_mix and attention on scores.";
  let description = [{
    Starts at a softmax over maps `[B,H,N,M]` and follows its operand back through masks, blends and
    stages: convolutions over (N, M) with the maps as channels and "same" padding, products with a
    matrix over the map axis, biases, ReLU or LeakyReLU. The chain becomes one `attune.map_mix`;
    masks that stand behind it stay where they are, for `attune-raise-attention`. Probabilities that
    are mixed before they are multiplied with the values (talking heads) become another one.

    ```mlir
    // before: softmax(0.3 * leaky_relu(conv3x3(0.5 * s + 0.5 * previous)) + 0.7 * (...)) . v
    // after
    %m = attune.map_mix ins(%s) previous(%p) weights(%w) biases(%b) {alpha = 0.3, beta = 0.5, ...}
    %t = linalg.softmax dimension(3) ins(%m)
    ```

    A chain of which some step is not understood is left alone with a remark that says which.
  }];
  let statistics = [Statistic<"numRaised", "raised", "map mixes raised">];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

#endif
