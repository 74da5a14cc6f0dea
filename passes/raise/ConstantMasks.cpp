#include "attune/passes/raise/ConstantMasks.h"
#include "attune/passes/raise/AttentionMatch.h"
#include "attune/passes/raise/ConstantLaws.h"
#include "attune/passes/raise/MaskBounds.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {

namespace {

/// Larger tables would take too long to look at.
constexpr int64_t kMaxElements = int64_t(1) << 28;
/// A table with more different values is no mask.
constexpr size_t kMaxValues = 1 << 12;
/// Nor is what takes more operators on its elements.
constexpr unsigned kMaxOperators = 64;

class Masks {
public:
  explicit Masks(AttentionOp op) : op(op) {}

  void run() {
    if (op.hasMask())
      boundTerms(op.getMaskValue());
    if (changed)
      clean();
    if (op.hasScore() && op.getWeighting() == Weighting::Softmax && !op.getLogits())
      boundAddends(op.getScoreValue(), /*outermost=*/true);
    if (changed)
      clean();
  }

private:
  /// A read of a constant tensor in a region.
  struct Read {
    tensor::ExtractOp extract;
    ConstantData data;
  };

  std::optional<Read> readOf(Value scalar);
  Value capturedBy(Value argument);
  std::optional<MaskBounds> boundsOf(const Read &read, const AttentionOp::RegionArgs &args,
                                     llvm::function_ref<std::optional<bool>(int64_t)> isAllowed);
  void boundTerms(Value condition);
  void boundTerm(Value term);
  void boundAddends(Value sum, bool outermost);
  bool boundAddend(Value sum, Value table, Value rest, bool outermost);
  void require(const MaskBounds &bounds);
  Value emit(OpBuilder &builder, const MaskBounds &bounds, const AttentionOp::RegionArgs &args);
  void clean();

  AttentionOp op;
  llvm::SmallDenseSet<Value> seen;
  bool changed = false;
};

Value Masks::capturedBy(Value argument) {
  auto arg = dyn_cast<BlockArgument>(argument);
  if (!arg || arg.getOwner()->getParentOp() != op)
    return {};
  unsigned own = arg.getOwner()->getNumArguments() - op.getCaptures().size();
  return arg.getArgNumber() < own ? Value() : op.getCaptures()[arg.getArgNumber() - own];
}

std::optional<Masks::Read> Masks::readOf(Value scalar) {
  auto extract = scalar.getDefiningOp<tensor::ExtractOp>();
  Value tensor = extract ? capturedBy(extract.getTensor()) : Value();
  std::optional<ConstantData> data =
      tensor ? ConstantData::get(tensor) : std::optional<ConstantData>();
  return data ? std::optional(Read{extract, *data}) : std::nullopt;
}

/// The bounds of the flags that `isAllowed` gives for the elements of a table of queries and keys;
/// along other axes they must repeat.
std::optional<MaskBounds>
Masks::boundsOf(const Read &read, const AttentionOp::RegionArgs &args,
                llvm::function_ref<std::optional<bool>(int64_t)> isAllowed) {
  ArrayRef<int64_t> shape = read.data.getType().getShape();
  int64_t stride = 1, start = 0;
  ConstantLaw::Axis row{1, 0}, column{1, 0};
  SmallVector<ConstantLaw::Axis> others;
  auto indices = tensor::ExtractOp(read.extract).getIndices();
  for (int64_t axis = shape.size(); axis-- > 0; stride *= shape[axis]) {
    Value index = indices[axis];
    if (std::optional<int64_t> constant = getConstantIntValue(index)) {
      if (*constant < 0 || *constant >= shape[axis])
        return std::nullopt;
      start += *constant * stride;
      continue;
    }
    bool isRow = index == args.n || (index == args.i && !op.getQOffset());
    bool isColumn = index == args.m || index == args.j;
    ConstantLaw::Axis &place = isRow ? row : isColumn ? column : others.emplace_back();
    if (place.stride)
      return std::nullopt;
    place = {shape[axis], stride};
  }
  if (!column.stride || read.data.size() == 0)
    return std::nullopt;
  if (read.data.isSplat()) {
    row.size = column.size = 1;
    others.clear();
  }
  if (row.size > kMaxElements / column.size)
    return std::nullopt;
  llvm::BitVector flags(row.size * column.size);
  for (int64_t r = 0; r < row.size; ++r)
    for (int64_t c = 0; c < column.size; ++c) {
      std::optional<bool> allowed = isAllowed(start + r * row.stride + c * column.stride);
      if (!allowed)
        return std::nullopt;
      flags[r * column.size + c] = *allowed;
    }
  SmallVector<int64_t> offsets{start};
  for (ConstantLaw::Axis other : others)
    for (size_t n = 0, end = offsets.size(); n < end; ++n)
      for (int64_t x = 1; x < other.size; ++x)
        offsets.push_back(offsets[n] + x * other.stride);
  for (int64_t offset : ArrayRef(offsets).drop_front())
    for (int64_t r = 0; r < row.size; ++r)
      for (int64_t c = 0; c < column.size; ++c)
        if (isAllowed(offset + r * row.stride + c * column.stride) != flags[r * column.size + c])
          return std::nullopt;
  MaskBounds bounds(flags, row.size, column.size);
  return bounds.isExact() || bounds.isTight() ? std::optional(bounds) : std::nullopt;
}

/// Without an offset, `i` is `n`; it is what kernels know most about.
Value Masks::emit(OpBuilder &builder, const MaskBounds &bounds,
                  const AttentionOp::RegionArgs &args) {
  return bounds.emit(builder, op.getLoc(), op.getQOffset() ? args.n : args.i, args.j);
}

//===- The mask region ------------------------------------------------------------------------===//

void Masks::boundTerms(Value condition) {
  if (!seen.insert(condition).second)
    return;
  if (auto both = condition.getDefiningOp<arith::AndIOp>()) {
    boundTerms(both.getLhs());
    boundTerms(both.getRhs());
  } else {
    boundTerm(condition);
  }
}

/// The only read of a constant below a scalar that is computed from it and constants; null if
/// there is none.
static tensor::ExtractOp onlyRead(Value scalar) {
  tensor::ExtractOp found;
  SmallVector<Value> pending{scalar};
  for (unsigned visited = 0; !pending.empty(); ++visited) {
    Operation *op = pending.pop_back_val().getDefiningOp();
    if (!op || visited > kMaxOperators)
      return {};
    if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
      if (found && found != extract)
        return {};
      found = extract;
    } else {
      llvm::append_range(pending, op->getOperands());
    }
  }
  return found;
}

/// What a scalar is if the read gives this element; null if it does not fold.
static Attribute evaluate(Value scalar, tensor::ExtractOp read, Attribute element) {
  Attribute constant;
  if (matchPattern(scalar, m_Constant(&constant)))
    return constant;
  Operation *op = scalar.getDefiningOp();
  if (op == read)
    return element;
  if (op->getNumResults() != 1 || !isPure(op))
    return {};
  SmallVector<Attribute> operands;
  for (Value operand : op->getOperands())
    if (!operands.emplace_back(evaluate(operand, read, element)))
      return {};
  // Folds in place are for the copy only.
  OwningOpRef<Operation *> copy(op->clone());
  SmallVector<OpFoldResult> results;
  if (failed(copy->fold(operands, results)) || results.size() != 1)
    return {};
  if (auto folded = dyn_cast<Attribute>(results[0]))
    return folded;
  auto same = llvm::find(op->getOperands(), cast<Value>(results[0]));
  return same == op->operand_end() ? Attribute() : operands[same.getIndex()];
}

void Masks::boundTerm(Value term) {
  tensor::ExtractOp extract = onlyRead(term);
  std::optional<Read> read = extract ? readOf(extract) : std::nullopt;
  if (!read)
    return;
  Type type = read->data.getType().getElementType();
  Builder attributes(op.getContext());
  llvm::DenseMap<uint64_t, std::optional<bool>> known;
  auto isAllowed = [&](int64_t position) -> std::optional<bool> {
    auto [found, fresh] = known.try_emplace(read->data.getBits(position));
    if (!fresh)
      return found->second;
    if (known.size() > kMaxValues)
      return std::nullopt;
    Attribute element;
    if (isa<FloatType>(type))
      element = attributes.getFloatAttr(type, read->data.getFloat(position));
    else
      element = attributes.getIntegerAttr(type, read->data.getInt(position));
    auto flag = dyn_cast_or_null<IntegerAttr>(evaluate(term, extract, element));
    if (flag)
      found->second = !flag.getValue().isZero();
    return found->second;
  };
  AttentionOp::RegionArgs args = op.getMaskArgs();
  std::optional<MaskBounds> bounds = boundsOf(*read, args, isAllowed);
  if (!bounds)
    return;
  OpBuilder builder(op.getContext());
  builder.setInsertionPointAfterValue(term);
  Value allowed = emit(builder, *bounds, args);
  SmallPtrSet<Operation *, 2> except;
  if (!bounds->isExact()) {
    allowed = arith::AndIOp::create(builder, op.getLoc(), term, allowed);
    except.insert(allowed.getDefiningOp());
  }
  term.replaceAllUsesExcept(allowed, except);
  changed = true;
}

//===- The score region -----------------------------------------------------------------------===//

void Masks::boundAddends(Value sum, bool outermost) {
  auto add = sum.getDefiningOp<arith::AddFOp>();
  if (!add || !seen.insert(sum).second)
    return;
  Value left = add.getLhs(), right = add.getRhs();
  if (boundAddend(sum, right, left, outermost) || boundAddend(sum, left, right, outermost))
    return;
  boundAddends(left, false);
  boundAddends(right, false);
}

/// `sum` = `rest` + `table`, perhaps with more added: keys that the table hides.
bool Masks::boundAddend(Value sum, Value table, Value rest, bool outermost) {
  auto args = op.getScoreArgs();
  Value element = table;
  while (auto wider = element.getDefiningOp<arith::ExtFOp>())
    element = wider.getIn();
  std::optional<Read> read = readOf(element);
  if (!read || !isa<FloatType>(read->data.getType().getElementType()))
    return false;
  // Finite values hide keys of rows that keep another one; the weights of those underflow to 0.
  bool finite = outermost && !op.hasMask() && !op.getKvLen() && !op.getScores() && !op.getSink() &&
                isOrdinary(rest, args.score);
  bool hidden = false, zero = true;
  auto collect = [&](double never) {
    hidden = false;
    zero = true;
    return boundsOf(*read, args, [&](int64_t position) -> std::optional<bool> {
      double value = read->data.getFloat(position);
      bool allowed = !(value <= never);
      hidden |= !allowed;
      zero &= !allowed || value == 0;
      if (allowed && finite && !(std::abs(value) <= kOrdinary))
        finite = false;
      return allowed;
    });
  };
  std::optional<MaskBounds> bounds;
  if (finite) {
    bounds = collect(kNever);
    bool whole = bounds && bounds->getColumns() == op.getNumKeys();
    if (!finite || !whole || !bounds->isInEveryRow())
      bounds.reset();
  }
  if (!bounds) {
    finite = false;
    bounds = collect(-std::numeric_limits<double>::infinity());
  }
  if (!bounds || !hidden)
    return false;
  require(*bounds);
  if (bounds->isExact() && zero)
    sum.replaceAllUsesWith(rest);
  return changed = true;
}

void Masks::require(const MaskBounds &bounds) {
  OpBuilder builder(op.getContext());
  if (!op.hasMask()) {
    AttentionOp::RegionArgs args = op.addMask(builder);
    builder.setInsertionPointToEnd(&op.getMask().front());
    YieldOp::create(builder, op.getLoc(), emit(builder, bounds, args));
    return;
  }
  Operation *yield = &op.getMask().front().back();
  builder.setInsertionPoint(yield);
  Value allowed = emit(builder, bounds, op.getMaskArgs());
  yield->setOperand(0, arith::AndIOp::create(builder, op.getLoc(), op.getMaskValue(), allowed));
}

/// Drops what nothing reads any more: scalars, regions that are the identity, captures.
void Masks::clean() {
  seen.clear();
  for (Region *region : {&op.getScore(), &op.getMask()})
    if (!region->empty())
      for (Operation &inner : llvm::make_early_inc_range(llvm::reverse(region->front())))
        if (isOpTriviallyDead(&inner))
          inner.erase();
  if (op.hasMask() && matchPattern(op.getMaskValue(), m_One()))
    op.getMask().front().erase();
  if (op.hasScore() && op.getScoreValue() == op.getScoreArgs().score)
    op.getScore().front().erase();
  for (unsigned n = op.getCaptures().size(); n-- > 0;) {
    SmallVector<BlockArgument> arguments;
    if (op.hasScore())
      arguments.push_back(op.getScoreArgs().captures[n]);
    if (op.hasMask())
      arguments.push_back(op.getMaskArgs().captures[n]);
    if (!llvm::all_of(arguments, [](BlockArgument argument) { return argument.use_empty(); }))
      continue;
    for (BlockArgument argument : arguments)
      argument.getOwner()->eraseArgument(argument.getArgNumber());
    op.getCapturesMutable().erase(n);
  }
}

} // namespace

void boundConstantMasks(AttentionOp op) { Masks(op).run(); }

} // namespace attune
