#include "attune/codegen/cpu/LoopsBody.h"
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/Launches.h"
#include "attune/codegen/gpu/Math.h"
#include "attune/runtime/kernel_abi.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;

namespace attune::codegen {
namespace {

constexpr int64_t kThreads = 256;

/// Every loop nest of the reference lowering is a launch: independent iterations are threads, what
/// is around them runs in one thread.
class Nests {
public:
  Nests(KernelOp op, LoopsBody &body, Launches &launches, ModuleOp device, bool checked)
      : op(op), body(body), launches(launches), device(device), checked(checked) {}

  LogicalResult build() {
    for (Operation &nest : body.func.getBody().front().without_terminator()) {
      if (isMadeAgain(&nest))
        continue;
      if (failed(addLaunch(&nest)))
        return failure();
    }
    return success();
  }

private:
  KernelOp op;
  LoopsBody &body;
  Launches &launches;
  ModuleOp device;
  bool checked;

  /// Values that every launch computes itself.
  static bool isMadeAgain(Operation *nest) {
    return nest->getNumRegions() == 0 && (isMemoryEffectFree(nest) || isa<memref::LoadOp>(nest));
  }

  static Value rootOf(Value memref) {
    while (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
      memref = view.getViewSource();
    return memref;
  }

  /// Whether `nest` writes to memory that `load` reads.
  static bool writes(Operation *nest, memref::LoadOp load) {
    Value root = rootOf(load.getMemRef());
    return nest
        ->walk([&](memref::StoreOp store) {
          return rootOf(store.getMemRef()) == root ? WalkResult::interrupt()
                                                   : WalkResult::advance();
        })
        .wasInterrupted();
  }

  InFlightDiagnostic refuse(StringRef why) {
    return op.emitError("unsupported: the CUDA back end does not take this kernel: ") << why;
  }

  /// What `nest` needs of the values around it, in order. An element that is read again must not
  /// have changed.
  FailureOr<SetVector<Operation *>> slice(Operation *nest) {
    SetVector<Operation *> needed;
    BackwardSliceOptions options;
    options.omitBlockArguments = true;
    options.filter = [&](Operation *o) { return o->getBlock() == nest->getBlock(); };
    auto add = [&](Value value) {
      Operation *producer = value.getDefiningOp();
      if (!producer || producer->getBlock() != nest->getBlock())
        return success();
      if (failed(getBackwardSlice(value, &needed, options)))
        return failure();
      needed.insert(producer);
      return success();
    };
    WalkResult walked = nest->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (failed(add(operand)))
          return WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (walked.wasInterrupted())
      return failure();
    SetVector<Operation *> sorted = topologicalSort(needed);
    for (Operation *made : sorted)
      if (auto load = dyn_cast<memref::LoadOp>(made))
        for (Operation *between = load->getNextNode(); between != nest->getNextNode();
             between = between->getNextNode())
          if (writes(between, load))
            return refuse("an element is read before it changes"), failure();
    return sorted;
  }

  LogicalResult addLaunch(Operation *nest) {
    FailureOr<SetVector<Operation *>> needed = slice(nest);
    if (failed(needed))
      return failure();
    LaunchShape shape;
    auto parallel = dyn_cast<scf::ParallelOp>(nest);
    if (!parallel || parallel.getNumReductions()) {
      shape.threads = 1;
      launches.add(shape, [&](DeviceBuilder &kb, const KernelArgs &args) {
        inner(kb, args, *needed, [&](IRMapping &map) { kb.b.clone(*nest, map); });
      });
      return success();
    }
    SmallVector<HostExpr> extents;
    for (auto [lower, upper, step] :
         llvm::zip(parallel.getLowerBound(), parallel.getUpperBound(), parallel.getStep())) {
      FailureOr<HostExpr> from = body.hostExpr(lower), to = body.hostExpr(upper),
                          by = body.hostExpr(step);
      if (failed(from) || failed(to) || failed(by))
        return refuse("the number of threads depends on elements");
      extents.push_back([from = *from, to = *to, by = *by](OpBuilder &b, Location loc,
                                                           ValueRange dims, Value) -> Value {
        Value none;
        Value gap =
            b.createOrFold<arith::SubIOp>(loc, to(b, loc, dims, none), from(b, loc, dims, none));
        return b.createOrFold<arith::CeilDivSIOp>(loc, gap, by(b, loc, dims, none));
      });
    }
    shape.threads = kThreads;
    shape.grid = {hostCeilDiv(
        [extents](OpBuilder &b, Location loc, ValueRange dims, Value) -> Value {
          Value product = arith::ConstantIndexOp::create(b, loc, 1);
          for (const HostExpr &extent : extents)
            product = b.createOrFold<arith::MulIOp>(loc, product, extent(b, loc, dims, Value()));
          return product;
        },
        kThreads)};
    launches.add(shape, [&](DeviceBuilder &kb, const KernelArgs &args) {
      inner(kb, args, *needed, [&](IRMapping &map) { threads(kb, map, parallel); });
    });
    return success();
  }

  /// One iteration per thread, the last axis along neighbours.
  void threads(DeviceBuilder &kb, IRMapping &map, scf::ParallelOp nest) {
    Values extents, lowers, steps;
    Value total = kb.idx(1);
    for (auto [lower, upper, step] :
         llvm::zip(nest.getLowerBound(), nest.getUpperBound(), nest.getStep())) {
      lowers.push_back(map.lookup(lower));
      steps.push_back(map.lookup(step));
      extents.push_back(kb.b.createOrFold<arith::CeilDivSIOp>(
          kb.loc, kb.sub(map.lookup(upper), lowers.back()), steps.back()));
      total = kb.mul(total, extents.back());
    }
    Value number = kb.globalThread(kThreads);
    kb.ifThen(kb.lt(number, total), [&] {
      Value rest = number;
      for (int64_t axis = int64_t(extents.size()) - 1; axis >= 0; --axis) {
        Value at = axis ? kb.rem(rest, extents[axis]) : rest;
        rest = kb.div(rest, extents[axis]);
        map.map(nest.getInductionVars()[axis], kb.add(lowers[axis], kb.mul(at, steps[axis])));
      }
      for (Operation &inside : nest.getBody()->without_terminator())
        kb.b.clone(inside, map);
    });
  }

  /// The code in a function of its own, whose parameters say that buffers do not overlap.
  void inner(DeviceBuilder &kb, const KernelArgs &args, const SetVector<Operation *> &needed,
             llvm::function_ref<void(IRMapping &)> code) {
    int64_t buffers = int64_t(op.getInputs().size() + op.getNumResults() + body.scratch.size());
    Values operands;
    for (int64_t i = 0; i < buffers; ++i)
      operands.push_back(kb.buffer(args, i));
    for (unsigned i = 0; i < op.getDims().size(); ++i)
      operands.push_back(kb.dim(args, i));
    if (checked)
      operands.push_back(kb.failure());
    func::FuncOp function = declareInner(kb, buffers, operands);
    func::CallOp::create(kb.b, kb.loc, function, operands);

    OpBuilder::InsertionGuard guard(kb.b);
    Block *block = function.addEntryBlock();
    kb.b.setInsertionPointToStart(block);
    ValueRange parameters = block->getArguments();
    Values dims(parameters.slice(buffers, op.getDims().size()));
    Values values = body.memrefs(kb, dims, [&](int64_t number) { return parameters[number]; });
    values.insert(values.begin() + int64_t(op.getInputs().size() + op.getNumResults()),
                  dims.begin(), dims.end());
    IRMapping map;
    map.map(body.func.getArguments(), values);
    for (Operation *made : needed)
      kb.b.clone(*made, map);
    code(map);
    replaceAsserts(kb, function, parameters.back());
    func::ReturnOp::create(kb.b, kb.loc);
  }

  func::FuncOp declareInner(DeviceBuilder &kb, int64_t buffers, ValueRange operands) {
    auto entry = kb.b.getBlock()->getParent()->getParentOfType<LLVM::LLVMFuncOp>();
    OpBuilder b = OpBuilder::atBlockEnd(device.getBody());
    auto function =
        func::FuncOp::create(b, kb.loc, (entry.getName() + "_inner").str(),
                             b.getFunctionType(llvm::to_vector(operands.getTypes()), {}));
    function->setAttr("llvm.linkage",
                      LLVM::LinkageAttr::get(b.getContext(), LLVM::Linkage::Internal));
    function->setAttr("passthrough", b.getArrayAttr(b.getStringAttr("alwaysinline")));
    for (int64_t i = 0; i < buffers; ++i)
      function.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(), b.getUnitAttr());
    return function;
  }

  /// A failed check is the kernel's result; the access behind it is clamped by its maker.
  void replaceAsserts(DeviceBuilder &kb, func::FuncOp function, Value status) {
    SmallVector<cf::AssertOp> asserts;
    function.walk([&](cf::AssertOp assertion) { asserts.push_back(assertion); });
    for (cf::AssertOp assertion : asserts) {
      OpBuilder::InsertionGuard guard(kb.b);
      kb.b.setInsertionPoint(assertion);
      Value holds = assertion.getArg(), yes = kb.constI(1, kb.b.getI1Type());
      kb.ifThen(arith::XOrIOp::create(kb.b, kb.loc, holds, yes), [&] {
        kb.store(kb.constI(ATTUNE_KERNEL_INDEX_OUT_OF_RANGE, kb.b.getI32Type()), status);
      });
      assertion.erase();
    }
  }
};

class GpuLoopsEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "gpu-loops"; }
  bool matches(KernelOp, const CpuTarget &) const override { return true; }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &host) const override {
    auto tooMany = [&] {
      return op.emitError("unsupported: the CUDA back end does not take this kernel: too many "
                          "tensors for one launch");
    };
    if (!Launches::fitParameters(op, /*scratch=*/0))
      return tooMany();
    OwningOpRef<ModuleOp> temporary = ModuleOp::create(op.getLoc());
    LoopsBody body(op, *temporary, symbol, LoopsBody::Loops::Parallel);
    if (failed(body.build()))
      return failure();
    if (std::optional<std::string> reason = findRefused(body.func))
      return op.emitError("unsupported: the CUDA back end does not take this kernel: ") << *reason;
    if (!Launches::fitParameters(op, int64_t(body.scratch.size())))
      return tooMany();
    ModuleOp device = Launches::deviceModule(module);
    body.moveGlobals(device);
    bool checked = false;
    body.func.walk([&](cf::AssertOp) { checked = true; });
    Launches launches(op, module, symbol, host, int64_t(body.scratch.size()));
    if (checked)
      launches.addChecks();
    if (failed(Nests(op, body, launches, device, checked).build()))
      return failure();
    launches.finish();
    EmittedKernel kernel;
    kernel.scratch = std::move(body.scratch);
    return kernel;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGpuLoopsEmitter(const GpuTarget &) {
  return std::make_unique<GpuLoopsEmitter>();
}

} // namespace attune::codegen
