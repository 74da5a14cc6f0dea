#include "attune/passes/Passes.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <cmath>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_FORMGELU
#include "attune/passes/Passes.h.inc"

namespace {

/// The value of `scalar` where `input` has the value x; empty if it depends on anything else or
/// on operators other than arithmetic, erf and tanh.
std::optional<double> evaluate(Value scalar, Value input, double x) {
  if (scalar == input)
    return x;
  if (std::optional<double> constant = asFloat(scalar))
    return constant;
  Operation *op = scalar.getDefiningOp();
  if (!op ||
      !isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp, arith::NegFOp, arith::ExtFOp,
           arith::TruncFOp, math::ErfOp, math::TanhOp, math::PowFOp, math::FPowIOp>(op))
    return std::nullopt;
  std::optional<double> a = evaluate(op->getOperand(0), input, x);
  if (!a)
    return std::nullopt;
  if (isa<arith::ExtFOp, arith::TruncFOp>(op))
    return a;
  if (isa<arith::NegFOp>(op))
    return -*a;
  if (isa<math::ErfOp>(op))
    return std::erf(*a);
  if (isa<math::TanhOp>(op))
    return std::tanh(*a);
  APInt integer;
  if (isa<math::FPowIOp>(op)) {
    if (!matchPattern(op->getOperand(1), m_ConstantInt(&integer)))
      return std::nullopt;
    return std::pow(*a, integer.getSExtValue());
  }
  std::optional<double> b = evaluate(op->getOperand(1), input, x);
  if (!b)
    return std::nullopt;
  if (isa<arith::AddFOp>(op))
    return *a + *b;
  if (isa<arith::SubFOp>(op))
    return *a - *b;
  if (isa<arith::MulFOp>(op))
    return *a * *b;
  return isa<arith::DivFOp>(op) ? *a / *b : std::pow(*a, *b);
}

double geluErf(double x) { return 0.5 * x * (1 + std::erf(x * M_SQRT1_2)); }
double geluTanh(double x) {
  return 0.5 * x * (1 + std::tanh(M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x)));
}

/// Two expressions of few analytic operators that agree this well at that many points are the same
/// function up to the rounding of their constants. The two forms of GELU differ by 4e-4.
bool agree(Value scalar, Value input, double (*function)(double)) {
  for (int n = -48; n <= 48; ++n) {
    double x = n * 0.1303, expected = function(x);
    std::optional<double> value = evaluate(scalar, input, x);
    if (!value || !(std::abs(*value - expected) <= 1e-6 * std::max(1.0, std::abs(expected))))
      return false;
  }
  return true;
}

struct FormGelu : impl::FormGeluBase<FormGelu> {
  using FormGeluBase::FormGeluBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> candidates;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (op.getNumLoops() == op.getNumParallelLoops() && op->getNumResults() == 1 &&
          op.hasPureTensorSemantics() && !op.getBlock()->getOps<arith::MulFOp>().empty())
        candidates.push_back(op);
    });
    Sizes sizes(getOperation());
    for (linalg::LinalgOp op : llvm::reverse(candidates))
      if (!op->use_empty() && form(op, sizes))
        ++numFormed;
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  bool form(linalg::LinalgOp op, Sizes &sizes) {
    Value result = op->getResult(0);
    auto type = cast<RankedTensorType>(result.getType());
    Elements elements(sizes);
    elements.setBudget(96);
    SmallVector<Value> indices = elements.addIndices(result);
    Value scalar = elements.at(result, indices);
    // Some value below an erf or tanh is the input.
    SmallVector<std::pair<Value, int>> pending{{scalar, 0}};
    SmallVector<Value> curves;
    llvm::SmallDenseSet<Value> seen;
    while (!pending.empty()) {
      auto [value, depth] = pending.pop_back_val();
      Operation *inner = value.getDefiningOp();
      if (!inner || depth > 6 || !seen.insert(value).second)
        continue;
      if (isa<math::ErfOp, math::TanhOp>(inner))
        curves.push_back(value);
      else if (isa<arith::ArithDialect>(inner->getDialect()))
        for (Value operand : inner->getOperands())
          pending.push_back({operand, depth + 1});
    }
    for (Value curve : curves) {
      bool isErf = bool(curve.getDefiningOp<math::ErfOp>());
      for (Value x : inputsOf(curve)) {
        if (!agree(scalar, x, isErf ? geluErf : geluTanh))
          continue;
        Value input = elements.tensorAt(x, indices, type);
        if (!input || input == result || isFormed(op, input))
          return false;
        build(op, input, isErf);
        return true;
      }
    }
    return false;
  }

  /// Values below the argument of the curve, nearest first.
  static SmallVector<Value> inputsOf(Value curve) {
    SmallVector<Value> values{curve.getDefiningOp()->getOperand(0)};
    for (size_t n = 0; n < values.size() && values.size() < 24; ++n)
      if (Operation *inner = values[n].getDefiningOp())
        if (isa<arith::ArithDialect, math::MathDialect>(inner->getDialect()))
          for (Value operand : inner->getOperands())
            if (!asFloat(operand) && isa<FloatType>(operand.getType()) &&
                !llvm::is_contained(values, operand))
              values.push_back(operand);
    return values;
  }

  /// The operator computes all of it already.
  static bool isFormed(linalg::LinalgOp op, Value input) {
    return op.getNumDpsInputs() == 1 && op.getDpsInputs()[0] == input;
  }

  static void build(linalg::LinalgOp op, Value input, bool isErf) {
    OpBuilder builder(op);
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
    SmallVector<utils::IteratorType> parallel(type.getRank(), utils::IteratorType::parallel);
    auto body = [&](OpBuilder &b, Location loc, ValueRange args) {
      Value x = args[0];
      auto constant = [&](double value) -> Value {
        return arith::ConstantOp::create(b, loc, b.getFloatAttr(x.getType(), value));
      };
      auto times = [&](Value lhs, Value rhs) -> Value {
        return arith::MulFOp::create(b, loc, lhs, rhs);
      };
      Value curve;
      if (isErf) {
        curve = math::ErfOp::create(b, loc, times(x, constant(M_SQRT1_2)));
      } else {
        Value cubic = times(times(times(x, x), x), constant(0.044715));
        Value inner = arith::AddFOp::create(b, loc, x, cubic);
        curve = math::TanhOp::create(b, loc, times(inner, constant(M_2_SQRTPI * M_SQRT1_2)));
      }
      Value sum = arith::AddFOp::create(b, loc, curve, constant(1));
      Value gelu = times(times(x, constant(0.5)), sum);
      linalg::YieldOp::create(b, loc, gelu);
    };
    auto generic = linalg::GenericOp::create(
        builder, op.getLoc(), TypeRange{type}, ValueRange{input}, ValueRange{op.getDpsInits()[0]},
        ArrayRef<AffineMap>{identity, identity}, parallel, body);
    op->getResult(0).replaceAllUsesWith(generic.getResult(0));
  }
};
} // namespace
} // namespace attune
