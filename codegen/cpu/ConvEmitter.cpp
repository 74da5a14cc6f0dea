#include "attune/codegen/cpu/Conv.h"
#include "attune/codegen/cpu/ConvChannels.h"
#include "attune/codegen/cpu/ConvPlaneChannels.h"
#include "attune/codegen/cpu/ConvPlanes.h"

using namespace mlir;

namespace attune::codegen {
namespace {

class ConvEmitter : public KernelEmitter {
public:
  StringRef name() const override { return "conv"; }

  bool matches(KernelOp op, const CpuTarget &) const override {
    return matchConv(op, Sizes(op)).has_value();
  }

  KernelPlan plan(KernelOp op, const CpuTarget &target, IndexValues valueOf) const override {
    Sizes sizes(op);
    std::optional<ConvMatch> conv = matchConv(op, sizes);
    if (!conv)
      return {};
    KernelPlan plan = convPlan(*conv, target, valueOf);
    if (conv->rows.out.at(valueOf) * conv->columns.out.at(valueOf) != 0)
      plan.scratch = scratchOf(op, *conv, sizes, target, valueOf);
    return plan;
  }

  static bool isDense(const ConvMatch &conv) { return conv.kind == ConvMatch::Dense; }

  /// `use` of the code that a convolution gets.
  template <class Use>
  static auto withCode(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb,
                       ModuleOp module, Use use) {
    if (conv.acrossChannels)
      return use(ChannelCode(conv, sizes, kb, module));
    if (isDense(conv))
      return use(ConvCode(conv, sizes, kb, module));
    if (prefersPlaneChannels(conv, kb.target))
      return use(PlaneChannelCode(conv, sizes, kb, module));
    return use(PlaneCode(conv, sizes, kb, module));
  }

  static Value workerElements(const ConvMatch &conv, const Sizes &sizes, KernelBuilder &kb,
                              const std::function<Value(const Size &)> &get) {
    return withCode(conv, sizes, kb, {}, [&](auto code) { return code.scratchElements(get); });
  }

  /// Elements of a group's filters, if each call packs them.
  static std::optional<int64_t> packedHere(const ConvMatch &conv, const Sizes &sizes,
                                           KernelBuilder &kb) {
    if (!isDense(conv) || conv.packed)
      return std::nullopt;
    return ConvCode(conv, sizes, kb, {}).filterElements();
  }

  static SmallVector<KernelPlan::Scratch, 2> scratchOf(KernelOp op, const ConvMatch &conv,
                                                       const Sizes &sizes, const CpuTarget &target,
                                                       IndexValues valueOf) {
    OwningOpRef<ModuleOp> place(ModuleOp::create(op.getLoc()));
    KernelBuilder kb(op.getLoc(), target);
    kb.b.setInsertionPointToStart(place->getBody());
    Value elements =
        workerElements(conv, sizes, kb, [&](const Size &s) { return kb.idx(s.at(valueOf)); });
    SmallVector<KernelPlan::Scratch, 2> scratch;
    // All sizes are constants here, which fold.
    scratch.push_back({0, 4.0 * getConstantIntValue(elements).value_or(0)});
    if (std::optional<int64_t> filters = packedHere(conv, sizes, kb))
      scratch.push_back({4.0 * *filters * conv.groups.at(valueOf), 0});
    return scratch;
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Sizes sizes(op);
    std::optional<ConvMatch> conv = matchConv(op, sizes);
    if (!conv)
      return op.emitError("internal: not a kernel of the conv emitter");
    KernelBuilder kb(op.getLoc(), target);
    bool broken = withCode(*conv, sizes, kb, module, [&](auto code) {
      code.build(symbol);
      return code.broken;
    });
    if (broken)
      return op.emitError("internal: the body of an epilogue is not supported");

    EmittedKernel emitted;
    auto shared = std::make_shared<ConvMatch>(*conv);
    emitted.scratch.push_back([=](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
      KernelBuilder host(loc, target);
      host.b.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
      Sizes sizes(op);
      Value elements = workerElements(*shared, sizes, host, [&](const Size &size) {
        return hostExpr(op, size)(host.b, loc, dims, threads);
      });
      return host.mul(host.mul(elements, 4), threads);
    });
    if (std::optional<int64_t> filters = packedHere(*conv, sizes, kb))
      emitted.scratch.push_back(hostExpr(op, Size(4 * *filters) * conv->groups));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createConvEmitter() { return std::make_unique<ConvEmitter>(); }

} // namespace attune::codegen
