#include "attune/passes/Passes.h"
#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/IntegerShifts.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISEBROADCASTSUMS
#include "attune/passes/Passes.h.inc"

namespace {

/// The sum of terms that an operator computes.
struct Sum {
  enum Terms { Products, Distances, Shifts } terms = Products;
  ElementOf a, b;                      ///< of shifts: the integer; b is not used
  bool negated = false;                ///< of distances: terms are -|a - b|
  std::optional<IntegerShifts> shifts; ///< of shifts
};

/// A free index of the operator, in the parts that operands see: outermost first, `index = sum of
/// part times unit`.
struct Loop {
  Value index;
  SmallVector<Value> parts;
  SmallVector<int64_t> units;
};

/// An operand of the contraction: a tensor, and where it is read.
struct Operand {
  Value tensor;
  AffineMap map;
};

class Matcher {
public:
  Matcher(Sizes &sizes, linalg::LinalgOp op) : sizes(sizes), elements(sizes), op(op) {}

  /// The operator as linalg.contract or attune.contract, or null.
  Value raise(OpBuilder &builder);
  Sum::Terms terms() const { return sum.terms; }
  StringRef reason; ///< why not, where the terms are those of a layer

private:
  bool match();
  bool matchTerm(Value term, ArrayRef<Value> results);
  std::optional<ElementOf> held(Value scalar);
  bool split(Loop &loop, llvm::SmallDenseSet<int64_t> boundaries);
  void findBoundaries(Value scalar, Value index, llvm::SmallDenseSet<int64_t> &found);
  std::optional<Operand> operand(OpBuilder &builder, const ElementOf &element);
  Operand codes(OpBuilder &builder);
  Value negate(OpBuilder &builder, Value tensor, Value empty);
  AffineExpr asAffine(Value index);
  SmallVector<OpFoldResult> extents(OpBuilder &builder, const Loop &loop);

  Sizes &sizes;
  Elements elements;
  linalg::LinalgOp op;
  Sum sum;
  SmallVector<Loop> loops;  ///< those of the result, then those summed over
  SmallVector<Value> parts; ///< of all loops
};

} // namespace

/// The extent of a loop of the operator, or null.
static AffineExpr extentOf(Sizes &sizes, linalg::LinalgOp op, unsigned loop) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    for (auto [axis, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (expr == getAffineDimExpr(loop, op.getContext()))
        return sizes.of(operand.get(), axis);
  }
  return {};
}

std::optional<ElementOf> Matcher::held(Value scalar) {
  std::optional<ElementOf> element = elements.load(scalar);
  if (!element && !elements.sources(scalar).empty())
    element = elements.sources(scalar).front();
  if (element && element->tensor)
    return element;
  reason = "the operands are not held by tensors";
  return std::nullopt;
}

bool Matcher::matchTerm(Value term, ArrayRef<Value> results) {
  if (term.getType().isSignlessInteger()) {
    sum.terms = Sum::Shifts;
    auto isShared = [&](const ElementOf &element) {
      return llvm::any_of(results, [&](Value index) {
        return llvm::none_of(element.indices,
                             [&](Value position) { return elements.depends(position, index); });
      });
    };
    sum.shifts = matchIntegerShifts(elements, term, isShared, reason);
    if (sum.shifts)
      sum.a = sum.shifts->input;
    return sum.shifts.has_value();
  }
  if (auto negation = term.getDefiningOp<arith::NegFOp>()) {
    sum.negated = true;
    term = negation.getOperand();
  }
  if (auto magnitude = term.getDefiningOp<math::AbsFOp>()) {
    term = magnitude.getOperand();
    sum.terms = Sum::Distances;
  }
  Operation *combined = term.getDefiningOp();
  bool fits = sum.terms == Sum::Distances
                  ? isa_and_present<arith::SubFOp>(combined)
                  : !sum.negated && isa_and_present<arith::MulFOp>(combined);
  if (!fits)
    return false;
  std::optional<ElementOf> a = held(combined->getOperand(0)), b = held(combined->getOperand(1));
  if (!a || !b)
    return false;
  sum.a = *a;
  sum.b = *b;
  return true;
}

bool Matcher::match() {
  if (op->getNumResults() != 1 || op.getNumReductionLoops() == 0)
    return false;
  Value result = op->getResult(0);
  ElementOf element{result, elements.addIndices(result)};
  SmallVector<unsigned> reductions;
  op.getReductionDims(reductions);
  SmallVector<Value> inner;
  for (unsigned loop : reductions) {
    AffineExpr extent = extentOf(sizes, op, loop);
    if (!extent)
      return false;
    inner.push_back(elements.addIndex(extent));
  }
  std::optional<Elements::Reduced> reduced = elements.reduced(element, inner);
  if (!reduced || !reduced->isSum)
    return false;
  if (!matchTerm(reduced->element, element.indices))
    return false;
  SmallVector<Value> indices(element.indices);
  llvm::append_range(indices, inner);
  for (Value index : indices) {
    llvm::SmallDenseSet<int64_t> boundaries;
    for (const ElementOf &operand : {sum.a, sum.b})
      for (Value position : operand.indices)
        findBoundaries(position, index, boundaries);
    if (!split(loops.emplace_back(Loop{index, {index}, {1}}), boundaries)) {
      reason = "an index is divided in more than one way";
      return false;
    }
  }
  for (const Loop &loop : loops)
    llvm::append_range(parts, loop.parts);
  return true;
}

/// How many steps of `index` a step of the scalar is, if it is made of it by divisions.
static std::optional<int64_t> unitOf(Value scalar, Value index) {
  if (scalar == index)
    return 1;
  Operation *op = scalar.getDefiningOp();
  if (!op || !isa<arith::DivUIOp, arith::RemUIOp>(op))
    return std::nullopt;
  std::optional<int64_t> unit = unitOf(op->getOperand(0), index);
  std::optional<int64_t> divisor = getConstantIntValue(op->getOperand(1));
  if (!unit || !divisor || *divisor < 1)
    return std::nullopt;
  return isa<arith::DivUIOp>(op) ? *unit * *divisor : *unit;
}

/// The steps of `index` at which quotients and remainders below the scalar begin anew.
void Matcher::findBoundaries(Value scalar, Value index, llvm::SmallDenseSet<int64_t> &found) {
  Operation *op = scalar.getDefiningOp();
  if (!op || !elements.depends(scalar, index))
    return;
  if (isa<arith::DivUIOp, arith::RemUIOp>(op)) {
    std::optional<int64_t> unit = unitOf(op->getOperand(0), index);
    std::optional<int64_t> divisor = getConstantIntValue(op->getOperand(1));
    if (unit && divisor && *divisor > 0)
      found.insert(*unit * *divisor);
  }
  for (Value operand : op->getOperands())
    findBoundaries(operand, index, found);
}

/// Replaces the loop by loops over its parts, so that no quotient or remainder is left.
bool Matcher::split(Loop &loop, llvm::SmallDenseSet<int64_t> boundaries) {
  AffineExpr extent = elements.extentOf(loop.index);
  SmallVector<int64_t> units(boundaries.begin(), boundaries.end());
  llvm::sort(units);
  if (std::optional<int64_t> size = Sizes::asConstant(extent))
    llvm::erase_if(units, [&](int64_t unit) { return unit >= *size; });
  llvm::erase(units, 1);
  if (units.empty())
    return true;
  loop.parts.clear();
  loop.units.clear();
  int64_t before = 1;
  Value index = elements.constantIndex(0);
  auto add = [&](AffineExpr size, int64_t unit) {
    Value part = elements.addIndex(size);
    loop.parts.insert(loop.parts.begin(), part);
    loop.units.insert(loop.units.begin(), unit);
    Value step = elements.make<arith::MulIOp>(part, elements.constantIndex(unit));
    index = elements.make<arith::AddIOp>(step, index);
  };
  for (int64_t unit : units) {
    if (unit % before != 0)
      return false;
    add(sizes.constant(unit / before), before);
    before = unit;
  }
  AffineExpr rest = extent.floorDiv(before);
  if (!sizes.equal(rest * before, extent))
    return false;
  add(rest, before);
  for (ElementOf *operand : {&sum.a, &sum.b})
    for (Value &position : operand->indices)
      position = substitute(elements, position, loop.index, index);
  return true;
}

/// A sum of parts times constants, or null.
AffineExpr Matcher::asAffine(Value index) {
  MLIRContext *context = op.getContext();
  if (auto part = llvm::find(parts, index); part != parts.end())
    return getAffineDimExpr(part - parts.begin(), context);
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return getAffineConstantExpr(*constant, context);
  Operation *parent = index.getDefiningOp();
  if (!parent || !isa<arith::AddIOp, arith::MulIOp>(parent))
    return {};
  AffineExpr left = asAffine(parent->getOperand(0)), right = asAffine(parent->getOperand(1));
  if (!left || !right)
    return {};
  if (isa<arith::AddIOp>(parent))
    return left + right;
  return isa<AffineConstantExpr>(left) || isa<AffineConstantExpr>(right) ? left * right
                                                                         : AffineExpr();
}

SmallVector<OpFoldResult> Matcher::extents(OpBuilder &builder, const Loop &loop) {
  return llvm::map_to_vector(loop.parts, [&](Value part) {
    return sizes.get(builder, op.getLoc(), elements.extentOf(part));
  });
}

static Value expand(OpBuilder &builder, Location loc, Value tensor,
                    ArrayRef<ReassociationIndices> groups, ArrayRef<OpFoldResult> shape) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (int64_t(shape.size()) == type.getRank())
    return tensor;
  auto [extents, dynamic] = decomposeMixedValues(SmallVector<OpFoldResult>(shape));
  return tensor::ExpandShapeOp::create(
      builder, loc, RankedTensorType::get(extents, type.getElementType()), tensor, groups, shape);
}

/// An axis that a loop runs over as a whole gets the loop's parts as axes.
std::optional<Operand> Matcher::operand(OpBuilder &builder, const ElementOf &element) {
  SmallVector<AffineExpr> results;
  SmallVector<OpFoldResult> shape;
  SmallVector<ReassociationIndices> groups;
  for (auto [axis, index] : llvm::enumerate(element.indices)) {
    AffineExpr expr = asAffine(index);
    if (!expr) {
      reason = "an operand is not read at sums of loops";
      return std::nullopt;
    }
    ReassociationIndices &group = groups.emplace_back();
    auto whole = llvm::find_if(loops, [&](const Loop &loop) {
      AffineExpr sum = getAffineConstantExpr(0, op.getContext());
      for (auto [part, unit] : llvm::zip(loop.parts, loop.units))
        sum = sum + asAffine(part) * unit;
      return loop.parts.size() > 1 && simplifyAffineExpr(sum - expr, parts.size(), 0) == 0 &&
             sizes.equal(elements.extentOf(loop.index), sizes.of(element.tensor, axis));
    });
    SmallVector<OpFoldResult> extent{
        sizes.get(builder, op.getLoc(), sizes.of(element.tensor, axis))};
    SmallVector<AffineExpr> exprs{expr};
    if (whole != loops.end()) {
      extent = extents(builder, *whole);
      exprs = llvm::map_to_vector(whole->parts, [&](Value part) { return asAffine(part); });
    }
    for (auto [one, size] : llvm::zip(exprs, extent)) {
      group.push_back(results.size());
      results.push_back(one);
      shape.push_back(size);
    }
  }
  return Operand{expand(builder, op.getLoc(), element.tensor, groups, shape),
                 AffineMap::get(parts.size(), 0, results, op.getContext())};
}

/// An axis for every part of the loops that the codes vary with.
Operand Matcher::codes(OpBuilder &builder) {
  SmallVector<AffineExpr> results;
  SmallVector<int64_t> shape;
  for (Value index : sum.shifts->loops) {
    const Loop &loop = *llvm::find_if(loops, [&](const Loop &one) { return one.index == index; });
    for (Value part : loop.parts) {
      results.push_back(asAffine(part));
      shape.push_back(*Sizes::asConstant(elements.extentOf(part)));
    }
  }
  std::vector<Cell> cells;
  for (int8_t code : sum.shifts->codes)
    cells.push_back(Cell{.i = code});
  TypedAttr value = makeConstant(RankedTensorType::get(shape, builder.getI8Type()), cells);
  return {arith::ConstantOp::create(builder, op.getLoc(), value),
          AffineMap::get(parts.size(), 0, results, op.getContext())};
}

Value Matcher::negate(OpBuilder &builder, Value tensor, Value empty) {
  auto type = cast<RankedTensorType>(tensor.getType());
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(builder, op.getLoc(), type, tensor, empty,
                                   ArrayRef{identity, identity}, iterators,
                                   [](OpBuilder &nested, Location at, ValueRange args) {
                                     Value negated = arith::NegFOp::create(nested, at, args[0]);
                                     linalg::YieldOp::create(nested, at, negated);
                                   })
      .getResult(0);
}

Value Matcher::raise(OpBuilder &builder) {
  if (!match())
    return {};
  std::optional<Operand> a = operand(builder, sum.a);
  std::optional<Operand> b = sum.shifts ? codes(builder)
                             : a        ? operand(builder, sum.b)
                                        : std::nullopt;
  if (!a || !b)
    return {};
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<OpFoldResult> shape;
  SmallVector<ReassociationIndices> groups;
  for (const Loop &loop : ArrayRef(loops).take_front(type.getRank())) {
    ReassociationIndices &group = groups.emplace_back();
    for (OpFoldResult extent : extents(builder, loop)) {
      group.push_back(shape.size());
      shape.push_back(extent);
    }
  }
  AffineMap result =
      AffineMap::getMultiDimIdentityMap(parts.size(), op.getContext()).getMajorSubMap(shape.size());
  auto hasOwnLoop = [&](AffineMap map) {
    return llvm::any_of(llvm::seq<unsigned>(0, shape.size()),
                        [&](unsigned loop) { return !map.isFunctionOfDim(loop); });
  };
  if (!hasOwnLoop(a->map) || !hasOwnLoop(b->map)) {
    reason = "every element of an operand is read for one result only";
    return {};
  }
  if (sum.terms == Sum::Products &&
      !(a->map.isProjectedPermutation() && b->map.isProjectedPermutation()))
    return {};
  if (llvm::any_of(llvm::seq<unsigned>(shape.size(), parts.size()), [&](unsigned loop) {
        return !a->map.isFunctionOfDim(loop) && !b->map.isFunctionOfDim(loop);
      })) {
    reason = "the terms are the same along an axis of the sum";
    return {};
  }
  // Weights are on the right.
  if (a->tensor.getDefiningOp<arith::ConstantOp>())
    std::swap(a, b);
  Location loc = op.getLoc();
  Type element = type.getElementType();
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(element));
  Value empty = tensor::EmptyOp::create(builder, loc, shape, element);
  Value init = linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
  ArrayAttr maps = builder.getAffineMapArrayAttr({a->map, b->map, result});
  Value value;
  if (sum.terms == Sum::Products)
    value = linalg::ContractOp::create(builder, loc, init.getType(),
                                       ValueRange{a->tensor, b->tensor}, init, maps)
                ->getResult(0);
  else if (sum.terms == Sum::Distances)
    value = ContractOp::create(builder, loc, a->tensor, b->tensor, init, ContractKind::Adder, maps,
                               IntegerAttr());
  else
    value = ContractOp::create(builder, loc, a->tensor, b->tensor, init, ContractKind::Shift, maps,
                               builder.getI64IntegerAttr(sum.shifts->exponentBias),
                               sum.shifts->rounding);
  if (sum.terms == Sum::Distances && !sum.negated)
    value = negate(builder, value, empty);
  if (shape.size() != groups.size())
    value = tensor::CollapseShapeOp::create(builder, loc, value, groups);
  return value.getType() == type ? value
                                 : tensor::CastOp::create(builder, loc, type, value).getResult();
}

namespace {
struct RaiseBroadcastSums : impl::RaiseBroadcastSumsBase<RaiseBroadcastSums> {
  using RaiseBroadcastSumsBase::RaiseBroadcastSumsBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops(getOperation().getOps<linalg::LinalgOp>());
    for (linalg::LinalgOp op : ops)
      if (!isOpTriviallyDead(op))
        raise(op);
  }

private:
  void raise(linalg::LinalgOp op) {
    // Others have no kernel as a contraction, but one as a sum; and theirs would round differently.
    if (isa<linalg::ContractOp>(op) || op->getNumResults() != 1)
      return;
    Type element = getElementTypeOrSelf(op->getResult(0));
    if (!element.isF32() && !element.isSignlessInteger(32) && !element.isSignlessInteger(64))
      return;
    Sizes sizes(getOperation());
    Matcher matcher(sizes, op);
    OpBuilder builder(op);
    Value sum = matcher.raise(builder);
    if (!sum) {
      if (matcher.reason.empty() || matcher.terms() == Sum::Products)
        return;
      ++numRefused;
      remark::missed(op.getLoc(), options("SumNotRaised"))
          << remark::reason("{0}", matcher.reason)
          << remark::add("nodes {0}", nodeNames(op.getLoc()));
      return;
    }
    op->getResult(0).replaceAllUsesWith(sum);
    ++numRaised;
    remark::passed(sum.getLoc(), options("SumRaised"))
        << remark::add("{0}", describe(matcher.terms()))
        << remark::add("nodes {0}", nodeNames(sum.getLoc()));
  }

  static StringRef describe(Sum::Terms terms) {
    switch (terms) {
    case Sum::Products:
      return "matrix product";
    case Sum::Distances:
      return "adder layer";
    case Sum::Shifts:
      return "shift layer of integers";
    }
    llvm_unreachable("all terms are listed");
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-raise")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
