#include "attune/codegen/cost/Work.h"

#include "attune/passes/fuse/Dims.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace attune::codegen {
namespace {

class Counter {
public:
  explicit Counter(KernelOp kernel) : kernel(kernel), dims(kernel) {}

  SmallVector<WorkTerm> run() {
    SmallVector<Operation *> ops;
    for (Operation &op : kernel.getBody().front())
      ops.push_back(&op);
    for (Operation *op : ops) {
      if (auto own = dyn_cast<WorkOpInterface>(op))
        llvm::append_range(
            terms, own.getWork([&](Value tensor, int64_t axis) { return dims.get(tensor, axis); }));
      else if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
        count(linalgOp);
      else if (isa<linalg::SoftmaxOp>(op))
        count(cast<linalg::SoftmaxOp>(op));
    }
    return std::move(terms);
  }

private:
  KernelOp kernel;
  DimResolver dims;
  SmallVector<WorkTerm> terms;

  /// Maximum, difference, sum, quotient and one exponential per element.
  void count(linalg::SoftmaxOp op) {
    SmallVector<OpFoldResult> elements = getExtents(
        op.getInput(), [&](Value tensor, int64_t axis) { return dims.get(tensor, axis); });
    addWork(terms, WorkTerm::Class::Arithmetic, 4, elements);
    addWork(terms, WorkTerm::Class::Transcendental, 1, elements);
  }

  void count(linalg::LinalgOp op) {
    if (isa<linalg::FillOp, linalg::TransposeOp, linalg::CopyOp>(op.getOperation()))
      return;
    SmallVector<OpFoldResult> loops(op.getNumLoops());
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<RankedTensorType>(operand.get().getType()))
        continue;
      AffineMap map = op.getMatchingIndexingMap(&operand);
      for (auto [axis, expr] : llvm::enumerate(map.getResults()))
        if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && !loops[dim.getPosition()])
          loops[dim.getPosition()] = dims.get(operand.get(), axis);
    }
    if (linalg::isaContractionOpInterface(op))
      addWork(terms, WorkTerm::Class::Fma, 2, loops);
    else
      addBodyWork(terms, *op.getBlock(), loops);
  }
};

} // namespace

SmallVector<WorkTerm> countWork(KernelOp kernel) { return Counter(kernel).run(); }

} // namespace attune::codegen
