#ifndef ATTUNE_PASSES_REWRITE_PUSHMAPMIX_TD
#define ATTUNE_PASSES_REWRITE_PUSHMAPMIX_TD
include "mlir/Pass/PassBase.td"

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

#endif
