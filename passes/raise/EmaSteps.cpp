#include "attune/passes/raise/EmaSteps.h"

#include "attune/passes/raise/ConvolutionBuild.h"
#include "attune/passes/raise/Exponentials.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include <cmath>

using namespace mlir;

namespace attune {

bool EmaSteps::match() {
  indices = elements.addIndices(steps.getResult());
  Value rolled = unrolled.roll(elements.at(steps.getResult(), indices));
  reason = unrolled.reason;
  if (!rolled)
    return false;
  Operation *op = rolled.getDefiningOp();
  Value average = rolled, rest;
  if (op && isa<arith::AddFOp>(op))
    for (unsigned n : {0, 1})
      if (!unrolled.hasUnknown(op->getOperand(n)))
        std::tie(average, rest) = std::pair(op->getOperand(1 - n), op->getOperand(n));
  return matchAverage(average) && matchAxes() && (!rest || matchSkip(rest));
}

/// Separates what depends on the step from tables.
bool EmaSteps::split(ArrayRef<Value> factors, SmallVector<Value> &table) {
  bool isTable = true;
  for (Value factor : factors) {
    bool onStep = elements.depends(factor, unrolled.earlier);
    isTable &= !elements.depends(factor, unrolled.step);
    (onStep ? data : table).push_back(factor);
  }
  return isTable;
}

bool EmaSteps::matchAverage(Value scalar) {
  Product product = products.flatten(scalar);
  auto *unknown =
      llvm::find_if(product.factors, [&](Value factor) { return unrolled.hasUnknown(factor); });
  if (unknown == product.factors.end() || !product.conditions.empty())
    return false;
  std::optional<Unrolled::Sum> sum = unrolled.sum(*unknown);
  if (!sum)
    return false;
  product.factors.erase(unknown);
  if (llvm::any_of(product.factors, [&](Value factor) { return unrolled.hasUnknown(factor); }))
    return false;
  state = sum->inner;
  StepHistory &history = sum->history;
  Type type = scalar.getType();
  const std::vector<double> &weights = history.weights;
  double ratio = weights[1] / weights[0], limit = std::abs(weights[0]) * rounding(type);
  for (auto [n, weight] : llvm::enumerate(weights))
    if (!(std::abs(weight - weights[0] * std::pow(ratio, n)) <= limit))
      return refuse("the steps are no decaying average");
  if (history.decay)
    decay.push_back(history.decay);
  if (!history.decay || std::abs(ratio - 1) > rounding(type))
    decay.push_back(elements.constantFloat(type, ratio));
  Product unit = products.flatten(history.unit);
  output = product.factors;
  llvm::append_range(output, sum->factors);
  output.push_back(
      elements.constantFloat(type, product.factor * sum->factor * unit.factor * weights[0]));
  // Of queries, that is: an attention.
  if (llvm::any_of(output, [&](Value factor) { return elements.depends(factor, unrolled.step); }))
    return false;
  if (!unit.conditions.empty() || !split(unit.factors, input) || data.empty())
    return refuse("what a step adds is no table times data of the step");
  return true;
}

/// A table of channels times the same data.
bool EmaSteps::matchSkip(Value scalar) {
  Value own = substitute(elements, scalar, unrolled.step, unrolled.earlier);
  Product product = products.flatten(own);
  SmallVector<Value> average(data);
  data.clear();
  if (!product.conditions.empty() || !split(product.factors, skip) ||
      !std::is_permutation(data.begin(), data.end(), average.begin(), average.end()))
    return refuse("what is added to the average is no table times the same data");
  skip.push_back(elements.constantFloat(scalar.getType(), product.factor));
  return llvm::all_of(skip, [&](Value factor) {
    return llvm::all_of(elements.freeIndices(factor),
                        [&](Value index) { return index == channel; });
  });
}

bool EmaSteps::matchAxes() {
  SmallVector<Value> tables(decay);
  llvm::append_range(tables, input);
  llvm::append_range(tables, output);
  SmallVector<Value> batch;
  for (Value &index : indices) {
    if (Sizes::asConstant(elements.extentOf(index)) == 1) {
      index = {};
    } else if (llvm::any_of(tables,
                            [&](Value factor) { return elements.depends(factor, index); })) {
      if (channel)
        return refuse("the tables vary with several axes");
      channel = index;
    } else if (index != unrolled.step) {
      batch.push_back(index);
    }
  }
  // Without tables of channels, any axis may be theirs.
  if (!channel && !batch.empty())
    channel = batch.pop_back_val();
  for (Value factor : tables)
    for (Value index : elements.freeIndices(factor))
      if (index != channel && index != state)
        return refuse("the tables vary with more than channels and states");
  if (state && Sizes::asConstant(elements.extentOf(state)).value_or(0) < 1)
    return refuse("the number of states is not constant");
  signal = products.multiply(data);
  if (auto whole = products.whole(data); whole && whole->second == 1)
    signal = whole->first;
  auto one = [](Value index) { return index ? SmallVector<Value>{index} : SmallVector<Value>{}; };
  groups = {batch, {unrolled.earlier}, one(channel)};
  layout = findLayout(elements, sizes, signal, groups,
                      [&](Value index) { return elements.extentOf(index); });
  return layout || refuse("what the steps read is in no tensor by itself");
}

std::pair<EmaOp, Value> EmaSteps::build(OpBuilder &builder) {
  builder.setInsertionPoint(steps);
  Location loc = steps.getLoc();
  auto type = cast<FloatType>(getElementTypeOrSelf(steps.getType()));
  Value x = buildLayout(builder, loc, sizes, *layout, groups,
                        [&](Value index) { return elements.extentOf(index); });
  auto table = [&](ArrayRef<Value> factors, Value column) {
    return buildTable(builder, loc, elements, sizes, factors, /*exponential=*/false, channel,
                      column, type);
  };
  Value a = table(decay, state), b = table(input, state), c = table(output, state), rest;
  if (!skip.empty())
    rest = tensor::CollapseShapeOp::create(builder, loc, table(skip, {}),
                                           ArrayRef<ReassociationIndices>{{0, 1}});
  auto ema = EmaOp::create(builder, loc, x, a, b, c, rest);
  IndexGroups axes(groups);
  axes[1] = {unrolled.step};
  Value result = ungroup(builder, loc, elements, sizes, ema.getResult(), axes, indices);
  if (result.getType() != steps.getType())
    result = tensor::CastOp::create(builder, loc, steps.getType(), result);
  return {ema, result};
}

} // namespace attune
