#include "attune/codegen/cpu/LoopsBody.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace attune::codegen {
namespace {

class LoopsEmitter final : public KernelEmitter {
public:
  StringRef name() const override { return "loops"; }
  bool matches(KernelOp, const CpuTarget &) const override { return true; }

  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    OwningOpRef<ModuleOp> temporary = ModuleOp::create(op.getLoc());
    LoopsBody body(op, *temporary, symbol, LoopsBody::Loops::Serial);
    if (failed(body.build()))
      return failure();
    body.moveGlobals(module);
    KernelBuilder kb(op.getLoc(), target);
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      Values dims;
      for (unsigned i = 0; i < op.getDims().size(); ++i)
        dims.push_back(kb.dim(args, i));
      unsigned buffers = op.getInputs().size() + op.getNumResults();
      Values operands =
          body.memrefs(kb, dims, [&](int64_t number) { return kb.buffer(args, number); });
      operands.insert(operands.begin() + buffers, dims.begin(), dims.end());
      IRMapping map;
      Block &block = body.func.getBody().front();
      map.map(block.getArguments(), operands);
      for (Operation &inner : block.without_terminator())
        kb.b.clone(inner, map);
      return map.lookup(block.getTerminator()->getOperand(0));
    });
    EmittedKernel kernel;
    kernel.scratch = std::move(body.scratch);
    return kernel;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createLoopsEmitter() { return std::make_unique<LoopsEmitter>(); }

} // namespace attune::codegen
