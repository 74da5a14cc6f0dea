#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

/// One parameter for every `block` elements along the axis, repeated for each of them.
static Tensor blocked(Node &node, const Tensor &parameter, const Tensor &input, int64_t axis,
                      int64_t block) {
  node.check(block > 0, "attribute 'block_size' is " + llvm::Twine(block));
  node.check(parameter.rank() == input.rank(), "scale or zero point has rank " +
                                                   llvm::Twine(parameter.rank()) +
                                                   "; accepted: " + llvm::Twine(input.rank()));
  Shape split = parameter.shape(), repeated, flat = parameter.shape();
  split.insert(split.begin() + axis + 1, Extent(1));
  repeated = split;
  repeated[axis + 1] = block;
  flat[axis] = flat[axis] * block;
  Tensor each = reshape(node, broadcastTo(node, reshape(node, parameter, split), repeated), flat);
  SmallVector<SliceRange> ranges;
  for (int64_t i = 0; i < input.rank(); ++i) {
    if (i != axis)
      node.requireEqual(parameter.dim(i), input.dim(i),
                        "scale or zero point differs from the input");
    ranges.push_back({0, input.dim(i), 1});
  }
  node.requireEqual(parameter.dim(axis), node.extents().ceilDiv(input.dim(axis), block),
                    "scale or zero point has other than one entry per block");
  return slice(node, each, ranges);
}

/// Scale or zero point, shaped to broadcast to the input: one element, or one per `axis`.
static Tensor aligned(Node &node, const Tensor &parameter, const Tensor &input) {
  int64_t axis = node.intAttr("axis", 1);
  if (int64_t block = node.hasAttr("block_size") ? node.intAttr("block_size", 0) : 0)
    return blocked(node, parameter, input, node.normaliseAxis(axis, input.rank()), block);
  if (parameter.size().is(1))
    return reshape(node, parameter, {});
  node.check(parameter.rank() == 1, "scale or zero point has rank " +
                                        llvm::Twine(parameter.rank()) + "; accepted: 0 or 1");
  axis = node.normaliseAxis(axis, input.rank());
  node.requireEqual(parameter.dim(0), input.dim(axis), "scale or zero point differs from the axis");
  Shape shape(input.rank(), Extent(1));
  shape[axis] = parameter.dim(0);
  return reshape(node, parameter, shape);
}

static void checkQuantised(Node &node, DType dtype) {
  if (!dtype.isFloat8() && (!dtype.isInteger() || dtype.isBool()))
    node.unsupported("quantised element type " + dtype.name() + "; accepted: integers and float8");
}

/// (x - zero_point) * scale
static void convertDequantize(Node &node) {
  Tensor input = node.input(0), scale = node.input(1);
  checkQuantised(node, input.dtype());
  DType result = scale.dtype();
  if (node.hasAttr("output_dtype") && node.intAttr("output_dtype", 0) != 0)
    result = DType(node.intAttr("output_dtype", 0));
  Tensor factor = castTo(node, aligned(node, scale, input), kFloat);
  DType wide = input.dtype().isFloat8() ? kFloat : kInt32;
  Tensor x = castTo(node, input, wide);
  if (node.has(2)) {
    Tensor zero = castTo(node, aligned(node, node.input(2), input), wide);
    x = elementwise(node, {x, zero}, wide, [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
      return wide == kFloat ? arith::SubFOp::create(b, loc, a[0], a[1]).getResult()
                            : arith::SubIOp::create(b, loc, a[0], a[1]).getResult();
    });
  }
  Tensor product = elementwise(node, {castTo(node, x, kFloat), factor}, kFloat,
                               [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                                 return arith::MulFOp::create(b, loc, a[0], a[1]);
                               });
  node.setOutput(0, castTo(node, product, result));
}

/// saturate(round_half_even(x / scale) + zero_point)
static void convertQuantize(Node &node) {
  Tensor input = node.input(0), scale = node.input(1);
  bool saturate = !node.hasAttr("saturate") || node.flagAttr("saturate");
  DType result = kUInt8;
  if (node.has(2))
    result = node.input(2).dtype();
  else if (node.hasAttr("output_dtype") && node.intAttr("output_dtype", 0) != 0)
    result = DType(node.intAttr("output_dtype", 0));
  checkQuantised(node, result);
  if (node.hasAttr("precision") && node.intAttr("precision", 0) > 1)
    node.unsupported("attribute 'precision'; accepted: float");
  Tensor x = castTo(node, input, kFloat);
  Tensor divisor = castTo(node, aligned(node, scale, input), kFloat);
  Tensor rounded = elementwise(node, {x, divisor}, kFloat,
                               [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
                                 Value ratio = arith::DivFOp::create(b, loc, a[0], a[1]);
                                 if (result.isFloat8())
                                   return ratio; // the cast rounds
                                 return math::RoundEvenOp::create(b, loc, ratio);
                               });
  if (node.has(2)) {
    Tensor zero = castTo(node, aligned(node, node.input(2), input), kFloat);
    rounded = elementwise(node, {rounded, zero}, kFloat,
                          [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                            return arith::AddFOp::create(b, loc, a[0], a[1]);
                          });
  }
  node.setOutput(0, castTo(node, rounded, result, saturate));
}

void registerQuantization(Registry &registry) {
  registry.add("DequantizeLinear", 10, convertDequantize);
  registry.add("QuantizeLinear", 10, convertQuantize);
}

} // namespace attune::onnx
