//===- Match.h - What raises look for ---------------------------------------------------------===//
//
// Matchers on operators (contractions) and on the scalars of `Elements` (factors, masks), building
// of tensors in a wanted order of axes, and the remarks of the raise stage.
//
//   if (std::optional<Contraction> c = matchContraction(op)) ...
//   double factor = stripFactors(elements, scalar);   // 0.125 * x gives x and 0.125
//   MaskedScore parts = splitMask(elements, scalar);  // select(c, x, -inf) gives x and c
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_MATCH_H
#define ATTUNE_PASSES_RAISE_MATCH_H

#include "attune/passes/raise/Elements.h"
#include "mlir/IR/Remarks.h"

namespace attune {

/// result += lhs * rhs on a zero-filled init, over projected permutations.
struct Contraction {
  mlir::linalg::LinalgOp op;
  mlir::Value operands[2];
  mlir::AffineMap maps[2], resultMap;

  mlir::Value result() const { return op->getResult(0); }
};
std::optional<Contraction> matchContraction(mlir::Operation *op);

/// True if every element of the tensor is 0.
bool isZeroTensor(mlir::Value tensor);

std::optional<double> asFloat(mlir::Value scalar);
bool isNegativeInfinity(mlir::Value scalar);

/// Takes multiplications and divisions by finite constants off a scalar and returns their product.
double stripFactors(mlir::Value &scalar);

/// A score and the condition under which it is not -inf (null: always).
struct MaskedScore {
  mlir::Value score, allowed;
};
/// Separates choices between a score and -inf, wherever they stand in sums, positive factors and
/// casts. A null score is 0.
MaskedScore splitMask(Elements &elements, mlir::Value scalar);

/// The scalar with a free index replaced.
mlir::Value substitute(Elements &elements, mlir::Value scalar, mlir::Value index, mlir::Value by);

/// A tensor element whose indices are, in some order, the wanted indices, and zeros.
struct Layout {
  ElementOf element;
  /// For every group of wanted indices, the axis of each; -1 where the tensor does not vary.
  llvm::SmallVector<llvm::SmallVector<int64_t>> axes;
};
using IndexGroups = llvm::SmallVector<llvm::SmallVector<mlir::Value>>;
/// The first such source of a scalar, nearest to the inputs. Every axis must have the whole extent
/// of its index. Indices may be any scalars, e.g. `h div 4`, given with their extents.
std::optional<Layout> findLayout(Elements &elements, Sizes &sizes, mlir::Value scalar,
                                 const IndexGroups &groups,
                                 llvm::function_ref<mlir::AffineExpr(mlir::Value)> extentOf);
/// The tensor with one axis per group: transposed, collapsed, unit axes inserted, broadcast.
mlir::Value buildLayout(mlir::OpBuilder &builder, mlir::Location loc, Sizes &sizes,
                        const Layout &layout, const IndexGroups &groups,
                        llvm::function_ref<mlir::AffineExpr(mlir::Value)> extentOf);

/// The ONNX nodes that a location names, for messages.
std::string nodeNames(mlir::Location loc);

} // namespace attune
#endif
