#include "attune/passes/fuse/Fuse.h"
#include "attune/passes/fuse/FormKernel.h"
#include "attune/passes/fuse/MergeKernels.h"

#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"

using namespace mlir;

namespace attune {
namespace {

/// Reshapes and casts move no data: they stay between kernels until one absorbs them.
bool isReshape(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op);
}

class FusePass : public PassWrapper<FusePass, OperationPass<func::FuncOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FusePass)
  explicit FusePass(const KernelBackend *backend) : backend(backend) {}

  StringRef getArgument() const override { return "attune-fuse"; }
  StringRef getDescription() const override { return "Form and merge kernels."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<AttuneDialect, arith::ArithDialect>();
    if (backend)
      backend->getDependentDialects(registry);
  }

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    IRRewriter rewriter(func);
    if (failed(formAll(func, rewriter)))
      return signalPassFailure();
    DominanceInfo dominance(func);
    eliminateCommonSubExpressions(rewriter, dominance, func);
    for (KernelOp kernel : func.getOps<KernelOp>())
      simplifyDims(kernel, rewriter);
    if (backend)
      mergeKernels(func, *backend, rewriter);
    for (KernelOp kernel : func.getOps<KernelOp>())
      if (StringRef emitter = backend ? backend->emitterFor(kernel) : ""; !emitter.empty()) {
        kernel.setBackend(backend->backendOf(emitter));
        kernel.setEmitter(emitter);
      }
  }

private:
  const KernelBackend *backend;

  /// The operators that go into one kernel from the start: a contraction or convolution takes along
  /// what unpacks and dequantises its constant operand.
  static SmallVector<Operation *> seed(Operation *op) {
    llvm::SetVector<Operation *> group;
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (isa<ContractOp>(op) || (linalgOp && linalgOp.getNumReductionLoops() != 0)) {
      SmallVector<Value> work(op->getOperands());
      while (!work.empty()) {
        Operation *producer = work.pop_back_val().getDefiningOp();
        if (!producer || !comesFromConstant(producer) || !producer->hasOneUse())
          continue;
        group.insert(producer);
        work.append(producer->operand_begin(), producer->operand_end());
      }
    }
    group.insert(op);
    SmallVector<Operation *> ops(group.begin(), group.end());
    llvm::sort(ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    return ops;
  }

  /// Whether an operator only changes how a constant is stored.
  static bool comesFromConstant(Operation *op) {
    if (!isa<linalg::UnPackOp, linalg::GenericOp, linalg::TransposeOp, UnpackCodesOp>(op))
      return false;
    auto destination = dyn_cast<DestinationStyleOpInterface>(op);
    SmallVector<Value> inputs =
        destination ? destination.getDpsInputs() : SmallVector<Value>(op->getOperands());
    // A body may also read tensors that are no inputs.
    bool gathers =
        op->walk([](tensor::ExtractOp) { return WalkResult::interrupt(); }).wasInterrupted();
    return !inputs.empty() && !gathers && llvm::all_of(inputs, [](Value input) {
      Operation *producer = input.getDefiningOp();
      return producer &&
             (producer->hasTrait<OpTrait::ConstantLike>() || comesFromConstant(producer));
    });
  }

  /// Host index arithmetic must not hold on to tensors that move into kernels.
  static LogicalResult resolveDims(func::FuncOp func, IRRewriter &rewriter) {
    DimResolver dims(func);
    SmallVector<tensor::DimOp> ops(func.getBody().front().getOps<tensor::DimOp>());
    SmallVector<tensor::DimOp> replaced;
    for (tensor::DimOp op : ops) {
      std::optional<int64_t> axis = op.getConstantIndex();
      if (!axis || isa<BlockArgument>(op.getSource()))
        continue;
      OpFoldResult extent = dims.get(op.getSource(), *axis);
      if (!extent)
        return failure();
      rewriter.setInsertionPoint(op);
      rewriter.replaceAllUsesWith(op.getResult(),
                                  getValueOrCreateConstantIndexOp(rewriter, op.getLoc(), extent));
      replaced.push_back(op);
    }
    // The resolver remembers values; it must not see one of them go.
    for (tensor::DimOp op : replaced)
      rewriter.eraseOp(op);
    return success();
  }

  /// An empty or filled tensor that is an output needs a kernel of its own.
  static bool isReturned(Operation *op) {
    return llvm::any_of(op->getUsers(), [](Operation *user) {
      return isa<func::ReturnOp>(user) || isReshape(user);
    });
  }

  LogicalResult formAll(func::FuncOp func, IRRewriter &rewriter) {
    if (failed(resolveDims(func, rewriter)))
      return failure();
    DimResolver dims(func);
    Block &block = func.getBody().front();
    llvm::SmallPtrSet<Operation *, 16> done;
    SmallVector<SmallVector<Operation *>> groups;
    for (Operation &op : llvm::reverse(block)) {
      if (done.contains(&op) || isHostOp(&op) || isReshape(&op) ||
          (isRematerialised(&op) && !isReturned(&op)))
        continue;
      groups.push_back(seed(&op));
      done.insert(groups.back().begin(), groups.back().end());
    }
    for (ArrayRef<Operation *> group : llvm::reverse(groups))
      if (failed(formKernel(group, dims, rewriter)))
        return failure();
    sortTopologically(&block);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        rewriter.eraseOp(&op);
    return success();
  }
};

} // namespace

std::unique_ptr<Pass> createFusePass(const KernelBackend *backend) {
  return std::make_unique<FusePass>(backend);
}

} // namespace attune
