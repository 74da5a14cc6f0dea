#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

/// The position of the extreme element along one axis: of a NaN if there is one, otherwise of the
/// first (or last) element that equals the extreme.
template <bool largest> static void convertArg(Node &node) {
  Tensor input = node.input(0);
  DType dtype = input.dtype();
  if (dtype.isBool() || (dtype.isFloat() && dtype.bits() == 8))
    node.unsupported("element type " + dtype.name() + "; accepted: integers and floats");
  int64_t axis = node.normaliseAxis(node.intAttr("axis", 0), input.rank());
  bool last = node.hasAttr("select_last_index") && node.flagAttr("select_last_index", 0);
  bool keep = node.flagAttr("keepdims", 1);
  MLIRContext *context = node.context();
  Type type = dtype.type(context);
  TypedAttr worst;
  if (dtype.isFloat()) {
    double inf = std::numeric_limits<double>::infinity();
    worst = FloatAttr::get(type, largest ? -inf : inf);
  } else {
    unsigned bits = type.getIntOrFloatBitWidth();
    APInt low = dtype.isUnsigned() ? APInt::getMinValue(bits) : APInt::getSignedMinValue(bits);
    APInt high = dtype.isUnsigned() ? APInt::getMaxValue(bits) : APInt::getSignedMaxValue(bits);
    worst = IntegerAttr::get(type, largest ? low : high);
  }
  auto better = [&](OpBuilder &b, Location loc, Value x, Value y) -> Value {
    if (dtype.isFloat())
      return largest ? arith::MaximumFOp::create(b, loc, x, y).getResult()
                     : arith::MinimumFOp::create(b, loc, x, y).getResult();
    if (dtype.isUnsigned())
      return largest ? arith::MaxUIOp::create(b, loc, x, y).getResult()
                     : arith::MinUIOp::create(b, loc, x, y).getResult();
    return largest ? arith::MaxSIOp::create(b, loc, x, y).getResult()
                   : arith::MinSIOp::create(b, loc, x, y).getResult();
  };
  Tensor extreme = reduce(
      node, input, {axis}, dtype, worst,
      [&](OpBuilder &b, Location loc, Value v, Value acc) { return better(b, loc, acc, v); });
  Tensor hit = elementwise(
      node, {input, keepDims(node, extreme, {axis})}, kBool,
      [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
        if (!dtype.isFloat())
          return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, a[0], a[1]);
        Value equal = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, a[0], a[1]);
        Value nan = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, a[0], a[0]);
        return arith::OrIOp::create(b, loc, equal, nan);
      });
  int64_t none = last ? -1 : std::numeric_limits<int64_t>::max();
  auto noneAttr = IntegerAttr::get(IntegerType::get(context, 64), none);
  Tensor position = reduce(node, hit, {axis}, kInt64, noneAttr,
                           [&](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                             Value at = linalg::IndexOp::create(b, loc, axis);
                             Value index = arith::IndexCastOp::create(b, loc, b.getI64Type(), at);
                             Value otherwise = arith::ConstantOp::create(b, loc, noneAttr);
                             Value mine = arith::SelectOp::create(b, loc, v, index, otherwise);
                             return last ? arith::MaxSIOp::create(b, loc, acc, mine).getResult()
                                         : arith::MinSIOp::create(b, loc, acc, mine).getResult();
                           });
  node.setOutput(0, keep ? keepDims(node, position, {axis}) : position);
}

/// out[..., d, ...] = indices[...] == d ? on : off, indices counted from the end if negative.
static void convertOneHot(Node &node) {
  Tensor indices = node.input(0), depth = node.input(1), values = node.input(2);
  node.check(values.rank() == 1 && values.dim(0).is(2), "input 'values' has no 2 elements");
  node.check(depth.size().is(1), "input 'depth' is not a scalar");
  // Floats are cut to integers.
  if (!depth.dtype().isInteger())
    depth = castTo(node, depth, kInt64);
  Shape classes = node.extentsOf(depth, "input 'depth'");
  if (node.extents().low(classes[0]) < 0)
    node.require(node.extents().less(-1, classes[0]), "the depth is negative");
  int64_t rank = indices.rank() + 1;
  int64_t axis = node.normaliseAxis(node.intAttr("axis", -1), rank);
  Shape out = indices.shape();
  out.insert(out.begin() + axis, classes[0]);
  MLIRContext *context = node.context();
  SmallVector<AffineExpr> indexExprs;
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis)
      indexExprs.push_back(getAffineDimExpr(i, context));
  Type element = values.dtype().type(context);
  Tensor wide = castTo(node, indices, kInt64);
  Value tableOfTwo = node.value(values), size = node.index(classes[0]);
  Value result = generic(
      node, {node.value(wide)}, {AffineMap::get(rank, 0, indexExprs, context)}, out, element,
      [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
        Value count = arith::IndexCastOp::create(b, loc, b.getI64Type(), size);
        Value zero = arith::ConstantIntOp::create(b, loc, 0, 64);
        Value negative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, args[0], zero);
        Value wrapped = arith::AddIOp::create(b, loc, args[0], count);
        Value index = arith::SelectOp::create(b, loc, negative, wrapped, args[0]);
        Value here = arith::IndexCastOp::create(b, loc, b.getI64Type(),
                                                linalg::IndexOp::create(b, loc, axis));
        Value hit = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, index, here);
        Value on = tensor::ExtractOp::create(b, loc, tableOfTwo,
                                             ValueRange{arith::ConstantIndexOp::create(b, loc, 1)});
        Value off = tensor::ExtractOp::create(
            b, loc, tableOfTwo, ValueRange{arith::ConstantIndexOp::create(b, loc, 0)});
        return arith::SelectOp::create(b, loc, hit, on, off);
      });
  node.setOutput(0, node.tensor(result, values.dtype(), out));
}

void registerSelection(Registry &registry) {
  registry.add("ArgMax", 1, convertArg<true>);
  registry.add("ArgMin", 1, convertArg<false>);
  registry.add("OneHot", 9, convertOneHot);
}

} // namespace attune::onnx
