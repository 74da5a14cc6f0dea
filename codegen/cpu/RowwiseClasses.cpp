#include "attune/codegen/cpu/RowwisePlan.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune::codegen {

int AxisClasses::id(const void *owner, int64_t number) {
  auto [it, fresh] = ids.try_emplace({owner, number}, static_cast<int>(parents.size()));
  if (fresh) {
    parents.push_back(it->second);
    owners.push_back({owner});
  }
  return it->second;
}

int AxisClasses::find(int x) const {
  while (parents[x] != x)
    x = parents[x];
  return x;
}

void AxisClasses::unite(int x, int y) {
  x = find(x);
  y = find(y);
  if (x == y)
    return;
  for (const void *owner : owners[x])
    if (llvm::is_contained(owners[y], owner))
      return;
  if (x > y)
    std::swap(x, y);
  parents[y] = x;
  owners[x].append(owners[y]);
}

static int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

/// Axes of the two sides of an operator that always run together.
static void uniteAxes(AxisClasses &classes, linalg::LinalgOp op) {
  for (OpOperand &operand : op->getOpOperands()) {
    for (auto [axis, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults())) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (!dim)
        continue;
      int loop = classes.of(op, dim.getPosition());
      classes.unite(loop, classes.of(operand.get(), axis));
      if (op.isDpsInit(&operand))
        classes.unite(loop, classes.of(op.getTiedOpResult(&operand), axis));
    }
  }
}

static void uniteAxes(AxisClasses &classes, linalg::TransposeOp op) {
  for (auto [axis, source] : llvm::enumerate(op.getPermutation()))
    classes.unite(classes.of(op->getResult(0), axis), classes.of(op.getInput(), source));
}

static void uniteAxes(AxisClasses &classes, linalg::BroadcastOp op) {
  int64_t next = 0;
  for (int64_t axis = 0; axis < rankOf(op->getResult(0)); ++axis)
    if (!llvm::is_contained(op.getDimensions(), axis))
      classes.unite(classes.of(op->getResult(0), axis), classes.of(op.getInput(), next++));
}

static void uniteAxes(AxisClasses &classes, tensor::CastOp op) {
  for (int64_t axis = 0; axis < rankOf(op.getResult()); ++axis)
    classes.unite(classes.of(op.getResult(), axis), classes.of(op.getSource(), axis));
}

/// A group with one axis longer than 1 only renames it.
static void uniteGroups(AxisClasses &classes, Value single, Value grouped,
                        ArrayRef<ReassociationIndices> groups) {
  auto type = cast<RankedTensorType>(grouped.getType());
  for (auto [axis, group] : llvm::enumerate(groups)) {
    SmallVector<int64_t> longer;
    for (int64_t member : group)
      if (type.getDimSize(member) != 1)
        longer.push_back(member);
    if (longer.size() == 1)
      classes.unite(classes.of(single, axis), classes.of(grouped, longer[0]));
  }
}

static void uniteAxes(AxisClasses &classes, tensor::ConcatOp op) {
  for (Value source : op.getInputs())
    for (int64_t axis = 0; axis < rankOf(source); ++axis)
      if (axis != static_cast<int64_t>(op.getDim()))
        classes.unite(classes.of(op.getResult(), axis), classes.of(source, axis));
}

static void uniteAxes(AxisClasses &classes, tensor::PadOp op) {
  for (int64_t axis = 0; axis < rankOf(op.getSource()); ++axis)
    if (isConstantIntValue(op.getMixedLowPad()[axis], 0) &&
        isConstantIntValue(op.getMixedHighPad()[axis], 0))
      classes.unite(classes.of(op.getResult(), axis), classes.of(op.getSource(), axis));
}

/// Axes that are taken whole.
static void uniteAxes(AxisClasses &classes, const Sizes &sizes, tensor::ExtractSliceOp op) {
  llvm::SmallBitVector dropped = op.getDroppedDims();
  int64_t next = 0;
  for (unsigned axis = 0; axis < dropped.size(); ++axis) {
    if (dropped[axis])
      continue;
    MaybeSize from = sizes.extent(op.getSource(), axis);
    MaybeSize to = sizes.extent(op.getResult(), next);
    if (isConstantIntValue(op.getMixedOffsets()[axis], 0) &&
        isConstantIntValue(op.getMixedStrides()[axis], 1) && from && to && *from == *to)
      classes.unite(classes.of(op.getSource(), axis), classes.of(op.getResult(), next));
    ++next;
  }
}

bool RowwisePlan::findClasses() {
  SmallVector<Value> values(kernel.getInputArgs().begin(), kernel.getInputArgs().end());
  for (Operation *op : live)
    values.append(op->result_begin(), op->result_end());
  for (Value value : values)
    for (int64_t axis = 0; axis < rankOf(value); ++axis)
      classes.of(value, axis);

  for (Operation *op : live) {
    if (isComputed(op)) {
      uniteAxes(classes, cast<linalg::LinalgOp>(op));
      continue;
    }
    llvm::TypeSwitch<Operation *>(op)
        .Case<linalg::TransposeOp, linalg::BroadcastOp, tensor::CastOp, tensor::ConcatOp,
              tensor::PadOp>([&](auto view) { uniteAxes(classes, view); })
        .Case([&](tensor::ExpandShapeOp view) {
          uniteGroups(classes, view.getSrc(), view.getResult(), view.getReassociationIndices());
        })
        .Case([&](tensor::CollapseShapeOp view) {
          uniteGroups(classes, view.getResult(), view.getSrc(), view.getReassociationIndices());
        })
        .Case([&](tensor::ExtractSliceOp view) { uniteAxes(classes, *sizes, view); });
  }

  auto note = [&](int axisClass, MaybeSize size) {
    if (!size)
      return false;
    auto [it, fresh] = extents.try_emplace(axisClass, *size);
    if (!fresh && size->constant() && !it->second.constant())
      it->second = *size;
    return true;
  };
  for (Value value : values)
    for (int64_t axis = 0; axis < rankOf(value); ++axis)
      if (!note(classes.of(value, axis), sizes->extent(value, axis)))
        return false;
  for (Operation *op : live) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp || !isComputed(op))
      continue;
    for (int64_t loop = 0; loop < linalgOp.getNumLoops(); ++loop) {
      Value operand;
      unsigned axis;
      if (failed(linalgOp.mapIterationSpaceDimToOperandDim(loop, operand, axis)) ||
          !note(classes.of(op, loop), sizes->extent(operand, axis)))
        return false;
    }
  }
  return true;
}

} // namespace attune::codegen
