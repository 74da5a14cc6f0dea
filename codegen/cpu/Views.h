//===- Views.h - Where the elements of a tensor of a kernel region lie in memory --------------===//
//
// Most transposes, reshapes and slices need no copy: they only say which strides a load or a store
// uses. `readView` resolves a tensor to the value that it is a view of; `writeViews` does the
// reverse for a yielded tensor and says where the computed values that it is made of are stored.
//
//   std::optional<View> view = readView(sizes, generic.getDpsInputs()[0]);
//   std::optional<int64_t> input = view ? sizes.inputNumber(view->root) : std::nullopt;
//   // address of element (i, j): scope.input(*input) + offset + i * strides[0] + j * strides[1]
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_VIEWS_H
#define ATTUNE_CODEGEN_CPU_VIEWS_H

#include "attune/codegen/cpu/Scope.h"

namespace attune::codegen {

/// Element `index` of a tensor is element `offset + sum(index * strides)` of `root`'s dense
/// row-major storage.
struct View {
  mlir::Value root;
  Size offset;
  llvm::SmallVector<Size> strides;
};

/// Follows transpose, expand_shape, collapse_shape (where strides allow), extract_slice, cast,
/// linalg.broadcast and copying generics. `root` is the first value that none of these made, or one
/// that `stop` accepts. Nothing only if a size is unknown.
std::optional<View> readView(const Sizes &sizes, mlir::Value tensor,
                             llvm::function_ref<bool(mlir::Value)> stop = {});

/// Whether a tensor is a view of a kernel input.
bool isInputView(const Sizes &sizes, mlir::Value tensor);

/// The one value of a float constant whose elements are all equal; such constants stay in the
/// region.
std::optional<double> splatValue(mlir::Value tensor);

/// Whether an operand has f32 elements, and is a view of a kernel input or a constant of one value.
bool isReadableF32(const Sizes &sizes, mlir::Value operand);

/// Element `index` of `value` belongs at `offset + sum(index * strides)` of the output.
struct Placement {
  mlir::Value value;
  Size offset;
  llvm::SmallVector<Size> strides;
};

/// The computed values that `yielded` (dense row-major in its buffer) consists of, through
/// transpose, reshapes, cast, concat and insert_slice into an empty tensor; together they cover
/// every element once, those of empty tensors aside.
std::optional<llvm::SmallVector<Placement>> writeViews(const Sizes &sizes, mlir::Value yielded);

/// Whether `operand` is an input, read nowhere else in the region, whose elements lie at the same
/// offsets as those of `place` in its output.
bool isSameLayout(const Sizes &sizes, mlir::Value operand, const Placement &place);

/// A generic that only copies: one input, no reduction, the body yields the element unchanged.
bool isCopy(mlir::Operation *op);

} // namespace attune::codegen
#endif
