#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace attune;

Value Lowering::constant(Type type, double value) {
  TypedAttr attr = isa<FloatType>(type) ? TypedAttr(builder.getFloatAttr(type, value))
                                        : builder.getIntegerAttr(type, static_cast<int64_t>(value));
  return arith::ConstantOp::create(builder, loc, attr);
}

Value Lowering::index(OpFoldResult value) {
  return getValueOrCreateConstantIndexOp(builder, loc, value);
}

Value Lowering::cast(Value value, FloatType type) {
  auto from = llvm::cast<FloatType>(value.getType());
  if (from == type)
    return value;
  if (from.getWidth() < type.getWidth())
    return op<arith::ExtFOp>(type, value);
  if (from.getWidth() > type.getWidth())
    return op<arith::TruncFOp>(type, value);
  // Two formats of one width (f16, bf16) meet in f32.
  return op<arith::TruncFOp>(type, op<arith::ExtFOp>(builder.getF32Type(), value));
}

Value Lowering::toFloat(Value index, FloatType type) {
  if (index.getType().isIndex())
    index = op<arith::IndexCastOp>(builder.getI64Type(), index);
  return op<arith::SIToFPOp>(type, index);
}

Value Lowering::toIndex(Value integer) {
  if (integer.getType().isIndex())
    return integer;
  return op<arith::IndexCastOp>(builder.getIndexType(), integer);
}

Value Lowering::compare(arith::CmpIPredicate predicate, Value lhs, Value rhs) {
  return op<arith::CmpIOp>(predicate, lhs, rhs);
}

Value Lowering::isMinusInfinity(Value value) {
  Value infinity = constant(value.getType(), -std::numeric_limits<double>::infinity());
  return op<arith::CmpFOp>(arith::CmpFPredicate::OEQ, value, infinity);
}

Value Lowering::select(Value condition, Value yes, Value no) {
  return op<arith::SelectOp>(condition, yes, no);
}

Value Lowering::fill(ArrayRef<OpFoldResult> shape, Value scalar) {
  Value empty = op<tensor::EmptyOp>(shape, scalar.getType());
  return linalg::FillOp::create(builder, loc, scalar, empty).getResult(0);
}

Value Lowering::castTo(Value tensor, Type type) {
  return tensor.getType() == type ? tensor : op<tensor::CastOp>(type, tensor);
}

AffineMap Lowering::prefix(int64_t loops, int64_t results) {
  SmallVector<AffineExpr> exprs;
  for (int64_t loop = 0; loop < results; ++loop)
    exprs.push_back(d(loop));
  return map(loops, exprs);
}

static Value generic(Lowering &lower, ValueRange inputs, ArrayRef<AffineMap> inputMaps, Value init,
                     AffineMap outMap, bool passOld, Lowering::Body body) {
  SmallVector<AffineMap> maps(inputMaps);
  maps.push_back(outMap);
  SmallVector<utils::IteratorType> iterators;
  for (unsigned loop = 0; loop < outMap.getNumDims(); ++loop)
    iterators.push_back(outMap.isFunctionOfDim(loop) ? utils::IteratorType::parallel
                                                     : utils::IteratorType::reduction);
  auto op = linalg::GenericOp::create(
      lower.builder, lower.loc, init.getType(), inputs, init, maps, iterators,
      [&](OpBuilder &builder, Location loc, ValueRange args) {
        linalg::YieldOp::create(builder, loc, body(passOld ? args : args.drop_back()));
      });
  return op.getResult(0);
}

Value Lowering::elementwise(ValueRange inputs, ArrayRef<AffineMap> maps,
                            ArrayRef<OpFoldResult> shape, Type element, Body body) {
  Value init = op<tensor::EmptyOp>(shape, element);
  AffineMap identity = prefix(shape.size(), shape.size());
  return generic(*this, inputs, maps, init, identity, false, body);
}

Value Lowering::accumulate(ValueRange inputs, ArrayRef<AffineMap> maps, Value init,
                           AffineMap outMap, Body body) {
  return generic(*this, inputs, maps, init, outMap, true, body);
}

Value Lowering::loop(int64_t number) { return op<linalg::IndexOp>(number); }
