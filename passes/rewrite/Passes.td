#ifndef ATTUNE_PASSES_REWRITE_PASSES_TD
#define ATTUNE_PASSES_REWRITE_PASSES_TD
include "mlir/Pass/PassBase.td"

def ChooseForms : Pass<"attune-choose-forms", "::mlir::func::FuncOp"> {
  let summary = "Choose how each operator with several forms is computed.";
  let description = [{
    Works on operators with `FormOpInterface`. `form` forces that form wherever it is legal; elsewhere
    the remark `FormNotForced` of category `attune-rewrite` says so. Otherwise, where the cost model is
    at hand, it chooses the cheapest form: here where all sizes are static, else at run time: the
    operator keeps `auto` and gets the prices of its forms as polynomials of the sizes that are not
    known. An operator that cannot choose at run time is priced at nominal sizes. Transforms (`fft`)
    are less exact and never chosen without being asked for. The remark `FormChosen` lists the
    alternatives with their prices and, where the choice is made at run time, the number of positions
    from which on each form is the cheapest.

    Before, with `form=chunked`:
    ```mlir
    %o = attune.linear_attention ins(%q, %k, %v : ...) -> tensor<1x8x?x64xf32>
    ```
    After:
    ```mlir
    %o = attune.linear_attention ins(%q, %k, %v : ...) {form = #attune.form<chunked>} -> tensor<1x8x?x64xf32>
    ```
  }];
  let options = [
    Option<"form", "form", "std::string", "", "auto, quadratic, linear, chunked, recurrent or fft; empty: by cost">
  ];
  let statistics = [
    Statistic<"numChosen", "chosen", "Forms chosen by cost">,
    Statistic<"numForced", "forced", "Forms that the option chose">
  ];
}

def MakeChoices : Pass<"attune-make-choices", "::mlir::func::FuncOp"> {
  let summary = "Turn operators of a model into choices of an architecture search.";
  let description = [{
    Every operator of one of the `kinds` becomes an `attune.choice` between what stands there and the
    `alternatives`, which get the same operands; their results have the same types. The label is the
    name of the ONNX node (with `.2`, `.3` where it is not the only one). Nothing is selected, but where
    no alternative is legal. Works on a model behind the raise stage.

    Kind `attention`, for softmax attention of any masks, scores, grouped queries:

    | alternative | is | legal where |
    | --- | --- | --- |
    | `softmax` | what stands there | |
    | `linear` | `sum_j w v_j / (sum_j w + 1e-6)`, `w = scale relu(q) . relu(k) c_j` | scores are products of queries and keys, a bias per key (`c_j` is its exponential) and a mask of keys or of the future; positive scale; no sink, no cache |
    | `cosformer` | `w` also times `cos(pi/2 (i - j) / max(N, M))`, the sum at least 1e-6 | as `linear`, with static lengths |
    | `localN` | softmax over keys at most N positions away; a row that sees none is 0 | as many queries as keys, or known positions |

    Before:
    ```mlir
    %o = attune.attention ins(%q, %k, %v : tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>) -> tensor<1x8x?x64xf32>
    ```
    After, with `alternatives=linear`:
    ```mlir
    %o = attune.choice "/layer.0/MatMul_1" ins(%q, %k, %v : ...) -> tensor<1x8x?x64xf32> alternative softmax {
    ^bb0(%a: tensor<1x8x?x64xf32>, %b: tensor<1x8x?x64xf32>, %c: tensor<1x8x?x64xf32>):
      %s = attune.attention ins(%a, %b, %c : ...) -> tensor<1x8x?x64xf32>
      attune.yield %s : tensor<1x8x?x64xf32>
    } alternative linear {
    ^bb0(%a: tensor<1x8x?x64xf32>, %b: tensor<1x8x?x64xf32>, %c: tensor<1x8x?x64xf32>):
      %l = attune.linear_attention ins(%a, %b, %c : ...) {...} -> tensor<1x8x?x64xf32> phi_q {...} phi_k {...}
      attune.yield %l : tensor<1x8x?x64xf32>
    }
    ```
    An operator with further results that are used stays. Remarks of category `attune-rewrite`: `ChoiceMade`,
    and `AlternativeRefused` with the reason. Errors: unknown kinds and alternatives.
  }];
  let options = [
    ListOption<"kinds", "kinds", "std::string", "Kinds of operators: attention">,
    ListOption<"alternatives", "alternatives", "std::string", "What to choose from beside what is there">
  ];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numMade", "made", "Choices made">,
    Statistic<"numRefused", "refused", "Alternatives that cannot stand for an operator">
  ];
}

def MergeProjections : Pass<"attune-merge-projections", "::mlir::func::FuncOp"> {
  let summary = "Make one matrix product of several with the same left operand.";
  let description = [{
    Contractions of one tensor with different constant weights (the projections of queries, keys and
    values) become one with the weights side by side. A constant bias behind a product is merged as
    well, zeros where another product has none; weights stored as 8-bit integers with one scale per
    column or per matrix stay so. What read a product reads a slice of the merged one, in place.

    Before (generics written as expressions):
    ```mlir
    %q = linalg.contract ins(%x, %wq : tensor<?x64xf32>, tensor<64x64xf32>)
    %qb = %q + %bq
    %k = linalg.contract ins(%x, %wk : tensor<?x64xf32>, tensor<64x32xf32>)
    ```
    After, with `%w` = `%wq | %wk` and `%b` = `%bq | 0`:
    ```mlir
    %qk = linalg.contract ins(%x, %w : tensor<?x64xf32>, tensor<64x96xf32>)
    %qkb = %qk + %b
    %qb = tensor.extract_slice %qkb[0, 0] [%n, 64] [1, 1]
    %k = tensor.extract_slice %qkb[0, 64] [%n, 32] [1, 1]
    ```

    A product that the function returns, or whose elementwise user would be computed together with it
    (a gate, an activation), has a price of its own for the copy or the extra kernel; it is merged
    where the cost model finds the whole cheaper for one row and for many, and never without a cost
    model. Where `attune compile --tune` measured both, the faster is taken. Remarks of category
    `attune-rewrite`: `ProjectionsMerged` with the prices, and `ProjectionNotMerged` with the reason.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numMerged", "merged", "Products that became part of another">,
    Statistic<"numRefused", "refused", "Products that would cost more together">
  ];
}

def RowDemand : Pass<"attune-row-demand", "::mlir::func::FuncOp"> {
  let summary = "Compute only the positions that are read.";
  let description = [{
    A value of which all uses read the same slice of one axis is computed for that slice only: the
    slice moves in front of the operators that compute positions independently, that is, of
    `TilingInterface` (elementwise, contractions, transposes, softmax) and of `RowsOpInterface` (norms,
    the queries of attention), and through reshapes. The first position of a classifier, or the last
    one of a language model, then costs one row of the last layer, whose keys and values still come
    from all positions. The offset and the number of positions may be dynamic.

    Before:
    ```mlir
    %y = attune.norm ins(%x : tensor<1x?x64xf32>) scale(%g : tensor<64xf32>) {axis = 2 : i64, ...}
    %z = linalg.contract ins(%y, %w : tensor<1x?x64xf32>, tensor<64x32xf32>)
    %r = tensor.extract_slice %z[0, %last, 0] [1, 1, 32] [1, 1, 1]
    ```
    After:
    ```mlir
    %s = tensor.extract_slice %x[0, %last, 0] [1, 1, 64] [1, 1, 1]
    %y = attune.norm ins(%s : tensor<1x1x64xf32>) scale(%g : tensor<64xf32>) {axis = 2 : i64, ...}
    %r = linalg.contract ins(%y, %w : tensor<1x1x64xf32>, tensor<64x32xf32>)
    ```
    Slices of columns, which would split a matrix product, stay. Remarks of category `attune-rewrite`:
    `RowsReduced` for an operator that computes fewer positions, and `RowsNotReduced` for one that a
    slice stops at, with the reason.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numReduced", "reduced", "Operators that compute fewer positions">];
}

def PushMapMix : Pass<"attune-push-map-mix", "::mlir::func::FuncOp"> {
  let summary = "Move the first linear head mix of attention maps into the keys.";
  let description = [{
    A sum of scores is the score of a sum of keys: `sum_h u_h (q . k_h) = q . (sum_h u_h k_h)`. If the
    first stage of an `attune.map_mix` is 1x1, nothing precedes it (no previous maps, alpha = 1), and
    the maps are the scores of every query head against every key head, the stage's weights mix the
    keys instead, and the stage becomes its bias and activation: the pairs of heads never exist.

    ```mlir
    // before: the scores of H x H pairs of heads, mixed to u maps per query head
    %s = linalg.contract ins(%q, %k : tensor<1x8x?x64xf32>, tensor<1x8x?x64xf32>) -> tensor<1x8x8x?x?xf32>
    %m = attune.map_mix ins(%s as tensor<1x64x?x?xf32>) weights(%w : tensor<32x8x1x1xf32>) {groups = [8]}
    // after: 4 mixed keys per query head
    %g = linalg.contract ins(%w, %k) -> tensor<1x8x4x?x64xf32>
    %s = linalg.contract ins(%q, %g) -> tensor<1x8x4x?x?xf32>
    ```

    Applied where it costs fewer operations: fewer mixed keys than key heads, or as many.
  }];
  let statistics = [Statistic<"numPushed", "pushed", "mixes moved into the keys">];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def SequenceForms : Pass<"attune-sequence-forms", "::mlir::func::FuncOp"> {
  let summary = "Compute moving averages and Toeplitz products in the form asked for.";
  let description = [{
    `form` of `attune.ema` and `attune.toeplitz` says how they are computed; what the kernels do not do
    themselves becomes other operators here. An average with `form = quadratic` or `fft` is the
    convolution with its own response to an impulse; a Toeplitz product with `form = fft` is a product
    of spectra, of the next even length without prime factors beyond 5 that holds both signals. A
    truncation that no sequence reaches is dropped; where another is left, `auto` becomes `chunked` or
    `quadratic`, whichever takes fewer multiply-adds.

    The transforms are less exact than the direct product (their error is relative to the largest value
    of a channel), so they are never chosen here without being asked for.

    Before:
    ```mlir
    %y = attune.ema ins(%x) coeffs(%a, %b, %c) {truncation = 4}
    ```
    After, with `%impulse` = 1, 0, 0, 0 in every channel:
    ```mlir
    %k = attune.ema ins(%impulse) coeffs(%a, %b, %c)
    %y = attune.toeplitz ins(%k, %x) {direction = causal}
    ```
    Remarks of category `attune-rewrite`: `FormUsed`, and `FormNotUsed` with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [Statistic<"numRewritten", "rewritten", "Operators in another form">];
}

#endif
