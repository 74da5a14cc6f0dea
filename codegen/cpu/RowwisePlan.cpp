#include "attune/codegen/cpu/RowwisePlan.h"

#include "attune/codegen/cpu/Lanes.h"
#include "attune/codegen/cpu/RowwiseExpand.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <set>

using namespace mlir;

namespace attune::codegen {

/// Values cheaper than this (in operators per element) are computed again at every use.
static constexpr int64_t kKeepCost = 4;
/// Elements of the lane class in a row, when it may be cut.
static constexpr int64_t kLaneBlock = 2048;
static constexpr int64_t kReducedLaneBlock = 128;
/// A value that costs more than this and does not depend on every row class is not worth computing
/// again for every row.
static constexpr int64_t kRecomputeCost = 16;

//===--------------------------------------------------------------------------------------------===//
// Classes
//===--------------------------------------------------------------------------------------------===//

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

//===--------------------------------------------------------------------------------------------===//
// What the region consists of
//===--------------------------------------------------------------------------------------------===//

static bool isView(Operation *op) {
  return isa<linalg::TransposeOp, linalg::BroadcastOp, tensor::CastOp, tensor::ExpandShapeOp,
             tensor::CollapseShapeOp, tensor::ConcatOp, tensor::ExtractSliceOp, tensor::PadOp>(op);
}

/// The tensors whose elements the result of a view consists of.
static OperandRange viewSources(Operation *op) {
  if (auto concat = dyn_cast<tensor::ConcatOp>(op))
    return concat.getInputs();
  return op->getOperands().take_front(1);
}

/// Elements beyond the source are one scalar that the region gives.
static bool isSupportedPad(tensor::PadOp pad, const Sizes &sizes) {
  Value value = pad.getConstantPaddingValue();
  if (!value)
    return false;
  for (OpFoldResult low : pad.getMixedLowPad())
    if (!sizes.of(low))
      return false;
  return value.getDefiningOp<arith::ConstantOp>() || sizes.of(value);
}

static bool isAxisPreserving(Operation *op) {
  return isa<linalg::TransposeOp, linalg::BroadcastOp, tensor::CastOp>(op);
}

bool isUniform(Value tensor) {
  Operation *op = tensor.getDefiningOp();
  if (auto constant = dyn_cast_or_null<arith::ConstantOp>(op)) {
    auto elements = dyn_cast<DenseElementsAttr>(constant.getValue());
    return elements && elements.isSplat();
  }
  return isa_and_nonnull<linalg::FillOp, tensor::SplatOp>(op);
}

bool isComputed(Operation *op) {
  return isa<linalg::LinalgOp>(op) && !isView(op) && !isa<linalg::FillOp>(op);
}

static bool hasScalarElements(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return true;
  Type element = tensor.getElementType();
  if (!element.isIntOrFloat())
    return false;
  unsigned bits = element.getIntOrFloatBitWidth();
  return element.isInteger(1) || bits == 8 || bits == 16 || bits == 32 || bits == 64;
}

static bool isSupportedComputed(linalg::LinalgOp op, const Sizes &sizes) {
  if (!op.hasPureTensorSemantics() || op->getNumRegions() != 1 ||
      !Lanes::supports(*op.getBlock(), sizes))
    return false;
  for (auto [number, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    if (op.getNumReductionLoops() == 0 ? !map.isPermutation() : !map.isProjectedPermutation())
      return false;
    if (op.getNumReductionLoops() != 0 && !Reduction::match(op, number))
      return false;
  }
  auto isPureAffine = [](AffineMap map) {
    return llvm::all_of(map.getResults(), [](AffineExpr expr) {
      bool divides = false;
      expr.walk([&](AffineExpr inner) {
        divides |= llvm::is_contained(
            {AffineExprKind::FloorDiv, AffineExprKind::CeilDiv, AffineExprKind::Mod},
            inner.getKind());
      });
      return !divides && expr.isPureAffine();
    });
  };
  return llvm::all_of(op.getIndexingMapsArray(), isPureAffine);
}

bool RowwisePlan::prepare(KernelOp original) {
  for (Operation &op : original.getBody().front()) {
    bool known = isa<arith::ArithDialect>(op.getDialect()) || isa<NormOp, linalg::SoftmaxOp>(op) ||
                 isa<linalg::LinalgOp>(op) || isView(&op) ||
                 isa<tensor::EmptyOp, tensor::DimOp, tensor::InsertSliceOp, tensor::SplatOp>(op) ||
                 op.getName().getDialectNamespace() == "affine" || isa<YieldOp>(op);
    if (!known || !llvm::all_of(op.getResultTypes(), hasScalarElements))
      return false;
  }
  if (!llvm::all_of(original.getInputs().getTypes(), hasScalarElements))
    return false;
  std::tie(module, kernel) = copyKernel(original);
  if (failed(expandRowOperators(kernel)))
    return false;
  sizes = std::make_unique<Sizes>(kernel);
  return true;
}

bool RowwisePlan::collect() {
  for (auto [number, value] : llvm::enumerate(kernel.getYield().getValues())) {
    std::optional<SmallVector<Placement>> parts = writeViews(*sizes, value);
    if (!parts)
      return false;
    for (Placement &part : *parts)
      placements.push_back({number, part});
  }
  if (placements.empty())
    return false;
  SmallVector<Value> open;
  for (auto &[number, place] : placements)
    open.push_back(place.value);
  llvm::SmallPtrSet<Operation *, 16> seen;
  while (!open.empty()) {
    Operation *op = open.pop_back_val().getDefiningOp();
    if (!op || !seen.insert(op).second)
      continue;
    if (isComputed(op)) {
      if (!isSupportedComputed(cast<linalg::LinalgOp>(op), *sizes))
        return false;
      open.append(op->operand_begin(), op->operand_end());
    } else if (isView(op)) {
      if (auto pad = dyn_cast<tensor::PadOp>(op); pad && !isSupportedPad(pad, *sizes))
        return false;
      for (Value source : viewSources(op))
        open.push_back(source);
    } else if (!isUniform(op->getResult(0)) && !isa<tensor::EmptyOp>(op)) {
      return false;
    }
  }
  for (Operation &op : kernel.getBody().front())
    if (seen.contains(&op))
      live.insert(&op);
  for (Operation *op : live)
    if (isView(op) && !isAxisPreserving(op)) {
      std::optional<View> view = readView(*sizes, op->getResult(0));
      reshapesInside |= !view || !sizes->inputNumber(view->root);
    }
  return true;
}

bool RowwisePlan::findClasses() {
  SmallVector<Value> values(kernel.getInputArgs().begin(), kernel.getInputArgs().end());
  for (Operation *op : live)
    values.append(op->result_begin(), op->result_end());
  auto rankOf = [](Value value) { return cast<RankedTensorType>(value.getType()).getRank(); };
  for (Value value : values)
    for (int64_t axis = 0; axis < rankOf(value); ++axis)
      classes.of(value, axis);

  for (Operation *op : live) {
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op); linalgOp && isComputed(op)) {
      for (OpOperand &operand : op->getOpOperands()) {
        AffineMap map = linalgOp.getMatchingIndexingMap(&operand);
        for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
          auto dim = dyn_cast<AffineDimExpr>(expr);
          if (!dim)
            continue;
          int loop = classes.of(op, dim.getPosition());
          classes.unite(loop, classes.of(operand.get(), axis));
          if (linalgOp.isDpsInit(&operand))
            classes.unite(loop, classes.of(linalgOp.getTiedOpResult(&operand), axis));
        }
      }
    } else if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
      for (auto [axis, source] : llvm::enumerate(transpose.getPermutation()))
        classes.unite(classes.of(op->getResult(0), axis), classes.of(op->getOperand(0), source));
    } else if (auto broadcast = dyn_cast<linalg::BroadcastOp>(op)) {
      int64_t next = 0;
      for (int64_t axis = 0; axis < rankOf(op->getResult(0)); ++axis)
        if (!llvm::is_contained(broadcast.getDimensions(), axis))
          classes.unite(classes.of(op->getResult(0), axis), classes.of(op->getOperand(0), next++));
    } else if (isa<tensor::CastOp>(op)) {
      for (int64_t axis = 0; axis < rankOf(op->getResult(0)); ++axis)
        classes.unite(classes.of(op->getResult(0), axis), classes.of(op->getOperand(0), axis));
    } else if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
      // A group with one axis longer than 1 only renames it.
      auto expand = dyn_cast<tensor::ExpandShapeOp>(op);
      Value grouped = expand ? expand.getResult() : op->getOperand(0);
      Value single = expand ? op->getOperand(0) : op->getResult(0);
      auto groups = expand ? expand.getReassociationIndices()
                           : cast<tensor::CollapseShapeOp>(op).getReassociationIndices();
      for (auto [axis, group] : llvm::enumerate(groups)) {
        SmallVector<int64_t> longer;
        for (int64_t member : group)
          if (cast<RankedTensorType>(grouped.getType()).getDimSize(member) != 1)
            longer.push_back(member);
        if (longer.size() == 1)
          classes.unite(classes.of(single, axis), classes.of(grouped, longer[0]));
      }
    } else if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
      for (Value source : concat.getInputs())
        for (int64_t axis = 0; axis < rankOf(source); ++axis)
          if (axis != static_cast<int64_t>(concat.getDim()))
            classes.unite(classes.of(op->getResult(0), axis), classes.of(source, axis));
    } else if (auto pad = dyn_cast<tensor::PadOp>(op)) {
      for (int64_t axis = 0; axis < rankOf(pad.getSource()); ++axis)
        if (isConstantIntValue(pad.getMixedLowPad()[axis], 0) &&
            isConstantIntValue(pad.getMixedHighPad()[axis], 0))
          classes.unite(classes.of(op->getResult(0), axis), classes.of(pad.getSource(), axis));
    } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
      auto isZero = [](OpFoldResult x) { return isConstantIntValue(x, 0); };
      auto isOne = [](OpFoldResult x) { return isConstantIntValue(x, 1); };
      llvm::SmallBitVector dropped = slice.getDroppedDims();
      int64_t next = 0;
      for (unsigned axis = 0; axis < dropped.size(); ++axis) {
        if (dropped[axis])
          continue;
        MaybeSize from = sizes->extent(slice.getSource(), axis);
        MaybeSize to = sizes->extent(slice.getResult(), next);
        if (isZero(slice.getMixedOffsets()[axis]) && isOne(slice.getMixedStrides()[axis]) && from &&
            to && *from == *to)
          classes.unite(classes.of(op->getOperand(0), axis), classes.of(op->getResult(0), next));
        ++next;
      }
    }
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

//===--------------------------------------------------------------------------------------------===//
// Loops
//===--------------------------------------------------------------------------------------------===//

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
/// How memory is walked: the stride of each class in one operand or output.
struct Access {
  std::map<int, Size> strides;
  int64_t weight;
  SmallVector<int> loops; ///< classes that it is walked by
};
} // namespace

static Size strideOf(const Access &access, int axisClass) {
  auto it = access.strides.find(axisClass);
  return it == access.strides.end() ? Size(0) : it->second;
}

/// Accesses to inputs and outputs; classes whose index is used otherwise go to `pinned`.
static SmallVector<Access> findAccesses(RowwisePlan &plan, ArrayRef<Operation *> live,
                                        std::set<int> &pinned) {
  SmallVector<Access> accesses;
  auto addView = [&](const View &view, int64_t weight, ArrayRef<int> loops,
                     llvm::function_ref<int(int64_t)> classOfAxis) {
    Access access{{}, weight, SmallVector<int>(loops)};
    for (auto [axis, stride] : llvm::enumerate(view.strides))
      if (int axisClass = classOfAxis(axis); axisClass >= 0)
        access.strides[axisClass] = strideOf(access, axisClass) + stride;
    accesses.push_back(access);
  };
  for (auto &[number, place] : plan.placements) {
    auto classOfAxis = [&](int64_t axis) { return plan.classOf(place.value, axis); };
    int64_t rank = place.strides.size();
    SmallVector<int> loops;
    for (int64_t axis = 0; axis < rank; ++axis)
      loops.push_back(classOfAxis(axis));
    addView({place.value, place.offset, place.strides}, 2 * rank + 1, loops, classOfAxis);
    std::optional<View> view = readView(*plan.sizes, place.value);
    if (view && plan.sizes->inputNumber(view->root))
      addView(*view, 2 * rank, loops, classOfAxis);
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
        addView(*view, 2 * linalgOp.getNumLoops(), loops, [&](int64_t axis) {
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
  SmallVector<Access> accesses = findAccesses(*this, live.getArrayRef(), pinned);
  auto foldable = [&](int outer, int inner) {
    for (const Access &access : accesses)
      if (strideOf(access, outer) != strideOf(access, inner) * extents.at(inner))
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
  SmallVector<Access> accesses = findAccesses(*this, live.getArrayRef(), pinned);
  std::map<int, int64_t> scores;
  for (const Access &access : accesses)
    for (auto &[axisClass, stride] : access.strides)
      if (stride.is(1) && !isUnit(axisClass))
        scores[axisClass] += access.weight;
  int64_t best = 0;
  for (auto &[axisClass, score] : scores)
    if (score > best) {
      best = score;
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

Size RowwisePlan::stridedElements() {
  std::set<int> pinned;
  Size count(0);
  for (const Access &access : findAccesses(*this, live.getArrayRef(), pinned)) {
    Size stride = strideOf(access, lane);
    if (stride.is(0) || stride.is(1) || !llvm::is_contained(access.loops, lane))
      continue;
    Size elements(1);
    for (int axisClass : access.loops)
      elements = elements * extents.at(axisClass);
    count = count + elements;
  }
  return count;
}

Size RowwisePlan::keptElements(Value value) const {
  Size count(1);
  for (int axisClass : kept.find(value)->second)
    count = count * (axisClass == lane && laneBlock ? Size(laneBlock) : extents.at(axisClass));
  return count;
}

//===--------------------------------------------------------------------------------------------===//
// Stages
//===--------------------------------------------------------------------------------------------===//

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

static int64_t lanesFor(KernelOp kernel, ArrayRef<Operation *> live, const CpuTarget &target) {
  unsigned narrowest = 64;
  auto note = [&](Type type) {
    Type element = getElementTypeOrSelf(type);
    if (isa<FloatType>(element))
      narrowest = std::min(narrowest, std::max(32u, element.getIntOrFloatBitWidth()));
  };
  bool floats = false;
  for (Operation *op : live)
    for (Type type : op->getResultTypes()) {
      note(type);
      floats |= isa<FloatType>(getElementTypeOrSelf(type));
    }
  for (Type type : kernel.getInputs().getTypes())
    note(type);
  return target.lanes(floats ? narrowest : 32);
}

std::unique_ptr<RowwisePlan> RowwisePlan::make(KernelOp original, const CpuTarget &target) {
  auto plan = std::make_unique<RowwisePlan>();
  if (!plan->prepare(original) || !plan->collect() || !plan->findClasses())
    return nullptr;
  plan->lanes = lanesFor(plan->kernel, plan->live.getArrayRef(), target);
  plan->foldAxes();
  plan->chooseLane();
  plan->chooseRows();
  if (!plan->chooseRoots())
    return nullptr;
  return plan;
}

} // namespace attune::codegen
