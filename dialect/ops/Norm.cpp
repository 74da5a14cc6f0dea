#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace attune;

void NormOp::build(OpBuilder &builder, OperationState &state, Value input, Value scale, Value bias,
                   NormKind kind, int64_t axis, double eps, int64_t groups) {
  build(builder, state, input.getType(), Type(), Type(), input, scale, bias, kind, axis, groups,
        APFloat(eps));
}

FloatType NormOp::getAccumType() { return getDefaultAccum(getInput()); }

//===-- Verification --------------------------------------------------------------------------===//

static bool haveFloatElements(ValueRange values) {
  return llvm::all_of(
      values, [](Value value) { return !value || isa<FloatType>(getElementTypeOrSelf(value)); });
}

/// Scale or bias of layer and RMS normalisation: aligned at the last axis, 1 repeats.
static LogicalResult checkBroadcast(NormOp op, StringRef name, Value value) {
  if (!value)
    return success();
  auto type = cast<RankedTensorType>(value.getType());
  ArrayRef<int64_t> shape = type.getShape(), input = op.getInputType().getShape();
  bool fits = shape.size() <= input.size();
  for (auto [extent, full] : llvm::zip(llvm::reverse(shape), llvm::reverse(input)))
    fits &= extent == 1 || ShapedType::isDynamic(extent) || ShapedType::isDynamic(full) ||
            extent == full;
  if (!fits)
    return op.emitOpError() << name << " of type " << type << " does not broadcast to the input "
                            << op.getInputType();
  return success();
}

static LogicalResult checkStatistic(NormOp op, StringRef name, Value value) {
  if (!value)
    return success();
  SmallVector<int64_t> shape(op.getInputType().getShape());
  std::fill(shape.begin() + op.getAxis(), shape.end(), 1);
  auto type = cast<RankedTensorType>(value.getType());
  if (failed(verifyCompatibleShape(type.getShape(), shape)))
    return op.emitOpError() << name << " must have the input's shape with extent 1 from the axis "
                            << "on, found " << type;
  return success();
}

static LogicalResult checkGroups(NormOp op) {
  if (op.getAxis() != 1)
    return op.emitOpError("kind group needs axis = 1 (channels), found ") << op.getAxis();
  if (op.getMean() || op.getInvStd())
    return op.emitOpError("kind group has no results mean and inv_std");
  int64_t channels = op.getInputType().getDimSize(1);
  if (op.getGroups() < 1 || (ShapedType::isStatic(channels) && channels % op.getGroups() != 0))
    return op.emitOpError("groups must divide the number of channels, found ") << op.getGroups();
  for (auto [name, value] : {std::pair("scale", op.getScale()), std::pair("bias", op.getBias())}) {
    if (!value)
      continue;
    auto type = cast<RankedTensorType>(value.getType());
    if (failed(verifyCompatibleShape(type.getShape(), {channels})))
      return op.emitOpError() << name << " must have one element per channel, found " << type;
  }
  return success();
}

LogicalResult NormOp::verify() {
  if (!haveFloatElements({getInput(), getScale(), getBias(), getResult(), getMean(), getInvStd()}))
    return emitOpError("operands and results must have float elements");
  int64_t axis = getAxis(), rank = getInputType().getRank();
  if (axis < 0 || axis >= rank)
    return emitOpError("axis must be in [0, ") << rank << "), found " << axis;
  if (failed(verifyCompatibleShape(getInputType(), getResult().getType())))
    return emitOpError("input and result must have the same shape");
  if (getKind() == NormKind::Group)
    return checkGroups(*this);
  if (getGroups() != 1)
    return emitOpError("groups is for kind group only, found ") << getGroups();
  if (getMean() && getKind() == NormKind::RMS)
    return emitOpError("kind rms has no result mean");
  if (failed(checkBroadcast(*this, "scale", getScale())) ||
      failed(checkBroadcast(*this, "bias", getBias())) ||
      failed(checkStatistic(*this, "mean", getMean())))
    return failure();
  return checkStatistic(*this, "inv_std", getInvStd());
}

//===-- Reference lowering --------------------------------------------------------------------===//

namespace {

/// Normalises `x` over the axes from `axis` on; group normalisation has split its channels before.
class NormLowering : Lowering {
public:
  NormLowering(NormOp op, OpBuilder &builder, Value x, int64_t axis)
      : Lowering(builder, op.getLoc()), norm(op), accum(op.getAccumType()), x(x), shape(sizes(x)),
        rank(shape.size()), axis(axis), perRow(prefix(rank, axis)), full(prefix(rank, rank)) {
    if (norm.getKind() != NormKind::RMS)
      mean = meanOf({x}, {full}, [&](ValueRange args) { return cast(args[0], accum); });
    invStd = inverseDeviation();
  }

  /// `scale` and `bias` with their maps; null if absent.
  Value run(Value scale, AffineMap scaleMap, Value bias, AffineMap biasMap);
  Value statistic(Value value, Type type);

  Value mean, invStd;

private:
  Value meanOf(ValueRange inputs, ArrayRef<AffineMap> maps, Body body);
  Value inverseDeviation();

  NormOp norm;
  FloatType accum;
  Value x;
  Shape shape;
  int64_t rank, axis;
  AffineMap perRow, full;
};

} // namespace

/// Mean of `body` over the normalised axes, one per row.
Value NormLowering::meanOf(ValueRange inputs, ArrayRef<AffineMap> maps, Body body) {
  ArrayRef<OpFoldResult> rows = ArrayRef(shape).take_front(axis);
  Value sum =
      accumulate(inputs, maps, fill(rows, constant(accum, 0)), perRow,
                 [&](ValueRange args) { return op<arith::AddFOp>(args.back(), body(args)); });
  Value count = index(1);
  for (OpFoldResult extent : ArrayRef(shape).drop_front(axis))
    count = op<arith::MulIOp>(count, index(extent));
  count = toFloat(count, accum);
  return elementwise(sum, prefix(axis, axis), rows, accum,
                     [&](ValueRange args) { return op<arith::DivFOp>(args[0], count); });
}

Value NormLowering::inverseDeviation() {
  SmallVector<Value> inputs{x};
  SmallVector<AffineMap> maps{full};
  if (mean) {
    inputs.push_back(mean);
    maps.push_back(perRow);
  }
  Value variance = meanOf(inputs, maps, [&](ValueRange args) {
    Value value = cast(args[0], accum);
    if (mean)
      value = op<arith::SubFOp>(value, args[1]);
    return op<arith::MulFOp>(value, value);
  });
  return elementwise(variance, prefix(axis, axis), ArrayRef(shape).take_front(axis), accum,
                     [&](ValueRange args) {
                       Value eps = constant(accum, norm.getEps().convertToDouble());
                       Value root = op<math::SqrtOp>(op<arith::AddFOp>(args[0], eps));
                       return op<arith::DivFOp>(constant(accum, 1), root);
                     });
}

Value NormLowering::run(Value scale, AffineMap scaleMap, Value bias, AffineMap biasMap) {
  SmallVector<Value> inputs{x, invStd};
  SmallVector<AffineMap> maps{full, perRow};
  for (auto [value, map] : {std::pair(mean, perRow), {scale, scaleMap}, {bias, biasMap}})
    if (value) {
      inputs.push_back(value);
      maps.push_back(map);
    }
  auto element = llvm::cast<FloatType>(getElementTypeOrSelf(norm.getResult()));
  return elementwise(inputs, maps, shape, element, [&](ValueRange args) {
    Value value = cast(args[0], accum), factor = args[1];
    args = args.drop_front(2);
    auto next = [&] {
      Value arg = cast(args.front(), accum);
      args = args.drop_front();
      return arg;
    };
    if (mean)
      value = op<arith::SubFOp>(value, next());
    value = op<arith::MulFOp>(value, factor);
    if (scale)
      value = op<arith::MulFOp>(value, next());
    if (bias)
      value = op<arith::AddFOp>(value, next());
    return cast(value, element);
  });
}

/// A statistic as a result, with extent 1 on the normalised axes.
Value NormLowering::statistic(Value value, Type type) {
  Shape extents(shape);
  std::fill(extents.begin() + axis, extents.end(), builder.getIndexAttr(1));
  auto element = llvm::cast<FloatType>(getElementTypeOrSelf(type));
  Value result = elementwise(value, perRow, extents, element,
                             [&](ValueRange args) { return cast(args[0], element); });
  return castTo(result, type);
}

/// How `value`, aligned at the last axis, is read from `rank` loops.
static AffineMap broadcastMap(NormOp op, OpBuilder &builder, Value value) {
  if (!value)
    return {};
  ArrayRef<int64_t> input = op.getInputType().getShape();
  ArrayRef<int64_t> shape = cast<RankedTensorType>(value.getType()).getShape();
  SmallVector<AffineExpr> exprs;
  for (auto [axis, extent] : llvm::enumerate(shape)) {
    int64_t loop = input.size() - shape.size() + axis;
    exprs.push_back(extent == 1 && input[loop] != 1 ? builder.getAffineConstantExpr(0)
                                                    : builder.getAffineDimExpr(loop));
  }
  return AffineMap::get(input.size(), 0, exprs, builder.getContext());
}

/// Splits axis `axis` of `value` into (groups, axis / groups).
static Value splitChannels(Lowering &lower, Value value, int64_t axis, int64_t groups) {
  OpBuilder &builder = lower.builder;
  auto type = cast<RankedTensorType>(value.getType());
  Lowering::Shape shape = lower.sizes(value);
  SmallVector<int64_t> extents(type.getShape());
  int64_t channels = extents[axis];
  bool isStatic = ShapedType::isStatic(channels);
  extents[axis] = isStatic ? channels / groups : channels;
  extents.insert(extents.begin() + axis, groups);
  shape[axis] = isStatic ? OpFoldResult(builder.getIndexAttr(extents[axis + 1]))
                         : lower.op<arith::DivUIOp>(lower.index(shape[axis]), lower.index(groups));
  shape.insert(shape.begin() + axis, builder.getIndexAttr(groups));
  SmallVector<ReassociationIndices> split;
  for (int64_t from = 0, to = 0; from < type.getRank(); ++from) {
    ReassociationIndices &part = split.emplace_back();
    part.push_back(to++);
    if (from == axis)
      part.push_back(to++);
  }
  return tensor::ExpandShapeOp::create(builder, lower.loc, type.clone(extents), value, split,
                                       shape);
}

static SmallVector<Value> decomposeGroup(NormOp op, OpBuilder &builder) {
  Lowering lower(builder, op.getLoc());
  int64_t groups = op.getGroups();
  auto split = [&](Value value, int64_t axis) {
    return value ? splitChannels(lower, value, axis, groups) : Value();
  };
  Value x = split(op.getInput(), 1), scale = split(op.getScale(), 0), bias = split(op.getBias(), 0);
  auto type = cast<RankedTensorType>(x.getType());
  AffineMap perChannel = lower.map(type.getRank(), {lower.d(1), lower.d(2)});
  Value y = NormLowering(op, builder, x, 2).run(scale, perChannel, bias, perChannel);
  SmallVector<ReassociationIndices> join;
  for (int64_t axis = 0; axis < type.getRank(); ++axis) {
    if (axis != 2)
      join.emplace_back();
    join.back().push_back(axis);
  }
  y = tensor::CollapseShapeOp::create(builder, op.getLoc(), y, join);
  return {lower.castTo(y, op.getResult().getType())};
}

FailureOr<SmallVector<Value>> NormOp::decompose(OpBuilder &builder) {
  if (getKind() == NormKind::Group)
    return decomposeGroup(*this, builder);
  NormLowering lower(*this, builder, getInput(), getAxis());
  Value y = lower.run(getScale(), broadcastMap(*this, builder, getScale()), getBias(),
                      broadcastMap(*this, builder, getBias()));
  SmallVector<Value> results{Lowering(builder, getLoc()).castTo(y, getResult().getType())};
  if (getMean())
    results.push_back(lower.statistic(lower.mean, getMean().getType()));
  if (getInvStd())
    results.push_back(lower.statistic(lower.invStd, getInvStd().getType()));
  return results;
}

//===-- Shapes --------------------------------------------------------------------------------===//

LogicalResult NormOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  SmallVector<OpFoldResult> shape = tensor::getMixedSizes(builder, getLoc(), getInput());
  dims.push_back(shape);
  std::fill(shape.begin() + getAxis(), shape.end(), builder.getIndexAttr(1));
  dims.append(getMean() && getInvStd() ? 2 : getMean() || getInvStd() ? 1 : 0, shape);
  refineShapes(builder, getOperation(), dims);
  return success();
}

//===-- Work ----------------------------------------------------------------------------------===//

/// Per element: the sum of the mean, the difference, its square and their sum, the quotient, scale
/// and bias. Per row: a square root.
SmallVector<WorkTerm> NormOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  bool rms = getKind() == NormKind::RMS;
  double perElement = (rms ? 0 : 2) + 2 + 1 + (getScale() ? 1 : 0) + (getBias() ? 1 : 0);
  addWork(terms, WorkTerm::Class::Arithmetic, perElement, getExtents(getInput(), extent));
  addWork(terms, WorkTerm::Class::Transcendental, 1, getParallelExtents(extent));
  return terms;
}

SmallVector<OpFoldResult> NormOp::getParallelExtents(ExtentOf extent) {
  SmallVector<OpFoldResult> extents = getExtents(getInput(), extent);
  extents.truncate(getAxis());
  if (getKind() == NormKind::Group)
    extents.push_back(IntegerAttr::get(IndexType::get(getContext()), getGroups()));
  return extents;
}

/// Statistics are over the axes from `axis` on, or for groups over all but the first.
Value NormOp::buildRows(OpBuilder &builder, int64_t axis, OpFoldResult offset, OpFoldResult count) {
  bool group = getKind() == NormKind::Group;
  int64_t statistics = group ? 1 : getAxis();
  if (axis >= statistics || getOperation()->getNumResults() != 1)
    return {};
  // Scale and bias are aligned at the last axis.
  auto part = [&](Value factor) {
    if (!factor || group)
      return factor;
    auto type = cast<RankedTensorType>(factor.getType());
    int64_t own = axis - (getInputType().getRank() - type.getRank());
    if (own < 0 || type.getDimSize(own) == 1)
      return factor;
    return sliceAxis(builder, factor, own, offset, count);
  };
  Value input = sliceAxis(builder, getInput(), axis, offset, count);
  auto rows = cast<NormOp>(builder.clone(*getOperation()));
  rows.getInputMutable().assign(input);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(rows);
  if (getScale())
    rows.getScaleMutable().assign(part(getScale()));
  if (getBias())
    rows.getBiasMutable().assign(part(getBias()));
  rows.getResult().setType(withExtent(getResult().getType(), axis, count));
  return rows.getResult();
}
