#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

/// Only sums have weights that do not depend on other steps; a chunk needs one gate for all features.
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

/// Per pair of query and key, products of F and E multiply-adds; else per token one product into
/// the state and one out of it, of F E multiply-adds each, and what the update adds.
SmallVector<WorkTerm> LinearAttentionOp::getWork(ExtentOf extent) {
  using Class = WorkTerm::Class;
  SmallVector<WorkTerm> terms;
  SmallVector<OpFoldResult> results = getExtents(getResult(), extent);
  SmallVector<OpFoldResult> queries = getExtents(getQuery(), extent);
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
  if (getToeplitz() || getForm() == Form::Quadratic) {
    SmallVector<OpFoldResult> scored(queries), weighted(results), pairs(results);
    pairs[3] = keys[2];
    scored.push_back(keys[2]);
    weighted.push_back(keys[2]);
    addWork(terms, Class::Fma, 2, scored);
    addWork(terms, Class::Fma, 2, weighted);
    addWork(terms, Class::Arithmetic, (getToeplitz() ? 1 : 0) + (isCausal() ? 1 : 0), pairs);
  } else {
    SmallVector<OpFoldResult> in(keys), out(queries);
    in.push_back(results[3]);
    out.push_back(results[3]);
    addWork(terms, Class::Fma, hasDelta() ? 4 : 2, in);
    addWork(terms, Class::Fma, 2, out);
    bool adaptive = getUpdate() == Update::AdaptiveMomentum;
    addWork(terms, Class::Arithmetic,
            (hasGate() ? 1 : 0) + (hasMomentum() ? 2 : 0) + (adaptive ? 6 : 0), in);
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
