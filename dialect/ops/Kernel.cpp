#include "attune/dialect/Attune.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace attune;

void KernelOp::build(OpBuilder &builder, OperationState &state, TypeRange results,
                     ValueRange inputs, ValueRange dims, ValueRange resultDims,
                     ArrayRef<int64_t> inputDims) {
  build(builder, state, results, inputs, dims, resultDims, inputDims, StringAttr(), StringAttr(),
        StringAttr(), StringAttr());
  OpBuilder::InsertionGuard guard(builder);
  SmallVector<Type> types(inputs.getTypes());
  llvm::append_range(types, dims.getTypes());
  SmallVector<Location> locs(types.size(), state.location);
  builder.createBlock(state.regions.front().get(), {}, types, locs);
}

YieldOp KernelOp::getYield() { return cast<YieldOp>(getBody().front().getTerminator()); }

LogicalResult KernelOp::verify() {
  int64_t inputDynamic = 0;
  for (Type type : getInputs().getTypes())
    inputDynamic += cast<RankedTensorType>(type).getNumDynamicDims();
  if (inputDynamic != static_cast<int64_t>(getInputDims().size()))
    return emitOpError("inputs have ")
           << inputDynamic << " dynamic extents, input_dims gives " << getInputDims().size();
  for (int64_t dim : getInputDims())
    if (dim < 0 || dim >= static_cast<int64_t>(getDims().size()))
      return emitOpError("input_dims names dim ") << dim << " of " << getDims().size();
  int64_t dynamic = 0;
  for (Type type : getResultTypes())
    dynamic += cast<RankedTensorType>(type).getNumDynamicDims();
  if (dynamic != static_cast<int64_t>(getResultDims().size()))
    return emitOpError("results have ")
           << dynamic << " dynamic extents, result_dims gives " << getResultDims().size();
  return success();
}

LogicalResult KernelOp::verifyRegions() {
  Block &body = getBody().front();
  if (body.getNumArguments() != getInputs().size() + getDims().size())
    return emitOpError("expects one block argument per input and dim (")
           << getInputs().size() + getDims().size() << "), found " << body.getNumArguments();
  for (auto [index, arg] : llvm::enumerate(body.getArguments())) {
    Type type =
        index < getInputs().size() ? getInputs()[index].getType() : IndexType::get(getContext());
    if (arg.getType() != type)
      return emitOpError("block argument ")
             << index << " has type " << arg.getType() << ", its operand " << type;
  }
  auto yield = dyn_cast<YieldOp>(body.getTerminator());
  if (!yield)
    return emitOpError("region must end in attune.yield");
  if (yield->getOperandTypes() != getResultTypes())
    return emitOpError("yields types that differ from its results");
  return success();
}

LogicalResult KernelOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &dims) {
  auto next = getResultDims().begin();
  for (Type type : getResultTypes()) {
    SmallVector<OpFoldResult> shape;
    for (int64_t extent : cast<RankedTensorType>(type).getShape())
      shape.push_back(ShapedType::isDynamic(extent) ? OpFoldResult(*next++)
                                                    : builder.getIndexAttr(extent));
    dims.push_back(std::move(shape));
  }
  return success();
}
