#ifndef ATTUNE_PASSES_FUSE_PACKFILTERS_TD
#define ATTUNE_PASSES_FUSE_PACKFILTERS_TD
include "mlir/Pass/PassBase.td"

def PackFilters : Pass<"attune-pack-filters", "::mlir::func::FuncOp"> {
  let summary = "Store constant filters of convolutions in panels of output channels.";
  let description = [{
    Constant f32 filters `[G,] M, C, taps...` of a convolution (a `linalg.generic` that sums products
    of an image, read at sums of loops, and the filters) become `[G,] ceil(M/4), C, taps..., 4`, zero
    padded, behind a `linalg.unpack`; 4 output channels on every ISA:

    ```mlir
    %p = arith.constant dense_resource<filters> : tensor<16x64x3x3x4xf32>
    %w = linalg.unpack %p inner_dims_pos = [0] inner_tiles = [4] into %e
    %y = linalg.generic {...} ins(%x, %w : tensor<1x64x58x58xf32>, tensor<64x64x3x3xf32>) ...
    ```
  }];
  let statistics = [Statistic<"numPacked", "packed", "filters packed">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

#endif
