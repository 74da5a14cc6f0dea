#include "attune/passes/raise/ShiftReading.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include <cmath>
#include <map>

using namespace mlir;

namespace attune {

/// At most as many evaluations of scalars for the codes of one layer: some seconds.
static constexpr int64_t kMaxSteps = int64_t(1) << 28;
static constexpr ContractRounding kRoundings[] = {
    ContractRounding::FloorTerms, ContractRounding::TruncateTerms, ContractRounding::UnsignedTerms};

/// Splits what is below the term in steps and known values; false where it needs another element.
bool ShiftReading::collect(Value value) {
  if (value == x || steps.contains(value) || known.contains(value))
    return true;
  Operation *op = value.getDefiningOp();
  if (!op) {
    known.insert(value);
    return elements.isIndex(value);
  }
  bool depends = elements.depends(value, x);
  if (std::optional<ElementOf> element = elements.load(value)) {
    std::optional<ConstantData> data =
        element->tensor ? ConstantData::get(element->tensor) : std::nullopt;
    if (depends || !data)
      return false;
    constants.insert({value, *data});
  }
  for (Value operand : op->getOperands()) {
    if (elements.load(value) && operand == op->getOperand(0))
      continue;
    if (!collect(operand))
      return false;
    if (depends && operand != x && !steps.contains(operand))
      frontier.insert(operand);
  }
  (depends ? steps : known).insert(value);
  return true;
}

bool ShiftReading::collectLoops() {
  llvm::SetVector<Value> used;
  for (Value value : frontier)
    used.insert_range(elements.freeIndices(value));
  SmallVector<Value> ordered(used.begin(), used.end());
  llvm::sort(ordered, [](Value a, Value b) {
    return cast<BlockArgument>(a).getArgNumber() < cast<BlockArgument>(b).getArgNumber();
  });
  int64_t points = 1;
  for (Value index : ordered) {
    std::optional<int64_t> extent = Sizes::asConstant(elements.extentOf(index));
    if (!extent || *extent < 1 || *extent > kMaxSteps / points)
      return false;
    points *= *extent;
    result.loops.push_back(index);
  }
  splitKnown();
  return points * int64_t(atPoints.size()) <= kMaxSteps;
}

/// Splits known values by when they change. Each set is evaluated after the ones before it, so
/// where a value would need a later one, all of them change at every point.
void ShiftReading::splitKnown() {
  auto usesAny = [](Operation *op, auto contains) {
    return op && llvm::any_of(op->getOperands(), contains);
  };
  for (Value value : known) {
    Operation *op = value.getDefiningOp();
    bool isLoad = constants.contains(value);
    bool moves = !op || usesAny(op, [&](Value operand) {
      return atPoints.contains(operand) && !constants.contains(operand);
    });
    bool usesLoads = usesAny(op, [&](Value operand) {
      return ofLoads.contains(operand) || constants.contains(operand);
    });
    if ((moves || isLoad) && usesLoads) {
      atPoints = known;
      ofLoads.clear();
      fixed.clear();
      return;
    }
    (moves || isLoad ? atPoints : usesLoads ? ofLoads : fixed).insert(value);
  }
}

bool ShiftReading::evaluate(const llvm::SetVector<Value> &values, ArrayRef<int64_t> at) {
  for (Value value : values) {
    std::optional<Cell> cell = evaluate(value, at);
    if (!cell) {
      reason = "the constants of the terms are not known when compiling";
      return false;
    }
    cells[value] = cell->i;
  }
  return true;
}

std::optional<Cell> ShiftReading::read(Value load) {
  const ConstantData &data = constants.find(load)->second;
  int64_t position = 0;
  for (auto [axis, index] : llvm::enumerate(load.getDefiningOp<tensor::ExtractOp>().getIndices())) {
    int64_t at = cells.lookup(index), size = data.getType().getDimSize(axis);
    if (at < 0 || at >= size)
      return std::nullopt;
    position = position * size + at;
  }
  return readCell(data, position);
}

/// The term where constants have the values in `cells`.
std::optional<BitPattern> ShiftReading::follow(const BitPattern &ofX) {
  // Null: not known, which is no harm where a choice does not take it.
  llvm::DenseMap<Value, std::optional<BitPattern>> patterns;
  patterns[x] = ofX;
  for (Value value : frontier)
    if (value.getType().isSignlessInteger())
      patterns[value] =
          BitPattern::constant(cells.lookup(value), value.getType().getIntOrFloatBitWidth());
  for (Value step : steps) {
    Operation *op = step.getDefiningOp();
    std::optional<BitPattern> pattern;
    auto known = [&](Value operand) { return patterns.lookup(operand).has_value(); };
    if (auto select = dyn_cast<arith::SelectOp>(op)) {
      std::optional<BitPattern> condition = patterns.lookup(select.getCondition());
      std::optional<int64_t> taken = condition ? condition->asConstant() : std::nullopt;
      if (taken)
        pattern = patterns.lookup(*taken ? select.getTrueValue() : select.getFalseValue());
    } else if (llvm::all_of(op->getOperands(), known)) {
      SmallVector<BitPattern> operands;
      for (Value operand : op->getOperands())
        operands.push_back(*patterns.lookup(operand));
      pattern = BitPattern::evaluate(op, operands);
    }
    patterns[step] = pattern;
  }
  return patterns.lookup(term);
}

std::optional<BitPattern> ShiftReading::shifted(const BitPattern &ofX, const Shift &shift,
                                                ContractRounding rounding) {
  unsigned out = term.getType().getIntOrFloatBitWidth();
  auto [width, isSigned] = result.extension;
  BitPattern from = width > ofX.width() ? *ofX.extend(width, isSigned) : ofX;
  std::optional<BitPattern> value;
  if (shift.power >= int64_t(width))
    value = BitPattern::constant(0, width);
  else if (shift.power >= 0)
    value = from.shiftLeft(shift.power);
  else if (rounding == ContractRounding::FloorTerms)
    value = from.shiftRight(std::min<int64_t>(-shift.power, width - 1), true);
  else if (-shift.power >= int64_t(width))
    value = BitPattern::constant(0, width);
  else if (rounding == ContractRounding::UnsignedTerms)
    value = from.shiftRight(-shift.power, false);
  else
    value = from.divide(-shift.power);
  if (value && shift.sign < 0)
    value = value->negate();
  return value && out > width ? value->extend(out, true) : value;
}

std::optional<ShiftReading::Shifts> ShiftReading::shiftsOf() {
  unsigned width = x.getType().getIntOrFloatBitWidth();
  BitPattern positive = BitPattern::unknown(width, false),
             negative = BitPattern::unknown(width, true);
  std::optional<BitPattern> above = follow(positive), below = follow(negative),
                            at = follow(BitPattern::constant(0, width));
  if (!above || !below || !at || at->asConstant() != 0)
    return std::nullopt;
  Shift null{0, 0};
  if (above->asConstant() == 0 && below->asConstant() == 0)
    return Shifts{null, null, null};
  // Where no bit of a positive x is left, the sign of a negative one may be: after any distance.
  std::optional<int64_t> distance = above->distance();
  int64_t first = distance.value_or(-1), last = distance.value_or(-int64_t(result.extension.width));
  Shifts shifts;
  for (auto [rounding, found] : llvm::zip(kRoundings, shifts))
    for (int64_t power = first; power >= last && !found; --power)
      for (int64_t sign : {1, -1}) {
        Shift shift{sign, power};
        if (shifted(positive, shift, rounding) == above &&
            shifted(negative, shift, rounding) == below)
          found = shift;
      }
  if (llvm::none_of(shifts, [](const auto &shift) { return shift.has_value(); }))
    return std::nullopt;
  return shifts;
}

/// Takes the constant factors of this point into the shifts, and their magnitude into the scale.
bool ShiftReading::scale(Shifts &shifts) {
  double factor = 1;
  for (Value value : factors)
    factor *= Cell{.i = cells.lookup(value)}.f;
  if (!std::isfinite(factor)) {
    reason = "a factor of the terms is not finite";
    return false;
  }
  int64_t bits = x.getType().getIntOrFloatBitWidth(), sign = factor > 0 ? 1 : factor < 0 ? -1 : 0;
  bool isNull = true;
  for (std::optional<Shift> &shift : shifts) {
    if (!shift)
      continue;
    shift->sign *= sign;
    if (shift->sign == 0) {
      shift->power = 0;
      continue;
    }
    isNull = false;
    // The negative of the smallest integer is a float, but no integer.
    if (sign < 0 && shift->power >= 0 && bits + shift->power >= int64_t(result.extension.width))
      shift.reset();
  }
  if (isNull)
    return true;
  if (isScaled && std::fabs(factor) != result.scale) {
    reason = "the terms have factors of different magnitudes";
    return false;
  }
  isScaled = true;
  result.scale = std::fabs(factor);
  return true;
}

bool ShiftReading::encode(ArrayRef<Shifts> terms, ArrayRef<unsigned> positions) {
  std::optional<unsigned> number;
  for (unsigned n = std::size(kRoundings); n-- > 0;)
    if (llvm::all_of(terms, [&](const Shifts &shifts) { return shifts[n].has_value(); }))
      number = n;
  if (!number) {
    reason = "the terms are rounded in different ways";
    return false;
  }
  int64_t low = 0, high = 0;
  for (const Shifts &shifts : terms) {
    low = std::min(low, shifts[*number]->power);
    high = std::max(high, shifts[*number]->power);
  }
  result.rounding = kRoundings[*number];
  result.exponentBias = 1 - low;
  if (high + result.exponentBias > 127) {
    reason = "the shifts lie too far apart for codes of 8 bits";
    return false;
  }
  for (unsigned position : positions) {
    const Shift &shift = *terms[position][*number];
    result.codes.push_back(shift.sign * (shift.power + result.exponentBias));
  }
  return true;
}

/// A known value at a point of the loops, after all that it is made of.
std::optional<Cell> ShiftReading::evaluate(Value value, ArrayRef<int64_t> at) {
  if (auto loop = llvm::find(result.loops, value); loop != result.loops.end())
    return Cell{.i = at[loop - result.loops.begin()]};
  if (constants.contains(value))
    return read(value);
  Operation *op = value.getDefiningOp();
  if (!op)
    return std::nullopt;
  Attribute constant;
  if (matchPattern(value, m_Constant(&constant))) {
    if (auto number = dyn_cast<FloatAttr>(constant))
      return Cell{.f = number.getValueAsDouble()};
    auto number = dyn_cast<IntegerAttr>(constant);
    if (!number)
      return std::nullopt;
    bool isBool = number.getType().isInteger(1);
    return Cell{.i = isBool ? int64_t(number.getValue().getZExtValue())
                            : number.getValue().getSExtValue()};
  }
  SmallVector<Cell> operands;
  for (Value operand : op->getOperands())
    operands.push_back(Cell{.i = cells.lookup(operand)});
  return evaluateScalar(op, operands);
}

bool ShiftReading::run() {
  bool isCollected = collect(term) && llvm::all_of(factors, [&](Value factor) {
                       return collect(factor) && !steps.contains(factor);
                     });
  frontier.insert(factors.begin(), factors.end());
  if (!isCollected) {
    reason = "the terms need more than one element and constants";
    return false;
  }
  if (!collectLoops()) {
    reason = "the constants have no static extents, or too many elements";
    return false;
  }
  // Few combinations of constants occur.
  std::map<std::vector<int64_t>, unsigned> numbers;
  std::vector<int64_t> key;
  SmallVector<Shifts> terms;
  std::vector<unsigned> positions;
  SmallVector<int64_t> at(result.loops.size(), 0);
  if (!evaluate(fixed, at))
    return false;
  for (bool more = true; more;) {
    if (!evaluate(atPoints, at))
      return false;
    key.clear();
    for (Value value : atPoints)
      if (constants.contains(value) || frontier.contains(value))
        key.push_back(cells.lookup(value));
    auto entry = numbers.find(key);
    if (entry == numbers.end()) {
      if (!evaluate(ofLoads, at))
        return false;
      std::optional<Shifts> shifts = shiftsOf();
      if (!shifts) {
        reason = "a term is no shift of its element for every sign of it";
        return false;
      }
      if (!scale(*shifts))
        return false;
      entry = numbers.insert({key, terms.size()}).first;
      terms.push_back(*shifts);
    }
    positions.push_back(entry->second);
    more = false;
    for (int64_t axis = at.size(); axis-- > 0 && !more;) {
      more = ++at[axis] < *Sizes::asConstant(elements.extentOf(result.loops[axis]));
      at[axis] = more ? at[axis] : 0;
    }
  }
  return encode(terms, positions);
}

} // namespace attune
