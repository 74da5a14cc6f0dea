#include "attune/codegen/halide/Support.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

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

/// Functions that OpenCL C has by that name.
bool isDeviceOp(Operation &op) { return !getDeviceFunction(op).empty(); }

llvm::Error refuse(Operation &op, const llvm::Twine &what) {
  return llvm::createStringError("`" + op.getName().getStringRef() + "` " + what);
}

llvm::Error checkBody(linalg::GenericOp op, bool onDevice) {
  if (op->getNumResults() != 1 && op.getNumReductionLoops() != 0)
    return refuse(*op, "is a reduction with several results");
  for (AffineMap map : op.getIndexingMapsArray())
    if (map.getNumSymbols() != 0)
      return refuse(*op, "has symbols in its indexing maps");
  for (OpOperand &init : op.getDpsInitsMutable())
    if (!op.getMatchingIndexingMap(&init).isProjectedPermutation())
      return refuse(*op, "writes to computed places");
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
      if (!onDevice && !isa<BlockArgument>(extract.getTensor()))
        return refuse(inner, "gathers from a computed tensor");
      continue;
    }
    if (!isa<linalg::IndexOp>(inner) && !isScalarOp(inner) && !(onDevice && isDeviceOp(inner)))
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

llvm::Error checkOp(Operation &op, bool onDevice) {
  for (Type type : op.getResultTypes())
    if (!isSupported(type))
      return refuse(op, "makes a type that is not translated");
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return checkBody(generic, onDevice);
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
          tensor::EmptyOp, tensor::FromElementsOp, tensor::DimOp>(op))
    return llvm::Error::success();
  return refuse(op, "is not translated");
}

} // namespace

llvm::StringRef getDeviceFunction(Operation &op) {
  return llvm::TypeSwitch<Operation *, llvm::StringRef>(&op)
      .Case<math::AcosOp>([](auto) { return "acos"; })
      .Case<math::AcoshOp>([](auto) { return "acosh"; })
      .Case<math::AsinOp>([](auto) { return "asin"; })
      .Case<math::AsinhOp>([](auto) { return "asinh"; })
      .Case<math::AtanOp>([](auto) { return "atan"; })
      .Case<math::AtanhOp>([](auto) { return "atanh"; })
      .Case<math::Atan2Op>([](auto) { return "atan2"; })
      .Case<math::CbrtOp>([](auto) { return "cbrt"; })
      .Case<math::CoshOp>([](auto) { return "cosh"; })
      .Case<math::ErfcOp>([](auto) { return "erfc"; })
      .Case<math::Exp2Op>([](auto) { return "exp2"; })
      .Case<math::ExpM1Op>([](auto) { return "expm1"; })
      .Case<math::Log10Op>([](auto) { return "log10"; })
      .Case<math::Log1pOp>([](auto) { return "log1p"; })
      .Case<math::Log2Op>([](auto) { return "log2"; })
      .Case<math::RoundOp>([](auto) { return "round"; })
      .Case<math::SinhOp>([](auto) { return "sinh"; })
      .Case<math::TanOp>([](auto) { return "tan"; })
      .Default([](Operation *) { return ""; });
}

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

/// OpenCL C has them as an extension only, which PoCL lacks.
static llvm::Error checkNoHalfFloats(const Region &region) {
  auto isHalf = [](Type type) {
    Type element = getElementTypeOrSelf(type);
    return element.isF16() || element.isBF16();
  };
  for (BlockArgument argument : region.arguments())
    if (isHalf(argument.getType()))
      return llvm::createStringError("an input has 16-bit floats");
  WalkResult walk = mlir::func::FuncOp(region.func).walk([&](Operation *op) {
    return llvm::any_of(op->getResultTypes(), isHalf) ? WalkResult::interrupt()
                                                      : WalkResult::advance();
  });
  return walk.wasInterrupted() ? llvm::createStringError("16-bit floats are not translated")
                               : llvm::Error::success();
}

llvm::Error checkSupported(const Region &region) {
  if (region.onDevice)
    if (llvm::Error error = checkNoHalfFloats(region))
      return error;
  for (BlockArgument argument : region.arguments())
    if (!isSupported(argument.getType()))
      return llvm::createStringError("an input has a type that is not translated");
  for (Operation &op : region.body().without_terminator())
    if (llvm::Error error = checkOp(op, region.onDevice))
      return error;
  Operation *terminator = region.body().getTerminator();
  llvm::SmallPtrSet<Value, 4> seen;
  for (Value result : terminator->getOperands())
    if (isa<BlockArgument>(result) || !seen.insert(result).second)
      return llvm::createStringError("a result is an input or another result");
  return llvm::Error::success();
}

} // namespace attune::codegen::halide
