#include "attune/codegen/cost/Features.h"
#include "attune/codegen/cost/DescribeInPlace.h"

#include "attune/codegen/cost/IndexValue.h"
#include "attune/codegen/cost/Oracle.h"
#include "attune/codegen/cost/Work.h"
#include "attune/codegen/cpu/Views.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/OwningOpRef.h"

using namespace mlir;

namespace attune::codegen {
namespace {

double bytesOf(Value tensor, double elements) {
  return elements * ((getElementTypeOrSelf(tensor.getType()).getIntOrFloatBitWidth() + 7) / 8);
}

/// Points of the loops around an operator of a body.
double iterations(Operation *op, IndexValue &valueOf) {
  auto loops = op->getParentOfType<linalg::LinalgOp>();
  if (!loops || loops->getNumResults() == 0)
    return 1;
  double points = 1;
  llvm::SmallBitVector seen(loops.getNumLoops());
  for (OpOperand &operand : loops->getOpOperands())
    if (isa<RankedTensorType>(operand.get().getType()))
      for (auto [axis, expr] : llvm::enumerate(loops.getMatchingIndexingMap(&operand).getResults()))
        if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && !seen.test(dim.getPosition())) {
          seen.set(dim.getPosition());
          points *= valueOf.extent(operand.get(), axis);
        }
  return points;
}

/// Elements of a tensor that a kernel reads: a gather reads one per point of its loops, a slice
/// what it is; everything else all of it, once. Adds those of gathers to `gathered`.
double elementsRead(Value tensor, IndexValue &valueOf, double &gathered) {
  double whole = valueOf.elements(tensor), part = 0;
  for (Operation *user : tensor.getUsers()) {
    if (isa<tensor::DimOp>(user))
      continue;
    if (isa<tensor::ExtractOp>(user)) {
      double points = iterations(user, valueOf);
      gathered += points;
      part += points;
    } else if (isa<tensor::ExtractSliceOp>(user))
      part += valueOf.elements(user->getResult(0));
    else if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp>(user))
      part += elementsRead(user->getResult(0), valueOf, gathered);
    else
      return whole;
  }
  return std::min(whole, part);
}

/// The form that the kernel takes at these sizes.
void resolveForm(FormOpInterface op, IndexValue &valueOf) {
  FormPricesAttr prices = op.getRunTimePrices();
  if (op.getForm() != Form::Auto || !prices)
    return;
  SmallVector<double> sizes;
  ArrayRef<int64_t> places = prices.getSizes();
  for (size_t i = 0; i < places.size(); i += 2) {
    unsigned operands = op->getNumOperands(), number = places[i];
    Value tensor = number < operands ? op->getOperand(number) : op->getResult(number - operands);
    sizes.push_back(valueOf.extent(tensor, places[i + 1]));
  }
  op.setForm(cheapestForm(prices, sizes));
}

/// What crosses the border of the kernel; constants are also counted apart, and so is what the
/// model exchanges with its caller.
void addBytes(KernelOp kernel, IndexValue &valueOf, llvm::function_ref<bool(unsigned)> isWeight,
              llvm::function_ref<bool(unsigned)> isDistant, KernelFeatures &features) {
  using Kind = BufferUse::Kind;
  auto add = [&](Kind kind, bool written, double bytes) {
    features.work.bytes += bytes;
    if (kind == Kind::Weight)
      features.weightBytes += bytes;
    else if (kind == Kind::Distant)
      features.distantBytes += bytes;
    features.uses.push_back({kind, written, bytes, 0});
  };
  for (BlockArgument input : kernel.getInputArgs()) {
    double gathered = 0, bytes = bytesOf(input, elementsRead(input, valueOf, gathered));
    features.gatheredBytes += std::min(bytes, bytesOf(input, gathered));
    unsigned number = input.getArgNumber();
    add(isWeight(number)    ? Kind::Weight
        : isDistant(number) ? Kind::Distant
                            : Kind::Exchanged,
        /*written=*/false, bytes);
  }
  for (auto [number, result] : llvm::enumerate(kernel.getYield().getOperands()))
    add(isDistant(kernel.getInputs().size() + number) ? Kind::Distant : Kind::Exchanged,
        /*written=*/true, bytesOf(result, valueOf.elements(result)));
  // Until the program is known (Reuse.h).
  constexpr double kFar = 1e12;
  for (BufferUse &use : features.uses)
    use.distance = use.kind == Kind::Exchanged ? features.work.bytes : kFar;
}

/// Bytes of operands whose lines lie across those of the result.
double stridedBytes(KernelOp kernel, IndexValue &valueOf) {
  double bytes = 0;
  kernel.walk([&](linalg::LinalgOp op) {
    if (op.getNumReductionLoops() != 0 || op.getNumDpsInits() == 0)
      return;
    AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    if (written.getNumResults() == 0)
      return;
    auto lane = dyn_cast<AffineDimExpr>(written.getResults().back());
    for (OpOperand *input : op.getDpsInputOperands()) {
      AffineMap read = op.getMatchingIndexingMap(input);
      if (lane && read.getNumResults() > 1 && read.getResults().back() != lane &&
          read.isFunctionOfDim(lane.getPosition()))
        bytes += bytesOf(input->get(), valueOf.elements(input->get()));
    }
  });
  return bytes;
}

/// Fixes the forms of a copy; whether one was open.
bool resolveForms(KernelOp kernel, IndexValue &valueOf, KernelFeatures &features) {
  bool open = false;
  kernel.walk([&](FormOpInterface op) {
    Form before = op.getForm();
    resolveForm(op, valueOf);
    open |= op.getForm() != before;
    features.form = stringifyForm(op.getForm()).str();
  });
  return open;
}

/// Counting adds index arithmetic to the kernel.
void addWork(KernelOp kernel, IndexValue &valueOf, KernelFeatures &features) {
  for (const WorkTerm &term : countWork(kernel)) {
    WorkSum sum;
    addTerm(sum, term, [&](OpFoldResult extent) -> double { return valueOf(extent); });
    features.work.add(sum);
    double count = term.perIteration;
    for (OpFoldResult extent : term.extents)
      count *= valueOf(extent);
    auto same = llvm::find_if(features.counts, [&](const OpCount &known) {
      return known.kind == term.kind && known.bits == term.bits;
    });
    if (same == features.counts.end())
      features.counts.push_back({term.kind, term.bits, count});
    else
      same->count += count;
  }
}

} // namespace

WorkSum workOf(KernelOp kernel, ArrayRef<int64_t> dims) {
  OwningOpRef<KernelOp> copy(kernel.clone());
  IndexValue valueOf(*copy, dims);
  KernelFeatures features;
  resolveForms(*copy, valueOf, features);
  addWork(*copy, valueOf, features);
  auto none = [](unsigned) { return false; };
  addBytes(*copy, valueOf, none, none, features);
  return features.work;
}

KernelFeatures describe(KernelOp kernel, const KernelEmitter &emitter, const CpuTarget &target,
                        ArrayRef<int64_t> dims, llvm::function_ref<bool(unsigned)> isWeight,
                        llvm::function_ref<bool(unsigned)> isDistant) {
  OwningOpRef<KernelOp> copy(kernel.clone());
  return describeInPlace(*copy, emitter, target, dims, isWeight, isDistant);
}

KernelFeatures describeInPlace(KernelOp kernel, const KernelEmitter &emitter,
                               const CpuTarget &target, ArrayRef<int64_t> dims,
                               llvm::function_ref<bool(unsigned)> isWeight,
                               llvm::function_ref<bool(unsigned)> isDistant) {
  IndexValue valueOf(kernel, dims);
  KernelFeatures features;
  features.emitter = emitter.name().str();
  auto plan = [&] {
    return emitter.plan(kernel, target, [&](Value value) { return valueOf(value); });
  };
  features.plan = plan();
  if (resolveForms(kernel, valueOf, features)) {
    // Scratch is there for every form that the kernel can take.
    auto scratch = std::move(features.plan.scratch);
    features.plan = plan();
    features.plan.scratch = std::move(scratch);
  }
  addWork(kernel, valueOf, features);
  addBytes(kernel, valueOf, isWeight, isDistant, features);
  features.stridedBytes = stridedBytes(kernel, valueOf);
  features.buffers = kernel.getInputs().size() + kernel->getNumResults();
  return features;
}

} // namespace attune::codegen
