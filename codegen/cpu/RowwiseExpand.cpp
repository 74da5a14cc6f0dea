#include "attune/codegen/cpu/RowwiseExpand.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace attune::codegen {

std::pair<OwningOpRef<ModuleOp>, KernelOp> copyKernel(KernelOp kernel) {
  OwningOpRef<ModuleOp> module(ModuleOp::create(kernel.getLoc()));
  OpBuilder b(module->getBodyRegion());
  auto func =
      func::FuncOp::create(b, kernel.getLoc(), "copy",
                           b.getFunctionType(kernel->getOperandTypes(), kernel->getResultTypes()));
  Block *entry = func.addEntryBlock();
  b.setInsertionPointToStart(entry);
  IRMapping map;
  // An operand may occur twice; the region knows its arguments only.
  for (auto [operand, arg] : llvm::zip(kernel->getOperands(), entry->getArguments()))
    map.map(operand, arg);
  auto copy = cast<KernelOp>(b.clone(*kernel, map));
  func::ReturnOp::create(b, kernel.getLoc(), copy->getResults());
  return {std::move(module), copy};
}

namespace {

/// Builds generics over the iteration space of one tensor.
struct Space {
  OpBuilder &b;
  Location loc;
  Value input; ///< gives the extents
  RankedTensorType type = cast<RankedTensorType>(input.getType());
  int64_t rank = type.getRank();

  AffineMap identity() { return b.getMultiDimIdentityMap(rank); }
  AffineMap keep(ArrayRef<int64_t> axes) {
    SmallVector<AffineExpr> exprs;
    for (int64_t axis : axes)
      exprs.push_back(b.getAffineDimExpr(axis));
    return AffineMap::get(rank, 0, exprs, b.getContext());
  }

  Value empty(ArrayRef<int64_t> axes, Type element) {
    SmallVector<int64_t> shape;
    SmallVector<Value> dynamic;
    for (int64_t axis : axes) {
      shape.push_back(type.getDimSize(axis));
      if (type.isDynamicDim(axis))
        dynamic.push_back(tensor::DimOp::create(b, loc, input, axis));
    }
    return tensor::EmptyOp::create(b, loc, shape, element, dynamic);
  }

  using Body = llvm::function_ref<Value(OpBuilder &, ValueRange)>;

  Value generic(ValueRange inputs, ArrayRef<AffineMap> inputMaps, Value init, AffineMap outMap,
                Body body) {
    SmallVector<AffineMap> maps(inputMaps);
    maps.push_back(outMap);
    SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::reduction);
    for (AffineExpr expr : outMap.getResults())
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        iterators[dim.getPosition()] = utils::IteratorType::parallel;
    return linalg::GenericOp::create(b, loc, init.getType(), inputs, init, maps, iterators,
                                     [&](OpBuilder &nested, Location, ValueRange args) {
                                       linalg::YieldOp::create(nested, loc, body(nested, args));
                                     })
        .getResult(0);
  }

  Value reduce(ValueRange inputs, ArrayRef<AffineMap> maps, ArrayRef<int64_t> kept, Type element,
               double start, Body body) {
    Value zero = arith::ConstantOp::create(b, loc, b.getFloatAttr(element, start));
    Value init = linalg::FillOp::create(b, loc, zero, empty(kept, element)).getResult(0);
    return generic(inputs, maps, init, keep(kept), body);
  }
};

Value castFloat(OpBuilder &b, Location loc, Value value, Type type) {
  unsigned from = value.getType().getIntOrFloatBitWidth(), to = type.getIntOrFloatBitWidth();
  if (value.getType() == type)
    return value;
  if (from < to)
    return arith::ExtFOp::create(b, loc, type, value);
  return arith::TruncFOp::create(b, loc, type, value);
}

/// An elementwise operator on tensors of the `axes` of `space`.
Value mapOver(Space &space, ArrayRef<int64_t> axes, Value input, Type element, Space::Body body) {
  Space inner{space.b, space.loc, input};
  return inner.generic(input, inner.identity(), space.empty(axes, element), inner.identity(), body);
}

Type accumulatorOf(Type element) {
  return element.getIntOrFloatBitWidth() < 32 ? Float32Type::get(element.getContext()) : element;
}

LogicalResult expand(linalg::SoftmaxOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Space space{b, loc, op.getInput()};
  Type element = space.type.getElementType();
  if (!isa<FloatType>(element))
    return failure();
  Type accum = accumulatorOf(element);
  SmallVector<int64_t> all, kept;
  for (int64_t axis = 0; axis < space.rank; ++axis) {
    all.push_back(axis);
    if (axis != static_cast<int64_t>(op.getDimension()))
      kept.push_back(axis);
  }
  AffineMap full = space.identity(), row = space.keep(kept);
  // A NaN that the maximum misses still makes its own exponential, hence the sum, NaN.
  Value most = space.reduce(op.getInput(), full, kept, accum, -INFINITY,
                            [&](OpBuilder &n, ValueRange args) -> Value {
                              Value x = castFloat(n, loc, args[0], accum);
                              return arith::MaxNumFOp::create(n, loc, x, args[1]);
                            });
  Value exponentials =
      space.generic({op.getInput(), most}, {full, row}, space.empty(all, accum), full,
                    [&](OpBuilder &n, ValueRange args) -> Value {
                      Value x = castFloat(n, loc, args[0], accum);
                      return math::ExpOp::create(n, loc, arith::SubFOp::create(n, loc, x, args[1]));
                    });
  Value sum =
      space.reduce(exponentials, full, kept, accum, 0, [&](OpBuilder &n, ValueRange args) -> Value {
        return arith::AddFOp::create(n, loc, args[0], args[1]);
      });
  Value factor = mapOver(space, kept, sum, accum, [&](OpBuilder &n, ValueRange args) -> Value {
    Value one = arith::ConstantOp::create(n, loc, n.getFloatAttr(accum, 1));
    return arith::DivFOp::create(n, loc, one, args[0]);
  });
  Value result = space.generic({exponentials, factor}, {full, row}, space.empty(all, element), full,
                               [&](OpBuilder &n, ValueRange args) -> Value {
                                 Value y = arith::MulFOp::create(n, loc, args[0], args[1]);
                                 return castFloat(n, loc, y, element);
                               });
  op->getResult(0).replaceAllUsesWith(result);
  op->erase();
  return success();
}

/// Number of elements of the axes from `axis` on, as a float scalar.
Value countElements(Space &space, int64_t axis, Type element) {
  OpBuilder &b = space.b;
  int64_t known = 1;
  Value dynamic;
  for (int64_t i = axis; i < space.rank; ++i) {
    if (!space.type.isDynamicDim(i)) {
      known *= space.type.getDimSize(i);
      continue;
    }
    Value extent = tensor::DimOp::create(b, space.loc, space.input, i);
    dynamic = dynamic ? arith::MulIOp::create(b, space.loc, dynamic, extent).getResult() : extent;
  }
  if (!dynamic)
    return arith::ConstantOp::create(b, space.loc, b.getFloatAttr(element, known));
  Value factor = arith::ConstantIndexOp::create(b, space.loc, known);
  Value total = arith::MulIOp::create(b, space.loc, dynamic, factor);
  Value wide = arith::IndexCastOp::create(b, space.loc, b.getI64Type(), total);
  return arith::SIToFPOp::create(b, space.loc, element, wide);
}

/// The map of a scale or bias, aligned at the last axis; nothing if an extent may or may not
/// repeat.
std::optional<AffineMap> broadcastMap(Space &space, Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<AffineExpr> exprs;
  for (int64_t axis = 0; axis < type.getRank(); ++axis) {
    int64_t loop = space.rank - type.getRank() + axis;
    if (type.isDynamicDim(axis))
      return std::nullopt;
    if (type.getDimSize(axis) == 1 && space.type.getDimSize(loop) != 1)
      exprs.push_back(space.b.getAffineConstantExpr(0));
    else
      exprs.push_back(space.b.getAffineDimExpr(loop));
  }
  return AffineMap::get(space.rank, 0, exprs, space.b.getContext());
}

LogicalResult expand(NormOp op);

/// [N, C, spatial...] as [N, groups, C / groups, elements of a channel], where it is a layer norm.
LogicalResult expandGroups(NormOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  RankedTensorType type = op.getInputType();
  int64_t groups = op.getGroups(), each = type.getDimSize(1) / groups;
  if (type.isDynamicDim(1) || type.getRank() < 3)
    return failure();
  SmallVector<ReassociationIndices> joined{{0}, {1}, {}}, split{{0}, {1, 2}, {3}};
  for (int64_t axis = 2; axis < type.getRank(); ++axis)
    joined[2].push_back(axis);
  Value flat = type.getRank() == 3
                   ? op.getInput()
                   : tensor::CollapseShapeOp::create(b, loc, op.getInput(), joined).getResult();
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, flat);
  sizes[1] = b.getIndexAttr(each);
  sizes.insert(sizes.begin() + 1, b.getIndexAttr(groups));
  Type element = type.getElementType();
  int64_t spatial = cast<RankedTensorType>(flat.getType()).getDimSize(2);
  auto grouped = RankedTensorType::get({type.getDimSize(0), groups, each, spatial}, element);
  auto perChannel = [&](Value v) -> Value {
    if (!v)
      return {};
    auto vector = RankedTensorType::get({groups, each, 1}, getElementTypeOrSelf(v.getType()));
    return tensor::ExpandShapeOp::create(b, loc, vector, v,
                                         SmallVector<ReassociationIndices>{{0, 1, 2}});
  };
  Value scale = perChannel(op.getScale()), bias = perChannel(op.getBias());
  auto layer =
      NormOp::create(b, loc, tensor::ExpandShapeOp::create(b, loc, grouped, flat, split, sizes),
                     scale, bias, NormKind::Layer, /*axis=*/2, op.getEps().convertToDouble());
  Value result = tensor::CollapseShapeOp::create(b, loc, layer.getResult(), split);
  if (type.getRank() > 3)
    result = tensor::ExpandShapeOp::create(b, loc, type, result, joined,
                                           tensor::getMixedSizes(b, loc, op.getInput()));
  op.getResult().replaceAllUsesWith(result);
  op->erase();
  return expand(layer);
}

/// Puts `value`, of rows, in place of a norm's mean or 1 / deviation, whose normalised axes are 1.
LogicalResult replaceMoment(Space &space, int64_t normalised, Value old, Value value,
                            AffineMap row) {
  if (!old || old.use_empty())
    return success();
  auto type = cast<RankedTensorType>(old.getType());
  if (!value || llvm::any_of(llvm::drop_begin(type.getShape(), normalised),
                             [](int64_t extent) { return extent != 1; }))
    return failure();
  SmallVector<Value> dynamic;
  for (int64_t axis = 0; axis < type.getRank(); ++axis)
    if (type.isDynamicDim(axis))
      dynamic.push_back(tensor::DimOp::create(space.b, space.loc, space.input, axis));
  Value init =
      tensor::EmptyOp::create(space.b, space.loc, type.getShape(), type.getElementType(), dynamic);
  Value unit =
      space.generic(value, row, init, space.identity(), [&](OpBuilder &n, ValueRange args) {
        return castFloat(n, space.loc, args[0], type.getElementType());
      });
  old.replaceAllUsesWith(unit);
  return success();
}

LogicalResult expand(NormOp op) {
  if (op.getKind() == NormKind::Group)
    return expandGroups(op);
  OpBuilder b(op);
  Location loc = op.getLoc();
  Space space{b, loc, op.getInput()};
  Type accum = op.getAccumType(),
       element = cast<RankedTensorType>(op.getResult().getType()).getElementType();
  SmallVector<int64_t> all, kept;
  for (int64_t axis = 0; axis < space.rank; ++axis) {
    all.push_back(axis);
    if (axis < static_cast<int64_t>(op.getAxis()))
      kept.push_back(axis);
  }
  AffineMap full = space.identity(), row = space.keep(kept);
  Value count = countElements(space, op.getAxis(), accum);
  bool layer = op.getKind() == NormKind::Layer;
  SmallVector<Value> operands{op.getInput()};
  SmallVector<AffineMap> maps{full};
  Value mean;
  if (layer) {
    Value sum = space.reduce(op.getInput(), full, kept, accum, 0,
                             [&](OpBuilder &n, ValueRange args) -> Value {
                               Value x = castFloat(n, loc, args[0], accum);
                               return arith::AddFOp::create(n, loc, x, args[1]);
                             });
    mean = mapOver(space, kept, sum, accum, [&](OpBuilder &n, ValueRange args) -> Value {
      return arith::DivFOp::create(n, loc, args[0], count);
    });
    operands.push_back(mean);
    maps.push_back(row);
  }
  auto centred = [&](OpBuilder &n, ValueRange args) -> Value {
    Value x = castFloat(n, loc, args[0], accum);
    return layer ? arith::SubFOp::create(n, loc, x, args[1]).getResult() : x;
  };
  Value squares =
      space.reduce(operands, maps, kept, accum, 0, [&](OpBuilder &n, ValueRange args) -> Value {
        Value d = centred(n, args);
        Value square = arith::MulFOp::create(n, loc, d, d);
        return arith::AddFOp::create(n, loc, square, args.back());
      });
  Value invStd = mapOver(space, kept, squares, accum, [&](OpBuilder &n, ValueRange args) -> Value {
    Value variance = arith::DivFOp::create(n, loc, args[0], count);
    Value eps =
        arith::ConstantOp::create(n, loc, n.getFloatAttr(accum, op.getEps().convertToDouble()));
    Value root = math::SqrtOp::create(n, loc, arith::AddFOp::create(n, loc, variance, eps));
    Value one = arith::ConstantOp::create(n, loc, n.getFloatAttr(accum, 1));
    return arith::DivFOp::create(n, loc, one, root);
  });
  operands.push_back(invStd);
  maps.push_back(row);
  int64_t scaleAt = -1, biasAt = -1;
  for (auto [value, at] : {std::pair(op.getScale(), &scaleAt), std::pair(op.getBias(), &biasAt)}) {
    if (!value)
      continue;
    std::optional<AffineMap> map = broadcastMap(space, value);
    if (!map)
      return failure();
    *at = operands.size();
    operands.push_back(value);
    maps.push_back(*map);
  }
  Value result = space.generic(
      operands, maps, space.empty(all, element), full, [&](OpBuilder &n, ValueRange args) -> Value {
        Value y = arith::MulFOp::create(n, loc, centred(n, args), args[layer ? 2 : 1]);
        if (scaleAt >= 0)
          y = arith::MulFOp::create(n, loc, y, castFloat(n, loc, args[scaleAt], accum));
        if (biasAt >= 0)
          y = arith::AddFOp::create(n, loc, y, castFloat(n, loc, args[biasAt], accum));
        return castFloat(n, loc, y, element);
      });
  op.getResult().replaceAllUsesWith(result);
  if (failed(replaceMoment(space, op.getAxis(), op.getMean(), mean, row)) ||
      failed(replaceMoment(space, op.getAxis(), op.getInvStd(), invStd, row)))
    return failure();
  op->erase();
  return success();
}

} // namespace

LogicalResult expandRowOperators(KernelOp kernel) {
  for (Operation &op : llvm::make_early_inc_range(kernel.getBody().front())) {
    if (auto norm = dyn_cast<NormOp>(op); norm && failed(expand(norm)))
      return failure();
    if (auto softmax = dyn_cast<linalg::SoftmaxOp>(op); softmax && failed(expand(softmax)))
      return failure();
  }
  return success();
}

} // namespace attune::codegen
