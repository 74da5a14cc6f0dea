#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

/// Only sums have weights that do not depend on other steps; a chunk needs one gate for all
/// features.
SmallVector<Form> LinearAttentionOp::getForms() {
  SmallVector<Form> forms;
  bool sum = getUpdate() == Update::Sum;
  if (!getToeplitz() && !isCausal())
    forms.push_back(Form::Linear);
  if (!getToeplitz() && isCausal()) {
    forms.push_back(Form::Recurrent);
    if (!hasDelta() && !hasFeatureGates() && getUpdate() != Update::AdaptiveMomentum)
      forms.push_back(Form::Chunked);
  }
  bool hasState = getInitState() || getInitNorm() || getFinalState() || getFinalNorm();
  if (sum && getState().empty() && !hasState)
    forms.push_back(Form::Quadratic);
  return forms;
}

/// As the kernels have them: positions of a chunk, and those that a recurrence takes at once.
static constexpr int64_t kChunk = 64, kBlock = 4;

/// Positions of an axis that are taken together, at most `most`.
static double together(OpFoldResult extent, int64_t most) {
  return std::clamp<int64_t>(getConstantIntValue(extent).value_or(most), 1, most);
}

/// Per pair of query and key that see each other, products of F and E multiply-adds: all pairs, or
/// those inside a chunk or block. Across these, per token one product into the state and one out of
/// it, of F E multiply-adds each, and what the update adds.
SmallVector<WorkTerm> LinearAttentionOp::getWork(ExtentOf extent) {
  using Class = WorkTerm::Class;
  SmallVector<WorkTerm> terms;
  SmallVector<OpFoldResult> queries = getExtents(getQuery(), extent), results(queries);
  results[3] = extent(getValue(), 3);
  SmallVector<OpFoldResult> keys = getExtents(getKey(), extent);
  for (auto [region, extents] : {std::pair(&getPhiQ(), &queries), std::pair(&getPhiK(), &keys)})
    if (!region->empty())
      addBodyWork(terms, region->front(), *extents);
  if (getQueryPos()) {
    queries.push_back(extent(getQueryPos(), 0));
    keys.push_back(extent(getQueryPos(), 0));
    addWork(terms, Class::Arithmetic, 1, queries);
    addWork(terms, Class::Arithmetic, 1, keys);
  }
  // A causal query sees half of the keys.
  double seen = isCausal() ? 0.5 : 1;
  if (getToeplitz() || getForm() == Form::Quadratic) {
    SmallVector<OpFoldResult> scored(queries), weighted(results), pairs(results);
    pairs[3] = keys[2];
    scored.push_back(keys[2]);
    weighted.push_back(keys[2]);
    addWork(terms, Class::Fma, 2 * seen, scored);
    addWork(terms, Class::Fma, 2 * seen, weighted);
    // A weight goes through memory once.
    addWork(terms, Class::Arithmetic, seen * (getToeplitz() ? 2 : 1), pairs);
  } else {
    // Momentum has no blocks: two states are loaded and stored at every step.
    bool steps = isCausal() && getForm() != Form::Chunked;
    if (isCausal() && !(steps && hasMomentum())) {
      double inside = together(keys[2], steps ? kBlock : kChunk);
      addWork(terms, Class::Fma, 2 * seen * inside, queries);
      addWork(terms, Class::Fma, 2 * seen * inside, results);
    }
    SmallVector<OpFoldResult> in(keys), out(queries);
    in.push_back(results[3]);
    out.push_back(results[3]);
    // The first chunk has no state yet, and nothing reads the last one's.
    double between = 1;
    if (isCausal() && !steps && !getFinalState() && !getInitState())
      between = std::max(0.0, 1 - together(keys[2], kChunk) /
                                      getConstantIntValue(keys[2]).value_or(INT64_MAX));
    addWork(terms, Class::Fma, between * (hasDelta() ? 4 : 2), in);
    addWork(terms, Class::Fma, between * 2, out);
    bool adaptive = getUpdate() == Update::AdaptiveMomentum;
    double perStep = (hasMomentum() ? 6 : 0) + (adaptive ? 6 : 0), perPass = hasGate() ? 1 : 0;
    double perState =
        steps ? perStep + perPass / (hasMomentum() ? 1 : kBlock) : (perStep + perPass) / kChunk;
    addWork(terms, Class::Arithmetic, perState, in);
    if (getDecay())
      addWork(terms, Class::Transcendental, 1, getExtents(getDecay(), extent));
    if (!getState().empty()) {
      in.erase(in.begin() + 2);
      addBodyWork(terms, getState().front(), in);
    }
  }
  if (getNorm() == Weighting::Sum) {
    addWork(terms, Class::Arithmetic, 1, keys);
    addWork(terms, Class::Fma, 2, queries);
  }
  if (getNorm() != Weighting::None)
    addWork(terms, Class::Arithmetic, 1, results);
  return terms;
}

/// Columns of the state for a recurrence, unless its step needs norms of it; else rows.
SmallVector<OpFoldResult> LinearAttentionOp::getParallelExtents(ExtentOf extent) {
  SmallVector<OpFoldResult> extents = getExtents(getResult(), extent);
  bool rows = getToeplitz() || !isCausal() || getForm() == Form::Quadratic;
  if (rows)
    extents.pop_back();
  else
    extents.erase(extents.begin() + 2);
  if (getUpdate() == Update::AdaptiveMomentum)
    extents.pop_back();
  return extents;
}

bool LinearAttentionOp::choosesAtRunTime(FormPricesAttr prices) {
  setFormPricesAttr(prices);
  return true;
}

FormPricesAttr LinearAttentionOp::getRunTimePrices() { return getFormPricesAttr(); }

/// All queries read one state, unless each has its own.
Value LinearAttentionOp::buildRows(OpBuilder &builder, int64_t axis, OpFoldResult offset,
                                   OpFoldResult count) {
  if (axis != 2 || isCausal() || getToeplitz() || getOperation()->getNumResults() != 1)
    return {};
  Value query = sliceAxis(builder, getQuery(), axis, offset, count), table;
  if (getQueryPos())
    table = sliceAxis(builder, getQueryPos(), 1, offset, count);
  auto rows = cast<LinearAttentionOp>(builder.clone(*getOperation()));
  rows.getQueryMutable().assign(query);
  if (table)
    rows.getQueryPosMutable().assign(table);
  rows.getResult().setType(withExtent(getResult().getType(), axis, count));
  return rows.getResult();
}
