#include "attune/codegen/cpu/Reduce.h"

using namespace mlir;

namespace attune::codegen {

std::optional<Reduction> Reduction::match(linalg::LinalgOp op, unsigned result) {
  Block *body = op.getBlock();
  BlockArgument accumulator = body->getArgument(op.getNumDpsInputs() + result);
  Operation *combiner = body->getTerminator()->getOperand(result).getDefiningOp();
  if (!combiner || combiner->getBlock() != body || combiner->getNumOperands() != 2 ||
      !accumulator.hasOneUse() || *accumulator.user_begin() != combiner)
    return std::nullopt;
  Type type = combiner->getResult(0).getType();
  if (type.isF16() || type.isBF16())
    return std::nullopt;
  bool idempotent =
      isa<arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp, arith::MinNumFOp, arith::MaxSIOp,
          arith::MinSIOp, arith::MaxUIOp, arith::MinUIOp, arith::AndIOp, arith::OrIOp>(combiner);
  if (!idempotent &&
      !isa<arith::AddFOp, arith::MulFOp, arith::AddIOp, arith::MulIOp, arith::XOrIOp>(combiner))
    return std::nullopt;
  Value element = combiner->getOperand(combiner->getOperand(0) == accumulator ? 1 : 0);
  return Reduction{combiner, element, idempotent};
}

Value Reduction::start(KernelBuilder &kb, Value initial, int64_t lanes) const {
  Type element = type();
  Type result = lanes > 1 ? Type(kb.vec(lanes, element)) : element;
  if (idempotent)
    return lanes > 1 ? kb.splat(initial, lanes) : initial;
  // -0 and not 0: the sum of nothing but -0 is -0.
  if (isa<FloatType>(element))
    return kb.constF(isa<arith::MulFOp>(combiner) ? 1.0 : -0.0, result);
  return kb.constI(isa<arith::MulIOp>(combiner) ? 1 : 0, result);
}

Value Reduction::combine(KernelBuilder &kb, Value x, Value y) const {
  OperationState state(kb.loc, combiner->getName(), ValueRange{x, y}, TypeRange{x.getType()},
                       combiner->getAttrs());
  return kb.b.create(state)->getResult(0);
}

Value Reduction::merge(KernelBuilder &kb, ArrayRef<Value> accumulators) const {
  SmallVector<Value> values(accumulators);
  while (values.size() > 1) {
    SmallVector<Value> next;
    for (size_t i = 0; i + 1 < values.size(); i += 2)
      next.push_back(combine(kb, values[i], values[i + 1]));
    if (values.size() % 2)
      next.push_back(values.back());
    values = next;
  }
  return values.front();
}

Value Reduction::acrossLanes(KernelBuilder &kb, Value vector) const {
  while (auto type = dyn_cast<VectorType>(vector.getType())) {
    int64_t lanes = type.getNumElements();
    if (lanes == 1)
      return vector::ExtractOp::create(kb.b, kb.loc, vector, 0);
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < lanes / 2; ++i) {
      low.push_back(i);
      high.push_back(lanes / 2 + i);
    }
    vector = combine(kb, vector::ShuffleOp::create(kb.b, kb.loc, vector, vector, low),
                     vector::ShuffleOp::create(kb.b, kb.loc, vector, vector, high));
  }
  return vector;
}

} // namespace attune::codegen
