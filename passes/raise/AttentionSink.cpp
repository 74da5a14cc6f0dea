// What a softmax adds to the sum of a row beside the keys.
#include "attune/passes/raise/AttentionMatch.h"
#include "attune/passes/raise/Region.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune {

bool AttentionMatch::isRowMaximum(Value scalar) {
  std::optional<ElementOf> element = elements.load(scalar);
  if (!element || elements.depends(scalar, column))
    return false;
  std::optional<Elements::Reduced> reduced = elements.reduced(*element, column);
  return reduced && !reduced->isSum;
}

bool AttentionMatch::matchSink() {
  if (!hasSink)
    return true;
  ElementOf element = *elements.load(loaded);
  element.indices[softmax.getDimension()] = elements.sizeValue(extentOf(column));
  if (!element.indices[softmax.getDimension()])
    return refuse("the softmax has a column that is not a sink");
  sink = elements.at(softmax.getInput(), element.indices);
  if (rowShift) {
    auto shifted = sink.getDefiningOp<arith::SubFOp>();
    if (!shifted || shifted.getRhs() != rowShift)
      return refuse(
          "the column that the softmax adds is shifted by another number than the scores");
    sink = shifted.getLhs();
  }
  return matchSinkLayout();
}

/// exp(x - max x) / sum exp(x - max x) is a softmax; an exponential beside the sum is its sink.
/// Without the shift, exp may overflow where a softmax does not: such weights stay what they are.
bool AttentionMatch::matchExponentials() {
  auto exponential = score.getDefiningOp<math::ExpOp>();
  auto difference =
      exponential ? exponential.getOperand().getDefiningOp<arith::SubFOp>() : arith::SubFOp();
  if (weighting != Weighting::Sum || eps > 0 || !difference || !isRowMaximum(difference.getRhs()))
    return !beside || refuse("the weights are divided by more than their sum");
  weighting = Weighting::Softmax;
  emptyRow = EmptyRow::NaN;
  rowShift = difference.getRhs();
  score = difference.getLhs();
  if (!beside)
    return true;
  sink = beside.getDefiningOp<math::ExpOp>().getOperand();
  auto shifted = sink.getDefiningOp<arith::SubFOp>();
  auto negated = sink.getDefiningOp<arith::NegFOp>();
  if (shifted && shifted.getRhs() == rowShift)
    sink = shifted.getLhs();
  else if (negated && negated.getOperand() == rowShift)
    sink = elements.constantFloat(sink.getType(), 0);
  else
    return refuse("what stands beside the sum is shifted by another number than the scores");
  return matchSinkLayout();
}

/// The sink is one number for every head.
bool AttentionMatch::matchSinkLayout() {
  for (Value index : elements.freeIndices(sink))
    if (!llvm::is_contained(heads, index))
      return refuse("the column that the softmax adds varies with more than the head");
  if (asFloat(sink))
    return true;
  sinkLayout = findLayout(elements, sizes, sink, IndexGroups{heads},
                          [&](Value index) { return extentOf(index); });
  for (Value index : ArrayRef<Value>(heads).drop_front(heads.empty() ? 0 : 1))
    if (!sinkLayout && !Sizes::asConstant(extentOf(index)))
      return refuse("the column that the softmax adds varies with joined axes of dynamic extent");
  return true;
}

/// The column that the softmax adds, for every head.
Value AttentionMatch::buildSink(OpBuilder &builder, Location loc, Value rows, Type type) {
  if (sinkLayout)
    return buildLayout(builder, loc, sizes, *sinkLayout, IndexGroups{heads},
                       [&](Value index) { return extentOf(index); });
  OpFoldResult count = sizes.get(builder, loc, sizes.of(rows, 1));
  if (!asFloat(sink)) {
    // No tensor has it as a vector: one that was expanded to all rows, or computed from one.
    RegionBuilder region(elements);
    region.plan(sink);
    Value init = tensor::EmptyOp::create(builder, loc, count, sink.getType());
    auto body = [&](OpBuilder &b, Location loc, ValueRange) {
      IRMapping map;
      mapIndices(b, loc, heads, linalg::IndexOp::create(b, loc, 0), map);
      region.start(b, map, region.captures());
      linalg::YieldOp::create(b, loc, region.emit(sink));
    };
    return linalg::GenericOp::create(builder, loc, init.getType(), ValueRange(), init,
                                     builder.getMultiDimIdentityMap(1),
                                     utils::IteratorType::parallel, body)
        .getResult(0);
  }
  Value fill = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, *asFloat(sink)));
  Value init = tensor::EmptyOp::create(builder, loc, count, type);
  return linalg::FillOp::create(builder, loc, fill, init)->getResult(0);
}

} // namespace attune
