#include "attune/dialect/ops/Lowering.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace attune;

LogicalResult ScanOp::verify() {
  int64_t axis = getAxis(), rank = getInputType().getRank();
  if (axis < 0 || axis >= rank)
    return emitOpError("axis must be in [0, ") << rank << "), found " << axis;
  if (!getInputType().getElementType().isIntOrFloat())
    return emitOpError("elements must be integers or floats, found ")
           << getInputType().getElementType();
  return success();
}

namespace {

/// A loop over the axis that carries the running value of every other position.
class ScanLowering : Lowering {
public:
  ScanLowering(ScanOp op, OpBuilder &builder)
      : Lowering(builder, op.getLoc()), scan(op), type(op.getInputType()), axis(op.getAxis()) {
    element = type.getElementType();
    state = isa<FloatType>(element) ? Type(getDefaultAccum(op.getInput())) : element;
  }
  Value run();

private:
  struct Slice {
    Shape offsets, sizes, strides;
    RankedTensorType type;
  };
  Slice at(Value step);
  Value convert(Value value, Type to) {
    return isa<FloatType>(to) ? cast(value, llvm::cast<FloatType>(to)) : value;
  }
  Value combine(Value running, Value term);
  Value advance(Value running, Value terms);
  Value write(Value result, const Slice &slice, Value running);

  ScanOp scan;
  RankedTensorType type;
  int64_t axis;
  Type element, state;
  Shape shape;
};

} // namespace

ScanLowering::Slice ScanLowering::at(Value step) {
  Slice slice{Shape(shape.size(), builder.getIndexAttr(0)),
              shape,
              Shape(shape.size(), builder.getIndexAttr(1)),
              {}};
  slice.offsets[axis] = step;
  slice.sizes[axis] = builder.getIndexAttr(1);
  SmallVector<int64_t> extents(type.getShape());
  extents.erase(extents.begin() + axis);
  slice.type = type.clone(extents);
  return slice;
}

Value ScanLowering::combine(Value running, Value term) {
  bool sum = scan.getKind() == ScanKind::Sum;
  if (isa<FloatType>(state))
    return sum ? op<arith::AddFOp>(running, term) : op<arith::MulFOp>(running, term);
  return sum ? op<arith::AddIOp>(running, term) : op<arith::MulIOp>(running, term);
}

Value ScanLowering::advance(Value running, Value terms) {
  AffineMap full = prefix(shape.size() - 1, shape.size() - 1);
  return accumulate(terms, full, running, full,
                    [&](ValueRange args) { return combine(args[1], convert(args[0], state)); });
}

/// Stores the running values in a slice of the result, in place once buffers are assigned.
Value ScanLowering::write(Value result, const Slice &slice, Value running) {
  AffineMap full = prefix(shape.size() - 1, shape.size() - 1);
  Value old =
      op<tensor::ExtractSliceOp>(slice.type, result, slice.offsets, slice.sizes, slice.strides);
  Value values = accumulate(running, full, old, full,
                            [&](ValueRange args) { return convert(args[0], element); });
  return op<tensor::InsertSliceOp>(values, result, slice.offsets, slice.sizes, slice.strides);
}

Value ScanLowering::run() {
  shape = sizes(scan.getInput());
  Shape rows(shape);
  rows.erase(rows.begin() + axis);
  Value neutral = constant(state, scan.getKind() == ScanKind::Sum ? 0 : 1);
  Value result = op<tensor::EmptyOp>(shape, element), extent = index(shape[axis]);
  auto loop = scf::ForOp::create(
      builder, loc, index(int64_t(0)), extent, index(1), ValueRange{fill(rows, neutral), result},
      [&](OpBuilder &, Location, Value step, ValueRange carried) {
        if (scan.getReverse())
          step = op<arith::SubIOp>(op<arith::SubIOp>(extent, index(1)), step);
        Slice slice = at(step);
        Value terms = op<tensor::ExtractSliceOp>(slice.type, scan.getInput(), slice.offsets,
                                                 slice.sizes, slice.strides);
        Value running = carried[0], out = carried[1];
        if (scan.getExclusive())
          out = write(out, slice, running);
        running = advance(running, terms);
        if (!scan.getExclusive())
          out = write(out, slice, running);
        scf::YieldOp::create(builder, loc, {running, out});
      });
  return loop.getResult(1);
}

FailureOr<SmallVector<Value>> ScanOp::decompose(OpBuilder &builder) {
  return SmallVector<Value>{ScanLowering(*this, builder).run()};
}

LogicalResult ScanOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  dims.push_back(tensor::getMixedSizes(builder, getLoc(), getInput()));
  return success();
}

SmallVector<WorkTerm> ScanOp::getWork(ExtentOf extent) {
  SmallVector<WorkTerm> terms;
  addWork(terms, WorkTerm::Class::Arithmetic, 1, getExtents(getInput(), extent));
  return terms;
}

SmallVector<OpFoldResult> ScanOp::getParallelExtents(ExtentOf extent) {
  SmallVector<OpFoldResult> extents = getExtents(getInput(), extent);
  extents.erase(extents.begin() + getAxis());
  return extents;
}

Value ScanOp::buildRows(OpBuilder &builder, int64_t axis, OpFoldResult offset, OpFoldResult count) {
  if (axis == static_cast<int64_t>(getAxis()))
    return {};
  Value input = sliceAxis(builder, getInput(), axis, offset, count);
  return ScanOp::create(builder, getLoc(), input, getKind(), getAxis(), getExclusive(),
                        getReverse());
}
