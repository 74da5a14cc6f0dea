#include "attune/codegen/cpu/RowwisePlan.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::codegen {

/// Values cheaper than this (in operators per element) are computed again at every use.
static constexpr int64_t kKeepCost = 4;
/// A value that costs more than this and does not depend on every row class is not worth computing
/// again for every row.
static constexpr int64_t kRecomputeCost = 16;

static int64_t bodyCost(Block &body) {
  int64_t cost = 0;
  for (Operation &op : body.without_terminator()) {
    if (isa<math::SqrtOp, arith::DivFOp>(op))
      cost += 6;
    else if (isa<math::AbsFOp, math::FmaOp, math::FloorOp, math::CeilOp, math::RoundEvenOp,
                 arith::ConstantOp, linalg::IndexOp>(op))
      cost += 1;
    else if (isa<math::MathDialect>(op.getDialect()))
      cost += 16;
    else if (isa<tensor::ExtractOp>(op))
      cost += 5;
    else
      cost += 1;
  }
  return cost;
}

int64_t RowwisePlan::cost(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || stageOf.count(value))
    return 1;
  auto known = costs.find(value);
  if (known != costs.end())
    return known->second;
  int64_t sum = 0;
  if (isView(op)) {
    for (Value source : viewSources(op))
      sum += cost(source);
  } else if (isComputed(op)) {
    auto linalgOp = cast<linalg::LinalgOp>(op);
    sum = bodyCost(*linalgOp.getBlock());
    for (Value input : linalgOp.getDpsInputs())
      sum += cost(input);
  }
  return costs[value] = std::min<int64_t>(sum, 1 << 20);
}

unsigned RowwisePlan::uses(Value value) {
  unsigned count = 0;
  for (auto &[number, place] : placements)
    count += place.value == value;
  llvm::SmallPtrSet<Operation *, 8> users(value.user_begin(), value.user_end());
  for (Operation *user : users)
    if (live.contains(user))
      count += isView(user) ? uses(user->getResult(0)) : 1;
  return count;
}

bool RowwisePlan::isBroadcast(Value value) {
  SmallVector<int> inner = innerClasses(value);
  for (Operation *user : value.getUsers()) {
    if (!live.contains(user))
      continue;
    if (isView(user) && isBroadcast(user->getResult(0)))
      return true;
    auto linalgOp = dyn_cast<linalg::LinalgOp>(user);
    if (!linalgOp || !isComputed(user))
      continue;
    for (int64_t loop = 0; loop < linalgOp.getNumLoops(); ++loop) {
      int axisClass = classes.of(user, loop);
      if (!isUnit(axisClass) && !llvm::is_contained(rows, axisClass) &&
          !llvm::is_contained(inner, axisClass))
        return true;
    }
  }
  return false;
}

void RowwisePlan::dependencies(Value value, bool samePoint,
                               llvm::function_ref<void(Value, bool)> found) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return;
  auto visit = [&](Value operand, bool same) {
    if (stageOf.count(operand))
      found(operand, same);
    else
      dependencies(operand, same, found);
  };
  if (isView(op)) {
    for (Value source : viewSources(op))
      visit(source, samePoint && isAxisPreserving(op));
    return;
  }
  if (!isComputed(op))
    return;
  auto linalgOp = cast<linalg::LinalgOp>(op);
  for (OpOperand &operand : op->getOpOperands()) {
    bool same = samePoint;
    for (auto [axis, expr] :
         llvm::enumerate(linalgOp.getMatchingIndexingMap(&operand).getResults())) {
      int axisClass = classes.of(operand.get(), axis);
      auto dim = dyn_cast<AffineDimExpr>(expr);
      same &= isUnit(axisClass) || (dim && classes.of(op, dim.getPosition()) == axisClass);
    }
    visit(operand.get(), same);
  }
}

bool RowwisePlan::addRoot(Root root) {
  // Loops of the root: parallel classes, then reduced ones.
  SmallVector<int> loops = innerClasses(root.value), reduced;
  if (root.kind == Root::Reduce) {
    auto op = root.value.getDefiningOp<linalg::LinalgOp>();
    auto iterators = op.getIteratorTypesArray();
    for (int64_t loop = 0; loop < op.getNumLoops(); ++loop) {
      int axisClass = classes.of(op, loop);
      if (iterators[loop] == utils::IteratorType::reduction && !isUnit(axisClass))
        reduced.push_back(axisClass);
    }
  }
  SmallVector<int> all(loops);
  all.append(reduced);

  int64_t first = 0;
  auto found = [&](Value value, bool samePoint) {
    int stage = stageOf[value];
    bool ready = samePoint && value.getDefiningOp<linalg::LinalgOp>().getNumReductionLoops() == 0;
    first = std::max<int64_t>(first, ready ? stage : stage + 1);
  };
  if (root.kind == Root::Store && stageOf.count(root.value))
    found(root.value, true);
  else
    dependencies(root.value, true, found);

  auto sameSet = [](ArrayRef<int> x, ArrayRef<int> y) {
    return x.size() == y.size() && llvm::all_of(x, [&](int c) { return llvm::is_contained(y, c); });
  };
  for (int64_t number = first; number <= static_cast<int64_t>(stages.size()); ++number) {
    if (number == static_cast<int64_t>(stages.size())) {
      stages.emplace_back();
      stages.back().parallel = loops;
      stages.back().reduction = reduced;
    }
    Stage &stage = stages[number];
    SmallVector<int> have(stage.parallel);
    have.append(stage.reduction);
    if (!sameSet(have, all))
      continue;
    bool reduces = llvm::any_of(stage.roots, [](Root &r) { return r.kind == Root::Reduce; });
    if (root.kind == Root::Reduce && reduces && !sameSet(stage.reduction, reduced))
      continue;
    if (root.kind == Root::Reduce && !reduces) {
      stage.parallel = loops;
      stage.reduction = reduced;
    }
    stage.cost += cost(root.value) + 1;
    stage.roots.push_back(root);
    if (root.kind != Root::Store)
      stageOf[root.value] = number;
    if (root.kept)
      kept[root.value] = innerClasses(root.value);
    return true;
  }
  return false;
}

bool RowwisePlan::dependsOnRows(Value value) {
  return llvm::all_of(rows, [&](int axisClass) {
    for (int64_t axis = 0; axis < cast<RankedTensorType>(value.getType()).getRank(); ++axis)
      if (classes.of(value, axis) == axisClass)
        return true;
    return false;
  });
}

bool RowwisePlan::chooseRoots() {
  for (Operation *op : live) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp || !isComputed(op))
      continue;
    for (Value value : op->getResults()) {
      unsigned count = uses(value);
      if (count == 0)
        continue;
      if (!dependsOnRows(value) &&
          (linalgOp.getNumReductionLoops() > 0 ||
           (bodyCost(*linalgOp.getBlock()) >= kRecomputeCost && !innerClasses(value).empty())))
        return false;
      bool inner = !innerClasses(value).empty();
      Root root{Root::Keep, value, {}, false};
      if (linalgOp.getNumReductionLoops() > 0) {
        root.kind = Root::Reduce;
        for (auto [number, entry] : llvm::enumerate(placements))
          if (entry.second.value == value)
            root.placements.push_back(number);
        root.kept = inner && count > root.placements.size();
      } else if (inner) {
        if (cost(value) < kKeepCost || (count < 2 && !isBroadcast(value)))
          continue;
        root.kept = true;
      }
      if (!addRoot(root))
        return false;
    }
  }
  for (auto [number, entry] : llvm::enumerate(placements)) {
    auto op = entry.second.value.getDefiningOp<linalg::LinalgOp>();
    bool reduced = op && isComputed(op) && op.getNumReductionLoops() > 0;
    if (!reduced && !addRoot(Root{Root::Store, entry.second.value, {int(number)}, false}))
      return false;
  }
  for (Stage &stage : stages) {
    auto take = [&](SmallVector<int> &from, int axisClass) {
      from.erase(llvm::find(from, axisClass));
      stage.lane = axisClass;
    };
    if (llvm::is_contained(stage.parallel, lane)) {
      take(stage.parallel, lane);
    } else if (llvm::is_contained(stage.reduction, lane)) {
      take(stage.reduction, lane);
      stage.laneReduced = true;
    } else if (!stage.parallel.empty()) {
      take(stage.parallel, stage.parallel.back());
    } else if (!stage.reduction.empty()) {
      take(stage.reduction, stage.reduction.back());
      stage.laneReduced = true;
    }
  }
  return true;
}

} // namespace attune::codegen
