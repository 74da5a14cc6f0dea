#include "attune/frontend/onnx/Extent.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <numeric>
#include <stdexcept>

using namespace mlir;

namespace attune::onnx {

static int64_t checkedAdd(int64_t a, int64_t b) {
  int64_t result;
  if (llvm::AddOverflow(a, b, result))
    throw std::overflow_error("a size overflows 64 bits");
  return result;
}

static int64_t checkedMul(int64_t a, int64_t b) {
  int64_t result;
  if (llvm::MulOverflow(a, b, result))
    throw std::overflow_error("a size overflows 64 bits");
  return result;
}

Extent::Extent(int64_t value) {
  if (value != 0)
    list.push_back({{}, value});
}

Extent Extent::atom(unsigned id) {
  Extent e;
  e.list.push_back({{id}, 1});
  return e;
}

std::optional<int64_t> Extent::constant() const {
  if (list.empty())
    return 0;
  if (list.size() == 1 && list[0].atoms.empty())
    return list[0].factor;
  return std::nullopt;
}

void Extent::add(const std::vector<unsigned> &atoms, int64_t factor) {
  auto it = llvm::lower_bound(list, atoms,
                              [](const Term &t, const auto &atoms) { return t.atoms < atoms; });
  if (it == list.end() || it->atoms != atoms) {
    if (factor != 0)
      list.insert(it, {atoms, factor});
    return;
  }
  it->factor = checkedAdd(it->factor, factor);
  if (it->factor == 0)
    list.erase(it);
}

Extent operator+(const Extent &a, const Extent &b) {
  Extent sum = a;
  for (const Extent::Term &t : b.list)
    sum.add(t.atoms, t.factor);
  return sum;
}

Extent operator-(const Extent &a, const Extent &b) {
  Extent difference = a;
  for (const Extent::Term &t : b.list)
    difference.add(t.atoms, checkedMul(t.factor, -1));
  return difference;
}

Extent operator*(const Extent &a, const Extent &b) {
  Extent product;
  for (const Extent::Term &s : a.list)
    for (const Extent::Term &t : b.list) {
      std::vector<unsigned> atoms;
      std::merge(s.atoms.begin(), s.atoms.end(), t.atoms.begin(), t.atoms.end(),
                 std::back_inserter(atoms));
      product.add(atoms, checkedMul(s.factor, t.factor));
    }
  return product;
}

//===--------------------------------------------------------------------------------------------===//
// Bounds
//===--------------------------------------------------------------------------------------------===//

namespace {
using Bounds = std::pair<int64_t, int64_t>;

// Bounds saturate: infinity absorbs.
int64_t addBound(int64_t a, int64_t b, int64_t infinity) {
  int64_t sum;
  if (a == infinity || b == infinity || llvm::AddOverflow(a, b, sum))
    return infinity;
  return sum;
}

int64_t mulBound(int64_t a, int64_t b) {
  if (a == 0 || b == 0)
    return 0;
  int64_t product;
  bool infinite = a == Extents::kNegInf || a == Extents::kPosInf || b == Extents::kNegInf ||
                  b == Extents::kPosInf;
  if (infinite || llvm::MulOverflow(a, b, product))
    return (a < 0) != (b < 0) ? Extents::kNegInf : Extents::kPosInf;
  return product;
}

Bounds mulBounds(Bounds a, Bounds b) {
  int64_t corners[] = {mulBound(a.first, b.first), mulBound(a.first, b.second),
                       mulBound(a.second, b.first), mulBound(a.second, b.second)};
  return {*llvm::min_element(corners), *llvm::max_element(corners)};
}
} // namespace

Bounds Extents::bounds(const Extent &e) const {
  Bounds sum = {0, 0};
  for (const Extent::Term &t : e.terms()) {
    Bounds term = {t.factor, t.factor};
    for (unsigned id : t.atoms)
      term = mulBounds(term, {atoms[id].low, atoms[id].high});
    sum = {addBound(sum.first, term.first, kNegInf), addBound(sum.second, term.second, kPosInf)};
  }
  return sum;
}

std::optional<bool> Extents::knownEqual(const Extent &a, const Extent &b) const {
  if (a == b || assumedZero.count(a - b))
    return true;
  if (auto less = knownLess(a, b); less && *less)
    return false;
  if (auto less = knownLess(b, a); less && *less)
    return false;
  return std::nullopt;
}

std::optional<bool> Extents::knownLess(const Extent &a, const Extent &b) const {
  Bounds difference = bounds(a - b);
  if (difference.second < 0)
    return true;
  if (difference.first >= 0)
    return false;
  // min(x, y) <= x and max(x, y) >= x, which intervals cannot see.
  auto isMinOf = [&](const Extent &m, const Extent &x, Kind kind) {
    if (m.terms().size() != 1 || m.terms()[0].factor != 1 || m.terms()[0].atoms.size() != 1)
      return false;
    const Atom &atom = atoms[m.terms()[0].atoms[0]];
    return atom.kind == kind && (atom.a == x || atom.b == x);
  };
  if (isMinOf(b, a, Kind::Min) || isMinOf(a, b, Kind::Max))
    return false;
  return std::nullopt;
}

bool Extents::onlyEqualBroadcasts(const Extent &a, const Extent &b) const {
  auto check = [&](const Extent &m, const Extent &n) {
    if (m.terms().size() != 1 || m.terms()[0].factor != 1 || m.terms()[0].atoms.size() != 1)
      return false;
    const Atom &atom = atoms[m.terms()[0].atoms[0]];
    return atom.kind == Kind::Min &&
           ((atom.a == n && low(atom.b) > 1) || (atom.b == n && low(atom.a) > 1));
  };
  return check(a, b) || check(b, a);
}

void Extents::assumeEqual(const Extent &a, const Extent &b) {
  assumedZero.insert(a - b);
  assumedZero.insert(b - a);
}

const Extent &Extents::simpler(const Extent &a, const Extent &b) const {
  auto cost = [&](const Extent &e) {
    return std::tuple(!e.constant(), !fromSymbols(e), depth(e), e.terms().size());
  };
  return cost(b) < cost(a) ? b : a;
}

//===--------------------------------------------------------------------------------------------===//
// Atoms
//===--------------------------------------------------------------------------------------------===//

unsigned Extents::depth(const Extent &e) const {
  unsigned deepest = 0;
  for (const Extent::Term &t : e.terms())
    for (unsigned id : t.atoms)
      deepest = std::max(deepest, atoms[id].depth);
  return deepest;
}

bool Extents::fromSymbols(const Extent &e) const {
  return llvm::all_of(e.terms(), [&](const Extent::Term &t) {
    return llvm::all_of(t.atoms, [&](unsigned id) { return atoms[id].fromSymbols; });
  });
}

Extent Extents::symbol(llvm::StringRef name, Value tensor, int64_t axis) {
  auto [it, isNew] = symbols.try_emplace(name.str(), atoms.size());
  if (isNew)
    atoms.push_back({Kind::Symbol, name.str(), 0, 0, tensor, axis, 0, kPosInf, 0, true});
  return Extent::atom(it->second);
}

Extent Extents::opaque(Value index, int64_t low, int64_t high) {
  std::string name = "data" + std::to_string(atoms.size());
  atoms.push_back({Kind::Opaque, name, 0, 0, index, 0, low, high, 0, false});
  return Extent::atom(atoms.size() - 1);
}

Extent Extents::intern(Kind kind, const Extent &a, const Extent &b, int64_t low, int64_t high) {
  auto [it, isNew] = interned.try_emplace({kind, a, b}, atoms.size());
  if (isNew) {
    unsigned level = std::max(depth(a), depth(b)) + 1;
    // Recursion over atoms is bounded by this; no real model comes near it.
    if (level > 200 || a.terms().size() > 500 || b.terms().size() > 500) {
      interned.erase(it);
      throw std::overflow_error("a size expression is too large");
    }
    atoms.push_back({kind, "", a, b, {}, 0, low, high, level, fromSymbols(a) && fromSymbols(b)});
  }
  return Extent::atom(it->second);
}

Extent Extents::floorDiv(const Extent &a, const Extent &b) {
  if (b.is(0))
    throw std::overflow_error("a size is divided by zero");
  auto x = a.constant(), y = b.constant();
  if (x && y)
    return llvm::divideFloorSigned(*x, *y);
  if (auto exact = divideExactly(a, b))
    return *exact;
  // Factors that all terms share: (c*q) / (c*r) = q / r.
  uint64_t common = 0;
  for (const Extent *side : {&a, &b})
    for (const Extent::Term &t : side->terms())
      common = std::gcd(common, llvm::AbsoluteValue(t.factor));
  if (common > 1) {
    Extent p, q;
    for (const Extent::Term &t : a.terms())
      p.add(t.atoms, t.factor / int64_t(common));
    for (const Extent::Term &t : b.terms())
      q.add(t.atoms, t.factor / int64_t(common));
    return floorDiv(p, q);
  }
  auto [low, high] = bounds(a);
  if (!y || *y <= 0)
    return intern(Kind::FloorDiv, a, b, nonNegative(a) && nonNegative(b) ? 0 : kNegInf,
                  nonNegative(b) ? std::max<int64_t>(high, 0) : kPosInf);
  auto divide = [&](int64_t v) {
    return v == kNegInf || v == kPosInf ? v : llvm::divideFloorSigned(v, *y);
  };
  // What the divisor divides leaves the division: (c*q + r) / c = q + r / c.
  Extent whole, rest;
  for (const Extent::Term &t : a.terms()) {
    int64_t quotient = llvm::divideFloorSigned(t.factor, *y);
    whole.add(t.atoms, quotient);
    rest.add(t.atoms, t.factor - quotient * *y);
  }
  if (whole == Extent(0))
    return intern(Kind::FloorDiv, a, b, divide(low), divide(high));
  return whole + floorDiv(rest, b);
}

Extent Extents::max(const Extent &a, const Extent &b) {
  if (auto less = knownLess(a, b))
    return *less ? b : a;
  if (auto less = knownLess(b, a))
    return *less ? a : b;
  auto [x, y] = std::minmax(a, b);
  return intern(Kind::Max, x, y, std::max(low(a), low(b)), std::max(high(a), high(b)));
}

Extent Extents::min(const Extent &a, const Extent &b) {
  if (auto less = knownLess(a, b))
    return *less ? a : b;
  if (auto less = knownLess(b, a))
    return *less ? b : a;
  auto [x, y] = std::minmax(a, b);
  return intern(Kind::Min, x, y, std::min(low(a), low(b)), std::min(high(a), high(b)));
}

Extent Extents::equal(const Extent &a, const Extent &b) {
  if (auto known = knownEqual(a, b))
    return *known;
  auto [x, y] = std::minmax(a, b);
  return intern(Kind::Equal, x, y, 0, 1);
}

Extent Extents::less(const Extent &a, const Extent &b) {
  if (auto known = knownLess(a, b))
    return *known;
  return intern(Kind::Less, a, b, 0, 1);
}

Extent Extents::select(const Extent &condition, const Extent &a, const Extent &b) {
  if (a == b || condition.is(0))
    return b;
  if (condition.constant())
    return a;
  return b + condition * (a - b);
}

std::optional<Extent> Extents::divideExactly(const Extent &a, const Extent &b) const {
  if (b == Extent(0))
    return std::nullopt;
  // Long division by the leading term. A monomial order is needed, so compare by degree first.
  auto leading = [](const Extent &e) {
    return *llvm::max_element(e.terms(), [](const Extent::Term &s, const Extent::Term &t) {
      return std::pair(s.atoms.size(), s.atoms) < std::pair(t.atoms.size(), t.atoms);
    });
  };
  Extent::Term divisor = leading(b);
  Extent rest = a, quotient;
  for (int step = 0; rest != Extent(0); ++step) {
    Extent::Term t = leading(rest);
    std::vector<unsigned> atoms;
    std::set_difference(t.atoms.begin(), t.atoms.end(), divisor.atoms.begin(), divisor.atoms.end(),
                        std::back_inserter(atoms));
    if (step > 1000 || t.factor % divisor.factor != 0 ||
        atoms.size() + divisor.atoms.size() != t.atoms.size())
      return std::nullopt;
    Extent part;
    part.add(atoms, t.factor / divisor.factor);
    quotient = quotient + part;
    rest = rest - part * b;
  }
  return quotient;
}

//===--------------------------------------------------------------------------------------------===//
// Index values
//===--------------------------------------------------------------------------------------------===//

OpFoldResult Extents::ofr(OpBuilder &builder, Location loc, const Extent &e) {
  if (auto c = e.constant())
    return builder.getIndexAttr(*c);
  return value(builder, loc, e);
}

Value Extents::value(OpBuilder &builder, Location loc, const Extent &e) {
  if (fromSymbols(e)) {
    OpBuilder header(headerEnd);
    return build(header, headerEnd->getLoc(), e, values);
  }
  return build(builder, loc, e, local[builder.getInsertionBlock()]);
}

Value Extents::condition(OpBuilder &builder, Location loc, const Extent &e) {
  if (e.terms().size() == 1 && e.terms()[0].factor == 1 && e.terms()[0].atoms.size() == 1) {
    const Atom atom = atoms[e.terms()[0].atoms[0]];
    if (atom.kind == Kind::Equal || atom.kind == Kind::Less) {
      Value a = value(builder, loc, atom.a), b = value(builder, loc, atom.b);
      auto predicate =
          atom.kind == Kind::Equal ? arith::CmpIPredicate::eq : arith::CmpIPredicate::slt;
      return arith::CmpIOp::create(builder, loc, predicate, a, b);
    }
  }
  Value number = value(builder, loc, e), zero = value(builder, loc, 0);
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, number, zero);
}

Value Extents::build(OpBuilder &builder, Location loc, const Extent &e, ValueMap &known) {
  if (auto it = known.find(e); it != known.end())
    return it->second;
  Value sum;
  for (const Extent::Term &t : e.terms()) {
    Value product;
    for (unsigned id : t.atoms) {
      Extent single = Extent::atom(id);
      Value factor = e == single ? buildAtom(builder, loc, id) : value(builder, loc, single);
      product = product ? arith::MulIOp::create(builder, loc, product, factor).getResult() : factor;
    }
    if (!product)
      product = arith::ConstantIndexOp::create(builder, loc, t.factor);
    else if (t.factor != 1)
      product = arith::MulIOp::create(builder, loc, product,
                                      arith::ConstantIndexOp::create(builder, loc, t.factor));
    sum = sum ? arith::AddIOp::create(builder, loc, sum, product).getResult() : product;
  }
  if (!sum)
    sum = arith::ConstantIndexOp::create(builder, loc, 0);
  return known[e] = sum;
}

Value Extents::buildAtom(OpBuilder &builder, Location loc, unsigned id) {
  const Atom atom = atoms[id];
  if (atom.kind == Kind::Symbol)
    return tensor::DimOp::create(builder, loc, atom.tensor, atom.axis);
  if (atom.kind == Kind::Opaque)
    return atom.tensor;
  Value a = value(builder, loc, atom.a), b = value(builder, loc, atom.b);
  auto compare = [&](arith::CmpIPredicate predicate) -> Value {
    Value bit = arith::CmpIOp::create(builder, loc, predicate, a, b);
    return arith::IndexCastUIOp::create(builder, loc, builder.getIndexType(), bit);
  };
  switch (atom.kind) {
  case Kind::FloorDiv:
    return arith::FloorDivSIOp::create(builder, loc, a, b);
  case Kind::Max:
    return arith::MaxSIOp::create(builder, loc, a, b);
  case Kind::Min:
    return arith::MinSIOp::create(builder, loc, a, b);
  case Kind::Equal:
    return compare(arith::CmpIPredicate::eq);
  default:
    return compare(arith::CmpIPredicate::slt);
  }
}

std::string Extents::str(const Extent &e) const {
  if (auto c = e.constant())
    return std::to_string(*c);
  std::string text;
  for (const Extent::Term &t : llvm::reverse(e.terms())) {
    int64_t factor = t.factor;
    if (!text.empty()) {
      text += factor < 0 ? " - " : " + ";
      factor = factor < 0 ? -factor : factor;
    }
    std::string product = factor == 1 && !t.atoms.empty() ? "" : std::to_string(factor);
    for (unsigned id : t.atoms)
      product += (product.empty() ? "" : "*") + strAtom(id);
    text += product;
  }
  return text;
}

std::string Extents::strAtom(unsigned id) const {
  const Atom &atom = atoms[id];
  auto call = [&](llvm::StringRef name) {
    return name.str() + "(" + str(atom.a) + ", " + str(atom.b) + ")";
  };
  switch (atom.kind) {
  case Kind::FloorDiv:
    return call("floordiv");
  case Kind::Max:
    return call("max");
  case Kind::Min:
    return call("min");
  case Kind::Equal:
    return call("equal");
  case Kind::Less:
    return call("less");
  default:
    return atom.name;
  }
}

} // namespace attune::onnx
