#include "attune/passes/raise/LinearProduct.h"

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;

namespace attune {

bool removeAll(SmallVectorImpl<Value> &all, ArrayRef<Value> part) {
  for (Value value : part) {
    auto *found = llvm::find(all, value);
    if (found == all.end())
      return false;
    all.erase(found);
  }
  return true;
}

Value momentumFactor(Elements &elements, Type type, double mu, Value row, Value column) {
  Value steps = elements.make<arith::AddIOp>(elements.make<arith::SubIOp>(row, column),
                                             elements.constantIndex(1));
  steps = elements.make<arith::IndexCastOp>(IntegerType::get(type.getContext(), 64), steps);
  Value power = elements.make<math::PowFOp>(elements.constantFloat(type, mu),
                                            elements.make<arith::SIToFPOp>(type, steps));
  return elements.make<arith::SubFOp>(elements.constantFloat(type, 1), power);
}

double rounding(Type type) {
  const llvm::fltSemantics &semantics = cast<FloatType>(type).getFloatSemantics();
  return std::ldexp(32, -int(APFloat::semanticsPrecision(semantics)));
}

Value inverted(Value scalar) {
  auto division = scalar.getDefiningOp<arith::DivFOp>();
  return division && asFloat(division.getLhs()) == 1.0 ? division.getRhs() : Value();
}

Product Products::flatten(Value scalar) {
  Product result;
  flatten(scalar, result);
  return result;
}

void Products::flatten(Value scalar, Product &into) {
  if (std::optional<double> constant = asFloat(scalar);
      constant && std::isfinite(*constant) && *constant != 0) {
    into.factor *= *constant;
    return;
  }
  if (!elements.sources(scalar).empty())
    split.insert(scalar);
  Operation *op = scalar.getDefiningOp();
  if (op && isa<arith::MulFOp>(op)) {
    flatten(op->getOperand(0), into);
    flatten(op->getOperand(1), into);
  } else if (op && isa<arith::DivFOp>(op)) {
    Product divisor = flatten(op->getOperand(1));
    if (!divisor.conditions.empty())
      return into.factors.push_back(scalar);
    flatten(op->getOperand(0), into);
    into.factor /= divisor.factor;
    for (Value value : divisor.factors)
      into.factors.push_back(
          elements.make<arith::DivFOp>(elements.constantFloat(value.getType(), 1), value));
  } else if (op && isa<arith::NegFOp>(op)) {
    into.factor = -into.factor;
    flatten(op->getOperand(0), into);
  } else if (op && isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    flatten(op->getOperand(0), into);
  } else if (auto select = dyn_cast_or_null<arith::SelectOp>(op)) {
    bool negated = asFloat(select.getTrueValue()) == 0.0;
    if (!negated && asFloat(select.getFalseValue()) != 0.0)
      return into.factors.push_back(scalar);
    // Conditions on float data are maps such as relu.
    Value kept = negated ? select.getFalseValue() : select.getTrueValue();
    for (Value load : elements.loads(select.getCondition()))
      if (isa<FloatType>(load.getType()))
        return into.factors.push_back(scalar);
    Value condition = negated ? elements.negate(select.getCondition()) : select.getCondition();
    if (!llvm::is_contained(into.conditions, condition))
      into.conditions.push_back(condition);
    flatten(kept, into);
  } else {
    into.factors.push_back(scalar);
  }
}

std::optional<SmallVector<AffineExpr>> Products::summed(Value factor) {
  std::optional<ElementOf> load = elements.load(factor);
  if (!load || !load->tensor)
    return std::nullopt;
  SmallVector<AffineExpr> extents;
  Operation *op = load->tensor.getDefiningOp();
  if (auto scan = dyn_cast_or_null<ScanOp>(op)) {
    if (scan.getKind() != ScanKind::Sum)
      return std::nullopt;
    extents.push_back(sizes.of(scan.getInput(), scan.getAxis()));
    return extents;
  }
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!linalgOp || linalgOp.getNumReductionLoops() == 0)
    return std::nullopt;
  std::optional<SmallVector<AffineExpr>> all = loopExtents(linalgOp);
  if (!all)
    return std::nullopt;
  // A sum of one element is that element.
  llvm::erase_if(*all, [](AffineExpr extent) { return Sizes::asConstant(extent) == 1; });
  return all;
}

/// Extents of the reduction loops.
std::optional<SmallVector<AffineExpr>> Products::loopExtents(linalg::LinalgOp linalgOp) {
  SmallVector<AffineExpr> extents;
  for (auto [loop, kind] : llvm::enumerate(linalgOp.getIteratorTypesArray())) {
    if (kind != utils::IteratorType::reduction)
      continue;
    AffineExpr extent;
    for (OpOperand *input : linalgOp.getDpsInputOperands())
      for (auto [axis, expr] : llvm::enumerate(linalgOp.getMatchingIndexingMap(input).getResults()))
        if (expr == getAffineDimExpr(loop, sizes.getContext()) && !extent)
          extent = sizes.of(input->get(), axis);
    if (!extent)
      return std::nullopt;
    extents.push_back(extent);
  }
  return extents;
}

std::optional<Value> Products::summand(Value factor, ArrayRef<Value> inner) {
  std::optional<ElementOf> load = elements.load(factor);
  auto op = load && load->tensor ? load->tensor.getDefiningOp<linalg::LinalgOp>() : nullptr;
  auto extents = op ? loopExtents(op) : std::nullopt;
  if (!extents)
    return std::nullopt;
  SmallVector<Value> loops;
  const Value *next = inner.begin();
  for (AffineExpr extent : *extents)
    loops.push_back(Sizes::asConstant(extent) == 1 ? elements.constantIndex(0) : *next++);
  std::optional<Elements::Reduced> reduced = elements.reduced(*load, loops);
  if (!reduced || !reduced->isSum)
    return std::nullopt;
  return reduced->element;
}

std::optional<Product> Products::expand(const Product &product, unsigned factor,
                                        ArrayRef<Value> inner) {
  std::optional<ElementOf> load = elements.load(product.factors[factor]);
  Value element, condition;
  if (auto scan = load->tensor.getDefiningOp<ScanOp>()) {
    Value position = load->indices[scan.getAxis()];
    using Predicate = arith::CmpIPredicate;
    Predicate order = scan.getReverse() ? (scan.getExclusive() ? Predicate::sgt : Predicate::sge)
                                        : (scan.getExclusive() ? Predicate::slt : Predicate::sle);
    condition = elements.make<arith::CmpIOp>(order, inner[0], position);
    SmallVector<Value> indices = load->indices;
    indices[scan.getAxis()] = inner[0];
    element = elements.at(scan.getInput(), indices);
  } else if (std::optional<Value> added = summand(product.factors[factor], inner)) {
    element = *added;
  } else {
    return std::nullopt;
  }
  Product result = product;
  result.factors.erase(result.factors.begin() + factor);
  llvm::append_range(result.sums, inner);
  result.expanded.push_back(load->tensor.getDefiningOp());
  result.loads.push_back(product.factors[factor]);
  if (condition && !matchPattern(condition, m_One()) &&
      !llvm::is_contained(result.conditions, condition))
    result.conditions.push_back(condition);
  flatten(element, result);
  return result;
}

std::optional<std::pair<Value, double>> Products::whole(ArrayRef<Value> factors) {
  auto fits = [&](Value scalar) -> std::optional<std::pair<Value, double>> {
    Product product = flatten(scalar);
    SmallVector<Value> rest(factors);
    if (!product.conditions.empty() || product.factors.size() != factors.size() ||
        !removeAll(rest, product.factors))
      return std::nullopt;
    return std::pair(scalar, product.factor);
  };
  if (factors.size() == 1)
    return fits(factors[0]);
  for (Value scalar : llvm::to_vector(split))
    if (auto found = fits(scalar))
      return found;
  return std::nullopt;
}

Value Products::multiply(ArrayRef<Value> factors) {
  Value result;
  for (Value factor : factors)
    result = result ? elements.make<arith::MulFOp>(result, factor) : factor;
  return result;
}

} // namespace attune
