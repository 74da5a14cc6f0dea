// Rows of elementwise operators, reductions, norms and softmax: planned as on a CPU
// (codegen/cpu/RowwisePlan.h), with the lanes of a row dealt out to the threads of a warp or of a
// block. Neighbouring threads read neighbouring elements.
#include "attune/codegen/cpu/RowwiseCode.h"
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/Launches.h"
#include "attune/codegen/gpu/Math.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// A row this short is a warp's, a longer one a block's.
constexpr int64_t kWarpRow = 1024;
constexpr int64_t kThreads = 256, kWarps = kThreads / DeviceBuilder::kWarp;
/// Kept values up to so many bytes of a block lie in its shared memory.
constexpr int64_t kMostShared = 32 << 10;
constexpr int64_t kAlign = 16;

using Plan = std::shared_ptr<RowwisePlan>;

class RowwiseKernel {
public:
  RowwiseKernel(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &host, Plan plan)
      : op(op), device(Launches::deviceModule(module)), symbol(symbol), plan(plan),
        launches(op, module, symbol, host, /*scratch=*/keptBytes().is(0) || inShared() ? 0 : 1) {}

  /// `checked`: whether something can fail, as another instance has found.
  bool build(bool checked) {
    if (checked)
      launches.addChecks();
    LaunchShape shape;
    shape.threads = kThreads;
    shape.grid = {hostCeilDiv(rows(), rowsPerBlock())};
    bool works = true;
    launches.add(shape, [&](DeviceBuilder &kb, const KernelArgs &args) {
      works = buildThread(kb, args, checked);
    });
    if (works)
      launches.finish();
    return works;
  }

  bool canFail = false;

  EmittedKernel describe() {
    EmittedKernel kernel;
    if (!keptBytes().is(0) && !inShared()) {
      HostExpr bytes = atHost(keptBytes()), count = rows();
      kernel.scratch.push_back([=](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
        Value one = bytes(b, loc, dims, threads), all = count(b, loc, dims, threads);
        return b.createOrFold<arith::MulIOp>(loc, one, all);
      });
    }
    return kernel;
  }

private:
  KernelOp op;
  ModuleOp device;
  StringRef symbol;
  Plan plan;
  Launches launches;

  /// The plan, whose copy of the kernel sizes refer to, lives as long as the expression.
  HostExpr atHost(const Size &size) {
    return [plan = plan, size](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
      return hostExpr(plan->kernel, size)(b, loc, dims, threads);
    };
  }

  bool warpPerRow() const {
    if (plan->laneBlock)
      return false;
    std::optional<int64_t> length = plan->extents.at(plan->lane).constant();
    return length && *length <= kWarpRow;
  }
  int64_t rowsPerBlock() const { return warpPerRow() ? kWarps : 1; }

  HostExpr rows() {
    HostExpr count = atHost(plan->rowCount());
    if (!plan->laneBlock)
      return count;
    HostExpr blocks = hostCeilDiv(atHost(plan->extents.at(plan->lane)), plan->laneBlock);
    return [=](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
      Value x = count(b, loc, dims, threads), y = blocks(b, loc, dims, threads);
      return b.createOrFold<arith::MulIOp>(loc, x, y);
    };
  }

  Size bytesOf(Value kept) const {
    int64_t element = storageBytes(getElementTypeOrSelf(kept));
    Size bytes = plan->keptElements(kept) * Size(element);
    if (std::optional<int64_t> known = bytes.constant())
      return Size((*known + kAlign - 1) / kAlign * kAlign);
    return plan->keptElements(kept) * Size(kAlign); // a multiple of any element's size
  }

  /// Of one row.
  Size keptBytes() const {
    Size bytes(0);
    for (auto &[value, inner] : plan->kept)
      bytes = bytes + bytesOf(value);
    return bytes;
  }

  bool inShared() const {
    std::optional<int64_t> bytes = keptBytes().constant();
    return bytes && *bytes * rowsPerBlock() <= kMostShared;
  }

  /// Addresses of kept values, of one row.
  std::function<Value(Value)> bufferFor(DeviceBuilder &kb, Scope &scope, Value row, Value inBlock) {
    Value base, place;
    if (keptBytes().is(0))
      return nullptr;
    if (inShared()) {
      int64_t bytes = *keptBytes().constant();
      base = kb.shared(device, (symbol + "_kept").str(), bytes * rowsPerBlock());
      place = kb.mul(inBlock, bytes);
    } else {
      base = scope.scratch(0);
      place = kb.mul(row, scope.get(keptBytes()));
    }
    llvm::DenseMap<Value, Value> addresses;
    Size start(0);
    for (auto &[value, inner] : plan->kept) {
      Value offset = kb.add(place, scope.get(start));
      addresses[value] = kb.gep(base, offset, kb.b.getI8Type());
      start = start + bytesOf(value);
    }
    return [addresses](Value kept) { return addresses.lookup(kept); };
  }

  /// Warps put their results side by side; every thread combines them in the same order.
  Value acrossBlock(DeviceBuilder &kb, const Reduction &reduction, Value sum, Value warp) {
    Type stored = storageType(sum.getType());
    Value place = kb.shared(device, (symbol + "_parts").str(), kWarps * 8);
    Value first = kb.eq(kb.rem(kb.thread(), kb.idx(DeviceBuilder::kWarp)), kb.idx(0));
    auto convert = [&](Value x, Type type) -> Value {
      if (x.getType() == type)
        return x;
      if (type.isInteger(8))
        return arith::ExtUIOp::create(kb.b, kb.loc, type, x);
      if (type.isInteger(1))
        return arith::TruncIOp::create(kb.b, kb.loc, type, x);
      return arith::BitcastOp::create(kb.b, kb.loc, type, x);
    };
    kb.ifThen(first, [&] { kb.store(convert(sum, stored), place, warp); });
    kb.barrier();
    Values parts;
    for (int64_t i = 0; i < kWarps; ++i)
      parts.push_back(convert(kb.load(stored, place, kb.idx(i)), sum.getType()));
    kb.barrier(); // they are read before the next ones are written
    return reduction.merge(kb, parts);
  }

  bool buildThread(DeviceBuilder &kb, const KernelArgs &args, bool checked) {
    Scope scope(*plan->sizes, kb, args);
    Value thread = kb.thread(), warp = kb.div(thread, DeviceBuilder::kWarp);
    bool warps = warpPerRow();
    RowGroup group;
    group.threads = warps ? DeviceBuilder::kWarp : kThreads;
    group.thread = warps ? kb.rem(thread, kb.idx(DeviceBuilder::kWarp)) : thread;
    Value inBlock = warps ? warp : kb.idx(0);
    Value row = kb.add(kb.mul(kb.block(), rowsPerBlock()), inBlock);
    group.across = [&](const Reduction &reduction, Value sum) {
      sum = kb.acrossWarp(sum, [&](Value x, Value y) { return reduction.combine(kb, x, y); });
      return warps ? sum : acrossBlock(kb, reduction, sum, warp);
    };
    group.meet = [&] { warps ? kb.warpBarrier() : kb.barrier(); };
    group.buffer = bufferFor(kb, scope, row, inBlock);

    RowwiseCode code(*plan, kb);
    auto build = [&] {
      Value result = code.buildShared(scope, group, row);
      canFail = !isConstantIntValue(result, 0);
      if (!checked)
        return;
      Value bad = kb.cmp(arith::CmpIPredicate::ne, result, kb.constI(0, kb.b.getI32Type()));
      kb.ifThen(bad, [&] { kb.store(result, kb.failure()); });
    };
    if (!warps)
      build();
    else
      kb.ifThen(kb.lt(row, scope.get(plan->rowCount())), build);
    return !code.failed;
  }
};

class GpuRowwiseEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "gpu-rowwise"; }

  bool matches(KernelOp op, const CpuTarget &host) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    Plan plan = makePlan(op);
    return plan && RowwiseKernel(op, *trial, "trial", host, plan).build(/*checked=*/false) &&
           !findRefused(*trial);
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &host) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    Plan plan = makePlan(op);
    RowwiseKernel first(op, *trial, symbol, host, plan);
    if (!first.build(/*checked=*/false))
      return op.emitError("internal: the row-wise emitter does not take this kernel");
    plan = makePlan(op);
    RowwiseKernel kernel(op, module, symbol, host, plan);
    kernel.build(first.canFail);
    return kernel.describe();
  }

private:
  /// Threads have one lane each.
  static Plan makePlan(KernelOp op) {
    if (!Launches::fitParameters(op, /*scratch=*/1))
      return nullptr;
    CpuTarget thread;
    thread.fma = true;
    Plan plan = RowwisePlan::make(op, thread);
    if (!plan || plan->lane < 0)
      return nullptr;
    plan->lanes = 1;
    return plan;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGpuRowwiseEmitter(const GpuTarget &) {
  return std::make_unique<GpuRowwiseEmitter>();
}

} // namespace attune::codegen
