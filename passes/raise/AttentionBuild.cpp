#include "attune/passes/raise/AttentionMatch.h"
#include "attune/passes/raise/ConstantMasks.h"
#include "attune/passes/raise/Region.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune {

static Type elementType(Value tensor) {
  return cast<RankedTensorType>(tensor.getType()).getElementType();
}

Value convertFloat(OpBuilder &builder, Location loc, Value value, Type type) {
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
  // A map of probabilities needs the rows' sums first, which need no values.
  Value values = probability ? withoutChannels(builder, loc, v)
                             : scaled(builder, loc, v, valueGroups[1], column, valueFactors);
  auto resultOf = [&](Value values) {
    SmallVector<int64_t> shape(rowsType.getShape());
    shape[3] = cast<RankedTensorType>(values.getType()).getDimSize(3);
    return RankedTensorType::get(shape, elementType(replacedResult));
  };
  Type sums =
      probability ? RankedTensorType::get(rowsType.getShape().drop_back(), accumulator) : Type();
  auto op =
      AttentionOp::create(builder, loc, resultOf(values), sums, /*logits=*/Type(), q, k, values,
                          factor, given, /*sink=*/Value(), /*q_offset=*/Value(),
                          /*kv_len=*/Value(), /*block_index=*/Value(), region.captures(), weighting,
                          FloatAttr(), epsMode, EmptyRow::Zero, TypeAttr(), TypeAttr());
  if (weighting == Weighting::Softmax)
    op.setEmptyRow(emptyRow);
  if (weighting == Weighting::Sum && (eps > 0 || epsMode == EpsMode::Clamp))
    op.setEps(APFloat(eps));
  builder.setInsertionPoint(op);
  if (sink)
    op.getSinkMutable().assign(buildSink(builder, loc, rows, accumulator));
  addRegions(builder, op, region);
  boundConstantMasks(op);
  builder.setInsertionPointAfter(op);
  if (probability) {
    RegionBuilder mapped(elements);
    for (Value scalar : {dot, loaded})
      mapped.given(scalar);
    for (Value scalar : {score, allowed, probability})
      if (scalar)
        mapped.plan(scalar);
    SmallVector<Value> captures(mapped.captures());
    captures.push_back(op.getLse());
    if (mayHideSums())
      captures.push_back(addRelativeSums(builder, op).getLse());
    size_t parts = captures.size() - mapped.captures().size();
    op = AttentionOp::create(builder, loc, resultOf(v), q, k, v, factor, captures);
    if (given)
      op.getScoresMutable().assign(given);
    op.setWeighting(Weighting::None);
    addProbabilityRegion(builder, op, mapped, parts);
    boundConstantMasks(op);
    builder.setInsertionPointAfter(op);
  }
  Value result = scaled(builder, loc, op.getResult(), heads, row, resultFactors, keptRows);
  replacedResult.replaceAllUsesWith(restoreLayout(builder, result));
  return op;
}

/// Free indices from the arguments b, h, i, j of a region.
void AttentionMatch::mapIndices(OpBuilder &builder, Location loc, ArrayRef<Value> group,
                                Value position, IRMapping &map) {
  for (size_t n = group.size(); n-- > 1;) {
    std::optional<int64_t> size = Sizes::asConstant(elements.extentOf(group[n]));
    Value divisor = arith::ConstantIndexOp::create(builder, loc, size.value_or(1));
    map.map(group[n], arith::RemUIOp::create(builder, loc, position, divisor));
    position = arith::DivUIOp::create(builder, loc, position, divisor);
  }
  if (!group.empty())
    map.map(group[0], position);
}

void AttentionMatch::startRegion(OpBuilder &builder, AttentionOp op,
                                 const AttentionOp::RegionArgs &args, RegionBuilder &region) {
  Location loc = op.getLoc();
  IRMapping map;
  mapIndices(builder, loc, batch, args.b, map);
  mapIndices(builder, loc, heads, args.h, map);
  map.map(column, args.j);
  if (row)
    map.map(row, args.i);
  if (args.score)
    map.map(dot, convertFloat(builder, loc, args.score, dot.getType()));
  region.start(builder, map, ValueRange(args.captures));
}

void AttentionMatch::addRegions(OpBuilder &builder, AttentionOp op, RegionBuilder &region) {
  Location loc = op.getLoc();
  if (score != dot) {
    AttentionOp::RegionArgs args = op.addScore(builder);
    builder.setInsertionPointToStart(&op.getScore().front());
    startRegion(builder, op, args, region);
    Value result = convertFloat(builder, loc, region.emit(score), args.score.getType());
    YieldOp::create(builder, loc, result);
  }
  if (allowed) {
    AttentionOp::RegionArgs args = op.addMask(builder);
    builder.setInsertionPointToStart(&op.getMask().front());
    startRegion(builder, op, args, region);
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
