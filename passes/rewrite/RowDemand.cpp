#include "attune/passes/raise/Match.h"
#include "attune/passes/rewrite/Rewrite.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Utils/Utils.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/TilingInterface.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_ROWDEMAND
#include "attune/passes/Passes.h.inc"

namespace {

/// `count` positions of one axis, from `offset` on.
struct Rows {
  int64_t axis;
  OpFoldResult offset, count;

  bool operator==(const Rows &other) const {
    return axis == other.axis && isEqualConstantIntOrValue(offset, other.offset) &&
           isEqualConstantIntOrValue(count, other.count);
  }
};

/// Chains of operators that a slice of the model has moved through.
struct Chain {
  SmallVector<Location> locations;
  double before = 0, after = 0; ///< seconds
};

/// Values that every reader may make for itself.
bool isFree(Operation *op) { return isa<tensor::EmptyOp, linalg::FillOp>(op); }

class Demand : public OpBuilder::Listener {
public:
  Demand(func::FuncOp func, const FormPrices *prices)
      : func(func), prices(prices), sizes(func), builder(func.getContext(), this) {}

  void run();
  unsigned reduced = 0;

private:
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
      work.push_back(slice);
  }

  std::optional<Rows> rowsOf(tensor::ExtractSliceOp slice);
  bool isWhole(tensor::ExtractSliceOp slice);
  /// The slices that read `producer`, or why these are not all that is read of it.
  StringRef readers(Operation *producer, const Rows &rows,
                    SmallVectorImpl<tensor::ExtractSliceOp> &slices);
  Value build(Operation *producer, const Rows &rows);
  Value buildTiled(TilingInterface op, const Rows &rows);
  Value buildReshaped(Operation *op, const Rows &rows);
  Value sliceOf(Value tensor, const Rows &rows);
  void replace(tensor::ExtractSliceOp slice, Value rows);
  StringRef move(tensor::ExtractSliceOp slice);
  void clean();
  void report();

  func::FuncOp func;
  const FormPrices *prices;
  Sizes sizes;
  OpBuilder builder;
  SmallVector<tensor::ExtractSliceOp> work;
  llvm::SetVector<Operation *> dead; ///< replaced, in order; `sizes` still knows their results
  llvm::DenseMap<Operation *, unsigned> chainOf;   ///< of slices
  llvm::MapVector<Operation *, StringRef> refused; ///< slices of the model, and why they stay
  SmallVector<Chain> chains;
};

std::optional<Rows> Demand::rowsOf(tensor::ExtractSliceOp slice) {
  if (!slice.hasUnitStride())
    return std::nullopt;
  std::optional<Rows> rows;
  SmallVector<OpFoldResult> offsets = slice.getMixedOffsets(), counts = slice.getMixedSizes();
  for (int64_t axis = 0; axis < slice.getSourceType().getRank(); ++axis) {
    if (isZeroInteger(offsets[axis]) &&
        sizes.equal(sizes.of(slice.getSource(), axis), sizes.of(counts[axis])))
      continue;
    if (rows)
      return std::nullopt;
    rows = Rows{axis, offsets[axis], counts[axis]};
  }
  return rows;
}

bool Demand::isWhole(tensor::ExtractSliceOp slice) {
  if (slice.getType() != slice.getSourceType() || !slice.hasUnitStride())
    return false;
  for (auto [axis, offset, count] : llvm::enumerate(slice.getMixedOffsets(), slice.getMixedSizes()))
    if (!isZeroInteger(offset) || !sizes.equal(sizes.of(slice.getSource(), axis), sizes.of(count)))
      return false;
  return true;
}

StringRef Demand::readers(Operation *producer, const Rows &rows,
                          SmallVectorImpl<tensor::ExtractSliceOp> &slices) {
  bool others = false;
  for (Operation *user : producer->getUsers()) {
    if (dead.contains(user) || isa<tensor::DimOp>(user))
      continue;
    auto slice = dyn_cast<tensor::ExtractSliceOp>(user);
    std::optional<Rows> own = slice ? rowsOf(slice) : std::nullopt;
    if (own && *own == rows)
      slices.push_back(slice);
    else
      others = true;
  }
  return others && !isFree(producer) ? "more of it is read elsewhere" : "";
}

/// A contraction of fewer columns would need other weights.
bool splitsWeights(linalg::LinalgOp op, int64_t axis) {
  AffineMap result = op.getIndexingMapMatchingResult(op->getResult(0));
  if (op.getNumReductionLoops() == 0 || axis >= result.getNumResults())
    return false;
  auto loop = dyn_cast<AffineDimExpr>(result.getResult(axis));
  return !loop || llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *operand) {
    return op.getMatchingIndexingMap(operand).isFunctionOfDim(loop.getPosition()) &&
           matchPattern(operand->get(), m_Constant());
  });
}

Value Demand::buildTiled(TilingInterface op, const Rows &rows) {
  Location loc = op.getLoc();
  Value result = op->getResult(0);
  int64_t rank = cast<RankedTensorType>(result.getType()).getRank();
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op.getOperation());
      linalgOp && splitsWeights(linalgOp, rows.axis))
    return {};
  SmallVector<utils::IteratorType> loops = op.getLoopIteratorTypes();
  bool sameLoops = !isa<linalg::LinalgOp>(op.getOperation());
  if (sameLoops && (static_cast<int64_t>(loops.size()) != rank ||
                    loops[rows.axis] != utils::IteratorType::parallel))
    return {};
  SmallVector<OpFoldResult> offsets(rank, builder.getIndexAttr(0)), counts;
  for (int64_t axis = 0; axis < rank; ++axis)
    counts.push_back(sizes.get(builder, loc, sizes.of(result, axis)));
  offsets[rows.axis] = rows.offset;
  counts[rows.axis] = rows.count;
  FailureOr<TilingResult> tiled = sameLoops
                                      ? op.getTiledImplementation(builder, offsets, counts)
                                      : op.generateResultTileValue(builder, 0, offsets, counts);
  return succeeded(tiled) && tiled->tiledValues.size() == 1 ? tiled->tiledValues[0] : Value();
}

Value Demand::sliceOf(Value tensor, const Rows &rows) {
  Location loc = tensor.getLoc();
  SmallVector<OpFoldResult> counts;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis)
    counts.push_back(sizes.get(builder, loc, sizes.of(tensor, axis)));
  SmallVector<OpFoldResult> offsets(counts.size(), builder.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(counts.size(), builder.getIndexAttr(1));
  offsets[rows.axis] = rows.offset;
  counts[rows.axis] = rows.count;
  return tensor::ExtractSliceOp::create(builder, loc, tensor, offsets, counts, strides);
}

/// A reshape keeps an axis that it only groups with axes of one position.
Value Demand::buildReshaped(Operation *op, const Rows &rows) {
  bool expands = isa<tensor::ExpandShapeOp>(op);
  auto groups = expands ? cast<tensor::ExpandShapeOp>(op).getReassociationIndices()
                        : cast<tensor::CollapseShapeOp>(op).getReassociationIndices();
  Value source = op->getOperand(0), result = op->getResult(0), longer = expands ? result : source;
  auto longType = cast<RankedTensorType>(longer.getType());
  for (auto [shortAxis, group] : llvm::enumerate(groups)) {
    int64_t shortNumber = shortAxis, kept = -1;
    if (expands ? !llvm::is_contained(group, rows.axis) : shortNumber != rows.axis)
      continue;
    for (int64_t axis : group) {
      if (longType.getDimSize(axis) == 1)
        continue;
      if (kept >= 0)
        return {};
      kept = axis;
    }
    if (kept < 0 || (expands && kept != rows.axis))
      return {};
    Value part = sliceOf(source, {expands ? shortNumber : kept, rows.offset, rows.count});
    if (!expands)
      return tensor::CollapseShapeOp::create(builder, op->getLoc(), part, groups);
    SmallVector<OpFoldResult> shape;
    for (int64_t axis = 0; axis < longType.getRank(); ++axis)
      shape.push_back(sizes.get(builder, op->getLoc(), sizes.of(result, axis)));
    shape[rows.axis] = rows.count;
    SmallVector<Value> dynamic;
    SmallVector<int64_t> extents;
    dispatchIndexOpFoldResults(shape, dynamic, extents);
    return tensor::ExpandShapeOp::create(
        builder, op->getLoc(), longType.clone(ArrayRef<int64_t>(extents)), part, groups, shape);
  }
  return {};
}

/// The rows of the producer's result, computed on their own, or null.
Value Demand::build(Operation *producer, const Rows &rows) {
  if (auto op = dyn_cast<RowsOpInterface>(producer))
    return op.buildRows(builder, rows.axis, rows.offset, rows.count);
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(producer))
    return buildReshaped(producer, rows);
  if (auto cast = dyn_cast<tensor::CastOp>(producer))
    return sliceOf(cast.getSource(), rows);
  if (isa<tensor::EmptyOp>(producer)) {
    SmallVector<OpFoldResult> shape = cast<tensor::EmptyOp>(producer).getMixedSizes();
    shape[rows.axis] = rows.count;
    return tensor::EmptyOp::create(builder, producer->getLoc(), shape,
                                   getElementTypeOrSelf(producer->getResult(0)));
  }
  if (auto op = dyn_cast<TilingInterface>(producer); op && isMemoryEffectFree(producer))
    return buildTiled(op, rows);
  return {};
}

void Demand::replace(tensor::ExtractSliceOp slice, Value rows) {
  builder.setInsertionPoint(slice);
  llvm::SmallBitVector dropped = slice.getDroppedDims();
  if (dropped.any())
    rows = tensor::dropGivenUnitDims(builder, slice.getLoc(), rows, dropped);
  if (rows.getType() != slice.getType())
    rows = tensor::CastOp::create(builder, slice.getLoc(), slice.getType(), rows);
  slice.getResult().replaceAllUsesWith(rows);
  dead.insert(slice);
}

/// Moves a slice in front of what it reads. If it stays: why, or "" where it does not matter.
StringRef Demand::move(tensor::ExtractSliceOp slice) {
  Operation *producer = slice.getSource().getDefiningOp();
  if (dead.contains(slice))
    return "";
  if (isWhole(slice)) {
    replace(slice, slice.getSource());
    return "";
  }
  std::optional<Rows> rows = rowsOf(slice);
  if (!rows || !producer || producer->getBlock() != slice->getBlock() ||
      producer->hasTrait<OpTrait::ConstantLike>())
    return "";
  if (producer->getNumResults() != 1)
    return "what it reads has several results";
  SmallVector<tensor::ExtractSliceOp> slices;
  if (StringRef reason = readers(producer, *rows, slices); !reason.empty())
    return reason;
  llvm::sort(slices, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  builder.setInsertionPoint(slices.front());
  size_t queued = work.size();
  Value part = build(producer, *rows);
  if (!part)
    return "positions of this axis are not computed independently";
  // What was inserted continues the chain of the first slice.
  auto [place, fresh] = chainOf.try_emplace(slice, chains.size());
  unsigned chain = place->second;
  if (fresh)
    chains.emplace_back();
  for (tensor::ExtractSliceOp next : ArrayRef(work).drop_front(queued))
    chainOf[next] = chain;
  bool computes =
      !isFree(producer) &&
      !isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, linalg::TransposeOp>(producer);
  if (computes) {
    chains[chain].locations.push_back(producer->getLoc());
    if (prices && part.getDefiningOp()) {
      chains[chain].before += prices->seconds(producer);
      chains[chain].after += prices->seconds(part.getDefiningOp());
    }
    ++reduced;
  }
  for (tensor::ExtractSliceOp same : slices)
    replace(same, part);
  if (!isFree(producer))
    dead.insert(producer);
  return "";
}

void Demand::run() {
  func.walk([&](tensor::ExtractSliceOp slice) {
    if (slice->getBlock() == &func.getBody().front())
      work.push_back(slice);
  });
  size_t own = work.size();
  for (size_t next = 0; next < work.size(); ++next) {
    StringRef reason = move(work[next]);
    // The last axis is that of features: parts of it are no demand for positions.
    std::optional<Rows> rows = reason.empty() ? std::nullopt : rowsOf(work[next]);
    if (rows && next < own && rows->axis + 1 < work[next].getSourceType().getRank())
      refused[work[next]] = reason;
  }
  report();
  clean();
}

/// Extents of what goes are those that `sizes` knows.
void Demand::clean() {
  for (Operation *op : dead)
    for (Operation *user : llvm::make_early_inc_range(op->getUsers()))
      if (auto dim = dyn_cast<tensor::DimOp>(user); dim && dim.getConstantIndex()) {
        builder.setInsertionPoint(dim);
        AffineExpr extent = sizes.of(dim.getSource(), *dim.getConstantIndex());
        dim.replaceAllUsesWith(getValueOrCreateConstantIndexOp(
            builder, dim.getLoc(), sizes.get(builder, dim.getLoc(), extent)));
      }
  func.walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
    if (isOpTriviallyDead(op))
      op->erase();
  });
}

void Demand::report() {
  auto options = [&](StringRef name) {
    return remark::RemarkOpts::name(name).category("attune-rewrite").function(func.getName());
  };
  for (auto [slice, reason] : refused)
    if (!dead.contains(slice))
      remark::missed(slice->getLoc(), options("RowsNotReduced"))
          << remark::reason("{0}", reason) << remark::add("nodes {0}", nodeNames(slice->getLoc()));
  for (const Chain &chain : chains) {
    if (chain.locations.empty())
      continue;
    Location loc = FusedLoc::get(func.getContext(), chain.locations);
    auto remark = remark::passed(loc, options("RowsReduced"));
    remark << remark::add("{0} operators compute only the positions that are read",
                          chain.locations.size());
    if (prices)
      remark << remark::metric("before", llvm::formatv("{0:f6} ms", chain.before * 1e3).str())
             << remark::metric("after", llvm::formatv("{0:f6} ms", chain.after * 1e3).str());
    remark << remark::add("nodes {0}", nodeNames(loc));
  }
}

class RowDemand : public impl::RowDemandBase<RowDemand> {
public:
  using RowDemandBase::RowDemandBase;
  explicit RowDemand(const FormPrices *prices) : prices(prices) {}

  void runOnOperation() override {
    Demand demand(getOperation(), prices);
    demand.run();
    numReduced += demand.reduced;
  }

private:
  const FormPrices *prices = nullptr;
};

} // namespace

std::unique_ptr<Pass> createRowDemand(const FormPrices *prices) {
  return std::make_unique<RowDemand>(prices);
}

} // namespace attune
