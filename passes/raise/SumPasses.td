#ifndef ATTUNE_PASSES_RAISE_SUMPASSES_TD
#define ATTUNE_PASSES_RAISE_SUMPASSES_TD
include "mlir/Pass/PassBase.td"

def RaiseBroadcastSums : Pass<"attune-raise-broadcast-sums", "::mlir::func::FuncOp"> {
  let summary = "Raise sums over broadcast products, differences or shifts to contractions.";
  let description = [{
    A layer that is written as a product of broadcast operands and a sum is `linalg.contract`; with the
    magnitude of a difference instead of the product it is an adder layer, `attune.contract`. The terms
    are matched as scalars, so that views, unfolded images and the order of operands do not matter:

    ```mlir
    %y = linalg.generic {maps = [(m, n, k) -> (n, k), (m, n, k) -> (m, k), (m, n, k) -> (m, n)]}
        ins(%w, %x) outs(%zero) { addf(%o, absf(subf(%a, %b))) }
    // becomes
    %s = attune.contract ins(%x, %w) outs(%zero)
        {kind = #attune.contract_kind<adder>, indexing_maps = [(m, n, k) -> (m, k), (m, n, k) -> (n, k),
         (m, n, k) -> (m, n)]}
    %y = -%s
    ```
    Where operands divide an index (a flattened window, the pixels of an image), it becomes as many loops.
    Operands that are codes `scale * (byte + offset)` with one scale, offset and sign (dequantised or cast;
    constants also as the values computed from codes) give a sum of bytes in i32, and the scale behind it;
    the padding of such values becomes that of the bytes, signed bytes are made unsigned:

    ```mlir
    %s = attune.contract ins(%qx, %qw : tensor<?x64xi8>, tensor<32x64xi8>) outs(%zero : tensor<?x32xi32>)
    %y = sitofp(%s) * -scale
    ```

    A sum of integers (i32, i64) is a shift layer if every term is one element, shifted by constants,
    times a constant sign or 0. How it is written does not matter (masks for the sign, divisions,
    choices): the bits of the element are followed through the term, for positive, negative and zero
    elements and all combinations of constants, so that layer and graph are equal for all integers.

    Where an axis is read at a sum of a loop of the result and one of the sum (a window; also as slices
    side by side), products whose filters do not mix channels become a `linalg.generic` that reads so.

    The sum must be in f32, or for bytes and shifts in i32 or i64. Both operands must be held by tensors,
    read at sums of loops times constants (a matrix product: at single loops), and each be read again for
    other results: the distance or product of two vectors alone is a reduction as good as any.

    Remarks of category `attune-raise`: `SumRaised`; for distances and shifts `SumNotRaised`, and for
    codes `SumNotInBytes` where the sum is one of floats, with the reason.
  }];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::affine::AffineDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "Sums raised">,
    Statistic<"numRefused", "refused", "Sums of distances or shifts recognised but not raised">
  ];
}

#endif
