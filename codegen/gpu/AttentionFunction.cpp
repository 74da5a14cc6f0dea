#include "attune/codegen/gpu/AttentionFunction.h"

#include "attune/codegen/cpu/AttentionVector.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <limits>

using namespace mlir;

namespace attune::codegen {

static constexpr double kLog2E = 1.4426950408889634;
static constexpr double kInf = std::numeric_limits<double>::infinity();

AttentionFunction::AttentionFunction(DeviceBuilder &kb, AttentionPlan &plan, const KernelArgs &args)
    : kb(kb), plan(plan), code(plan, kb, args, /*lanes=*/1), values(code.values()),
      context{kb, spec, values} {
  spec.headDim = plan.headDim;
  spec.valueDim = plan.valueDim;
  spec.emptyRow = plan.op.getEmptyRow();
  if (!plan.mask)
    return;
  spec.mask = [this](KernelBuilder &, const AttentionPoint &point) {
    return code.evaluate(*this->plan.mask, point, {}).scalar;
  };
  spec.range = [this](KernelBuilder &, Value b, Value h, Value first, Value last, Value keys) {
    return code.range(b, h, first, last, keys);
  };
}

bool AttentionFunction::foldsScale() const {
  return !plan.score && !plan.scores && !values.sink && plan.scale.value_or(1) > 0;
}

double AttentionFunction::exponentScale() const {
  return foldsScale() ? plan.scale.value_or(1) * kLog2E : kLog2E;
}

AttentionExtents AttentionFunction::extents() const {
  return {values.batch, values.heads, values.kvHeads, values.queries, values.keys};
}

Value AttentionFunction::multiply(Value x, Value y) {
  return arith::MulFOp::create(kb.b, kb.loc, x, y);
}

Value AttentionFunction::add(Value x, Value y) { return arith::AddFOp::create(kb.b, kb.loc, x, y); }

Value AttentionFunction::greater(Value x, Value y) {
  return arith::MaxNumFOp::create(kb.b, kb.loc, x, y);
}

Value AttentionFunction::shiftOf(Value greatest) {
  Value none =
      arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OEQ, greatest, kb.constF(-kInf));
  return kb.select(none, kb.constF(0), multiply(greatest, kb.constF(-exponentScale())));
}

Value AttentionFunction::weight(Value x, Value shift) {
  Value exponent = math::FmaOp::create(kb.b, kb.loc, x, kb.constF(exponentScale()), shift);
  return LLVM::CallIntrinsicOp::create(kb.b, kb.loc, kb.f32(),
                                       kb.b.getStringAttr("llvm.nvvm.ex2.approx.ftz.f32"),
                                       ValueRange{exponent})
      .getResult(0);
}

Value AttentionFunction::logSumExp(Value greatest, Value sum) {
  Value log = math::LogOp::create(kb.b, kb.loc, sum);
  return add(multiply(greatest, kb.constF(exponentScale() / kLog2E)), log);
}

void AttentionFunction::storeLse(Value b, Value h, Value n, Value greatest, Value sum) {
  if (values.lse)
    kb.store(fromF32(kb, logSumExp(greatest, sum), values.lse.element),
             context.at(values.lse, b, h, n, {}));
}

Value AttentionFunction::partial(Value base, const AttentionSplit &split, Value b, Value h, Value n,
                                 Value chunk) {
  Value row = kb.add(kb.mul(kb.add(kb.mul(b, values.heads), h), values.queries), n);
  Value number = kb.add(kb.mul(row, split.chunks), chunk);
  return kb.gep(base, kb.mul(number, partialFloats(plan)), kb.f32());
}

} // namespace attune::codegen
