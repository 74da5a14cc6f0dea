#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace attune;

LogicalResult DftOp::verify() {
  RankedTensorType input = getInputType();
  auto result = cast<RankedTensorType>(getResult().getType());
  if (!isa<FloatType>(input.getElementType()) || !isa<FloatType>(result.getElementType()))
    return emitOpError("input and result must have float elements");
  int64_t axis = getAxis(), rank = input.getRank();
  if (axis < 0 || axis >= rank - 1)
    return emitOpError("axis must be in [0, rank - 1) = [0, ") << rank - 1 << "), found " << axis;
  int64_t parts = input.getShape().back();
  if (parts != 1 && parts != 2)
    return emitOpError("last extent of the input must be 1 (real) or 2 (complex), found ") << input;
  if (getOnesided() && !getInverse() && parts != 1)
    return emitOpError("onesided needs a real input, found ") << input;
  if (getOnesided() && getInverse() && parts != 2)
    return emitOpError("onesided, inverse needs a complex input, found ") << input;
  SmallVector<int64_t> shape(input.getShape());
  shape[axis] = ShapedType::kDynamic;
  shape.back() = getOnesided() && getInverse() ? 1 : 2;
  if (failed(verifyCompatibleShape(shape, result.getShape())))
    return emitOpError("result type does not fit: expected shape ")
           << RankedTensorType::get(shape, result.getElementType()) << ", found " << result;
  return success();
}

namespace {

/// The sum of the definition, with twiddle factors from a table of one turn.
class DftLowering : Lowering {
public:
  DftLowering(DftOp op, OpBuilder &builder)
      : Lowering(builder, op.getLoc()), dft(op), accum(getDefaultAccum(op.getInput())),
        axis(op.getAxis()), rank(op.getInputType().getRank()) {
    complexToReal = op.getOnesided() && op.getInverse();
  }
  Value run(ArrayRef<OpFoldResult> resultShape);

private:
  Value table(bool sine);
  Value part(int64_t number);
  Value term(Value real, Value imaginary);

  DftOp dft;
  FloatType accum;
  int64_t axis, rank;
  bool complexToReal;
  Value length, cosines, sines;
};

} // namespace

/// cos or sin of 2 pi t / L for t < L.
Value DftLowering::table(bool sine) {
  FloatType exact = builder.getF64Type();
  return elementwise({}, {}, getAsOpFoldResult(length), accum, [&](ValueRange) {
    Value turn = op<arith::DivFOp>(toFloat(loop(0), exact), toFloat(length, exact));
    Value angle = op<arith::MulFOp>(turn, constant(exact, 2 * M_PI));
    return cast(sine ? op<math::SinOp>(angle) : op<math::CosOp>(angle), accum);
  });
}

/// Real (0) or imaginary (1) part of the samples that count, without the last axis.
Value DftLowering::part(int64_t number) {
  RankedTensorType type = dft.getInputType();
  if (number >= type.getShape().back())
    return {};
  Value used = length;
  if (complexToReal)
    used = op<arith::AddIOp>(op<arith::ShRUIOp>(length, index(1)), index(1));
  Shape sizes = this->sizes(dft.getInput());
  sizes[axis] = getAsOpFoldResult(op<arith::MinUIOp>(index(sizes[axis]), used));
  sizes.back() = builder.getIndexAttr(1);
  Shape offsets(rank, builder.getIndexAttr(0)), strides(rank, builder.getIndexAttr(1));
  offsets.back() = builder.getIndexAttr(number);
  SmallVector<int64_t> extents(type.getShape());
  extents[axis] = getConstantIntValue(sizes[axis]).value_or(ShapedType::kDynamic);
  extents.back() = 1;
  // Not a slice that drops the axis: which one it dropped would be ambiguous beside others of 1.
  Value slice =
      op<tensor::ExtractSliceOp>(type.clone(extents), dft.getInput(), offsets, sizes, strides);
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0; i < rank - 1; ++i)
    groups.push_back({i});
  groups.back().push_back(rank - 1);
  return op<tensor::CollapseShapeOp>(slice, groups);
}

/// Contribution of one sample to the part of the result that the current iteration computes.
/// Loops: those of the result, then the samples.
Value DftLowering::term(Value real, Value imaginary) {
  Value sample = loop(rank), zero = index(int64_t(0));
  Value position = op<arith::RemUIOp>(op<arith::MulIOp>(loop(axis), sample), length);
  Value cosine = op<tensor::ExtractOp>(cosines, position);
  Value sine = op<tensor::ExtractOp>(sines, position);
  if (!dft.getInverse())
    sine = op<arith::NegFOp>(sine);
  auto times = [&](Value lhs, Value rhs) { return op<arith::MulFOp>(lhs, rhs); };
  Value re = times(real, cosine), im = times(real, sine);
  if (imaginary) {
    re = op<arith::SubFOp>(re, times(imaginary, sine));
    im = op<arith::AddFOp>(im, times(imaginary, cosine));
  }
  if (!complexToReal)
    return select(compare(arith::CmpIPredicate::eq, loop(rank - 1), zero), re, im);
  // Every sample but the first and, for even lengths, the middle one stands for its conjugate too.
  Value twice = op<arith::RemUIOp>(op<arith::AddIOp>(sample, sample), length);
  Value single = compare(arith::CmpIPredicate::eq, twice, zero);
  return select(single, re, op<arith::AddFOp>(re, re));
}

Value DftLowering::run(ArrayRef<OpFoldResult> resultShape) {
  length = dft.getLength();
  cosines = table(false);
  sines = table(true);
  SmallVector<Value> inputs{part(0)};
  if (Value imaginary = part(1))
    inputs.push_back(imaginary);
  SmallVector<AffineExpr> exprs;
  for (int64_t loop = 0; loop < rank - 1; ++loop)
    exprs.push_back(d(loop == axis ? rank : loop));
  SmallVector<AffineMap> maps(inputs.size(), map(rank + 1, exprs));
  Value init = fill(resultShape, constant(accum, 0));
  Value sum = accumulate(inputs, maps, init, prefix(rank + 1, rank), [&](ValueRange args) {
    Value imaginary = args.size() == 3 ? cast(args[1], accum) : Value();
    return op<arith::AddFOp>(args.back(), term(cast(args[0], accum), imaginary));
  });
  auto type = llvm::cast<RankedTensorType>(dft.getResult().getType());
  auto element = llvm::cast<FloatType>(type.getElementType());
  Value scale = toFloat(length, accum);
  Value result = elementwise(sum, prefix(rank, rank), resultShape, element, [&](ValueRange args) {
    Value value = dft.getInverse() ? op<arith::DivFOp>(args[0], scale) : args[0];
    return cast(value, element);
  });
  return castTo(result, type);
}

FailureOr<SmallVector<Value>> DftOp::decompose(OpBuilder &builder) {
  ReifiedRankedShapedTypeDims dims;
  if (failed(reifyResultShapes(builder, dims)))
    return failure();
  return SmallVector<Value>{DftLowering(*this, builder).run(dims.front())};
}

LogicalResult DftOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  Location loc = getLoc();
  dims.push_back(tensor::getMixedSizes(builder, loc, getInput()));
  SmallVector<OpFoldResult> &shape = dims.back();
  Value extent = getLength();
  if (getOnesided() && !getInverse()) {
    Value one = arith::ConstantIndexOp::create(builder, loc, 1);
    Value half = arith::ShRUIOp::create(builder, loc, extent, one);
    extent = arith::AddIOp::create(builder, loc, half, one);
  }
  shape[getAxis()] = getAsOpFoldResult(extent);
  shape.back() = builder.getIndexAttr(getOnesided() && getInverse() ? 1 : 2);
  refineShapes(builder, getOperation(), dims);
  return success();
}

/// The sum of the definition: one multiply-add per sample and part, for a real or complex sample.
SmallVector<WorkTerm> DftOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  SmallVector<OpFoldResult> loops = getExtents(getResult(), extent);
  loops.push_back(extent(getInput(), getAxis()));
  addWork(terms, WorkTerm::Class::Fma, 2.0 * getInputType().getShape().back(), loops);
  // Two tables of twiddle factors, of one turn each.
  OpFoldResult turn = getOnesided() && !getInverse() ? extent(getInput(), getAxis())
                                                     : extent(getResult(), getAxis());
  addWork(terms, WorkTerm::Class::Transcendental, 2, turn);
  return terms;
}
