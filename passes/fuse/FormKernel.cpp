#include "attune/passes/fuse/FormKernel.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace attune {

bool isRematerialised(Operation *op) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (!isa<ShapedType>(constant.getType()))
      return true;
    auto elements = dyn_cast<DenseElementsAttr>(constant.getValue());
    return elements && elements.isSplat();
  }
  if (isa<tensor::EmptyOp>(op))
    return true;
  if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    auto isCheap = [](Value value) {
      Operation *producer = value.getDefiningOp();
      return producer && isRematerialised(producer);
    };
    return isCheap(fill.getInputs().front()) && isCheap(fill.getOutputs().front());
  }
  return false;
}

bool isHostOp(Operation *op) {
  if (isa<KernelOp, tensor::DimOp, tensor::ExtractOp, cf::AssertOp>(op) ||
      op->hasTrait<OpTrait::IsTerminator>())
    return true;
  if (op->hasTrait<OpTrait::ConstantLike>())
    return true;
  return isa<arith::ArithDialect, affine::AffineDialect>(op->getDialect()) &&
         llvm::none_of(op->getResultTypes(), [](Type type) { return isa<ShapedType>(type); });
}

namespace {
/// What a group of operators takes from outside.
struct Boundary {
  llvm::SetVector<Value> inputs;     ///< tensors
  llvm::SetVector<Value> dims;       ///< index values
  llvm::SetVector<Operation *> made; ///< rematerialised producers, in order
  SmallVector<Value> results;
};
} // namespace

/// Scalars other than index values do not cross: what computes them moves along.
static bool movesAlong(Value value, Operation *producer) {
  return !isa<ShapedType>(value.getType()) && !value.getType().isIndex() &&
         (isa<tensor::ExtractOp>(producer) || isa<arith::ArithDialect>(producer->getDialect()));
}

static LogicalResult addOutside(Value value, Boundary &boundary, Operation *user) {
  Operation *producer = value.getDefiningOp();
  if (producer && (isRematerialised(producer) || movesAlong(value, producer))) {
    for (Value operand : producer->getOperands())
      if (failed(addOutside(operand, boundary, user)))
        return failure();
    boundary.made.insert(producer);
    return success();
  }
  if (isa<RankedTensorType>(value.getType()))
    boundary.inputs.insert(value);
  else if (value.getType().isIndex())
    boundary.dims.insert(value);
  else
    return user->emitOpError("takes a scalar of type ")
           << value.getType()
           << " from outside its kernel; only tensors and index values may cross";
  return success();
}

static FailureOr<Boundary> findBoundary(ArrayRef<Operation *> ops, DimResolver &dims) {
  llvm::SmallPtrSet<Operation *, 16> members(ops.begin(), ops.end());
  Boundary boundary;
  for (Operation *op : ops) {
    llvm::SetVector<Value> used(op->operand_begin(), op->operand_end());
    for (Region &region : op->getRegions())
      getUsedValuesDefinedAbove(region, used);
    for (Value value : used)
      if (!value.getDefiningOp() || !members.contains(value.getDefiningOp()))
        if (failed(addOutside(value, boundary, op)))
          return failure();
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUsers(), [&](Operation *user) {
            while (user && user->getBlock() != op->getBlock())
              user = user->getParentOp();
            return !user || !members.contains(user);
          }))
        boundary.results.push_back(result);
  }
  return boundary;
}

FailureOr<KernelOp> formKernel(ArrayRef<Operation *> ops, DimResolver &dims,
                               RewriterBase &rewriter) {
  FailureOr<Boundary> boundary = findBoundary(ops, dims);
  if (failed(boundary))
    return failure();
  SmallVector<Value> resultDims;
  SmallVector<int64_t> inputDims;
  for (Value input : boundary->inputs) {
    FailureOr<SmallVector<Value>> extents = dims.dynamicExtents(input);
    if (failed(extents))
      return failure();
    for (Value extent : *extents) {
      boundary->dims.insert(extent);
      inputDims.push_back(llvm::find(boundary->dims, extent) - boundary->dims.begin());
    }
  }
  for (Value result : boundary->results) {
    FailureOr<SmallVector<Value>> extents = dims.dynamicExtents(result);
    if (failed(extents))
      return failure();
    resultDims.append(*extents);
    boundary->dims.insert(extents->begin(), extents->end());
  }

  SmallVector<Location> locations;
  SmallVector<std::string> names;
  for (Operation *op : ops) {
    locations.push_back(op->getLoc());
    names.push_back(op->getName().stripDialect().str());
  }
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPointAfter(ops.back());
  Location loc = rewriter.getFusedLoc(locations);
  auto kernel = KernelOp::create(rewriter, loc, TypeRange(ValueRange(boundary->results)),
                                 boundary->inputs.getArrayRef(), boundary->dims.getArrayRef(),
                                 resultDims, rewriter.getDenseI64ArrayAttr(inputDims),
                                 rewriter.getStringAttr(llvm::join(names, "_").substr(0, 60)),
                                 /*emitter=*/StringAttr(), /*backend=*/StringAttr(),
                                 /*hash=*/StringAttr());
  Block *body = rewriter.createBlock(&kernel.getBody());
  IRMapping map;
  auto enter = [&](ArrayRef<Value> values) {
    for (Value value : values)
      map.map(value, body->addArgument(value.getType(), value.getLoc()));
  };
  enter(boundary->inputs.getArrayRef());
  enter(boundary->dims.getArrayRef());
  for (Operation *op : boundary->made)
    rewriter.clone(*op, map);
  for (Operation *op : ops)
    rewriter.clone(*op, map);
  SmallVector<Value> yielded;
  for (Value result : boundary->results)
    yielded.push_back(map.lookup(result));
  YieldOp::create(rewriter, loc, yielded);
  for (auto [from, to] : llvm::zip(boundary->results, kernel.getResults()))
    rewriter.replaceAllUsesWith(from, to);
  dims.forwardResults(boundary->results, kernel.getResults());
  for (Operation *op : llvm::reverse(ops)) {
    // Asking for extents leaves unused `tensor.dim`s of values between the operators behind.
    llvm::SetVector<Operation *> users(op->user_begin(), op->user_end());
    for (Operation *user : users)
      if (isOpTriviallyDead(user))
        rewriter.eraseOp(user);
    dims.forget(op);
    rewriter.eraseOp(op);
  }
  return kernel;
}

void simplifyDims(KernelOp kernel, RewriterBase &rewriter) {
  Block &body = kernel.getBody().front();
  unsigned inputs = kernel.getInputs().size();
  llvm::SetVector<Value> kept;
  SmallVector<int64_t> place;
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPointToStart(&body);
  SmallVector<unsigned> dead;
  llvm::DenseMap<Value, unsigned> firstArg;
  for (auto [index, operand] : llvm::enumerate(kernel.getDims())) {
    BlockArgument arg = body.getArgument(inputs + index);
    if (std::optional<int64_t> constant = getConstantIntValue(operand))
      rewriter.replaceAllUsesWith(
          arg, arith::ConstantIndexOp::create(rewriter, kernel.getLoc(), *constant).getResult());
    bool fresh = kept.insert(operand);
    place.push_back(llvm::find(kept, operand) - kept.begin());
    if (fresh) {
      firstArg[operand] = inputs + index;
    } else {
      rewriter.replaceAllUsesWith(arg, body.getArgument(firstArg[operand]));
      dead.push_back(inputs + index);
    }
  }
  for (unsigned arg : llvm::reverse(dead))
    body.eraseArgument(arg);
  SmallVector<int64_t> inputDims;
  for (int64_t dim : kernel.getInputDims())
    inputDims.push_back(place[dim]);
  kernel.setInputDims(inputDims);
  kernel.getDimsMutable().assign(kept.getArrayRef());
}

} // namespace attune
