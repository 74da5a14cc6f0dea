#include "attune/passes/raise/LinearMatch.h"
#include "attune/passes/raise/Region.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune {

static Type elementType(Value tensor) {
  return cast<RankedTensorType>(tensor.getType()).getElementType();
}

/// The value converted to a float type.
static Value convert(OpBuilder &builder, Location loc, Value value, Type type) {
  unsigned from = value.getType().getIntOrFloatBitWidth(), to = type.getIntOrFloatBitWidth();
  if (from == to)
    return value;
  if (from < to)
    return arith::ExtFOp::create(builder, loc, type, value);
  return arith::TruncFOp::create(builder, loc, type, value);
}

namespace {
/// Computes a scalar for all values of some free indices, as one elementwise operator. What varies
/// with fewer indices is read from the tensors that hold it.
class Materializer {
public:
  Materializer(Elements &elements, ArrayRef<Value> indices) : elements(elements), own(indices) {}

  Value build(OpBuilder &builder, Location loc, Value scalar, Value init,
              ArrayRef<std::pair<Value, StringAttr>> checks) {
    plan(scalar);
    for (auto [condition, message] : checks)
      plan(condition);
    SmallVector<AffineMap> maps(operandMaps);
    maps.push_back(builder.getMultiDimIdentityMap(own.size()));
    SmallVector<utils::IteratorType> kinds(own.size(), utils::IteratorType::parallel);
    auto generic = linalg::GenericOp::create(
        builder, loc, init.getType(), operands, init, maps, kinds,
        [&](OpBuilder &body, Location loc, ValueRange arguments) {
          IRMapping values;
          for (auto [operand, argument] : llvm::zip(operandScalars, arguments))
            values.map(operand, argument);
          for (auto [condition, message] : checks)
            cf::AssertOp::create(body, loc, emit(body, loc, condition, values), message);
          linalg::YieldOp::create(body, loc, emit(body, loc, scalar, values));
        });
    return generic.getResult(0);
  }

private:
  std::optional<AffineMap> mapOf(const ElementOf &element) {
    MLIRContext *context = element.tensor.getContext();
    SmallVector<AffineExpr> results;
    for (Value index : element.indices) {
      const Value *found = llvm::find(own, index);
      if (found != own.end())
        results.push_back(getAffineDimExpr(found - own.begin(), context));
      else if (std::optional<int64_t> constant = getConstantIntValue(index))
        results.push_back(getAffineConstantExpr(*constant, context));
      else
        return std::nullopt;
    }
    return AffineMap::get(own.size(), 0, results, context);
  }

  void plan(Value scalar) {
    Operation *op = scalar.getDefiningOp();
    if (!op || llvm::is_contained(operandScalars, scalar) || !seen.insert(scalar).second)
      return;
    SmallVector<ElementOf> holders;
    if (std::optional<ElementOf> load = elements.load(scalar))
      holders.push_back(*load);
    else if (elements.freeIndices(scalar).size() < own.size())
      holders.append(elements.sources(scalar).begin(), elements.sources(scalar).end());
    for (const ElementOf &element : holders)
      if (std::optional<AffineMap> map = mapOf(element)) {
        operands.push_back(element.tensor);
        operandMaps.push_back(*map);
        operandScalars.push_back(scalar);
        return;
      }
    for (Value operand : op->getOperands())
      plan(operand);
  }

  Value emit(OpBuilder &body, Location loc, Value scalar, IRMapping &values) {
    if (Value value = values.lookupOrNull(scalar))
      return value;
    Value result;
    if (const Value *index = llvm::find(own, scalar); index != own.end()) {
      result = linalg::IndexOp::create(body, loc, index - own.begin());
    } else if (Operation *op = scalar.getDefiningOp()) {
      for (Value operand : op->getOperands())
        emit(body, loc, operand, values);
      result = body.clone(*op, values)->getResult(0);
    } else {
      result = elements.outside(scalar);
    }
    values.map(scalar, result);
    return result;
  }

  Elements &elements;
  SmallVector<Value> own, operands, operandScalars;
  SmallVector<AffineMap> operandMaps;
  llvm::DenseSet<Value> seen;
};
} // namespace

Value LinearMatch::materialize(OpBuilder &builder, Location loc, Value scalar,
                               ArrayRef<Value> indices,
                               ArrayRef<std::pair<Value, StringAttr>> checks) {
  SmallVector<OpFoldResult> shape;
  for (Value index : indices) {
    OpFoldResult size = sizes.get(builder, loc, extentOf(index));
    // N + M - 1 of empty sequences.
    if (index == offset && isa<Value>(size))
      size = arith::MaxSIOp::create(builder, loc, cast<Value>(size),
                                    arith::ConstantIndexOp::create(builder, loc, 0))
                 .getResult();
    shape.push_back(size);
  }
  Value init = tensor::EmptyOp::create(builder, loc, shape, scalar.getType());
  return Materializer(elements, indices).build(builder, loc, scalar, init, checks);
}

/// The scalar for all values of the indices it depends on, as one axis per group.
Value LinearMatch::buildOperand(OpBuilder &builder, Location loc, const Operand &operand) {
  auto extents = [&](Value index) { return extentOf(index); };
  if (operand.layout)
    return buildLayout(builder, loc, sizes, *operand.layout, operand.groups, extents);
  SmallVector<Value> own;
  for (const auto &group : operand.groups)
    for (Value index : group)
      if (elements.depends(operand.base, index))
        own.push_back(index);
  Value tensor = materialize(builder, loc, operand.base, own);
  Layout layout{{tensor, own}, {}};
  for (const auto &group : operand.groups) {
    auto &axes = layout.axes.emplace_back();
    for (Value index : group) {
      auto *found = llvm::find(own, index);
      axes.push_back(found == own.end() ? -1 : found - own.begin());
    }
  }
  return buildLayout(builder, loc, sizes, layout, operand.groups, extents);
}

void LinearMatch::addMap(OpBuilder &builder, LinearAttentionOp op, Region &region,
                         const Operand &operand) {
  if (operand.base == operand.scalar && operand.factor == 1)
    return;
  OpBuilder::InsertionGuard guard(builder);
  Location loc = op.getLoc();
  Value element = op.addMap(builder, region);
  builder.setInsertionPointToStart(&region.front());
  RegionBuilder body(elements);
  body.given(operand.base);
  body.plan(operand.scalar);
  IRMapping map;
  map.map(operand.base, convert(builder, loc, element, operand.base.getType()));
  body.start(builder, map, {});
  Value result = convert(builder, loc, body.emit(operand.scalar), element.getType());
  if (operand.factor != 1) {
    auto factor = arith::ConstantOp::create(
        builder, loc, builder.getFloatAttr(element.getType(), operand.factor));
    result = arith::MulFOp::create(builder, loc, result, factor);
  }
  YieldOp::create(builder, loc, result);
}

LinearAttentionOp LinearMatch::build(OpBuilder &builder) {
  builder.setInsertionPointAfterValue(root);
  SmallVector<Location> locations;
  for (Operation *op : replaced)
    locations.push_back(op->getLoc());
  if (!replaced.contains(root.getDefiningOp()))
    locations.push_back(root.getLoc());
  Location loc = FusedLoc::get(builder.getContext(), locations);
  Value q = buildOperand(builder, loc, query), k = buildOperand(builder, loc, key),
        v = buildOperand(builder, loc, value);
  auto queryType = cast<RankedTensorType>(q.getType());
  auto type = RankedTensorType::get({queryType.getDimSize(0), queryType.getDimSize(1),
                                     queryType.getDimSize(2),
                                     cast<RankedTensorType>(v.getType()).getDimSize(3)},
                                    elementType(root));
  auto op = LinearAttentionOp::create(builder, loc, type, q, k, v,
                                      causal ? Direction::Causal : Direction::Bidirectional);
  op.setNorm(norm);
  if (norm == Weighting::Sum && eps > 0) {
    op.setEpsAttr(builder.getF64FloatAttr(eps));
    op.setEpsMode(epsMode);
  }
  addMap(builder, op, op.getPhiQ(), query);
  addMap(builder, op, op.getPhiK(), key);
  if (state.base)
    addMap(builder, op, op.getState(), state);
  builder.setInsertionPoint(op);
  if (!keyTable.empty()) {
    op.getQueryPosMutable().assign(buildTable(builder, loc, queryTable, row));
    op.getKeyPosMutable().assign(buildTable(builder, loc, keyTable, column));
  } else if (!keyTableValues.empty()) {
    op.getQueryPosMutable().assign(buildTable(builder, loc, queryTableValues, row));
    op.getKeyPosMutable().assign(buildTable(builder, loc, keyTableValues, column));
  }
  if (mu) {
    auto constant = [&](double value) -> Value {
      return arith::ConstantOp::create(builder, loc,
                                       builder.getFloatAttr(op.getAccumType(), value));
    };
    op.setUpdate(Update::Momentum);
    op.setDen(plainDenominator ? Denominator::Plain : Denominator::Weighted);
    op.getMuMutable().assign(constant(*mu));
    op.getStepMutable().assign(constant(step));
  } else if (!relative.empty()) {
    op.getToeplitzMutable().assign(buildToeplitz(builder, loc));
  }
  if (mask.base)
    op.getKeyMaskMutable().assign(buildOperand(builder, loc, mask));
  builder.setInsertionPointAfter(op);
  replacement = restoreLayout(builder, op.getResult());
  return op;
}

/// [B,H,N,E] as the root that it replaces.
Value LinearMatch::restoreLayout(OpBuilder &builder, Value result) {
  Location loc = result.getLoc();
  const SmallVector<Value> axesOf[] = {
      batch, heads, row ? SmallVector<Value>{row} : SmallVector<Value>{}, {valueDepth}};
  // Extents that are constant, but not to the types of the operands.
  SmallVector<int64_t> extents(cast<RankedTensorType>(result.getType()).getShape());
  for (auto [extent, group] : llvm::zip(extents, axesOf)) {
    AffineExpr product = sizes.constant(1);
    for (Value index : group)
      product = product * elements.extentOf(index);
    extent = Sizes::asConstant(product).value_or(extent);
  }
  auto known = RankedTensorType::get(extents, elementType(result));
  if (known != result.getType())
    result = tensor::CastOp::create(builder, loc, known, result);
  // One axis per index.
  SmallVector<Value> order;
  SmallVector<ReassociationIndices> split, joined(1);
  SmallVector<OpFoldResult> shape;
  SmallVector<bool> present;
  for (const auto &group : axesOf) {
    auto &axes = split.emplace_back();
    for (Value index : group) {
      axes.push_back(shape.size());
      shape.push_back(sizes.get(builder, loc, elements.extentOf(index)));
      order.push_back(index);
    }
    if (group.empty()) {
      axes.push_back(shape.size());
      shape.push_back(builder.getIndexAttr(1));
    }
    present.append(axes.size(), !group.empty());
  }
  auto expand = [&](Value tensor, ArrayRef<ReassociationIndices> groups,
                    ArrayRef<OpFoldResult> shape) -> Value {
    SmallVector<int64_t> extents;
    SmallVector<Value> dynamic;
    dispatchIndexOpFoldResults(shape, dynamic, extents);
    auto type = RankedTensorType::get(extents, elementType(tensor));
    return tensor::ExpandShapeOp::create(builder, loc, type, tensor, groups, shape);
  };
  if (shape.size() > 4)
    result = expand(result, split, shape);
  for (auto [axis, kept] : llvm::enumerate(present)) {
    if (kept && llvm::any_of(joined.back(), [&](int64_t other) { return present[other]; }))
      joined.emplace_back();
    joined.back().push_back(axis);
  }
  if (joined.size() < present.size())
    result = tensor::CollapseShapeOp::create(builder, loc, result, joined);
  // The order of the root, then its unit axes.
  SmallVector<int64_t> permutation;
  SmallVector<OpFoldResult> transposedShape, rootShape;
  SmallVector<ReassociationIndices> groups(1);
  bool filled = false;
  for (auto [axis, index] : llvm::enumerate(indices)) {
    rootShape.push_back(index ? sizes.get(builder, loc, elements.extentOf(index))
                              : OpFoldResult(builder.getIndexAttr(1)));
    if (index) {
      permutation.push_back(llvm::find(order, index) - order.begin());
      transposedShape.push_back(rootShape.back());
      if (filled)
        groups.emplace_back();
      filled = true;
    }
    groups.back().push_back(axis);
  }
  if (!llvm::is_sorted(permutation)) {
    Value init = tensor::EmptyOp::create(builder, loc, transposedShape, elementType(result));
    result = linalg::TransposeOp::create(builder, loc, result, init, permutation)->getResult(0);
  }
  if (groups.size() < indices.size())
    result = expand(result, groups, rootShape);
  if (splitAxis) {
    SmallVector<ReassociationIndices> splitRows;
    SmallVector<OpFoldResult> shape;
    for (unsigned axis = 0; axis <= indices.size(); ++axis) {
      if (axis == *splitAxis + 1)
        splitRows.back().push_back(axis);
      else
        splitRows.push_back({axis});
      shape.push_back(sizes.get(builder, loc, sizes.of(root, axis)));
    }
    result = expand(result, splitRows, shape);
  }
  if (result.getType() != root.getType())
    result = tensor::CastOp::create(builder, loc, root.getType(), result);
  return result;
}

} // namespace attune
