#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

/// Two products per pair of query and key, of D and E multiply-adds each; per pair the regions and,
/// for softmax, a maximum, a difference, a sum and one exponential; a quotient per result element.
SmallVector<WorkTerm> AttentionOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  SmallVector<OpFoldResult> results = getExtents(getResult(), extent), pairs(results);
  pairs[3] = extent(getValue(), 2);
  SmallVector<OpFoldResult> scored(pairs), weighted(pairs);
  weighted.push_back(results[3]);
  if (getQuery()) {
    scored.push_back(extent(getQuery(), 3));
    addWork(terms, WorkTerm::Class::Fma, 2, scored);
  }
  addWork(terms, WorkTerm::Class::Fma, 2, weighted);
  bool softmax = getWeighting() == Weighting::Softmax;
  addWork(terms, WorkTerm::Class::Arithmetic,
          (getScale() ? 1 : 0) + (getScores() ? 1 : 0) + (softmax ? 3 : 0), pairs);
  for (Region *region : {&getScore(), &getMask()})
    if (!region->empty())
      addBodyWork(terms, region->front(), pairs);
  if (softmax)
    addWork(terms, WorkTerm::Class::Transcendental, 1, pairs);
  if (getWeighting() != Weighting::None)
    addWork(terms, WorkTerm::Class::Arithmetic, 1, results);
  return terms;
}

/// Rows; the elements of a row share its weights.
SmallVector<OpFoldResult> AttentionOp::getParallelExtents(ExtentOf extent) {
  SmallVector<OpFoldResult> rows = getExtents(getResult(), extent);
  rows.pop_back();
  return rows;
}

/// Key heads may be shared by more or fewer query heads.
SmallVector<SearchKnob> AttentionOp::getSearchKnobs() {
  int64_t heads = getNumHeads(), kvHeads = getNumKVHeads();
  if (ShapedType::isDynamic(heads) || ShapedType::isDynamic(kvHeads))
    return {};
  SearchKnob knob{"key_heads", kvHeads, {}};
  for (int64_t count = 1; count <= heads; ++count)
    if (heads % count == 0)
      knob.values.push_back(count);
  return {knob};
}

/// Queries do not depend on each other; regions go on counting them from the first one of all.
Value AttentionOp::buildRows(OpBuilder &builder, int64_t axis, OpFoldResult offset,
                             OpFoldResult count) {
  if (axis != 2 || getOperation()->getNumResults() != 1 || getBlockIndex())
    return {};
  Value query, scores;
  if (getQuery())
    query = sliceAxis(builder, getQuery(), axis, offset, count);
  if (getScores())
    scores = sliceAxis(builder, getScores(), axis, offset, count);
  auto rows = cast<AttentionOp>(builder.clone(*getOperation()));
  if (query)
    rows.getQueryMutable().assign(query);
  if (scores)
    rows.getScoresMutable().assign(scores);
  rows.getResult().setType(withExtent(getResult().getType(), axis, count));
  std::optional<int64_t> constant = getConstantIntValue(offset);
  if (constant == 0)
    return rows.getResult();
  if (!constant)
    rows.getCapturesMutable().append(cast<Value>(offset));
  for (Region *region : {&rows.getScore(), &rows.getMask()}) {
    if (region->empty())
      continue;
    Block &block = region->front();
    OpBuilder body = OpBuilder::atBlockBegin(&block);
    Value first = constant ? arith::ConstantIndexOp::create(body, getLoc(), *constant).getResult()
                           : block.addArgument(body.getIndexType(), getLoc());
    RegionArgs args = region == &rows.getScore() ? rows.getScoreArgs() : rows.getMaskArgs();
    for (Value position : {args.i, args.n}) {
      auto shifted = arith::AddIOp::create(body, getLoc(), position, first);
      position.replaceAllUsesExcept(shifted, shifted);
    }
  }
  return rows.getResult();
}
