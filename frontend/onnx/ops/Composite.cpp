// ONNX operators that are short compositions of others and have no function body in the
// specification.
#include "attune/frontend/onnx/Build.h"
#include "attune/frontend/onnx/Text.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {

static void convertHardmax(Node &node) {
  Tensor input = node.input(0);
  std::string axis = text(node.normaliseAxis(node.intAttr("axis"), input.rank()));
  node.setOutput(0, node.inlineFunction("(x) => (y) {\n"
                                        "  at = ArgMax <axis = " +
                                            axis +
                                            ", keepdims = 0> (x)\n"
                                            "  sizes = Shape (x)\n"
                                            "  axis = Constant <value_int = " +
                                            axis +
                                            "> ()\n"
                                            "  depth = Gather <axis = 0> (sizes, axis)\n"
                                            "  ints = Constant <value_ints = [0, 1]> ()\n"
                                            "  values = CastLike (ints, x)\n"
                                            "  y = OneHot <axis = " +
                                            axis +
                                            "> (at, depth, values)\n"
                                            "}",
                                        {input})[0]);
}

/// x / |x|_p along an axis; 0 where the norm is 0.
static void convertLpNormalization(Node &node) {
  Tensor input = node.input(0);
  int64_t axis = node.normaliseAxis(node.intAttr("axis"), input.rank()), p = node.intAttr("p");
  node.check(p == 1 || p == 2, "attribute 'p' is " + llvm::Twine(p) + "; accepted: 1, 2");
  node.setOutput(0, node.inlineFunction("(x) => (y) {\n"
                                        "  axes = Constant <value_ints = [" +
                                            text(axis) +
                                            "]> ()\n"
                                            "  norm = ReduceL" +
                                            text(p) +
                                            " <keepdims = 1> (x, axes)\n"
                                            "  ratio = Div (x, norm)\n"
                                            "  float_zero = Constant <value_float = 0.0> ()\n"
                                            "  zero = CastLike (float_zero, x)\n"
                                            "  empty = Equal (norm, zero)\n"
                                            "  y = Where (empty, zero, ratio)\n"
                                            "}",
                                        {input})[0]);
}

/// x / (bias + alpha * mean of squares over `size` channels) ^ beta: channels as a spatial axis.
static void convertLRN(Node &node) {
  Tensor input = node.input(0);
  node.check(input.rank() >= 2,
             "the input has rank " + llvm::Twine(input.rank()) + "; accepted: 2 or more");
  int64_t size = node.intAttr("size"), spatial = input.rank() - 1;
  node.check(size > 0, "attribute 'size' is " + llvm::Twine(size) + "; accepted: 1 or more");
  SmallVector<int64_t> kernel(spatial, 1), pads(2 * spatial, 0);
  kernel[0] = size;
  pads[0] = (size - 1) / 2;
  pads[spatial] = size / 2;
  auto constant = [](const std::string &name, double value) {
    return "  " + name + "32 = Constant <value_float = " + text(value) + "> ()\n  " + name +
           " = CastLike (" + name + "32, x)\n";
  };
  node.setOutput(
      0, node.inlineFunction("(x) => (y) {\n" + constant("alpha", node.floatAttr("alpha")) +
                                 constant("beta", node.floatAttr("beta")) +
                                 constant("bias", node.floatAttr("bias")) +
                                 "  channel = Constant <value_ints = [1]> ()\n"
                                 "  square = Mul (x, x)\n"
                                 "  apart = Unsqueeze (square, channel)\n"
                                 "  mean = AveragePool <count_include_pad = 1, kernel_shape = " +
                                 text(kernel) + ", pads = " + text(pads) +
                                 "> (apart)\n"
                                 "  mean_square = Squeeze (mean, channel)\n"
                                 "  scaled = Mul (alpha, mean_square)\n"
                                 "  base = Add (bias, scaled)\n"
                                 "  divisor = Pow (base, beta)\n"
                                 "  y = Div (x, divisor)\n"
                                 "}",
                             {input})[0]);
}

/// The maxima at the places that MaxPool gave, zeros elsewhere.
static void convertMaxUnpool(Node &node) {
  Tensor x = node.input(0);
  int64_t rank = x.rank() - 2;
  std::vector<int64_t> kernel = node.intsAttr("kernel_shape");
  std::vector<int64_t> strides = node.intsAttr("strides", std::vector<int64_t>(rank, 1));
  std::vector<int64_t> pads = node.intsAttr("pads", std::vector<int64_t>(2 * rank, 0));
  node.check(rank >= 1 && int64_t(kernel.size()) == rank && int64_t(strides.size()) == rank &&
                 int64_t(pads.size()) == 2 * rank,
             "the attributes do not have one entry for each spatial axis");
  Shape shape = {x.dim(0), x.dim(1)};
  for (int64_t axis = 0; axis < rank; ++axis)
    shape.push_back((x.dim(axis + 2) - 1) * strides[axis] - pads[axis] - pads[axis + rank] +
                    kernel[axis]);
  Shape more(2 * shape.size(), Extent(0));
  if (node.has(2)) {
    Shape wanted = node.extentsOf(2);
    node.check(wanted.size() == shape.size(), "output_shape has another rank than the input");
    for (size_t axis = 0; axis < shape.size(); ++axis)
      more[shape.size() + axis] = wanted[axis] - shape[axis];
  }
  Extent total = 1;
  for (const Extent &e : shape)
    total = total * e;
  auto vector = [&](const Shape &values) {
    return node.contents(values, kInt64, {int64_t(values.size())});
  };
  node.setOutput(
      0, node.inlineFunction("(x, places, total, shape, more) => (y) {\n"
                             "  minus_one = Constant <value_ints = [-1]> ()\n"
                             "  values = Reshape (x, minus_one)\n"
                             "  flat = Reshape (places, minus_one)\n"
                             "  column = Unsqueeze (flat, minus_one)\n"
                             "  zero32 = Constant <value_float = 0.0> ()\n"
                             "  zero = CastLike (zero32, x)\n"
                             "  zeros = Expand (zero, total)\n"
                             "  all = ScatterND (zeros, column, values)\n"
                             "  own = Reshape (all, shape)\n"
                             "  y = Pad (own, more)\n"
                             "}",
                             {x, node.input(1), vector({total}), vector(shape), vector(more)})[0]);
}

/// The determinant of a matrix without the columns in `gone`, from row `row` on.
static Value minorOf(OpBuilder &b, Location loc, ArrayRef<SmallVector<Value>> matrix, size_t row,
                     unsigned gone) {
  if (row == matrix.size())
    return scalar(b, loc, matrix[0][0].getType(), 1);
  Value sum;
  bool negative = false;
  for (size_t column = 0; column < matrix.size(); ++column) {
    if (gone >> column & 1)
      continue;
    Value rest = minorOf(b, loc, matrix, row + 1, gone | 1u << column);
    Value term = arith::MulFOp::create(b, loc, matrix[row][column], rest);
    if (!sum)
      sum = term;
    else
      sum = negative ? arith::SubFOp::create(b, loc, sum, term).getResult()
                     : arith::AddFOp::create(b, loc, sum, term).getResult();
    negative = !negative;
  }
  return sum;
}

static void convertDet(Node &node) {
  Tensor x = node.input(0);
  node.check(x.rank() >= 2,
             "the input has rank " + llvm::Twine(x.rank()) + "; accepted: 2 or more");
  std::optional<int64_t> size = x.shape().back().constant();
  if (!size || *size < 1 || *size > 5)
    node.unsupported("matrices of size " + node.extents().str(x.shape().back()) +
                     "; accepted: static sizes from 1 to 5");
  node.requireEqual(x.dim(x.rank() - 2), *size, "the matrices are not square");
  if (!x.dtype().isFloat() || x.dtype().bits() < 32)
    node.unsupported("element type " + x.dtype().name() + "; accepted: float, double");
  Shape out(x.shape().begin(), x.shape().end() - 2);
  Value source = node.value(x);
  Value result =
      generic(node, {}, {}, out, x.dtype().type(node.context()),
              [&](OpBuilder &b, Location loc, ValueRange) {
                SmallVector<Value> at;
                for (size_t i = 0; i < out.size(); ++i)
                  at.push_back(linalg::IndexOp::create(b, loc, i));
                SmallVector<SmallVector<Value>> matrix(*size);
                for (int64_t row = 0; row < *size; ++row)
                  for (int64_t column = 0; column < *size; ++column) {
                    SmallVector<Value> where(at);
                    where.push_back(arith::ConstantIndexOp::create(b, loc, row));
                    where.push_back(arith::ConstantIndexOp::create(b, loc, column));
                    matrix[row].push_back(tensor::ExtractOp::create(b, loc, source, where));
                  }
                return minorOf(b, loc, matrix, 0, 0);
              });
  node.setOutput(0, node.tensor(result, x.dtype(), out));
}

//===--------------------------------------------------------------------------------------------===//
// Integer products: exact in double, as every product of 8-bit values and every sum of them is.
//===--------------------------------------------------------------------------------------------===//

static void checkBytes(Node &node, std::initializer_list<int> inputs) {
  for (int i : inputs)
    if (!node.input(i).dtype().isInteger() || node.input(i).dtype().bits() != 8)
      node.unsupported("element type " + node.input(i).dtype().name() + "; accepted: uint8, int8");
}

/// `name` minus its zero point as doubles; a zero point per row goes along the rows.
static std::string centred(const std::string &name, const Tensor &zero, bool perRow) {
  std::string code = "  " + name + "_wide = Cast <to = 11> (" + name + ")\n";
  if (!zero)
    return code + "  " + name + "_centred = Identity (" + name + "_wide)\n";
  bool rows = perRow && zero.rank() == 1 && !zero.dim(0).is(1);
  code += "  " + name + "_zero_wide = Cast <to = 11> (" + name + "_zero)\n";
  code += "  " + name + "_last = Constant <value_ints = [-1]> ()\n";
  code += "  " + name + "_shift = " +
          (rows ? "Unsqueeze (" + name + "_zero_wide, " + name + "_last)\n"
                : "Identity (" + name + "_zero_wide)\n");
  return code + "  " + name + "_centred = Sub (" + name + "_wide, " + name + "_shift)\n";
}

static void convertMatMulInteger(Node &node) {
  checkBytes(node, {0, 1});
  Tensor aZero = node.optionalInput(2), bZero = node.optionalInput(3);
  node.setOutput(0, node.inlineFunction("(a, b, a_zero, b_zero) => (y) {\n" +
                                            centred("a", aZero, true) + centred("b", bZero, false) +
                                            "  product = MatMul (a_centred, b_centred)\n"
                                            "  y = Cast <to = 6> (product)\n"
                                            "}",
                                        {node.input(0), node.input(1), aZero, bZero})[0]);
}

/// The attributes of a convolution as they are written.
static std::string convolutionAttributes(Node &node) {
  std::string result = "group = " + text(node.intAttr("group", 1));
  result += ", auto_pad = \"" + node.stringAttr("auto_pad", "NOTSET") + "\"";
  for (const char *name : {"dilations", "kernel_shape", "pads", "strides"})
    if (node.hasAttr(name))
      result += std::string(", ") + name + " = " + text(node.intsAttr(name));
  return result;
}

/// A vector per output channel, or a scalar, against [N, M, spatial...].
static std::string perChannel(const std::string &name, const std::string &from, const Tensor &t,
                              int64_t rank) {
  std::string code = "  " + name + "_axes = Constant <value_ints = ";
  if (!t || t.rank() == 0 || t.dim(0).is(1))
    return "  " + name + " = Identity (" + from + ")\n";
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(1, rank - 1));
  return code + text(axes) + "> ()\n  " + name + " = Unsqueeze (" + from + ", " + name + "_axes)\n";
}

/// The weights minus their zero points, one per output channel: the first axis.
static std::string centredWeights(const Tensor &zero, int64_t rank) {
  std::string code = "  w_wide = Cast <to = 11> (w)\n";
  if (!zero)
    return code + "  w_centred = Identity (w_wide)\n";
  return code + "  w_zero_wide = Cast <to = 11> (w_zero)\n" +
         perChannel("w_shift", "w_zero_wide", zero, rank + 1) +
         "  w_centred = Sub (w_wide, w_shift)\n";
}

static void convertConvInteger(Node &node) {
  checkBytes(node, {0, 1});
  Tensor x = node.input(0), w = node.input(1);
  Tensor xZero = node.optionalInput(2), wZero = node.optionalInput(3);
  node.setOutput(0, node.inlineFunction("(x, w, x_zero, w_zero) => (y) {\n" +
                                            centred("x", xZero, false) +
                                            centredWeights(wZero, w.rank()) + "  sum = Conv <" +
                                            convolutionAttributes(node) +
                                            "> (x_centred, w_centred)\n"
                                            "  y = Cast <to = 6> (sum)\n"
                                            "}",
                                        {x, w, xZero, wZero})[0]);
}

/// round(sum * factor) + zero, saturated.
static std::string requantise(const std::string &first, const std::string &second, DType result) {
  return "  sum32 = Cast <to = 1> (sum)\n"
         "  first = Cast <to = 1> (" +
         first +
         ")\n"
         "  second = Cast <to = 1> (" +
         second +
         ")\n"
         "  scale = Cast <to = 1> (y_scale)\n"
         "  both = Mul (first, second)\n"
         "  factor = Div (both, scale)\n"
         "  scaled = Mul (sum32, factor)\n"
         "  rounded = Round (scaled)\n"
         "  zero = Cast <to = 1> (y_zero)\n"
         "  shifted = Add (rounded, zero)\n"
         "  y = Cast <to = " +
         text(int64_t(int(result))) + "> (shifted)\n";
}

static void convertQLinearMatMul(Node &node) {
  checkBytes(node, {0, 3, 7});
  std::vector<Tensor> in = node.inputs();
  auto column = [&](const std::string &name, const Tensor &t) {
    bool rows = t.rank() == 1 && !t.dim(0).is(1);
    return "  last = Constant <value_ints = [-1]> ()\n  " + name +
           "_column = " + (rows ? "Unsqueeze (" + name + ", last)\n" : "Identity (" + name + ")\n");
  };
  node.setOutput(0, node.inlineFunction(
                        "(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) => (y) {\n" +
                            centred("a", in[2], true) + centred("b", in[5], false) +
                            column("a_scale", in[1]) + "  sum = MatMul (a_centred, b_centred)\n" +
                            requantise("a_scale_column", "b_scale", in[7].dtype()) + "}",
                        in)[0]);
}

static void convertQLinearConv(Node &node) {
  checkBytes(node, {0, 3, 7});
  std::vector<Tensor> in = node.inputs();
  in.resize(9);
  int64_t rank = in[0].rank();
  // A bias in units of x_scale * w_scale joins the sum.
  std::string bias =
      in[8] ? "  bias_wide = Cast <to = 11> (bias)\n"
              "  sum = Conv <" +
                  convolutionAttributes(node) + "> (x_centred, w_centred, bias_wide)\n"
            : "  sum = Conv <" + convolutionAttributes(node) + "> (x_centred, w_centred)\n";
  node.setOutput(0,
                 node.inlineFunction(
                     "(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias) => (y) {\n" +
                         centred("x", in[2], false) + centredWeights(in[5], rank) + bias +
                         perChannel("w_factor", "w_scale", in[4], rank) +
                         requantise("x_scale", "w_factor", in[7].dtype()) + "}",
                     in)[0]);
}

void registerComposite(Registry &registry) {
  registry.add("ConvInteger", 10, convertConvInteger);
  registry.add("Det", 11, convertDet);
  registry.add("Hardmax", 13, convertHardmax);
  registry.add("LpNormalization", 1, convertLpNormalization);
  registry.add("LRN", 1, convertLRN);
  registry.add("MatMulInteger", 10, convertMatMulInteger);
  registry.add("MaxUnpool", 9, convertMaxUnpool);
  registry.add("QLinearConv", 10, convertQLinearConv);
  registry.add("QLinearMatMul", 10, convertQLinearMatMul);
}

} // namespace attune::onnx
