#include "attune/passes/raise/AttentionMatch.h"
#include "attune/passes/raise/Region.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

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

AttentionOp AttentionMatch::build(OpBuilder &builder) {
  builder.setInsertionPoint(end);
  Value replacedResult = end->getResult(0);
  SmallVector<Location> locations;
  for (Operation *op : replaced)
    locations.push_back(op->getLoc());
  Location loc = FusedLoc::get(builder.getContext(), locations);
  auto extents = [&](Value index) { return extentOf(index); };

  auto view = [&](const std::optional<Layout> &layout, const IndexGroups &groups) {
    return layout ? buildLayout(builder, loc, sizes, *layout, groups, extents) : Value();
  };
  Value q = view(queryLayout, queryGroups), k = view(keyLayout, keyGroups);
  Value v = view(valueLayout, valueGroups), given = view(scoresLayout, scoresGroups);
  Value rows = q ? q : given;
  auto rowsType = cast<RankedTensorType>(rows.getType());
  auto valueType = cast<RankedTensorType>(v.getType());
  auto type = RankedTensorType::get({rowsType.getDimSize(0), rowsType.getDimSize(1),
                                     rowsType.getDimSize(2), valueType.getDimSize(3)},
                                    elementType(replacedResult));
  bool wide = elementType(rows).isF64() || elementType(v).isF64();
  Type accumulator = wide ? builder.getF64Type() : Type(builder.getF32Type());
  Value factor;
  if (scale != 1)
    factor = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(accumulator, scale));

  RegionBuilder region(elements);
  region.given(dot);
  if (score != dot)
    region.plan(score);
  if (allowed)
    region.plan(allowed);
  auto op = AttentionOp::create(builder, loc, type, q, k, v, factor, region.captures());
  if (given)
    op.getScoresMutable().assign(given);
  op.setWeighting(weighting);
  if (weighting == Weighting::Softmax)
    op.setEmptyRow(emptyRow);
  if (weighting == Weighting::Sum) {
    op.setEps(APFloat(eps));
    op.setEpsMode(epsMode);
  }
  builder.setInsertionPoint(op);
  if (sinkLayout) {
    Value vector = buildLayout(builder, loc, sizes, *sinkLayout, IndexGroups{heads}, extents);
    op.getSinkMutable().assign(vector);
  } else if (sink) {
    OpFoldResult count = sizes.get(builder, loc, sizes.of(rows, 1));
    Value fill =
        arith::ConstantOp::create(builder, loc, builder.getFloatAttr(accumulator, *asFloat(sink)));
    Value init = tensor::EmptyOp::create(builder, loc, count, accumulator);
    op.getSinkMutable().assign(linalg::FillOp::create(builder, loc, fill, init)->getResult(0));
  }
  addRegions(builder, op, region);
  builder.setInsertionPointAfter(op);
  replacedResult.replaceAllUsesWith(restoreLayout(builder, op.getResult()));
  return op;
}

/// Free indices from the arguments b, h, i, j of a region.
static void mapIndices(OpBuilder &builder, Location loc, Sizes &sizes, Elements &elements,
                       ArrayRef<Value> group, Value position, IRMapping &map) {
  for (size_t n = group.size(); n-- > 1;) {
    std::optional<int64_t> size = Sizes::asConstant(elements.extentOf(group[n]));
    Value divisor = arith::ConstantIndexOp::create(builder, loc, size.value_or(1));
    map.map(group[n], arith::RemUIOp::create(builder, loc, position, divisor));
    position = arith::DivUIOp::create(builder, loc, position, divisor);
  }
  if (!group.empty())
    map.map(group[0], position);
}

void AttentionMatch::addRegions(OpBuilder &builder, AttentionOp op, RegionBuilder &region) {
  Location loc = op.getLoc();
  auto start = [&](const AttentionOp::RegionArgs &args) {
    IRMapping map;
    mapIndices(builder, loc, sizes, elements, batch, args.b, map);
    mapIndices(builder, loc, sizes, elements, heads, args.h, map);
    map.map(column, args.j);
    if (row)
      map.map(row, args.i);
    if (args.score)
      map.map(dot, convert(builder, loc, args.score, dot.getType()));
    region.start(builder, map, ValueRange(args.captures));
  };
  if (score != dot) {
    AttentionOp::RegionArgs args = op.addScore(builder);
    builder.setInsertionPointToStart(&op.getScore().front());
    start(args);
    Value result = convert(builder, loc, region.emit(score), args.score.getType());
    YieldOp::create(builder, loc, result);
  }
  if (allowed) {
    AttentionOp::RegionArgs args = op.addMask(builder);
    builder.setInsertionPointToStart(&op.getMask().front());
    start(args);
    YieldOp::create(builder, loc, region.emit(allowed));
  }
}

/// [B,H,N,E] as the result of the contraction that it replaces.
Value AttentionMatch::restoreLayout(OpBuilder &builder, Value result) {
  Location loc = result.getLoc();
  // One axis per index: split groups, drop unit axes of absent ones.
  SmallVector<Value> order;
  SmallVector<ReassociationIndices> split, dropped;
  SmallVector<OpFoldResult> shape;
  SmallVector<bool> present;
  ReassociationIndices leading;
  for (ArrayRef<Value> group :
       {ArrayRef<Value>(batch), ArrayRef<Value>(heads),
        row ? ArrayRef<Value>(row) : ArrayRef<Value>(), ArrayRef<Value>(valueDepth)}) {
    auto &axes = split.emplace_back();
    present.push_back(!group.empty());
    if (group.empty()) {
      axes.push_back(shape.size());
      shape.push_back(builder.getIndexAttr(1));
      order.push_back({});
      continue;
    }
    for (Value index : group) {
      axes.push_back(shape.size());
      shape.push_back(sizes.get(builder, loc, extentOf(index)));
      order.push_back(index);
    }
  }
  if (shape.size() > 4) {
    SmallVector<int64_t> staticShape;
    SmallVector<Value> dynamic;
    dispatchIndexOpFoldResults(shape, dynamic, staticShape);
    result = tensor::ExpandShapeOp::create(builder, loc,
                                           RankedTensorType::get(staticShape, elementType(result)),
                                           result, split, shape);
  }
  for (auto [axis, index] : llvm::enumerate(order)) {
    if (index) {
      dropped.push_back(std::move(leading));
      leading.clear();
      dropped.back().push_back(axis);
    } else if (dropped.empty()) {
      leading.push_back(axis);
    } else {
      dropped.back().push_back(axis);
    }
  }
  if (dropped.size() < order.size())
    result = tensor::CollapseShapeOp::create(builder, loc, result, dropped);
  llvm::erase(order, Value());
  // The order of the replaced result.
  SmallVector<int64_t> permutation;
  SmallVector<OpFoldResult> transposedShape;
  for (AffineExpr expr : output.resultMap.getResults()) {
    Value index = outputLoops[cast<AffineDimExpr>(expr).getPosition()];
    permutation.push_back(llvm::find(order, index) - order.begin());
    transposedShape.push_back(sizes.get(builder, loc, extentOf(index)));
  }
  if (!llvm::is_sorted(permutation)) {
    Value init = tensor::EmptyOp::create(builder, loc, transposedShape, elementType(result));
    result = linalg::TransposeOp::create(builder, loc, result, init, permutation)->getResult(0);
  }
  if (result.getType() != end->getResult(0).getType())
    result = tensor::CastOp::create(builder, loc, end->getResult(0).getType(), result);
  return result;
}

} // namespace attune
