#include "attune/codegen/cpu/RowwiseCode.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

//===--------------------------------------------------------------------------------------------===//
// Values at a point
//===--------------------------------------------------------------------------------------------===//

RowwiseCode::PointKey RowwiseCode::keyOf(ArrayRef<Lane> point) {
  PointKey key;
  for (const Lane &index : point)
    key.emplace_back(index.scalar.getAsOpaquePointer(), index.vector.getAsOpaquePointer(),
                     index.step);
  return key;
}

void RowwiseCode::remember(Value tensor, const Point &point, const Lane &value) {
  memo.back()[{tensor.getAsOpaquePointer(), keyOf(point)}] = value;
}

const Lane *RowwiseCode::recall(Value tensor, const Point &point) {
  auto key = std::pair(tensor.getAsOpaquePointer(), keyOf(point));
  for (auto &scope : llvm::reverse(memo))
    if (auto it = scope.find(key); it != scope.end())
      return &it->second;
  return nullptr;
}

void RowwiseCode::scoped(llvm::function_ref<void()> body) {
  memo.emplace_back();
  body();
  memo.pop_back();
}

Lane RowwiseCode::fail(Type type) {
  failed = true;
  Type element = getElementTypeOrSelf(type);
  return Lane(isa<FloatType>(element) ? kb.constF(0, element) : kb.constI(0, element));
}

RowwiseCode::Point RowwiseCode::pointOf(Value tensor) {
  Point point;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis) {
    int axisClass = plan.classOf(tensor, axis);
    auto it = at.find(axisClass);
    if (plan.isUnit(axisClass))
      point.push_back(zero);
    else if (it != at.end())
      point.push_back(it->second);
    else
      point.push_back(fail(kb.index()));
  }
  return point;
}

Lane RowwiseCode::eval(Value tensor, const Point &point) {
  if (const Lane *known = recall(tensor, point))
    return *known;
  Type element = getElementTypeOrSelf(tensor.getType());
  Lane value;
  if (isUniform(tensor)) {
    Operation *op = tensor.getDefiningOp();
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      auto attribute = cast<DenseElementsAttr>(constant.getValue()).getSplatValue<TypedAttr>();
      value = Lane(arith::ConstantOp::create(kb.b, kb.loc, attribute));
    } else {
      value = Lane(scope->get(op->getOperand(0)));
    }
  } else if (plan.kept.contains(tensor)) {
    value = loadKept(tensor, point);
  } else {
    std::optional<View> view = readView(*plan.sizes, tensor);
    std::optional<int64_t> input = view ? plan.sizes->inputNumber(view->root) : std::nullopt;
    Operation *op = tensor.getDefiningOp();
    if (input)
      value = lanes->load(element, scope->input(*input), lanes->offset(*view, point), true);
    else if (op && isComputed(op))
      value = evalComputed(cast<OpResult>(tensor), point);
    else if (op)
      value = evalView(op, point);
    else
      value = fail(element);
  }
  remember(tensor, point, value);
  return value;
}

Lane RowwiseCode::evalAffine(AffineExpr expr, ArrayRef<Lane> loops) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return loops[dim.getPosition()];
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue() == 0 ? Lane(zero) : Lane(kb.idx(constant.getValue()));
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return fail(kb.index());
  Lane x = evalAffine(binary.getLHS(), loops), y = evalAffine(binary.getRHS(), loops);
  if (expr.getKind() == AffineExprKind::Add)
    return lanes->add(x, y);
  if (expr.getKind() == AffineExprKind::Mul && y.uniform())
    return lanes->mul(x, y.scalar);
  return fail(kb.index());
}

SmallVector<Lane> RowwiseCode::evalOperands(linalg::LinalgOp op, ArrayRef<Lane> loops) {
  SmallVector<Lane> values;
  for (OpOperand &operand : op->getOpOperands()) {
    // Accumulators are not part of the element that a reduction adds.
    bool unused = op.getMatchingBlockArgument(&operand).use_empty() ||
                  (op.isDpsInit(&operand) && op.getNumReductionLoops() > 0);
    Point point;
    if (!unused)
      for (AffineExpr expr : op.getMatchingIndexingMap(&operand).getResults())
        point.push_back(evalAffine(expr, loops));
    values.push_back(unused ? Lane() : eval(operand.get(), point));
  }
  return values;
}

Lane RowwiseCode::evalComputed(OpResult value, const Point &point) {
  auto op = cast<linalg::LinalgOp>(value.getOwner());
  // The result of a reduction is never computed where it is used.
  if (op.getNumReductionLoops() > 0)
    return fail(value.getType());
  SmallVector<Lane> loops(op.getNumLoops(), Lane(zero));
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(value.getResultNumber()));
  for (auto [axis, expr] : llvm::enumerate(map.getResults()))
    loops[cast<AffineDimExpr>(expr).getPosition()] = point[axis];
  FailureOr<SmallVector<Lane>> results =
      lanes->clone(*op.getBlock(), evalOperands(op, loops), loops);
  if (llvm::failed(results))
    return fail(value.getType());
  return (*results)[value.getResultNumber()];
}

/// The element of a reduction at the current point, before it is combined.
Lane RowwiseCode::evalElement(Root &root) {
  auto op = root.value.getDefiningOp<linalg::LinalgOp>();
  unsigned number = cast<OpResult>(root.value).getResultNumber();
  std::optional<Reduction> reduction = Reduction::match(op, number);
  SmallVector<Lane> loops;
  for (int64_t loop = 0; loop < op.getNumLoops(); ++loop) {
    int axisClass = plan.classes.of(op, loop);
    auto it = at.find(axisClass);
    loops.push_back(plan.isUnit(axisClass) ? Lane(zero)
                    : it != at.end()       ? it->second
                                           : fail(kb.index()));
  }
  FailureOr<SmallVector<Lane>> element =
      lanes->clone(*op.getBlock(), evalOperands(op, loops), loops, reduction->element);
  return llvm::failed(element) ? fail(reduction->type()) : element->front();
}

Lane RowwiseCode::initialOf(Root &root) {
  auto op = root.value.getDefiningOp<linalg::LinalgOp>();
  OpOperand *init = op.getDpsInitOperand(cast<OpResult>(root.value).getResultNumber());
  return eval(init->get(), pointOf(root.value));
}

/// `value` where `inside` (i1) holds, `otherwise` elsewhere; `value` touches no memory there.
Lane RowwiseCode::evalWhere(const Lane &inside, bool perLane, Type element,
                            llvm::function_ref<Lane()> value,
                            llvm::function_ref<Lane()> otherwise) {
  auto built = [&](llvm::function_ref<Lane()> build) {
    Lane result;
    scoped([&] { result = build(); });
    return perLane ? lanes->vector(result) : result.scalar;
  };
  if (inside.uniform()) {
    if (std::optional<int64_t> known = getConstantIntValue(inside.scalar))
      return *known ? value() : otherwise();
    Type type = perLane && plan.lanes > 1 ? Type(kb.vec(plan.lanes, element)) : element;
    return kb.ifElse(
        inside.scalar, type, [&]() -> Values { return {built(value)}; },
        [&]() -> Values { return {built(otherwise)}; })[0];
  }
  Value mask = lanes->vector(inside), there;
  lanes->where(mask, [&] { there = built(value); });
  return arith::SelectOp::create(kb.b, kb.loc, mask, there, built(otherwise)).getResult();
}

static bool anyPerLane(ArrayRef<Lane> point) {
  return llvm::any_of(point, [](const Lane &index) { return !index.uniform(); });
}

Lane RowwiseCode::evalPad(tensor::PadOp pad, const Point &point) {
  Type element = getElementTypeOrSelf(pad.getType());
  Point source;
  // Kept apart: what is the same for all lanes decides by a branch, so that a load that does not
  // depend on the lane is not executed where its address may be wild.
  Value forAll, perLane;
  using P = arith::CmpIPredicate;
  auto both = [&](const Lane &x) {
    Value &known = x.uniform() ? forAll : perLane;
    Value value = x.uniform() ? x.scalar : lanes->vector(x);
    known = known ? kb.b.createOrFold<arith::AndIOp>(kb.loc, known, value) : value;
  };
  for (auto [axis, index] : llvm::enumerate(point)) {
    MaybeSize low = plan.sizes->of(pad.getMixedLowPad()[axis]);
    MaybeSize extent = plan.sizes->extent(pad.getSource(), axis);
    if (!low || !extent)
      return fail(element);
    bool lowest = low->is(0), highest = isConstantIntValue(pad.getMixedHighPad()[axis], 0);
    Lane at = lowest ? index : lanes->add(index, Lane(scope->get(Size(0) - *low)));
    source.push_back(at);
    if (!lowest)
      both(lanes->compare(P::sge, at, Lane(zero)));
    if (!highest)
      both(lanes->compare(P::slt, at, Lane(scope->get(*extent))));
  }
  auto padding = [&]() -> Lane {
    Value value = pad.getConstantPaddingValue();
    if (auto constant = value.getDefiningOp<arith::ConstantOp>())
      return Lane(kb.b.clone(*constant)->getResult(0));
    return Lane(scope->get(value));
  };
  auto inner = [&] { return eval(pad.getSource(), source); };
  bool vectors = anyPerLane(point);
  auto outer = [&] {
    return perLane ? evalWhere(Lane(perLane), vectors, element, inner, padding) : inner();
  };
  return forAll ? evalWhere(Lane(forAll), vectors, element, outer, padding) : outer();
}

Lane RowwiseCode::evalConcat(tensor::ConcatOp concat, const Point &point, unsigned input,
                             const Size &start) {
  Type element = getElementTypeOrSelf(concat.getType());
  int64_t axis = concat.getDim();
  MaybeSize extent = plan.sizes->extent(concat.getInputs()[input], axis);
  if (!extent)
    return fail(element);
  Point source = point;
  if (!start.is(0))
    source[axis] = lanes->add(point[axis], Lane(scope->get(Size(0) - start)));
  auto here = [&] { return eval(concat.getInputs()[input], source); };
  if (input + 1 == concat.getInputs().size())
    return here();
  Size end = start + *extent;
  Lane inside = lanes->compare(arith::CmpIPredicate::slt, point[axis], Lane(scope->get(end)));
  return evalWhere(inside, anyPerLane(point), element, here, [&]() -> Lane {
    Lane rest;
    auto build = [&] { rest = evalConcat(concat, point, input + 1, end); };
    if (inside.uniform()) {
      build();
      return rest;
    }
    Value mask = lanes->vector(inside);
    lanes->where(arith::XOrIOp::create(kb.b, kb.loc, mask, kb.constI(1, mask.getType())), build);
    return rest;
  });
}

Lane RowwiseCode::evalView(Operation *op, const Point &point) {
  if (auto pad = dyn_cast<tensor::PadOp>(op))
    return evalPad(pad, point);
  if (auto concat = dyn_cast<tensor::ConcatOp>(op))
    return evalConcat(concat, point, 0, Size(0));
  Point source;
  Value from = op->getNumOperands() ? op->getOperand(0) : Value();
  if (isa<tensor::CastOp>(op)) {
    source = point;
  } else if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    source.resize(point.size());
    for (auto [axis, input] : llvm::enumerate(transpose.getPermutation()))
      source[input] = point[axis];
  } else if (auto broadcast = dyn_cast<linalg::BroadcastOp>(op)) {
    for (size_t axis = 0; axis < point.size(); ++axis)
      if (!llvm::is_contained(broadcast.getDimensions(), static_cast<int64_t>(axis)))
        source.push_back(point[axis]);
  } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    unsigned next = 0;
    for (unsigned axis = 0; axis < dropped.size(); ++axis) {
      MaybeSize start = plan.sizes->of(slice.getMixedOffsets()[axis]);
      MaybeSize step = plan.sizes->of(slice.getMixedStrides()[axis]);
      if (!start || !step)
        return fail(op->getResult(0).getType());
      Lane index(zero);
      if (!dropped[axis])
        index = step->is(1) ? point[next] : lanes->mul(point[next], scope->get(*step));
      if (!dropped[axis])
        ++next;
      source.push_back(start->is(0) ? index : lanes->add(index, Lane(scope->get(*start))));
    }
  } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    std::optional<SmallVector<Size>> extents = plan.sizes->extents(expand.getResult());
    if (!extents)
      return fail(op->getResult(0).getType());
    for (const auto &group : expand.getReassociationIndices()) {
      Lane index(zero);
      bool first = true;
      for (int64_t axis : group) {
        if ((*extents)[axis].is(1))
          continue;
        index = first ? point[axis]
                      : lanes->add(lanes->mul(index, scope->get((*extents)[axis])), point[axis]);
        first = false;
      }
      source.push_back(index);
    }
  } else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    std::optional<SmallVector<Size>> extents = plan.sizes->extents(collapse.getSrc());
    if (!extents)
      return fail(op->getResult(0).getType());
    source.assign(extents->size(), Lane(zero));
    for (auto [axis, group] : llvm::enumerate(collapse.getReassociationIndices())) {
      SmallVector<int64_t> longer;
      for (int64_t member : group)
        if (!(*extents)[member].is(1))
          longer.push_back(member);
      Lane rest = point[axis];
      for (int64_t member : llvm::reverse(longer)) {
        if (member == longer.front()) {
          source[member] = rest;
          continue;
        }
        if (!rest.uniform())
          return fail(op->getResult(0).getType());
        Value extent = scope->get((*extents)[member]);
        source[member] = Lane(kb.rem(rest.scalar, extent));
        rest = Lane(kb.div(rest.scalar, extent));
      }
    }
  } else {
    return fail(op->getResult(0).getType());
  }
  return eval(from, source);
}

//===--------------------------------------------------------------------------------------------===//
// Kept values
//===--------------------------------------------------------------------------------------------===//

/// The element offset of `point` in the buffer of a kept value; nothing if it lies in another row.
std::optional<Lane> RowwiseCode::keptOffset(Value tensor, const Point &point) {
  ArrayRef<int> inner = plan.kept.find(tensor)->second;
  SmallVector<Size> extents;
  for (int axisClass : inner)
    extents.push_back(axisClass == plan.lane && plan.laneBlock ? Size(plan.laneBlock)
                                                               : plan.extents.at(axisClass));
  SmallVector<Size> strides = rowMajorStrides(extents);
  Lane offset(zero);
  for (auto [axis, index] : llvm::enumerate(point)) {
    int axisClass = plan.classOf(tensor, axis);
    if (plan.isUnit(axisClass))
      continue;
    auto current = at.find(axisClass);
    bool isCurrent = current != at.end() && current->second.scalar == index.scalar &&
                     current->second.step == index.step && !index.vector;
    if (llvm::is_contained(plan.rows, axisClass)) {
      if (!isCurrent)
        return std::nullopt;
      continue;
    }
    Lane local = index;
    if (axisClass == plan.lane && plan.laneBlock) {
      if (!isCurrent)
        return std::nullopt;
      local = Lane::linear(kb.sub(index.scalar, blockStart), index.step);
    }
    const Size &stride = strides[llvm::find(inner, axisClass) - inner.begin()];
    offset = lanes->add(offset, lanes->mul(local, scope->get(stride)));
  }
  return offset;
}

Lane RowwiseCode::loadKept(Value tensor, const Point &point) {
  Type element = getElementTypeOrSelf(tensor.getType());
  if (!ready.contains(tensor)) {
    // In its own stage: computed at this very point, or the plan is wrong.
    if (tensor.getDefiningOp<linalg::LinalgOp>().getNumReductionLoops() == 0 &&
        keyOf(point) == keyOf(pointOf(tensor)))
      return evalComputed(cast<OpResult>(tensor), point);
    return fail(element);
  }
  std::optional<Lane> offset = keptOffset(tensor, point);
  return offset ? lanes->load(element, buffers[tensor], *offset) : fail(element);
}

void RowwiseCode::storeKept(Value tensor, const Lane &value) {
  std::optional<Lane> offset = keptOffset(tensor, pointOf(tensor));
  if (!offset)
    failed = true;
  else
    lanes->store(value, buffers[tensor], *offset);
}

//===--------------------------------------------------------------------------------------------===//
// Stages
//===--------------------------------------------------------------------------------------------===//

/// Stores a root's value at the current point.
void RowwiseCode::finish(Root &root, const Lane &value) {
  if (root.kept)
    storeKept(root.value, value);
  for (int number : root.placements) {
    auto &[output, place] = plan.placements[number];
    View view{place.value, place.offset, place.strides};
    lanes->store(value, scope->output(output), lanes->offset(view, pointOf(place.value)));
  }
}

void RowwiseCode::runRoots(Stage &stage, ArrayRef<Root *> roots) {
  for (Root *root : roots)
    if (updating)
      storeNew(*root, *updating);
    else
      finish(*root, eval(root->value, pointOf(root->value)));
}

int64_t RowwiseCode::unrollOf(Stage &stage) const {
  return stage.cost <= 12 ? 4 : stage.cost <= 24 ? 2 : 1;
}

std::pair<Value, Value> RowwiseCode::laneRange(Stage &stage) {
  if (stage.lane == plan.lane && plan.laneBlock)
    return {blockStart, blockEnd};
  return {zero, scope->get(plan.extents.at(stage.lane))};
}

Values RowwiseCode::laneLoop(Value lower, Value upper, int64_t unroll, Values values,
                             llvm::function_ref<Values(Value, int64_t, Values)> build) {
  auto body = [&](Value iv, int64_t copies, Values carried) {
    Values results;
    scoped([&] { results = build(iv, copies, carried); });
    return results;
  };
  int64_t count = plan.lanes;
  std::optional<int64_t> extent;
  if (auto constant = getConstantIntValue(upper); constant && lower == zero)
    extent = *constant;
  auto loop = [&](Value from, Value to, int64_t step, int64_t copies, Values init) {
    // The same loop without a loop-carried value has no results.
    if (init.empty()) {
      kb.forLoop(from, to, step, [&](Value iv) { body(iv, copies, {}); });
      return Values();
    }
    return kb.forLoop(from, to, step, init, [&](Value iv, ValueRange carried) {
      return body(iv, copies, Values(carried));
    });
  };
  auto endOf = [&](Value from, int64_t step) {
    if (extent)
      return kb.idx(*extent / step * step);
    Value length = kb.sub(upper, from);
    return kb.add(from, kb.mul(kb.div(length, step), step));
  };
  if (group)
    return loop(kb.add(lower, group->thread), upper, group->threads, 1, values);
  Value position = lower;
  if (unroll > 1 && (!extent || *extent >= unroll * count)) {
    Value end = endOf(lower, unroll * count);
    values = loop(lower, end, unroll * count, unroll, values);
    position = end;
  }
  if (!extent || (unroll > 1 ? *extent % (unroll * count) : *extent) >= count) {
    Value end = extent ? endOf(lower, count) : endOf(position, count);
    values = loop(position, end, count, 1, values);
    position = end;
  }
  if (extent && *extent % count == 0)
    return values;
  auto rest = [&]() -> Values {
    Values results;
    lanes->below(kb.sub(upper, position), [&] { results = body(position, 1, values); });
    return results;
  };
  if (extent)
    return rest();
  Value some = kb.lt(position, upper);
  if (values.empty()) {
    kb.ifThen(some, [&] { rest(); });
    return {};
  }
  return kb.ifElse(some, ValueRange(values).getTypes(), rest, [&] { return values; });
}

Values RowwiseCode::reductionLoops(Stage &stage, size_t depth, Values init,
                                   llvm::function_ref<Values(Values)> body) {
  if (depth == stage.reduction.size())
    return body(init);
  int axisClass = stage.reduction[depth];
  Value upper = scope->get(plan.extents.at(axisClass));
  Values results = kb.forLoop(zero, upper, 1, init, [&](Value iv, ValueRange carried) {
    Values next;
    at[axisClass] = Lane(iv);
    scoped([&] { next = reductionLoops(stage, depth + 1, Values(carried), body); });
    return next;
  });
  at.erase(axisClass);
  return results;
}

static SmallVector<Root *> rootsOf(Stage &stage, bool reduce) {
  SmallVector<Root *> roots;
  for (Root &root : stage.roots)
    if ((root.kind == Root::Reduce) == reduce)
      roots.push_back(&root);
  return roots;
}

static Reduction reductionOf(Root &root) {
  return *Reduction::match(root.value.getDefiningOp<linalg::LinalgOp>(),
                           cast<OpResult>(root.value).getResultNumber());
}

/// Lanes along a parallel class: every lane has its own accumulators.
void RowwiseCode::buildLaneParallel(Stage &stage) {
  SmallVector<Root *> reduces = rootsOf(stage, true), maps = rootsOf(stage, false);
  auto [lower, upper] = laneRange(stage);
  auto setLane = [&](Value iv, int64_t copy) {
    at[stage.lane] = laneAt(kb.add(iv, copy * plan.lanes));
  };
  laneLoop(lower, upper, unrollOf(stage), {}, [&](Value iv, int64_t copies, Values) {
    // The index of a copy is one value for everything that is built at it.
    SmallVector<Lane> indices;
    for (int64_t copy = 0; copy < copies; ++copy) {
      setLane(iv, copy);
      indices.push_back(at[stage.lane]);
    }
    if (reduces.empty() && stage.reduction.empty()) {
      for (const Lane &index : indices) {
        at[stage.lane] = index;
        scoped([&] { runRoots(stage, maps); });
      }
      return Values();
    }
    Values init;
    for (Root *root : reduces)
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = indices[copy];
        Lane initial = initialOf(*root);
        Reduction reduction = reductionOf(*root);
        if (reduction.idempotent)
          init.push_back(lanes->vector(initial));
        else
          init.push_back(reduction.start(kb, initial.scalar, plan.lanes));
      }
    Values sums = reductionLoops(stage, 0, init, [&](Values carried) {
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = indices[copy];
        scoped([&] {
          for (Root &root : stage.roots) {
            if (root.kind != Root::Reduce) {
              runRoots(stage, &root);
              continue;
            }
            Value &sum = carried[(llvm::find(reduces, &root) - reduces.begin()) * copies + copy];
            sum = reductionOf(root).combine(kb, sum, lanes->vector(evalElement(root)));
          }
        });
      }
      return carried;
    });
    for (auto [number, root] : llvm::enumerate(reduces))
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = indices[copy];
        Value sum = sums[number * copies + copy];
        Reduction reduction = reductionOf(*root);
        if (!reduction.idempotent)
          sum = reduction.combine(kb, lanes->vector(initialOf(*root)), sum);
        finish(*root, sum);
      }
    return Values();
  });
  at.erase(stage.lane);
}

/// Lanes along a reduced class: lanes and copies of the body have their own accumulators, which are
/// merged in a fixed order at the end.
void RowwiseCode::buildLaneReduced(Stage &stage) {
  SmallVector<Root *> reduces = rootsOf(stage, true);
  int64_t unroll = group ? 1 : unrollOf(stage);
  Values init;
  SmallVector<Lane> initial;
  for (Root *root : reduces) {
    initial.push_back(initialOf(*root));
    for (int64_t copy = 0; copy < unroll; ++copy)
      init.push_back(reductionOf(*root).start(kb, initial.back().scalar, plan.lanes));
  }
  auto [lower, upper] = laneRange(stage);
  Values sums = reductionLoops(stage, 0, init, [&](Values carried) {
    return laneLoop(lower, upper, unroll, carried, [&](Value iv, int64_t copies, Values sums) {
      for (int64_t copy = 0; copy < copies; ++copy) {
        at[stage.lane] = laneAt(kb.add(iv, copy * plan.lanes));
        scoped([&] {
          for (Root &root : stage.roots) {
            if (root.kind != Root::Reduce) {
              runRoots(stage, &root);
              continue;
            }
            Value &sum = sums[(llvm::find(reduces, &root) - reduces.begin()) * unroll + copy];
            Value next = reductionOf(root).combine(kb, sum, lanes->vector(evalElement(root)));
            if (lanes->active && isa<VectorType>(next.getType()))
              next = arith::SelectOp::create(kb.b, kb.loc, lanes->active, next, sum);
            sum = next;
          }
        });
      }
      return sums;
    });
  });
  at.erase(stage.lane);
  for (auto [number, root] : llvm::enumerate(reduces)) {
    Reduction reduction = reductionOf(*root);
    Value sum = reduction.merge(kb, ArrayRef<Value>(sums).slice(number * unroll, unroll));
    sum = reduction.acrossLanes(kb, sum);
    if (group)
      sum = group->across(reduction, sum);
    if (!reduction.idempotent)
      sum = reduction.combine(kb, initial[number].scalar, sum);
    once([&] { finish(*root, sum); });
    if (!root->kept)
      remember(root->value, pointOf(root->value), Lane(sum));
  }
}

void RowwiseCode::buildOuter(Stage &stage, size_t depth) {
  if (depth == stage.parallel.size())
    return stage.laneReduced ? buildLaneReduced(stage) : buildLaneParallel(stage);
  int axisClass = stage.parallel[depth];
  kb.forLoop(zero, scope->get(plan.extents.at(axisClass)), 1, [&](Value iv) {
    at[axisClass] = Lane(iv);
    scoped([&] { buildOuter(stage, depth + 1); });
  });
  at.erase(axisClass);
}

void RowwiseCode::buildStage(Stage &stage) {
  if (!group && buildInPlace(stage))
    return;
  if (!stage.scalar()) {
    buildOuter(stage, 0);
  } else {
    for (Root &root : stage.roots) {
      if (root.kind != Root::Reduce) {
        once([&] { runRoots(stage, &root); });
        continue;
      }
      Lane sum = reductionOf(root).combine(kb, initialOf(root).scalar, evalElement(root).scalar);
      once([&] { finish(root, sum); });
      remember(root.value, pointOf(root.value), sum);
    }
  }
  bool kept = false;
  for (Root &root : stage.roots)
    if (root.kept) {
      kept = true;
      ready.insert(root.value);
    }
  if (group && kept)
    group->meet();
}

void RowwiseCode::once(llvm::function_ref<void()> body) {
  if (!group)
    return body();
  kb.ifThen(kb.eq(group->thread, zero), [&] { scoped(body); });
}

} // namespace attune::codegen
