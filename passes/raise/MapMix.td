#ifndef ATTUNE_PASSES_RAISE_MAPMIX_TD
#define ATTUNE_PASSES_RAISE_MAPMIX_TD
include "mlir/Pass/PassBase.td"

def RaiseMapMix : Pass<"attune-raise-map-mix", "::mlir::func::FuncOp"> {
  let summary = "Raise mixing of attention maps to attune.map_mix and attention on scores.";
  let description = [{
    Starts at a softmax over maps `[B,H,N,M]` and follows its operand back through masks, blends and
    stages: convolutions over (N, M) with the maps as channels and "same" padding, products with a
    matrix over the map axis, biases, ReLU or LeakyReLU. The chain becomes one `attune.map_mix`;
    masks that stand behind it stay where they are, for `attune-raise-attention`.

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
