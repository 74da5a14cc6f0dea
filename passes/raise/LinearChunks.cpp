#include "attune/passes/raise/LinearChunks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

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

SmallVector<Value> ChunkJoin::inChunks(ArrayRef<Value> group) {
  SmallVector<Value> result;
  for (Value index : group) {
    if (index == row)
      result.append({rowChunk, rowPlace});
    else if (index == column)
      result.append({columnChunk, columnPlace});
    else
      result.push_back(index);
  }
  return result;
}

AffineExpr ChunkJoin::extentOf(Value index) {
  if (index == rowChunk || index == columnChunk)
    return elements.extentOf(row).floorDiv(length);
  if (index == rowPlace || index == columnPlace)
    return sizes.constant(length);
  return elements.extentOf(index);
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
    if (onRow && !inverted(factor) && (!term.feature || !isDatum(scalar, row, rowChunk, rowPlace)))
      return position;
    if (onColumn && !isDatum(scalar, column, columnChunk, columnPlace))
      return position;
  }
  return std::nullopt;
}

/// True if the scalar depends on the index by other ways than these scalars.
bool ChunkJoin::depends(Value scalar, Value index, ArrayRef<Value> except) {
  SmallVector<Value> pending{scalar};
  llvm::SmallDenseSet<Value> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    if (value == index)
      return true;
    if (llvm::is_contained(except, value) || !seen.insert(value).second)
      continue;
    if (Operation *op = value.getDefiningOp())
      llvm::append_range(pending, op->getOperands());
  }
  return false;
}

/// True if the scalar differs between all queries or keys, not only between chunks or places.
bool ChunkJoin::isDatum(Value scalar, Value index, Value chunk, Value place) {
  return depends(scalar, index, {chunk, place}) ||
         (elements.depends(scalar, chunk) && elements.depends(scalar, place));
}

/// An element of a tensor with zeros in front of or behind the rest, as a condition on its index.
std::optional<ChunkJoin::Term> ChunkJoin::withoutZeros(const Term &term, unsigned position) {
  std::optional<ElementOf> load = elements.load(term.product.factors[position]);
  if (!load || !load->tensor)
    return std::nullopt;
  Value inner;
  uint64_t axis = 0;
  AffineExpr first;
  bool isLast = true;
  if (auto concat = load->tensor.getDefiningOp<tensor::ConcatOp>()) {
    axis = concat.getDim();
    AffineExpr begin = sizes.constant(0);
    for (Value input : concat.getInputs()) {
      if (asFloat(elements.at(input, load->indices)) == 0.0) {
        isLast = false;
      } else if (inner) {
        return std::nullopt;
      } else {
        inner = input;
        first = begin;
        isLast = true;
      }
      begin = begin + sizes.of(input, axis);
    }
  } else if (auto pad = load->tensor.getDefiningOp<tensor::PadOp>()) {
    Value filler = pad.getConstantPaddingValue();
    llvm::SmallBitVector padded = pad.getPaddedDims();
    if (!filler || !matchPattern(filler, m_AnyZeroFloat()) || padded.count() != 1)
      return std::nullopt;
    axis = padded.find_first();
    inner = pad.getSource();
    first = sizes.of(pad.getMixedLowPad()[axis]);
    isLast = isZeroInteger(pad.getMixedHighPad()[axis]);
  }
  Value offset = inner ? elements.sizeValue(first) : Value();
  Value extent = offset ? elements.sizeValue(sizes.of(inner, axis)) : Value();
  if (!extent)
    return std::nullopt;
  SmallVector<Value> indices(load->indices);
  indices[axis] = elements.make<arith::SubIOp>(indices[axis], offset);
  Term next = term;
  next.product.factors.erase(next.product.factors.begin() + position);
  auto require = [&](arith::CmpIPredicate predicate, Value bound) {
    Value condition = elements.make<arith::CmpIOp>(predicate, indices[axis], bound);
    if (!matchPattern(condition, m_One()))
      next.product.conditions.push_back(condition);
  };
  require(arith::CmpIPredicate::sge, elements.constantIndex(0));
  if (!isLast)
    require(arith::CmpIPredicate::slt, extent);
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

/// Keys are said to be of the query's chunk by its index, as far as no sum over chunks was
/// expanded.
Value ChunkJoin::inOneChunk(Value scalar) {
  if (!elements.depends(scalar, columnPlace))
    return scalar;
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

} // namespace attune
