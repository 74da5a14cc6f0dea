#include "attune/codegen/cpu/RowwiseCode.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune::codegen {

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

std::optional<RowwiseCode::Point> RowwiseCode::sourceOf(tensor::ExtractSliceOp slice,
                                                        const Point &point) {
  Point source;
  llvm::SmallBitVector dropped = slice.getDroppedDims();
  unsigned next = 0;
  for (unsigned axis = 0; axis < dropped.size(); ++axis) {
    MaybeSize start = plan.sizes->of(slice.getMixedOffsets()[axis]);
    MaybeSize step = plan.sizes->of(slice.getMixedStrides()[axis]);
    if (!start || !step)
      return std::nullopt;
    Lane index(zero);
    if (!dropped[axis]) {
      index = step->is(1) ? point[next] : lanes->mul(point[next], scope->get(*step));
      ++next;
    }
    source.push_back(start->is(0) ? index : lanes->add(index, Lane(scope->get(*start))));
  }
  return source;
}

std::optional<RowwiseCode::Point> RowwiseCode::sourceOf(tensor::ExpandShapeOp expand,
                                                        const Point &point) {
  std::optional<SmallVector<Size>> extents = plan.sizes->extents(expand.getResult());
  if (!extents)
    return std::nullopt;
  Point source;
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
  return source;
}

std::optional<RowwiseCode::Point> RowwiseCode::sourceOf(tensor::CollapseShapeOp collapse,
                                                        const Point &point) {
  std::optional<SmallVector<Size>> extents = plan.sizes->extents(collapse.getSrc());
  if (!extents)
    return std::nullopt;
  Point source(extents->size(), Lane(zero));
  for (auto [axis, group] : llvm::enumerate(collapse.getReassociationIndices())) {
    SmallVector<int64_t> longer;
    for (int64_t member : group)
      if (!(*extents)[member].is(1))
        longer.push_back(member);
    if (longer.empty())
      continue;
    Lane rest = point[axis];
    for (int64_t member : llvm::reverse(ArrayRef(longer).drop_front())) {
      if (!rest.uniform())
        return std::nullopt;
      Value extent = scope->get((*extents)[member]);
      source[member] = Lane(kb.rem(rest.scalar, extent));
      rest = Lane(kb.div(rest.scalar, extent));
    }
    source[longer.front()] = rest;
  }
  return source;
}

std::optional<RowwiseCode::Point> RowwiseCode::sourceOf(linalg::TransposeOp transpose,
                                                        const Point &point) {
  Point source(point.size());
  for (auto [axis, input] : llvm::enumerate(transpose.getPermutation()))
    source[input] = point[axis];
  return source;
}

std::optional<RowwiseCode::Point> RowwiseCode::sourceOf(linalg::BroadcastOp broadcast,
                                                        const Point &point) {
  Point source;
  for (size_t axis = 0; axis < point.size(); ++axis)
    if (!llvm::is_contained(broadcast.getDimensions(), static_cast<int64_t>(axis)))
      source.push_back(point[axis]);
  return source;
}

Lane RowwiseCode::evalView(Operation *op, const Point &point) {
  if (auto pad = dyn_cast<tensor::PadOp>(op))
    return evalPad(pad, point);
  if (auto concat = dyn_cast<tensor::ConcatOp>(op))
    return evalConcat(concat, point, 0, Size(0));
  auto source = llvm::TypeSwitch<Operation *, std::optional<Point>>(op)
                    .Case<linalg::TransposeOp, linalg::BroadcastOp, tensor::ExtractSliceOp,
                          tensor::ExpandShapeOp, tensor::CollapseShapeOp>(
                        [&](auto view) { return sourceOf(view, point); })
                    .Case([&](tensor::CastOp) { return point; })
                    .Default([](Operation *) { return std::nullopt; });
  return source ? eval(op->getOperand(0), *source) : fail(op->getResult(0).getType());
}

} // namespace attune::codegen
