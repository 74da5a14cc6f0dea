#include "attune/codegen/cpu/RowwisePlan.h"

using namespace mlir;

namespace attune::codegen {

/// Elements of the lane class in a row, when it may be cut.
static constexpr int64_t kLaneBlock = 2048;
static constexpr int64_t kReducedLaneBlock = 128;
/// Lines that lie 2048 bytes apart share 2 sets of 8 lines in the first level of cache.
static constexpr int64_t kTransposedLaneBlock = 16;

SmallVector<int> RowwisePlan::innerClasses(Value value) {
  SmallVector<int> inner;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(value.getType()).getRank(); ++axis) {
    int axisClass = classes.of(value, axis);
    if (!isUnit(axisClass) && !llvm::is_contained(rows, axisClass))
      inner.push_back(axisClass);
  }
  return inner;
}

namespace {
/// The accesses of an operand, a table or an output; more loops around it make it count more.
struct Weighed : RowwiseAccess {
  int64_t weight;
  int64_t bytes; ///< of an element
};

int64_t bytesOf(Value tensor) {
  return (getElementTypeOrSelf(tensor.getType()).getIntOrFloatBitWidth() + 7) / 8;
}
} // namespace

/// Accesses to inputs and outputs; classes whose index is used otherwise go to `pinned`.
static SmallVector<Weighed> findAccesses(RowwisePlan &plan, ArrayRef<Operation *> live,
                                         std::set<int> &pinned) {
  SmallVector<Weighed> accesses;
  auto addView = [&](const View &view, int64_t weight,
                     llvm::function_ref<int(int64_t)> classOfAxis) {
    Weighed access{{}, weight, bytesOf(view.root)};
    for (auto [axis, stride] : llvm::enumerate(view.strides))
      if (int axisClass = classOfAxis(axis); axisClass >= 0)
        access.strides[axisClass] = access.stride(axisClass) + stride;
    accesses.push_back(access);
  };
  for (auto &[number, place] : plan.placements) {
    auto classOfAxis = [&](int64_t axis) { return plan.classOf(place.value, axis); };
    int64_t rank = place.strides.size();
    addView({place.value, place.offset, place.strides}, 2 * rank + 1, classOfAxis);
    std::optional<View> view = readView(*plan.sizes, place.value);
    if (view && plan.sizes->inputNumber(view->root))
      addView(*view, 2 * rank, classOfAxis);
  }
  for (Operation *op : live) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp || !isComputed(op))
      continue;
    SmallVector<int> loops;
    for (int64_t loop = 0; loop < linalgOp.getNumLoops(); ++loop)
      loops.push_back(plan.classes.of(op, loop));
    for (Operation &inner : *linalgOp.getBlock())
      if (auto index = dyn_cast<linalg::IndexOp>(inner))
        pinned.insert(loops[index.getDim()]);
      else if (auto extract = dyn_cast<tensor::ExtractOp>(inner))
        accesses.push_back({plan.accessOf(linalgOp, extract), 2 * linalgOp.getNumLoops(),
                            bytesOf(extract.getTensor())});
    for (OpOperand *operand : linalgOp.getDpsInputOperands()) {
      AffineMap map = linalgOp.getMatchingIndexingMap(operand);
      for (auto [axis, expr] : llvm::enumerate(map.getResults()))
        if (!isa<AffineDimExpr>(expr)) {
          // A value computed here is asked for at such an index: its axis must stay one.
          pinned.insert(plan.classOf(operand->get(), axis));
          expr.walk([&](AffineExpr inner) {
            if (auto dim = dyn_cast<AffineDimExpr>(inner))
              pinned.insert(plan.classes.of(op, dim.getPosition()));
          });
        }
      std::optional<View> view = readView(*plan.sizes, operand->get());
      if (view && plan.sizes->inputNumber(view->root))
        addView(*view, 2 * linalgOp.getNumLoops(), [&](int64_t axis) {
          auto dim = dyn_cast<AffineDimExpr>(map.getResult(axis));
          return dim ? plan.classes.of(op, dim.getPosition()) : -1;
        });
    }
  }
  return accesses;
}

/// Makes one axis of two that are walked as one everywhere: `outer` gets extent 1.
void RowwisePlan::foldAxes() {
  if (reshapesInside)
    return;
  std::set<int> pinned;
  SmallVector<Weighed> accesses = findAccesses(*this, live.getArrayRef(), pinned);
  auto foldable = [&](int outer, int inner) {
    for (const Weighed &access : accesses)
      if (access.stride(outer) != access.stride(inner) * extents.at(inner))
        return false;
    for (Operation *op : live) {
      auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
      if (!linalgOp || !isComputed(op) || linalgOp.getNumReductionLoops() == 0)
        continue;
      std::optional<utils::IteratorType> outerKind, innerKind;
      auto iterators = linalgOp.getIteratorTypesArray();
      for (int64_t loop = 0; loop < linalgOp.getNumLoops(); ++loop) {
        if (classes.of(op, loop) == outer)
          outerKind = iterators[loop];
        if (classes.of(op, loop) == inner)
          innerKind = iterators[loop];
      }
      if (outerKind != innerKind)
        return false;
    }
    return true;
  };
  bool changed = true;
  while (changed) {
    changed = false;
    for (auto &[outer, outerExtent] : extents)
      for (auto &[inner, innerExtent] : extents) {
        if (outer == inner || isUnit(outer) || isUnit(inner) || pinned.contains(outer) ||
            pinned.contains(inner) || !foldable(outer, inner))
          continue;
        innerExtent = outerExtent * innerExtent;
        outerExtent = Size(1);
        changed = true;
      }
  }
}

void RowwisePlan::chooseLane() {
  std::set<int> pinned;
  SmallVector<Weighed> accesses = findAccesses(*this, live.getArrayRef(), pinned);
  // Lanes read or write a vector, a vector of places that lie apart, or one place for all.
  auto score = [&](int axisClass) {
    int64_t sum = 0;
    for (const Weighed &access : accesses)
      if (access.moves(axisClass))
        sum += access.isDense(axisClass) ? access.weight : -access.weight;
    return sum;
  };
  std::optional<int64_t> best;
  for (auto &[axisClass, extent] : extents) {
    bool dense = llvm::any_of(accesses, [&](const Weighed &a) { return a.isDense(axisClass); });
    if (!dense || extent.is(1) || (best && score(axisClass) <= *best))
      continue;
    best = score(axisClass);
    lane = axisClass;
  }
}

void RowwisePlan::chooseRows() {
  std::set<int> reduced;
  for (Operation *op : live) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp || !isComputed(op))
      continue;
    auto iterators = linalgOp.getIteratorTypesArray();
    for (int64_t loop = 0; loop < linalgOp.getNumLoops(); ++loop)
      if (iterators[loop] == utils::IteratorType::reduction)
        reduced.insert(classes.of(op, loop));
  }
  auto eligible = [&](int axisClass) {
    return !isUnit(axisClass) && !reduced.contains(axisClass) &&
           llvm::all_of(placements, [&](auto &entry) {
             return llvm::is_contained(innerClasses(entry.second.value), axisClass);
           });
  };
  // Reductions along other axes leave few rows: their blocks are small, so that there are tasks.
  int64_t block = reduced.empty() ? kLaneBlock : kReducedLaneBlock;
  if (lane >= 0 && eligible(lane) && extents.at(lane).constant().value_or(INT64_MAX) > 2 * block)
    laneBlock = block;
  SmallVector<int> chosen;
  for (int axisClass : innerClasses(placements[0].second.value))
    if (axisClass != lane && eligible(axisClass))
      chosen.push_back(axisClass);
  rows = chosen;
  if (lane >= 0 && reduced.empty() && eligible(lane))
    chooseTiles();
}

/// The last row class becomes one along which an input is dense that lanes read at a distance,
/// unless the lines of all lanes are known to stay in the cache anyway.
void RowwisePlan::chooseTiles() {
  std::set<int> pinned;
  SmallVector<Weighed> accesses = findAccesses(*this, live.getArrayRef(), pinned);
  std::optional<int64_t> extent = extents.at(lane).constant();
  auto isTransposed = [&](int axisClass) {
    return llvm::any_of(accesses, [&](const Weighed &access) {
      std::optional<int64_t> apart = access.stride(lane).constant();
      return access.isDense(axisClass) && access.moves(lane) &&
             (!apart || !extent || losesLines(std::abs(*apart) * access.bytes, *extent));
    });
  };
  auto inner = llvm::find_if(rows, isTransposed);
  if (lanes == 1 || reshapesInside || pinned.contains(lane) || inner == rows.end())
    return;
  std::rotate(inner, inner + 1, rows.end());
  laneBlock = kTransposedLaneBlock;
  blocksOutside = true;
}

/// Memory moves about 16 bytes a cycle, so a vector takes at least 4 cycles.
Size RowwisePlan::rowCost() const {
  Size cost(64);
  for (const Stage &stage : stages) {
    Size elements(std::max<int64_t>(16 * (stage.cost + 4) / lanes, 1));
    SmallVector<int> loops(stage.parallel);
    loops.append(stage.reduction);
    if (stage.lane >= 0)
      loops.push_back(stage.lane);
    for (int axisClass : loops)
      elements =
          elements * (axisClass == lane && laneBlock ? Size(laneBlock) : extents.at(axisClass));
    cost = cost + elements;
  }
  return cost;
}

Size RowwisePlan::rowCount() const {
  Size count(1);
  for (int axisClass : rows)
    count = count * extents.at(axisClass);
  return count;
}

Size RowwisePlan::keptElements(Value value) const {
  Size count(1);
  for (int axisClass : kept.find(value)->second)
    count = count * (axisClass == lane && laneBlock ? Size(laneBlock) : extents.at(axisClass));
  return count;
}

} // namespace attune::codegen
