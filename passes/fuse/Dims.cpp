#include "attune/passes/fuse/Dims.h"

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune {

DimResolver::DimResolver(func::FuncOp func) : block(&func.getBody().front()), func(func) {}

DimResolver::DimResolver(KernelOp kernel) : block(&kernel.getBody().front()) {
  auto next = kernel.getInputDims().begin();
  for (auto [number, input] : llvm::enumerate(kernel.getInputs())) {
    auto type = cast<RankedTensorType>(input.getType());
    for (int64_t axis = 0; axis < type.getRank(); ++axis)
      if (type.isDynamicDim(axis))
        known[{block->getArgument(number), axis}] =
            Value(block->getArgument(kernel.getInputs().size() + *next++));
  }
}

OpFoldResult DimResolver::get(Value tensor, int64_t axis) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(axis))
    return IntegerAttr::get(IndexType::get(tensor.getContext()), type.getDimSize(axis));
  auto [entry, fresh] = known.try_emplace({tensor, axis});
  if (!fresh)
    return entry->second;
  OpFoldResult extent;
  if (auto arg = dyn_cast<BlockArgument>(tensor))
    extent = argument(arg, axis);
  else
    extent = result(cast<OpResult>(tensor), axis);
  return known[{tensor, axis}] = extent;
}

FailureOr<SmallVector<Value>> DimResolver::dynamicExtents(Value tensor) {
  SmallVector<Value> values;
  auto type = cast<RankedTensorType>(tensor.getType());
  for (int64_t axis = 0; axis < type.getRank(); ++axis) {
    if (!type.isDynamicDim(axis))
      continue;
    OpFoldResult extent = get(tensor, axis);
    if (!extent)
      return failure();
    if (auto value = dyn_cast<Value>(extent)) {
      values.push_back(value);
      continue;
    }
    OpBuilder builder = OpBuilder::atBlockBegin(block);
    values.push_back(
        arith::ConstantIndexOp::create(builder, tensor.getLoc(), *getConstantIntValue(extent)));
  }
  return values;
}

void DimResolver::forwardResults(ValueRange from, ValueRange to) {
  for (auto [old, fresh] : llvm::zip(from, to))
    for (int64_t axis = 0; axis < cast<RankedTensorType>(old.getType()).getRank(); ++axis)
      if (auto it = known.find({old, axis}); it != known.end()) {
        OpFoldResult extent = it->second;
        known.erase(it);
        known[{fresh, axis}] = extent;
      }
}

void DimResolver::forget(Operation *op) {
  for (Value result : op->getResults())
    if (auto type = dyn_cast<RankedTensorType>(result.getType()))
      for (int64_t axis = 0; axis < type.getRank(); ++axis)
        known.erase({result, axis});
}

OpFoldResult DimResolver::argument(BlockArgument arg, int64_t axis) {
  OpBuilder builder = OpBuilder::atBlockBegin(block);
  auto make = [&]() -> Value { return tensor::DimOp::create(builder, arg.getLoc(), arg, axis); };
  auto names = func.getArgAttrOfType<ArrayAttr>(arg.getArgNumber(), kDimsAttr);
  StringRef symbol = names ? cast<StringAttr>(names[axis]).getValue() : StringRef();
  if (symbol.empty())
    return make();
  Value &value = symbols[symbol];
  if (!value)
    value = make();
  return value;
}

/// Replaces the `tensor.dim`s that an index value is computed from by resolved extents.
Value DimResolver::resolved(Value index) {
  Operation *op = index.getDefiningOp();
  if (!op || op->getBlock() != block)
    return index;
  if (auto dim = dyn_cast<tensor::DimOp>(op)) {
    std::optional<int64_t> axis = dim.getConstantIndex();
    if (!axis)
      return index;
    OpFoldResult extent = get(dim.getSource(), *axis);
    if (!extent)
      return {};
    OpBuilder builder(op);
    return getValueOrCreateConstantIndexOp(builder, op->getLoc(), extent);
  }
  if (!isa<arith::ArithDialect, affine::AffineDialect>(op->getDialect()))
    return index;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!operand.get().getType().isIndex())
      continue;
    Value value = resolved(operand.get());
    if (!value)
      return {};
    operand.set(value);
  }
  return index;
}

OpFoldResult DimResolver::result(OpResult value, int64_t axis) {
  Operation *op = value.getOwner();
  OpBuilder builder(op);
  OpFoldResult extent;
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return get(cast.getSource(), axis);
  if (isa<ReifyRankedShapedTypeOpInterface>(op)) {
    FailureOr<OpFoldResult> reified =
        mlir::reifyDimOfResult(builder, op, value.getResultNumber(), axis);
    if (succeeded(reified))
      extent = *reified;
  }
  if (!extent) {
    op->emitError("cannot tell the extent of axis ") << axis << " of its result";
    return {};
  }
  if (auto index = dyn_cast<Value>(extent)) {
    Value value = resolved(index);
    if (!value)
      return {};
    if (std::optional<int64_t> constant = getConstantIntValue(value))
      return builder.getIndexAttr(*constant);
    return value;
  }
  return extent;
}

} // namespace attune
