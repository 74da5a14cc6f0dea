// Weights that depend on the distance of query and key: Toeplitz coefficients and momentum.
#include "attune/passes/raise/LinearMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune {

namespace {
/// row * i + column * j + rest.
struct LinearForm {
  int64_t row, column;
  Value rest;
};
} // namespace

static std::optional<LinearForm> linearForm(Elements &elements, Value index, Value row,
                                            Value column) {
  if (index == row)
    return LinearForm{1, 0, elements.constantIndex(0)};
  if (index == column)
    return LinearForm{0, 1, elements.constantIndex(0)};
  if (!elements.depends(index, row) && !elements.depends(index, column))
    return LinearForm{0, 0, index};
  Operation *op = index.getDefiningOp();
  if (!op || !isa<arith::AddIOp, arith::SubIOp, arith::MulIOp>(op))
    return std::nullopt;
  auto a = linearForm(elements, op->getOperand(0), row, column);
  auto b = linearForm(elements, op->getOperand(1), row, column);
  if (!a || !b)
    return std::nullopt;
  if (isa<arith::AddIOp>(op))
    return LinearForm{a->row + b->row, a->column + b->column,
                      elements.make<arith::AddIOp>(a->rest, b->rest)};
  if (isa<arith::SubIOp>(op))
    return LinearForm{a->row - b->row, a->column - b->column,
                      elements.make<arith::SubIOp>(a->rest, b->rest)};
  std::optional<int64_t> factor = getConstantIntValue(op->getOperand(1));
  if (!factor)
    return std::nullopt;
  return LinearForm{a->row * *factor, a->column * *factor,
                    elements.make<arith::MulIOp>(a->rest, op->getOperand(1))};
}

/// A float that is a whole number of positions as an index, or null. Exact, as positions are below
/// 2^24.
static Value asPosition(Elements &elements, Value scalar) {
  if (std::optional<double> constant = asFloat(scalar))
    return *constant == int64_t(*constant) ? elements.constantIndex(int64_t(*constant)) : Value();
  Operation *op = scalar.getDefiningOp();
  if (op && isa<arith::SIToFPOp>(op)) {
    auto cast = op->getOperand(0).getDefiningOp<arith::IndexCastOp>();
    return cast ? cast.getIn() : Value();
  }
  if (!op || !isa<arith::AddFOp, arith::SubFOp>(op))
    return {};
  Value a = asPosition(elements, op->getOperand(0)), b = asPosition(elements, op->getOperand(1));
  if (!a || !b)
    return {};
  return isa<arith::AddFOp>(op) ? elements.make<arith::AddIOp>(a, b)
                                : elements.make<arith::SubIOp>(a, b);
}

/// The scalar with j - i replaced, or null if it depends on i and j in another way.
Value LinearMatch::ofDistance(Value scalar, Value distance) {
  if (!elements.depends(scalar, row) && !elements.depends(scalar, column))
    return scalar;
  if (scalar.getType().isIndex()) {
    if (auto form = linearForm(elements, scalar, row, column)) {
      if (form->row + form->column != 0)
        return {};
      Value scaled = elements.make<arith::MulIOp>(distance, elements.constantIndex(form->column));
      return elements.make<arith::AddIOp>(scaled, form->rest);
    }
  }
  Operation *op = scalar.getDefiningOp();
  if (!op)
    return {};
  if (isa<arith::SubFOp, arith::AddFOp>(op))
    if (Value position = asPosition(elements, scalar)) {
      Value whole =
          elements.make<arith::IndexCastOp>(IntegerType::get(root.getContext(), 64), position);
      return ofDistance(elements.make<arith::SIToFPOp>(scalar.getType(), whole), distance);
    }
  // Distances to visible keys are not negative.
  if (causal && isa<arith::MaxSIOp>(op))
    for (unsigned n : {0, 1}) {
      auto form = linearForm(elements, op->getOperand(n), row, column);
      std::optional<int64_t> rest = form ? getConstantIntValue(form->rest) : std::nullopt;
      std::optional<int64_t> floor = getConstantIntValue(op->getOperand(1 - n));
      if (rest && floor && form->row == 1 && form->column == -1 && *rest >= *floor)
        return ofDistance(op->getOperand(n), distance);
    }
  // Elements whose checks are not proved are checked in the table.
  if (std::optional<ElementOf> load = elements.load(scalar); load && load->tensor) {
    Elements::Checked checked = elements.throughChecks(*load);
    if (checked.element) {
      for (auto [condition, message] : checked.checks) {
        Value holds = ofDistance(condition, distance);
        if (!holds)
          return {};
        checks.push_back({holds, message});
      }
      return ofDistance(checked.element, distance);
    }
  }
  SmallVector<Value> operands;
  for (Value operand : op->getOperands()) {
    operands.push_back(ofDistance(operand, distance));
    if (!operands.back())
      return {};
  }
  return elements.rebuild(op, operands);
}

/// mu, if the scalar is 1 - mu^(i - j + 1).
std::optional<double> LinearMatch::momentumOf(Value scalar) {
  auto difference = scalar.getDefiningOp<arith::SubFOp>();
  if (!difference || asFloat(difference.getLhs()) != 1.0)
    return std::nullopt;
  auto power = difference.getRhs().getDefiningOp<math::PowFOp>();
  std::optional<double> mu = power ? asFloat(power.getLhs()) : std::nullopt;
  if (!mu || *mu <= 0 || *mu >= 1)
    return std::nullopt;
  Value distance = elements.addIndex(elements.extentOf(column));
  Value exponent = ofDistance(power.getRhs(), distance);
  Value steps = exponent ? asPosition(elements, exponent) : Value();
  auto form = steps ? linearForm(elements, steps, distance, column) : std::nullopt;
  if (!form || form->row != -1 || form->column != 0 || getConstantIntValue(form->rest) != 1)
    return std::nullopt;
  return mu;
}

bool LinearMatch::matchRelative() {
  if (relative.empty())
    return true;
  if (relative.size() == 1 && causal)
    if (std::optional<double> found = momentumOf(relative[0])) {
      mu = *found;
      return true;
    }
  if (plainDenominator)
    return refuse("the denominator leaves out the relative positions");
  checks.clear();
  AffineExpr extent = elements.extentOf(row) + elements.extentOf(column) - 1;
  offset = elements.addIndex(extent);
  Value last = elements.sizeValue(elements.extentOf(row) - 1);
  if (!last)
    return refuse("the number of queries is not known where the positions are");
  Value distance = elements.make<arith::SubIOp>(offset, last);
  SmallVector<Value> ofDistances;
  for (Value factor : relative) {
    if (splitWeight(factor))
      continue;
    Value found = ofDistance(factor, distance);
    std::optional<Table> table = found ? std::nullopt : readTable(factor);
    if (table)
      found = constantOfDistance(*table);
    if (!found && table && splitTable(*table))
      continue;
    if (!found)
      return refuse(table
                        ? "the constant weights are neither a function of the distance nor a sum "
                          "of a few products"
                        : "the weights depend on positions in another way than by their distance");
    for (Value index : batch)
      if (elements.depends(found, index))
        return refuse("the relative positions vary with the batch");
    ofDistances.push_back(found);
  }
  relative = ofDistances;
  return true;
}

Value LinearMatch::buildToeplitz(OpBuilder &builder, Location loc) {
  SmallVector<Value> axes{offset};
  if (!heads.empty() &&
      llvm::any_of(relative, [&](Value factor) { return elements.depends(factor, heads[0]); }))
    axes.insert(axes.begin(), heads[0]);
  Value whole = products.multiply(relative);
  SmallVector<int64_t> shape;
  for (Value index : axes)
    shape.push_back(Sizes::asConstant(elements.extentOf(index)).value_or(ShapedType::kDynamic));
  if (checks.empty())
    if (Value held = elements.tensorAt(whole, axes, RankedTensorType::get(shape, whole.getType())))
      return held;
  return materialize(builder, loc, whole, axes, checks);
}

} // namespace attune
