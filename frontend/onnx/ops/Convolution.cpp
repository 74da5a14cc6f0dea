#include "attune/frontend/onnx/ops/Window.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace attune::onnx {

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

/// out[n, g, m, p...] = sum x[n, g, c, p * stride + k * dilation] w[g, m, c, k...]; without g for
/// one group.
static Tensor directConvolution(Node &node, const Tensor &input, const Tensor &weights,
                                const Window &window, int64_t groups, const Shape &out,
                                TypedAttr zero) {
  MLIRContext *context = node.context();
  int64_t rank = window.rank();
  Tensor source = padded(node, input, window, zero);
  bool grouped = groups != 1;
  // Splits the channels of axis `axis` by group.
  auto split = [&](Shape shape, int64_t axis) {
    if (grouped) {
      shape[axis] = node.extents().floorDiv(shape[axis], groups);
      shape.insert(shape.begin() + axis, groups);
    }
    return shape;
  };
  Shape splitOut = split(out, 1);
  // Loops: n, g, m, positions, c, kernel.
  int64_t g = 1, m = g + grouped, position = m + 1, c = position + rank;
  auto d = [&](int64_t i) { return getAffineDimExpr(i, context); };
  SmallVector<AffineExpr> x{d(0)}, w, y{d(0)};
  if (grouped)
    for (SmallVector<AffineExpr> *exprs : {&x, &w, &y})
      exprs->push_back(d(g));
  x.push_back(d(c));
  w.append({d(m), d(c)});
  y.push_back(d(m));
  for (int64_t axis = 0; axis < rank; ++axis) {
    x.push_back(d(position + axis) * window.strides[axis] +
                d(c + 1 + axis) * window.dilations[axis]);
    w.push_back(d(c + 1 + axis));
    y.push_back(d(position + axis));
  }
  int64_t loops = c + 1 + rank;
  SmallVector<AffineMap> indexing{AffineMap::get(loops, 0, x, context),
                                  AffineMap::get(loops, 0, w, context),
                                  AffineMap::get(loops, 0, y, context)};
  SmallVector<utils::IteratorType> iterators(loops, utils::IteratorType::parallel);
  std::fill(iterators.begin() + c, iterators.end(), utils::IteratorType::reduction);
  DType sum = input.dtype().bits() < 32 ? kFloat : input.dtype();
  Value init = filled(node, splitOut, scalarAttr(context, sum, 0));
  Tensor a = castTo(node, reshape(node, source, split(source.shape(), 1)), sum);
  Tensor b = castTo(node, reshape(node, weights, split(weights.shape(), 0)), sum);
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
  if (groups == 1 && window.isPatches(input) && !window.isPointwise())
    result = productWithRows(node, patchRows(node, input, window), weights, out);
  else
    result = directConvolution(node, input, weights, window, groups, out, zero);
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
