#include "attune/passes/Passes.h"
#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/ConstantLaws.h"
#include "attune/passes/raise/EmaSteps.h"
#include "attune/passes/raise/Exponentials.h"
#include "attune/passes/raise/FitExponentials.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <cmath>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISEEMA
#include "attune/passes/Passes.h.inc"

namespace {
/// What may be left out, in units of f32 rounding of the largest tap.
constexpr double kRoundings = 8;

struct RaiseEma : impl::RaiseEmaBase<RaiseEma> {
  using RaiseEmaBase::RaiseEmaBase;

  void runOnOperation() override {
    SmallVector<ToeplitzOp> products(getOperation().getOps<ToeplitzOp>());
    for (ToeplitzOp op : products)
      raise(op);
    for (auto steps : llvm::to_vector(getOperation().getOps<tensor::ConcatOp>()))
      raise(steps);
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
    Value kernel = elements.at(op.getCoeffs(), at);
    // What lies further back than the kernel reaches has to be forgotten.
    std::optional<int64_t> window;
    if (AffineExpr taps = elements.extentOf(at[0]); !sizes.equal(taps, sizes.of(op.getInput(), 1)))
      if (window = Sizes::asConstant(taps); !window)
        return refuse(op, "the kernel's length is neither constant nor the sequence's");
    OpBuilder builder(op);
    Location loc = op.getLoc();
    std::optional<Exponentials> law = matchExponentials(elements, sizes, kernel, at[0]);
    if (!law) {
      auto taps = constantTaps(builder, loc, elements, sizes, kernel, at[1], at[0]);
      if (!taps)
        return;
      std::optional<ExponentialFit> fit = fitExponentials(*taps);
      if (!fit)
        return refuse(op, "the taps are no sum of a few decaying exponentials");
      if (fit->vanishes)
        window.reset();
      auto type =
          RankedTensorType::get({taps->channels, fit->states}, op.getInputType().getElementType());
      auto table = [&](ArrayRef<double> values) {
        auto cells = llvm::map_to_vector(values, [](double value) { return Cell{.f = value}; });
        return arith::ConstantOp::create(builder, loc, makeConstant(type, cells));
      };
      return replace(op, table(fit->decay), table(std::vector<double>(fit->decay.size(), 1)),
                     table(fit->weight), window);
    }
    AffineExpr states = law->state ? elements.extentOf(law->state) : sizes.constant(1);
    if (Sizes::asConstant(states).value_or(0) < 1)
      return refuse(op, "the number of exponentials is not constant");
    auto element = cast<FloatType>(op.getInputType().getElementType());
    auto table = [&](ArrayRef<Value> factors, bool exponential = false) {
      return buildTable(builder, loc, elements, sizes, factors, exponential, at[1], law->state,
                        element);
    };
    Value decay = law->decay ? table(law->decay) : table(law->logDecay, /*exponential=*/true);
    if (!isBounded(decay)) {
      if (decay.use_empty())
        decay.getDefiningOp()->erase();
      return refuse(op, "an exponential grows");
    }
    Value input = table({}), output = table(law->weight);
    if (window && vanishes(decay, output, *window))
      window.reset();
    replace(op, decay, input, output, window);
  }

  void raise(tensor::ConcatOp steps) {
    EmaSteps match(getOperation(), steps);
    if (!match.match()) {
      if (!match.reason.empty())
        refuse(steps, match.reason);
      return;
    }
    OpBuilder builder(steps);
    auto [ema, result] = match.build(builder);
    if (!isBounded(ema.getDecay()))
      return refuse(steps, "an exponential grows");
    steps.getResult().replaceAllUsesWith(result);
    ++numRaised;
    remark::passed(steps.getLoc(), options("EmaRaised"))
        << remark::add("{0} steps with {1} exponentials as moving average",
                       steps.getInputs().size(), ema.getNumStates())
        << remark::add("nodes {0}", nodeNames(steps.getLoc()));
  }

  void refuse(Operation *op, StringRef reason) {
    ++numRefused;
    remark::missed(op->getLoc(), options("EmaNotRaised"))
        << remark::reason("{0}", reason) << remark::add("nodes {0}", nodeNames(op->getLoc()));
  }

  void replace(ToeplitzOp op, Value decay, Value input, Value output,
               std::optional<int64_t> window) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    auto ema = EmaOp::create(builder, loc, op.getInput(), decay, input, output, Value());
    if (window) {
      ema.setTruncation(*window);
      if (ema.getTruncatedForm() == Form::Quadratic) {
        ema.erase();
        return refuse(op, "a kernel this short costs less tap by tap");
      }
    }
    op.getResult().replaceAllUsesWith(castTo(builder, ema.getResult(), op.getResult().getType()));
    ++numRaised;
    remark::passed(loc, options("EmaRaised"))
        << remark::add("convolution with {0} exponentials as moving average", ema.getNumStates())
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

  /// Whether all of the response after so many steps is rounding of its largest element.
  static bool vanishes(Value decay, Value weight, int64_t steps) {
    std::optional<ConstantData> a = ConstantData::get(decay), w = ConstantData::get(weight);
    if (!a || !w)
      return false;
    auto value = [](const ConstantData &data, int64_t n) {
      return data.getFloat(data.isSplat() ? 0 : n);
    };
    int64_t states = a->getType().getDimSize(1);
    for (int64_t row = 0; row < a->getType().getDimSize(0); ++row) {
      double rest = 0, largest = 0;
      std::vector<double> powers;
      for (int64_t n = row * states; n < (row + 1) * states; ++n) {
        double base = std::abs(value(*a, n));
        rest += std::abs(value(*w, n)) * std::pow(base, double(steps)) / (1 - base);
        powers.push_back(value(*w, n));
      }
      for (int64_t t = 0; t < steps; ++t) {
        double tap = 0;
        for (auto [n, power] : llvm::enumerate(powers)) {
          tap += power;
          power *= value(*a, row * states + n);
        }
        largest = std::max(largest, std::abs(tap));
      }
      if (!(rest <= kRoundings * 0x1p-24 * largest))
        return false;
    }
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
