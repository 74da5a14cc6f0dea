#include "attune/passes/raise/Elements.h"

#include "attune/passes/raise/ConstantLaws.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune {

Elements::Elements(Sizes &sizes)
    : sizes(sizes), context(sizes.getContext()), loc(UnknownLoc::get(context)), builder(context) {
  builder.setInsertionPointToEnd(&block);
}

Value Elements::addIndex(AffineExpr extent) {
  Value index = block.addArgument(builder.getIndexType(), loc);
  extents[index] = extent;
  free.push_back(index);
  return index;
}

SmallVector<Value> Elements::addIndices(Value tensor) {
  SmallVector<Value> indices;
  for (int64_t axis = 0; axis < cast<RankedTensorType>(tensor.getType()).getRank(); ++axis)
    indices.push_back(addIndex(sizes.of(tensor, axis)));
  return indices;
}

Value Elements::tensorAt(Value scalar, ArrayRef<Value> indices, RankedTensorType type) {
  auto fits = [&](const ElementOf &element) {
    if (!element.tensor || element.tensor.getType() != type)
      return false;
    for (auto [axis, own, wanted] : llvm::enumerate(element.indices, indices))
      if (type.getDimSize(axis) != 1 &&
          (own != wanted || !sizes.equal(sizes.of(element.tensor, axis), extentOf(wanted))))
        return false;
    return true;
  };
  if (std::optional<ElementOf> element = load(scalar); element && fits(*element))
    return element->tensor;
  for (const ElementOf &element : sources(scalar))
    if (fits(element))
      return element.tensor;
  return {};
}

Value Elements::constantIndex(int64_t value) {
  return make<arith::ConstantOp>(builder.getIndexAttr(value));
}

Value Elements::constantInt(Type type, int64_t value) {
  return make<arith::ConstantOp>(builder.getIntegerAttr(type, value));
}

Value Elements::constantFloat(Type type, double value) {
  return make<arith::ConstantOp>(builder.getFloatAttr(type, value));
}

Value Elements::negate(Value condition) {
  return make<arith::XOrIOp>(condition, constantInt(builder.getI1Type(), 1));
}

Value Elements::rebuild(Operation *op, ValueRange operands) {
  IRMapping map;
  map.map(op->getOperands(), operands);
  return finish(builder.clone(*op, map));
}

Value Elements::fromOutside(Value scalar) {
  Attribute constant;
  if (matchPattern(scalar, m_Constant(&constant)))
    return make<arith::ConstantOp>(cast<TypedAttr>(constant));
  if (auto extract = scalar.getDefiningOp<tensor::ExtractOp>()) {
    SmallVector<Value> indices;
    for (Value index : extract.getIndices())
      indices.push_back(fromOutside(index));
    return at(extract.getTensor(), indices);
  }
  if (scalar.getType().isIndex())
    if (std::optional<int64_t> value = Sizes::asConstant(sizes.of(scalar)))
      return constantIndex(*value);
  Value &arg = argumentOf[scalar];
  if (!arg) {
    arg = block.addArgument(scalar.getType(), loc);
    outsideOf[arg] = scalar;
  }
  return arg;
}

ArrayRef<ElementOf> Elements::sources(Value scalar) const {
  auto entry = held.find(scalar);
  return entry == held.end() ? ArrayRef<ElementOf>() : ArrayRef<ElementOf>(entry->second);
}

std::optional<ElementOf> Elements::load(Value scalar) const {
  auto extract = scalar.getDefiningOp<tensor::ExtractOp>();
  if (!extract)
    return std::nullopt;
  return ElementOf{outsideOf.lookup(extract.getTensor()), llvm::to_vector(extract.getIndices())};
}

bool Elements::depends(Value scalar, Value on) {
  SmallVector<Value> pending{scalar};
  llvm::SmallDenseSet<Value> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    if (value == on)
      return true;
    if (Operation *op = value.getDefiningOp(); op && seen.insert(value).second)
      llvm::append_range(pending, op->getOperands());
  }
  return false;
}

/// The scalar and everything below it, operands first.
static void collect(Value scalar, llvm::SetVector<Value> &into) {
  if (into.contains(scalar))
    return;
  if (Operation *op = scalar.getDefiningOp())
    for (Value operand : op->getOperands())
      collect(operand, into);
  into.insert(scalar);
}

llvm::SetVector<Value> Elements::loads(Value scalar) {
  llvm::SetVector<Value> below;
  collect(scalar, below);
  below.remove_if([](Value value) { return !value.getDefiningOp<tensor::ExtractOp>(); });
  return below;
}

llvm::SetVector<Value> Elements::freeIndices(Value scalar) {
  llvm::SetVector<Value> below;
  collect(scalar, below);
  below.remove_if([&](Value value) { return !extents.contains(value); });
  return below;
}

unsigned Elements::cost(Value scalar) {
  llvm::SetVector<Value> below;
  collect(scalar, below);
  return llvm::count_if(below, [](Value value) {
    return value.getDefiningOp() && !value.getDefiningOp<arith::ConstantOp>();
  });
}

Value Elements::leaf(Value tensor, ArrayRef<Value> indices) {
  Value &arg = argumentOf[tensor];
  if (!arg) {
    arg = block.addArgument(tensor.getType(), loc);
    outsideOf[arg] = tensor;
  }
  return make<tensor::ExtractOp>(arg, indices);
}

Value Elements::at(Value tensor, ArrayRef<Value> indices) {
  SmallVector<Value> key(indices);
  auto type = cast<RankedTensorType>(tensor.getType());
  for (int64_t axis = 0; axis < type.getRank(); ++axis)
    if (type.getDimSize(axis) == 1)
      key[axis] = constantIndex(0);
  for (auto &[indices, scalar] : known[tensor])
    if (indices == key)
      return scalar;
  Value scalar = budget > 0 ? compute(tensor, key) : Value();
  if (!scalar)
    scalar = leaf(tensor, key);
  else if (Operation *op = tensor.getDefiningOp())
    visited.push_back({op, scalar});
  known[tensor].push_back({key, scalar});
  if (!matchPattern(scalar, m_Constant()) && !extents.contains(scalar))
    held[scalar].push_back({tensor, key});
  return scalar;
}

Value Elements::compute(Value tensor, ArrayRef<Value> indices) {
  Operation *op = tensor.getDefiningOp();
  if (!op)
    return {};
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case<linalg::LinalgOp>([&](auto linalgOp) {
        return throughLinalg(linalgOp, cast<OpResult>(tensor).getResultNumber(), indices);
      })
      .Case<tensor::ExpandShapeOp>([&](auto expand) { return throughExpand(expand, indices); })
      .Case<tensor::CollapseShapeOp>(
          [&](auto collapse) { return throughCollapse(collapse, indices); })
      .Case<tensor::ExtractSliceOp>([&](auto slice) { return throughSlice(slice, indices); })
      .Case<tensor::ConcatOp>([&](auto concat) { return throughConcat(concat, indices); })
      .Case<tensor::PadOp>([&](auto pad) { return throughPad(pad, indices); })
      .Case<tensor::CastOp>([&](auto cast) { return at(cast.getSource(), indices); })
      .Case<tensor::SplatOp>([&](auto splat) { return fromOutside(splat.getInput()); })
      .Case<tensor::FromElementsOp>([&](auto elements) {
        int64_t position = 0;
        for (auto [axis, index] : llvm::enumerate(indices)) {
          std::optional<int64_t> value = getConstantIntValue(index);
          if (!value)
            return Value();
          position = position * elements.getType().getDimSize(axis) + *value;
        }
        return fromOutside(elements.getElements()[position]);
      })
      .Case<arith::ConstantOp>([&](auto) { return ofConstant(tensor, indices); })
      .Default([](Operation *) { return Value(); });
}

Value Elements::ofConstant(Value tensor, ArrayRef<Value> indices) {
  std::optional<ConstantData> data = ConstantData::get(tensor);
  if (!data || data->size() == 0)
    return {};
  Type type = data->getType().getElementType();
  auto scalar = [&](int64_t position) -> Value {
    if (isa<FloatType>(type))
      return make<arith::ConstantOp>(builder.getFloatAttr(type, data->getFloat(position)));
    return constantInt(type, data->getInt(position));
  };
  if (data->isSplat())
    return scalar(0);
  // Positions are strides times indices: a constant part and a few free ones.
  int64_t stride = 1, offset = 0;
  SmallVector<ConstantLaw::Axis> axes;
  SmallVector<int64_t> numbers;
  SmallVector<Value> kept(indices);
  for (int64_t axis = data->getType().getRank(); axis-- > 0;) {
    int64_t size = data->getType().getDimSize(axis);
    if (std::optional<int64_t> value = getConstantIntValue(indices[axis])) {
      if (*value < 0 || *value >= size)
        return {};
      offset += *value * stride;
    } else {
      axes.insert(axes.begin(), {size, stride});
      numbers.insert(numbers.begin(), axis);
    }
    stride *= size;
  }
  // What an exporter repeated along an axis does not depend on it.
  for (size_t n = axes.size(); n-- > 0;)
    if (ConstantLaw::isRepeated(*data, offset, axes, n)) {
      kept[numbers[n]] = constantIndex(0);
      axes.erase(axes.begin() + n);
      numbers.erase(numbers.begin() + n);
    }
  if (axes.empty())
    return scalar(offset);
  auto unknown = [&] { return ArrayRef(kept) == indices ? Value() : leaf(tensor, kept); };
  if (auto ramps = ConstantLaw::ramps(*data, offset, axes)) {
    Value value = constantIndex(ramps->front().start);
    for (auto [ramp, number] : llvm::zip(*ramps, numbers)) {
      Value step = make<arith::DivUIOp>(kept[number], constantIndex(ramp.divisor));
      value = make<arith::AddIOp>(make<arith::MulIOp>(step, constantIndex(ramp.slope)), value);
    }
    return type.isIndex() ? value : make<arith::IndexCastOp>(type, value);
  }
  std::optional<ConstantLaw::Band> band;
  if (axes.size() == 2)
    band = ConstantLaw::band(*data, offset, axes[0], axes[1]);
  if (!band)
    return unknown();
  Value row = kept[numbers[0]], column = kept[numbers[1]],
        inside = constantInt(builder.getI1Type(), 1);
  if (band->high) {
    Value last = make<arith::AddIOp>(row, constantIndex(*band->high));
    inside = make<arith::CmpIOp>(arith::CmpIPredicate::sle, column, last);
  }
  if (band->low) {
    Value first = make<arith::AddIOp>(row, constantIndex(*band->low));
    inside =
        make<arith::AndIOp>(inside, make<arith::CmpIOp>(arith::CmpIPredicate::sge, column, first));
  }
  return make<arith::SelectOp>(inside, scalar(band->inside), scalar(band->outside));
}

Elements::Checked Elements::throughChecks(const ElementOf &result) {
  Checked checked;
  if (auto op = result.tensor.getDefiningOp<linalg::LinalgOp>())
    checked.element = throughLinalg(op, cast<OpResult>(result.tensor).getResultNumber(),
                                    result.indices, &checked);
  return checked;
}

Value Elements::throughLinalg(linalg::LinalgOp op, unsigned result, ArrayRef<Value> indices,
                              Checked *unproved) {
  if (op.getNumLoops() != op.getNumParallelLoops() || !op.hasPureTensorSemantics())
    return {};
  AffineMap out = op.getIndexingMapMatchingResult(op->getResult(result));
  if (!out.isPermutation())
    return {};
  SmallVector<Value> loops(op.getNumLoops());
  for (auto [axis, index] : llvm::zip(out.getResults(), indices))
    loops[cast<AffineDimExpr>(axis).getPosition()] = index;
  IRMapping known;
  for (auto check : op.getBlock()->getOps<cf::AssertOp>()) {
    Value holds = evaluate(check.getArg(), op, loops, known);
    if (holds && matchPattern(holds, m_One()))
      continue;
    if (!holds || !unproved)
      return {};
    unproved->checks.push_back({holds, check.getMsgAttr()});
  }
  return evaluate(op.getBlock()->getTerminator()->getOperand(result), op, loops, known);
}

std::optional<Elements::Reduced> Elements::reduced(const ElementOf &result, ArrayRef<Value> inner) {
  auto op = result.tensor.getDefiningOp<linalg::LinalgOp>();
  if (!op || op.getNumDpsInits() != 1 || op.getNumReductionLoops() != inner.size() ||
      !op.hasPureTensorSemantics())
    return std::nullopt;
  AffineMap out = op.getIndexingMapMatchingResult(op->getResult(0));
  if (!out.isProjectedPermutation())
    return std::nullopt;
  SmallVector<Value> loops(op.getNumLoops());
  for (auto [axis, index] : llvm::zip(out.getResults(), result.indices))
    loops[cast<AffineDimExpr>(axis).getPosition()] = index;
  auto next = inner.begin();
  for (Value &loop : loops) {
    if (loop)
      continue;
    if (next == inner.end())
      return std::nullopt;
    loop = *next++;
  }
  Operation *combine = op.getBlock()->getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_nonnull<arith::AddFOp, arith::AddIOp, arith::MaximumFOp, arith::MaxNumFOp>(combine))
    return std::nullopt;
  bool isSum = isa<arith::AddFOp, arith::AddIOp>(combine);
  BlockArgument sum = op.getBlock()->getArguments().back();
  unsigned own = combine->getOperand(0) == sum ? 1 : 0;
  if (combine->getOperand(1 - own) != sum)
    return std::nullopt;
  auto fill = op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
  if (!fill)
    return std::nullopt;
  Value start = fill.getInputs()[0];
  FloatAttr lowest;
  if (isSum ? !matchPattern(start, m_AnyZeroFloat()) && !matchPattern(start, m_Zero())
            : !matchPattern(start, m_Constant(&lowest)) || !lowest.getValue().isInfinity() ||
                  !lowest.getValue().isNegative())
    return std::nullopt;
  IRMapping known;
  Value element = evaluate(combine->getOperand(own), op, loops, known);
  if (!element)
    return std::nullopt;
  return Reduced{element, isSum};
}

Value Elements::evaluate(Value value, linalg::LinalgOp op, ArrayRef<Value> loops,
                         IRMapping &known) {
  if (Value seen = known.lookupOrNull(value))
    return seen;
  auto remember = [&](Value scalar) {
    if (scalar)
      known.map(value, scalar);
    return scalar;
  };
  Block *body = op.getBlock();
  if (auto arg = dyn_cast<BlockArgument>(value); arg && arg.getOwner() == body) {
    OpOperand &operand = op->getOpOperand(arg.getArgNumber());
    if (!isa<RankedTensorType>(operand.get().getType()))
      return remember(fromOutside(operand.get()));
    SmallVector<Value> indices;
    for (AffineExpr expr : op.getMatchingIndexingMap(&operand).getResults()) {
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        indices.push_back(loops[dim.getPosition()]);
      else if (auto constant = dyn_cast<AffineConstantExpr>(expr))
        indices.push_back(constantIndex(constant.getValue()));
      else
        return {};
    }
    return remember(at(operand.get(), indices));
  }
  Operation *inner = value.getDefiningOp();
  if (!inner || inner->getBlock() != body)
    return isa<ShapedType>(value.getType()) ? Value() : remember(fromOutside(value));
  if (auto index = dyn_cast<linalg::IndexOp>(inner))
    return remember(loops[index.getDim()]);
  if (auto dim = dyn_cast<tensor::DimOp>(inner)) {
    std::optional<int64_t> axis = dim.getConstantIndex();
    if (!axis || dim.getSource().getParentBlock() == body)
      return {};
    return remember(sizeValue(sizes.of(dim.getSource(), *axis)));
  }
  if (inner->getNumRegions() || inner->getNumResults() != 1 ||
      !isa<arith::ArithDialect, math::MathDialect, tensor::TensorDialect>(inner->getDialect()))
    return {};
  SmallVector<Value> operands;
  auto extract = dyn_cast<tensor::ExtractOp>(inner);
  for (Value operand : extract ? ValueRange(extract.getIndices()) : inner->getOperands()) {
    operands.push_back(evaluate(operand, op, loops, known));
    if (!operands.back())
      return {};
  }
  if (extract)
    return remember(at(extract.getTensor(), operands));
  if (isa<tensor::TensorDialect>(inner->getDialect()))
    return {};
  return remember(rebuild(inner, operands));
}

/// One index out of several, outermost first: ((a * sb) + b) * sc + c.
Value Elements::linear(ArrayRef<Value> parts, ArrayRef<AffineExpr> extents) {
  Value sum = constantIndex(0);
  for (auto [part, extent] : llvm::zip(parts, extents)) {
    if (Sizes::asConstant(extent) == 1)
      continue;
    if (matchPattern(sum, m_Zero())) {
      sum = part;
      continue;
    }
    Value size = sizeValue(extent);
    if (!size)
      return {};
    sum = make<arith::AddIOp>(make<arith::MulIOp>(sum, size), part);
  }
  return sum;
}

Value Elements::throughExpand(tensor::ExpandShapeOp op, ArrayRef<Value> indices) {
  SmallVector<Value> inner;
  for (const ReassociationIndices &group : op.getReassociationIndices()) {
    SmallVector<Value> parts;
    SmallVector<AffineExpr> groupSizes;
    for (int64_t axis : group) {
      parts.push_back(indices[axis]);
      groupSizes.push_back(sizes.of(op.getResult(), axis));
    }
    inner.push_back(linear(parts, groupSizes));
    if (!inner.back())
      return {};
  }
  return at(op.getSrc(), inner);
}

Value Elements::throughCollapse(tensor::CollapseShapeOp op, ArrayRef<Value> indices) {
  SmallVector<Value> inner(op.getSrcType().getRank());
  for (auto [group, index] : llvm::zip(op.getReassociationIndices(), indices)) {
    // Split off the innermost axes; the outermost gets what is left.
    SmallVector<int64_t> wide;
    for (int64_t axis : group) {
      if (op.getSrcType().getDimSize(axis) == 1)
        inner[axis] = constantIndex(0);
      else
        wide.push_back(axis);
    }
    Value rest = index;
    while (!wide.empty()) {
      int64_t axis = wide.pop_back_val();
      if (wide.empty()) {
        inner[axis] = rest;
        break;
      }
      Value size = sizeValue(sizes.of(op.getSrc(), axis));
      if (!size)
        return {};
      // x * size + y with y < size splits into x and y.
      auto sum = rest.getDefiningOp<arith::AddIOp>();
      auto product = sum ? sum.getLhs().getDefiningOp<arith::MulIOp>() : arith::MulIOp();
      if (product && product.getRhs() == size &&
          difference(sum.getRhs(), size).high.value_or(0) < 0) {
        inner[axis] = sum.getRhs();
        rest = product.getLhs();
      } else if (auto parts = divide(rest, size)) {
        std::tie(rest, inner[axis]) = *parts;
      } else {
        inner[axis] = make<arith::RemUIOp>(rest, size);
        rest = make<arith::DivUIOp>(rest, size);
      }
    }
  }
  return at(op.getSrc(), inner);
}

Value Elements::throughSlice(tensor::ExtractSliceOp op, ArrayRef<Value> indices) {
  llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<Value> inner;
  unsigned next = 0;
  for (auto [axis, offset, stride] : llvm::enumerate(op.getMixedOffsets(), op.getMixedStrides())) {
    auto scalar = [&](OpFoldResult size) {
      if (std::optional<int64_t> constant = getConstantIntValue(size))
        return constantIndex(*constant);
      return fromOutside(cast<Value>(size));
    };
    Value index = dropped[axis] ? constantIndex(0) : indices[next++];
    inner.push_back(
        make<arith::AddIOp>(make<arith::MulIOp>(index, scalar(stride)), scalar(offset)));
  }
  return at(op.getSource(), inner);
}

/// Slices of one tensor side by side, at equal distances: the element of the first, so many steps
/// on.
Value Elements::throughSlices(tensor::ConcatOp op, ArrayRef<Value> indices) {
  uint64_t axis = op.getDim();
  if (op.getInputs().size() < 2 || !llvm::all_of(op.getInputs(), [&](Value input) {
        return cast<RankedTensorType>(input.getType()).getDimSize(axis) == 1;
      }))
    return {};
  SmallVector<SmallVector<ElementOf>> holders;
  llvm::SetVector<Value> bases;
  for (Value input : op.getInputs()) {
    SmallVector<Value> inner(indices);
    inner[axis] = constantIndex(0);
    holders.emplace_back(sources(at(input, inner)));
    for (const ElementOf &holder : holders.back())
      bases.insert(holder.tensor);
  }
  // The slice that leaves out all padding may have become what was padded.
  auto within = [&](Value base, const ElementOf &holder) -> std::optional<ElementOf> {
    if (holder.tensor == base)
      return holder;
    auto pad = base.getDefiningOp<tensor::PadOp>();
    if (!pad || holder.tensor != pad.getSource())
      return std::nullopt;
    ElementOf moved{base, {}};
    for (auto [index, low] : llvm::zip(holder.indices, pad.getMixedLowPad())) {
      Value before = sizeValue(sizes.of(low));
      if (!before)
        return std::nullopt;
      moved.indices.push_back(make<arith::AddIOp>(index, before));
    }
    return moved;
  };
  for (Value base : bases)
    for (const ElementOf &holder : holders.front()) {
      std::optional<ElementOf> first = within(base, holder);
      SmallVector<int64_t> steps;
      if (!first || !llvm::all_of(llvm::seq<size_t>(1, holders.size()), [&](size_t number) {
            return llvm::any_of(holders[number], [&](const ElementOf &other) {
              std::optional<ElementOf> element = within(base, other);
              return element && isStep(*element, *first, number, steps);
            });
          }))
        continue;
      SmallVector<Value> moved;
      for (auto [start, step] : llvm::zip(first->indices, steps)) {
        Value way = make<arith::MulIOp>(indices[axis], constantIndex(step));
        moved.push_back(make<arith::AddIOp>(start, way));
      }
      return at(base, moved);
    }
  return {};
}

/// Whether `element` is `number` steps from `first`; `steps` are those along each axis, set by the
/// first of them.
bool Elements::isStep(const ElementOf &element, const ElementOf &first, int64_t number,
                      SmallVectorImpl<int64_t> &steps) {
  SmallVector<int64_t> found;
  for (auto [own, start] : llvm::zip(element.indices, first.indices)) {
    Range distance = difference(own, start);
    if (!distance.low || distance.low != distance.high || *distance.low % number != 0)
      return false;
    found.push_back(*distance.low / number);
  }
  if (number == 1)
    steps.assign(found);
  return ArrayRef<int64_t>(steps) == ArrayRef<int64_t>(found);
}

Value Elements::throughConcat(tensor::ConcatOp op, ArrayRef<Value> indices) {
  uint64_t axis = op.getDim();
  Value index = indices[axis];
  AffineExpr begin = sizes.constant(0);
  for (Value input : op.getInputs()) {
    AffineExpr end = begin + sizes.of(input, axis);
    Value first = sizeValue(begin), last = sizeValue(end);
    if (!first || !last || difference(index, first).low.value_or(-1) < 0)
      return throughSlices(op, indices);
    if (difference(index, last).high.value_or(0) < 0) {
      SmallVector<Value> inner(indices);
      inner[axis] = make<arith::SubIOp>(index, first);
      return at(input, inner);
    }
    begin = end;
  }
  return throughSlices(op, indices);
}

/// Positions that lie in the source, or in the padding, for all values of the free indices.
Value Elements::throughPad(tensor::PadOp op, ArrayRef<Value> indices) {
  Value fill = op.getConstantPaddingValue();
  if (!fill)
    return {};
  SmallVector<Value> inner;
  bool known = true;
  for (auto [axis, index] : llvm::enumerate(indices)) {
    Value low = sizeValue(sizes.of(op.getMixedLowPad()[axis]));
    Value extent = sizeValue(sizes.of(op.getSource(), axis));
    if (!low || !extent)
      return {};
    inner.push_back(make<arith::SubIOp>(index, low));
    Range fromStart = difference(inner.back(), constantIndex(0));
    Range fromEnd = difference(inner.back(), extent);
    if (fromStart.high.value_or(0) < 0 || fromEnd.low.value_or(-1) >= 0)
      return fromOutside(fill);
    known &= fromStart.low.value_or(-1) >= 0 && fromEnd.high.value_or(0) < 0;
  }
  return known ? at(op.getSource(), inner) : Value();
}

} // namespace attune
