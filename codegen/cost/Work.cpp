#include "attune/codegen/cost/Work.h"

#include "attune/passes/fuse/Dims.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

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
      if (auto attention = dyn_cast<AttentionOp>(op))
        count(attention);
      else if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
        count(linalgOp);
      else if (isa<NormOp, ScanOp, linalg::SoftmaxOp>(op))
        add(WorkTerm::Class::Arithmetic, 6, extents(op->getOperand(0)));
    }
    return std::move(terms);
  }

private:
  KernelOp kernel;
  DimResolver dims;
  SmallVector<WorkTerm> terms;

  SmallVector<OpFoldResult> extents(Value tensor) {
    SmallVector<OpFoldResult> list;
    for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis)
      list.push_back(dims.get(tensor, axis));
    return list;
  }

  void add(WorkTerm::Class kind, double perIteration, SmallVector<OpFoldResult> box) {
    if (perIteration > 0 && llvm::none_of(box, [](OpFoldResult extent) { return !extent; }))
      terms.push_back({kind, perIteration, std::move(box)});
  }

  /// Two products per pair of query and key, of D and E multiply-adds each, and one exponential.
  void count(AttentionOp op) {
    SmallVector<OpFoldResult> value = extents(op.getValue());
    SmallVector<OpFoldResult> pairs = extents(op.getResult());
    pairs[3] = value[2];
    add(WorkTerm::Class::Transcendental, 1, pairs);
    SmallVector<OpFoldResult> weighted = pairs;
    weighted.push_back(value[3]);
    add(WorkTerm::Class::Fma, 2, weighted);
    if (op.getQuery()) {
      SmallVector<OpFoldResult> scored = pairs;
      scored.push_back(extents(op.getQuery())[3]);
      add(WorkTerm::Class::Fma, 2, scored);
    }
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
    double flops = 0, transcendental = 0;
    for (Operation &inner : op.getBlock()->without_terminator()) {
      if (isa<math::MathDialect>(inner.getDialect()))
        transcendental += 1;
      else if (inner.getNumResults() == 1 && isa<FloatType>(inner.getResult(0).getType()) &&
               isa<arith::ArithDialect>(inner.getDialect()) && inner.getNumOperands() > 1)
        flops += 1;
    }
    bool contraction = linalg::isaContractionOpInterface(op);
    add(contraction ? WorkTerm::Class::Fma : WorkTerm::Class::Arithmetic, contraction ? 2 : flops,
        loops);
    add(WorkTerm::Class::Transcendental, transcendental, loops);
  }
};

} // namespace

SmallVector<WorkTerm> countWork(KernelOp kernel) { return Counter(kernel).run(); }

} // namespace attune::codegen
