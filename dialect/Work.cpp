#include "attune/dialect/Work.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune {

SmallVector<OpFoldResult> getExtents(Value tensor, ExtentOf extent) {
  SmallVector<OpFoldResult> extents;
  for (int64_t axis = 0; axis < cast<ShapedType>(tensor.getType()).getRank(); ++axis)
    extents.push_back(extent(tensor, axis));
  return extents;
}

void addWork(SmallVector<WorkTerm> &terms, WorkTerm::Class kind, double perIteration,
             ArrayRef<OpFoldResult> extents, unsigned bits) {
  if (perIteration > 0 && llvm::all_of(extents, [](OpFoldResult e) { return bool(e); }))
    terms.push_back({kind, perIteration, SmallVector<OpFoldResult>(extents), bits});
}

void addBodyWork(SmallVector<WorkTerm> &terms, Block &body, ArrayRef<OpFoldResult> extents) {
  double fma = 0, arithmetic = 0, multiply = 0, transcendental = 0;
  for (Operation &op : body.without_terminator()) {
    bool isFloat =
        llvm::any_of(op.getOperandTypes(), [](Type type) { return isa<FloatType>(type); });
    if (isa<math::FmaOp>(op))
      fma += 2;
    else if (isa<math::AbsFOp>(op))
      arithmetic += 1;
    else if (isa<arith::MulFOp, arith::DivFOp>(op))
      multiply += 1;
    else if (isa<math::MathDialect>(op.getDialect()) && isFloat)
      transcendental += 1;
    else if (isa<arith::ArithDialect>(op.getDialect()) && isFloat && op.getNumOperands() > 1)
      arithmetic += 1;
  }
  addWork(terms, WorkTerm::Class::Fma, fma, extents);
  addWork(terms, WorkTerm::Class::Arithmetic, arithmetic, extents);
  addWork(terms, WorkTerm::Class::Multiply, multiply, extents);
  addWork(terms, WorkTerm::Class::Transcendental, transcendental, extents);
}

} // namespace attune
