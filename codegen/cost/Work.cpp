#include "attune/codegen/cost/Work.h"

#include "attune/passes/fuse/Dims.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// Maximum, difference, sum, quotient and one exponential per element.
void count(linalg::SoftmaxOp op, ExtentOf extent, SmallVector<WorkTerm> &terms) {
  SmallVector<OpFoldResult> elements = getExtents(op.getInput(), extent);
  addWork(terms, WorkTerm::Class::Arithmetic, 4, elements);
  addWork(terms, WorkTerm::Class::Transcendental, 1, elements);
}

void count(linalg::LinalgOp op, ExtentOf extent, SmallVector<WorkTerm> &terms) {
  if (isa<linalg::FillOp, linalg::TransposeOp, linalg::CopyOp>(op.getOperation()))
    return;
  SmallVector<OpFoldResult> loops(op.getNumLoops());
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [axis, expr] : llvm::enumerate(map.getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && !loops[dim.getPosition()])
        loops[dim.getPosition()] = extent(operand.get(), axis);
  }
  if (linalg::isaContractionOpInterface(op))
    addWork(terms, WorkTerm::Class::Fma, 2, loops);
  else
    addBodyWork(terms, *op.getBlock(), loops);
}

} // namespace

SmallVector<WorkTerm> countWork(Operation *op, ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  if (auto own = dyn_cast<WorkOpInterface>(op))
    return own.getWork(extent);
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    count(linalgOp, extent, terms);
  else if (auto softmax = dyn_cast<linalg::SoftmaxOp>(op))
    count(softmax, extent, terms);
  return terms;
}

SmallVector<WorkTerm> countWork(KernelOp kernel) {
  DimResolver dims(kernel);
  SmallVector<Operation *> ops;
  for (Operation &op : kernel.getBody().front())
    ops.push_back(&op);
  SmallVector<WorkTerm> terms;
  for (Operation *op : ops)
    llvm::append_range(
        terms, countWork(op, [&](Value tensor, int64_t axis) { return dims.get(tensor, axis); }));
  return terms;
}

} // namespace attune::codegen
