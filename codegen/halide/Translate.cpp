#include "attune/codegen/halide/Access.h"
#include "attune/codegen/halide/Funcs.h"
#include "attune/codegen/halide/Support.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen::halide {
namespace {

/// Iterations up to which a reduction loop is unrolled, and lanes of partial results per vector.
constexpr int64_t kShortLoop = 7;

class Translator {
public:
  Translator(const Region &region, const Plan &plan) : region(region), plan(plan) {}

  Funcs run() {
    addArguments();
    Block &block = region.body();
    for (Operation &op : block.without_terminator())
      addOp(op);
    for (Value result : block.getTerminator()->getOperands())
      addResult(result);
    if (plan.onDevice)
      for (const auto &entry : plan.roots)
        for (int64_t axis = 0; axis < typeOf(entry.first).getRank(); ++axis)
          funcs.computed[entry.first].extents.push_back(extent(entry.first, axis));
    return std::move(funcs);
  }

private:
  const Region &region;
  const Plan &plan;
  Funcs funcs;
  llvm::DenseMap<Value, hl::Expr> scalars;
  unsigned nextName = 0;

  std::string name(llvm::StringRef stem) { return (stem + llvm::Twine(nextName++)).str(); }

  static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

  Computed make(llvm::StringRef stem, Value value) {
    Computed computed;
    computed.func = hl::Func(name(stem));
    for (int64_t axis = 0; axis < typeOf(value).getRank(); ++axis)
      computed.axes.emplace_back("a" + std::to_string(axis));
    return computed;
  }
  template <typename T> static std::vector<T> reversed(std::vector<T> list) {
    std::reverse(list.begin(), list.end());
    return list;
  }
  static Exprs asExprs(const std::vector<hl::Var> &axes) { return {axes.begin(), axes.end()}; }

  void addArguments() {
    for (unsigned i = region.inputs; i < region.arguments().size(); ++i) {
      funcs.dims.emplace_back("dim" + std::to_string(i - region.inputs));
      scalars[region.arguments()[i]] = funcs.dims.back();
    }
    for (unsigned i = 0; i < region.inputs; ++i) {
      Value input = region.arguments()[i];
      RankedTensorType type = typeOf(input);
      hl::ImageParam image(storedType(type.getElementType()), type.getRank(),
                           "in" + std::to_string(i));
      hl::Expr stride = 1;
      for (int64_t axis = type.getRank() - 1; axis >= 0; --axis) {
        image.dim(type.getRank() - 1 - axis).set_bounds(0, extent(input, axis)).set_stride(stride);
        stride = hl::Internal::simplify(stride * extent(input, axis));
      }
      funcs.inputs.push_back(image);
      addInputReader(input, image);
    }
  }

  Exprs clampedAbove(Value tensor, Exprs at) {
    for (size_t axis = 0; axis < at.size(); ++axis) {
      hl::Expr index = axis + 1 == at.size() ? hl::likely(at[axis]) : at[axis];
      at[axis] = hl::min(index, extent(tensor, axis) - 1);
    }
    return at;
  }

  /// What tiles read beyond the end of an axis does not count, but must be there.
  void addInputReader(Value input, const hl::ImageParam &image) {
    Computed computed = make("read", input);
    Exprs at = asExprs(computed.axes);
    if (plan.clampsInputs)
      at = clampedAbove(input, at);
    hl::Expr value = image(reversed(at));
    if (typeOf(input).getElementType().isInteger(1))
      value = value != hl::cast<uint8_t>(0);
    computed.func(reversed(computed.axes)) = value;
    funcs.computed[input] = computed;
  }

  //===-- Sizes -------------------------------------------------------------------------------===//

  hl::Expr index(OpFoldResult value) {
    if (std::optional<int64_t> constant = getConstantIntValue(value))
      return static_cast<int32_t>(*constant);
    return scalar(cast<Value>(value));
  }

  hl::Expr extent(Value tensor, int64_t axis) {
    RankedTensorType type = typeOf(tensor);
    if (!type.isDynamicDim(axis))
      return static_cast<int32_t>(type.getDimSize(axis));
    if (auto arg = dyn_cast<BlockArgument>(tensor))
      return funcs.dims[region.dimOf(arg.getArgNumber(), axis)];
    Operation *op = tensor.getDefiningOp();
    if (auto empty = dyn_cast<tensor::EmptyOp>(op))
      return index(empty.getMixedSizes()[axis]);
    if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
      return extent(destination.getTiedOpOperand(cast<OpResult>(tensor))->get(), axis);
    if (auto pad = dyn_cast<tensor::PadOp>(op))
      return extent(pad.getSource(), axis) + index(pad.getMixedLowPad()[axis]) +
             index(pad.getMixedHighPad()[axis]);
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
      llvm::SmallBitVector dropped = slice.getDroppedDims();
      int64_t source = 0;
      for (int64_t kept = 0;; ++source)
        if (!dropped.test(source) && kept++ == axis)
          break;
      return index(slice.getMixedSizes()[source]);
    }
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
      return index(expand.getMixedOutputShape()[axis]);
    if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
      hl::Expr product = 1;
      SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
      for (int64_t part : groups[axis])
        product = product * extent(collapse.getSrc(), part);
      return product;
    }
    if (auto cast = dyn_cast<tensor::CastOp>(op))
      return extent(cast.getSource(), axis);
    throw hl::CompileError("an extent of `" + op->getName().getStringRef().str() +
                           "` is not known");
  }

  hl::Expr loopExtent(linalg::GenericOp op, unsigned loop) {
    for (OpOperand &operand : op->getOpOperands())
      for (auto [axis, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
        if (expr == getAffineDimExpr(loop, op.getContext()))
          return extent(operand.get(), axis);
    throw hl::CompileError("a loop of `linalg.generic` has no extent");
  }

  hl::Expr scalar(Value value) {
    auto found = scalars.find(value);
    if (found != scalars.end())
      return found->second;
    throw hl::CompileError("a size is not known");
  }

  //===-- Operators ---------------------------------------------------------------------------===//

  void addOp(Operation &op) {
    if (auto generic = dyn_cast<linalg::GenericOp>(op))
      return generic.getNumReductionLoops() == 0 ? addMap(generic) : addReduction(generic);
    if (auto fill = dyn_cast<linalg::FillOp>(op))
      return addPure(fill.getResult(0), [&](const Exprs &) { return scalar(fill.getInputs()[0]); });
    if (isView(&op))
      return addView(op);
    if (auto dim = dyn_cast<tensor::DimOp>(op)) {
      scalars[dim.getResult()] = extent(dim.getSource(), *dim.getConstantIndex());
      return;
    }
    if (auto constant = dyn_cast<arith::ConstantOp>(op);
        constant && isa<ShapedType>(constant.getType())) {
      auto splat = cast<SplatElementsAttr>(constant.getValue());
      Type element = cast<ShapedType>(constant.getType()).getElementType();
      return addPure(constant.getResult(), [&](const Exprs &) {
        return translateConstant(splat.getSplatValue<Attribute>(), element);
      });
    }
    if (auto list = dyn_cast<tensor::FromElementsOp>(op))
      return addPure(list.getResult(), [&](const Exprs &place) { return elementOf(list, place); });
    if (isa<tensor::EmptyOp>(op))
      return addPure(op.getResult(0), [&](const Exprs &) {
        return hl::Internal::make_zero(halideType(getElementTypeOrSelf(op.getResult(0).getType())));
      });
    Exprs operands;
    for (Value operand : op.getOperands())
      operands.push_back(scalar(operand));
    scalars[op.getResult(0)] = translateScalar(op, operands);
  }

  /// A value whose elements follow from their place. Roots with tiles that may end beyond the
  /// result get a copy between.
  void addPure(Value result, llvm::function_ref<hl::Expr(const Exprs &)> element) {
    Computed computed = make("view", result);
    hl::Expr value = element(asExprs(computed.axes));
    define(result, computed, value);
    funcs.computed[result] = computed;
  }

  void define(Value result, Computed &computed, hl::Expr value) {
    auto stage = plan.stages.find(result);
    bool root = stage != plan.stages.end() && stage->second.place == Place::Root;
    std::vector<hl::Var> axes = reversed(computed.axes);
    if (root && !plan.onDevice && stage->second.host == result && !stage->second.exact) {
      computed.inner = hl::Func(name("inner"));
      computed.inner(axes) = value;
      value = computed.inner(axes);
    }
    if (value.type().is_bool())
      value = hl::cast<uint8_t>(value);
    computed.func(axes) = value;
  }

  hl::Expr elementOf(tensor::FromElementsOp list, const Exprs &place) {
    hl::Expr number = 0;
    for (auto [axis, extent] : llvm::enumerate(list.getType().getShape()))
      number = number * static_cast<int32_t>(extent) + place[axis];
    hl::Expr value = scalar(list.getElements().back());
    for (int32_t i = static_cast<int32_t>(list.getElements().size()) - 1; i-- > 0;)
      value = hl::select(number == i, scalar(list.getElements()[i]), value);
    return value;
  }

  hl::Expr read(Value tensor, Exprs at) {
    // Roots on a device have their exact extents, as inputs do.
    if (plan.onDevice && plan.clampsInputs && plan.roots.count(tensor))
      at = clampedAbove(tensor, std::move(at));
    hl::Expr value = funcs.computed.find(tensor)->second.func(reversed(at));
    if (!isa<BlockArgument>(tensor) && typeOf(tensor).getElementType().isInteger(1))
      return value != hl::cast<uint8_t>(0);
    return value;
  }

  /// A place that is computed has no bounds that Halide could find.
  Exprs gathered(tensor::ExtractOp extract, Exprs at) {
    if (plan.onDevice)
      for (auto [axis, index] : llvm::enumerate(at))
        index = hl::clamp(index, 0, extent(extract.getTensor(), axis) - 1);
    return at;
  }

  Exprs at(AffineMap map, const Exprs &loops) {
    Exprs result;
    for (AffineExpr expr : map.getResults())
      result.push_back(translateAffine(expr, loops, map.getNumDims()));
    return result;
  }

  /// The values that the body yields, but for operations in `skip`, at a place in the loops.
  Exprs evaluate(linalg::GenericOp op, const Exprs &loops, const Exprs &old, Operation *skip) {
    llvm::DenseMap<Value, hl::Expr> values;
    Block *body = op.getBody();
    for (OpOperand &operand : op->getOpOperands()) {
      BlockArgument arg = op.getMatchingBlockArgument(&operand);
      if (arg.use_empty())
        continue;
      if (op.isDpsInit(&operand) && !old.empty())
        values[arg] = old[operand.getOperandNumber() - op.getNumDpsInputs()];
      else if (!op.isDpsInit(&operand) || !skip)
        values[arg] = isa<RankedTensorType>(operand.get().getType())
                          ? read(operand.get(), at(op.getMatchingIndexingMap(&operand), loops))
                          : scalar(operand.get());
    }
    auto get = [&](Value value) {
      auto found = values.find(value);
      return found != values.end() ? found->second : scalar(value);
    };
    for (Operation &inner : body->without_terminator()) {
      if (&inner == skip)
        continue;
      Exprs operands;
      for (Value operand : inner.getOperands())
        if (!isa<RankedTensorType>(operand.getType()))
          operands.push_back(get(operand));
      if (auto loop = dyn_cast<linalg::IndexOp>(inner))
        values[loop.getResult()] = loops[loop.getDim()];
      else if (auto extract = dyn_cast<tensor::ExtractOp>(inner))
        values[extract.getResult()] = read(extract.getTensor(), gathered(extract, operands));
      else
        values[inner.getResult(0)] = translateScalar(inner, operands);
    }
    Exprs results;
    if (skip) {
      BlockArgument before = body->getArguments().back();
      Value next = skip->getOperand(0) == before ? skip->getOperand(1) : skip->getOperand(0);
      return {get(next)};
    }
    for (Value value : body->getTerminator()->getOperands())
      results.push_back(get(value));
    return results;
  }

  /// The loops of `op` as the axes of its result.
  Exprs loopsOf(linalg::GenericOp op, OpOperand &init, const std::vector<hl::Var> &axes) {
    Exprs loops(op.getNumLoops());
    AffineMap out = op.getMatchingIndexingMap(&init);
    for (auto [axis, expr] : llvm::enumerate(out.getResults()))
      loops[cast<AffineDimExpr>(expr).getPosition()] = axes[axis];
    return loops;
  }

  void addMap(linalg::GenericOp op) {
    for (auto [number, result] : llvm::enumerate(op->getResults())) {
      OpOperand &init = *op.getDpsInitOperand(number);
      Computed computed = make("map", result);
      Exprs values = evaluate(op, loopsOf(op, init, computed.axes), {}, nullptr);
      define(result, computed, values[number]);
      funcs.computed[result] = computed;
    }
  }

  void addReduction(linalg::GenericOp op) {
    Value result = op->getResult(0);
    const Stage &stage = plan.stages.find(result)->second;
    OpOperand &init = *op.getDpsInitOperand(0);
    Computed computed = make("sum", result);
    Exprs loops = loopsOf(op, init, computed.axes);
    if (stage.reduction == Reduction::Row)
      addRow(op, stage, computed, loops);
    else
      addSums(op, result, init, computed, loops);
    funcs.computed[result] = computed;
  }

  hl::RDom domainOf(linalg::GenericOp op, Exprs &loops, Computed *computed, int64_t laneLoop,
                    const hl::Expr &laneExtent) {
    std::vector<unsigned> order;
    for (auto [loop, type] : llvm::enumerate(op.getIteratorTypesArray()))
      if (type == utils::IteratorType::reduction)
        order.push_back(loop);
    std::reverse(order.begin(), order.end());
    std::vector<hl::Range> ranges;
    for (unsigned loop : order) {
      hl::Expr most = int64_t(loop) == laneLoop ? laneExtent : loopExtent(op, loop);
      ranges.emplace_back(0, most);
      int64_t known = op.getStaticLoopRanges()[loop];
      if (computed)
        computed->shortLoop.push_back(!ShapedType::isDynamic(known) && known <= kShortLoop);
    }
    hl::RDom domain(ranges);
    for (auto [place, loop] : llvm::enumerate(order))
      loops[loop] = hl::Expr(domain[place]);
    return domain;
  }

  void addSums(linalg::GenericOp op, Value result, OpOperand &init, Computed &computed,
               Exprs &loops) {
    std::vector<hl::Var> axes = reversed(computed.axes);
    computed.sums = hl::Func(name("sums"));
    hl::Expr first = read(init.get(), asExprs(computed.axes));
    computed.domain = domainOf(op, loops, &computed, -1, hl::Expr());
    bool boolean = first.type().is_bool();
    auto stored = [&](hl::Expr value) { return boolean ? hl::cast<uint8_t>(value) : value; };
    computed.sums(axes) = stored(first);
    hl::Expr old = computed.sums(axes);
    if (boolean)
      old = old != hl::cast<uint8_t>(0);
    computed.sums(axes) = stored(evaluate(op, loops, {old}, nullptr).front());
    hl::Expr value = computed.sums(axes);
    if (boolean)
      value = value != hl::cast<uint8_t>(0);
    define(result, computed, value);
  }

  /// Lanes hold partial results of every `lanes`-th element; the rest of the row comes at the end.
  void addRow(linalg::GenericOp op, const Stage &stage, Computed &computed, const Exprs &loops) {
    Operation &combiner = *getCombiner(op);
    OpOperand &init = *op.getDpsInitOperand(0);
    std::vector<hl::Var> axes = reversed(computed.axes);
    hl::Expr row = loopExtent(op, stage.laneLoop);
    int64_t known = op.getStaticLoopRanges()[stage.laneLoop];
    int64_t lanes = stage.lanes * (ShapedType::isDynamic(known) ? 2 : known >= 256 ? 4 : 2);
    while (!ShapedType::isDynamic(known) && lanes > stage.lanes && lanes > known)
      lanes /= 2;
    computed.partialLanes = lanes;
    computed.lane = hl::Var("lane");
    computed.partial = hl::Func(name("partial"));
    std::vector<hl::Var> withLane(axes);
    withLane.insert(withLane.begin(), computed.lane);
    hl::Expr perLane = static_cast<int32_t>(lanes), whole = row / perLane;

    Exprs inLanes = loops;
    computed.domain = domainOf(op, inLanes, nullptr, stage.laneLoop, whole);
    inLanes[stage.laneLoop] = inLanes[stage.laneLoop] * perLane + computed.lane;
    computed.partial(withLane) = neutralElement(combiner);
    computed.partial(withLane) =
        combine(combiner, computed.partial(withLane), evaluate(op, inLanes, {}, &combiner).front());

    bool root = stage.place == Place::Root;
    hl::Func rows = root ? computed.inner = hl::Func(name("rows")) : computed.func;
    bool boolean = typeOf(op->getResult(0)).getElementType().isInteger(1);
    auto stored = [&](hl::Expr value) { return boolean ? hl::cast<uint8_t>(value) : value; };
    auto old = [&]() -> hl::Expr {
      hl::Expr value = rows(axes);
      return boolean ? value != hl::cast<uint8_t>(0) : value;
    };
    hl::Func folded = foldVectors(computed, withLane, combiner, stage.lanes);
    rows(axes) = stored(combine(combiner, read(init.get(), asExprs(computed.axes)),
                                foldLanes(folded, axes, combiner, 0, stage.lanes)));
    if (ShapedType::isDynamic(known) || known % lanes != 0) {
      Exprs rest = loops;
      (void)domainOf(op, rest, nullptr, stage.laneLoop, row % perLane);
      rest[stage.laneLoop] = whole * perLane + rest[stage.laneLoop];
      rows(axes) = stored(combine(combiner, old(), evaluate(op, rest, {}, &combiner).front()));
    }
    if (root)
      computed.func(axes) = rows(axes);
  }

  /// Partial results of several vectors in the lanes of one.
  hl::Func foldVectors(Computed &computed, const std::vector<hl::Var> &withLane,
                       Operation &combiner, int64_t lanes) {
    if (computed.partialLanes == lanes)
      return computed.partial;
    computed.folded = hl::Func(name("folded"));
    hl::Expr sum;
    for (int64_t first = 0; first < computed.partialLanes; first += lanes) {
      Exprs at(withLane.begin(), withLane.end());
      at.front() = at.front() + static_cast<int32_t>(first);
      hl::Expr next = computed.partial(at);
      sum = sum.defined() ? combine(combiner, sum, next) : next;
    }
    computed.folded(withLane) = sum;
    return computed.folded;
  }

  /// Pairwise: a chain would wait for every step.
  hl::Expr foldLanes(const hl::Func &lanes, const std::vector<hl::Var> &axes, Operation &combiner,
                     int64_t first, int64_t count) {
    if (count > 1)
      return combine(combiner, foldLanes(lanes, axes, combiner, first, count / 2),
                     foldLanes(lanes, axes, combiner, first + count / 2, count / 2));
    Exprs at{hl::Expr(static_cast<int32_t>(first))};
    at.insert(at.end(), axes.begin(), axes.end());
    return lanes(at);
  }

  //===-- Views -------------------------------------------------------------------------------===//

  void addView(Operation &op) {
    Value result = op.getResult(0);
    addPure(result, [&](const Exprs &place) -> hl::Expr {
      if (auto pad = dyn_cast<tensor::PadOp>(op))
        return padded(pad, place);
      if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
        return sliced(slice, place);
      if (auto insert = dyn_cast<tensor::InsertSliceOp>(op))
        return inserted(insert, place);
      if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
        Exprs from;
        for (const ReassociationIndices &group : expand.getReassociationIndices()) {
          hl::Expr at = 0;
          for (int64_t axis : group)
            at = at * extent(result, axis) + place[axis];
          from.push_back(hl::Internal::simplify(at));
        }
        return read(expand.getSrc(), from);
      }
      if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
        return collapsed(collapse, place);
      return read(op.getOperand(0), place);
    });
  }

  hl::Expr padded(tensor::PadOp pad, const Exprs &place) {
    Exprs from;
    hl::Expr inside;
    for (auto [axis, low] : llvm::enumerate(pad.getMixedLowPad())) {
      hl::Expr at = place[axis] - index(low);
      if (!isZeroInteger(low) || !isZeroInteger(pad.getMixedHighPad()[axis])) {
        hl::Expr size = extent(pad.getSource(), axis);
        hl::Expr here = at >= 0 && at < size;
        inside = inside.defined() ? inside && here : here;
        at = hl::clamp(hl::likely(at), 0, size - 1);
      }
      from.push_back(at);
    }
    hl::Expr value = read(pad.getSource(), from);
    if (!inside.defined())
      return value;
    Attribute constant;
    Value padding = pad.getConstantPaddingValue();
    hl::Expr outside = matchPattern(padding, m_Constant(&constant))
                           ? translateConstant(constant, padding.getType())
                           : scalar(padding);
    return hl::select(inside, hl::likely(value), outside);
  }

  hl::Expr sliced(tensor::ExtractSliceOp slice, const Exprs &place) {
    Exprs from;
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    unsigned next = 0;
    for (int64_t axis = 0; axis < slice.getSourceType().getRank(); ++axis) {
      hl::Expr at = index(slice.getMixedOffsets()[axis]);
      if (!dropped.test(axis))
        at = at + place[next++] * index(slice.getMixedStrides()[axis]);
      from.push_back(at);
    }
    return read(slice.getSource(), from);
  }

  hl::Expr inserted(tensor::InsertSliceOp insert, const Exprs &place) {
    Exprs from;
    llvm::SmallBitVector dropped = insert.getDroppedDims();
    hl::Expr inside = hl::Internal::make_bool(true);
    for (int64_t axis = 0; axis < insert.getDestType().getRank(); ++axis) {
      hl::Expr size = index(insert.getMixedSizes()[axis]);
      hl::Expr at = place[axis] - index(insert.getMixedOffsets()[axis]);
      inside = inside && at >= 0 && at < size;
      if (!dropped.test(axis))
        from.push_back(hl::clamp(at, 0, size - 1));
    }
    return hl::select(hl::Internal::simplify(inside), read(insert.getSource(), from),
                      read(insert.getDest(), place));
  }

  hl::Expr collapsed(tensor::CollapseShapeOp collapse, const Exprs &place) {
    Exprs from(collapse.getSrcType().getRank());
    for (auto [axis, group] : llvm::enumerate(collapse.getReassociationIndices())) {
      hl::Expr rest = place[axis];
      for (size_t i = group.size(); i-- > 0;) {
        hl::Expr size = extent(collapse.getSrc(), group[i]);
        bool unit = hl::Internal::is_const_one(hl::Internal::simplify(size));
        from[group[i]] = unit ? hl::Expr(0) : i == 0 ? rest : rest % size;
        if (!unit)
          rest = rest / size;
      }
      // With all extents 1 but one, no remainder is needed.
      SmallVector<int64_t> moving;
      for (int64_t part : group)
        if (collapse.getSrcType().getDimSize(part) != 1)
          moving.push_back(part);
      if (moving.size() == 1)
        from[moving.front()] = place[axis];
    }
    return read(collapse.getSrc(), from);
  }

  void addResult(Value result) {
    hl::Func func = funcs.computed.find(result)->second.func;
    auto out = func.output_buffer();
    int64_t rank = typeOf(result).getRank();
    hl::Expr stride = 1;
    for (int64_t axis = rank - 1; axis >= 0; --axis) {
      out.dim(rank - 1 - axis).set_bounds(0, extent(result, axis)).set_stride(stride);
      stride = hl::Internal::simplify(stride * extent(result, axis));
    }
    funcs.results.push_back(func);
  }
};

} // namespace

Funcs translate(const Region &region, const Plan &plan) { return Translator(region, plan).run(); }

} // namespace attune::codegen::halide
