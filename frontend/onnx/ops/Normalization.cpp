#include "attune/frontend/onnx/Build.h"

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

/// What exponentials are computed in.
static DType wideType(Node &node, DType dtype) {
  if (!dtype.isFloat() || dtype.bits() == 8)
    node.unsupported("element type " + dtype.name() +
                     "; accepted: float16, bfloat16, float, double");
  return dtype.bits() < 32 ? kFloat : dtype;
}

static Tensor softmaxAlong(Node &node, const Tensor &input, int64_t axis) {
  DType wide = wideType(node, input.dtype());
  Tensor x = castTo(node, input, wide);
  Value init = empty(node, x.shape(), wide.type(node.context()));
  auto op = linalg::SoftmaxOp::create(node.builder(), node.loc(), TypeRange{init.getType()},
                                      node.value(x), init, uint64_t(axis));
  return castTo(node, node.tensor(op->getResult(0), wide, x.shape()), input.dtype());
}

/// x - max - log(sum(exp(x - max)))
static Tensor logSoftmaxAlong(Node &node, const Tensor &input, int64_t axis) {
  DType wide = wideType(node, input.dtype());
  Tensor x = castTo(node, input, wide);
  double inf = std::numeric_limits<double>::infinity();
  auto binary = [&](const Tensor &a, const Tensor &b, BodyFn body) {
    return elementwise(node, {a, b}, wide, body);
  };
  Tensor max = reduce(node, x, {axis}, wide, scalarAttr(node.context(), wide, -inf),
                      [](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                        return arith::MaximumFOp::create(b, loc, acc, v);
                      });
  Tensor shifted =
      binary(x, keepDims(node, max, {axis}), [](OpBuilder &b, Location loc, ValueRange a) -> Value {
        return arith::SubFOp::create(b, loc, a[0], a[1]);
      });
  Tensor sum = reduce(node, shifted, {axis}, wide, scalarAttr(node.context(), wide, 0),
                      [](OpBuilder &b, Location loc, Value v, Value acc) -> Value {
                        return arith::AddFOp::create(b, loc, acc, math::ExpOp::create(b, loc, v));
                      });
  Tensor result = binary(
      shifted, keepDims(node, sum, {axis}), [](OpBuilder &b, Location loc, ValueRange a) -> Value {
        return arith::SubFOp::create(b, loc, a[0], math::LogOp::create(b, loc, a[1]));
      });
  return castTo(node, result, input.dtype());
}

using AlongFn = Tensor (*)(Node &, const Tensor &, int64_t);

template <AlongFn along> static void convertAlong(Node &node) {
  Tensor input = node.input(0);
  int64_t axis = node.normaliseAxis(node.intAttr("axis"), std::max<int64_t>(input.rank(), 1));
  node.setOutput(0, along(node, input, axis));
}

/// Before opset 13 all axes from `axis` on are one.
template <AlongFn along> static void convertFlattened(Node &node) {
  Tensor input = node.input(0);
  int64_t axis = node.normaliseAxis(node.intAttr("axis"), input.rank());
  Shape flat = {1, 1};
  for (int64_t i = 0; i < input.rank(); ++i)
    flat[i >= axis] = flat[i >= axis] * input.dim(i);
  node.setOutput(0, reshape(node, along(node, reshape(node, input, flat), 1), input.shape()));
}

/// A parameter must not be larger than the input along any axis.
static void requireBroadcast(Node &node, const Tensor &parameter, const Tensor &input,
                             const llvm::Twine &what) {
  int64_t lead = input.rank() - parameter.rank();
  node.check(lead >= 0, what + " has more axes than the input");
  for (int64_t axis = 0; axis < parameter.rank(); ++axis)
    if (!parameter.dim(axis).is(1))
      node.requireEqual(parameter.dim(axis), input.dim(lead + axis),
                        what + " does not broadcast to the input");
}

static void convertLayerNormalization(Node &node) {
  Tensor input = node.input(0), scale = node.input(1);
  int64_t axis = node.normaliseAxis(node.intAttr("axis"), input.rank());
  double epsilon = node.floatAttr("epsilon");
  int64_t stash = node.intAttr("stash_type");
  if (stash != 1)
    node.unsupported("attribute 'stash_type' is " + llvm::Twine(stash) + "; accepted: 1");
  Tensor bias = node.has(2) ? node.input(2) : Tensor();
  // The statistics are f32, also for f64, as stash_type says.
  if (input.dtype().bits() == 64)
    node.unsupported("element type double; accepted: float16, bfloat16, float");
  requireBroadcast(node, scale, input, "the scale");
  if (bias)
    requireBroadcast(node, bias, input, "the bias");
  auto typeOf = [&](DType dtype, const Shape &shape) {
    return RankedTensorType::get(staticShape(shape), dtype.type(node.context()));
  };
  Shape statistics = input.shape();
  std::fill(statistics.begin() + axis, statistics.end(), Extent(1));
  Type statisticType = typeOf(kFloat, statistics);
  auto op =
      NormOp::create(node.builder(), node.loc(), typeOf(input.dtype(), input.shape()),
                     node.wants(1) ? statisticType : Type(), node.wants(2) ? statisticType : Type(),
                     node.value(input), node.value(scale), bias ? node.value(bias) : Value(),
                     NormKind::Layer, axis, /*groups=*/1, APFloat(epsilon));
  node.setOutput(0, node.tensor(op.getResult(), input.dtype(), input.shape()));
  if (node.wants(1))
    node.setOutput(1, node.tensor(op.getMean(), kFloat, statistics));
  if (node.wants(2))
    node.setOutput(2, node.tensor(op.getInvStd(), kFloat, statistics));
}

/// What attune.norm takes.
static void checkNormType(Node &node, const Tensor &input) {
  if (!input.dtype().isFloat() || input.dtype().bits() == 8)
    node.unsupported("element type " + input.dtype().name() +
                     "; accepted: float16, bfloat16, float, double");
}

static void convertRMSNormalization(Node &node) {
  Tensor input = node.input(0), scale = node.input(1);
  checkNormType(node, input);
  int64_t axis = node.normaliseAxis(node.intAttr("axis"), input.rank());
  int64_t stash = node.intAttr("stash_type");
  if (stash != 1)
    node.unsupported("attribute 'stash_type' is " + llvm::Twine(stash) + "; accepted: 1");
  requireBroadcast(node, scale, input, "the scale");
  auto op = NormOp::create(node.builder(), node.loc(), node.value(input), node.value(scale),
                           Value(), NormKind::RMS, axis, node.floatAttr("epsilon"));
  node.setOutput(0, node.tensor(op.getResult(), input.dtype(), input.shape()));
}

static void groupNorm(Node &node, int64_t groups) {
  Tensor input = node.input(0), scale = node.input(1), bias = node.input(2);
  checkNormType(node, input);
  node.check(input.rank() >= 2,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 2 or more");
  for (const Tensor &t : {scale, bias}) {
    node.check(t.rank() == 1, "scale or bias is not one-dimensional");
    node.requireEqual(t.dim(0), input.dim(1), "scale or bias differs from the channels");
  }
  auto op = NormOp::create(node.builder(), node.loc(), node.value(input), node.value(scale),
                           node.value(bias), NormKind::Group, /*axis=*/1, node.floatAttr("epsilon"),
                           groups);
  node.setOutput(0, node.tensor(op.getResult(), input.dtype(), input.shape()));
}

static int64_t staticChannels(Node &node) {
  std::optional<int64_t> channels = node.input(0).dim(1).constant();
  if (!channels)
    node.unsupported("a dynamic number of channels");
  return *channels;
}

static void convertGroupNormalization(Node &node) {
  int64_t groups = node.intAttr("num_groups");
  if (!node.input(0).dim(1).constant())
    node.useFunctionBody();
  node.check(groups > 0 && staticChannels(node) % groups == 0,
             "attribute 'num_groups' is " + llvm::Twine(groups) +
                 "; accepted: a divisor of the channels");
  int64_t stash = node.intAttr("stash_type", 1);
  if (stash != 1)
    node.unsupported("attribute 'stash_type' is " + llvm::Twine(stash) + "; accepted: 1");
  groupNorm(node, groups);
}

static void convertInstanceNormalization(Node &node) { groupNorm(node, staticChannels(node)); }

/// (x - mean) / sqrt(var + epsilon) * scale + bias, per channel.
static void convertBatchNormalization(Node &node) {
  if (node.hasAttr("training_mode") && node.flagAttr("training_mode", 0))
    node.unsupported("attribute 'training_mode' is 1; accepted: 0");
  node.dropAttr("momentum");
  Tensor input = node.input(0);
  checkNormType(node, input);
  node.check(input.rank() >= 2,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 2 or more");
  double epsilon = node.floatAttr("epsilon");
  Shape channel(input.rank(), Extent(1));
  channel[1] = input.dim(1);
  SmallVector<Tensor> operands{input};
  for (int i = 1; i <= 4; ++i) {
    node.check(node.input(i).rank() == 1, "a parameter is not one-dimensional");
    node.requireEqual(node.input(i).dim(0), input.dim(1), "a parameter differs from the channels");
    operands.push_back(castTo(node, reshape(node, node.input(i), channel), input.dtype()));
  }
  node.setOutput(0, elementwise(node, operands, input.dtype(),
                                [&](OpBuilder &b, Location loc, ValueRange a) -> Value {
                                  Value eps = scalar(b, loc, a[0].getType(), epsilon);
                                  Value var = arith::AddFOp::create(b, loc, a[4], eps);
                                  Value std = math::SqrtOp::create(b, loc, var);
                                  Value centred = arith::SubFOp::create(b, loc, a[0], a[3]);
                                  Value unit = arith::DivFOp::create(b, loc, centred, std);
                                  Value scaled = arith::MulFOp::create(b, loc, unit, a[1]);
                                  return arith::AddFOp::create(b, loc, scaled, a[2]);
                                }));
}

void registerNormalization(Registry &registry) {
  registry.add("BatchNormalization", 7, convertBatchNormalization);
  registry.add("GroupNormalization", 21, convertGroupNormalization);
  registry.add("InstanceNormalization", 6, convertInstanceNormalization);
  registry.add("RMSNormalization", 23, convertRMSNormalization);
  registry.add("LayerNormalization", 17, convertLayerNormalization);
  registry.add("LogSoftmax", 1, convertFlattened<logSoftmaxAlong>, 12);
  registry.add("LogSoftmax", 13, convertAlong<logSoftmaxAlong>);
  registry.add("Softmax", 1, convertFlattened<softmaxAlong>, 12);
  registry.add("Softmax", 13, convertAlong<softmaxAlong>);
}

} // namespace attune::onnx
