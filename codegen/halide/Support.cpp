#include "attune/codegen/halide/Support.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

bool isSupported(Type type) {
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    type = tensor.getElementType();
  if (auto integer = dyn_cast<IntegerType>(type))
    return llvm::is_contained({1u, 8u, 16u, 32u, 64u}, integer.getWidth());
  return type.isIndex() || type.isF16() || type.isBF16() || type.isF32() || type.isF64();
}

bool isScalarOp(Operation &op) {
  return isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp, arith::NegFOp,
             arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp, arith::MinNumFOp,
             arith::CmpFOp, arith::CmpIOp, arith::SelectOp, arith::AddIOp, arith::SubIOp,
             arith::MulIOp, arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp,
             arith::FloorDivSIOp, arith::AndIOp, arith::OrIOp, arith::XOrIOp, arith::ShLIOp,
             arith::ShRSIOp, arith::ShRUIOp, arith::MaxSIOp, arith::MinSIOp, arith::MaxUIOp,
             arith::MinUIOp, arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp, arith::SIToFPOp,
             arith::UIToFPOp, arith::FPToSIOp, arith::FPToUIOp, arith::ExtFOp, arith::TruncFOp,
             arith::BitcastOp, arith::IndexCastOp, arith::IndexCastUIOp, arith::ConstantOp,
             math::ExpOp, math::LogOp, math::SqrtOp, math::RsqrtOp, math::TanhOp, math::ErfOp,
             math::SinOp, math::CosOp, math::PowFOp, math::AbsFOp, math::AbsIOp, math::FloorOp,
             math::CeilOp, math::RoundEvenOp, math::TruncOp, math::FmaOp, math::CopySignOp,
             affine::AffineApplyOp, affine::AffineMinOp, affine::AffineMaxOp>(op);
}

llvm::Error refuse(Operation &op, const llvm::Twine &what) {
  return llvm::createStringError("`" + op.getName().getStringRef() + "` " + what);
}

llvm::Error checkBody(linalg::GenericOp op) {
  for (AffineMap map : op.getIndexingMapsArray())
    if (map.getNumSymbols() != 0)
      return refuse(*op, "has symbols in its indexing maps");
  for (OpOperand &init : op.getDpsInitsMutable())
    if (!op.getMatchingIndexingMap(&init).isProjectedPermutation())
      return refuse(*op, "writes to computed places");
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
      if (!isa<BlockArgument>(extract.getTensor()))
        return refuse(inner, "gathers from a computed tensor");
      continue;
    }
    if (!isa<linalg::IndexOp>(inner) && !isScalarOp(inner))
      return refuse(inner, "in a region is not translated");
    for (Type type : inner.getResultTypes())
      if (!isSupported(type))
        return refuse(inner, "makes a type that is not translated");
  }
  return llvm::Error::success();
}

bool isSplat(Operation &op) {
  SplatElementsAttr splat;
  auto constant = dyn_cast<arith::ConstantOp>(op);
  return constant && (!isa<ShapedType>(constant.getType()) ||
                      matchPattern(constant.getResult(), m_Constant(&splat)));
}

llvm::Error checkOp(Operation &op) {
  for (Type type : op.getResultTypes())
    if (!isSupported(type))
      return refuse(op, "makes a type that is not translated");
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return checkBody(generic);
  if (auto pad = dyn_cast<tensor::PadOp>(op)) {
    if (!pad.getConstantPaddingValue())
      return refuse(op, "pads with computed values");
    return llvm::Error::success();
  }
  if (auto slice = dyn_cast<OffsetSizeAndStrideOpInterface>(op)) {
    bool unit = llvm::all_of(slice.getMixedStrides(), isOneInteger);
    if (isa<tensor::InsertSliceOp>(op) && !unit)
      return refuse(op, "has strides");
    return isa<tensor::InsertSliceOp, tensor::ExtractSliceOp>(op) ? llvm::Error::success()
                                                                  : refuse(op, "is not translated");
  }
  if (isa<arith::ConstantOp>(op))
    return isSplat(op) ? llvm::Error::success() : refuse(op, "is a table of different values");
  bool scalar = llvm::all_of(op.getResultTypes(), [](Type type) { return !isa<ShapedType>(type); });
  if ((scalar && isScalarOp(op)) ||
      isa<linalg::FillOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
          tensor::EmptyOp, tensor::DimOp>(op))
    return llvm::Error::success();
  return refuse(op, "is not translated");
}

} // namespace

Operation *getCombiner(linalg::GenericOp op) {
  if (op.getNumDpsInits() != 1)
    return nullptr;
  BlockArgument old = op.getBody()->getArguments().back();
  Operation *last = op.getBody()->getTerminator()->getOperand(0).getDefiningOp();
  if (!last || !old.hasOneUse() || *old.user_begin() != last ||
      !isa<arith::AddFOp, arith::MulFOp, arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp,
           arith::MinNumFOp, arith::AddIOp, arith::MulIOp, arith::MaxSIOp, arith::MinSIOp,
           arith::MaxUIOp, arith::MinUIOp, arith::AndIOp, arith::OrIOp, arith::XOrIOp>(last))
    return nullptr;
  return last;
}

llvm::Error checkSupported(const Region &region) {
  for (BlockArgument argument : region.arguments())
    if (!isSupported(argument.getType()))
      return llvm::createStringError("an input has a type that is not translated");
  for (Operation &op : region.body().without_terminator())
    if (llvm::Error error = checkOp(op))
      return error;
  Operation *terminator = region.body().getTerminator();
  llvm::SmallPtrSet<Value, 4> seen;
  for (Value result : terminator->getOperands())
    if (isa<BlockArgument>(result) || !seen.insert(result).second)
      return llvm::createStringError("a result is an input or another result");
  return llvm::Error::success();
}

} // namespace attune::codegen::halide
