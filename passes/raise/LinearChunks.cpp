#include "attune/passes/raise/LinearChunks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;

namespace attune {

/// Steps of the search for one scalar; a chunked attention needs about ten per term.
static constexpr unsigned kMaxSteps = 400;
/// Every pair of places is looked at.
static constexpr int64_t kMaxLength = 1024;

int64_t chunkLength(Value scalar, Value index) {
  SmallVector<Value> pending{scalar};
  llvm::SmallDenseSet<Value> seen;
  int64_t length = 0;
  while (!pending.empty()) {
    Operation *op = pending.pop_back_val().getDefiningOp();
    if (!op || !seen.insert(op->getResult(0)).second)
      continue;
    if (isa<arith::DivUIOp>(op) && op->getOperand(0) == index)
      length = std::max(length, getConstantIntValue(op->getOperand(1)).value_or(0));
    llvm::append_range(pending, op->getOperands());
  }
  return length;
}

ChunkJoin::ChunkJoin(Sizes &sizes, Elements &elements, Products &products, Value row,
                     int64_t length)
    : sizes(sizes), elements(elements), products(products), length(length), row(row),
      column(elements.addIndex(elements.extentOf(row))), numbers(elements, row, column, length) {
  Value size = elements.constantIndex(length);
  rowChunk = elements.make<arith::DivUIOp>(row, size);
  rowPlace = elements.make<arith::RemUIOp>(row, size);
  columnChunk = elements.make<arith::DivUIOp>(column, size);
  columnPlace = elements.make<arith::RemUIOp>(column, size);
}

std::optional<Product> ChunkJoin::join(Value scalar) {
  steps = 0;
  joined.reset();
  Term term;
  term.product.factors.push_back(scalar);
  if (length > kMaxLength || !expand({term}, {}))
    return std::nullopt;
  return joined;
}

/// Expands one factor of the last open term; terms are independent of each other.
bool ChunkJoin::expand(Terms open, Terms done) {
  if (++steps > kMaxSteps)
    return false;
  if (open.empty())
    return findLaw(done);
  Term term = open.pop_back_val();
  std::optional<unsigned> position = unfinished(term);
  if (!position) {
    if (!settle(term))
      return false;
    done.push_back(term);
    return expand(std::move(open), std::move(done));
  }
  Value factor = term.product.factors[*position];
  auto with = [&](Value scalar, double sign) {
    Term next = term;
    next.product.factors.erase(next.product.factors.begin() + *position);
    next.product.factor *= sign;
    products.flatten(scalar, next.product);
    return next;
  };
  Operation *op = factor.getDefiningOp();
  if (op && isa<arith::AddFOp, arith::SubFOp>(op)) {
    open.push_back(with(op->getOperand(0), 1));
    open.push_back(with(op->getOperand(1), isa<arith::SubFOp>(op) ? -1 : 1));
    return expand(std::move(open), std::move(done));
  }
  // Products and negations that were not split before.
  if (Term split = with(factor, 1); !llvm::is_contained(split.product.factors, factor)) {
    open.push_back(split);
    return expand(std::move(open), std::move(done));
  }
  if (std::optional<Term> next = withoutZeros(term, *position)) {
    open.push_back(*next);
    return expand(std::move(open), std::move(done));
  }
  return expandSum(term, *position, open, done);
}

/// Tries what the axes of a sum may be: places of one chunk, chunks, features.
bool ChunkJoin::expandSum(const Term &term, unsigned position, const Terms &open,
                          const Terms &done) {
  auto extents = products.summed(term.product.factors[position]);
  if (!extents || extents->empty() || extents->size() > 3)
    return false;
  Term next = term;
  SmallVector<Value> inner;
  auto assign = [&](auto &&assign) -> bool {
    if (inner.size() == extents->size()) {
      std::optional<Product> product = products.expand(term.product, position, inner);
      if (!product)
        return false;
      Terms rest(open);
      rest.push_back(next);
      rest.back().product = *product;
      return expand(std::move(rest), done);
    }
    AffineExpr extent = (*extents)[inner.size()];
    auto attempt = [&](Value index) {
      inner.push_back(index);
      bool found = assign(assign);
      inner.pop_back();
      return found;
    };
    Term before = next;
    if (!next.place && Sizes::asConstant(extent) == length) {
      next.place = true;
      if (attempt(columnPlace))
        return true;
      next = before;
    }
    if (!next.chunk && sizes.equalWhereUsed(extent, elements.extentOf(row).floorDiv(length))) {
      next.chunk = true;
      if (attempt(columnChunk))
        return true;
      next = before;
    }
    if (!next.feature) {
      next.feature = featureOf(extent);
      if (attempt(next.feature))
        return true;
      next = before;
    }
    return false;
  };
  return assign(assign);
}

Value ChunkJoin::featureOf(AffineExpr extent) {
  for (Value feature : features)
    if (sizes.equal(elements.extentOf(feature), extent))
      return feature;
  return features.emplace_back(elements.addIndex(extent));
}

/// A factor that is not yet a number, or a datum of one query or one key.
std::optional<unsigned> ChunkJoin::unfinished(const Term &term) {
  for (auto [position, factor] : llvm::enumerate(term.product.factors)) {
    if (isNumber(factor))
      continue;
    Value scalar = inOneChunk(factor);
    bool onRow = elements.depends(scalar, row), onColumn = elements.depends(scalar, column);
    if (onRow && onColumn)
      return position;
    if (onRow && (!term.feature || !onIndex(scalar, row, rowChunk, rowPlace)))
      return position;
    if (onColumn && !onIndex(scalar, column, columnChunk, columnPlace))
      return position;
  }
  return std::nullopt;
}

/// True if the scalar depends on the index itself, not only on its chunk or place.
bool ChunkJoin::onIndex(Value scalar, Value index, Value chunk, Value place) {
  SmallVector<Value> pending{scalar};
  llvm::SmallDenseSet<Value> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    if (value == index)
      return true;
    if (value == chunk || value == place || !seen.insert(value).second)
      continue;
    if (Operation *op = value.getDefiningOp())
      llvm::append_range(pending, op->getOperands());
  }
  return false;
}

/// An element of a tensor with zeros in front of or behind the rest, as a condition on its index.
std::optional<ChunkJoin::Term> ChunkJoin::withoutZeros(const Term &term, unsigned position) {
  std::optional<ElementOf> load = elements.load(term.product.factors[position]);
  if (!load || !load->tensor)
    return std::nullopt;
  Value inner;
  uint64_t axis = 0;
  AffineExpr first;
  if (auto concat = load->tensor.getDefiningOp<tensor::ConcatOp>()) {
    axis = concat.getDim();
    AffineExpr begin = sizes.constant(0);
    for (Value input : concat.getInputs()) {
      if (!isZeroTensor(input)) {
        if (inner)
          return std::nullopt;
        inner = input;
        first = begin;
      }
      begin = begin + sizes.of(input, axis);
    }
  } else if (auto pad = load->tensor.getDefiningOp<tensor::PadOp>()) {
    Value filler = pad.getConstantPaddingValue();
    if (!filler || !matchPattern(filler, m_AnyZeroFloat()))
      return std::nullopt;
    unsigned padded = 0;
    for (auto [n, low, high] : llvm::enumerate(pad.getMixedLowPad(), pad.getMixedHighPad()))
      if (!isZeroInteger(low) || !isZeroInteger(high)) {
        axis = n;
        ++padded;
      }
    if (padded != 1)
      return std::nullopt;
    inner = pad.getSource();
    first = sizes.of(pad.getMixedLowPad()[axis]);
  }
  Value offset = inner ? elements.sizeValue(first) : Value();
  Value extent = offset ? elements.sizeValue(sizes.of(inner, axis)) : Value();
  if (!extent)
    return std::nullopt;
  SmallVector<Value> indices(load->indices);
  indices[axis] = elements.make<arith::SubIOp>(indices[axis], offset);
  Term next = term;
  next.product.factors.erase(next.product.factors.begin() + position);
  using Predicate = arith::CmpIPredicate;
  Value zero = elements.constantIndex(0);
  for (Value condition : {elements.make<arith::CmpIOp>(Predicate::sge, indices[axis], zero),
                          elements.make<arith::CmpIOp>(Predicate::slt, indices[axis], extent)})
    if (!matchPattern(condition, m_One()))
      next.product.conditions.push_back(condition);
  products.flatten(elements.at(inner, indices), next.product);
  return next;
}

/// True if the scalar follows from the two positions at compile time.
bool ChunkJoin::isNumber(Value scalar) {
  return llvm::all_of(elements.freeIndices(scalar),
                      [&](Value index) { return index == row || index == column; }) &&
         llvm::all_of(elements.loads(scalar), [&](Value load) {
           Value tensor = elements.load(load)->tensor;
           return tensor && matchPattern(tensor, m_Constant());
         });
}

Value ChunkJoin::inOneChunk(Value scalar) {
  return substitute(elements, scalar, rowChunk, columnChunk);
}

/// Separates numbers and data of a term; false if it is no sum over keys and features.
bool ChunkJoin::settle(Term &term) {
  if (!term.place || !term.feature)
    return false;
  Product &product = term.product;
  if (!term.chunk) {
    for (Value &factor : product.factors)
      factor = inOneChunk(factor);
    for (Value &condition : product.conditions)
      condition = inOneChunk(condition);
  }
  SmallVector<Value> data;
  for (Value factor : product.factors)
    (isNumber(factor) ? term.numbers : data).push_back(factor);
  product.factors = data;
  return llvm::all_of(data,
                      [&](Value factor) {
                        return !elements.depends(factor, row) || !elements.depends(factor, column);
                      }) &&
         llvm::all_of(product.conditions, [&](Value condition) { return isNumber(condition); });
}

std::optional<Powers> ChunkJoin::numberAt(Value scalar, ChunkOrder order, int64_t rowAt,
                                          int64_t columnAt) {
  // Most numbers depend on one of the places, or on none.
  if (!onIndex(scalar, row, rowChunk, {}))
    rowAt = 0;
  if (!onIndex(scalar, column, columnChunk, {}))
    columnAt = 0;
  auto [entry, fresh] =
      known[unsigned(order)].try_emplace({scalar, {rowAt, columnAt}}, std::nullopt);
  if (!fresh)
    return entry->second;
  if (isa<FloatType>(scalar.getType())) {
    entry->second = numbers.value(scalar, order, rowAt, columnAt);
  } else if (std::optional<bool> truth = numbers.holds(scalar, order, rowAt, columnAt)) {
    entry->second = Powers(*truth);
  }
  return entry->second;
}

/// What the terms add up to for the places of query and key, in this order of their chunks.
std::optional<Powers> ChunkJoin::weight(const Terms &terms, ChunkOrder order, int64_t rowAt,
                                        int64_t columnAt) {
  Powers sum;
  for (const Term &term : terms) {
    if (!term.chunk && order != ChunkOrder::Same)
      continue;
    Powers product(term.product.factor);
    bool counts = true;
    for (Value condition : term.product.conditions) {
      std::optional<Powers> truth = numberAt(condition, order, rowAt, columnAt);
      if (!truth)
        return std::nullopt;
      counts &= truth->constant() == 1;
    }
    if (!counts)
      continue;
    for (Value number : term.numbers) {
      std::optional<Powers> value = numberAt(number, order, rowAt, columnAt);
      if (!value)
        return std::nullopt;
      product = product * *value;
    }
    for (Powers::Term part : product.terms)
      sum.add(part);
  }
  return sum;
}

/// How far weights may be from their law, relative to the largest: tables and powers are rounded.
static double tolerance(Type type) {
  const llvm::fltSemantics &semantics = cast<FloatType>(type).getFloatSemantics();
  return std::ldexp(32, -int(APFloat::semanticsPrecision(semantics)));
}

/// The terms have the same data, and their weights follow a law of i - j: constant, or that of
/// momentum, g (1 - mu^(i - j + 1)).
bool ChunkJoin::findLaw(const Terms &terms) {
  Product result = terms.front().product;
  for (const Term &term : ArrayRef(terms).drop_front()) {
    SmallVector<Value> rest(result.factors);
    if (term.feature != terms.front().feature ||
        term.product.factors.size() != rest.size() || !removeAll(rest, term.product.factors))
      return false;
    llvm::append_range(result.expanded, term.product.expanded);
    llvm::append_range(result.loads, term.product.loads);
  }
  Type type = result.factors.empty() ? Type() : result.factors.front().getType();
  auto refuse = [&](const char *why) {
    reason = why;
    return false;
  };
  std::optional<Powers> far = weight(terms, ChunkOrder::Before, 0, 0);
  if (!far || !type)
    return refuse("the weights of earlier chunks are not known");
  double gain = 0, fade = 0, ratio = 1;
  for (Powers::Term term : far->terms) {
    if (term.ratio == 1)
      gain = term.scale;
    else if (fade == 0)
      std::tie(fade, ratio) = std::pair(term.scale, term.ratio);
    else
      return refuse("the weights fade at different rates");
  }
  double mu = fade == 0 ? 0 : std::pow(ratio, 1.0 / length);
  if (gain == 0 || (fade != 0 && !(mu > 0 && mu < 1)))
    return refuse("the weights of earlier chunks fade to nothing");
  double limit = std::abs(gain) * tolerance(type);
  auto isClose = [&](const std::optional<Powers> &found, double constant, double faded) {
    if (!found)
      return false;
    for (Powers::Term term : found->terms) {
      if (term.ratio == 1)
        constant -= term.scale;
      else if (std::abs(term.ratio - ratio) <= 1e-12)
        faded -= term.scale;
      else if (term.scale != 0)
        return false;
    }
    return std::abs(constant) <= limit && std::abs(faded) <= limit;
  };
  for (int64_t rowAt = 0; rowAt < length; ++rowAt)
    for (int64_t columnAt = 0; columnAt < length; ++columnAt) {
      int64_t distance = rowAt - columnAt;
      auto faded = [&](int64_t steps) { return fade == 0 ? 0 : -gain * std::pow(mu, steps + 1); };
      double near = distance < 0 ? 0 : gain + faded(distance);
      if (!isClose(weight(terms, ChunkOrder::Same, rowAt, columnAt), near, 0))
        return refuse("the weights in a chunk do not continue those of earlier chunks");
      if (!isClose(weight(terms, ChunkOrder::Before, rowAt, columnAt), gain,
                   faded(distance + length)))
        return refuse("the weights of earlier chunks depend on more than the distance");
      if (!isClose(weight(terms, ChunkOrder::After, rowAt, columnAt), 0, 0))
        return refuse("later chunks have weights");
    }
  Value distance = elements.make<arith::SubIOp>(row, column);
  if (fade != 0) {
    Value steps = elements.make<arith::AddIOp>(distance, elements.constantIndex(1));
    steps = elements.make<arith::IndexCastOp>(IntegerType::get(sizes.getContext(), 64), steps);
    Value power = elements.make<math::PowFOp>(elements.constantFloat(type, mu),
                                              elements.make<arith::SIToFPOp>(type, steps));
    result.factors.push_back(
        elements.make<arith::SubFOp>(elements.constantFloat(type, 1), power));
  }
  result.factor = gain;
  result.sums = {column, terms.front().feature};
  result.conditions = {elements.make<arith::CmpIOp>(arith::CmpIPredicate::sle, column, row)};
  joined = result;
  return true;
}

} // namespace attune
