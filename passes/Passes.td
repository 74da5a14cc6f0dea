#ifndef ATTUNE_PASSES_PASSES_TD
#define ATTUNE_PASSES_PASSES_TD
include "mlir/Pass/PassBase.td"

def Decompose : Pass<"attune-decompose"> {
  let summary = "Replace every attune op by its reference lowering.";
  let description = [{
    Calls `DecomposeOpInterface::decompose` on every op that has it, inside `attune.kernel` too, and
    upstream's decomposition on `linalg.softmax`. What is left is linalg structured ops, tensor,
    arith, math and scf, which bufferisation and `convert-linalg-to-loops` accept: the
    always-correct path, the oracle of every numeric test and the fall-back of code generation.

    ```mlir
    %y = attune.norm ins(%x : tensor<4x8xf32>) {axis = 1, ...} -> tensor<4x8xf32>
    // becomes reductions for mean and variance, then one elementwise generic
    %s = linalg.generic {... "reduction"} ins(%x) outs(%zero) ...
    ```
  }];
  let dependentDialects = ["::attune::AttuneDialect"];
  let statistics = [Statistic<"numDecomposed", "num-decomposed", "Number of ops decomposed">];
}

#endif
