#include "attune/codegen/cost/IndexValue.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

IndexValue::IndexValue(KernelOp kernel, ArrayRef<int64_t> dims) : resolver(kernel) {
  Builder builder(kernel.getContext());
  for (auto [argument, value] : llvm::zip(kernel.getDimArgs(), dims))
    known[argument] = builder.getIndexAttr(value);
}

Attribute IndexValue::evaluate(Value value) {
  auto [place, fresh] = known.try_emplace(value);
  if (!fresh)
    return place->second;
  Operation *op = value.getDefiningOp();
  Attribute result;
  if (auto dim = dyn_cast_or_null<tensor::DimOp>(op)) {
    if (std::optional<int64_t> axis = dim.getConstantIndex())
      result = Builder(value.getContext()).getIndexAttr(extent(dim.getSource(), *axis));
  } else if (op && op->getNumRegions() == 0 && !isa<ShapedType>(value.getType())) {
    SmallVector<Attribute> operands =
        llvm::map_to_vector(op->getOperands(), [&](Value operand) -> Attribute {
          return isa<ShapedType>(operand.getType()) ? Attribute() : evaluate(operand);
        });
    SmallVector<OpFoldResult> folded;
    // A fold that returns nothing may have changed the operator in place: as good as before.
    if (succeeded(op->fold(operands, folded)) && !folded.empty()) {
      OpFoldResult found = folded[cast<OpResult>(value).getResultNumber()];
      auto other = dyn_cast<Value>(found);
      result = other ? evaluate(other) : cast<Attribute>(found);
    }
  }
  return known[value] = result;
}

int64_t IndexValue::operator()(Value value) {
  auto integer = dyn_cast_or_null<IntegerAttr>(evaluate(value));
  return integer ? integer.getInt() : 1;
}

int64_t IndexValue::operator()(OpFoldResult value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return *constant;
  auto dynamic = dyn_cast_or_null<Value>(value);
  return dynamic ? (*this)(dynamic) : 1;
}

int64_t IndexValue::extent(Value tensor, int64_t axis) {
  auto type = cast<RankedTensorType>(tensor.getType());
  return type.isDynamicDim(axis) ? (*this)(resolver.get(tensor, axis)) : type.getDimSize(axis);
}

int64_t IndexValue::elements(Value tensor) {
  int64_t count = 1;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis)
    count *= extent(tensor, axis);
  return count;
}

} // namespace attune::codegen
