#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"

#include <cmath>

using namespace mlir;
using namespace attune;

FloatType ToeplitzOp::getAccumType() { return getDefaultAccum(getInput()); }

bool ToeplitzOp::hasChannelCoeffs() {
  return cast<RankedTensorType>(getCoeffs().getType()).getRank() == 2;
}

LogicalResult ToeplitzOp::verify() {
  if (failed(verifyFloats(
          *this, {{"coeffs", getCoeffs()}, {"input", getInput()}, {"result", getResult()}})))
    return failure();
  ShapeChecker shapes(*this);
  if (failed(shapes.check("input", getInput(), isCausal() ? "bne" : "bme")) ||
      failed(shapes.check("coeffs", getCoeffs(), hasChannelCoeffs() ? "ke" : "k")) ||
      failed(shapes.check("result", getResult(), "bne")))
    return failure();
  auto n = shapes.get('n'), m = shapes.get('m');
  if (!isCausal() && n && m)
    return shapes.require('k', std::max<int64_t>(*n + *m - 1, 0), "coeffs", "N + M - 1");
  return success();
}

namespace {

class ToeplitzLowering : Lowering {
public:
  ToeplitzLowering(ToeplitzOp op, OpBuilder &builder)
      : Lowering(builder, op.getLoc()), toeplitz(op), accum(op.getAccumType()) {}
  Value run(ArrayRef<OpFoldResult> shape);

private:
  enum Loop : int64_t { B, N, E, Sum };

  Value term(Value coefficient, Value x, Value sum) {
    Value product = op<arith::MulFOp>(cast(coefficient, accum), cast(x, accum));
    return op<arith::AddFOp>(sum, product);
  }
  Value causal(Value init);
  Value bidirectional(Value init);

  ToeplitzOp toeplitz;
  FloatType accum;
};

} // namespace

/// The sum runs over coefficients: those of positions before the first add nothing.
Value ToeplitzLowering::causal(Value init) {
  AffineMap coeffs = toeplitz.hasChannelCoeffs() ? map(4, {d(Sum), d(E)}) : map(4, d(Sum));
  return accumulate(toeplitz.getCoeffs(), coeffs, init, prefix(4, 3), [&](ValueRange args) {
    Value inside = compare(arith::CmpIPredicate::ule, loop(Sum), loop(N));
    Value from = select(inside, op<arith::SubIOp>(loop(N), loop(Sum)), index(int64_t(0)));
    Value x = op<tensor::ExtractOp>(toeplitz.getInput(), ValueRange{loop(B), from, loop(E)});
    return select(inside, term(args[0], x, args[1]), args[1]);
  });
}

Value ToeplitzLowering::bidirectional(Value init) {
  Value last = op<arith::SubIOp>(op<tensor::DimOp>(toeplitz.getInput(), 1), index(1));
  return accumulate(toeplitz.getInput(), map(4, {d(B), d(Sum), d(E)}), init, prefix(4, 3),
                    [&](ValueRange args) {
                      Value at = op<arith::AddIOp>(op<arith::SubIOp>(loop(N), loop(Sum)), last);
                      SmallVector<Value> indices{at};
                      if (toeplitz.hasChannelCoeffs())
                        indices.push_back(loop(E));
                      Value coefficient = op<tensor::ExtractOp>(toeplitz.getCoeffs(), indices);
                      return term(coefficient, args[0], args[1]);
                    });
}

Value ToeplitzLowering::run(ArrayRef<OpFoldResult> shape) {
  Value init = fill(shape, constant(accum, 0));
  Value sum = toeplitz.isCausal() ? causal(init) : bidirectional(init);
  return castElements(sum, toeplitz.getResult());
}

FailureOr<SmallVector<Value>> ToeplitzOp::decompose(OpBuilder &builder) {
  ReifiedRankedShapedTypeDims dims;
  if (failed(reifyResultShapes(builder, dims)))
    return failure();
  return SmallVector<Value>{ToeplitzLowering(*this, builder).run(dims.front())};
}

LogicalResult ToeplitzOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  dims.push_back(tensor::getMixedSizes(builder, getLoc(), getInput()));
  if (!isCausal()) {
    AffineExpr k = builder.getAffineSymbolExpr(0), m = builder.getAffineSymbolExpr(1);
    OpFoldResult extent = tensor::getMixedSize(builder, getLoc(), getCoeffs(), 0);
    dims[0][1] =
        affine::makeComposedFoldedAffineApply(builder, getLoc(), k - m + 1, {extent, dims[0][1]});
  }
  refineShapes(builder, getOperation(), dims);
  return success();
}

void attune::addConvolutionWork(SmallVector<WorkTerm> &terms, Form form,
                                ArrayRef<OpFoldResult> input, OpFoldResult taps,
                                OpFoldResult kernels) {
  std::optional<int64_t> length, count;
  if (input[1] && taps) {
    length = getConstantIntValue(input[1]);
    count = getConstantIntValue(taps);
  }
  if (form == Form::Fft && length && count) {
    // Input and result have a real transform each, of half the operations of a complex one.
    double size = *length + *count, transform = 2.5 * size * std::log2(std::max(size, 2.0));
    addWork(terms, WorkTerm::Class::Arithmetic, 2 * transform + 3 * size, {input[0], input[2]});
    addWork(terms, WorkTerm::Class::Arithmetic, transform, {kernels});
    return;
  }
  // As many coefficients as positions: half of them lie before the first position.
  double met = taps == input[1] ? 0.5 : 1;
  if (length && count && *length > 0)
    met = *count <= *length ? 1 - (*count - 1) / (2.0 * *length) : (*length + 1) / (2.0 * *count);
  addWork(terms, WorkTerm::Class::Fma, 2 * met, {input[0], input[1], input[2], taps});
}

SmallVector<Form> ToeplitzOp::getForms() { return {Form::Quadratic, Form::Fft}; }

/// One multiply-add per result element and coefficient or input that it meets, or transforms.
SmallVector<WorkTerm> ToeplitzOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  SmallVector<OpFoldResult> input = getExtents(getInput(), extent);
  OpFoldResult taps = extent(getCoeffs(), 0), one = Builder(getContext()).getIndexAttr(1);
  if (isCausal() || getForm() == Form::Fft) {
    addConvolutionWork(terms, getForm(), input, taps,
                       hasChannelCoeffs() ? extent(getCoeffs(), 1) : one);
    return terms;
  }
  SmallVector<OpFoldResult> loops = getExtents(getResult(), extent);
  loops.push_back(input[1]);
  addWork(terms, WorkTerm::Class::Fma, 2, loops);
  return terms;
}

SmallVector<OpFoldResult> ToeplitzOp::getParallelExtents(ExtentOf extent) {
  return getExtents(getResult(), extent);
}
