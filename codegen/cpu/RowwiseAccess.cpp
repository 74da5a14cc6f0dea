#include "attune/codegen/cpu/RowwisePlan.h"

#include <numeric>

using namespace mlir;

namespace attune::codegen {

Size RowwiseAccess::stride(int axisClass) const {
  auto it = strides.find(axisClass);
  return it == strides.end() ? Size(0) : it->second;
}

/// The first level of cache has 64 sets of 8 lines.
bool losesLines(int64_t bytesApart, double count) {
  constexpr int64_t kLine = 64, kSets = 64, kWays = 8;
  int64_t sets = kSets;
  if (bytesApart && bytesApart % kLine == 0)
    sets = kSets / std::gcd(bytesApart / kLine, kSets);
  return count > sets * kWays;
}

namespace {

/// Adds indices of a read to `access`.
struct IndexWalk {
  RowwisePlan &plan;
  linalg::LinalgOp op;
  RowwiseAccess &access;

  /// Sums of sums beyond `depth` count as scattered.
  void add(Value index, const Size &stride, unsigned depth = 4) {
    Operation *inner = index.getDefiningOp();
    if (auto loop = dyn_cast_or_null<linalg::IndexOp>(inner)) {
      int axisClass = plan.classes.of(op, loop.getDim());
      access.strides[axisClass] = access.stride(axisClass) + stride;
    } else if (depth > 0 && isa_and_nonnull<arith::AddIOp, arith::SubIOp>(inner)) {
      add(inner->getOperand(0), stride, depth - 1);
      add(inner->getOperand(1), isa<arith::AddIOp>(inner) ? stride : Size(0) - stride, depth - 1);
    } else {
      scatter(index);
    }
  }

  /// Every class that `value` may change with.
  void scatter(Value value) {
    if (!seen.insert(value).second || value.getParentBlock() != op.getBlock())
      return;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      AffineMap map = op.getMatchingIndexingMap(op.getMatchingOpOperand(argument));
      for (unsigned loop = 0; loop < map.getNumDims(); ++loop)
        if (map.isFunctionOfDim(loop))
          access.scattered.insert(plan.classes.of(op, loop));
    } else if (auto loop = value.getDefiningOp<linalg::IndexOp>()) {
      access.scattered.insert(plan.classes.of(op, loop.getDim()));
    } else {
      for (Value operand : value.getDefiningOp()->getOperands())
        scatter(operand);
    }
  }

  DenseSet<Value> seen;
};

} // namespace

RowwiseAccess RowwisePlan::accessOf(linalg::LinalgOp op, tensor::ExtractOp extract) {
  RowwiseAccess access;
  IndexWalk walk{*this, op, access, {}};
  std::optional<View> view = readView(*sizes, extract.getTensor());
  for (auto [axis, index] : llvm::enumerate(extract.getIndices()))
    if (!view)
      walk.scatter(index);
    else if (!view->strides[axis].is(0))
      walk.add(index, view->strides[axis]);
  return access;
}

} // namespace attune::codegen
