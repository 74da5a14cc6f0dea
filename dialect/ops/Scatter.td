#ifndef ATTUNE_DIALECT_OPS_SCATTER_TD
#define ATTUNE_DIALECT_OPS_SCATTER_TD
include "attune/dialect/Attrs.td"
include "attune/dialect/Dialect.td"
include "attune/dialect/Interfaces.td"

def Attune_ScatterOp : Attune_Op<"scatter", [Pure, IsolatedFromAbove, SingleBlock,
    AllTypesMatch<["data", "result"]>,
    DeclareOpInterfaceMethods<Attune_DecomposeInterface>,
    DeclareOpInterfaceMethods<Attune_WorkInterface, ["getParallelExtents"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "a tensor with new values at given places";
  let description = [{
    `data [n1..nr]`, `indices [l1..lm, k]`, `updates [l1..lm, n(k+1)..nr]`. For all `(l1..lm)` in
    row-major order, one after the other,

        result[indices[l.., 0], .., indices[l.., k-1], j..] = combine(old element, updates[l.., j..])

    starting with `result = data`; without a `combine` region the update replaces the old element, so
    that the last of several updates of one place counts. The region takes the old element and the
    update.

    Indices are i64, `0 <= indices[l.., c] < nc`: whoever builds the op checks them. Any element type.

    Errors: types or extents that contradict this. Source: ONNX ScatterND-18, ScatterElements-18.
    Example:

    ```mlir
    %y = attune.scatter ins(%x, %at, %u : tensor<?x8xf32>, tensor<3x1xi64>, tensor<3x8xf32>) -> tensor<?x8xf32>
      combine {
      ^bb0(%old: f32, %new: f32):
        %s = arith.addf %old, %new : f32
        attune.yield %s : f32
      }
    ```
  }];
  let arguments = (ins AnyRankedTensor:$data, RankedTensorOf<[I64]>:$indices, AnyRankedTensor:$updates);
  let results = (outs AnyRankedTensor:$result);
  let regions = (region AnyRegion:$combine);
  let builders = [
    OpBuilder<(ins "::mlir::Value":$data, "::mlir::Value":$indices, "::mlir::Value":$updates), [{
      build($_builder, $_state, data.getType(), data, indices, updates);
    }]>
  ];
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getDataType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getData().getType());
    }
    /// Leading axes of the indices.
    int64_t getLeading() {
      return ::llvm::cast<::mlir::RankedTensorType>(getIndices().getType()).getRank() - 1;
    }
    /// Axes of the data that an index names.
    int64_t getDepth() {
      return ::llvm::cast<::mlir::RankedTensorType>(getIndices().getType()).getShape().back();
    }
    /// Gives `combine` its block, empty, and returns it.
    ::mlir::Block *addCombine(::mlir::OpBuilder &builder);
  }];
  let assemblyFormat = [{
    `ins` `(` $data `,` $indices `,` $updates `:` type($data) `,` type($indices) `,` type($updates) `)`
    attr-dict `->` type($result) (`combine` $combine^)?
  }];
  let hasVerifier = 1;
}

#endif
