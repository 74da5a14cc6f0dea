#include "attune/dialect/ops/Support.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"

using namespace mlir;
using namespace attune;

//===-- Building and reading ------------------------------------------------------------------===//

void LinearAttentionOp::build(OpBuilder &builder, OperationState &state, Type result, Value query,
                              Value key, Value value, Direction direction) {
  build(builder, state, result, Type(), Type(), query, key, value, Value(), Value(), Value(),
        Value(), Value(), Value(), Value(), Value(), Value(), Value(), direction, Update::Sum,
        Weighting::None, FloatAttr(), EpsMode::Add, Denominator::Weighted, Form::Auto,
        FormPricesAttr(), TypeAttr());
}

bool LinearAttentionOp::hasFeatureGates() {
  return getDecay() && cast<RankedTensorType>(getDecay().getType()).getRank() == 4;
}

FloatType LinearAttentionOp::getAccumType() {
  auto type = getAccum();
  return type ? cast<FloatType>(*type) : getDefaultAccum(getValue());
}

Value LinearAttentionOp::addMap(OpBuilder &builder, Region &region) {
  OpBuilder::InsertionGuard guard(builder);
  Block *block = builder.createBlock(&region, region.end(), {getAccumType()}, {getLoc()});
  return block->getArgument(0);
}

int64_t LinearAttentionOp::getKeyDim() {
  return cast<RankedTensorType>(getQuery().getType()).getDimSize(3);
}

int64_t LinearAttentionOp::getValueDim() {
  return cast<RankedTensorType>(getResult().getType()).getDimSize(3);
}

int64_t LinearAttentionOp::getNumPositionTerms() {
  return getQueryPos() ? cast<RankedTensorType>(getQueryPos().getType()).getDimSize(0) : 1;
}

//===-- Verification --------------------------------------------------------------------------===//

static LogicalResult checkTypes(LinearAttentionOp op) {
  if (failed(verifyFloats(op, {{"query", op.getQuery()},
                               {"key", op.getKey()},
                               {"value", op.getValue()},
                               {"query_pos", op.getQueryPos()},
                               {"key_pos", op.getKeyPos()},
                               {"toeplitz", op.getToeplitz()},
                               {"decay", op.getDecay()},
                               {"beta", op.getBeta()},
                               {"key_mask", op.getKeyMask()},
                               {"init_state", op.getInitState()},
                               {"init_norm", op.getInitNorm()},
                               {"result", op.getResult()},
                               {"final_state", op.getFinalState()},
                               {"final_norm", op.getFinalNorm()}})))
    return failure();
  if (auto accum = op.getAccum(); accum && !isa<FloatType>(*accum))
    return op.emitOpError("accum must be a float type, found ") << *accum;
  return success();
}

/// The letters of `value`'s axes: the first or last one is there only if the rank says so.
static StringRef optionalAxis(Value value, StringRef symbols, int64_t rank, bool first) {
  bool present = value && cast<RankedTensorType>(value.getType()).getRank() == rank;
  return present ? symbols : first ? symbols.drop_front() : symbols.drop_back();
}

/// Extents that are functions of others.
static LogicalResult checkDerived(LinearAttentionOp op, ShapeChecker &shapes) {
  auto n = shapes.get('n'), m = op.isCausal() ? n : shapes.get('m'), d = shapes.get('d');
  auto r = op.getQueryPos() ? shapes.get('r') : std::optional<int64_t>(1);
  if (n && m)
    if (failed(shapes.require('t', std::max<int64_t>(*n + *m - 1, 0), "toeplitz", "N + M - 1")))
      return failure();
  if (r && d)
    return shapes.require('f', *r * *d, "the state", op.getQueryPos() ? "R D" : "D");
  return success();
}

static LogicalResult checkShapes(LinearAttentionOp op) {
  ShapeChecker shapes(op);
  bool causal = op.isCausal();
  if (failed(shapes.check("query", op.getQuery(), "bhnd")) ||
      failed(shapes.check("key", op.getKey(), causal ? "bknd" : "bkmd")) ||
      failed(shapes.check("value", op.getValue(), causal ? "bkne" : "bkme")) ||
      failed(shapes.check("query_pos", op.getQueryPos(), "rn")) ||
      failed(shapes.check("key_pos", op.getKeyPos(), causal ? "rn" : "rm")) ||
      failed(shapes.check("toeplitz", op.getToeplitz(),
                          optionalAxis(op.getToeplitz(), "ht", 2, /*first=*/true))) ||
      failed(shapes.check("decay", op.getDecay(),
                          optionalAxis(op.getDecay(), "bknd", 4, /*first=*/false))) ||
      failed(shapes.check("beta", op.getBeta(), "bkn")) ||
      failed(shapes.check("key_mask", op.getKeyMask(), causal ? "bn" : "bm")) ||
      failed(shapes.check("init_state", op.getInitState(), "bkfe")) ||
      failed(shapes.check("init_norm", op.getInitNorm(), "bkf")) ||
      failed(shapes.check("result", op.getResult(), "bhne")) ||
      failed(shapes.check("final_state", op.getFinalState(), "bkfe")) ||
      failed(shapes.check("final_norm", op.getFinalNorm(), "bkf")) ||
      failed(checkDerived(op, shapes)))
    return failure();
  return verifyHeadGroups(op, shapes.get('h'), shapes.get('k'));
}

/// Operands and attributes that go with one kind of update.
static LogicalResult checkUpdate(LinearAttentionOp op) {
  auto found = [&] { return "update " + stringifyUpdate(op.getUpdate()).str(); };
  if (!op.isCausal() && op.getUpdate() != Update::Sum)
    return op.emitOpError() << found() << " needs direction = causal";
  if (!op.getDecay() != !op.hasGate())
    return op.emitOpError() << (op.getDecay() ? "decay is for gated updates only, found "
                                              : "decay is missing for ")
                            << found();
  if (!op.getBeta() != !op.hasDelta())
    return op.emitOpError() << (op.getBeta() ? "beta is for delta updates only, found "
                                             : "beta is missing for ")
                            << found();
  if (!op.getStep() != !op.hasMomentum())
    return op.emitOpError() << (op.getStep() ? "step is for momentum updates only, found "
                                             : "step is missing for ")
                            << found();
  if (!op.getMu() != (op.getUpdate() != Update::Momentum))
    return op.emitOpError() << (op.getMu() ? "mu is for update momentum only, found "
                                           : "mu is missing for ")
                            << found();
  if (op.getToeplitz() && op.getUpdate() != Update::Sum)
    return op.emitOpError() << "toeplitz needs update sum, found " << found();
  if (op.getQueryPos() && (op.hasFeatureGates() || op.hasDelta()))
    return op.emitOpError() << "position tables cannot be given with "
                            << (op.hasDelta() ? found() : "gates per feature");
  return success();
}

static LogicalResult checkNorm(LinearAttentionOp op) {
  bool sum = op.getNorm() == Weighting::Sum;
  if (op.getNorm() == Weighting::Softmax)
    return op.emitOpError("norm must be none, sum or count, found softmax");
  auto only = [&](StringRef what) {
    return op.emitOpError() << what << " is for norm sum only, found "
                            << stringifyWeighting(op.getNorm());
  };
  if (op.getEps() && !sum)
    return only("eps");
  if (op.getEpsMode() != EpsMode::Add && !sum)
    return only("eps_mode");
  if (op.getDen() != Denominator::Weighted && !sum)
    return only("den = plain");
  if (op.getInitNorm() && !sum)
    return only("init_norm");
  if (op.getFinalNorm() && !sum)
    return only("final_norm");
  if (op.getEps() && !(op.getEps()->convertToDouble() >= 0))
    return op.emitOpError("eps must be at least 0, found ") << op.getEpsAttr().getValueAsDouble();
  if (op.getEpsMode() == EpsMode::Clamp && !op.getEps())
    return op.emitOpError("eps_mode clamp needs eps");
  if (sum && op.hasDelta())
    return op.emitOpError("norm sum cannot be given with update ")
           << stringifyUpdate(op.getUpdate());
  return success();
}

/// What comes in from and goes out to other calls, and the map of the state.
static LogicalResult checkState(LinearAttentionOp op) {
  bool carries = op.getInitState() || op.getInitNorm() || op.getFinalState() || op.getFinalNorm();
  if (carries && !op.isCausal())
    return op.emitOpError("initial and final states need direction = causal");
  if (carries && op.getToeplitz())
    return op.emitOpError("initial and final states cannot be given with toeplitz");
  // The state of a momentum update has a third part that no operand or result carries.
  if (carries && op.hasMomentum())
    return op.emitOpError("initial and final states cannot be given with update ")
           << stringifyUpdate(op.getUpdate());
  if (!op.getState().empty() && op.isCausal())
    return op.emitOpError("a state region needs direction = bidirectional");
  if (!op.getState().empty() && op.getToeplitz())
    return op.emitOpError("a state region cannot be given with toeplitz");
  return success();
}

LogicalResult LinearAttentionOp::verify() {
  if (!getQueryPos() != !getKeyPos())
    return emitOpError("query_pos and key_pos must be given together");
  if (failed(checkTypes(*this)) || failed(checkShapes(*this)) || failed(checkUpdate(*this)) ||
      failed(checkNorm(*this)))
    return failure();
  return checkState(*this);
}

LogicalResult LinearAttentionOp::verifyRegions() {
  Type accum = getAccumType();
  for (auto [name, region] : {std::pair("phi_q", &getPhiQ()), std::pair("phi_k", &getPhiK()),
                              std::pair("state", &getState())})
    if (failed(verifyScalarRegion(*this, name, *region, accum, accum)))
      return failure();
  return success();
}

//===-- Shapes --------------------------------------------------------------------------------===//

LogicalResult LinearAttentionOp::reifyResultShapes(OpBuilder &builder,
                                                   ReifiedRankedShapedTypeDims &dims) {
  auto size = [&](Value value, int64_t dim) {
    return tensor::getMixedSize(builder, getLoc(), value, dim);
  };
  OpFoldResult b = size(getQuery(), 0), kvHeads = size(getValue(), 1), e = size(getValue(), 3);
  OpFoldResult features = size(getQuery(), 3);
  if (getQueryPos()) {
    AffineExpr r = builder.getAffineSymbolExpr(0), d = builder.getAffineSymbolExpr(1);
    features = affine::makeComposedFoldedAffineApply(builder, getLoc(), r * d,
                                                     {size(getQueryPos(), 0), features});
  }
  dims.push_back({b, size(getQuery(), 1), size(getQuery(), 2), e});
  if (getFinalState())
    dims.push_back({b, kvHeads, features, e});
  if (getFinalNorm())
    dims.push_back({b, kvHeads, features});
  refineShapes(builder, getOperation(), dims);
  return success();
}
