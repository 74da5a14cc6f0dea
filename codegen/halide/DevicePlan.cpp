#include "attune/codegen/halide/DevicePlan.h"

#include "attune/codegen/halide/Access.h"
#include "attune/codegen/halide/Support.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

/// Of a register tile: enough to read operands less often than they are used, few enough for the
/// registers of any device.
constexpr int64_t kRows = 4, kColumns = 4;

bool isTensor(Value value) { return isa<RankedTensorType>(value.getType()); }
ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

class DevicePlanner {
public:
  explicit DevicePlanner(const Region &region) : region(region) {}

  Plan run() {
    plan.onDevice = true;
    for (Operation &op : region.body().without_terminator())
      for (Value result : op.getResults())
        if (isTensor(result))
          plan.stages[result].reduction = reductionOf(result) ? Reduction::Tile : Reduction::None;
    for (Value result : region.body().getTerminator()->getOperands())
      plan.stages[result].place = Place::Root;
    for (auto &[value, stage] : llvm::reverse(plan.stages))
      place(value, stage);
    for (auto &[value, stage] : plan.stages) {
      stage.wide = hasVectorForm(value);
      if (stage.place == Place::Root)
        plan.roots[value];
    }
    return std::move(plan);
  }

private:
  const Region &region;
  Plan plan;

  /// How often an element of a value is evaluated.
  struct Need {
    unsigned uses = 0;
    bool repeated = false;
  };
  llvm::DenseMap<Value, Need> needs;

  static linalg::GenericOp reductionOf(Value value) {
    auto op = value.getDefiningOp<linalg::GenericOp>();
    return op && op.getNumReductionLoops() != 0 ? op : nullptr;
  }

  /// Users come first: what they need of `value` is known.
  void place(Value value, Stage &stage) {
    Operation *op = value.getDefiningOp();
    Need need = needs.lookup(value);
    if (linalg::GenericOp sum = reductionOf(value))
      placeReduction(sum, value, stage);
    else if (stage.place != Place::Root && (need.repeated || need.uses > 1) && isExpensive(op))
      stage.place = Place::Root;
    bool passesOn = stage.place == Place::Inline && stage.reduction == Reduction::None;
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isTensor(operand.get()))
        continue;
      Need &source = needs[operand.get()];
      source.uses += passesOn ? std::max(1u, need.uses) : 1;
      source.repeated |= getAccess(operand).repeated || (passesOn && need.repeated);
    }
    op->walk([&](tensor::ExtractOp extract) { needs[extract.getTensor()].repeated = true; });
  }

  /// Halide has no vectors of the results of float comparisons for OpenCL C.
  bool hasVectorForm(Value value) {
    Operation *op = value.getDefiningOp();
    if (isa<tensor::PadOp, tensor::InsertSliceOp>(op))
      return false;
    WalkResult walk = op->walk([](Operation *inner) {
      bool compares = isa<arith::CmpFOp, arith::SelectOp, arith::MaximumFOp, arith::MinimumFOp,
                          arith::MaxNumFOp, arith::MinNumFOp, tensor::ExtractOp>(inner) ||
                      isa<math::MathDialect>(inner->getDialect());
      return compares ? WalkResult::interrupt() : WalkResult::advance();
    });
    return !walk.wasInterrupted() && llvm::all_of(op->getOperands(), [&](Value operand) {
      auto source = plan.stages.find(operand);
      return source == plan.stages.end() || source->second.place == Place::Root ||
             source->second.wide;
    });
  }

  /// A sum lives in the work items of the one root that uses it element by element, else it is a
  /// root itself.
  void placeReduction(linalg::GenericOp op, Value value, Stage &stage) {
    Value host = value;
    while (plan.stages[host].place != Place::Root && host.hasOneUse()) {
      OpOperand &use = *host.use_begin();
      auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
      if (!user || user.getNumReductionLoops() != 0 || user->getNumResults() != 1 ||
          !user.getMatchingIndexingMap(&use).isIdentity() ||
          !user.getMatchingIndexingMap(user.getDpsInitOperand(0)).isIdentity())
        break;
      host = user->getResult(0);
    }
    Stage &end = plan.stages[host];
    if (host != value && (end.place != Place::Root || end.host)) {
      host = value;
      stage.place = Place::Root;
    } else if (host == value) {
      stage.place = Place::Root;
    }
    stage.host = host;
    setTile(op, value, stage);
    Stage &place = plan.stages[host];
    place.host = host;
    place.rowAxis = stage.rowAxis;
    place.rows = stage.rows;
    place.vectors = stage.vectors;
    place.exact = stage.exact;
    plan.clampsInputs |= !stage.exact;
  }

  /// Rows and columns of which operands are shared: a column operand that goes with the last axis
  /// and not with the rows.
  void setTile(linalg::GenericOp op, Value value, Stage &stage) {
    ArrayRef<int64_t> shape = shapeOf(value);
    int64_t last = static_cast<int64_t>(shape.size()) - 1;
    if (last < 1)
      return;
    AffineMap out = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    auto loopOf = [&](int64_t axis) {
      return cast<AffineDimExpr>(out.getResult(axis)).getPosition();
    };
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(input);
      if (map.getNumResults() == 0 || !map.getResults().back().isFunctionOfDim(loopOf(last)))
        continue;
      for (int64_t axis = 0; axis < last; ++axis)
        if (!map.isFunctionOfDim(loopOf(axis)) && shape[axis] != 1)
          stage.rowAxis = axis;
    }
    if (stage.rowAxis < 0 || shape[last] == 1)
      return;
    auto fit = [](int64_t extent, int64_t most) {
      while (!ShapedType::isDynamic(extent) && most > extent)
        most /= 2;
      return most;
    };
    stage.rows = fit(shape[stage.rowAxis], kRows);
    stage.vectors = fit(shape[last], kColumns);
    auto divides = [&](int64_t axis, int64_t tile) {
      return !ShapedType::isDynamic(shape[axis]) && shape[axis] % tile == 0;
    };
    stage.exact = divides(stage.rowAxis, stage.rows) && divides(last, stage.vectors);
  }
};

} // namespace

llvm::Expected<Plan> makeDevicePlan(const Region &region) {
  if (llvm::Error error = checkSupported(region))
    return std::move(error);
  return DevicePlanner(region).run();
}

} // namespace attune::codegen::halide
