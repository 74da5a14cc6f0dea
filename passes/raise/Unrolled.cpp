#include "attune/passes/raise/Unrolled.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;

namespace attune {

/// The weights of all pairs of steps are computed; fewer steps are left as they are.
static constexpr size_t kMinSteps = 3, kMaxSteps = 4096;
/// Scalars that are made for a step: its features, its state, its sums.
static constexpr unsigned kOperatorsPerStep = 200;

static tensor::ConcatOp stepsOf(const std::optional<ElementOf> &element) {
  auto concat = element && element->tensor ? element->tensor.getDefiningOp<tensor::ConcatOp>()
                                           : tensor::ConcatOp();
  if (!concat || concat.getInputs().size() < kMinSteps || concat.getInputs().size() > kMaxSteps)
    return {};
  bool single = llvm::all_of(concat.getInputs(), [&](Value input) {
    return cast<RankedTensorType>(input.getType()).getDimSize(concat.getDim()) == 1;
  });
  return single ? concat : tensor::ConcatOp();
}

bool Unrolled::hasUnknown(Value scalar) {
  return llvm::any_of(sums, [&](auto &entry) { return elements.depends(scalar, entry.first); }) ||
         llvm::any_of(histories,
                      [&](auto &entry) { return elements.depends(scalar, entry.first); });
}

Value Unrolled::roll(Value scalar) {
  bool found = false;
  for (Value load : elements.loads(scalar)) {
    std::optional<ElementOf> element = elements.load(load);
    tensor::ConcatOp concat = stepsOf(element);
    if (!concat)
      continue;
    uint64_t axis = concat.getDim();
    Value position = element->indices[axis];
    if (!elements.isIndex(position) || (step && step != position))
      continue;
    if (!step) {
      step = position;
      earlier = elements.addIndex(elements.extentOf(step));
    }
    elements.addBudget(kOperatorsPerStep * concat.getInputs().size());
    SmallVector<Value> steps, indices(element->indices);
    indices[axis] = elements.constantIndex(0);
    for (Value input : concat.getInputs())
      steps.push_back(elements.at(input, indices));
    Value rolled = rollSteps(steps);
    if (!rolled)
      return {};
    scalar = substitute(elements, scalar, load, rolled);
    found = true;
  }
  return found ? scalar : Value();
}

Value Unrolled::rollSteps(ArrayRef<Value> steps) {
  if (llvm::all_equal(steps))
    return steps.front();
  if (Value number = rollNumbers(steps))
    return number;
  if (Value source = rollSources(steps))
    return source;
  Operation *last = steps.back().getDefiningOp();
  if (!last || !isa<FloatType>(steps.back().getType()))
    return {};
  bool sameKind = llvm::all_of(steps, [&](Value value) {
    Operation *op = value.getDefiningOp();
    return op && op->getName() == last->getName() &&
           op->getAttrDictionary() == last->getAttrDictionary();
  });
  if (!sameKind || isa<arith::AddFOp, arith::SubFOp>(last))
    if (Value history = rollHistory(steps))
      return history;
  if (!sameKind)
    return {};
  return elements.load(steps.back()) ? rollReductions(steps) : rollOperands(steps);
}

/// Whole numbers that grow by the same with each step.
Value Unrolled::rollNumbers(ArrayRef<Value> steps) {
  auto first = getConstantIntValue(steps[0]), second = getConstantIntValue(steps[1]);
  if (!first || !second)
    return {};
  int64_t slope = *second - *first;
  for (auto [n, value] : llvm::enumerate(steps))
    if (getConstantIntValue(value) != *first + slope * int64_t(n))
      return {};
  Value scaled = elements.make<arith::MulIOp>(step, elements.constantIndex(slope));
  Value number = elements.make<arith::AddIOp>(scaled, elements.constantIndex(*first));
  Type type = steps[0].getType();
  return type.isIndex() ? number : elements.make<arith::IndexCastOp>(type, number);
}

/// Elements of one tensor, at places that differ by the step.
Value Unrolled::rollSources(ArrayRef<Value> steps) {
  Value result;
  auto holders = [&](Value scalar) {
    SmallVector<ElementOf> all(elements.sources(scalar));
    if (std::optional<ElementOf> load = elements.load(scalar); load && load->tensor)
      all.push_back(*load);
    return all;
  };
  for (const ElementOf &last : holders(steps.back())) {
    SmallVector<ElementOf> same;
    for (Value value : steps) {
      auto all = holders(value);
      auto *found =
          llvm::find_if(all, [&](const ElementOf &own) { return own.tensor == last.tensor; });
      if (found == all.end())
        break;
      same.push_back(*found);
    }
    if (same.size() < steps.size())
      continue;
    SmallVector<Value> indices;
    for (size_t axis = 0; axis < last.indices.size(); ++axis) {
      auto places =
          llvm::map_to_vector(same, [&](const ElementOf &own) { return own.indices[axis]; });
      Value index = llvm::all_equal(places) ? places[0] : rollNumbers(places);
      if (!index)
        break;
      indices.push_back(index);
    }
    if (indices.size() < last.indices.size())
      continue;
    Value scalar = elements.at(last.tensor, indices);
    if (!result)
      result = scalar;
  }
  return result;
}

/// How much two scalars look like the same in different steps.
unsigned Unrolled::likeness(Value a, Value b) {
  auto holds = [&](Value tensor) {
    auto isSame = [&](const ElementOf &element) { return element.tensor == tensor; };
    std::optional<ElementOf> load = elements.load(a);
    return (load && isSame(*load)) || llvm::any_of(elements.sources(a), isSame);
  };
  std::optional<ElementOf> load = elements.load(b);
  if ((load && holds(load->tensor)) ||
      llvm::any_of(elements.sources(b), [&](const ElementOf &e) { return holds(e.tensor); }))
    return 2;
  Operation *first = a.getDefiningOp(), *second = b.getDefiningOp();
  return a == b ? 2 : first && second && first->getName() == second->getName() ? 1 : 0;
}

Value Unrolled::rollOperands(ArrayRef<Value> steps) {
  Operation *last = steps.back().getDefiningOp();
  SmallVector<SmallVector<Value>> lists(last->getNumOperands());
  for (Value value : steps) {
    SmallVector<Value> own(value.getDefiningOp()->getOperands());
    // Exporters and optimisers swap operands of single steps.
    if (isa<arith::AddFOp, arith::MulFOp>(last) &&
        likeness(own[0], last->getOperand(0)) + likeness(own[1], last->getOperand(1)) <
            likeness(own[0], last->getOperand(1)) + likeness(own[1], last->getOperand(0)))
      std::swap(own[0], own[1]);
    for (auto [list, operand] : llvm::zip(lists, own))
      list.push_back(operand);
  }
  SmallVector<Value> operands;
  for (ArrayRef<Value> list : lists) {
    Value operand = rollSteps(list);
    if (!operand)
      return {};
    operands.push_back(operand);
  }
  return elements.rebuild(last, operands);
}

Value Unrolled::innerIndex(AffineExpr extent) {
  for (Value index : inner)
    if (sizes.equal(elements.extentOf(index), extent))
      return index;
  return inner.emplace_back(elements.addIndex(extent));
}

/// Sums over the same axis, one operator per step; a sum of one element is that element.
Value Unrolled::rollReductions(ArrayRef<Value> steps) {
  auto extents = products.summed(steps.back());
  if (!extents || extents->size() > 1)
    return {};
  SmallVector<Value> axes;
  for (AffineExpr extent : *extents)
    axes.push_back(innerIndex(extent));
  SmallVector<Value> summands;
  for (Value value : steps) {
    auto own = products.summed(value);
    if (!own || own->size() != extents->size() ||
        (!own->empty() && !sizes.equal(own->front(), extents->front())))
      return {};
    std::optional<Value> summand = products.summand(value, axes);
    if (!summand)
      return {};
    summands.push_back(*summand);
  }
  Value rolled = rollSteps(summands);
  if (!rolled || axes.empty())
    return rolled;
  Value unknown = elements.addUnknown(steps.back().getType());
  sums[unknown] = {rolled, axes.front()};
  return unknown;
}

/// Which step makes each scalar, and which scalars several steps use.
Unrolled::Steps Unrolled::follow(ArrayRef<Value> steps) {
  Steps result;
  for (auto [number, value] : llvm::enumerate(steps)) {
    SmallVector<Value> pending{value};
    while (!pending.empty()) {
      Value scalar = pending.pop_back_val();
      Operation *op = scalar.getDefiningOp();
      if (!op || matchPattern(op, m_Constant()) || elements.load(scalar))
        continue;
      auto [entry, fresh] = result.first.try_emplace(scalar, number);
      if (fresh) {
        llvm::append_range(pending, op->getOperands());
      } else if (entry->second < number) {
        auto [use, firstUse] = result.used.try_emplace(scalar, number);
        if (!firstUse && use->second != number)
          result.shared.insert(scalar);
      }
    }
  }
  return result;
}

/// True if an operator of this step takes the scalar over from an earlier one.
bool Unrolled::isCarried(Steps &steps, Value scalar, unsigned step) {
  auto entry = steps.first.find(scalar);
  if (entry == steps.first.end() || steps.shared.contains(scalar))
    return false;
  return entry->second < step || carries(steps, scalar);
}

bool Unrolled::carries(Steps &steps, Value scalar) {
  auto entry = steps.first.find(scalar);
  if (entry == steps.first.end())
    return false;
  auto [known, fresh] = steps.carries.try_emplace(scalar, false);
  if (!fresh)
    return known->second;
  unsigned step = entry->second;
  bool result = llvm::any_of(scalar.getDefiningOp()->getOperands(),
                             [&](Value operand) { return isCarried(steps, operand, step); });
  return steps.carries[scalar] = result;
}

static bool isZero(Value scalar) {
  if (asFloat(scalar) == 0.0)
    return true;
  auto product = scalar.getDefiningOp<arith::MulFOp>();
  return product && (isZero(product.getLhs()) || isZero(product.getRhs()));
}

/// The scalar as a sum of units; what carries nothing over is a unit.
std::optional<Unrolled::Shares> Unrolled::sharesOf(Steps &steps, Value scalar) {
  if (isZero(scalar))
    return Shares();
  if (auto known = steps.shares.find(scalar); known != steps.shares.end())
    return known->second;
  auto entry = steps.first.find(scalar);
  bool carrying = entry != steps.first.end() && carries(steps, scalar);
  Operation *op = scalar.getDefiningOp();
  auto remember = [&](std::optional<Shares> result) {
    if (result)
      steps.shares[scalar] = *result;
    return result;
  };
  auto scaled = [&](Value operand, double factor, int64_t powers) {
    std::optional<Shares> result = sharesOf(steps, operand);
    if (result)
      for (Share &share : *result) {
        share.scale *= factor;
        share.power += powers;
      }
    return remember(std::move(result));
  };
  if (op && isa<arith::NegFOp>(op))
    return scaled(op->getOperand(0), -1, 0);
  if (op && isa<arith::MulFOp, arith::DivFOp>(op)) {
    Value left = op->getOperand(0), right = op->getOperand(1);
    std::optional<double> factor = asFloat(right);
    if (factor && *factor != 0)
      return scaled(left, isa<arith::DivFOp>(op) ? 1 / *factor : *factor, 0);
    if (factor = asFloat(left); factor && isa<arith::MulFOp>(op))
      return scaled(right, *factor, 0);
    if (carrying) {
      if (isCarried(steps, left, entry->second))
        std::swap(left, right);
      // The same factor in all steps.
      if (!isa<arith::MulFOp>(op) || isCarried(steps, left, entry->second) ||
          (steps.decay && steps.decay != left))
        return std::nullopt;
      steps.decay = left;
      return scaled(right, 1, 1);
    }
  }
  bool isSum = op && isa<arith::AddFOp, arith::SubFOp>(op);
  if (isSum && (carrying || isZero(op->getOperand(0)) || isZero(op->getOperand(1)))) {
    auto a = sharesOf(steps, op->getOperand(0)), b = sharesOf(steps, op->getOperand(1));
    if (!a || !b)
      return std::nullopt;
    Shares result;
    auto *left = a->data(), *leftEnd = left + a->size();
    for (Share share : *b) {
      if (isa<arith::SubFOp>(op))
        share.scale = -share.scale;
      while (left != leftEnd && left->unit < share.unit)
        result.push_back(*left++);
      if (left != leftEnd && left->unit == share.unit) {
        if (left->power != share.power)
          return std::nullopt;
        share.scale += left++->scale;
      }
      result.push_back(share);
    }
    result.insert(result.end(), left, leftEnd);
    return remember(std::move(result));
  }
  if (carrying)
    return std::nullopt;
  steps.units.push_back(scalar);
  return remember(Shares{{unsigned(steps.units.size() - 1), 1, 0}});
}

/// Scalars that sum up one unit per step.
Value Unrolled::rollHistory(ArrayRef<Value> values) {
  Steps steps = follow(values);
  Type unitType = values.back().getType();
  if (!carries(steps, values.back()))
    return {};
  state = true;
  // The first reason is the one of the whole state.
  auto refuse = [&](const char *why) {
    if (reason.empty())
      reason = why;
    return Value();
  };
  Shares before;
  double limit = 0;
  for (auto [number, value] : llvm::enumerate(values)) {
    std::optional<Shares> shares = sharesOf(steps, value);
    if (!shares)
      return refuse("a step is no linear function of the step before, the same for all");
    if (steps.units.size() != number + 1 || shares->size() != number + 1)
      return refuse("a step adds nothing, or several things");
    limit = std::max(limit, std::abs(shares->front().scale) * rounding(unitType));
    for (auto [n, share] : llvm::enumerate(*shares)) {
      bool isLaw = share.unit == n;
      if (n > 0) {
        const Share &same = before[n - 1];
        isLaw &= share.power == same.power && std::abs(share.scale - same.scale) <= limit;
      }
      if (!isLaw)
        return refuse("what a step adds counts differently later on");
    }
    before = std::move(*shares);
    // Only the last steps are carried over.
    for (auto known = steps.shares.begin(); known != steps.shares.end(); ++known) {
      auto first = steps.first.find(known->first);
      if (first == steps.first.end() || first->second + 1 < number)
        steps.shares.erase(known);
    }
  }
  StepHistory history;
  bool decays = before.front().power != 0;
  for (const Share &share : llvm::reverse(before)) {
    if (decays && share.power != int64_t(history.weights.size()))
      return refuse("what a step adds decays at another rate than once per step");
    history.weights.push_back(share.scale);
  }
  Value unit = rollSteps(steps.units);
  if (!unit)
    return refuse("what steps add differs in more than the step");
  history.unit = substitute(elements, unit, step, earlier);
  history.decay = decays ? steps.decay : Value();
  Value unknown = elements.addUnknown(values.back().getType());
  histories[unknown] = std::move(history);
  return unknown;
}

std::optional<Unrolled::Sum> Unrolled::sum(Value unknown) {
  Sum result;
  Value element = unknown;
  if (auto entry = sums.find(unknown); entry != sums.end())
    std::tie(element, result.inner) = entry->second;
  Product product = products.flatten(element);
  if (!product.conditions.empty())
    return std::nullopt;
  result.factor = product.factor;
  unsigned found = 0;
  for (Value factor : product.factors) {
    if (auto entry = histories.find(factor); entry != histories.end()) {
      result.history = entry->second;
      ++found;
    } else if (hasUnknown(factor)) {
      return std::nullopt;
    } else {
      result.factors.push_back(factor);
    }
  }
  return found == 1 ? std::optional(std::move(result)) : std::nullopt;
}

std::optional<Product> Unrolled::product(Value unknown) {
  std::optional<Sum> found = sum(unknown);
  if (!found || !found->inner)
    return std::nullopt;
  const std::vector<double> &weights = found->history.weights;
  // Without queries it is no attention.
  if (llvm::none_of(found->factors, [&](Value factor) { return elements.depends(factor, step); }))
    return std::nullopt;
  Product result;
  result.factors = found->factors;
  products.flatten(found->history.unit, result);
  result.factor *= found->factor;
  double first = weights[0], mu = weights[1] / first - 1;
  double limit = std::abs(weights.back()) * rounding(unknown.getType());
  bool fades = std::abs(mu * first) > limit;
  auto fail = [&](const char *why) {
    reason = why;
    return std::nullopt;
  };
  if (found->history.decay || (fades && !(mu > 0 && mu < 1)))
    return fail("the state decays");
  for (auto [n, weight] : llvm::enumerate(weights)) {
    double law = fades ? first * (1 - std::pow(mu, n + 1)) / (1 - mu) : first;
    if (!(std::abs(weight - law) <= limit))
      return fail("the weights of earlier steps follow no known law");
  }
  if (fades) {
    result.factors.push_back(momentumFactor(elements, unknown.getType(), mu, step, earlier));
    first /= 1 - mu;
  }
  result.factor *= first;
  Value seen = elements.make<arith::CmpIOp>(arith::CmpIPredicate::sle, earlier, step);
  result.conditions.push_back(seen);
  result.sums = {earlier, found->inner};
  return result;
}

} // namespace attune
