#include "attune/codegen/cpu/Conv.h"

using namespace mlir;

namespace attune::codegen {
namespace {

class ConvEmitter : public KernelEmitter {
public:
  StringRef name() const override { return "conv"; }

  bool matches(KernelOp op, const CpuTarget &) const override {
    return matchConv(op, Sizes(op)).has_value();
  }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Sizes sizes(op);
    std::optional<ConvMatch> conv = matchConv(op, sizes);
    if (!conv)
      return op.emitError("internal: not a kernel of the conv emitter");
    KernelBuilder kb(op.getLoc(), target);
    ConvCode code(*conv, sizes, kb, module);
    code.build(symbol);
    if (code.broken)
      return op.emitError("internal: the body of an epilogue is not supported");

    EmittedKernel emitted;
    auto shared = std::make_shared<ConvMatch>(*conv);
    emitted.scratch.push_back([=](OpBuilder &b, Location loc, ValueRange dims, Value threads) {
      KernelBuilder host(loc, target);
      host.b.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
      Sizes sizes(op);
      ConvCode sized(*shared, sizes, host, ModuleOp());
      Value elements = sized.scratchElements(
          [&](const Size &size) { return hostExpr(op, size)(host.b, loc, dims, threads); });
      return host.mul(host.mul(elements, 4), threads);
    });
    if (conv->kind == ConvMatch::Dense && !conv->packed)
      emitted.scratch.push_back(hostExpr(op, Size(4 * code.filterElements()) * conv->groups));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createConvEmitter() { return std::make_unique<ConvEmitter>(); }

} // namespace attune::codegen
