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

def PackWeights : Pass<"attune-pack-weights", "::mlir::func::FuncOp"> {
  let summary = "Store constant operands of contractions in column panels.";
  let description = [{
    A constant [K, N] (or transposed) right operand becomes `[ceil(N/16), K, 16]`, zero padded, behind
    a `linalg.unpack`; 16 columns on every ISA, so that one copy serves all. A weight that is stored
    as i8 and dequantised by a scale per column or per tensor stays i8:

    ```mlir
    %q = arith.constant dense_resource<packed> : tensor<24x384x16xi8>
    %m = linalg.unpack %q outer_dims_perm = [1, 0] inner_dims_pos = [1] inner_tiles = [16] into %e
    %w = linalg.generic ... ins(%m, %scale) { sitofp, mulf }
    %y = linalg.contract ... ins(%x, %w)
    ```
  }];
  let statistics = [Statistic<"numPacked", "packed", "weights packed">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

#endif
