// Operators that add overlapping windows up: the adjoint of taking windows out of a tensor.
#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::onnx {
namespace {

/// One entry per spatial axis.
struct Windows {
  std::vector<int64_t> strides, dilations;
  Shape kernel, before; ///< taps; padding that is cut off in front
  Shape out;
};

std::vector<int64_t> perAxis(Node &node, llvm::StringRef name, int64_t rank, int64_t fallback,
                             int64_t least) {
  std::vector<int64_t> values = node.intsAttr(name, std::vector<int64_t>(rank, fallback));
  node.check(int64_t(values.size()) == rank, "attribute '" + name + "' has " +
                                                 llvm::Twine(values.size()) + " entries for " +
                                                 llvm::Twine(rank) + " spatial axes");
  for (int64_t value : values)
    node.check(value >= least, "attribute '" + name + "' has an entry of " + llvm::Twine(value) +
                                   "; accepted: " + llvm::Twine(least) + " or more");
  return values;
}

/// out[n, c, p] = sum over taps k with p + before - k * dilation = q * stride, q inside, of
/// columns[n, c, k, q].
Tensor fold(Node &node, const Tensor &columns, const Windows &w) {
  MLIRContext *context = node.context();
  int64_t rank = w.out.size(), loops = 2 + 2 * rank;
  Shape out = {columns.dim(0), columns.dim(1)};
  out.append(w.out.begin(), w.out.end());
  SmallVector<AffineExpr> taps;
  for (int64_t axis = 0; axis < rank; ++axis)
    taps.push_back(getAffineDimExpr(2 + rank + axis, context));
  SmallVector<AffineMap> maps{
      AffineMap::get(loops, 0, taps, context),
      AffineMap::getMultiDimIdentityMap(loops, context).getMajorSubMap(2 + rank)};
  SmallVector<utils::IteratorType> iterators(loops, utils::IteratorType::parallel);
  std::fill(iterators.begin() + 2 + rank, iterators.end(), utils::IteratorType::reduction);
  OpBuilder &b = node.builder();
  Location loc = node.loc();
  Type element = columns.dtype().type(context);
  Value source = node.value(columns), shapeOnly = empty(node, w.kernel, element);
  SmallVector<Value> positions, before;
  for (int64_t axis = 0; axis < rank; ++axis) {
    positions.push_back(node.index(columns.dim(2 + rank + axis)));
    before.push_back(node.index(w.before[axis]));
  }
  Value init = filled(node, out, scalarAttr(context, columns.dtype(), 0));
  auto op = linalg::GenericOp::create(b, loc, init.getType(), ValueRange{shapeOnly},
                                      ValueRange{init}, maps, iterators);
  OpBuilder::InsertionGuard guard(b);
  Block *block = b.createBlock(&op.getRegion(), {}, {element, element}, {loc, loc});
  SmallVector<Value> at;
  for (int64_t i : {0, 1})
    at.push_back(linalg::IndexOp::create(b, loc, i));
  for (int64_t axis = 0; axis < rank; ++axis)
    at.push_back(linalg::IndexOp::create(b, loc, 2 + rank + axis));
  auto constant = [&](int64_t v) -> Value { return arith::ConstantIndexOp::create(b, loc, v); };
  Value hit = arith::ConstantIntOp::create(b, loc, 1, 1), zero = constant(0);
  for (int64_t axis = 0; axis < rank; ++axis) {
    Value p = linalg::IndexOp::create(b, loc, 2 + axis);
    Value reach = arith::MulIOp::create(b, loc, at[2 + axis], constant(w.dilations[axis]));
    Value from =
        arith::SubIOp::create(b, loc, arith::AddIOp::create(b, loc, p, before[axis]), reach);
    Value stride = constant(w.strides[axis]);
    Value negative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, from, zero);
    Value safe = arith::MaxSIOp::create(b, loc, from, zero);
    Value q = arith::DivUIOp::create(b, loc, safe, stride);
    Value whole = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                        arith::MulIOp::create(b, loc, q, stride), from);
    Value inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, q, positions[axis]);
    Value last = arith::SubIOp::create(b, loc, positions[axis], constant(1));
    at.push_back(arith::MaxSIOp::create(b, loc, arith::MinSIOp::create(b, loc, q, last), zero));
    Value mine = arith::AndIOp::create(b, loc, whole, inside);
    mine =
        arith::SelectOp::create(b, loc, negative, arith::ConstantIntOp::create(b, loc, 0, 1), mine);
    hit = arith::AndIOp::create(b, loc, hit, mine);
  }
  Value v = tensor::ExtractOp::create(b, loc, source, at);
  Value term = arith::SelectOp::create(b, loc, hit, v, scalar(b, loc, element, 0));
  Value sum = block->getArgument(1);
  linalg::YieldOp::create(b, loc,
                          isa<FloatType>(element)
                              ? arith::AddFOp::create(b, loc, sum, term).getResult()
                              : arith::AddIOp::create(b, loc, sum, term).getResult());
  return node.tensor(op.getResult(0), columns.dtype(), out);
}

//===--------------------------------------------------------------------------------------------===//
// ConvTranspose
//===--------------------------------------------------------------------------------------------===//

/// The size of the result and the padding that is cut off, by the specification's formulas.
Windows transposedWindows(Node &node, const Tensor &input, const Tensor &weights) {
  int64_t rank = input.rank() - 2;
  Windows w;
  w.strides = perAxis(node, "strides", rank, 1, 1);
  w.dilations = perAxis(node, "dilations", rank, 1, 1);
  std::vector<int64_t> extra = perAxis(node, "output_padding", rank, 0, 0);
  std::string autoPad = node.stringAttr("auto_pad", "NOTSET");
  node.check(autoPad == "NOTSET" || autoPad == "VALID" || autoPad == "SAME_UPPER" ||
                 autoPad == "SAME_LOWER",
             "attribute 'auto_pad' is '" + autoPad +
                 "'; accepted: NOTSET, VALID, SAME_UPPER, SAME_LOWER");
  std::vector<int64_t> pads = node.intsAttr("pads", std::vector<int64_t>(2 * rank, 0));
  node.check(int64_t(pads.size()) == 2 * rank, "attribute 'pads' has " + llvm::Twine(pads.size()) +
                                                   " entries for " + llvm::Twine(rank) +
                                                   " spatial axes");
  bool given = node.hasAttr("output_shape");
  std::vector<int64_t> shape = given ? node.intsAttr("output_shape") : std::vector<int64_t>();
  if (given && int64_t(shape.size()) == rank + 2)
    shape.erase(shape.begin(), shape.begin() + 2);
  node.check(!given || int64_t(shape.size()) == rank,
             "attribute 'output_shape' has " + llvm::Twine(shape.size()) + " entries for " +
                 llvm::Twine(rank) + " spatial axes");
  if (node.hasAttr("kernel_shape")) {
    std::vector<int64_t> kernel = node.intsAttr("kernel_shape");
    node.check(int64_t(kernel.size()) == rank, "attribute 'kernel_shape' differs from the weights");
    for (int64_t axis = 0; axis < rank; ++axis)
      node.requireEqual(weights.dim(2 + axis), kernel[axis],
                        "attribute 'kernel_shape' differs from the weights");
  }
  Extents &extents = node.extents();
  bool same = autoPad.rfind("SAME", 0) == 0;
  for (int64_t axis = 0; axis < rank; ++axis) {
    const Extent &size = input.dim(2 + axis);
    w.kernel.push_back(weights.dim(2 + axis));
    Extent span = (weights.dim(2 + axis) - 1) * w.dilations[axis] + 1;
    Extent full = (size - 1) * w.strides[axis] + extra[axis] + span;
    if (!given && !same) {
      bool none = autoPad == "VALID";
      w.before.push_back(none ? 0 : pads[axis]);
      w.out.push_back(none ? full : full - pads[axis] - pads[axis + rank]);
      continue;
    }
    w.out.push_back(given ? Extent(shape[axis]) : size * w.strides[axis]);
    Extent total = extents.max(full - w.out.back(), 0), half = extents.floorDiv(total, 2);
    w.before.push_back(autoPad == "SAME_UPPER" ? half : total - half);
  }
  for (const Extent &e : w.out)
    node.require(extents.less(-1, e), "the padding is larger than the result");
  return w;
}

void convertConvTranspose(Node &node) {
  Tensor input = node.input(0), weights = node.input(1);
  node.check(input.rank() >= 3 && weights.rank() == input.rank(),
             "the input has rank " + llvm::Twine(input.rank()) + ", the weights " +
                 llvm::Twine(weights.rank()) + "; accepted: equal ranks of 3 or more");
  if (!input.dtype().isFloat() || input.dtype().bits() == 8)
    node.unsupported("element type " + input.dtype().name() +
                     "; accepted: float16, bfloat16, float, double");
  int64_t groups = node.intAttr("group", 1), rank = input.rank() - 2;
  node.check(groups > 0, "attribute 'group' is " + llvm::Twine(groups) + "; accepted: 1 or more");
  node.requireEqual(input.dim(1), weights.dim(0), "the input's channels differ from the weights");
  std::optional<Extent> channels = node.extents().divideExactly(input.dim(1), groups);
  node.check(channels.has_value(), "the channels are no multiple of 'group'");
  Windows w = transposedWindows(node, input, weights);
  DType dtype = input.dtype(), sum = dtype.bits() < 32 ? kFloat : dtype;

  // columns[n, g, m, k..., q...] = sum_c x[n, g, c, q...] * w[g, c, m, k...]
  Shape splitInput = {input.dim(0), groups, *channels};
  splitInput.append(input.shape().begin() + 2, input.shape().end());
  Shape splitWeights = {groups, *channels};
  splitWeights.append(weights.shape().begin() + 1, weights.shape().end());
  Shape columns = {input.dim(0), groups};
  columns.append(weights.shape().begin() + 1, weights.shape().end());
  columns.append(input.shape().begin() + 2, input.shape().end());
  MLIRContext *context = node.context();
  int64_t loops = 4 + 2 * rank;
  auto d = [&](int64_t i) { return getAffineDimExpr(i, context); };
  SmallVector<AffineExpr> x{d(0), d(1), d(loops - 1)}, k{d(1), d(loops - 1), d(2)}, y;
  for (int64_t axis = 0; axis < rank; ++axis) {
    k.push_back(d(3 + axis));
    x.push_back(d(3 + rank + axis));
  }
  for (int64_t i = 0; i + 1 < loops; ++i)
    y.push_back(d(i));
  Tensor product =
      contract(node, castTo(node, reshape(node, input, splitInput), sum),
               castTo(node, reshape(node, weights, splitWeights), sum),
               {AffineMap::get(loops, 0, x, context), AffineMap::get(loops, 0, k, context),
                AffineMap::get(loops, 0, y, context)},
               columns);
  Shape flat = {input.dim(0), weights.dim(1) * groups};
  flat.append(columns.begin() + 3, columns.end());
  Tensor result = fold(node, reshape(node, product, flat), w);
  if (node.has(2)) {
    node.check(node.input(2).rank() == 1, "the bias is not one-dimensional");
    Shape channel(input.rank(), Extent(1));
    channel[1] = flat[1];
    Tensor bias = castTo(node, reshape(node, node.input(2), channel), sum);
    result = elementwise(node, {result, bias}, sum,
                         [](OpBuilder &b, Location loc, ValueRange a) -> Value {
                           return arith::AddFOp::create(b, loc, a[0], a[1]);
                         });
  }
  node.setOutput(0, castTo(node, result, dtype));
}

//===--------------------------------------------------------------------------------------------===//
// Col2Im
//===--------------------------------------------------------------------------------------------===//

void convertCol2Im(Node &node) {
  Tensor input = node.input(0);
  Shape image = node.extentsOf(1), block = node.extentsOf(2);
  int64_t rank = image.size();
  node.check(input.rank() == 3 && int64_t(block.size()) == rank,
             "the input has rank " + llvm::Twine(input.rank()) +
                 "; accepted: 3, with one block "
                 "size for each image size");
  Windows w;
  w.strides = perAxis(node, "strides", rank, 1, 1);
  w.dilations = perAxis(node, "dilations", rank, 1, 1);
  std::vector<int64_t> pads = node.intsAttr("pads", std::vector<int64_t>(2 * rank, 0));
  node.check(int64_t(pads.size()) == 2 * rank, "attribute 'pads' needs two entries for each axis");
  if (!input.dtype().isFloat() || input.dtype().bits() < 32)
    node.unsupported("element type " + input.dtype().name() + "; accepted: float, double");
  Extents &extents = node.extents();
  Extent taps = 1, count = 1;
  Shape positions;
  for (int64_t axis = 0; axis < rank; ++axis) {
    Extent room =
        image[axis] + pads[axis] + pads[axis + rank] - (block[axis] - 1) * w.dilations[axis] - 1;
    positions.push_back(extents.floorDiv(room, w.strides[axis]) + 1);
    node.require(extents.less(0, positions.back()), "a block is larger than the padded image");
    taps = taps * block[axis];
    count = count * positions.back();
    w.before.push_back(pads[axis]);
  }
  node.requireEqual(input.dim(2), count, "the number of blocks differs from the image's");
  Extent channels = extents.floorDiv(input.dim(1), taps);
  node.requireEqual(channels * taps, input.dim(1), "the channels are no multiple of the block");
  w.kernel = block;
  w.out = image;
  Shape columns = {input.dim(0), channels};
  columns.append(block.begin(), block.end());
  columns.append(positions.begin(), positions.end());
  node.setOutput(0, fold(node, reshape(node, input, columns), w));
}

} // namespace

void registerFold(Registry &registry) {
  registry.add("Col2Im", 18, convertCol2Im);
  registry.add("ConvTranspose", 1, convertConvTranspose);
}

} // namespace attune::onnx
