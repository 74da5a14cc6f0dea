#include "attune/frontend/onnx/Build.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace attune::onnx {

Tensor contract(Node &node, const Tensor &a, const Tensor &b, ArrayRef<AffineMap> maps,
                const Shape &shape) {
  DType dtype = a.dtype();
  node.check(b.dtype() == dtype, "inputs have element types " + dtype.name() + " and " +
                                     b.dtype().name() + "; accepted: one type");
  if (dtype.isBool() || (dtype.isFloat() && dtype.bits() == 8))
    node.unsupported("element type " + dtype.name() + "; accepted: integers and floats");
  DType sum = dtype.isFloat() && dtype.bits() < 32 ? kFloat : dtype;
  Value init = filled(node, shape, scalarAttr(node.context(), sum, 0));
  OpBuilder &builder = node.builder();
  auto op = linalg::ContractOp::create(builder, node.loc(), TypeRange{init.getType()},
                                       ValueRange{node.value(a), node.value(b)}, ValueRange{init},
                                       builder.getAffineMapArrayAttr(maps));
  return castTo(node, node.tensor(op->getResult(0), sum, shape), dtype);
}

/// Drops leading axes of size 1 that the other operand repeats, so that the operand can be read
/// without them. Returns the loop (axis of `batch`) of each axis that is left.
static Tensor dropRepeated(Node &node, const Tensor &t, const Shape &batch, int64_t matrixRank,
                           SmallVector<int64_t> &loops) {
  int64_t own = t.rank() - matrixRank;
  Shape shape, full = t.shape();
  for (int64_t i = 0; i < own; ++i) {
    int64_t loop = int64_t(batch.size()) - own + i;
    if (t.dim(i).is(1) && !batch[loop].is(1))
      continue;
    full[i] = batch[loop];
    shape.push_back(batch[loop]);
    loops.push_back(loop);
  }
  // Sizes that only the run can tell apart from 1 are repeated in memory.
  for (int64_t i = 0; i < own; ++i)
    if (t.dim(i).is(1))
      full[i] = 1;
  Tensor repeated = t;
  for (int64_t i = 0; i < own; ++i)
    if (node.extents().knownEqual(t.dim(i), full[i]) != true)
      repeated = broadcastTo(node, t, full);
  shape.append(t.shape().end() - matrixRank, t.shape().end());
  return int64_t(shape.size()) == t.rank() ? repeated : reshape(node, repeated, shape);
}

static void convertMatMul(Node &node) {
  Tensor a = node.input(0), b = node.input(1);
  node.check(a.rank() >= 1 && b.rank() >= 1, "an input is a scalar; accepted: rank 1 or more");
  bool vectorA = a.rank() == 1, vectorB = b.rank() == 1;
  int64_t matrixA = vectorA ? 1 : 2, matrixB = vectorB ? 1 : 2;
  Extent m = vectorA ? Extent(1) : a.dim(a.rank() - 2), k = a.shape().back();
  Extent kOfB = vectorB ? b.dim(0) : b.dim(b.rank() - 2);
  Extent n = vectorB ? Extent(1) : b.shape().back();
  node.requireEqual(k, kOfB, "the inner sizes differ");
  Shape batch = broadcastShape(node, {Shape(a.shape().begin(), a.shape().end() - matrixA),
                                      Shape(b.shape().begin(), b.shape().end() - matrixB)});
  SmallVector<int64_t> loopsA, loopsB;
  a = dropRepeated(node, a, batch, matrixA, loopsA);
  b = dropRepeated(node, b, batch, matrixB, loopsB);

  // Loops: batch..., m, n, k; m and n only where they exist.
  MLIRContext *context = node.context();
  int64_t count = batch.size();
  int64_t loopM = count, loopN = loopM + !vectorA, loopK = loopN + !vectorB;
  auto dims = [&](ArrayRef<int64_t> loops) {
    SmallVector<AffineExpr> exprs;
    for (int64_t loop : loops)
      exprs.push_back(getAffineDimExpr(loop, context));
    return AffineMap::get(loopK + 1, 0, exprs, context);
  };
  if (!vectorA)
    loopsA.push_back(loopM);
  loopsA.push_back(loopK);
  loopsB.push_back(loopK);
  if (!vectorB)
    loopsB.push_back(loopN);
  auto loopsC = llvm::to_vector(llvm::seq<int64_t>(0, loopK));
  Shape shape = batch;
  if (!vectorA)
    shape.push_back(m);
  if (!vectorB)
    shape.push_back(n);
  node.setOutput(0, contract(node, a, b, {dims(loopsA), dims(loopsB), dims(loopsC)}, shape));
}

static Tensor scaled(Node &node, const Tensor &t, double factor) {
  if (factor == 1)
    return t;
  return elementwise(node, {t, scalarTensor(node, t.dtype(), factor)}, t.dtype(),
                     [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                       if (t.dtype().isFloat())
                         return arith::MulFOp::create(b, loc, args[0], args[1]);
                       return arith::MulIOp::create(b, loc, args[0], args[1]);
                     });
}

static void convertGemm(Node &node) {
  Tensor a = node.input(0), b = node.input(1);
  node.check(a.rank() == 2 && b.rank() == 2, "inputs A and B have ranks " + llvm::Twine(a.rank()) +
                                                 " and " + llvm::Twine(b.rank()) + "; accepted: 2");
  bool transA = node.flagAttr("transA"), transB = node.flagAttr("transB");
  double alpha = node.floatAttr("alpha"), beta = node.floatAttr("beta");
  bool whole = alpha == std::floor(alpha) && beta == std::floor(beta);
  if (!a.dtype().isFloat() && !whole)
    node.unsupported("attributes 'alpha' and 'beta' are fractions of integers; accepted: integers");
  node.requireEqual(a.dim(!transA), b.dim(transB), "the inner sizes differ");
  MLIRContext *context = node.context();
  AffineExpr m = getAffineDimExpr(0, context), n = getAffineDimExpr(1, context),
             k = getAffineDimExpr(2, context);
  auto map = [&](AffineExpr x, AffineExpr y, bool swap) {
    return AffineMap::get(3, 0, swap ? ArrayRef({y, x}) : ArrayRef({x, y}), context);
  };
  Shape shape = {a.dim(transA), b.dim(!transB)};
  Tensor result =
      contract(node, a, b, {map(m, k, transA), map(k, n, transB), map(m, n, false)}, shape);
  result = scaled(node, result, alpha);
  if (node.has(2) && beta != 0) {
    Tensor c = node.input(2);
    node.check(c.rank() <= 2 && c.dtype() == a.dtype(),
               "input C has another element type or more than 2 axes");
    c = scaled(node, c, beta);
    result = elementwise(node, {result, c}, a.dtype(),
                         [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                           if (result.dtype().isFloat())
                             return arith::AddFOp::create(b, loc, args[0], args[1]);
                           return arith::AddIOp::create(b, loc, args[0], args[1]);
                         });
    node.requireEqual(result.dim(0), shape[0], "input C is larger than the product");
    node.requireEqual(result.dim(1), shape[1], "input C is larger than the product");
  }
  node.setOutput(0, result);
}

void registerMatmul(Registry &registry) {
  registry.add("Gemm", 7, convertGemm);
  registry.add("MatMul", 1, convertMatMul);
}

} // namespace attune::onnx
