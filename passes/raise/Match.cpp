#include "attune/passes/raise/Match.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;

namespace attune {

bool isZeroTensor(Value tensor) {
  if (auto fill = tensor.getDefiningOp<linalg::FillOp>()) {
    Value value = fill.getInputs()[0];
    return matchPattern(value, m_AnyZeroFloat()) || matchPattern(value, m_Zero());
  }
  return matchPattern(tensor, m_AnyZeroFloat()) || matchPattern(tensor, m_Zero());
}

std::optional<Contraction> matchContraction(Operation *op) {
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!linalgOp || !linalgOp.hasPureTensorSemantics() || linalgOp.getNumDpsInputs() != 2 ||
      linalgOp.getNumDpsInits() != 1 || !linalg::isaContractionOpInterface(linalgOp) ||
      !isZeroTensor(linalgOp.getDpsInits()[0]))
    return std::nullopt;
  SmallVector<AffineMap> maps = linalgOp.getIndexingMapsArray();
  if (!llvm::all_of(maps, [](AffineMap map) { return map.isProjectedPermutation(); }))
    return std::nullopt;
  return Contraction{linalgOp,
                     {linalgOp.getDpsInputs()[0], linalgOp.getDpsInputs()[1]},
                     {maps[0], maps[1]},
                     maps[2]};
}

std::optional<double> asFloat(Value scalar) {
  FloatAttr attr;
  if (!scalar || !matchPattern(scalar, m_Constant(&attr)))
    return std::nullopt;
  APFloat value = attr.getValue();
  bool lossy;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
  return value.convertToDouble();
}

bool isNegativeInfinity(Value scalar) {
  std::optional<double> value = asFloat(scalar);
  return value && std::isinf(*value) && *value < 0;
}

double stripFactors(Value &scalar) {
  double factor = 1;
  while (Operation *op = scalar.getDefiningOp()) {
    bool divides = isa<arith::DivFOp>(op);
    if (!divides && !isa<arith::MulFOp>(op))
      break;
    std::optional<double> right = asFloat(op->getOperand(1));
    std::optional<double> left = divides ? std::nullopt : asFloat(op->getOperand(0));
    std::optional<double> constant = right ? right : left;
    if (!constant || !std::isfinite(*constant) || *constant == 0)
      break;
    factor = divides ? factor / *constant : factor * *constant;
    scalar = op->getOperand(right ? 0 : 1);
  }
  return factor;
}

MaskedScore splitMask(Elements &elements, Value scalar) {
  Operation *op = scalar.getDefiningOp();
  MaskedScore whole{scalar, {}};
  if (asFloat(scalar) == 0.0)
    return {{}, {}};
  if (!op)
    return whole;
  auto both = [&](Value a, Value b) {
    return !a ? b : !b ? a : elements.make<arith::AndIOp>(a, b);
  };
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    bool negated = isNegativeInfinity(select.getTrueValue());
    if (!negated && !isNegativeInfinity(select.getFalseValue()))
      return whole;
    Value condition = select.getCondition();
    MaskedScore kept =
        splitMask(elements, negated ? select.getFalseValue() : select.getTrueValue());
    kept.allowed = both(negated ? elements.negate(condition) : condition, kept.allowed);
    return kept;
  }
  if (isa<arith::AddFOp, arith::SubFOp>(op)) {
    MaskedScore a = splitMask(elements, op->getOperand(0));
    MaskedScore b = isa<arith::AddFOp>(op) ? splitMask(elements, op->getOperand(1))
                                           : MaskedScore{op->getOperand(1), {}};
    if (!a.allowed && !b.allowed)
      return whole;
    Value allowed = both(a.allowed, b.allowed);
    if (!b.score)
      return {a.score, allowed};
    if (!a.score)
      return {isa<arith::AddFOp>(op) ? b.score : elements.make<arith::NegFOp>(b.score), allowed};
    return {elements.rebuild(op, {a.score, b.score}), allowed};
  }
  if (isa<arith::MulFOp, arith::DivFOp>(op)) {
    std::optional<double> factor = asFloat(op->getOperand(1));
    if (!factor || !std::isfinite(*factor) || *factor <= 0)
      return whole;
    MaskedScore inner = splitMask(elements, op->getOperand(0));
    if (!inner.allowed)
      return whole;
    return {inner.score ? elements.rebuild(op, {inner.score, op->getOperand(1)}) : Value(),
            inner.allowed};
  }
  if (isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    MaskedScore inner = splitMask(elements, op->getOperand(0));
    if (!inner.allowed)
      return whole;
    return {inner.score ? elements.rebuild(op, inner.score) : Value(), inner.allowed};
  }
  return whole;
}

Value substitute(Elements &elements, Value scalar, Value index, Value by) {
  if (scalar == index)
    return by;
  Operation *op = scalar.getDefiningOp();
  if (!op || !elements.depends(scalar, index))
    return scalar;
  SmallVector<Value> operands;
  for (Value operand : op->getOperands())
    operands.push_back(substitute(elements, operand, index, by));
  return elements.rebuild(op, operands);
}

static std::optional<Layout> matchLayout(Sizes &sizes, const ElementOf &element,
                                         const IndexGroups &groups,
                                         llvm::function_ref<AffineExpr(Value)> extentOf) {
  Layout layout{element, {}};
  SmallVector<bool> used(element.indices.size());
  for (const auto &group : groups) {
    auto &axes = layout.axes.emplace_back();
    for (Value wanted : group) {
      auto position = llvm::find(element.indices, wanted);
      int64_t axis = position == element.indices.end() ? -1 : position - element.indices.begin();
      if (axis >= 0) {
        AffineExpr own = sizes.of(element.tensor, axis), extent = extentOf(wanted);
        // Tensors are built with the extent of the index: both static, or both dynamic.
        bool isSame = Sizes::asConstant(own) || Sizes::asConstant(extent)
                          ? sizes.equal(own, extent)
                          : sizes.equalWhereUsed(own, extent);
        if (llvm::count(element.indices, wanted) != 1 || !isSame)
          return std::nullopt;
        used[axis] = true;
      }
      axes.push_back(axis);
    }
  }
  for (auto [axis, index] : llvm::enumerate(element.indices))
    if (!used[axis] && Sizes::asConstant(sizes.of(element.tensor, axis)) != 1)
      return std::nullopt;
  return layout;
}

std::optional<Layout> findLayout(Elements &elements, Sizes &sizes, Value scalar,
                                 const IndexGroups &groups,
                                 llvm::function_ref<AffineExpr(Value)> extentOf) {
  if (std::optional<ElementOf> load = elements.load(scalar); load && load->tensor)
    if (auto layout = matchLayout(sizes, *load, groups, extentOf))
      return layout;
  for (const ElementOf &source : elements.sources(scalar))
    if (auto layout = matchLayout(sizes, source, groups, extentOf))
      return layout;
  return std::nullopt;
}

/// Reassociation that merges every axis with keep[axis] == false into a neighbour.
static SmallVector<ReassociationIndices> mergeInto(ArrayRef<bool> keep) {
  SmallVector<ReassociationIndices> groups;
  ReassociationIndices leading;
  for (auto [axis, kept] : llvm::enumerate(keep)) {
    if (kept) {
      groups.push_back(std::move(leading));
      leading.clear();
      groups.back().push_back(axis);
    } else if (groups.empty()) {
      leading.push_back(axis);
    } else {
      groups.back().push_back(axis);
    }
  }
  return groups;
}

static Value transposed(OpBuilder &builder, Location loc, Sizes &sizes, Value tensor,
                        ArrayRef<int64_t> order) {
  if (llvm::equal(order, llvm::seq<int64_t>(0, order.size())))
    return tensor;
  auto type = cast<RankedTensorType>(tensor.getType());
  SmallVector<OpFoldResult> shape;
  for (int64_t axis : order) {
    shape.push_back(sizes.get(builder, loc, sizes.of(tensor, axis)));
    // Known to be constant, but not to the type.
    if (type.isDynamicDim(axis))
      shape.back() = getValueOrCreateConstantIndexOp(builder, loc, shape.back());
  }
  Value init = tensor::EmptyOp::create(builder, loc, shape, type.getElementType());
  return linalg::TransposeOp::create(builder, loc, tensor, init, order)->getResult(0);
}

Value buildLayout(OpBuilder &builder, Location loc, Sizes &sizes, const Layout &layout,
                  const IndexGroups &groups, llvm::function_ref<AffineExpr(Value)> extentOf) {
  Value tensor = layout.element.tensor;
  Type element = cast<RankedTensorType>(tensor.getType()).getElementType();
  // Unit axes that no index uses go first.
  SmallVector<bool> used(layout.element.indices.size(), false);
  for (const auto &axes : layout.axes)
    for (int64_t axis : axes)
      if (axis >= 0)
        used[axis] = true;
  SmallVector<int64_t> compact(used.size());
  int64_t next = 0;
  for (auto [axis, keep] : llvm::enumerate(used))
    compact[axis] = keep ? next++ : -1;
  if (next < int64_t(used.size()))
    tensor = tensor::CollapseShapeOp::create(
        builder, loc, tensor, next ? mergeInto(used) : SmallVector<ReassociationIndices>{});
  // Axes in the order of the groups.
  SmallVector<int64_t> order;
  SmallVector<Value> present, wanted;
  SmallVector<int64_t> widths; // Axes of each group, without those that would be copied once.
  for (auto [group, axes] : llvm::zip(groups, layout.axes)) {
    size_t before = wanted.size();
    for (auto [index, axis] : llvm::zip(group, axes)) {
      if (axis < 0 && Sizes::asConstant(extentOf(index)) == 1)
        continue;
      wanted.push_back(index);
      if (axis >= 0) {
        order.push_back(compact[axis]);
        present.push_back(index);
      }
    }
    widths.push_back(wanted.size() - before);
  }
  tensor = transposed(builder, loc, sizes, tensor, order);
  // Indices the tensor does not vary with: one copy per value.
  if (present.size() < wanted.size()) {
    SmallVector<OpFoldResult> shape;
    SmallVector<int64_t> added;
    for (auto [position, index] : llvm::enumerate(wanted)) {
      shape.push_back(sizes.get(builder, loc, extentOf(index)));
      if (!llvm::is_contained(present, index))
        added.push_back(position);
      else if (cast<RankedTensorType>(tensor.getType()).isDynamicDim(position - added.size()))
        shape.back() = getValueOrCreateConstantIndexOp(builder, loc, shape.back());
    }
    Value init = tensor::EmptyOp::create(builder, loc, shape, element);
    tensor = linalg::BroadcastOp::create(builder, loc, tensor, init, added)->getResult(0);
  }
  // One axis per group.
  SmallVector<ReassociationIndices> joined;
  int64_t axis = 0;
  for (int64_t width : widths) {
    if (width == 0)
      continue;
    auto &indices = joined.emplace_back();
    for (int64_t n = 0; n < width; ++n)
      indices.push_back(axis++);
  }
  if (int64_t(joined.size()) < axis)
    tensor = tensor::CollapseShapeOp::create(builder, loc, tensor, joined);
  if (joined.size() == groups.size())
    return tensor;
  SmallVector<bool> full;
  SmallVector<OpFoldResult> shape;
  SmallVector<int64_t> staticShape;
  int64_t source = 0;
  for (int64_t width : widths) {
    full.push_back(width != 0);
    OpFoldResult size = builder.getIndexAttr(1);
    if (width != 0)
      size = sizes.get(builder, loc, sizes.of(tensor, source++));
    shape.push_back(size);
  }
  SmallVector<Value> dynamic;
  dispatchIndexOpFoldResults(shape, dynamic, staticShape);
  auto type = RankedTensorType::get(staticShape, element);
  return tensor::ExpandShapeOp::create(
      builder, loc, type, tensor, source ? mergeInto(full) : SmallVector<ReassociationIndices>{},
      shape);
}

static void collectNames(Location loc, SmallVectorImpl<StringRef> &names) {
  if (auto name = dyn_cast<NameLoc>(loc)) {
    if (!llvm::is_contained(names, name.getName().getValue()))
      names.push_back(name.getName().getValue());
  } else if (auto fused = dyn_cast<FusedLoc>(loc)) {
    for (Location inner : fused.getLocations())
      collectNames(inner, names);
  } else if (auto call = dyn_cast<CallSiteLoc>(loc)) {
    collectNames(call.getCallee(), names);
  }
}

std::string nodeNames(Location loc) {
  SmallVector<StringRef> names;
  collectNames(loc, names);
  return llvm::join(names, ", ");
}

} // namespace attune
