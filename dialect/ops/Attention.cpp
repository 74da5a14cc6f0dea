#include "attune/dialect/ops/Support.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace attune;

//===-- Building and reading ------------------------------------------------------------------===//

void AttentionOp::build(OpBuilder &builder, OperationState &state, Type result, Value query,
                        Value key, Value value, Value scale, ValueRange captures) {
  build(builder, state, result, Type(), Type(), query, key, value, scale, Value(), Value(), Value(),
        Value(), Value(), captures, Weighting::Softmax, FloatAttr(), EpsMode::Add, EmptyRow::Zero,
        TypeAttr(), TypeAttr());
}

static AttentionOp::RegionArgs readArgs(Region &region, bool score) {
  Block::BlockArgListType args = region.getArguments();
  Value first = score ? args.front() : Value();
  args = args.drop_front(score);
  return {first, args[0], args[1], args[2], args[3], args[4], args[5], args.drop_front(6)};
}

static void addBlock(AttentionOp op, OpBuilder &builder, Region &region, Type score) {
  SmallVector<Type> types(score ? 7 : 6, builder.getIndexType());
  if (score)
    types.front() = score;
  llvm::append_range(types, op.getCaptures().getTypes());
  OpBuilder::InsertionGuard guard(builder);
  SmallVector<Location> locs(types.size(), op.getLoc());
  builder.createBlock(&region, region.end(), types, locs);
}

AttentionOp::RegionArgs AttentionOp::addScore(OpBuilder &builder) {
  addBlock(*this, builder, getScore(), getAccumType());
  return getScoreArgs();
}

AttentionOp::RegionArgs AttentionOp::addMask(OpBuilder &builder) {
  addBlock(*this, builder, getMask(), Type());
  return getMaskArgs();
}

AttentionOp::RegionArgs AttentionOp::getScoreArgs() { return readArgs(getScore(), true); }
AttentionOp::RegionArgs AttentionOp::getMaskArgs() { return readArgs(getMask(), false); }

Value AttentionOp::getScoreValue() { return getScore().front().back().getOperand(0); }
Value AttentionOp::getMaskValue() { return getMask().front().back().getOperand(0); }

FloatType AttentionOp::getAccumType() {
  auto type = getAccum();
  return type ? cast<FloatType>(*type) : getDefaultAccum(getValue());
}

FloatType AttentionOp::getWeightType() {
  auto type = getSoftmaxType();
  return type ? cast<FloatType>(*type) : getAccumType();
}

int64_t AttentionOp::getResultExtent(int64_t dim) {
  return cast<RankedTensorType>(getResult().getType()).getDimSize(dim);
}

int64_t AttentionOp::getValueExtent(int64_t dim) {
  return cast<RankedTensorType>(getValue().getType()).getDimSize(dim);
}

int64_t AttentionOp::getKeyDim() {
  return getQuery() ? cast<RankedTensorType>(getQuery().getType()).getDimSize(3) : 0;
}

std::optional<int64_t> AttentionOp::getGroupSize() {
  int64_t heads = getNumHeads(), kvHeads = getNumKVHeads();
  if (ShapedType::isDynamic(heads) || ShapedType::isDynamic(kvHeads))
    return std::nullopt;
  return kvHeads ? heads / kvHeads : 1;
}

//===-- Verification --------------------------------------------------------------------------===//

/// `q_offset` and `kv_len`: one integer per batch, or one for all.
static LogicalResult checkPerBatch(AttentionOp op, StringRef name, Value value,
                                   std::optional<int64_t> batch) {
  if (!value)
    return success();
  auto type = cast<RankedTensorType>(value.getType());
  if (!type.getElementType().isSignlessIntOrIndex())
    return op.emitOpError() << name << " must have integer or index elements, found "
                            << type.getElementType();
  if (type.getRank() != 1)
    return op.emitOpError() << name << " must have rank 1, found " << type.getRank();
  int64_t extent = type.getDimSize(0);
  if (ShapedType::isStatic(extent) && extent != 1 && batch && extent != *batch)
    return op.emitOpError() << name << " must have extent 1 or the batch (" << *batch << "), found "
                            << extent;
  return success();
}

static LogicalResult checkShapes(AttentionOp op) {
  ShapeChecker shapes(op);
  if (failed(shapes.check("value", op.getValue(), "bkme")) ||
      failed(shapes.check("key", op.getKey(), "bkmd")) ||
      failed(shapes.check("query", op.getQuery(), "bhnd")) ||
      failed(shapes.check("scores", op.getScores(), "bhnm")) ||
      failed(shapes.check("result", op.getResult(), "bhne")) ||
      failed(shapes.check("lse", op.getLse(), "bhn")) ||
      failed(shapes.check("logits", op.getLogits(), "bhnm")) ||
      failed(shapes.check("sink", op.getSink(), "h")) ||
      failed(shapes.check("block_index", op.getBlockIndex(), "hpr")) ||
      failed(checkPerBatch(op, "q_offset", op.getQOffset(), shapes.get('b'))) ||
      failed(checkPerBatch(op, "kv_len", op.getKvLen(), shapes.get('b'))))
    return failure();
  return verifyHeadGroups(op, shapes.get('h'), shapes.get('k'));
}

static LogicalResult checkTypes(AttentionOp op) {
  if (failed(verifyFloats(op, {{"query", op.getQuery()},
                               {"key", op.getKey()},
                               {"value", op.getValue()},
                               {"scores", op.getScores()},
                               {"sink", op.getSink()},
                               {"result", op.getResult()},
                               {"lse", op.getLse()},
                               {"logits", op.getLogits()}})))
    return failure();
  for (auto [name, type] :
       {std::pair("accum", op.getAccum()), std::pair("softmax_type", op.getSoftmaxType())})
    if (type && !isa<FloatType>(*type))
      return op.emitOpError() << name << " must be a float type, found " << *type;
  if (Value index = op.getBlockIndex();
      index && !getElementTypeOrSelf(index).isSignlessIntOrIndex())
    return op.emitOpError("block_index must have integer or index elements, found ")
           << getElementTypeOrSelf(index);
  for (Type type : op.getCaptures().getTypes())
    if (!isa<RankedTensorType>(type) && !type.isIntOrIndexOrFloat())
      return op.emitOpError("captures must be ranked tensors or scalars, found ") << type;
  return success();
}

static LogicalResult checkWeighting(AttentionOp op) {
  bool softmax = op.getWeighting() == Weighting::Softmax;
  bool sum = op.getWeighting() == Weighting::Sum;
  auto only = [&](StringRef what, StringRef weighting) {
    return op.emitOpError() << what << " is for weighting " << weighting << " only, found "
                            << stringifyWeighting(op.getWeighting());
  };
  if (op.getSink() && !softmax)
    return only("sink", "softmax");
  if (op.getLse() && !softmax)
    return only("lse", "softmax");
  if (op.getSoftmaxType() && !softmax)
    return only("softmax_type", "softmax");
  if (op.getEmptyRow() != EmptyRow::Zero && !softmax)
    return only("empty_row = nan", "softmax");
  if (op.getEps() && !sum)
    return only("eps", "sum");
  if (op.getEpsMode() != EpsMode::Add && !sum)
    return only("eps_mode", "sum");
  if (op.getEps() && !(op.getEps()->convertToDouble() >= 0))
    return op.emitOpError("eps must be at least 0, found ") << op.getEpsAttr().getValueAsDouble();
  if (op.getEpsMode() == EpsMode::Clamp && !op.getEps())
    return op.emitOpError("eps_mode clamp needs eps");
  return success();
}

LogicalResult AttentionOp::verify() {
  if (!getQuery() != !getKey())
    return emitOpError("query and key must be given together");
  if (!getQuery() && !getScores())
    return emitOpError("needs query and key, or scores");
  if (getScale() && !getQuery())
    return emitOpError("scale applies to query and key, which are absent");
  if (getLogits() && getBlockIndex())
    return emitOpError("logits cannot be given together with block_index");
  if (failed(checkTypes(*this)) || failed(checkShapes(*this)))
    return failure();
  return checkWeighting(*this);
}

LogicalResult AttentionOp::verifyRegions() {
  SmallVector<Type> args(6, IndexType::get(getContext()));
  llvm::append_range(args, getCaptures().getTypes());
  if (failed(verifyScalarRegion(*this, "mask", getMask(), args, IntegerType::get(getContext(), 1))))
    return failure();
  args.insert(args.begin(), getAccumType());
  return verifyScalarRegion(*this, "score", getScore(), args, getAccumType());
}

//===-- Shapes --------------------------------------------------------------------------------===//

LogicalResult AttentionOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &dims) {
  Value rows = getQuery() ? getQuery() : getScores();
  auto size = [&](Value value, int64_t dim) {
    return tensor::getMixedSize(builder, getLoc(), value, dim);
  };
  OpFoldResult b = size(rows, 0), h = size(rows, 1), n = size(rows, 2);
  dims.push_back({b, h, n, size(getValue(), 3)});
  if (getLse())
    dims.push_back({b, h, n});
  if (getLogits())
    dims.push_back({b, h, n, size(getValue(), 2)});
  refineShapes(builder, getOperation(), dims);
  return success();
}
