//===- Elements.h - What an element of a tensor is, as a scalar expression --------------------===//
//
// The base of structural matching. `at(tensor, indices)` gives one element of a tensor as scalar IR
// in a scratch block: elementwise operators are inlined, views (transpose, reshape, slice, concat,
// pad, broadcast) become index arithmetic, constants with a simple law (triangular, band, ramps)
// become comparisons, everything is folded, and equal expressions are the same value. So a pattern
// is written once, on scalars, and no longer depends on how an exporter arranged views and
// operators.
//
//   Elements elements(sizes);
//   Value i = elements.addIndex(n), j = elements.addIndex(m);
//   Value mask = elements.at(maskTensor, {i, j});     // e.g. arith.cmpi sle, %j, %i
//   elements.sources(mask);                           // the tensors that hold this element
//
// Inlining ends at loads: elements of arguments, contractions, reductions, softmax, norms, and of
// elementwise operators whose checks (`cf.assert`) cannot be proved. The scratch block holds no use
// of the function's values; it dies with the object.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_ELEMENTS_H
#define ATTUNE_PASSES_RAISE_ELEMENTS_H

#include "attune/passes/raise/Sizes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"

namespace attune {

/// An element of a tensor: the tensor and scalar expressions for its indices.
struct ElementOf {
  mlir::Value tensor;
  llvm::SmallVector<mlir::Value> indices;
};

class Elements {
public:
  explicit Elements(Sizes &sizes);
  Elements(const Elements &) = delete;
  Elements &operator=(const Elements &) = delete;

  /// A new free index with 0 <= index < extent.
  mlir::Value addIndex(mlir::AffineExpr extent);
  /// A scalar of which nothing is known.
  mlir::Value addUnknown(mlir::Type type) { return block.addArgument(type, loc); }
  bool isIndex(mlir::Value scalar) const { return extents.contains(scalar); }
  mlir::AffineExpr extentOf(mlir::Value index) const { return extents.lookup(index); }

  mlir::Value at(mlir::Value tensor, llvm::ArrayRef<mlir::Value> indices);

  /// The tensor element that a scalar loads, if it is a load.
  std::optional<ElementOf> load(mlir::Value scalar) const;
  /// A scalar of the function that the expression uses as it is, or null.
  mlir::Value outside(mlir::Value scalar) const { return outsideOf.lookup(scalar); }
  /// Every tensor element known to be equal to the scalar, nearest to the inputs first.
  llvm::ArrayRef<ElementOf> sources(mlir::Value scalar) const;
  /// Operators of the function that were looked through, each with the element it gave.
  llvm::ArrayRef<std::pair<mlir::Operation *, mlir::Value>> inlined() const { return visited; }

  /// The element that a reduction combines at its free indices and these positions along the axes
  /// it runs over; null unless it is a sum from 0 or float maximum from -inf.
  struct Reduced {
    mlir::Value element;
    bool isSum;
  };
  std::optional<Reduced> reduced(const ElementOf &result, llvm::ArrayRef<mlir::Value> inner);

  /// What an elementwise operator computes for an element whose checks are not proved: the element,
  /// and what must be checked with it. The element is null if there are other reasons.
  struct Checked {
    mlir::Value element;
    llvm::SmallVector<std::pair<mlir::Value, mlir::StringAttr>> checks;
  };
  Checked throughChecks(const ElementOf &result);

  /// Free indices for all axes of a tensor.
  llvm::SmallVector<mlir::Value> addIndices(mlir::Value tensor);
  /// A tensor of this type with the scalar at `indices`, nearest to the inputs first, or null.
  mlir::Value tensorAt(mlir::Value scalar, llvm::ArrayRef<mlir::Value> indices,
                       mlir::RankedTensorType type);
  /// At most this many scalar operators are made; then elements stay loads.
  void setBudget(unsigned operators) { budget = operators; }
  void addBudget(unsigned operators) { budget += operators; }

  bool depends(mlir::Value scalar, mlir::Value on);
  /// Loads below a scalar (and the scalar itself), those of indices included, each once.
  llvm::SetVector<mlir::Value> loads(mlir::Value scalar);
  /// Free indices that the scalar depends on.
  llvm::SetVector<mlir::Value> freeIndices(mlir::Value scalar);
  /// Operators other than constants below the scalar.
  unsigned cost(mlir::Value scalar);

  /// Builds a folded, simplified, unique scalar operator.
  template <typename Op, typename... Args> mlir::Value make(Args &&...args) {
    return finish(Op::create(builder, loc, std::forward<Args>(args)...));
  }
  mlir::Value constantIndex(int64_t value);
  mlir::Value constantInt(mlir::Type type, int64_t value);
  mlir::Value constantFloat(mlir::Type type, double value);
  mlir::Value negate(mlir::Value condition);
  /// The same operator on other operands.
  mlir::Value rebuild(mlir::Operation *op, mlir::ValueRange operands);
  /// An index scalar with the value of an extent, or of an expression over free indices (dims).
  mlir::Value sizeValue(mlir::AffineExpr extent);

private:
  mlir::Value compute(mlir::Value tensor, llvm::ArrayRef<mlir::Value> indices);
  mlir::Value leaf(mlir::Value tensor, llvm::ArrayRef<mlir::Value> indices);
  mlir::Value throughLinalg(mlir::linalg::LinalgOp op, unsigned result,
                            llvm::ArrayRef<mlir::Value> indices, Checked *unproved = nullptr);
  mlir::Value throughExpand(mlir::tensor::ExpandShapeOp op, llvm::ArrayRef<mlir::Value> indices);
  mlir::Value throughCollapse(mlir::tensor::CollapseShapeOp op,
                              llvm::ArrayRef<mlir::Value> indices);
  mlir::Value throughSlice(mlir::tensor::ExtractSliceOp op, llvm::ArrayRef<mlir::Value> indices);
  mlir::Value throughSlices(mlir::tensor::ConcatOp op, llvm::ArrayRef<mlir::Value> indices);
  bool isStep(const ElementOf &element, const ElementOf &first, int64_t number,
              llvm::SmallVectorImpl<int64_t> &steps);
  mlir::Value throughConcat(mlir::tensor::ConcatOp op, llvm::ArrayRef<mlir::Value> indices);
  mlir::Value throughPad(mlir::tensor::PadOp op, llvm::ArrayRef<mlir::Value> indices);
  mlir::Value ofConstant(mlir::Value tensor, llvm::ArrayRef<mlir::Value> indices);
  mlir::Value evaluate(mlir::Value value, mlir::linalg::LinalgOp op,
                       llvm::ArrayRef<mlir::Value> loops, mlir::IRMapping &known);
  mlir::Value fromOutside(mlir::Value scalar);
  mlir::Value linear(llvm::ArrayRef<mlir::Value> parts, llvm::ArrayRef<mlir::AffineExpr> sizes);

  mlir::Value finish(mlir::Operation *op);
  mlir::Value simplify(mlir::Operation *op);
  mlir::Value simplifyInteger(mlir::Operation *op);
  mlir::Value simplifyCompare(mlir::Operation *op);
  mlir::Value distribute(mlir::Operation *op);
  mlir::Value simplifyPosition(mlir::Operation *op);
  /// An integer scalar as an index scalar, if it comes from indices and constants.
  mlir::Value asIndex(mlir::Value integer);
  /// Bounds of a - b over all free indices: nullopt where unknown.
  struct Range {
    std::optional<int64_t> low, high;
  };
  /// Free indices as dims, in their order; null if there is more than sums and products.
  mlir::AffineExpr asAffine(mlir::Value index);
  Range difference(mlir::Value a, mlir::Value b);
  /// Quotient and remainder of an index that is not negative, if the quotient is a sum of multiples
  /// of free indices wherever they lie: `i (n + 1) + j` by `n + 1`, with j <= n, is i and j.
  std::optional<std::pair<mlir::Value, mlir::Value>> divide(mlir::Value index, mlir::Value size);

  Sizes &sizes;
  mlir::MLIRContext *context;
  mlir::Location loc;
  mlir::Block block;
  mlir::OpBuilder builder;
  unsigned budget = 2000;
  llvm::SmallVector<mlir::Value> free;
  llvm::DenseMap<mlir::Value, mlir::AffineExpr> extents;
  llvm::DenseMap<mlir::Value, mlir::Value> argumentOf, outsideOf;
  llvm::DenseMap<mlir::Value,
                 llvm::SmallVector<std::pair<llvm::SmallVector<mlir::Value>, mlir::Value>>>
      known;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<ElementOf>> held;
  llvm::DenseMap<size_t, llvm::SmallVector<mlir::Operation *>> unique;
  llvm::SmallVector<std::pair<mlir::Operation *, mlir::Value>> visited;
};

} // namespace attune
#endif
