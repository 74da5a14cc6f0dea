#include "attune/codegen/halide/Count.h"

#include "attune/codegen/halide/Access.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;

namespace attune::codegen::halide {
namespace {

/// In multiply-adds.
constexpr double kDivision = 8, kRoot = 10, kFunction = 20, kGather = 8, kExtremum = 4;

/// Multiply-adds that an operation of a body takes as long as.
double weightOf(Operation &op) {
  return llvm::TypeSwitch<Operation *, double>(&op)
      .Case<arith::ConstantOp, linalg::YieldOp>([](auto) { return 0.0; })
      // Contracted with its sum.
      .Case([](arith::MulFOp product) -> double {
        return product->hasOneUse() &&
                       isa<arith::AddFOp, arith::SubFOp>(*product->getUsers().begin())
                   ? 0
                   : 1;
      })
      .Case<arith::DivFOp, arith::RemFOp>([](auto) { return kDivision; })
      // A NaN on either side has to win.
      .Case<arith::MaximumFOp, arith::MinimumFOp>([](auto) { return kExtremum; })
      .Case<math::SqrtOp, math::RsqrtOp>([](auto) { return kRoot; })
      .Case<math::FmaOp, math::AbsFOp, math::CopySignOp, math::FloorOp, math::CeilOp,
            math::RoundEvenOp>([](auto) { return 1.0; })
      .Case<tensor::ExtractOp>([](auto) { return kGather; })
      .Default([](Operation *other) {
        return isa<math::MathDialect>(other->getDialect()) ? kFunction : 1.0;
      });
}

double weightOf(Block &body) {
  double sum = 0;
  for (Operation &op : body)
    sum += weightOf(op);
  return sum;
}

int64_t extentOf(Value value, int64_t axis) {
  return cast<RankedTensorType>(value.getType()).getDimSize(axis);
}
int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }
bool isTensor(Value value) { return isa<RankedTensorType>(value.getType()); }
double padding(double extent, double step) {
  return extent > 0 ? std::ceil(extent / step) * step / extent : 1;
}

/// Loads and arithmetic mostly share a cycle.
double together(double a, double b) { return std::max(a, b) + 0.1 * std::min(a, b); }

class Counter {
public:
  Counter(const Region &region, const Plan &plan) : region(region), plan(plan) {}

  std::optional<Counted> run() {
    for (BlockArgument argument : region.arguments())
      if (isTensor(argument) && !cast<RankedTensorType>(argument.getType()).hasStaticShape())
        return std::nullopt;
    for (const auto &[value, stage] : plan.stages)
      if (!cast<RankedTensorType>(value.getType()).hasStaticShape())
        return std::nullopt;
    // Users before producers.
    for (const auto &[value, stage] : llvm::reverse(plan.stages)) {
      locate(value, stage);
      count(value, stage, isInline(value) ? visits.lookup(value) : kept(value, stage));
    }
    for (const auto &[value, root] : plan.roots)
      counted.tasks = std::max(counted.tasks, tasksOf(value, root));
    return counted;
  }

private:
  /// Where an axis of a value lies in its root, and how many neighbours beyond a block it needs.
  struct Spot {
    int64_t axis = -1, halo = 0;
  };

  const Region &region;
  const Plan &plan;
  Counted counted;
  llvm::DenseMap<Value, double> visits; ///< evaluations of values that are not kept
  llvm::DenseMap<Value, SmallVector<Spot>> places;

  void add(double vectors, double weight = 1) { counted.instructions += vectors * weight; }

  bool isInline(Value value) const {
    auto stage = plan.stages.find(value);
    return stage != plan.stages.end() && stage->second.place == Place::Inline &&
           stage->second.reduction == Reduction::None;
  }

  static double tasksOf(Value value, const Root &root) {
    double tasks = 1;
    for (int64_t axis : root.outer)
      tasks *= axis == root.outer.back() ? std::ceil(double(extentOf(value, axis)) / root.block)
                                         : extentOf(value, axis);
    return tasks;
  }

  /// Tells the operands of a value where they lie in its root.
  void locate(Value value, const Stage &stage) {
    SmallVector<Spot> &own = places[value];
    if (stage.place == Place::Root || own.empty()) {
      own.clear();
      for (int64_t axis = 0; axis < rankOf(value); ++axis)
        own.push_back({axis, 0});
    }
    SmallVector<Spot> known(own);
    for (OpOperand &operand : value.getDefiningOp()->getOpOperands()) {
      Value source = operand.get();
      if (!isTensor(source) || !source.getDefiningOp())
        continue;
      SmallVector<Spot> found;
      for (auto [axis, use] : llvm::enumerate(getAccess(operand).axes)) {
        Spot place;
        if (use.axis >= 0 && use.axis < static_cast<int64_t>(known.size())) {
          place = known[use.axis];
          place.halo += use.shifted ? spanOf(operand, axis) : 0;
        }
        found.push_back(place);
      }
      SmallVector<Spot> &other = places[source];
      if (other.empty())
        other = std::move(found);
      else
        for (auto [a, b] : llvm::zip(other, found)) {
          a.halo = std::max(a.halo, b.halo);
          if (a.axis != b.axis)
            a.axis = -1;
        }
    }
  }

  /// Elements that a window adds along an axis of an operand.
  static int64_t spanOf(OpOperand &operand, int64_t axis) {
    auto op = dyn_cast<linalg::GenericOp>(operand.getOwner());
    if (!op)
      return 0;
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    SmallVector<utils::IteratorType> loops = op.getIteratorTypesArray();
    AffineExpr expr = op.getMatchingIndexingMap(&operand).getResult(axis);
    int64_t span = 0;
    for (auto [loop, range] : llvm::enumerate(ranges))
      if (loops[loop] == utils::IteratorType::reduction && expr.isFunctionOfDim(loop))
        span += range - 1;
    return span;
  }

  /// Elements of a value that all blocks of its root compute together.
  double kept(Value value, const Stage &stage) {
    double points = 1;
    auto root = plan.roots.find(stage.root);
    for (int64_t axis = 0; axis < rankOf(value); ++axis) {
      double extent = extentOf(value, axis);
      Spot place = places[value][axis];
      if (root != plan.roots.end() && place.halo > 0 &&
          llvm::is_contained(root->second.outer, place.axis)) {
        double block = place.axis == root->second.outer.back() ? root->second.block : 1;
        extent *= (block + place.halo) / block;
      }
      points *= extent;
    }
    return points;
  }

  /// Reads of a vector of an operand: memory, or the evaluation of what is not kept.
  void read(Value source, double vectors, int64_t lanes, double &loads) {
    if (isInline(source))
      visits[source] += vectors * lanes;
    else if (rankOf(source) != 0)
      loads += vectors;
  }

  void count(Value value, const Stage &stage, double points) {
    Operation *op = value.getDefiningOp();
    int64_t lanes = std::max<int64_t>(stage.lanes, 1), rank = rankOf(value);
    double width = rank ? extentOf(value, rank - 1) : 1;
    double vectors = points / lanes * padding(width, lanes);
    bool stored = stage.place != Place::Inline;
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic) {
      // A view moves nothing; a border is compared with and selected.
      bool selects = isa<tensor::PadOp, tensor::InsertSliceOp>(op);
      double loads = 0;
      for (Value operand : op->getOperands())
        if (isTensor(operand) && (isView(op) || selects))
          read(operand, vectors, lanes, loads);
      if (isView(op) || selects)
        add(vectors, (selects ? 2 : 0));
      if (stored)
        add(loads + vectors);
      return;
    }
    double weight = weightOf(*generic.getBody());
    if (generic.getNumReductionLoops() == 0) {
      double loads = 0;
      for (Value operand : generic.getDpsInputs())
        if (isTensor(operand))
          read(operand, vectors, lanes, loads);
      add(together(vectors * weight, loads) + (stored ? vectors : 0));
      return;
    }
    double terms = 1;
    for (auto [range, loop] :
         llvm::zip(generic.getStaticLoopRanges(), generic.getIteratorTypesArray()))
      terms *= loop == utils::IteratorType::reduction ? range : 1;
    switch (stage.reduction) {
    case Reduction::Tile:
      return tile(generic, stage, points, terms, weight);
    case Reduction::Row:
      return row(generic, stage, points, terms, weight);
    default:
      break;
    }
    // One element after the other: a long sum waits for itself, of a short one LLVM makes vectors.
    constexpr double kShortSum = 64, kWaiting = 6, kUnrolled = 0.6;
    double loads = 0;
    for (Value operand : generic.getDpsInputs())
      if (isTensor(operand))
        read(operand, points * terms, 1, loads);
    add(together(points * terms * weight, loads), terms > kShortSum ? kWaiting : kUnrolled);
  }

  /// Loads for a vector along `loop`: a window's begin anywhere, so that most of them lie in two
  /// lines; with a stride, its elements lie in several vectors.
  static double strideCost(AffineMap map, unsigned loop) {
    constexpr double kUnaligned = 1.5;
    if (map.getNumResults() == 0 || isa<AffineDimExpr>(map.getResults().back()))
      return 1;
    double stride = 1;
    map.getResults().back().walk([&](AffineExpr part) {
      auto product = dyn_cast<AffineBinaryOpExpr>(part);
      if (product && part.getKind() == AffineExprKind::Mul &&
          product.getLHS().isFunctionOfDim(loop))
        if (auto factor = dyn_cast<AffineConstantExpr>(product.getRHS()))
          stride = std::abs(factor.getValue());
    });
    return kUnaligned * std::max(stride, 1.0);
  }

  void tile(linalg::GenericOp op, const Stage &stage, double points, double terms, double weight) {
    Value value = op.getResult(0);
    int64_t last = rankOf(value) - 1;
    AffineMap out = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    auto loopOf = [&](int64_t axis) {
      return cast<AffineDimExpr>(out.getResult(axis)).getPosition();
    };
    double vectors =
        points * terms / stage.lanes * padding(extentOf(value, last), stage.vectors * stage.lanes);
    if (stage.rowAxis >= 0)
      vectors *= padding(extentOf(value, stage.rowAxis), stage.rows);
    double loads = 0;
    for (OpOperand *input : op.getDpsInputOperands()) {
      if (!isTensor(input->get()))
        continue;
      AffineMap map = op.getMatchingIndexingMap(input);
      bool alongRows = stage.rowAxis >= 0 && map.isFunctionOfDim(loopOf(stage.rowAxis));
      double reads = vectors / (alongRows ? 1 : stage.rows);
      if (!map.isFunctionOfDim(loopOf(last)))
        reads /= stage.vectors;
      else
        reads *= strideCost(map, loopOf(last));
      read(input->get(), reads, stage.lanes, loads);
    }
    add(together(vectors * weight, loads) + vectors / terms);
  }

  void row(linalg::GenericOp op, const Stage &stage, double points, double terms, double weight) {
    int64_t extent = op.getStaticLoopRanges()[stage.laneLoop];
    double vectors = points * terms / stage.lanes * padding(extent, stage.lanes), loads = 0;
    for (Value operand : op.getDpsInputs())
      if (isTensor(operand))
        read(operand, vectors, stage.lanes, loads);
    // At the end of a row lanes are folded pairwise.
    add(together(vectors * weight, loads) + points * (4 + 2 * std::log2(stage.lanes)));
  }
};

} // namespace

std::optional<Counted> countInstructions(const Region &region, const Plan &plan) {
  return Counter(region, plan).run();
}

} // namespace attune::codegen::halide
