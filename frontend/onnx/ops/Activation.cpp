#include "attune/frontend/onnx/Scalar.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::onnx {

template <typename Op> static void convertMath(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return s.op<Op>(a[0]); });
}

static Value sigmoid(const Scalar &s, Value x) {
  Value e = s.op<math::ExpOp>(s.op<arith::NegFOp>(x));
  return s.div(s.c(1), s.add(s.c(1), e));
}

static Value softplus(const Scalar &s, Value x) {
  // log(1 + e^x) without overflow.
  Value tail = s.op<math::Log1pOp>(s.op<math::ExpOp>(s.op<arith::NegFOp>(s.op<math::AbsFOp>(x))));
  return s.add(s.max(x, s.c(0)), tail);
}

static Value gelu(const Scalar &s, Value x, bool viaTanh) {
  Value half = s.mul(s.c(0.5), x);
  if (!viaTanh)
    return s.mul(half, s.add(s.c(1), s.op<math::ErfOp>(s.mul(x, s.c(std::sqrt(0.5))))));
  Value cube = s.mul(s.mul(x, x), x);
  Value inner = s.mul(s.c(std::sqrt(2 / M_PI)), s.add(x, s.mul(s.c(0.044715), cube)));
  return s.mul(half, s.add(s.c(1), s.op<math::TanhOp>(inner)));
}

static void convertGelu(Node &node) {
  std::string kind = node.stringAttr("approximate");
  node.check(kind == "none" || kind == "tanh",
             "attribute 'approximate' is '" + kind + "'; accepted: none, tanh");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) { return gelu(s, a[0], kind == "tanh"); });
}

/// log(x + sqrt(x^2 + 1)) of the magnitude, by the logarithm near 1: exact for small and large x.
static void convertAsinh(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    Value x = s.op<math::AbsFOp>(a[0]), one = s.c(1), square = s.mul(x, x);
    Value root = s.op<math::SqrtOp>(s.add(square, one));
    Value small = s.op<math::Log1pOp>(s.add(x, s.div(square, s.add(root, one))));
    // The square overflows long before the result does.
    Value large = s.add(s.op<math::LogOp>(x), s.c(std::log(2.0)));
    Value result = s.select(s.lt(s.c(1e8), x), large, small);
    return s.op<math::CopySignOp>(result, a[0]);
  });
}

/// log(x + sqrt(x^2 - 1)) with t = x - 1; NaN below 1.
static void convertAcosh(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    Value t = s.sub(a[0], s.c(1));
    Value root = s.op<math::SqrtOp>(s.mul(t, s.add(t, s.c(2))));
    Value small = s.op<math::Log1pOp>(s.add(t, root));
    Value large = s.add(s.op<math::LogOp>(a[0]), s.c(std::log(2.0)));
    return s.select(s.lt(s.c(1e8), a[0]), large, small);
  });
}

/// log1p(2x / (1 - x)) / 2
static void convertAtanh(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    Value x = s.op<math::AbsFOp>(a[0]);
    Value ratio = s.div(s.add(x, x), s.sub(s.c(1), x));
    return s.op<math::CopySignOp>(s.mul(s.c(0.5), s.op<math::Log1pOp>(ratio)), a[0]);
  });
}

static void convertReciprocal(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return s.div(s.c(1), a[0]); });
}

static void convertSigmoid(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return sigmoid(s, a[0]); });
}
static void convertSoftplus(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) { return softplus(s, a[0]); });
}
static void convertMish(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    return s.mul(a[0], s.op<math::TanhOp>(softplus(s, a[0])));
  });
}
static void convertSoftsign(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    return s.div(a[0], s.add(s.c(1), s.op<math::AbsFOp>(a[0])));
  });
}
static void convertSwish(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    return s.mul(a[0], sigmoid(s, s.mul(s.c(alpha), a[0])));
  });
}
static void convertLeakyRelu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    return s.select(s.lt(a[0], s.c(0)), s.mul(s.c(alpha), a[0]), a[0]);
  });
}
static void convertElu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    Value negative = s.mul(s.c(alpha), s.op<math::ExpM1Op>(a[0]));
    return s.select(s.lt(a[0], s.c(0)), negative, a[0]);
  });
}
static void convertSelu(Node &node) {
  double alpha = node.floatAttr("alpha"), gamma = node.floatAttr("gamma");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    Value negative = s.mul(s.c(alpha), s.op<math::ExpM1Op>(a[0]));
    return s.mul(s.c(gamma), s.select(s.le(a[0], s.c(0)), negative, a[0]));
  });
}
static void convertCelu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    Value e = s.op<math::ExpM1Op>(s.div(a[0], s.c(alpha)));
    return s.add(s.max(a[0], s.c(0)), s.min(s.c(0), s.mul(s.c(alpha), e)));
  });
}
static void convertThresholdedRelu(Node &node) {
  double alpha = node.floatAttr("alpha");
  unaryFloat(node, [&](const Scalar &s, ValueRange a) {
    return s.select(s.lt(s.c(alpha), a[0]), a[0], s.c(0));
  });
}
static Value hardSigmoid(const Scalar &s, Value x, double alpha, double beta) {
  Value line = s.add(s.mul(s.c(alpha), x), s.c(beta));
  return s.max(s.c(0), s.min(s.c(1), line));
}
static void convertHardSigmoid(Node &node) {
  double alpha = node.floatAttr("alpha"), beta = node.floatAttr("beta");
  unaryFloat(node,
             [&](const Scalar &s, ValueRange a) { return hardSigmoid(s, a[0], alpha, beta); });
}
static void convertHardSwish(Node &node) {
  unaryFloat(node, [](const Scalar &s, ValueRange a) {
    return s.mul(a[0], hardSigmoid(s, a[0], 1.0 / 6, 0.5));
  });
}

static void convertRelu(Node &node) {
  node.setOutput(0, sameType(node, {node.input(0)},
                             [](const Scalar &s, ValueRange a) { return s.max(a[0], s.c(0)); }));
}

static void convertPRelu(Node &node) {
  Tensor input = node.input(0), slope = node.input(1);
  // Models of before opset 7 have one slope per channel as a vector.
  if (slope.rank() == 1 && input.rank() > 1 && !slope.dim(0).is(1) &&
      node.extents().knownEqual(slope.dim(0), input.shape().back()) != true &&
      node.extents().knownEqual(slope.dim(0), input.dim(1)) == true) {
    Shape channel(input.rank() - 1, Extent(1));
    channel[0] = slope.dim(0);
    slope = reshape(node, slope, channel);
  }
  node.setOutput(0, sameType(node, {input, slope}, [](const Scalar &s, ValueRange a) {
                   return s.select(s.lt(a[0], s.c(0)), s.mul(a[0], a[1]), a[0]);
                 }));
}

static void convertShrink(Node &node) {
  double bias = node.floatAttr("bias"), lambda = node.floatAttr("lambd");
  node.setOutput(0, sameType(node, {node.input(0)}, [&](const Scalar &s, ValueRange a) {
                   Value x = a[0], shift = s.c(bias);
                   Value high = s.select(s.lt(s.c(lambda), x), s.sub(x, shift), s.c(0));
                   return s.select(s.lt(x, s.c(-lambda)), s.add(x, shift), high);
                 }));
}

void registerActivation(Registry &registry) {
  registry.add("Acos", 7, convertMath<math::AcosOp>);
  registry.add("Acosh", 9, convertAcosh);
  registry.add("Asin", 7, convertMath<math::AsinOp>);
  registry.add("Asinh", 9, convertAsinh);
  registry.add("Atan", 7, convertMath<math::AtanOp>);
  registry.add("Atanh", 9, convertAtanh);
  registry.add("Ceil", 6, convertMath<math::CeilOp>);
  registry.add("Celu", 12, convertCelu);
  registry.add("Cos", 7, convertMath<math::CosOp>);
  registry.add("Cosh", 9, convertMath<math::CoshOp>);
  registry.add("Elu", 6, convertElu);
  registry.add("Erf", 9, convertMath<math::ErfOp>);
  registry.add("Exp", 6, convertMath<math::ExpOp>);
  registry.add("Floor", 6, convertMath<math::FloorOp>);
  registry.add("Gelu", 20, convertGelu);
  registry.add("HardSigmoid", 6, convertHardSigmoid);
  registry.add("HardSwish", 14, convertHardSwish);
  registry.add("LeakyRelu", 6, convertLeakyRelu);
  registry.add("Log", 6, convertMath<math::LogOp>);
  registry.add("Mish", 18, convertMish);
  registry.add("PRelu", 7, convertPRelu);
  registry.add("Reciprocal", 6, convertReciprocal);
  registry.add("Relu", 6, convertRelu);
  registry.add("Round", 11, convertMath<math::RoundEvenOp>);
  registry.add("Selu", 6, convertSelu);
  registry.add("Shrink", 9, convertShrink);
  registry.add("Sigmoid", 6, convertSigmoid);
  registry.add("Sin", 7, convertMath<math::SinOp>);
  registry.add("Sinh", 9, convertMath<math::SinhOp>);
  registry.add("Softplus", 1, convertSoftplus);
  registry.add("Softsign", 1, convertSoftsign);
  registry.add("Sqrt", 6, convertMath<math::SqrtOp>);
  registry.add("Swish", 24, convertSwish);
  registry.add("Tan", 7, convertMath<math::TanOp>);
  registry.add("Tanh", 6, convertMath<math::TanhOp>);
  registry.add("ThresholdedRelu", 10, convertThresholdedRelu);
}

} // namespace attune::onnx
