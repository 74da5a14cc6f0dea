#include "attune/passes/raise/ChunkNumbers.h"

#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include <cmath>
#include <numbers>

using namespace mlir;

namespace attune {

/// Tables of chunks are as long as a sequence divided by its chunk length, twice.
static constexpr int64_t kMaxTable = 1 << 20;

void Powers::add(Term term) {
  for (Term &own : terms)
    if (own.ratio == term.ratio) {
      own.scale += term.scale;
      return;
    }
  terms.push_back(term);
}

std::optional<double> Powers::constant() const {
  double sum = 0;
  for (Term term : terms) {
    if (term.ratio != 1 && term.scale != 0)
      return std::nullopt;
    sum += term.scale;
  }
  return sum;
}

Powers Powers::operator*(const Powers &other) const {
  Powers product;
  for (Term a : terms)
    for (Term b : other.terms)
      product.add({a.scale * b.scale, a.ratio * b.ratio});
  return product;
}

void ChunkNumbers::start(ChunkOrder order, int64_t rowPlace, int64_t columnPlace) {
  known.clear();
  rowNumber = {0, length, rowPlace};
  columnNumber = {0, length, columnPlace};
  if (order == ChunkOrder::Same)
    return;
  Whole &later = order == ChunkOrder::Before ? rowNumber : columnNumber;
  later.apart = length;
  later.rest += length;
}

std::optional<bool> ChunkNumbers::holds(Value condition, ChunkOrder order, int64_t rowPlace,
                                        int64_t columnPlace) {
  start(order, rowPlace, columnPlace);
  Number found = number(condition);
  const bool *truth = std::get_if<bool>(&found);
  return truth ? std::optional(*truth) : std::nullopt;
}

std::optional<Powers> ChunkNumbers::value(Value scalar, ChunkOrder order, int64_t rowPlace,
                                          int64_t columnPlace) {
  start(order, rowPlace, columnPlace);
  Number found = number(scalar);
  const Real *real = std::get_if<Real>(&found);
  if (!real || real->apart != 0 || real->chunk != 0)
    return std::nullopt;
  return real->powers;
}

ChunkNumbers::Number ChunkNumbers::number(Value scalar) {
  auto seen = known.find(scalar);
  if (seen != known.end())
    return seen->second;
  Number result = compute(scalar);
  known[scalar] = result;
  return result;
}

namespace {
/// The signs that a difference may have.
struct Signs {
  bool negative, zero, positive;

  /// Of apart * n + chunk * c + rest for all n, c >= 0.
  template <typename T> static Signs of(T apart, T chunk, T rest) {
    bool bounded = apart >= 0 && chunk >= 0, limited = apart <= 0 && chunk <= 0;
    return {!bounded || rest < 0, (!bounded || rest <= 0) && (!limited || rest >= 0),
            !limited || rest > 0};
  }
};
} // namespace

/// Whether a comparison holds for a difference with these signs; nullopt where that varies.
static std::optional<bool> compares(arith::CmpIPredicate predicate, Signs signs) {
  using P = arith::CmpIPredicate;
  auto known = [](bool canHold, bool canFail) {
    return canHold && canFail ? std::nullopt : std::optional(canHold);
  };
  switch (predicate) {
  case P::eq:
    return known(signs.zero, signs.negative || signs.positive);
  case P::ne:
    return known(signs.negative || signs.positive, signs.zero);
  case P::slt:
    return known(signs.negative, signs.zero || signs.positive);
  case P::sle:
    return known(signs.negative || signs.zero, signs.positive);
  case P::sgt:
    return known(signs.positive, signs.zero || signs.negative);
  case P::sge:
    return known(signs.positive || signs.zero, signs.negative);
  default:
    return std::nullopt;
  }
}

static std::optional<bool> compares(arith::CmpFPredicate predicate, Signs signs) {
  using F = arith::CmpFPredicate;
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case F::OEQ:
  case F::UEQ:
    return compares(P::eq, signs);
  case F::ONE:
  case F::UNE:
    return compares(P::ne, signs);
  case F::OLT:
  case F::ULT:
    return compares(P::slt, signs);
  case F::OLE:
  case F::ULE:
    return compares(P::sle, signs);
  case F::OGT:
  case F::UGT:
    return compares(P::sgt, signs);
  case F::OGE:
  case F::UGE:
    return compares(P::sge, signs);
  default:
    return std::nullopt;
  }
}

ChunkNumbers::Number ChunkNumbers::compute(Value scalar) {
  if (scalar == row)
    return rowNumber;
  if (scalar == column)
    return columnNumber;
  Type type = scalar.getType();
  if (std::optional<double> constant = asFloat(scalar))
    return Real{Powers(*constant)};
  APInt integer;
  if (matchPattern(scalar, m_ConstantInt(&integer))) {
    if (type.isInteger(1))
      return !integer.isZero();
    return Whole{0, 0, integer.getSExtValue()};
  }
  Operation *op = scalar.getDefiningOp();
  if (!op)
    return {};
  if (std::optional<ElementOf> element = elements.load(scalar))
    return load(*element);
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    Number condition = number(select.getCondition());
    const bool *truth = std::get_if<bool>(&condition);
    return truth ? number(*truth ? select.getTrueValue() : select.getFalseValue()) : Number();
  }
  SmallVector<Number, 2> operands;
  for (Value operand : op->getOperands())
    operands.push_back(number(operand));
  if (operands.empty() || operands.size() > 2)
    return {};
  const Number &first = operands.front(), &second = operands.back();
  if (const bool *a = std::get_if<bool>(&first)) {
    const bool *b = std::get_if<bool>(&second);
    if (!b)
      return {};
    if (isa<arith::AndIOp>(op))
      return *a && *b;
    if (isa<arith::OrIOp>(op))
      return *a || *b;
    return isa<arith::XOrIOp>(op) ? Number(*a != *b) : Number();
  }
  if (const Whole *a = std::get_if<Whole>(&first)) {
    const Whole *b = std::get_if<Whole>(&second);
    return b ? computeWhole(op, *a, *b) : Number();
  }
  if (const Real *a = std::get_if<Real>(&first)) {
    const Real *b = std::get_if<Real>(&second);
    return b ? computeReal(op, *a, *b) : Number();
  }
  return {};
}

ChunkNumbers::Number ChunkNumbers::computeWhole(Operation *op, Whole a, Whole b) {
  if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp>(op))
    return op->getResult(0).getType().isInteger(1) ? Number() : Number(a);
  if (isa<arith::SIToFPOp, arith::UIToFPOp>(op))
    return Real{Powers(double(a.rest)), double(a.apart), double(a.chunk)};
  if (isa<arith::AddIOp>(op))
    return Whole{a.apart + b.apart, a.chunk + b.chunk, a.rest + b.rest};
  Whole difference{a.apart - b.apart, a.chunk - b.chunk, a.rest - b.rest};
  if (isa<arith::SubIOp>(op))
    return difference;
  Signs signs = Signs::of(difference.apart, difference.chunk, difference.rest);
  if (auto compare = dyn_cast<arith::CmpIOp>(op)) {
    std::optional<bool> truth = compares(compare.getPredicate(), signs);
    return truth ? Number(*truth) : Number();
  }
  if (isa<arith::MinSIOp, arith::MaxSIOp>(op)) {
    bool isMax = isa<arith::MaxSIOp>(op);
    if (!signs.negative || !signs.positive)
      return signs.negative == isMax ? b : a;
    return {};
  }
  bool isConstant = b.apart == 0 && b.chunk == 0;
  if (isa<arith::MulIOp>(op)) {
    if (!isConstant)
      std::swap(a, b);
    if (b.apart != 0 || b.chunk != 0)
      return {};
    return Whole{a.apart * b.rest, a.chunk * b.rest, a.rest * b.rest};
  }
  bool isRest = isa<arith::RemUIOp, arith::RemSIOp>(op);
  if (!isRest && !isa<arith::DivUIOp, arith::DivSIOp, arith::FloorDivSIOp>(op))
    return {};
  int64_t divisor = b.rest;
  if (!isConstant || divisor <= 0 || a.apart < 0 || a.chunk < 0 || a.rest < 0 ||
      a.apart % divisor != 0 || a.chunk % divisor != 0)
    return {};
  if (isRest)
    return Whole{0, 0, a.rest % divisor};
  return Whole{a.apart / divisor, a.chunk / divisor, a.rest / divisor};
}

ChunkNumbers::Number ChunkNumbers::computeReal(Operation *op, const Real &a, const Real &b) {
  if (isa<arith::ExtFOp, arith::TruncFOp>(op))
    return a;
  auto scaled = [](const Real &x, double factor) {
    return Real{x.powers * Powers(factor), x.apart * factor, x.chunk * factor};
  };
  auto sum = [](Real x, const Real &y) {
    for (Powers::Term term : y.powers.terms)
      x.powers.add(term);
    x.apart += y.apart;
    x.chunk += y.chunk;
    return x;
  };
  if (isa<arith::NegFOp>(op))
    return scaled(a, -1);
  if (isa<arith::AddFOp>(op))
    return sum(a, b);
  Real difference = sum(a, scaled(b, -1));
  if (isa<arith::SubFOp>(op))
    return difference;
  auto isPower = [](const Real &x) { return x.apart == 0 && x.chunk == 0; };
  std::optional<double> right = isPower(b) ? b.powers.constant() : std::nullopt;
  std::optional<double> left = isPower(a) ? a.powers.constant() : std::nullopt;
  if (isa<arith::MulFOp>(op)) {
    if (right)
      return scaled(a, *right);
    if (left)
      return scaled(b, *left);
    return isPower(a) && isPower(b) ? Number(Real{a.powers * b.powers}) : Number();
  }
  if (isa<arith::DivFOp>(op))
    return right && *right != 0 ? Number(scaled(a, 1 / *right)) : Number();
  if (isa<math::PowFOp, math::ExpOp>(op)) {
    const Real &exponent = isa<math::ExpOp>(op) ? a : b;
    std::optional<double> base = isa<math::ExpOp>(op) ? std::numbers::e : left;
    std::optional<double> rest = exponent.powers.constant();
    if (!base || *base <= 0 || !rest || exponent.chunk != 0)
      return {};
    Real result;
    result.powers.add({std::pow(*base, *rest), std::pow(*base, exponent.apart)});
    return result;
  }
  std::optional<double> rest = difference.powers.constant();
  if (!rest)
    return {};
  Signs signs = Signs::of(difference.apart, difference.chunk, *rest);
  if (auto compare = dyn_cast<arith::CmpFOp>(op)) {
    std::optional<bool> truth = compares(compare.getPredicate(), signs);
    return truth ? Number(*truth) : Number();
  }
  bool isMax = isa<arith::MaximumFOp, arith::MaxNumFOp>(op);
  if ((isMax || isa<arith::MinimumFOp, arith::MinNumFOp>(op)) &&
      (!signs.negative || !signs.positive))
    return signs.negative == isMax ? b : a;
  return {};
}

/// An element of a constant, at places that are numbers; a geometric law where they vary.
ChunkNumbers::Number ChunkNumbers::load(const ElementOf &element) {
  std::optional<ConstantData> data =
      element.tensor ? ConstantData::get(element.tensor) : std::nullopt;
  if (!data)
    return {};
  SmallVector<Whole> places;
  bool varies = false;
  for (Value index : element.indices) {
    Number found = number(index);
    const Whole *place = std::get_if<Whole>(&found);
    if (!place || place->apart < 0 || place->chunk < 0)
      return {};
    places.push_back(*place);
    varies |= place->apart != 0 || place->chunk != 0;
  }
  auto position = [&](int64_t apart, int64_t chunk) -> std::optional<int64_t> {
    int64_t result = 0;
    for (auto [place, size] : llvm::zip(places, data->getType().getShape())) {
      int64_t at = place.apart * apart + place.chunk * chunk + place.rest;
      if (at < 0 || at >= size)
        return std::nullopt;
      result = result * size + at;
    }
    return result;
  };
  Type type = data->getType().getElementType();
  if (varies)
    return isa<FloatType>(type) ? geometric(position, *data) : Number();
  std::optional<int64_t> only = position(0, 0);
  if (!only)
    return {};
  if (isa<FloatType>(type))
    return Real{Powers(data->getFloat(*only))};
  if (type.isInteger(1))
    return data->getInt(*only) != 0;
  return Whole{0, 0, data->getInt(*only)};
}

/// The law of a table's elements scale * ratio^n for all chunks; all positions outside of the table
/// are out of reach.
ChunkNumbers::Number
ChunkNumbers::geometric(llvm::function_ref<std::optional<int64_t>(int64_t, int64_t)> position,
                        const ConstantData &data) {
  std::optional<int64_t> origin = position(0, 0);
  if (!origin || data.size() > kMaxTable)
    return {};
  bool onApart = !position(data.size(), 0), onChunk = !position(0, data.size());
  double first = data.getFloat(*origin);
  std::optional<int64_t> second = onApart ? position(1, 0) : std::nullopt;
  double ratio = second && first != 0 ? data.getFloat(*second) / first : 1;
  if (!(ratio > 0))
    return {};
  double limit =
      std::ldexp(std::abs(first),
                 3 - int(APFloat::semanticsPrecision(
                         cast<FloatType>(data.getType().getElementType()).getFloatSemantics())));
  for (int64_t apart = 0; (onApart || apart == 0) && position(apart, 0); ++apart)
    for (int64_t chunk = 0; onChunk || chunk == 0; ++chunk) {
      std::optional<int64_t> at = position(apart, chunk);
      if (!at)
        break;
      if (!(std::abs(data.getFloat(*at) - first * std::pow(ratio, apart)) <= limit))
        return {};
    }
  Real result;
  result.powers.add({first, ratio});
  return result;
}

} // namespace attune
