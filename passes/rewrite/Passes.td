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
