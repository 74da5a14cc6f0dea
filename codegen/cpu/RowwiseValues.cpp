#include "attune/codegen/cpu/RowwiseCode.h"

using namespace mlir;

namespace attune::codegen {

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

} // namespace attune::codegen
