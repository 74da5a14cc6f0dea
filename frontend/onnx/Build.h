//===- Build.h - Building blocks of converters ------------------------------------------------===//
//
// Functions from tensors to tensors that most converters are made of. They keep the contract of the
// import stage: elementwise work is one parallel `linalg.generic` with an identity output map and
// projected-permutation or constant-0 input maps, scalars stand in the body, sizes are symbolic.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_FRONTEND_ONNX_BUILD_H
#define ATTUNE_FRONTEND_ONNX_BUILD_H

#include "attune/frontend/onnx/Converter.h"

namespace attune::onnx {

/// Computes one element. Must not throw.
using BodyFn = llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;
/// The same on extents, for shape arithmetic; nullopt if it cannot be expressed.
using ExtentFn =
    llvm::function_ref<std::optional<Extent>(Extents &, llvm::ArrayRef<Extent> arguments)>;

/// The common shape under ONNX broadcasting; sizes that may differ get a run-time check.
Shape broadcastShape(Node &node, llvm::ArrayRef<Shape> shapes);
/// One element of `out` per position of the broadcast inputs. Folds small constants; if `symbolic`
/// is given, small integer tensors of known contents stay known.
Tensor elementwise(Node &node, llvm::ArrayRef<Tensor> inputs, DType out, BodyFn body,
                   ExtentFn symbolic = nullptr);
/// As ONNX Expand, but `shape` must be the result's shape: no check is made.
Tensor broadcastTo(Node &node, const Tensor &input, const Shape &shape);
/// ONNX Cast: truncates to integers and saturates; NaN becomes 0. `saturate` is about 8-bit floats.
Tensor castTo(Node &node, const Tensor &input, DType to, bool saturate = true);
mlir::Value castElement(mlir::OpBuilder &b, mlir::Location loc, mlir::Value v, DType from, DType to,
                        bool saturate = true);

/// A generic over `inputs` with explicit maps into `out`; all loops parallel.
mlir::Value generic(Node &node, llvm::ArrayRef<mlir::Value> inputs,
                    llvm::ArrayRef<mlir::AffineMap> maps, const Shape &out, mlir::Type element,
                    BodyFn body);
mlir::Value empty(Node &node, const Shape &shape, mlir::Type element);
mlir::Value filled(Node &node, const Shape &shape, mlir::TypedAttr value);
/// A scalar attribute of the element type.
mlir::TypedAttr scalarAttr(mlir::MLIRContext *context, DType dtype, double value);
mlir::Value scalar(mlir::OpBuilder &b, mlir::Location loc, mlir::Type type, double value);
/// A rank-0 constant.
Tensor scalarTensor(Node &node, DType dtype, double value);

/// The same elements in another shape; the sizes must have equal products (not checked).
Tensor reshape(Node &node, const Tensor &input, const Shape &shape);
Tensor transpose(Node &node, const Tensor &input, llvm::ArrayRef<int64_t> perm);
/// Element (i0, i1, ...) of the result is the input's at the indices that `at` computes, which must
/// be in range.
using IndicesFn = llvm::function_ref<llvm::SmallVector<mlir::Value>(
    mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;
Tensor remap(Node &node, const Tensor &input, const Shape &shape, IndicesFn at);
/// Along one axis each: offset, size, step > 0.
struct SliceRange {
  Extent offset, size, step = 1;
};
Tensor slice(Node &node, const Tensor &input, llvm::ArrayRef<SliceRange> ranges);
/// What the ranges (steps of either sign) select of a tensor whose contents are known, row-major;
/// nothing if they are not known or a range is not constant.
std::optional<std::vector<Extent>> selectContents(const Tensor &input,
                                                  llvm::ArrayRef<SliceRange> ranges);
Tensor concat(Node &node, llvm::ArrayRef<Tensor> inputs, int64_t axis);

/// Combines the elements along `axes` (sorted) from `init` on; the axes vanish.
Tensor reduce(Node &node, const Tensor &input, llvm::ArrayRef<int64_t> axes, DType out,
              mlir::TypedAttr init,
              llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::Value element,
                                             mlir::Value sum)>
                  body);
/// Puts axes of size 1 back where `reduce` removed them.
Tensor keepDims(Node &node, const Tensor &input, llvm::ArrayRef<int64_t> axes);

/// sum over the loops that `shape` lacks of a * b, as one `linalg.contract`; the last map is the
/// result's. 16-bit floats are summed in f32 and rounded once.
Tensor contract(Node &node, const Tensor &a, const Tensor &b, llvm::ArrayRef<mlir::AffineMap> maps,
                const Shape &shape);

/// Reads `table` at an index that is checked, counted from the end if negative, and clamped.
/// For bodies: `dim` is the table's size along the axis.
mlir::Value checkedIndex(Node &node, mlir::OpBuilder &b, mlir::Location loc, mlir::Value raw,
                         mlir::Value dim, bool isUnsigned);

} // namespace attune::onnx
#endif
