#include "attune/passes/raise/CausalTaps.h"

#include "attune/passes/raise/ConvolutionBuild.h"
#include "attune/passes/raise/Exponentials.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

/// With fewer taps a convolution on the layout that it has costs less than a change of layout.
static constexpr int64_t kFewestTaps = 16;

/// Whether the groups are the tensor's axes as they are, the channels innermost.
static bool isInOrder(const Layout &layout) {
  SmallVector<int64_t> axes;
  for (const auto &group : layout.axes)
    axes.append(group.begin(), group.end());
  return llvm::is_sorted(axes) && axes.front() >= 0 &&
         axes.back() + 1 == int64_t(layout.element.indices.size());
}

bool CausalTaps::match() {
  if (!readMaps())
    return false;
  bool found = readSignal();
  // Short convolutions are what most graphs mean by them.
  if (op.getStaticLoopRanges()[tap] < kFewestTaps)
    reason.clear();
  return found;
}

/// One input is read at the sum of an outer position and a tap, the other one at the tap.
bool CausalTaps::readMaps() {
  if (op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 || !isZeroTensor(op.getDpsInits()[0]))
    return false;
  auto type = cast<RankedTensorType>(op.getResultTypes()[0]);
  if (!type.getElementType().isF32() && !type.getElementType().isF64())
    return false;
  Block *body = op.getBody();
  auto sum = body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  auto product = sum ? sum.getRhs().getDefiningOp<arith::MulFOp>() : arith::MulFOp();
  if (!product || sum.getLhs() != body->getArgument(2) || product.getLhs() == product.getRhs() ||
      !llvm::all_of(product->getOperands(), [](Value v) { return isa<BlockArgument>(v); }))
    return false;
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  int64_t sums = 0;
  for (OpOperand *operand : op.getDpsInputOperands())
    for (AffineExpr expr : op.getMatchingIndexingMap(operand).getResults()) {
      if (isa<AffineDimExpr>(expr))
        continue;
      auto add = dyn_cast<AffineBinaryOpExpr>(expr);
      if (!add || add.getKind() != AffineExprKind::Add || !isa<AffineDimExpr>(add.getLHS()) ||
          !isa<AffineDimExpr>(add.getRHS()) || ++sums > 1)
        return false;
      input = operand;
      time = cast<AffineDimExpr>(add.getLHS()).getPosition();
      tap = cast<AffineDimExpr>(add.getRHS()).getPosition();
    }
  if (!input)
    return false;
  auto kinds = op.getIteratorTypesArray();
  if (kinds[time] == utils::IteratorType::reduction)
    std::swap(time, tap);
  if (kinds[time] != utils::IteratorType::parallel || kinds[tap] != utils::IteratorType::reduction)
    return false;
  weights = op.getDpsInputOperand(input->getOperandNumber() == 0 ? 1 : 0);
  for (auto [loop, kind] : llvm::enumerate(kinds))
    if (kind == utils::IteratorType::reduction && loop != tap && extents[loop] != 1)
      return false;
  return extents[tap] > 1 && !op.getMatchingIndexingMap(weights).isFunctionOfDim(time) &&
         op.getMatchingIndexingMap(weights).isProjectedPermutation() &&
         op.getIndexingMapMatchingResult(op->getResult(0)).isProjectedPermutation();
}

bool CausalTaps::readSignal() {
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  AffineMap out = op.getIndexingMapMatchingResult(op->getResult(0));
  int64_t taps = extents[tap];
  ofLoop.resize(extents.size());
  for (auto [axis, expr] : llvm::enumerate(out.getResults())) {
    unsigned loop = cast<AffineDimExpr>(expr).getPosition();
    if (extents[loop] != 1)
      ofLoop[loop] = elements.addIndex(sizes.of(op->getResult(0), axis));
  }
  if (!ofLoop[time])
    return false;
  // c(d) is the tap that is d away from the last one.
  difference = elements.addIndex(sizes.constant(taps));
  Value mirrored = elements.make<arith::SubIOp>(elements.constantIndex(taps - 1), difference);
  auto indexOf = [&](AffineExpr expr) -> Value {
    unsigned loop = cast<AffineDimExpr>(expr).getPosition();
    if (loop == tap)
      return mirrored;
    return ofLoop[loop] ? ofLoop[loop] : elements.constantIndex(0);
  };
  coefficient =
      elements.at(weights->get(),
                  llvm::map_to_vector(op.getMatchingIndexingMap(weights).getResults(), indexOf));
  SmallVector<Value> at;
  int64_t padded = -1;
  for (auto [axis, expr] : llvm::enumerate(op.getMatchingIndexingMap(input).getResults())) {
    if (isa<AffineDimExpr>(expr)) {
      at.push_back(indexOf(expr));
      continue;
    }
    padded = axis;
    position = elements.addIndex(sizes.of(input->get(), axis));
    at.push_back(position);
  }
  Signal signal = trimmed(elements, sizes, input->get(), at, padded);
  position = signal.position;
  if (!sizes.equal(signal.before, sizes.constant(taps - 1)) ||
      !sizes.equal(signal.extent, elements.extentOf(ofLoop[time]))) {
    reason = "the padding is not in front, or not by all taps but one";
    return false;
  }
  llvm::SetVector<Value> varying = elements.freeIndices(coefficient);
  for (Value index : ofLoop) {
    if (!index || index == ofLoop[time])
      continue;
    if (!varying.contains(index)) {
      batch.push_back(index);
      continue;
    }
    if (channel) {
      reason = "the kernel varies along two axes";
      return false;
    }
    channel = index;
  }
  if (!channel)
    return false;
  groups = {batch, {position}, {channel}};
  layout = findLayout(elements, sizes, signal.scalar, groups,
                      [&](Value index) { return elements.extentOf(index); });
  if (!layout) {
    reason = "no tensor holds the signal by itself";
    return false;
  }
  return taps >= kFewestTaps || isInOrder(*layout);
}

ToeplitzOp CausalTaps::build(OpBuilder &builder) {
  Location loc = op.getLoc();
  auto element = cast<FloatType>(getElementTypeOrSelf(op.getResultTypes()[0]));
  Value x = buildLayout(builder, loc, sizes, *layout, groups,
                        [&](Value index) { return elements.extentOf(index); });
  Value c = buildTable(builder, loc, elements, sizes, coefficient, /*exponential=*/false,
                       difference, channel, element);
  auto product = ToeplitzOp::create(builder, loc, x.getType(), c, x, Direction::Causal, Form::Auto);
  SmallVector<Value> axes;
  for (AffineExpr expr : op.getIndexingMapMatchingResult(op->getResult(0)).getResults())
    axes.push_back(ofLoop[cast<AffineDimExpr>(expr).getPosition()]);
  // Time runs over as many steps as the signal has.
  llvm::replace(axes, ofLoop[time], position);
  Value result = ungroup(builder, loc, elements, sizes, product.getResult(), groups, axes);
  if (result.getType() != op.getResultTypes()[0])
    result = tensor::CastOp::create(builder, loc, op.getResultTypes()[0], result);
  op->getResult(0).replaceAllUsesWith(result);
  return product;
}

} // namespace attune
