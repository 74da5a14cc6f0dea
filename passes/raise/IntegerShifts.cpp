#include "attune/passes/raise/IntegerShifts.h"

#include "attune/passes/raise/ShiftReading.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace attune {

static bool isWide(Type type) { return type.isSignlessInteger(32) || type.isSignlessInteger(64); }

/// What an element of `type` may become in terms of `width` bits, the cheapest first.
static SmallVector<Extension> extensionsOf(Type type, unsigned width) {
  unsigned own = type.getIntOrFloatBitWidth();
  if (own < 32)
    return {{32, false}, {32, true}};
  if (own == width)
    return {{own, true}};
  return {{own, true}, {width, true}, {width, false}};
}

/// Reads an integer term times float factors.
static std::optional<IntegerShifts> match(Elements &elements, Value term, ArrayRef<Value> factors,
                                          llvm::function_ref<bool(const ElementOf &)> isInput,
                                          StringRef &reason) {
  // Elements below the term, the narrowest first and of these the nearest to the term.
  llvm::SetVector<Value> below;
  SmallVector<Value> pending{term};
  bool shifts = false;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    if (!value.getType().isSignlessInteger() || !below.insert(value))
      continue;
    Operation *op = value.getDefiningOp();
    shifts |= isa_and_nonnull<arith::ShLIOp, arith::ShRSIOp, arith::ShRUIOp, arith::DivSIOp,
                              arith::DivUIOp>(op);
    if (op)
      llvm::append_range(pending, op->getOperands());
  }
  unsigned width = term.getType().getIntOrFloatBitWidth();
  SmallVector<std::pair<Value, ElementOf>> candidates;
  for (Value value : below) {
    unsigned own = value.getType().getIntOrFloatBitWidth();
    if (own < 8 || own > width)
      continue;
    std::optional<ElementOf> element = elements.load(value);
    if (!element && !elements.sources(value).empty())
      element = elements.sources(value).front();
    if (element && element->tensor && !ConstantData::get(element->tensor) && isInput(*element))
      candidates.push_back({value, *element});
  }
  llvm::stable_sort(candidates, [](const auto &a, const auto &b) {
    return a.first.getType().getIntOrFloatBitWidth() < b.first.getType().getIntOrFloatBitWidth();
  });
  for (auto &[value, element] : candidates)
    for (Extension extension : extensionsOf(value.getType(), width)) {
      ShiftReading reading(elements, term, factors, value, element, extension);
      if (reading.run())
        return reading.result;
      if (shifts && reason.empty())
        reason = reading.reason;
    }
  return std::nullopt;
}

std::optional<IntegerShifts> matchIntegerShifts(Elements &elements, Value term,
                                                llvm::function_ref<bool(const ElementOf &)> isInput,
                                                StringRef &reason) {
  return isWide(term.getType()) ? match(elements, term, {}, isInput, reason) : std::nullopt;
}

/// Whether a scalar is made of constants and indices only.
static bool isKnown(Elements &elements, Value scalar) {
  if (elements.isIndex(scalar))
    return true;
  Operation *op = scalar.getDefiningOp();
  if (!op)
    return false;
  std::optional<ElementOf> element = elements.load(scalar);
  if (element && (!element->tensor || !ConstantData::get(element->tensor)))
    return false;
  return llvm::all_of(llvm::drop_begin(op->getOperands(), element ? 1 : 0),
                      [&](Value operand) { return isKnown(elements, operand); });
}

std::optional<IntegerShifts>
matchFloatsOfShifts(Elements &elements, Value term,
                    llvm::function_ref<bool(const ElementOf &)> isInput) {
  SmallVector<Value> factors;
  Value core = term;
  while (auto product = core.getDefiningOp<arith::MulFOp>()) {
    bool left = isKnown(elements, product.getLhs());
    if (!left && !isKnown(elements, product.getRhs()))
      return std::nullopt;
    factors.push_back(left ? product.getLhs() : product.getRhs());
    core = left ? product.getRhs() : product.getLhs();
  }
  Operation *cast = core.getDefiningOp();
  if (!isa_and_present<arith::SIToFPOp, arith::UIToFPOp>(cast))
    return std::nullopt;
  // Summed in 64 bits, floats of 32-bit integers cannot overflow.
  Value integer = cast->getOperand(0);
  Type i64 = IntegerType::get(term.getContext(), 64);
  if (integer.getType().isInteger(32))
    integer = isa<arith::SIToFPOp>(cast) ? elements.make<arith::ExtSIOp>(i64, integer)
                                         : elements.make<arith::ExtUIOp>(i64, integer);
  else if (!integer.getType().isInteger(64) || isa<arith::UIToFPOp>(cast))
    return std::nullopt;
  StringRef reason;
  std::optional<IntegerShifts> shifts = match(elements, integer, factors, isInput, reason);
  // Without shifts to the right it is a product of floats, which has a better kernel.
  bool shiftsRight = shifts && llvm::any_of(shifts->codes, [&](int8_t code) {
                       return code != 0 && std::abs(int64_t(code)) < shifts->exponentBias;
                     });
  return shiftsRight ? shifts : std::nullopt;
}

} // namespace attune
