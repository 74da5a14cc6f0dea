#include "attune/codegen/cpu/AttentionPlan.h"
#include "attune/codegen/cpu/Emitter.h"

using namespace mlir;

namespace attune::codegen {

namespace {

class Emission {
public:
  Emission(AttentionPlan &plan, const CpuTarget &target) : plan(plan), target(target) {}
  FailureOr<EmittedKernel> run(ModuleOp module, StringRef symbol);

private:
  AttentionPlan &plan;
  const CpuTarget &target;
  std::unique_ptr<AttentionCode> code; ///< of the function being built
};

FailureOr<EmittedKernel> Emission::run(ModuleOp module, StringRef symbol) {
  KernelOp kernel = plan.sizes.kernel;
  KernelBuilder kb(plan.op.getLoc(), target);
  AttentionSpec spec;
  spec.headDim = plan.headDim;
  spec.valueDim = plan.valueDim;
  spec.weighting = plan.op.getWeighting();
  spec.eps = plan.op.getEps() ? plan.op.getEps()->convertToDouble() : 0;
  spec.epsMode = plan.op.getEpsMode();
  spec.emptyRow = plan.op.getEmptyRow();
  bool failed = false;
  spec.values = [&](KernelBuilder &kb, const KernelArgs &args) {
    failed |= code && code->failed;
    code = std::make_unique<AttentionCode>(plan, kb, args, kb.lanes());
    return code->values();
  };
  spec.status = [&](KernelBuilder &) { return code->lanes.error(); };
  if (plan.score)
    spec.score = [&](KernelBuilder &kb, const AttentionPoint &point, Value x) {
      return code->lanes.vector(code->evaluate(*plan.score, point, x));
    };
  if (plan.mask) {
    spec.mask = [&](KernelBuilder &kb, const AttentionPoint &point) {
      Lane allowed = code->evaluate(*plan.mask, point, {});
      return allowed.uniform() ? allowed.scalar : code->lanes.vector(allowed);
    };
    spec.maskOfKeys = !plan.mask->dependsOnQuery();
    spec.range = [&](KernelBuilder &kb, Value b, Value h, Value first, Value last, Value keys) {
      return code->range(b, h, first, last, keys);
    };
  }
  for (tensor::ExtractOp extract : plan.tables) {
    bool inScore = plan.score && extract->getBlock() == &plan.score->block;
    spec.tables.push_back(
        {inScore, !inScore, [&, extract](KernelBuilder &, const AttentionPoint &at) {
           return code->place(extract, at);
         }});
  }
  int64_t scratchBuffer = kernel.getInputs().size() + kernel.getNumResults();
  AttentionScratch scratch = emitAttention(kb, module, symbol, spec, scratchBuffer);
  if (failed || code->failed)
    return kernel.emitError("internal error: attention region was accepted but cannot be emitted");
  EmittedKernel emitted;
  emitted.scratch.push_back([scratch](OpBuilder &b, Location loc, ValueRange, Value threads) {
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(b, loc, value);
    };
    Value workers = arith::MulIOp::create(b, loc, threads, constant(scratch.perWorker));
    return arith::AddIOp::create(b, loc, workers, constant(scratch.shared)).getResult();
  });
  return emitted;
}

struct AttentionEmitter : KernelEmitter {
  StringRef name() const override { return "attention"; }
  bool matches(KernelOp op, const CpuTarget &target) const override {
    return AttentionPlan(op).read();
  }
  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    AttentionPlan plan(op);
    if (!plan.read())
      return {};
    SmallVector<int64_t> at =
        llvm::map_to_vector(plan.extents, [&](const Size &size) { return size.at(valueOf); });
    int64_t batch = at[0], heads = at[1], kvHeads = at[2], queries = at[3], keys = at[4];
    // The queries of a cache come last.
    int64_t offset = plan.queryOffset ? keys - queries : 0;
    auto known = [&](Value value) -> std::optional<int64_t> {
      MaybeSize size = plan.sizes.of(value);
      return size ? std::optional<int64_t>(size->at(valueOf)) : std::nullopt;
    };
    auto seen = [&](int64_t first, int64_t last) {
      return plan.facts.count(first + offset, last + offset, offset, keys, known);
    };
    KernelPlan result = attentionPlan(AttentionTile::choose(target, plan.headDim, plan.valueDim),
                                      target, batch * heads, batch * kvHeads, queries, keys, seen);
    AttentionSpec spec;
    spec.headDim = plan.headDim;
    spec.valueDim = plan.valueDim;
    spec.tables.resize(plan.tables.size());
    AttentionScratch scratch = attentionScratch(spec, target);
    result.scratch.push_back(
        {static_cast<double>(scratch.shared), static_cast<double>(scratch.perWorker)});
    return result;
  }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    AttentionPlan plan(op);
    if (!plan.read())
      return op.emitError("internal error: not an attention kernel");
    return Emission(plan, target).run(module, symbol);
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createAttentionEmitter() {
  return std::make_unique<AttentionEmitter>();
}

} // namespace attune::codegen
