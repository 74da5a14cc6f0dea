#include "attune/dialect/ops/Support.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"

using namespace mlir;
using namespace attune;

FloatType attune::getDefaultAccum(Value value) {
  MLIRContext *context = value.getContext();
  if (getElementTypeOrSelf(value).isF64())
    return Float64Type::get(context);
  return Float32Type::get(context);
}

void attune::refineShapes(OpBuilder &builder, Operation *op, ReifiedRankedShapedTypeDims &dims) {
  for (auto [type, shape] : llvm::zip_equal(op->getResultTypes(), dims))
    for (auto [extent, dim] : llvm::zip_equal(cast<RankedTensorType>(type).getShape(), shape))
      if (ShapedType::isStatic(extent))
        dim = builder.getIndexAttr(extent);
}

Value attune::sliceAxis(OpBuilder &builder, Value tensor, int64_t axis, OpFoldResult offset,
                        OpFoldResult count) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, tensor.getLoc(), tensor);
  SmallVector<OpFoldResult> offsets(sizes.size(), builder.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(sizes.size(), builder.getIndexAttr(1));
  offsets[axis] = offset;
  sizes[axis] = count;
  return tensor::ExtractSliceOp::create(builder, tensor.getLoc(), tensor, offsets, sizes, strides);
}

RankedTensorType attune::withExtent(Type type, int64_t axis, OpFoldResult count) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  shape[axis] = getConstantIntValue(count).value_or(ShapedType::kDynamic);
  return tensor.clone(shape);
}

//===-- Verification --------------------------------------------------------------------------===//

LogicalResult ShapeChecker::check(StringRef name, Value value, StringRef symbols) {
  if (!value)
    return success();
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() != static_cast<int64_t>(symbols.size()))
    return op->emitOpError() << name << " must have rank " << symbols.size() << ", found "
                             << type.getRank();
  for (auto [symbol, extent] : llvm::zip_equal(symbols, type.getShape())) {
    if (ShapedType::isDynamic(extent))
      continue;
    auto [known, isNew] = extents.try_emplace(symbol, extent, name);
    if (!isNew && known->second.first != extent)
      return op->emitOpError() << name << " has extent " << extent << " where "
                               << known->second.second << " has " << known->second.first;
  }
  return success();
}

LogicalResult ShapeChecker::require(char symbol, int64_t extent, StringRef name, StringRef from) {
  std::optional<int64_t> known = get(symbol);
  if (known && *known != extent)
    return op->emitOpError() << name << " must have extent " << from << " = " << extent
                             << ", found " << *known;
  return success();
}

std::optional<int64_t> ShapeChecker::get(char symbol) {
  auto known = extents.find(symbol);
  return known == extents.end() ? std::nullopt : std::optional(known->second.first);
}

LogicalResult attune::verifyFloats(Operation *op, ArrayRef<NamedValue> values) {
  for (auto [name, value] : values)
    if (value && !isa<FloatType>(getElementTypeOrSelf(value)))
      return op->emitOpError() << name << " must have float elements, found "
                               << getElementTypeOrSelf(value);
  return success();
}

LogicalResult attune::verifyHeadGroups(Operation *op, std::optional<int64_t> heads,
                                       std::optional<int64_t> kvHeads) {
  if (heads && kvHeads && (*kvHeads == 0 ? *heads != 0 : *heads % *kvHeads != 0))
    return op->emitOpError() << "number of query heads (" << *heads
                             << ") must be a multiple of the number of key heads (" << *kvHeads
                             << ")";
  return success();
}

static bool isAllowedInRegion(Operation &op) {
  if (!op.getDialect() || op.getNumRegions())
    return false;
  StringRef dialect = op.getDialect()->getNamespace();
  return dialect == "arith" || dialect == "math" || dialect == "index" ||
         isa<YieldOp, tensor::ExtractOp, tensor::DimOp, affine::AffineApplyOp>(op);
}

LogicalResult attune::verifyScalarRegion(Operation *op, StringRef name, Region &region,
                                         TypeRange args, Type yielded) {
  if (region.empty())
    return success();
  if (TypeRange(region.getArgumentTypes()) != args)
    return op->emitOpError() << name << " region expects arguments (" << args << "), found ("
                             << region.getArgumentTypes() << ")";
  for (Operation &inner : region.front())
    if (!isAllowedInRegion(inner))
      return inner.emitOpError() << "is not allowed in the " << name << " region of "
                                 << op->getName();
  auto yield = dyn_cast<YieldOp>(region.front().getTerminator());
  if (!yield || yield.getValues().getTypes() != TypeRange(yielded))
    return op->emitOpError() << name << " region must yield one value of type " << yielded;
  return success();
}
