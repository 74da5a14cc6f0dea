#include "attune/passes/fuse/MergeKernels.h"
#include "attune/passes/fuse/FormKernel.h"

#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace attune {
namespace {

/// `consumer` reads results of `producer`, directly or through host reshapes.
struct Candidate {
  KernelOp producer, consumer;
  llvm::SetVector<Operation *> reshapes; ///< between the two, in order
};

/// Fills in the reshapes between the kernels. Fails if a result of the producer reaches anything
/// but the consumer: the value would have to be stored anyway.
bool findReshapes(Candidate &candidate) {
  SmallVector<Operation *> work{candidate.producer};
  bool reaches = false;
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    for (Operation *user : op->getUsers()) {
      if (user == candidate.consumer) {
        reaches = true;
        continue;
      }
      if (isa<tensor::DimOp>(user))
        continue;
      if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(user))
        return false;
      candidate.reshapes.insert(user);
      work.push_back(user);
    }
  }
  SmallVector<Operation *> sorted = candidate.reshapes.takeVector();
  llvm::sort(sorted, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  candidate.reshapes.insert(sorted.begin(), sorted.end());
  return reaches;
}

/// Clones both kernels' bodies, and the reshapes between, into one kernel in front of the consumer.
KernelOp merge(Candidate &candidate, RewriterBase &rewriter) {
  KernelOp producer = candidate.producer, consumer = candidate.consumer;
  llvm::SmallPtrSet<Value, 8> internal(producer.result_begin(), producer.result_end());
  for (Operation *op : candidate.reshapes)
    internal.insert(op->result_begin(), op->result_end());

  SmallVector<Value> inputs;
  llvm::SetVector<Value> dims;
  SmallVector<int64_t> inputDims;
  llvm::DenseMap<Value, unsigned> inputNumber;
  auto addInputs = [&](KernelOp kernel) {
    unsigned next = 0;
    for (Value input : kernel.getInputs()) {
      unsigned dynamic = cast<RankedTensorType>(input.getType()).getNumDynamicDims();
      if (!internal.contains(input) && inputNumber.try_emplace(input, inputs.size()).second) {
        inputs.push_back(input);
        for (unsigned i = 0; i < dynamic; ++i) {
          Value dim = kernel.getDims()[kernel.getInputDims()[next + i]];
          dims.insert(dim);
          inputDims.push_back(llvm::find(dims, dim) - dims.begin());
        }
      }
      next += dynamic;
    }
  };
  addInputs(producer);
  addInputs(consumer);
  dims.insert(producer.getDims().begin(), producer.getDims().end());
  dims.insert(consumer.getDims().begin(), consumer.getDims().end());
  for (Operation *op : candidate.reshapes)
    for (Value operand : op->getOperands())
      if (operand.getType().isIndex())
        dims.insert(operand);

  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(consumer);
  std::string name =
      (producer.getKernelName().value_or("") + "_" + consumer.getKernelName().value_or("")).str();
  auto merged = KernelOp::create(
      rewriter, rewriter.getFusedLoc({producer.getLoc(), consumer.getLoc()}),
      consumer.getResultTypes(), inputs, dims.getArrayRef(), consumer.getResultDims(),
      rewriter.getDenseI64ArrayAttr(inputDims), rewriter.getStringAttr(name.substr(0, 60)),
      StringAttr(), StringAttr(), StringAttr());
  Block *body = rewriter.createBlock(&merged.getBody());
  IRMapping outer;
  for (Value value : inputs)
    outer.map(value, body->addArgument(value.getType(), value.getLoc()));
  for (Value value : dims)
    outer.map(value, body->addArgument(value.getType(), value.getLoc()));
  auto inlineBody = [&](KernelOp kernel) {
    IRMapping map;
    Block &block = kernel.getBody().front();
    SmallVector<Value> operands(kernel.getInputs());
    llvm::append_range(operands, kernel.getDims());
    for (auto [arg, operand] : llvm::zip(block.getArguments(), operands))
      map.map(arg, outer.lookup(operand));
    for (Operation &op : block.without_terminator())
      rewriter.clone(op, map);
    SmallVector<Value> values;
    for (Value value : block.getTerminator()->getOperands())
      values.push_back(map.lookupOrDefault(value));
    return values;
  };
  SmallVector<Value> produced = inlineBody(producer);
  outer.map(producer.getResults(), produced);
  for (Operation *op : candidate.reshapes)
    rewriter.clone(*op, outer);
  YieldOp::create(rewriter, merged.getLoc(), inlineBody(consumer));
  return merged;
}

bool tryMerge(Candidate &candidate, const KernelBackend &backend, RewriterBase &rewriter) {
  KernelOp merged = merge(candidate, rewriter);
  if (!backend.prefersMerged(merged, candidate.producer, candidate.consumer)) {
    rewriter.eraseOp(merged);
    return false;
  }
  rewriter.replaceOp(candidate.consumer, merged.getResults());
  for (Operation *op : llvm::reverse(candidate.reshapes.getArrayRef()))
    rewriter.eraseOp(op);
  rewriter.eraseOp(candidate.producer);
  return true;
}

/// The kernels whose results `consumer` reads, through reshapes too.
SmallVector<KernelOp> producersOf(KernelOp consumer) {
  llvm::SetVector<Operation *> found;
  for (Value input : consumer.getInputs()) {
    Operation *op = input.getDefiningOp();
    while (op && isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op))
      op = op->getOperand(0).getDefiningOp();
    if (op && isa<KernelOp>(op))
      found.insert(op);
  }
  return llvm::map_to_vector(found, [](Operation *op) { return cast<KernelOp>(op); });
}

} // namespace

void mergeKernels(func::FuncOp func, const KernelBackend &backend, RewriterBase &rewriter) {
  bool changed = true;
  while (changed) {
    changed = false;
    SmallVector<KernelOp> kernels(func.getOps<KernelOp>());
    llvm::SmallPtrSet<Operation *, 8> erased;
    for (KernelOp consumer : kernels) {
      if (erased.contains(consumer))
        continue;
      for (KernelOp producer : producersOf(consumer)) {
        Candidate candidate{producer, consumer, {}};
        if (!findReshapes(candidate) || !tryMerge(candidate, backend, rewriter))
          continue;
        erased.insert(producer);
        erased.insert(consumer);
        changed = true;
        break;
      }
    }
  }
}

} // namespace attune
