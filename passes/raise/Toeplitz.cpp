#include "attune/passes/Passes.h"
#include "attune/passes/raise/CausalTaps.h"
#include "attune/passes/raise/ConvolutionBuild.h"
#include "attune/passes/raise/Exponentials.h"
#include "attune/passes/raise/FitExponentials.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <cmath>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISETOEPLITZ
#include "attune/passes/Passes.h.inc"

namespace {
/// A flop of a transform takes as long as this many of the direct product, whose coefficients and
/// sums stay in registers.
constexpr double kTransformPenalty = 8;

struct RaiseToeplitz : impl::RaiseToeplitzBase<RaiseToeplitz> {
  using RaiseToeplitzBase::RaiseToeplitzBase;

  void runOnOperation() override {
    SmallVector<DftOp> inverses;
    for (auto op : getOperation().getOps<DftOp>())
      if (op.getInverse())
        inverses.push_back(op);
    for (DftOp op : inverses)
      for (Value view : shownBy(op))
        raise(view);
    SmallVector<linalg::GenericOp> generics(getOperation().getOps<linalg::GenericOp>());
    for (linalg::GenericOp op : generics)
      raise(op);
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  void raise(Value view) {
    Sizes sizes(getOperation());
    ConvolutionMatch match(sizes, view);
    auto refuse = [&](StringRef reason) {
      ++numRefused;
      remark::missed(match.inverse.getLoc(), options("ToeplitzNotRaised"))
          << remark::reason("{0}", reason)
          << remark::add("nodes {0}", nodeNames(match.inverse.getLoc()));
    };
    if (!match.run()) {
      if (!match.reason.empty())
        refuse(match.reason);
      return;
    }
    if (transformIsCheaper(match) && !decays(match, sizes))
      return refuse("the transforms cost less than the direct product");
    OpBuilder builder(view.getContext());
    builder.setInsertionPointAfterValue(view);
    if (!buildToeplitz(builder, sizes, match))
      return refuse("no tensor holds a signal by itself");
    ++numRaised;
    remark::passed(view.getLoc(), options("ToeplitzRaised"))
        << remark::add("{0} convolution by transforms", match.isCausal() ? "causal" : "two-sided")
        << remark::add("nodes {0}", nodeNames(match.inverse.getLoc()));
  }

  /// Whether a moving average will take the product's place.
  static bool decays(ConvolutionMatch &match, Sizes &sizes) {
    SmallVector<Value> channels = match.kernelIndices();
    if (!match.isCausal() || channels.size() != 1)
      return false;
    const Signal &kernel = match.kernel;
    if (matchExponentials(match.elements, sizes, kernel.scalar, kernel.position))
      return true;
    OpBuilder builder(match.inverse);
    auto taps = constantTaps(builder, match.inverse.getLoc(), match.elements, sizes, kernel.scalar,
                             channels[0], kernel.position);
    std::optional<ExponentialFit> fit = taps ? fitExponentials(*taps) : std::nullopt;
    return fit && (fit->vanishes || sizes.equal(kernel.extent, match.input.extent));
  }

  void raise(linalg::GenericOp op) {
    CausalTaps taps(getOperation(), op);
    if (!taps.match()) {
      if (taps.reason.empty())
        return;
      ++numRefused;
      remark::missed(op.getLoc(), options("ToeplitzNotRaised"))
          << remark::reason("{0}", taps.reason) << remark::add("nodes {0}", nodeNames(op.getLoc()));
      return;
    }
    OpBuilder builder(op);
    ToeplitzOp product = taps.build(builder);
    ++numRaised;
    remark::passed(product.getLoc(), options("ToeplitzRaised"))
        << remark::add("{0}", "causal depthwise convolution")
        << remark::add("nodes {0}", nodeNames(product.getLoc()));
  }

  /// Static sizes only. The kernel's transform counts, it is computed at every run.
  static bool transformIsCheaper(ConvolutionMatch &match) {
    auto length = Sizes::asConstant(match.length), taps = Sizes::asConstant(match.kernel.extent);
    auto inputs = Sizes::asConstant(match.input.extent), outputs = Sizes::asConstant(match.count);
    if (!length || !taps || !inputs || !outputs)
      return false;
    double direct = 2.0 * *outputs * std::min(*taps, *inputs) * (match.isCausal() ? 0.5 : 1);
    double transform = 2.5 * *length * std::log2(double(std::max<int64_t>(*length, 2)));
    return direct > 3 * transform * kTransformPenalty;
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-raise")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
