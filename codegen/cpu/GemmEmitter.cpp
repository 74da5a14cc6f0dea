#include "attune/codegen/cpu/ByteDistance.h"
#include "attune/codegen/cpu/ConvMatch.h"
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/GemmDirect.h"
#include "attune/codegen/cpu/GemmPack.h"
#include "attune/codegen/cpu/GemmTables.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// The region's values inside one emitted function.
class Bound {
public:
  Bound(const GemmMatch &g, const Sizes &sizes, KernelBuilder &kb, const KernelArgs &args)
      : g(g), kb(kb), scope(sizes, kb, args), lanes(scope, kb.lanes()),
        code(g.epilogue, scope, lanes) {
    code.aligned = !isDirect(g) || g.bColumns.back().extent.multipleOf(kb.lanes());
  }

  GemmOperands operands() {
    GemmOperands o;
    o.batch = scope.get(g.batch);
    o.m = scope.get(g.m);
    o.n = scope.get(g.n);
    o.k = scope.get(g.k);
    o.a = scope.input(g.a);
    o.b = scope.input(g.b);
    o.aRows = axes(g.aRows);
    o.aDepth = axes(g.aDepth);
    o.aOffset = offset(g.aOffset, axes(g.aBatch));
    if (g.columns == GemmColumns::Strided) {
      o.bDepth = axes(g.bDepth);
      o.bColumns = axes(g.bColumns);
      o.bOffset = offset(g.bOffset, axes(g.bBatch));
    }
    o.work = scope.scratch(0);
    return o;
  }

  void epilogue(const GemmPoint &point) {
    code.run(point, g.product.result, [&]() -> Lane {
      if (!g.scale)
        return point.value;
      Value factor = lanes.vector(scale(point));
      return arith::MulFOp::create(kb.b, kb.loc, point.value, factor).getResult();
    });
  }

  void fetch(const GemmPoint &point) { code.fetch(point); }

  Value status() { return lanes.error(); }
  bool broken() const { return code.broken; }

private:
  SmallVector<GemmAxis> axes(const GemmAxisSizes &sizes) {
    return llvm::map_to_vector(sizes, [&](const GemmAxisSize &axis) {
      return GemmAxis{scope.get(axis.extent), scope.get(axis.stride)};
    });
  }
  std::function<Value(Value)> offset(const Size &start, SmallVector<GemmAxis> axes) {
    Value first = scope.get(start);
    return [this, first, axes](Value batch) { return kb.add(first, axisOffset(kb, batch, axes)); };
  }

  Lane scale(const GemmPoint &point) {
    linalg::GenericOp generic = g.dequantise;
    auto arg = dyn_cast<BlockArgument>(g.scale);
    if (!arg)
      return Lane(kb.b.clone(*g.scale.getDefiningOp())->getResult(0));
    OpOperand *operand = generic.getMatchingOpOperand(arg);
    return code.load(operand->get(), generic.getMatchingIndexingMap(operand), g.scaleLoops, point);
  }

  const GemmMatch &g;
  KernelBuilder &kb;
  Scope scope;
  Lanes lanes;
  EpilogueCode code;
};

class GemmEmitter : public KernelEmitter {
public:
  StringRef name() const override { return "gemm"; }

  bool matches(KernelOp op, const CpuTarget &target) const override {
    Sizes sizes(op);
    std::optional<GemmMatch> g = matchGemm(op, sizes);
    if (!g)
      return false;
    if (g->product.isGeneric)
      return isDirect(*g) && !matchConv(op, sizes);
    if (g->product.bytes())
      return sumsBytes(target);
    return g->codes.rounding == ContractRounding::Exact ||
           hasTables(target, g->codes.bits, g->product.sumsWide());
  }

  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    Sizes sizes(op);
    std::optional<GemmMatch> g = matchGemm(op, sizes);
    if (!g)
      return {};
    GemmSpec spec = specOf(*g);
    int64_t m = g->m.at(valueOf), k = g->k.at(valueOf);
    KernelPlan plan = gemmPlan(spec, target, g->batch.at(valueOf), m, g->n.at(valueOf), k);
    GemmScratch scratch = scratchOf(*g, spec, target);
    double slack = GemmScratch::slack;
    plan.scratch.push_back({slack, scratch.bytes(m, k, /*threads=*/1) - slack});
    return plan;
  }

  static GemmSpec specOf(const GemmMatch &g) {
    GemmSpec spec;
    spec.columns = g.columns;
    spec.codes = g.codes;
    spec.wide = g.product.sumsWide();
    spec.distance = g.product.distance;
    spec.m = g.m.constant();
    spec.n = g.n.constant();
    spec.k = g.k.constant();
    return spec;
  }

  static GemmScratch scratchOf(const GemmMatch &g, const GemmSpec &spec, const CpuTarget &target) {
    if (g.product.bytes())
      return byteDistanceScratch(spec, target);
    return isDirect(g) ? GemmScratch() : gemmScratch(spec, target);
  }

  /// `GemmScratch::bytes` as a host expression.
  static HostExpr scratchBytes(KernelOp op, const GemmMatch &g, GemmScratch scratch) {
    HostExpr fixed = hostExpr(op, Size(scratch.fixed) + Size(scratch.perDepth) * g.k);
    HostExpr rows = hostExpr(op, g.m), line = hostExpr(op, Size(4) * (g.k + Size(kPanelColumns)));
    return [=](OpBuilder &b, Location loc, ValueRange dims, Value threads) -> Value {
      auto number = [&](int64_t value) -> Value {
        return arith::ConstantIndexOp::create(b, loc, value);
      };
      Value most =
          arith::MinSIOp::create(b, loc, rows(b, loc, dims, threads), number(scratch.rowLimit));
      Value panels = arith::MulIOp::create(b, loc, most, line(b, loc, dims, threads));
      Value worker = arith::AddIOp::create(b, loc, fixed(b, loc, dims, threads), panels);
      Value all = arith::MulIOp::create(b, loc, worker, threads);
      return arith::AddIOp::create(b, loc, all, number(GemmScratch::slack));
    };
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Sizes sizes(op);
    std::optional<GemmMatch> g = matchGemm(op, sizes);
    if (!g)
      return op.emitError("internal: not a kernel of the gemm emitter");
    KernelBuilder kb(op.getLoc(), target);
    bool broken = false;
    GemmSpec spec = specOf(*g);
    std::vector<std::shared_ptr<Bound>> functions;
    spec.bind = [&](KernelBuilder &kb, const KernelArgs &args) {
      functions.push_back(std::make_shared<Bound>(*g, sizes, kb, args));
      Bound *bound = functions.back().get();
      GemmOperands operands = bound->operands();
      operands.epilogue = [bound](KernelBuilder &, const GemmPoint &point) {
        bound->epilogue(point);
      };
      operands.fetch = [bound](KernelBuilder &, const GemmPoint &point) { bound->fetch(point); };
      operands.status = [bound] { return bound->status(); };
      return operands;
    };
    bool bytes = g->product.bytes();
    if (bytes)
      emitByteDistance(kb, module, symbol, spec);
    else if (isDirect(*g))
      emitGemmDirect(kb, module, symbol, spec);
    else
      emitGemm(kb, module, symbol, spec);
    for (const auto &bound : functions)
      broken |= bound->broken();
    if (broken)
      return op.emitError("internal: the body of an epilogue is not supported");

    EmittedKernel emitted;
    emitted.scratch.push_back(scratchBytes(op, *g, scratchOf(*g, spec, target)));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createGemmEmitter() { return std::make_unique<GemmEmitter>(); }

} // namespace attune::codegen
