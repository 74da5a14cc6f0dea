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
#define GEN_PASS_DEF_FORMNORMS
#include "attune/passes/Passes.h.inc"

namespace {

/// One normalisation in front of an elementwise operator, matched on its scalar.
class NormMatch {
public:
  NormMatch(linalg::LinalgOp op, Sizes &sizes) : op(op), sizes(sizes), elements(sizes) {
    elements.setBudget(256);
    indices = elements.addIndices(op->getResult(0));
  }

  bool match() {
    Value scalar = elements.at(op->getResult(0), indices);
    // Casts behind a computation in f32 are the norm's own.
    while (auto narrow = scalar.getDefiningOp<arith::TruncFOp>())
      scalar = narrow.getIn();
    if (auto sum = scalar.getDefiningOp<arith::AddFOp>())
      for (unsigned n : {0, 1})
        if (matchScaled(sum->getOperand(n)) && parameter(sum->getOperand(1 - n), bias))
          return true;
    return matchScaled(scalar);
  }

  void build() {
    OpBuilder builder(op);
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    auto make = [&](std::optional<ElementOf> &parameter) -> Value {
      return parameter ? parameter->tensor : Value();
    };
    auto norm = NormOp::create(builder, op.getLoc(), type, Type(), Type(), input, make(scale),
                               make(bias), kind, axis, /*groups=*/1, APFloat(eps));
    op->getResult(0).replaceAllUsesWith(norm.getResult());
  }

private:
  bool matchScaled(Value scalar) {
    scale.reset();
    if (auto product = scalar.getDefiningOp<arith::MulFOp>())
      for (unsigned n : {0, 1}) {
        if (matchCore(product->getOperand(n)) && parameter(product->getOperand(1 - n), scale))
          return true;
        // x * (g * rsqrt(v + eps)): the scale was multiplied first.
        if (auto inner = product->getOperand(1 - n).getDefiningOp<arith::MulFOp>())
          for (unsigned m : {0, 1})
            if (matchProduct(product->getOperand(n), inner->getOperand(m)) &&
                parameter(inner->getOperand(1 - m), scale))
              return true;
      }
    scale.reset();
    return matchCore(scalar);
  }

  /// centred / sqrt(v + eps), centred * rsqrt(v + eps), centred * (1 / sqrt(v + eps)).
  bool matchCore(Value scalar) {
    while (auto narrow = scalar.getDefiningOp<arith::TruncFOp>())
      scalar = narrow.getIn();
    if (auto quotient = scalar.getDefiningOp<arith::DivFOp>())
      if (auto root = quotient.getRhs().getDefiningOp<math::SqrtOp>())
        return matchDeviation(quotient.getLhs(), root.getOperand());
    if (auto product = scalar.getDefiningOp<arith::MulFOp>())
      for (unsigned n : {0, 1})
        if (matchProduct(product->getOperand(n), product->getOperand(1 - n)))
          return true;
    return false;
  }

  bool matchProduct(Value centred, Value inverse) {
    if (auto root = inverse.getDefiningOp<math::RsqrtOp>())
      return matchDeviation(centred, root.getOperand());
    auto quotient = inverse.getDefiningOp<arith::DivFOp>();
    if (!quotient || asFloat(quotient.getLhs()) != 1.0)
      return false;
    auto root = quotient.getRhs().getDefiningOp<math::SqrtOp>();
    return root && matchDeviation(centred, root.getOperand());
  }

  bool matchDeviation(Value centred, Value variance) {
    auto sum = variance.getDefiningOp<arith::AddFOp>();
    if (!sum)
      return false;
    for (unsigned n : {0, 1}) {
      std::optional<double> constant = asFloat(sum->getOperand(n));
      Value square = mean(sum->getOperand(1 - n));
      if (!constant || !(*constant >= 0) || !square || !isSquareOf(square, centred))
        continue;
      eps = *constant;
      kind = NormKind::RMS;
      Value x = centred;
      if (auto difference = centred.getDefiningOp<arith::SubFOp>()) {
        int64_t own = axis;
        Value averaged = mean(difference.getRhs());
        if (averaged && averaged == difference.getLhs() && axis == own) {
          kind = NormKind::Layer;
          x = difference.getLhs();
        }
        axis = own;
      }
      return findInput(x);
    }
    return false;
  }

  static bool isSquareOf(Value square, Value x) {
    Operation *op = square.getDefiningOp();
    if (isa_and_nonnull<arith::MulFOp>(op))
      return op->getOperand(0) == x && op->getOperand(1) == x;
    if (isa_and_nonnull<math::PowFOp>(op))
      return op->getOperand(0) == x && asFloat(op->getOperand(1)) == 2.0;
    if (auto power = dyn_cast_or_null<math::FPowIOp>(op))
      return power.getLhs() == x && isTwo(power.getRhs());
    return false;
  }

  static bool isTwo(Value integer) {
    APInt value;
    return matchPattern(integer, m_ConstantInt(&value)) && value == 2;
  }

  /// The element whose mean over the last axes the scalar is; sets `axis` to the first of them.
  Value mean(Value scalar) {
    Value sum = scalar;
    double factor = stripFactors(sum);
    std::optional<ElementOf> source = elements.load(sum);
    if (!source || !source->tensor)
      return {};
    int64_t first = indices.size();
    double count = 1;
    while (first > 0 && !elements.depends(sum, indices[first - 1])) {
      std::optional<int64_t> extent = Sizes::asConstant(elements.extentOf(indices[first - 1]));
      if (!extent)
        break;
      --first;
      count *= *extent;
      auto reduced = elements.reduced(*source, ArrayRef(indices).drop_front(first));
      if (!reduced || !reduced->isSum || std::abs(factor * count - 1) > 1e-6)
        continue;
      axis = first;
      return reduced->element;
    }
    return {};
  }

  /// A tensor that scales or shifts the normalised axes.
  bool parameter(Value scalar, std::optional<ElementOf> &into) {
    while (auto wide = scalar.getDefiningOp<arith::ExtFOp>())
      scalar = wide.getIn();
    SmallVector<ElementOf> candidates(elements.sources(scalar));
    if (std::optional<ElementOf> load = elements.load(scalar))
      candidates.insert(candidates.begin(), *load);
    for (const ElementOf &element : candidates) {
      size_t rank = element.indices.size(), full = indices.size();
      if (rank == 0 || rank > full - axis)
        continue;
      bool fits = true;
      for (auto [n, index] : llvm::enumerate(element.indices)) {
        Value wanted = indices[full - rank + n];
        int64_t extent = cast<RankedTensorType>(element.tensor.getType()).getDimSize(n);
        fits &= extent == 1 ? matchPattern(index, m_Zero())
                            : index == wanted && sizes.equal(sizes.of(element.tensor, n),
                                                             elements.extentOf(wanted));
      }
      if (!fits)
        continue;
      into = element;
      return true;
    }
    return false;
  }

  bool findInput(Value x) {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    if (auto wide = x.getDefiningOp<arith::ExtFOp>())
      if (Value narrow =
              elements.tensorAt(wide.getIn(), indices, type.clone(wide.getIn().getType()))) {
        input = narrow;
        return true;
      }
    input = elements.tensorAt(x, indices, type.clone(x.getType()));
    return bool(input) && input != op->getResult(0);
  }

  linalg::LinalgOp op;
  Sizes &sizes;
  Elements elements;
  SmallVector<Value> indices;
  Value input;
  std::optional<ElementOf> scale, bias;
  NormKind kind = NormKind::Layer;
  int64_t axis = 0;
  double eps = 0;
};

struct FormNorms : impl::FormNormsBase<FormNorms> {
  using FormNormsBase::FormNormsBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> candidates;
    getOperation().walk([&](linalg::LinalgOp op) {
      auto isLast = [](Operation &inner) {
        return isa<arith::AddFOp, arith::MulFOp, arith::DivFOp, arith::TruncFOp>(inner);
      };
      if (op.getNumLoops() == op.getNumParallelLoops() && op->getNumResults() == 1 &&
          op.hasPureTensorSemantics() && llvm::any_of(*op.getBlock(), isLast))
        candidates.push_back(op);
    });
    Sizes sizes(getOperation());
    // The operator with most of a norm comes last.
    for (linalg::LinalgOp op : llvm::reverse(candidates)) {
      if (op->use_empty())
        continue;
      NormMatch match(op, sizes);
      if (!match.match())
        continue;
      match.build();
      ++numFormed;
    }
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }
};
} // namespace
} // namespace attune
