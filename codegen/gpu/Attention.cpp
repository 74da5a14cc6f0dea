// Softmax attention as one launch, or two where keys are split (AttentionKernel.h): host functions,
// grids and scratch.
#include "attune/codegen/gpu/Attention.h"

#include "attune/codegen/gpu/AttentionKernel.h"
#include "attune/codegen/gpu/Emitter.h"
#include "attune/codegen/gpu/Launches.h"
#include "attune/codegen/gpu/Math.h"

using namespace mlir;

namespace attune::codegen {

/// Results of this many columns, with what a tile needs, fit into registers.
static constexpr int64_t kMostColumns = 128;

bool fusesOnGpu(AttentionOp op) {
  auto isKnown = [](int64_t columns) { return columns > 0 && columns <= kMostColumns; };
  if (op.getWeighting() != Weighting::Softmax || !op.getQuery() || op.getLogits() ||
      op.getBlockIndex() || !op.getAccumType().isF32() || !op.getWeightType().isF32() ||
      !isKnown(op.getKeyDim()) || !isKnown(op.getValueDim()))
    return false;
  Type element = getElementTypeOrSelf(op.getQuery().getType());
  if (!element.isF16() && !element.isBF16() && !element.isF32())
    return false;
  for (Value tensor : {op.getKey(), op.getValue()})
    if (getElementTypeOrSelf(tensor.getType()) != element)
      return false;
  return true;
}

namespace {

using Extents = AttentionExtents;

class AttentionLaunches {
public:
  AttentionLaunches(KernelOp op, ModuleOp module, StringRef symbol, const CpuTarget &host,
                    const GpuTarget &gpu, AttentionPlan &plan)
      : op(op), plan(plan), host(host), whole(AttentionShape::blocks(plan, gpu)),
        split(AttentionShape::split(plan)), device(Launches::deviceModule(module)),
        partials(op.getInputs().size() + op.getNumResults()),
        launches(op, module, symbol, host, /*scratch=*/mayBeFew() ? 1 : 0) {}

  Built build(bool checked) {
    if (checked)
      launches.addChecks();
    bool works = true, canFail = false;
    auto block = [&](const AttentionShape &shape) {
      return [&](DeviceBuilder &kb, const KernelArgs &args) {
        Built built =
            buildAttention(kb, kb.dynamicShared(device), args, plan, shape, partials, checked);
        works &= built != Built::No;
        canFail |= built == Built::MayFail;
      };
    };
    auto zero = [](KernelBuilder &kb) { return kb.idx(0); };
    if (mayBeFew()) {
      auto chunks = [=, split = split](KernelBuilder &kb, const Extents &e) {
        return kb.select(few(kb, e), AttentionSplit(kb, e, split).chunks, zero(kb));
      };
      auto tiles = [split = split](KernelBuilder &kb, const Extents &e) {
        return kb.mul(e.kvHeads, AttentionSplit(kb, e, split).rowTiles);
      };
      auto rows = [=](KernelBuilder &kb, const Extents &e) {
        Value all = kb.mul(kb.mul(e.batch, e.heads), e.queries);
        return kb.select(few(kb, e), all, zero(kb));
      };
      launches.add(shapeOf(split, chunks, tiles), block(split));
      launches.add({.threads = attentionCombineThreads(plan), .grid = {atHost(rows)}},
                   [&](DeviceBuilder &kb, const KernelArgs &args) {
                     buildAttentionCombine(kb, args, plan, partials);
                   });
    }
    if (mayBeMany()) {
      auto tiles = [=, rows = whole.rows()](KernelBuilder &kb, const Extents &e) {
        return kb.select(few(kb, e), zero(kb), kb.ceilDiv(e.queries, rows));
      };
      auto heads = [](KernelBuilder &, const Extents &e) { return e.heads; };
      launches.add(shapeOf(whole, tiles, heads), block(whole));
    }
    if (!works)
      return Built::No;
    launches.finish();
    return canFail ? Built::MayFail : Built::Yes;
  }

  EmittedKernel describe() {
    EmittedKernel kernel;
    if (mayBeFew())
      kernel.scratch.push_back(atHost(
          [split = split, floats = partialFloats(plan)](KernelBuilder &kb, const Extents &e) {
            Value rows = kb.mul(kb.mul(e.batch, e.heads), e.queries);
            Value all = kb.mul(kb.mul(rows, AttentionSplit(kb, e, split).chunks),
                               floats * int64_t(sizeof(float)));
            return kb.select(few(kb, e), all, kb.idx(0));
          }));
    return kernel;
  }

private:
  KernelOp op;
  AttentionPlan &plan;
  const CpuTarget &host;
  AttentionShape whole, split;
  ModuleOp device;
  int64_t partials; ///< the number of their buffer
  Launches launches;

  std::optional<int64_t> queries() const { return plan.extents[3].constant(); }
  bool mayBeFew() const { return queries().value_or(0) <= AttentionSplit::kMostQueries; }
  bool mayBeMany() const { return queries().value_or(INT64_MAX) > AttentionSplit::kMostQueries; }
  static Value few(KernelBuilder &kb, const Extents &e) {
    return kb.cmp(arith::CmpIPredicate::sle, e.queries, kb.idx(AttentionSplit::kMostQueries));
  }

  using Formula = std::function<Value(KernelBuilder &, const Extents &)>;
  HostExpr atHost(Formula formula) const {
    return [op = op, sizes = plan.extents, host = host, formula](OpBuilder &b, Location loc,
                                                                 ValueRange dims, Value threads) {
      auto at = [&](int64_t number) { return hostExpr(op, sizes[number])(b, loc, dims, threads); };
      Extents extents{at(0), at(1), at(2), at(3), at(4)};
      KernelBuilder kb(loc, host);
      kb.b.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
      return formula(kb, extents);
    };
  }

  LaunchShape shapeOf(const AttentionShape &shape, Formula x, Formula y) const {
    LaunchShape launch;
    launch.threads = shape.threads();
    // What device code divides has 31 bits; more blocks than that are refused.
    auto checked = [x](KernelBuilder &kb, const Extents &e) {
      Value most = kb.max(kb.max(e.queries, e.keys), kb.mul(e.heads, e.queries));
      constexpr int64_t kLimit = int64_t(1) << 31;
      return kb.select(kb.lt(most, kb.idx(kLimit)), x(kb, e), kb.idx(kLimit));
    };
    launch.grid = {atHost(checked), atHost(y), hostExpr(op, plan.extents[0])};
    launch.sharedBytes = shape.sharedBytes(plan);
    // Registers for two blocks are all that a thread can have; left alone, the assembler may spill
    // for a third one.
    launch.blocksTogether = shape.splitKeys ? 0 : shape.warps <= 8 ? 2 : 1;
    return launch;
  }
};

class GpuAttentionEmitter final : public KernelEmitter {
public:
  explicit GpuAttentionEmitter(const GpuTarget &gpu) : gpu(gpu) {}
  StringRef name() const override { return "gpu-attention"; }

  bool matches(KernelOp op, const CpuTarget &host) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    AttentionPlan plan(op);
    return takes(op, plan) &&
           AttentionLaunches(op, *trial, "trial", host, gpu, plan).build(/*checked=*/false) !=
               Built::No &&
           !findRefused(*trial);
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &host) const override {
    OwningOpRef<ModuleOp> trial(ModuleOp::create(op.getLoc()));
    AttentionPlan plan(op);
    Built built =
        takes(op, plan)
            ? AttentionLaunches(op, *trial, symbol, host, gpu, plan).build(/*checked=*/false)
            : Built::No;
    if (built == Built::No)
      return op.emitError("internal: the attention emitter does not take this kernel");
    AttentionLaunches launches(op, module, symbol, host, gpu, plan);
    launches.build(/*checked=*/built == Built::MayFail);
    return launches.describe();
  }

private:
  GpuTarget gpu;

  bool takes(KernelOp op, AttentionPlan &plan) const {
    return Launches::fitParameters(op, /*scratch=*/1) && plan.read() && plan.result &&
           fusesOnGpu(plan.op) &&
           AttentionShape::blocks(plan, gpu).sharedBytes(plan) <= gpu.sharedBytes;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGpuAttentionEmitter(const GpuTarget &gpu) {
  return std::make_unique<GpuAttentionEmitter>(gpu);
}

} // namespace attune::codegen
