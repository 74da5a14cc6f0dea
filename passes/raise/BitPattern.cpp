#include "attune/passes/raise/BitPattern.h"

#include "attune/passes/canonicalize/ConstantEval.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attune {

//===-- Construction --------------------------------------------------------------------------===//

BitPattern::BitPattern(Bits pattern, bool isNegated, unsigned source)
    : bits(std::move(pattern)), negated(isNegated), source(source) {
  // One way to say everything that has several: constants and x itself as they are, and -x as the
  // negative of x.
  if (std::optional<Bits> other = negativeBits(); other && llvm::is_contained(*other, FirstOfX)) {
    bits = *other;
    negated = !negated;
  }
  if (!negated || !llvm::all_of(bits, [](uint8_t bit) { return bit <= One; }))
    return;
  bool carry = true;
  for (uint8_t &bit : bits) {
    bool flipped = bit == Zero;
    bit = flipped != carry ? One : Zero;
    carry = flipped && carry;
  }
  negated = false;
}

BitPattern BitPattern::constant(int64_t value, unsigned width) {
  Bits bits;
  for (unsigned n = 0; n < width; ++n)
    bits.push_back((uint64_t(value) >> n) & 1 ? One : Zero);
  return BitPattern(bits, false, 0);
}

BitPattern BitPattern::unknown(unsigned width, bool isNegative) {
  Bits bits;
  for (unsigned n = 0; n + 1 < width; ++n)
    bits.push_back(FirstOfX + n);
  bits.push_back(isNegative ? One : Zero);
  return BitPattern(bits, false, width);
}

//===-- Reading -------------------------------------------------------------------------------===//

std::optional<int64_t> BitPattern::asConstant() const {
  uint64_t value = 0;
  for (auto [n, bit] : llvm::enumerate(bits)) {
    if (bit > One)
      return std::nullopt;
    value |= uint64_t(bit) << n;
  }
  return width() == 1 ? int64_t(value) : llvm::SignExtend64(value, width());
}

std::optional<int64_t> BitPattern::distance() const {
  for (auto [n, bit] : llvm::enumerate(bits))
    if (bit > One)
      return int64_t(n) - (bit < FirstOfMinusX ? bit - FirstOfX : bit - FirstOfMinusX);
  return std::nullopt;
}

std::optional<BitPattern::Bits> BitPattern::negativeBits() const {
  const auto *lowest = llvm::find_if(bits, [](uint8_t bit) { return bit != Zero; });
  if (lowest == bits.end() || (*lowest != FirstOfX && *lowest != FirstOfMinusX))
    return std::nullopt;
  bool ofX = *lowest == FirstOfX;
  uint8_t from = *lowest, to = ofX ? FirstOfMinusX : FirstOfX, sign = FirstOfMinusX + source - 1;
  ArrayRef<uint8_t> rest(lowest, bits.end());
  Bits other(lowest - bits.begin(), Zero);
  unsigned free = std::min<size_t>(rest.size(), source - 1);
  for (unsigned n = 0; n < free; ++n) {
    if (rest[n] != from + n)
      return std::nullopt;
    other.push_back(to + n);
  }
  rest = rest.drop_front(free);
  if (rest.empty())
    return other;
  // The signs. -x of the smallest x has its sign too, but as a bit of the magnitude.
  if (llvm::all_equal(rest) && rest[0] == (ofX ? Zero : One)) {
    other.append(rest.size(), ofX ? One : Zero);
  } else if (ofX && llvm::all_equal(rest) && rest[0] == One) {
    other.push_back(sign);
    other.append(rest.size() - 1, Zero);
  } else if (!ofX && rest[0] == sign &&
             llvm::all_of(rest.drop_front(), [](uint8_t bit) { return bit == Zero; })) {
    other.append(rest.size(), One);
  } else {
    return std::nullopt;
  }
  return other;
}

std::optional<BitPattern::Bits> BitPattern::plain() const {
  return negated ? negativeBits() : bits;
}

namespace {
enum Sign : unsigned { Negative = 1, Null = 2, Positive = 4, Any = 7 };
} // namespace

unsigned BitPattern::signs() const {
  if (std::optional<int64_t> value = asConstant())
    return *value < 0 ? Negative : *value == 0 ? Null : Positive;
  // All bits of x, which is not 0.
  unsigned possible = negativeBits() ? Any - Null : Any;
  if (bits.back() == Zero)
    return possible & (negated ? Negative | Null : Positive | Null);
  if (bits.back() == One && !negated)
    return Negative;
  return possible;
}

//===-- Operators -----------------------------------------------------------------------------===//

BitPattern BitPattern::negate() const { return BitPattern(bits, !negated, source); }

BitPattern BitPattern::shiftLeft(unsigned count) const {
  Bits shifted(count, Zero);
  shifted.append(bits.begin(), bits.end() - count);
  return BitPattern(shifted, negated, source);
}

std::optional<BitPattern> BitPattern::shiftRight(unsigned count, bool isSigned) const {
  std::optional<Bits> from = plain();
  if (!from)
    return std::nullopt;
  Bits shifted(from->begin() + count, from->end());
  shifted.append(count, isSigned ? from->back() : uint8_t(Zero));
  return BitPattern(shifted, false, source);
}

std::optional<BitPattern> BitPattern::divide(unsigned log2) const {
  if (bits.back() == Zero) {
    BitPattern magnitude(bits, false, source);
    std::optional<BitPattern> quotient = magnitude.shiftRight(log2, /*isSigned=*/false);
    return negated ? quotient->negate() : quotient;
  }
  // x < 0: its magnitude is -x, as an unsigned integer.
  std::optional<Bits> magnitude = negativeBits();
  if (negated || !magnitude || bits.back() != One)
    return std::nullopt;
  Bits quotient(magnitude->begin() + log2, magnitude->end());
  quotient.append(log2, Zero);
  return BitPattern(quotient, true, source);
}

std::optional<BitPattern> BitPattern::extend(unsigned width, bool isSigned) const {
  unsigned more = width - bits.size();
  if (std::optional<Bits> wide = plain()) {
    wide->append(more, isSigned ? wide->back() : uint8_t(Zero));
    return BitPattern(*wide, false, source);
  }
  // The negative must be one of the narrow type too: not of its smallest integer.
  bool fits = bits.back() == Zero || (bits.back() == One && bits[bits.size() - 2] == One);
  if (!isSigned || !fits)
    return std::nullopt;
  Bits wide = bits;
  wide.append(more, wide.back());
  return BitPattern(wide, true, source);
}

BitPattern BitPattern::truncate(unsigned width) const {
  return BitPattern(Bits(bits.begin(), bits.begin() + width), negated, source);
}

std::optional<BitPattern> BitPattern::multiply(const BitPattern &a, int64_t factor) {
  if (factor == 0)
    return constant(0, a.width());
  uint64_t magnitude = factor < 0 ? -uint64_t(factor) : uint64_t(factor);
  if (!llvm::isPowerOf2_64(magnitude))
    return std::nullopt;
  unsigned log2 = llvm::Log2_64(magnitude);
  if (log2 >= a.width())
    return std::nullopt;
  BitPattern product = a.shiftLeft(log2);
  return factor < 0 ? product.negate() : product;
}

/// A bit with each bit of a mask.
std::optional<BitPattern> BitPattern::combine(Operation *op, const BitPattern &a,
                                              const BitPattern &b) {
  std::optional<Bits> x = a.plain(), y = b.plain();
  if (!x || !y)
    return std::nullopt;
  Bits combined;
  for (auto [p, q] : llvm::zip_equal(*x, *y)) {
    uint8_t mask = std::min(p, q), bit = std::max(p, q);
    bool isAnd = isa<arith::AndIOp>(op), isOr = isa<arith::OrIOp>(op);
    if (p == q && (isAnd || isOr))
      combined.push_back(p);
    else if (p == q)
      combined.push_back(Zero);
    else if (mask > One || (mask == One && !isAnd && !isOr && bit > One))
      return std::nullopt;
    else
      combined.push_back(isAnd  ? (mask == One ? bit : uint8_t(Zero))
                         : isOr ? (mask == One ? uint8_t(One) : bit)
                                : bit);
  }
  return BitPattern(combined, false, std::max(a.source, b.source));
}

/// With 0, by the sign.
std::optional<BitPattern> BitPattern::compare(Operation *op, const BitPattern &a,
                                              const BitPattern &b) {
  using P = arith::CmpIPredicate;
  bool swapped = a.asConstant() == 0;
  if (!swapped && b.asConstant() != 0)
    return std::nullopt;
  unsigned signs = (swapped ? b : a).signs(), holds;
  switch (cast<arith::CmpIOp>(op).getPredicate()) {
  case P::eq:
    holds = Null;
    break;
  case P::ne:
    holds = Negative | Positive;
    break;
  case P::slt:
    holds = swapped ? Positive : Negative;
    break;
  case P::sle:
    holds = Null | (swapped ? Positive : Negative);
    break;
  case P::sgt:
    holds = swapped ? Negative : Positive;
    break;
  case P::sge:
    holds = Null | (swapped ? Negative : Positive);
    break;
  default:
    return std::nullopt;
  }
  if ((signs & holds) != 0 && (signs & ~holds) != 0)
    return std::nullopt;
  return constant((signs & holds) != 0, 1);
}

static std::optional<BitPattern> evaluateConstant(Operation *op, ArrayRef<BitPattern> operands) {
  SmallVector<Cell> cells;
  for (const BitPattern &operand : operands) {
    std::optional<int64_t> value = operand.asConstant();
    if (!value)
      return std::nullopt;
    cells.push_back(Cell{.i = *value});
  }
  std::optional<Cell> cell = evaluateScalar(op, cells);
  if (!cell)
    return std::nullopt;
  return BitPattern::constant(cell->i, op->getResult(0).getType().getIntOrFloatBitWidth());
}

std::optional<BitPattern> BitPattern::evaluate(Operation *op, ArrayRef<BitPattern> a) {
  using Result = std::optional<BitPattern>;
  if (op->getNumResults() != 1 || !op->getResult(0).getType().isSignlessInteger())
    return std::nullopt;
  unsigned width = op->getResult(0).getType().getIntOrFloatBitWidth();
  if (Result known = evaluateConstant(op, a))
    return known;
  std::optional<int64_t> right = a.size() == 2 ? a[1].asConstant() : std::nullopt;
  std::optional<int64_t> left = a.size() == 2 ? a[0].asConstant() : std::nullopt;
  bool isCount = right && *right >= 0 && *right < int64_t(width);
  auto powerOf = [](int64_t value) -> std::optional<unsigned> {
    uint64_t magnitude = value < 0 ? -uint64_t(value) : uint64_t(value);
    return llvm::isPowerOf2_64(magnitude) ? std::optional(llvm::Log2_64(magnitude)) : std::nullopt;
  };
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case<arith::ShLIOp>(
          [&](auto) { return isCount ? Result(a[0].shiftLeft(*right)) : Result(); })
      .Case<arith::ShRSIOp>(
          [&](auto) { return isCount ? a[0].shiftRight(*right, true) : Result(); })
      .Case<arith::ShRUIOp>(
          [&](auto) { return isCount ? a[0].shiftRight(*right, false) : Result(); })
      .Case<arith::MulIOp>([&](auto) {
        return left ? multiply(a[1], *left) : right ? multiply(a[0], *right) : Result();
      })
      .Case<arith::DivSIOp>([&](auto) -> Result {
        std::optional<unsigned> log2 = right ? powerOf(*right) : std::nullopt;
        Result quotient = log2 && *log2 < width ? a[0].divide(*log2) : std::nullopt;
        return quotient && *right < 0 ? quotient->negate() : quotient;
      })
      .Case<arith::DivUIOp>([&](auto) -> Result {
        std::optional<unsigned> log2 = right && *right > 0 ? powerOf(*right) : std::nullopt;
        return log2 ? a[0].shiftRight(*log2, false) : std::nullopt;
      })
      .Case<arith::AddIOp>([&](auto) {
        return left == 0 ? Result(a[1]) : right == 0 ? Result(a[0]) : Result();
      })
      .Case<arith::SubIOp>([&](auto) {
        return left == 0 ? Result(a[1].negate()) : right == 0 ? Result(a[0]) : Result();
      })
      .Case<arith::AndIOp, arith::OrIOp, arith::XOrIOp>(
          [&](auto) { return combine(op, a[0], a[1]); })
      .Case<arith::ExtSIOp>([&](auto) { return a[0].extend(width, true); })
      .Case<arith::ExtUIOp>([&](auto) { return a[0].extend(width, false); })
      .Case<arith::TruncIOp>([&](auto) { return Result(a[0].truncate(width)); })
      .Case<arith::CmpIOp>([&](auto) { return compare(op, a[0], a[1]); })
      .Case<math::AbsIOp>([&](auto) -> Result {
        if (!(a[0].signs() & Negative))
          return a[0];
        return a[0].signs() & Positive ? Result() : Result(a[0].negate());
      })
      .Case<arith::MaxSIOp, arith::MinSIOp>([&](auto) -> Result {
        if (left != 0 && right != 0)
          return std::nullopt;
        const BitPattern &value = left == 0 ? a[1] : a[0];
        unsigned below = isa<arith::MaxSIOp>(op) ? Negative : Positive;
        if (!(value.signs() & below))
          return value;
        return value.signs() & ~(below | Null) ? Result() : constant(0, width);
      })
      .Default([](Operation *) { return std::nullopt; });
}

} // namespace attune
