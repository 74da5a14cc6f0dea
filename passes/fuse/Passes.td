#ifndef ATTUNE_PASSES_FUSE_PASSES_TD
#define ATTUNE_PASSES_FUSE_PASSES_TD
include "mlir/Pass/PassBase.td"

def FuseElementwise : Pass<"attune-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "Merge chains of elementwise generics.";
  let description = [{
    Upstream's fusion of elementwise operators, only where no element is computed twice: the producer
    has one user, and every iteration of that user reads another element.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::affine::AffineDialect"];
}

def SinkConcats : Pass<"attune-sink-concats", "::mlir::func::FuncOp"> {
  let summary = "Reduce the parts of a concatenation instead of the whole.";
  let description = [{
    A reduction whose parallel loop runs over the parts of a concatenation, one after the other, is
    one reduction for every part, whose loops know their part:

    ```mlir
    %k = tensor.concat dim(1) %a, %b : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x128xf32>
    %s = linalg.generic ... ins(%k) outs(%zero) { sum over the first axis } -> tensor<128xf32>
    // becomes
    %s0 = linalg.generic ... ins(%a) outs(%zero0) { ... } -> tensor<64xf32>
    %s1 = linalg.generic ... ins(%b) outs(%zero1) { ... } -> tensor<64xf32>
    %s = tensor.concat dim(0) %s0, %s1
    ```
    Only where nothing else reads the concatenation, whose parts have static extents along its axis.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def FuseGatherProducers : Pass<"attune-fuse-gather-producers", "::mlir::func::FuncOp"> {
  let summary = "Compute the gathered elements of an elementwise result, not all of them.";
  let description = [{
    An embedding table that is stored as i8 is dequantised where it is gathered, not as a whole:

    ```mlir
    %w = linalg.generic ins(%q, %s) { sitofp, mulf }          // all rows
    %y = linalg.generic ins(%ids) { tensor.extract %w[%i, %j] }
    // becomes
    %y = linalg.generic ins(%ids) { extract %q[%i, %j]; sitofp; extract %s[%i, 0]; mulf }
    ```
    Only where all inputs of the producer are constants or the gather is its only user.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::tensor::TensorDialect"];
}

def ShiftWeights : Pass<"attune-shift-weights", "::mlir::func::FuncOp"> {
  let summary = "Store weights that are powers of two as packed codes.";
  let description = [{
    Constant weights of a matrix product that are all 0 or signed powers of two need 4 or 5 bits (8
    for more than 15 magnitudes), not 32. The product becomes an `attune.contract` of the shift kind,
    its weights words of several codes:

    ```mlir
    %y = linalg.contract ... ins(%x, %w : tensor<1x4096xf32>, tensor<4096x4096xf32>)
    // becomes
    %q = arith.constant dense_resource<codes> : tensor<256x512x16xi32>
    %c = attune.unpack_codes %q {bits = 4} : tensor<256x512x16xi32> -> tensor<4096x4096xi8>
    %y = attune.contract ins(%x, %c) ... {kind = shift, exponent_bias = 7}
    ```

    Exact to the bit. Codes are chosen where the cost model finds them cheaper for few rows, which
    wait for the weights, and no dearer for many, which do not; without a cost model always. Every
    other shift of f32 becomes a product or convolution of floats, which kernels compute faster than
    shifts (a multiply-add is one instruction). Shifts of integers always get codes.

    Remarks of category `attune-fuse`: `ShiftCodes`, `ShiftCodesNotUsed` with the reason.
  }];
  let statistics = [Statistic<"numPacked", "packed", "weights stored as codes">];
  let dependentDialects = ["::attune::AttuneDialect", "::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def PackFilters : Pass<"attune-pack-filters", "::mlir::func::FuncOp"> {
  let summary = "Store constant filters of convolutions in panels of output channels.";
  let description = [{
    Constant f32 filters `[G,] M, C, taps...` of a convolution (a `linalg.generic` that sums products
    of an image, read at sums of loops, and the filters) become `[G,] ceil(M/4), C, taps..., 4`, zero
    padded, behind a `linalg.unpack`; 4 output channels on every ISA, or as many as the back end asks
    for (16 where the CPU's lanes are better filled with channels than with positions):

    ```mlir
    %p = arith.constant dense_resource<filters> : tensor<16x64x3x3x4xf32>
    %w = linalg.unpack %p inner_dims_pos = [0] inner_tiles = [4] into %e
    %y = linalg.generic {...} ins(%x, %w : tensor<1x64x58x58xf32>, tensor<64x64x3x3xf32>) ...
    ```
  }];
  let statistics = [Statistic<"numPacked", "packed", "filters packed">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
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
    Bytes of an adder become `[ceil(N/16), ceil(K/8), 16, 8]`: eight along K stay together.
  }];
  let statistics = [Statistic<"numPacked", "packed", "weights packed">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

#endif
