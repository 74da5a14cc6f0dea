#include "attune/codegen/cpu/RowwisePlan.h"

#include "attune/codegen/cpu/Lanes.h"
#include "attune/codegen/cpu/RowwiseExpand.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::codegen {

bool isView(Operation *op) {
  return isa<linalg::TransposeOp, linalg::BroadcastOp, tensor::CastOp, tensor::ExpandShapeOp,
             tensor::CollapseShapeOp, tensor::ConcatOp, tensor::ExtractSliceOp, tensor::PadOp>(op);
}

OperandRange viewSources(Operation *op) {
  if (auto concat = dyn_cast<tensor::ConcatOp>(op))
    return concat.getInputs();
  return op->getOperands().take_front(1);
}

/// Elements beyond the source are one scalar that the region gives.
static bool isSupportedPad(tensor::PadOp pad, const Sizes &sizes) {
  Value value = pad.getConstantPaddingValue();
  if (!value)
    return false;
  for (OpFoldResult low : pad.getMixedLowPad())
    if (!sizes.of(low))
      return false;
  return value.getDefiningOp<arith::ConstantOp>() || sizes.of(value);
}

bool isAxisPreserving(Operation *op) {
  return isa<linalg::TransposeOp, linalg::BroadcastOp, tensor::CastOp>(op);
}

bool isUniform(Value tensor) {
  Operation *op = tensor.getDefiningOp();
  if (auto constant = dyn_cast_or_null<arith::ConstantOp>(op)) {
    auto elements = dyn_cast<DenseElementsAttr>(constant.getValue());
    return elements && elements.isSplat();
  }
  return isa_and_nonnull<linalg::FillOp, tensor::SplatOp>(op);
}

bool isComputed(Operation *op) {
  return isa<linalg::LinalgOp>(op) && !isView(op) && !isa<linalg::FillOp>(op);
}

static bool hasScalarElements(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return true;
  Type element = tensor.getElementType();
  if (!element.isIntOrFloat())
    return false;
  unsigned bits = element.getIntOrFloatBitWidth();
  return element.isInteger(1) || bits == 8 || bits == 16 || bits == 32 || bits == 64;
}

static bool isSupportedComputed(linalg::LinalgOp op, const Sizes &sizes) {
  if (!op.hasPureTensorSemantics() || op->getNumRegions() != 1 ||
      !Lanes::supports(*op.getBlock(), sizes))
    return false;
  for (auto [number, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    if (op.getNumReductionLoops() == 0 ? !map.isPermutation() : !map.isProjectedPermutation())
      return false;
    if (op.getNumReductionLoops() != 0 && !Reduction::match(op, number))
      return false;
  }
  auto isPureAffine = [](AffineMap map) {
    return llvm::all_of(map.getResults(), [](AffineExpr expr) {
      bool divides = false;
      expr.walk([&](AffineExpr inner) {
        divides |= llvm::is_contained(
            {AffineExprKind::FloorDiv, AffineExprKind::CeilDiv, AffineExprKind::Mod},
            inner.getKind());
      });
      return !divides && expr.isPureAffine();
    });
  };
  return llvm::all_of(op.getIndexingMapsArray(), isPureAffine);
}

bool RowwisePlan::prepare(KernelOp original) {
  for (Operation &op : original.getBody().front()) {
    bool known = isa<arith::ArithDialect>(op.getDialect()) || isa<NormOp, linalg::SoftmaxOp>(op) ||
                 isa<linalg::LinalgOp>(op) || isView(&op) ||
                 isa<tensor::EmptyOp, tensor::DimOp, tensor::InsertSliceOp, tensor::SplatOp>(op) ||
                 op.getName().getDialectNamespace() == "affine" || isa<YieldOp>(op);
    if (!known || !llvm::all_of(op.getResultTypes(), hasScalarElements))
      return false;
  }
  if (!llvm::all_of(original.getInputs().getTypes(), hasScalarElements))
    return false;
  std::tie(module, kernel) = copyKernel(original);
  if (failed(expandRowOperators(kernel)))
    return false;
  sizes = std::make_unique<Sizes>(kernel);
  return true;
}

bool RowwisePlan::collect() {
  for (auto [number, value] : llvm::enumerate(kernel.getYield().getValues())) {
    std::optional<SmallVector<Placement>> parts = writeViews(*sizes, value);
    if (!parts)
      return false;
    for (Placement &part : *parts)
      placements.push_back({number, part});
  }
  if (placements.empty())
    return false;
  SmallVector<Value> open;
  for (auto &[number, place] : placements)
    open.push_back(place.value);
  llvm::SmallPtrSet<Operation *, 16> seen;
  while (!open.empty()) {
    Operation *op = open.pop_back_val().getDefiningOp();
    if (!op || !seen.insert(op).second)
      continue;
    if (isComputed(op)) {
      if (!isSupportedComputed(cast<linalg::LinalgOp>(op), *sizes))
        return false;
      open.append(op->operand_begin(), op->operand_end());
    } else if (isView(op)) {
      if (auto pad = dyn_cast<tensor::PadOp>(op); pad && !isSupportedPad(pad, *sizes))
        return false;
      for (Value source : viewSources(op))
        open.push_back(source);
    } else if (!isUniform(op->getResult(0)) && !isa<tensor::EmptyOp>(op)) {
      return false;
    }
  }
  for (Operation &op : kernel.getBody().front())
    if (seen.contains(&op))
      live.insert(&op);
  for (Operation *op : live)
    if (isView(op) && !isAxisPreserving(op)) {
      std::optional<View> view = readView(*sizes, op->getResult(0));
      reshapesInside |= !view || !sizes->inputNumber(view->root);
    }
  return true;
}

static int64_t lanesFor(KernelOp kernel, ArrayRef<Operation *> live, const CpuTarget &target) {
  unsigned narrowest = 64;
  auto note = [&](Type type) {
    Type element = getElementTypeOrSelf(type);
    if (isa<FloatType>(element))
      narrowest = std::min(narrowest, std::max(32u, element.getIntOrFloatBitWidth()));
  };
  bool floats = false;
  for (Operation *op : live)
    for (Type type : op->getResultTypes()) {
      note(type);
      floats |= isa<FloatType>(getElementTypeOrSelf(type));
    }
  for (Type type : kernel.getInputs().getTypes())
    note(type);
  return target.lanes(floats ? narrowest : 32);
}

std::unique_ptr<RowwisePlan> RowwisePlan::make(KernelOp original, const CpuTarget &target) {
  auto plan = std::make_unique<RowwisePlan>();
  if (!plan->prepare(original) || !plan->collect() || !plan->findClasses())
    return nullptr;
  plan->lanes = lanesFor(plan->kernel, plan->live.getArrayRef(), target);
  plan->foldAxes();
  plan->chooseLane();
  plan->chooseRows();
  if (!plan->chooseRoots())
    return nullptr;
  return plan;
}

} // namespace attune::codegen
