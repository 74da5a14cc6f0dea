#include "attune/frontend/onnx/ops/Window.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace attune::onnx {

/// Every window as one row of [N, positions..., C * kernel]: what a matrix product consumes.
static Tensor windowRows(Node &node, const Tensor &input, const Window &window, TypedAttr zero) {
  int64_t rank = window.rank();
  MLIRContext *context = node.context();
  Shape out = {input.dim(0)};
  out.append(window.out.begin(), window.out.end());
  out.push_back(input.dim(1));
  for (int64_t k : window.kernel)
    out.push_back(k);
  // Loops: n, positions, c, kernel.
  SmallVector<AffineExpr> exprs{getAffineDimExpr(0, context), getAffineDimExpr(1 + rank, context)};
  for (int64_t axis = 0; axis < rank; ++axis)
    exprs.push_back(getAffineDimExpr(1 + axis, context) * window.strides[axis] +
                    getAffineDimExpr(2 + rank + axis, context) * window.dilations[axis]);
  AffineMap map = AffineMap::get(2 + 2 * rank, 0, exprs, context);
  Tensor source = padded(node, input, window, zero);
  Type element = input.dtype().type(context);
  Value rows = generic(node, {node.value(source)}, {map}, out, element,
                       [](OpBuilder &, Location, ValueRange args) { return args[0]; });
  Shape flat(out.begin(), out.begin() + 1 + rank);
  Extent columns = input.dim(1);
  for (int64_t k : window.kernel)
    columns = columns * k;
  flat.push_back(columns);
  return reshape(node, node.tensor(rows, input.dtype(), out), flat);
}

/// Touching patches need no window arithmetic: a reshape and a transpose.
static Tensor patchRows(Node &node, const Tensor &input, const Window &window) {
  int64_t rank = window.rank();
  Shape split = {input.dim(0), input.dim(1)};
  std::vector<int64_t> perm = {0};
  for (int64_t axis = 0; axis < rank; ++axis) {
    split.push_back(window.out[axis]);
    split.push_back(window.kernel[axis]);
    perm.push_back(2 + 2 * axis);
  }
  perm.push_back(1);
  for (int64_t axis = 0; axis < rank; ++axis)
    perm.push_back(3 + 2 * axis);
  Shape flat = {input.dim(0)};
  flat.append(window.out.begin(), window.out.end());
  Extent columns = input.dim(1);
  for (int64_t k : window.kernel)
    columns = columns * k;
  flat.push_back(columns);
  return reshape(node, transpose(node, reshape(node, input, split), perm), flat);
}

/// out[n, m, p...] = sum_k rows[n, p..., k] * weights[m, k]
static Tensor productWithRows(Node &node, const Tensor &rows, const Tensor &weights,
                              const Shape &out) {
  MLIRContext *context = node.context();
  int64_t rank = rows.rank() - 2, loops = rank + 3;
  AffineExpr n = getAffineDimExpr(0, context), m = getAffineDimExpr(1, context),
             k = getAffineDimExpr(loops - 1, context);
  SmallVector<AffineExpr> rowExprs{n}, outExprs{n, m};
  for (int64_t axis = 0; axis < rank; ++axis) {
    rowExprs.push_back(getAffineDimExpr(2 + axis, context));
    outExprs.push_back(getAffineDimExpr(2 + axis, context));
  }
  rowExprs.push_back(k);
  Shape matrix = {weights.dim(0), rows.shape().back()};
  return contract(node, rows, reshape(node, weights, matrix),
                  {AffineMap::get(loops, 0, rowExprs, context),
                   AffineMap::get(loops, 0, {m, k}, context),
                   AffineMap::get(loops, 0, outExprs, context)},
                  out);
}

/// Groups as a loop: out[n, g, m, p...] = sum x[n, g, c, p * stride + k * dilation] w[g, m, c, k...]
static Tensor groupedConvolution(Node &node, const Tensor &input, const Tensor &weights,
                                 const Window &window, int64_t groups, const Shape &out,
                                 TypedAttr zero) {
  MLIRContext *context = node.context();
  int64_t rank = window.rank();
  Extents &extents = node.extents();
  Tensor source = padded(node, input, window, zero);
  Extent channels = weights.dim(1), maps = extents.floorDiv(weights.dim(0), groups);
  Shape splitInput = {input.dim(0), groups, channels};
  splitInput.append(source.shape().begin() + 2, source.shape().end());
  Shape splitWeights = {groups, maps, channels};
  splitWeights.append(weights.shape().begin() + 2, weights.shape().end());
  Shape splitOut = {input.dim(0), groups, maps};
  splitOut.append(window.out.begin(), window.out.end());
  // Loops: n, g, m, positions, c, kernel.
  auto d = [&](int64_t i) { return getAffineDimExpr(i, context); };
  SmallVector<AffineExpr> x{d(0), d(1), d(3 + rank)}, w{d(1), d(2), d(3 + rank)}, y{d(0), d(1), d(2)};
  for (int64_t axis = 0; axis < rank; ++axis) {
    x.push_back(d(3 + axis) * window.strides[axis] +
                d(4 + rank + axis) * window.dilations[axis]);
    w.push_back(d(4 + rank + axis));
    y.push_back(d(3 + axis));
  }
  int64_t loops = 4 + 2 * rank;
  SmallVector<AffineMap> indexing{AffineMap::get(loops, 0, x, context),
                                  AffineMap::get(loops, 0, w, context),
                                  AffineMap::get(loops, 0, y, context)};
  SmallVector<utils::IteratorType> iterators(loops, utils::IteratorType::parallel);
  std::fill(iterators.begin() + 3 + rank, iterators.end(), utils::IteratorType::reduction);
  DType sum = input.dtype().bits() < 32 ? kFloat : input.dtype();
  Value init = filled(node, splitOut, scalarAttr(context, sum, 0));
  Tensor a = castTo(node, reshape(node, source, splitInput), sum);
  Tensor b = castTo(node, reshape(node, weights, splitWeights), sum);
  auto op = linalg::GenericOp::create(
      node.builder(), node.loc(), init.getType(), ValueRange{node.value(a), node.value(b)},
      ValueRange{init}, indexing, iterators, [](OpBuilder &nested, Location loc, ValueRange args) {
        Value product = arith::MulFOp::create(nested, loc, args[0], args[1]);
        Value total = arith::AddFOp::create(nested, loc, args[2], product);
        linalg::YieldOp::create(nested, loc, total);
      });
  Tensor result = castTo(node, node.tensor(op.getResult(0), sum, splitOut), input.dtype());
  return reshape(node, result, out);
}

static void convertConv(Node &node) {
  Tensor input = node.input(0), weights = node.input(1);
  node.check(weights.rank() == input.rank(), "weights have rank " + llvm::Twine(weights.rank()) +
                                                 ", the input " + llvm::Twine(input.rank()));
  if (!input.dtype().isFloat() || input.dtype().bits() == 8)
    node.unsupported("element type " + input.dtype().name() +
                     "; accepted: float16, bfloat16, float, double");
  std::vector<int64_t> kernel;
  for (int64_t axis = 2; axis < weights.rank(); ++axis) {
    std::optional<int64_t> size = weights.dim(axis).constant();
    if (!size)
      node.unsupported("a kernel of dynamic size; accepted: a constant size");
    kernel.push_back(*size);
  }
  int64_t groups = node.intAttr("group", 1);
  node.check(groups > 0, "attribute 'group' is " + llvm::Twine(groups) + "; accepted: 1 or more");
  node.requireEqual(input.dim(1), weights.dim(1) * groups,
                    "the input's channels differ from weights x groups");
  Window window = readWindow(node, input, kernel);
  Shape out = {input.dim(0), weights.dim(0)};
  out.append(window.out.begin(), window.out.end());
  TypedAttr zero = scalarAttr(node.context(), input.dtype(), 0);
  Tensor result;
  if (groups != 1)
    result = groupedConvolution(node, input, weights, window, groups, out, zero);
  else if (window.isPointwise() || window.isPatches(input))
    result = productWithRows(node, patchRows(node, input, window), weights, out);
  else
    result = productWithRows(node, windowRows(node, input, window, zero), weights, out);
  if (node.has(2)) {
    Shape channel(input.rank(), Extent(1));
    channel[1] = weights.dim(0);
    node.check(node.input(2).rank() == 1, "the bias is not one-dimensional");
    Tensor bias = reshape(node, node.input(2), channel);
    result = elementwise(node, {result, bias}, input.dtype(),
                         [](OpBuilder &b, Location loc, ValueRange args) -> Value {
                           return arith::AddFOp::create(b, loc, args[0], args[1]);
                         });
  }
  node.setOutput(0, result);
}

void registerConvolution(Registry &registry) { registry.add("Conv", 1, convertConv); }

} // namespace attune::onnx
