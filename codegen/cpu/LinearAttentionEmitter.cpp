#include "attune/codegen/cost/FormCost.h"
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/Lanes.h"
#include "attune/codegen/cpu/LinearAttentionMatch.h"

using namespace mlir;

namespace attune::codegen {

namespace {

/// Scratch may start anywhere: so many bytes more.
constexpr int64_t kAlign = 64;

using Plan = LinearAttentionMatch;

//===- Emission
//-----------------------------------------------------------------------------------===//

/// What belongs to the function being built.
struct Function {
  Function(const Sizes &sizes, KernelBuilder &kb, const KernelArgs &args)
      : scope(sizes, kb, args), lanes(scope, kb.lanes()) {}
  Scope scope;
  Lanes lanes;
};

class Emission {
public:
  Emission(Plan &plan, const CpuTarget &target) : plan(plan), target(target) {}
  FailureOr<EmittedKernel> run(ModuleOp module, StringRef symbol);

private:
  Plan &plan;
  const CpuTarget &target;
  std::unique_ptr<Function> function;
  bool failed = false;

  Value price(KernelBuilder &kb, AffineExpr price);
  std::function<Value(KernelBuilder &, Value)> map(Region &region);
};

Value Emission::price(KernelBuilder &kb, AffineExpr price) {
  SmallVector<Value> sizes;
  for (const Size &size : plan.priceSizes)
    sizes.push_back(function->scope.get(size));
  return emitPrice(kb.b, kb.loc, price, sizes);
}

std::function<Value(KernelBuilder &, Value)> Emission::map(Region &region) {
  if (region.empty())
    return {};
  return [this, &region](KernelBuilder &, Value x) {
    FailureOr<SmallVector<Lane>> cloned = function->lanes.clone(region.front(), {Lane(x)});
    failed |= mlir::failed(cloned);
    return succeeded(cloned) ? function->lanes.vector(cloned->front()) : x;
  };
}

FailureOr<EmittedKernel> Emission::run(ModuleOp module, StringRef symbol) {
  KernelOp kernel = plan.sizes.kernel;
  KernelBuilder kb(plan.op.getLoc(), target);
  LinearAttentionSpec &spec = plan.spec;
  spec.values = [&](KernelBuilder &kb, const KernelArgs &args) {
    function = std::make_unique<Function>(plan.sizes, kb, args);
    return plan.values(function->scope);
  };
  spec.status = [&](KernelBuilder &) { return function->lanes.error(); };
  spec.phiQ = map(plan.op.getPhiQ());
  spec.phiK = map(plan.op.getPhiK());
  spec.stateMap = map(plan.op.getState());
  if (FormPricesAttr prices = plan.op.getFormPricesAttr(); prices && spec.form == Form::Auto)
    for (auto [form, expr] : llvm::zip(prices.getForms(), prices.getPrices().getResults()))
      spec.prices.push_back(
          {form, [this, expr = expr](KernelBuilder &kb) { return price(kb, expr); }});
  int64_t scratchBuffer = kernel.getInputs().size() + kernel.getNumResults();
  LinearAttentionScratch scratch = emitLinearAttention(kb, module, symbol, spec, scratchBuffer);
  if (failed)
    return kernel.emitError("internal error: feature map was accepted but cannot be emitted");
  auto bytes = [](OpBuilder &b, Location loc, Value count, int64_t each) -> Value {
    auto constant = [&](int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); };
    Value all = arith::MulIOp::create(b, loc, count, constant(each));
    return arith::AddIOp::create(b, loc, all, constant(kAlign));
  };
  EmittedKernel emitted;
  emitted.scratch.push_back([=](OpBuilder &b, Location loc, ValueRange, Value threads) {
    return bytes(b, loc, threads, scratch.perWorker);
  });
  // A task reads the state of its head, or of some of its columns, before it writes it.
  auto inPlace = [&](const std::optional<Plan::Operand> &from, Value init,
                     const std::optional<Plan::Operand> &to, Value last) {
    if (from && to && isSameLayout(plan.sizes, init, {last, to->offset, to->strides}))
      emitted.inPlace.push_back({from->number, to->number, 0});
  };
  inPlace(plan.initState, plan.op.getInitState(), plan.finalState, plan.op.getFinalState());
  inPlace(plan.initNorm, plan.op.getInitNorm(), plan.finalNorm, plan.op.getFinalNorm());
  if (scratch.perHead) {
    Size heads = plan.extents[0] * plan.extents[2] + Size(scratch.heads);
    emitted.scratch.push_back(hostExpr(kernel, heads * Size(scratch.perHead) + Size(kAlign)));
  }
  return emitted;
}

struct LinearAttentionEmitter : KernelEmitter {
  StringRef name() const override { return "linear_attention"; }
  bool matches(KernelOp op, const CpuTarget &) const override { return Plan(op).read(); }
  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    KernelPlan result = KernelEmitter::plan(op, target, valueOf);
    Plan plan(op);
    if (!plan.read())
      return result;
    SmallVector<Form> forms{plan.spec.form};
    if (plan.spec.form == Form::Auto) {
      FormPricesAttr prices = plan.op.getFormPricesAttr();
      forms = prices ? SmallVector<Form>(prices.getForms()) : SmallVector{plan.spec.usualForm()};
    }
    LinearAttentionScratch scratch = linearAttentionScratch(plan.spec, forms, target);
    double heads = plan.extents[0].at(valueOf) * plan.extents[2].at(valueOf) + scratch.heads;
    result.scratch.push_back({kAlign, static_cast<double>(scratch.perWorker)});
    if (scratch.perHead)
      result.scratch.push_back({heads * scratch.perHead + kAlign, 0});
    result.visited = visitedPart(plan, valueOf);
    return result;
  }

  /// Where the length is not known, the work counts whole chunks, and a state for the first one.
  static double visitedPart(const Plan &plan, IndexValues valueOf) {
    LinearAttentionOp op = plan.op;
    if (op.getForm() != Form::Chunked || !cast<ShapedType>(op.getKey().getType()).isDynamicDim(2))
      return 1;
    constexpr double kChunk = 64;
    double length = plan.extents[4].at(valueOf), first = std::min(length, kChunk);
    double keyDim = cast<ShapedType>(op.getKey().getType()).getDimSize(3),
           valueDim = cast<ShapedType>(op.getValue().getType()).getDimSize(3);
    if (length <= 0 || keyDim <= 0 || valueDim <= 0)
      return 1;
    double state = 2 * keyDim * valueDim, inside = keyDim + valueDim;
    return (length * (first * inside + 2 * state) - (plan.initState ? 0 : first * state)) /
           (length * (kChunk * inside + 2 * state));
  }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Plan plan(op);
    if (!plan.read())
      return op.emitError("internal error: not a linear attention kernel");
    return Emission(plan, target).run(module, symbol);
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createLinearAttentionEmitter() {
  return std::make_unique<LinearAttentionEmitter>();
}

} // namespace attune::codegen
