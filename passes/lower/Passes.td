#ifndef ATTUNE_PASSES_LOWER_PASSES_TD
#define ATTUNE_PASSES_LOWER_PASSES_TD
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

def TileState : Pass<"attune-tile-state"> {
  let summary = "Lower ops with carried state to a loop over tiles of their reduction axis.";
  let description = [{
    Every op with `StateOpInterface` becomes an `scf.for` that carries the op's state over tiles of
    `tile` elements: softmax attention becomes the online softmax, with intermediates of
    `[B,H,N,tile]` instead of `[B,H,N,M]`. Like the reference lowering it needs no further knowledge
    of the op; it is the fall-back where that one would take too much memory. Ops that cannot be
    tiled stay, with the remark `StateNotTiled`.

    ```mlir
    %o = attune.attention ins(%q, %k, %v : ...) -> tensor<1x8x?x64xf32>
    // becomes
    %s:3 = scf.for %t = %c0 to %m step %c128 iter_args(%top = ..., %sum = ..., %acc = ...) {...}
    %o = linalg.generic ins(%s#2, %s#1, %s#0) {... arith.divf ...}
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
  let options = [Option<"tile", "tile", "int64_t", "128", "Elements of the reduction axis per iteration">];
  let statistics = [
    Statistic<"numTiled", "tiled", "Ops lowered">,
    Statistic<"numRefused", "refused", "Ops that cannot be tiled">
  ];
}

#endif
