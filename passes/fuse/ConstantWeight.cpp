#include "attune/passes/fuse/ConstantWeight.h"

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

static bool isConstant(Value value) { return matchPattern(value, m_Constant()); }

/// The tensor that a body value of an elementwise generic is read from, or null.
static OpOperand *readFrom(Value value, linalg::GenericOp op) {
  auto arg = dyn_cast<BlockArgument>(value);
  return arg && arg.getOwner() == op.getBody() ? op.getMatchingOpOperand(arg) : nullptr;
}

/// generic(sitofp q [, * scale]) on constants, in one op or two.
static std::optional<ConstantWeight> matchDequantised(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumParallelLoops() != 2 || op.getNumLoops() != 2 ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  Value result = op.getBody()->getTerminator()->getOperand(0);
  Value scaleArg;
  if (auto mul = result.getDefiningOp<arith::MulFOp>()) {
    bool first = readFrom(mul.getLhs(), op) && isConstant(readFrom(mul.getLhs(), op)->get());
    scaleArg = first ? mul.getLhs() : mul.getRhs();
    result = first ? mul.getRhs() : mul.getLhs();
  }
  ConstantWeight weight;
  if (auto cast = result.getDefiningOp<arith::SIToFPOp>()) {
    OpOperand *stored = readFrom(cast.getIn(), op);
    if (!stored || !isConstant(stored->get()) || !op.getMatchingIndexingMap(stored).isIdentity() ||
        !cast.getIn().getType().isInteger(8) || !cast.getType().isF32())
      return std::nullopt;
    weight.stored = stored->get();
  } else if (OpOperand *inner = readFrom(result, op); inner && scaleArg) {
    std::optional<ConstantWeight> nested = matchDequantised(inner->get());
    if (!nested || nested->scale || !op.getMatchingIndexingMap(inner).isIdentity())
      return std::nullopt;
    weight = *nested;
  } else {
    return std::nullopt;
  }
  if (!scaleArg)
    return weight;
  OpOperand *scale = readFrom(scaleArg, op);
  if (!scale || !isConstant(scale->get()))
    return std::nullopt;
  weight.scale = scale->get();
  for (auto [axis, expr] : llvm::enumerate(op.getMatchingIndexingMap(scale).getResults())) {
    if (cast<RankedTensorType>(weight.scale.getType()).getDimSize(axis) == 1)
      continue;
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim || weight.scaleAxis >= 0)
      return std::nullopt;
    weight.scaleAxis = dim.getPosition();
  }
  return weight;
}

std::optional<ConstantWeight> matchConstantWeight(Value matrix) {
  if (isConstant(matrix))
    return ConstantWeight{matrix, {}};
  return matchDequantised(matrix);
}

std::optional<WeightedContraction> matchWeightedContraction(Operation *op) {
  SmallVector<AffineMap> maps;
  if (auto contract = dyn_cast<linalg::ContractOp>(op))
    maps = contract.getIndexingMapsArray();
  else if (auto contract = dyn_cast<ContractOp>(op); contract && !contract.isShift())
    maps = contract.getMaps();
  else
    return std::nullopt;
  FailureOr<linalg::ContractionDimensions> dims = linalg::inferContractionDims(maps);
  if (failed(dims) || !dims->batch.empty() || dims->k.size() != 1)
    return std::nullopt;
  for (unsigned side : {1u, 0u}) {
    auto type = cast<RankedTensorType>(op->getOperand(side).getType());
    ArrayRef<unsigned> columns = side == 1 ? dims->n : dims->m;
    if (type.getRank() != 2 || columns.size() != 1 || !type.hasStaticShape())
      continue;
    AffineMap map = maps[side];
    if (!map.isProjectedPermutation())
      continue;
    bool transposed = map.getDimPosition(0) == columns[0];
    std::optional<ConstantWeight> weight = matchConstantWeight(op->getOperand(side));
    if (weight && (weight->scaleAxis < 0 || weight->scaleAxis == (transposed ? 0 : 1)))
      return WeightedContraction{op, maps, side, dims->k[0], columns[0], transposed, *weight};
  }
  return std::nullopt;
}

} // namespace attune
