#include "attune/codegen/cpu/Scope.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune::codegen {

std::optional<int64_t> Sizes::inputNumber(Value value) const {
  auto arg = dyn_cast<BlockArgument>(value);
  KernelOp op = kernel;
  if (!arg || arg.getOwner() != &op.getBody().front() ||
      arg.getArgNumber() >= op.getInputs().size())
    return std::nullopt;
  return arg.getArgNumber();
}

MaybeSize Sizes::of(OpFoldResult index) const {
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return Size(*constant);
  if (auto value = dyn_cast<Value>(index))
    return of(value);
  return std::nullopt;
}

MaybeSize Sizes::of(Value index) const {
  auto it = memo.find(index);
  if (it != memo.end())
    return it->second;
  MaybeSize size = compute(index);
  memo[index] = size;
  return size;
}

bool Sizes::isScalarCode(Value value) const {
  if (isa<ShapedType>(value.getType()))
    return false;
  KernelOp op = kernel;
  if (auto arg = dyn_cast<BlockArgument>(value))
    return arg.getOwner() == &op.getBody().front();
  Operation *producer = value.getDefiningOp();
  if (auto dim = dyn_cast<tensor::DimOp>(producer))
    return dim.getConstantIndex() && extent(dim.getSource(), *dim.getConstantIndex());
  if (!isa<arith::ArithDialect, affine::AffineDialect>(producer->getDialect()) ||
      producer->getNumRegions() != 0)
    return false;
  return llvm::all_of(producer->getOperands(), [&](Value v) { return isScalarCode(v); });
}

/// An affine expression as a polynomial, if it is one.
static MaybeSize polynomial(AffineExpr expr, ArrayRef<MaybeSize> dims,
                            ArrayRef<MaybeSize> symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return Size(constant.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return symbols[symbol.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(expr);
  MaybeSize x = polynomial(binary.getLHS(), dims, symbols);
  MaybeSize y = polynomial(binary.getRHS(), dims, symbols);
  if (!x || !y)
    return std::nullopt;
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return *x + *y;
  case AffineExprKind::Mul:
    return *x * *y;
  case AffineExprKind::FloorDiv:
  case AffineExprKind::CeilDiv:
    return x->dividedBy(*y);
  default:
    return std::nullopt;
  }
}

MaybeSize Sizes::compute(Value index) const {
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return Size(*constant);
  Operation *op = index.getDefiningOp();
  if (!op)
    return isScalarCode(index) ? MaybeSize(Size::atom(index)) : std::nullopt;
  auto operand = [&](unsigned i) { return of(op->getOperand(i)); };
  if (auto dim = dyn_cast<tensor::DimOp>(op))
    return dim.getConstantIndex() ? extent(dim.getSource(), *dim.getConstantIndex()) : std::nullopt;
  if (!isScalarCode(index))
    return std::nullopt;
  MaybeSize size;
  if (isa<arith::IndexCastOp>(op) && op->getOperand(0).getType().isIndex())
    return index.getType().isInteger(64) ? operand(0) : Size::atom(index);
  if (index.getType().isIndex() || index.getType().isInteger(64)) {
    if (isa<arith::AddIOp>(op))
      size = *operand(0) + *operand(1);
    else if (isa<arith::SubIOp>(op))
      size = *operand(0) - *operand(1);
    else if (isa<arith::MulIOp>(op))
      size = *operand(0) * *operand(1);
    else if (isa<arith::DivSIOp, arith::DivUIOp, arith::FloorDivSIOp, arith::CeilDivSIOp>(op))
      size = operand(0)->dividedBy(*operand(1));
    else if (isa<arith::IndexCastOp>(op) && op->getOperand(0).getType().isInteger(64))
      size = operand(0);
  }
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
    SmallVector<MaybeSize> values;
    for (Value value : apply.getMapOperands())
      values.push_back(of(value));
    AffineMap map = apply.getAffineMap();
    ArrayRef<MaybeSize> all(values);
    size = polynomial(map.getResult(0), all.take_front(map.getNumDims()),
                      all.drop_front(map.getNumDims()));
  }
  return size ? size : Size::atom(index);
}

/// Axes of views: what they take from their source.
static MaybeSize extentOf(const Sizes &sizes, tensor::CollapseShapeOp op, int64_t axis) {
  Size size(1);
  SmallVector<ReassociationIndices> groups = op.getReassociationIndices();
  for (int64_t source : groups[axis]) {
    MaybeSize factor = sizes.extent(op.getSrc(), source);
    if (!factor)
      return std::nullopt;
    size = size * *factor;
  }
  return size;
}

static MaybeSize extentOf(const Sizes &sizes, tensor::ExtractSliceOp op, int64_t axis) {
  llvm::SmallBitVector dropped = op.getDroppedDims();
  int64_t position = -1;
  for (unsigned i = 0; i < dropped.size(); ++i)
    if (!dropped[i] && ++position == axis)
      return sizes.of(op.getMixedSizes()[i]);
  return std::nullopt;
}

static MaybeSize extentOf(const Sizes &sizes, tensor::PadOp op, int64_t axis) {
  MaybeSize low = sizes.of(op.getMixedLowPad()[axis]), high = sizes.of(op.getMixedHighPad()[axis]);
  MaybeSize source = sizes.extent(op.getSource(), axis);
  return low && high && source ? MaybeSize(*low + *high + *source) : std::nullopt;
}

static MaybeSize extentOf(const Sizes &sizes, tensor::ConcatOp op, int64_t axis) {
  Size sum(0);
  for (Value input : op.getInputs()) {
    MaybeSize size = sizes.extent(input, axis);
    if (static_cast<int64_t>(op.getDim()) != axis && size)
      return size;
    if (!size)
      return std::nullopt;
    sum = sum + *size;
  }
  return sum;
}

static MaybeSize extentOf(const Sizes &sizes, AttentionOp op, OpResult result, int64_t axis) {
  if (axis < 3)
    return sizes.extent(op.getQuery() ? op.getQuery() : op.getScores(), axis);
  return sizes.extent(op.getValue(), result == op.getResult() ? 3 : 2);
}

static MaybeSize extentOf(const Sizes &sizes, LinearAttentionOp op, OpResult result, int64_t axis) {
  bool isRows = result == op.getResult();
  if (axis < 2)
    return sizes.extent(isRows ? op.getQuery() : op.getKey(), axis);
  if (axis == 3)
    return sizes.extent(op.getValue(), 3);
  if (isRows)
    return sizes.extent(op.getQuery(), 2);
  MaybeSize depth = sizes.extent(op.getKey(), 3), terms = Size(1);
  if (op.getKeyPos())
    terms = sizes.extent(op.getKeyPos(), 0);
  return depth && terms ? MaybeSize(*depth * *terms) : std::nullopt;
}

static MaybeSize extentOf(const Sizes &sizes, EmaOp op, OpResult result, int64_t axis) {
  if (result == op.getResult())
    return sizes.extent(op.getInput(), axis);
  return axis == 2 ? sizes.extent(op.getDecay(), 1) : sizes.extent(op.getInput(), axis * 2);
}

static MaybeSize inputExtent(const Sizes &sizes, int64_t number, int64_t axis) {
  KernelOp owner = sizes.kernel;
  int64_t position = 0;
  for (int64_t i = 0; i < number; ++i)
    position += cast<RankedTensorType>(owner.getInputs()[i].getType()).getNumDynamicDims();
  auto type = cast<RankedTensorType>(owner.getInputs()[number].getType());
  int64_t dim = owner.getInputDims()[position + type.getDynamicDimIndex(axis)];
  return sizes.of(owner.getBody().getArgument(owner.getInputs().size() + dim));
}

MaybeSize Sizes::extent(Value tensor, int64_t axis) const {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(axis))
    return Size(type.getDimSize(axis));
  if (std::optional<int64_t> number = inputNumber(tensor))
    return inputExtent(*this, *number, axis);
  auto result = dyn_cast<OpResult>(tensor);
  if (!result)
    return std::nullopt;
  auto yielded = [&] { return yieldedExtent(result, axis); };
  return llvm::TypeSwitch<Operation *, MaybeSize>(result.getOwner())
      .Case([&](tensor::EmptyOp op) { return of(op.getDynamicSize(axis)); })
      .Case([&](tensor::CastOp op) { return extent(op.getSource(), axis); })
      .Case([&](tensor::ExpandShapeOp op) { return of(op.getMixedOutputShape()[axis]); })
      .Case([&](tensor::InsertSliceOp op) { return extent(op.getDest(), axis); })
      .Case<tensor::CollapseShapeOp, tensor::ExtractSliceOp, tensor::PadOp, tensor::ConcatOp>(
          [&](auto op) { return extentOf(*this, op, axis); })
      .Case([&](tensor::GenerateOp op) {
        return of(op.getDynamicExtents()[type.getDynamicDimIndex(axis)]);
      })
      .Case([&](tensor::SplatOp op) {
        return of(op.getDynamicSizes()[type.getDynamicDimIndex(axis)]);
      })
      .Case([&](DestinationStyleOpInterface op) {
        return extent(op.getTiedOpOperand(result)->get(), axis);
      })
      .Case<AttentionOp, LinearAttentionOp, EmaOp>(
          [&](auto op) { return extentOf(*this, op, result, axis); })
      .Case<NormOp, ScanOp>([&](auto op) {
        return result.getResultNumber() == 0 ? extent(op->getOperand(0), axis) : yielded();
      })
      .Case([&](ContractOp op) { return extent(op.getInit(), axis); })
      .Case([&](ToeplitzOp op) {
        return axis != 1 || op.isCausal() ? extent(op.getInput(), axis) : yielded();
      })
      .Case([&](DftOp op) {
        return axis != static_cast<int64_t>(op.getAxis()) ? extent(op.getInput(), axis) : yielded();
      })
      .Default([&](Operation *) { return yielded(); });
}

/// What the kernel says about its own results.
MaybeSize Sizes::yieldedExtent(OpResult result, int64_t axis) const {
  KernelOp owner = kernel;
  int64_t position = 0;
  for (Value yielded : owner.getBody().front().getTerminator()->getOperands()) {
    auto type = cast<RankedTensorType>(yielded.getType());
    if (yielded == result) {
      Value dim = owner.getResultDims()[position + type.getDynamicDimIndex(axis)];
      int64_t number = llvm::find(owner.getDims(), dim) - owner.getDims().begin();
      return of(owner.getBody().getArgument(owner.getInputs().size() + number));
    }
    position += type.getNumDynamicDims();
  }
  return std::nullopt;
}

std::optional<SmallVector<Size>> Sizes::extents(Value tensor) const {
  SmallVector<Size> result;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis) {
    MaybeSize size = extent(tensor, axis);
    if (!size)
      return std::nullopt;
    result.push_back(*size);
  }
  return result;
}

std::optional<SmallVector<Size>> Sizes::rowMajor(Value tensor) const {
  std::optional<SmallVector<Size>> sizes = extents(tensor);
  if (!sizes)
    return std::nullopt;
  return rowMajorStrides(*sizes);
}

} // namespace attune::codegen
