#include "attune/passes/rewrite/Projections.h"
#include "attune/passes/fuse/ConstantData.h"
#include "attune/passes/raise/Match.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune {

static bool isView(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp, linalg::TransposeOp>(
      op);
}

/// An operator that would be computed as the product's tiles are stored.
static bool isElementwise(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return linalgOp && linalgOp.getNumLoops() == linalgOp.getNumParallelLoops();
}

static void readUses(Value value, Projection &projection) {
  SmallVector<Operation *> users;
  for (Operation *user : value.getUsers())
    if (!isa<tensor::DimOp>(user))
      users.push_back(user);
  for (Operation *user : users) {
    if (isa<func::ReturnOp>(user))
      projection.returned = true;
    else if (isView(user))
      readUses(user->getResult(0), projection);
    else if (users.size() == 1 && isElementwise(user))
      projection.fused = true;
  }
}

/// The constant that a body adds to argument `own`: a tensor's element or a number.
static Value addend(linalg::GenericOp add, unsigned own) {
  auto sum = add.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!sum)
    return {};
  Value product = add.getBody()->getArgument(own);
  return sum.getLhs() == product ? sum.getRhs() : sum.getRhs() == product ? sum.getLhs() : Value();
}

/// `product + constant of the column` as the only use.
static void readBias(Projection &projection) {
  Value product = projection.product.op->getResult(0);
  auto add = product.hasOneUse() ? dyn_cast<linalg::GenericOp>(*product.user_begin()) : nullptr;
  if (!add || add.getNumLoops() != add.getNumParallelLoops() || add->getNumResults() != 1 ||
      add.getResult(0).getType() != product.getType())
    return;
  OpOperand &use = *product.use_begin();
  AffineMap result = add.getIndexingMapMatchingResult(add->getResult(0));
  if (!add.isDpsInput(&use) || !add.getMatchingIndexingMap(&use).isIdentity() ||
      !result.isIdentity())
    return;
  Value shift = addend(add, use.getOperandNumber());
  FloatAttr number;
  if (shift && matchPattern(shift, m_Constant(&number))) {
    projection.bias = add;
    projection.shift = {static_cast<float>(number.getValueAsDouble())};
    return;
  }
  auto arg = dyn_cast_or_null<BlockArgument>(shift);
  if (!arg || arg.getOwner() != add.getBody())
    return;
  OpOperand *operand = add.getMatchingOpOperand(arg);
  auto type = dyn_cast<RankedTensorType>(operand->get().getType());
  ConstantData data(operand->get());
  if (!type || !type.getElementType().isF32() || !data ||
      type.getNumElements() != projection.columns)
    return;
  // The only axis that varies is the column's.
  AffineMap own = projection.product.maps[2];
  for (auto [axis, expr] : llvm::enumerate(add.getMatchingIndexingMap(operand).getResults())) {
    if (type.getDimSize(axis) == 1)
      continue;
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (!loop || own.getDimPosition(loop.getPosition()) != projection.product.n)
      return;
  }
  projection.bias = add;
  llvm::append_range(projection.shift, data.as<float>());
}

std::optional<Projection> matchProjection(linalg::ContractOp op) {
  std::optional<WeightedContraction> product = matchWeightedContraction(op);
  if (!product || !isZeroTensor(op.getOutputs()[0]))
    return std::nullopt;
  Projection projection;
  projection.product = *product;
  auto weight = cast<RankedTensorType>(op->getOperand(product->side).getType());
  ArrayRef<AffineMap> maps = projection.product.maps;
  AffineMap left = projection.leftMap = maps[1 - product->side];
  auto isF32 = [](Value tensor) { return getElementTypeOrSelf(tensor.getType()).isF32(); };
  if (!isF32(projection.left()) || !isF32(op->getOperand(product->side)) ||
      !isF32(op->getResult(0)) || !left.isProjectedPermutation() ||
      !maps[2].isProjectedPermutation() || left.getNumResults() + 1 != left.getNumDims() ||
      maps[2].getNumResults() + 1 != left.getNumDims() || weight.getNumElements() == 0 ||
      !(isF32(product->weight.stored) ||
        getElementTypeOrSelf(product->weight.stored).isInteger(8)) ||
      !ConstantData(product->weight.stored) ||
      (product->weight.scale &&
       (!isF32(product->weight.scale) || !ConstantData(product->weight.scale))))
    return std::nullopt;
  projection.columns = weight.getDimSize(product->transposed ? 0 : 1);
  MLIRContext *context = op.getContext();
  SmallVector<AffineExpr> loops(left.getNumDims(), getAffineDimExpr(left.getNumResults(), context));
  for (unsigned axis = 0; axis < left.getNumResults(); ++axis)
    loops[left.getDimPosition(axis)] = getAffineDimExpr(axis, context);
  projection.resultMap =
      maps[2].replaceDimsAndSymbols(loops, {}, left.getNumDims(), /*numResultSyms=*/0);
  readBias(projection);
  readUses(projection.result(), projection);
  return projection;
}

bool belongTogether(const Projection &a, const Projection &b) {
  return a.left() == b.left() && a.resultMap == b.resultMap && a.depthAxis() == b.depthAxis() &&
         getElementTypeOrSelf(a.product.weight.stored) ==
             getElementTypeOrSelf(b.product.weight.stored) &&
         bool(a.product.weight.scale) == bool(b.product.weight.scale);
}

} // namespace attune
