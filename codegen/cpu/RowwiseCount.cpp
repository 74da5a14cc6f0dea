#include "attune/codegen/cpu/RowwiseCount.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen {
namespace {

/// Vector instructions that an operator of a body becomes (MathPolynomials.h).
double lengthOf(Operation &op) {
  constexpr double kDivision = 8, kExponential = 14, kQuotient = 22, kLogarithm = 30, kOther = 30;
  if (isa<arith::ConstantOp, linalg::IndexOp, tensor::ExtractOp>(op) ||
      llvm::all_of(op.getResultTypes(), [](Type type) { return type.isIndex(); }))
    return 0;
  if (isa<math::RsqrtOp>(op))
    return 2 * kDivision;
  if (isa<math::SqrtOp, arith::DivFOp>(op))
    return kDivision;
  if (isa<math::AbsFOp, math::FmaOp, math::FloorOp, math::CeilOp, math::RoundEvenOp,
          math::CopySignOp>(op))
    return 1;
  if (isa<math::ExpOp, math::Exp2Op>(op))
    return kExponential;
  if (isa<math::TanhOp, math::ErfOp>(op))
    return kQuotient;
  if (isa<math::LogOp, math::Log2Op, math::Log10Op>(op))
    return kLogarithm;
  return isa<math::MathDialect>(op.getDialect()) ? kOther : 1;
}

/// The part of a second-level access's time by which an element whose line was lost takes longer
/// than one whose line is there, in elements.
constexpr double kLost = 5;

/// Counts the points of one stage.
class StageCounter {
public:
  StageCounter(RowwisePlan &plan, Stage &stage, llvm::function_ref<double(const Size &)> valueOf)
      : plan(plan), stage(stage), valueOf(valueOf) {
    for (Root &root : stage.roots)
      if (root.kind != Root::Store)
        own.insert(root.value);
    for (Root &root : stage.roots)
      count(root);
  }

  double perVector = 0;  ///< instructions
  double once = 0;       ///< instructions that are the same for all lanes
  double perElement = 0; ///< elements moved one by one

private:
  bool varies(Value value) {
    for (int64_t axis = 0; axis < cast<RankedTensorType>(value.getType()).getRank(); ++axis)
      if (plan.classOf(value, axis) == stage.lane)
        return true;
    return false;
  }
  void add(bool lanes, double instructions) { (lanes ? perVector : once) += instructions; }

  void count(Root &root) {
    bool lanes = root.kind == Root::Reduce ? !stage.scalar() : varies(root.value);
    if (root.kind == Root::Reduce) {
      auto op = root.value.getDefiningOp<linalg::LinalgOp>();
      countBody(op, lanes);
    } else {
      visit(root.value, lanes);
    }
    bool perLane = root.kind != Root::Reduce || !stage.laneReduced;
    if (root.kept)
      add(lanes && perLane, 1);
    for (int number : root.placements) {
      const Placement &place = plan.placements[number].second;
      move(lanes && perLane, place.value, place.strides);
    }
  }

  /// A load or a store of elements that lie `strides` apart.
  void move(bool lanes, Value value, ArrayRef<Size> strides) {
    Size stride(0);
    for (auto [axis, step] : llvm::enumerate(strides))
      if (plan.classOf(value, axis) == stage.lane)
        stride = stride + step;
    move(lanes && !stage.scalar(), value, stride);
  }

  /// A load or a store of elements whose lanes lie `stride` apart.
  void move(bool lanes, Value value, const Size &stride) {
    if (!lanes || stride.is(0))
      return add(false, 1);
    if (stride.is(1))
      return add(true, 1);
    unsigned bits = getElementTypeOrSelf(value.getType()).getIntOrFloatBitWidth();
    perElement += lost(std::abs(valueOf(stride)) * ((bits + 7) / 8)) ? kLost : 1;
  }

  bool lost(double apart) { return losesLines(apart, laneExtent()); }
  double laneExtent() {
    double extent = valueOf(plan.extents.at(stage.lane));
    return stage.lane == plan.lane && plan.laneBlock ? std::min<double>(extent, plan.laneBlock)
                                                     : extent;
  }

  void visit(Value value, bool lanes) {
    if (!seen.insert(value).second || isUniform(value))
      return;
    Operation *op = value.getDefiningOp();
    if (plan.kept.contains(value) && !own.contains(value))
      return add(lanes && varies(value), 1);
    std::optional<View> view = readView(*plan.sizes, value);
    if (view && plan.sizes->inputNumber(view->root))
      return move(lanes && varies(value), value, view->strides);
    if (!op)
      return;
    if (isView(op)) {
      // Parts of concatenations and pads are chosen by their place.
      constexpr double kChoice = 3;
      if (isa<tensor::ConcatOp, tensor::PadOp>(op))
        add(lanes, kChoice * viewSources(op).size());
      for (Value source : viewSources(op))
        visit(source, lanes);
      return;
    }
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    // Sums of a stage before are one value for the whole row, unless they are kept.
    if (linalgOp && linalgOp.getNumReductionLoops() == 0)
      countBody(linalgOp, lanes && varies(value));
  }

  void countBody(linalg::LinalgOp op, bool lanes) {
    for (Operation &inner : op.getBlock()->without_terminator()) {
      add(lanes, lengthOf(inner));
      if (auto extract = dyn_cast<tensor::ExtractOp>(inner))
        countExtract(op, extract, lanes);
    }
    for (Value input : op.getDpsInputs())
      visit(input, lanes);
  }

  /// Rows of a table lie along the lanes, or every lane reads a row of its own.
  void countExtract(linalg::LinalgOp op, tensor::ExtractOp extract, bool lanes) {
    // The number of a row is checked, made positive and turned into an address.
    constexpr double kAddress = 8;
    add(false, kAddress);
    RowwiseAccess access = plan.accessOf(op, extract);
    if (!lanes || !access.scattered.contains(stage.lane))
      return move(lanes, extract.getTensor(), access.stride(stage.lane));
    add(true, kAddress);
    perElement += lost(0) ? kLost : 1;
  }

  RowwisePlan &plan;
  Stage &stage;
  llvm::function_ref<double(const Size &)> valueOf;
  DenseSet<Value> seen, own;
};

} // namespace

RowwiseCount countRow(RowwisePlan &plan, llvm::function_ref<double(const Size &)> valueOf) {
  double blocks = 1;
  if (plan.laneBlock)
    blocks = std::max(1.0, std::ceil(valueOf(plan.extents.at(plan.lane)) / plan.laneBlock));
  auto extent = [&](int axisClass) {
    double whole = valueOf(plan.extents.at(axisClass));
    return axisClass == plan.lane ? whole / blocks : whole;
  };
  RowwiseCount sum;
  sum.starts = 1;
  for (Stage &stage : plan.stages) {
    StageCounter counter(plan, stage, valueOf);
    double outer = 1, reduced = 1;
    for (int axisClass : stage.parallel)
      outer *= extent(axisClass);
    for (int axisClass : stage.reduction)
      reduced *= extent(axisClass);
    if (stage.scalar()) {
      sum.instructions += counter.once;
      continue;
    }
    double elements = extent(stage.lane), vectors = std::ceil(elements / plan.lanes);
    // The last vector may be a part of one, which a mask says; counting and branching.
    constexpr double kMask = 4, kLoop = 0.5;
    bool rest = vectors * plan.lanes != elements;
    double points = outer * reduced;
    sum.instructions +=
        points * (vectors * (counter.perVector + kLoop) + rest * kMask) + outer * counter.once;
    sum.strided += points * elements * counter.perElement;
    double sums = llvm::count_if(stage.roots, [](Root &r) { return r.kind == Root::Reduce; });
    // Loops over what is reduced are inside of the lanes or outside.
    sum.starts += outer * (stage.laneReduced         ? reduced + sums
                           : stage.reduction.empty() ? 1
                                                     : 1 + vectors / 4);
  }
  return sum;
}

} // namespace attune::codegen
