#include "attune/codegen/cpu/AttentionMask.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

// Bounds are clamped to this, far beyond any sequence, so that sums of a few of them cannot wrap.
static constexpr int64_t kFar = int64_t(1) << 40;

AttentionRegion::AttentionRegion(AttentionOp op, bool score) : score(score) {
  Block &source = (score ? op.getScore() : op.getMask()).front();
  unsigned own = source.getNumArguments() - op.getCaptures().size();
  IRMapping map;
  for (BlockArgument arg : source.getArguments().take_front(own))
    map.map(arg, block.addArgument(arg.getType(), arg.getLoc()));
  for (auto [arg, capture] : llvm::zip(source.getArguments().drop_front(own), op.getCaptures()))
    map.map(arg, capture);
  OpBuilder builder(op.getContext());
  builder.setInsertionPointToEnd(&block);
  for (Operation &inner : source)
    builder.clone(inner, map);
}

AttentionRegion::~AttentionRegion() {
  block.dropAllReferences();
  block.clear();
}

bool AttentionRegion::dependsOnQuery() {
  llvm::SmallPtrSet<Value, 16> varying{argument(I), argument(N)};
  for (Operation &op : block)
    if (llvm::any_of(op.getOperands(), [&](Value operand) { return varying.contains(operand); }))
      varying.insert(op.result_begin(), op.result_end());
  return varying.contains(result());
}

//===- Reading
//------------------------------------------------------------------------------------===//

namespace {

class Miner {
public:
  explicit Miner(AttentionRegion &region) : region(region) {}
  MaskFacts facts;

  void require(Value condition, bool holds = true) {
    if (std::optional<int64_t> constant = getConstantIntValue(condition)) {
      if ((*constant != 0) != holds)
        facts.bounds.push_back({0, 0, 0, -1, {}});
      return;
    }
    Operation *op = condition.getDefiningOp();
    if (!op)
      return unknown();
    if (auto both = dyn_cast<arith::AndIOp>(op); both && holds) {
      require(both.getLhs());
      return require(both.getRhs());
    }
    if (auto either = dyn_cast<arith::OrIOp>(op); either && !holds) {
      require(either.getLhs(), false);
      return require(either.getRhs(), false);
    }
    if (auto flip = dyn_cast<arith::XOrIOp>(op))
      if (std::optional<int64_t> constant = getConstantIntValue(flip.getRhs()))
        return require(flip.getLhs(), holds == (*constant == 0));
    if (auto select = dyn_cast<arith::SelectOp>(op))
      if (requireSelect(select, holds))
        return;
    if (auto compare = dyn_cast<arith::CmpIOp>(op))
      return requireCompare(compare, holds);
    unknown();
  }

  std::optional<LinearIndex> read(Value value) {
    LinearIndex index;
    if (value == region.argument(AttentionRegion::I))
      index.i = 1;
    else if (value == region.argument(AttentionRegion::J) ||
             value == region.argument(AttentionRegion::M))
      index.j = 1;
    else if (value == region.argument(AttentionRegion::N))
      index.n = 1;
    else if (std::optional<int64_t> constant = getConstantIntValue(value))
      index.constant = std::clamp(*constant, -kFar, kFar);
    else if (isUniform(value))
      index.uniform.push_back({value, 1});
    else
      return readOp(value.getDefiningOp());
    return index;
  }

private:
  AttentionRegion &region;

  void unknown() { facts.incomplete = true; }

  /// select(c, x, false) is a conjunction, and so is the opposite of select(c, x, true).
  bool requireSelect(arith::SelectOp select, bool holds) {
    auto is = [](Value value, bool flag) {
      std::optional<int64_t> constant = getConstantIntValue(value);
      return constant && (*constant != 0) == flag;
    };
    if (is(select.getFalseValue(), !holds)) {
      require(select.getCondition());
      require(select.getTrueValue(), holds);
      return true;
    }
    if (is(select.getTrueValue(), !holds)) {
      require(select.getCondition(), false);
      require(select.getFalseValue(), holds);
      return true;
    }
    return false;
  }

  void requireCompare(arith::CmpIOp compare, bool holds) {
    using P = arith::CmpIPredicate;
    P predicate = holds ? compare.getPredicate() : arith::invertPredicate(compare.getPredicate());
    if (predicate == P::eq && requireDiagonal(compare))
      return;
    std::optional<LinearIndex> x = read(compare.getLhs()), y = read(compare.getRhs());
    if (!x || !y)
      return unknown();
    LinearIndex less = difference(*y, *x), greater = difference(*x, *y);
    switch (predicate) {
    case P::slt:
      less.constant -= 1;
      [[fallthrough]];
    case P::sle:
      return bound(less);
    case P::sgt:
      greater.constant -= 1;
      [[fallthrough]];
    case P::sge:
      return bound(greater);
    case P::eq:
      bound(less);
      return bound(greater);
    default:
      return unknown();
    }
  }

  void bound(const LinearIndex &index) {
    if (std::abs(index.j) > 1)
      return unknown();
    facts.bounds.push_back(index);
  }

  /// i div w == j div w.
  bool requireDiagonal(arith::CmpIOp compare) {
    auto divided = [&](Value value) -> std::pair<Value, int64_t> {
      while (auto cast = value.getDefiningOp<arith::IndexCastOp>())
        value = cast.getIn();
      Operation *op = value.getDefiningOp();
      if (!isa_and_nonnull<arith::DivSIOp, arith::DivUIOp, arith::FloorDivSIOp>(op))
        return {};
      return {op->getOperand(0), getConstantIntValue(op->getOperand(1)).value_or(0)};
    };
    auto [x, width] = divided(compare.getLhs());
    auto [y, other] = divided(compare.getRhs());
    if (!x || !y || width != other || width <= 0 || facts.diagonalBlock)
      return false;
    std::optional<LinearIndex> query = read(x), key = read(y);
    if (!query || !key)
      return false;
    if (query->j)
      std::swap(query, key);
    auto plain = [](const LinearIndex &index, int64_t i, int64_t j) {
      return index.i == i && index.j == j && !index.n && !index.constant && index.uniform.empty();
    };
    if (!plain(*query, 1, 0) || !plain(*key, 0, 1))
      return false;
    facts.diagonalBlock = width;
    return true;
  }

  static LinearIndex difference(const LinearIndex &x, const LinearIndex &y) {
    return sum(x, scaled(y, -1));
  }

  static LinearIndex sum(LinearIndex x, const LinearIndex &y) {
    x.i += y.i;
    x.j += y.j;
    x.n += y.n;
    x.constant = std::clamp(x.constant + y.constant, -kFar, kFar);
    llvm::append_range(x.uniform, y.uniform);
    return x;
  }

  static LinearIndex scaled(LinearIndex x, int64_t factor) {
    x.i *= factor;
    x.j *= factor;
    x.n *= factor;
    x.constant = std::clamp(x.constant * factor, -kFar, kFar);
    for (auto &[value, coefficient] : x.uniform)
      coefficient *= factor;
    return x;
  }

  static bool isSmall(int64_t factor) { return std::abs(factor) <= 1 << 16; }

  std::optional<LinearIndex> readOp(Operation *op) {
    if (!op)
      return std::nullopt;
    auto bits = [](Type type) { return type.isIndex() ? 64 : type.getIntOrFloatBitWidth(); };
    if (isa<arith::IndexCastOp, arith::ExtSIOp>(op))
      return bits(op->getResult(0).getType()) < 32 ? std::nullopt : read(op->getOperand(0));
    if (auto apply = dyn_cast<affine::AffineApplyOp>(op))
      return readAffine(apply.getAffineMap().getResult(0), apply);
    if (!isa<arith::AddIOp, arith::SubIOp, arith::MulIOp>(op))
      return std::nullopt;
    std::optional<LinearIndex> x = read(op->getOperand(0)), y = read(op->getOperand(1));
    if (!x || !y)
      return std::nullopt;
    if (isa<arith::AddIOp>(op))
      return sum(*x, *y);
    if (isa<arith::SubIOp>(op))
      return difference(*x, *y);
    return product(*x, *y);
  }

  static std::optional<LinearIndex> product(const LinearIndex &x, const LinearIndex &y) {
    auto isConstant = [](const LinearIndex &index) {
      return !index.i && !index.j && !index.n && index.uniform.empty() && isSmall(index.constant);
    };
    if (isConstant(y))
      return scaled(x, y.constant);
    return isConstant(x) ? std::optional(scaled(y, x.constant)) : std::nullopt;
  }

  std::optional<LinearIndex> readAffine(AffineExpr expr, affine::AffineApplyOp apply) {
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      return LinearIndex{0, 0, 0, std::clamp(constant.getValue(), -kFar, kFar), {}};
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      return read(apply.getMapOperands()[dim.getPosition()]);
    if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
      return read(apply.getMapOperands()[apply.getAffineMap().getNumDims() + symbol.getPosition()]);
    auto binary = cast<AffineBinaryOpExpr>(expr);
    std::optional<LinearIndex> x = readAffine(binary.getLHS(), apply);
    std::optional<LinearIndex> y = readAffine(binary.getRHS(), apply);
    if (!x || !y)
      return std::nullopt;
    if (expr.getKind() == AffineExprKind::Add)
      return sum(*x, *y);
    return expr.getKind() == AffineExprKind::Mul ? product(*x, *y) : std::nullopt;
  }

  /// Whether an integer is the same for all queries and keys of a head.
  bool isUniform(Value value) {
    if (!value.getType().isIntOrIndex())
      return false;
    auto [it, fresh] = uniform.try_emplace(value, true);
    if (!fresh)
      return it->second;
    bool same = dependsOnlyOnHead(value);
    return uniform[value] = same;
  }

  bool dependsOnlyOnHead(Value value) {
    if (value.getParentBlock() != &region.block)
      return true; // captured
    if (isa<BlockArgument>(value))
      return value == region.argument(AttentionRegion::B) ||
             value == region.argument(AttentionRegion::H);
    return llvm::all_of(value.getDefiningOp()->getOperands(),
                        [&](Value operand) { return dependsOnlyOnHead(operand); });
  }

  llvm::DenseMap<Value, bool> uniform;
};

} // namespace

std::optional<LinearIndex> readLinear(AttentionRegion &region, Value index) {
  return Miner(region).read(index);
}

MaskFacts mineMask(AttentionRegion &region) {
  Miner miner(region);
  miner.require(region.result());
  return miner.facts;
}

//===- Using
//--------------------------------------------------------------------------------------===//

SmallVector<Value> MaskFacts::uniforms() const {
  SmallVector<Value> values;
  for (const LinearIndex &bound : bounds)
    for (auto [value, coefficient] : bound.uniform)
      values.push_back(value);
  return values;
}

int64_t MaskFacts::count(int64_t first, int64_t last, int64_t offset, int64_t keys,
                         llvm::function_ref<std::optional<int64_t>(Value)> valueOf) const {
  int64_t lo = 0, hi = keys;
  if (diagonalBlock) {
    lo = first / diagonalBlock * diagonalBlock;
    hi = std::min(hi, (last / diagonalBlock + 1) * diagonalBlock);
  }
  for (const LinearIndex &bound : bounds) {
    int64_t base = bound.constant - bound.n * offset, perQuery = bound.i + bound.n;
    bool known = true;
    for (auto [value, factor] : bound.uniform) {
      std::optional<int64_t> number = valueOf(value);
      known &= number.has_value();
      base += factor * number.value_or(0);
    }
    // The keys that the most generous of the queries allows.
    base += std::max(perQuery * first, perQuery * last);
    if (known && bound.j < 0)
      hi = std::min(hi, base + 1);
    else if (known && bound.j > 0)
      lo = std::max(lo, -base);
    else if (known && base < 0)
      hi = lo;
  }
  return std::max<int64_t>(0, hi - lo);
}

KeyRange MaskFacts::range(KernelBuilder &kb, ValueRange values, Value first, Value last,
                          Value offset, Value keys) const {
  Value zero = kb.idx(0), one = kb.idx(1);
  KeyRange range{zero, keys, zero, keys};
  auto next = values.begin();
  for (const LinearIndex &bound : bounds) {
    Value base = kb.idx(bound.constant);
    for (auto [value, coefficient] : bound.uniform) {
      Value known = *next++;
      if (!known.getType().isIndex())
        known = arith::IndexCastOp::create(kb.b, kb.loc, kb.index(), known);
      known = kb.max(kb.idx(-kFar), kb.min(kb.idx(kFar), known));
      base = kb.add(base, kb.mul(known, coefficient));
    }
    if (offset)
      base = kb.sub(base, kb.mul(offset, bound.n));
    // bound = j * key + slope * position + base, least and greatest over the queries.
    int64_t slope = bound.i + bound.n;
    Value least = kb.add(base, kb.mul(slope >= 0 ? first : last, slope));
    Value greatest = kb.add(base, kb.mul(slope >= 0 ? last : first, slope));
    if (bound.j > 0) {
      range.lo = kb.max(range.lo, kb.sub(zero, greatest));
      range.fullLo = kb.max(range.fullLo, kb.sub(zero, least));
    } else if (bound.j < 0) {
      range.hi = kb.min(range.hi, kb.add(greatest, one));
      range.fullHi = kb.min(range.fullHi, kb.add(least, one));
    } else {
      range.hi = kb.select(kb.lt(greatest, zero), zero, range.hi);
      range.fullHi = kb.select(kb.lt(least, zero), zero, range.fullHi);
    }
  }
  bool diagonal = diagonalBlock && !offset; // positions below 0 have other quotients
  if (diagonal) {
    Value begin = kb.mul(kb.div(first, diagonalBlock), diagonalBlock);
    Value end = kb.mul(kb.add(kb.div(last, diagonalBlock), one), diagonalBlock);
    Value single = kb.eq(kb.sub(end, begin), kb.idx(diagonalBlock));
    range.lo = kb.max(range.lo, begin);
    range.hi = kb.min(range.hi, end);
    range.fullLo = kb.max(range.fullLo, begin);
    range.fullHi = kb.select(single, kb.min(range.fullHi, end), zero);
  }
  if (incomplete || (diagonalBlock && !diagonal))
    range.fullHi = zero;
  range.lo = kb.max(zero, kb.min(range.lo, keys));
  return range;
}

} // namespace attune::codegen
