#include "attune/passes/Passes.h"
#include "attune/passes/raise/ConstantLaws.h"
#include "attune/passes/raise/Exponentials.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISEEMA
#include "attune/passes/Passes.h.inc"

namespace {
struct RaiseEma : impl::RaiseEmaBase<RaiseEma> {
  using RaiseEmaBase::RaiseEmaBase;

  void runOnOperation() override {
    SmallVector<ToeplitzOp> products(getOperation().getOps<ToeplitzOp>());
    for (ToeplitzOp op : products)
      raise(op);
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  void raise(ToeplitzOp op) {
    if (!op.isCausal() || !op.hasChannelCoeffs())
      return;
    Sizes sizes(getOperation());
    Elements elements(sizes);
    SmallVector<Value> at = elements.addIndices(op.getCoeffs());
    std::optional<Exponentials> law =
        matchExponentials(elements, sizes, elements.at(op.getCoeffs(), at), at[0]);
    if (!law)
      return;
    auto refuse = [&](StringRef reason) {
      ++numRefused;
      remark::missed(op.getLoc(), options("EmaNotRaised"))
          << remark::reason("{0}", reason) << remark::add("nodes {0}", nodeNames(op.getLoc()));
    };
    // Steps before the kernel's end would have to be forgotten.
    if (!sizes.equal(elements.extentOf(at[0]), sizes.of(op.getInput(), 1)))
      return refuse("the kernel is shorter than the sequence");
    AffineExpr states = law->state ? elements.extentOf(law->state) : sizes.constant(1);
    if (Sizes::asConstant(states).value_or(0) < 1)
      return refuse("the number of exponentials is not constant");
    OpBuilder builder(op);
    Location loc = op.getLoc();
    auto element = cast<FloatType>(op.getInputType().getElementType());
    auto table = [&](ArrayRef<Value> factors, bool exponential = false) {
      return buildTable(builder, loc, elements, sizes, factors, exponential, at[1], law->state,
                        element);
    };
    Value decay = law->decay ? table(law->decay) : table(law->logDecay, /*exponential=*/true);
    if (!isBounded(decay)) {
      if (decay.use_empty())
        decay.getDefiningOp()->erase();
      return refuse("an exponential grows");
    }
    Value input = table({}), output = table(law->weight);
    auto ema = EmaOp::create(builder, loc, op.getInput(), decay, input, output, Value());
    op.getResult().replaceAllUsesWith(castTo(builder, ema.getResult(), op.getResult().getType()));
    ++numRaised;
    remark::passed(loc, options("EmaRaised"))
        << remark::add("convolution with {0} exponentials as moving average",
                       *Sizes::asConstant(states))
        << remark::add("nodes {0}", nodeNames(loc));
  }

  static Value castTo(OpBuilder &builder, Value value, Type type) {
    return value.getType() == type
               ? value
               : tensor::CastOp::create(builder, value.getLoc(), type, value).getResult();
  }

  /// What is known at compile time must be a decay.
  static bool isBounded(Value decay) {
    std::optional<ConstantData> data = ConstantData::get(decay);
    if (!data)
      return true;
    for (int64_t n = 0; n < (data->isSplat() ? 1 : data->size()); ++n)
      if (!(std::abs(data->getFloat(n)) <= 1))
        return false;
    return true;
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-raise")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
