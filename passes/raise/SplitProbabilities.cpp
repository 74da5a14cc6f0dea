#include "attune/passes/raise/SplitProbabilities.h"
#include "attune/passes/raise/LinearProduct.h"
#include "attune/passes/raise/Region.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace attune {
namespace {

class Split {
public:
  Split(func::FuncOp func, const Contraction &output, unsigned side)
      : sizes(func), elements(sizes), products(sizes, elements), output(output), side(side) {}

  bool match();
  SmallVector<Operation *> build();

private:
  /// factor * prod(factors) * one probability.
  struct Term {
    Value load;
    double factor;
    SmallVector<Value> factors;
    Value weights;    ///< holds the probability as the weights were held, or null
    int64_t part = 0; ///< otherwise, which part of the softmax it is
  };

  bool isProbability(Value scalar);
  bool collect(Value scalar, double factor, ArrayRef<Value> factors);
  bool matchParts();
  std::optional<std::pair<Value, int64_t>> stepOf(Value index);
  Value repeated(OpBuilder &builder, Value values, int64_t axis);
  Operation *whole(OpBuilder &builder, SmallVector<AffineExpr> &axes);
  void combine(OpBuilder &builder, ArrayRef<Value> results, AffineMap map);

  Sizes sizes;
  Elements elements;
  Products products;
  Contraction output;
  unsigned side;
  SmallVector<Value> indices;
  Value column;
  SmallVector<Term> terms;
  /// The axis of the softmax that its parts lie along, and the index which that axis has beside the
  /// part (`index * count + part`), or null.
  int64_t partAxis = -1;
  Value joined;
};

bool Split::isProbability(Value scalar) {
  std::optional<ElementOf> element = elements.load(scalar);
  return element && element->tensor && element->tensor.getDefiningOp<linalg::SoftmaxOp>();
}

bool Split::match() {
  Value tensor = output.operands[side];
  indices = elements.addIndices(tensor);
  for (auto [axis, expr] : llvm::enumerate(output.maps[side].getResults()))
    if (!output.resultMap.isFunctionOfDim(cast<AffineDimExpr>(expr).getPosition())) {
      if (column)
        return false;
      column = indices[axis];
    }
  if (!column || !collect(elements.at(tensor, indices), 1, {}) || terms.size() < 2)
    return false;
  llvm::SmallDenseSet<Value> softmaxes;
  for (Term &term : terms) {
    softmaxes.insert(elements.load(term.load)->tensor);
    term.weights = elements.tensorAt(term.load, indices, cast<RankedTensorType>(tensor.getType()));
  }
  if (softmaxes.size() == terms.size())
    return llvm::all_of(terms, [](const Term &term) { return bool(term.weights); });
  return softmaxes.size() == 1 && matchParts();
}

/// Adds the terms of a sum, each with these factors.
bool Split::collect(Value scalar, double factor, ArrayRef<Value> factors) {
  Product product = products.flatten(scalar);
  if (!product.conditions.empty())
    return false;
  SmallVector<Value> all(factors);
  Value own;
  for (Value part : product.factors) {
    if (!elements.depends(part, column)) {
      all.push_back(part);
      continue;
    }
    if (own)
      return false;
    own = part;
  }
  if (!own)
    return false;
  factor *= product.factor;
  if (isProbability(own)) {
    terms.push_back({own, factor, all, {}, 0});
    return true;
  }
  Operation *op = own.getDefiningOp();
  if (!isa_and_nonnull<arith::AddFOp, arith::SubFOp>(op))
    return false;
  return collect(op->getOperand(0), factor, all) &&
         collect(op->getOperand(1), isa<arith::SubFOp>(op) ? -factor : factor, all);
}

/// `index * step + part` as the index and the part, where the step is the number of terms; a part
/// alone has no index.
std::optional<std::pair<Value, int64_t>> Split::stepOf(Value position) {
  APInt constant;
  if (matchPattern(position, m_ConstantInt(&constant)))
    return std::pair(Value(), constant.getSExtValue());
  llvm::SetVector<Value> free = elements.freeIndices(position);
  if (free.size() != 1 || elements.cost(position) > 2)
    return std::nullopt;
  int64_t at[3];
  for (int64_t n = 0; n < 3; ++n) {
    Value index = elements.constantIndex(n);
    if (!matchPattern(substitute(elements, position, free[0], index), m_ConstantInt(&constant)))
      return std::nullopt;
    at[n] = constant.getSExtValue();
  }
  int64_t count = terms.size();
  if (at[1] - at[0] != count || at[2] - at[1] != count)
    return std::nullopt;
  return std::pair(free[0], at[0]);
}

/// All terms read one softmax, at indices that differ along one axis.
bool Split::matchParts() {
  ElementOf first = *elements.load(terms[0].load);
  llvm::SmallDenseSet<int64_t> parts;
  for (Term &term : terms) {
    ElementOf element = *elements.load(term.load);
    for (auto [axis, index] : llvm::enumerate(element.indices)) {
      if (llvm::is_contained(indices, index)) {
        if (index != first.indices[axis])
          return false;
        continue;
      }
      std::optional<std::pair<Value, int64_t>> step = stepOf(index);
      bool isFirst = &term == &terms[0];
      if (!step || (isFirst ? partAxis >= 0 : partAxis != int64_t(axis) || joined != step->first))
        return false;
      partAxis = axis;
      joined = step->first;
      term.part = step->second;
    }
    parts.insert(term.part);
  }
  int64_t count = terms.size();
  if (partAxis < 0 || int64_t(parts.size()) != count)
    return false;
  AffineExpr extent = joined ? elements.extentOf(joined) * count : sizes.constant(count);
  // Every index of the weights is that of one axis.
  for (Value index : indices)
    if (index != joined && llvm::count(first.indices, index) != 1)
      return false;
  return sizes.equal(sizes.of(first.tensor, partAxis), extent) &&
         llvm::all_of(parts, [&](int64_t part) { return part >= 0 && part < count; });
}

/// Each slice of the axis as often as there are parts.
Value Split::repeated(OpBuilder &builder, Value values, int64_t axis) {
  Location loc = output.op.getLoc();
  auto type = cast<RankedTensorType>(values.getType());
  SmallVector<OpFoldResult> shape = tensor::getMixedSizes(builder, loc, values);
  shape.insert(shape.begin() + axis + 1, builder.getIndexAttr(terms.size()));
  Value init = tensor::EmptyOp::create(builder, loc, shape, type.getElementType());
  Value copies =
      linalg::BroadcastOp::create(builder, loc, values, init, ArrayRef{axis + 1})->getResult(0);
  SmallVector<ReassociationIndices> groups;
  for (int64_t n = 0; n < type.getRank(); ++n) {
    int64_t at = n + (n > axis);
    groups.push_back(n == axis ? ReassociationIndices{at, at + 1} : ReassociationIndices{at});
  }
  return tensor::CollapseShapeOp::create(builder, loc, copies, groups);
}

/// The contraction of the whole softmax with the values. `axes` are the loops of the replaced
/// result that its axes run over; that of the parts is null where it is no index of the weights.
Operation *Split::whole(OpBuilder &builder, SmallVector<AffineExpr> &axes) {
  Location loc = output.op.getLoc();
  MLIRContext *context = builder.getContext();
  ElementOf element = *elements.load(terms[0].load);
  auto type = cast<RankedTensorType>(element.tensor.getType());
  Value values = output.operands[1 - side];
  AffineMap valuesMap = output.maps[1 - side];
  unsigned rank = type.getRank(), loops = rank;
  // Loops of the new contraction for those of the old one.
  SmallVector<AffineExpr> loopOf(valuesMap.getNumDims());
  SmallVector<utils::IteratorType> kinds(rank, utils::IteratorType::parallel);
  SmallVector<AffineExpr> resultExprs;
  SmallVector<OpFoldResult> shape;
  for (int64_t axis = 0; axis < rank; ++axis) {
    Value index = axis == partAxis ? joined : element.indices[axis];
    AffineExpr old;
    if (index)
      old = output.maps[side].getResult(llvm::find(indices, index) - indices.begin());
    if (old)
      loopOf[cast<AffineDimExpr>(old).getPosition()] = getAffineDimExpr(axis, context);
    if (index == column) {
      kinds[axis] = utils::IteratorType::reduction;
      continue;
    }
    axes.push_back(old);
    resultExprs.push_back(getAffineDimExpr(axis, context));
    shape.push_back(tensor::getMixedSize(builder, loc, element.tensor, axis));
  }
  SmallVector<AffineExpr> valueExprs;
  for (int64_t axis = 0; axis < int64_t(valuesMap.getNumResults()); ++axis) {
    AffineExpr old = valuesMap.getResult(axis);
    AffineExpr &own = loopOf[cast<AffineDimExpr>(old).getPosition()];
    if (!own) {
      own = getAffineDimExpr(loops++, context);
      kinds.push_back(utils::IteratorType::parallel);
      axes.push_back(old);
      resultExprs.push_back(own);
      shape.push_back(tensor::getMixedSize(builder, loc, values, axis));
    } else if (joined && own == getAffineDimExpr(partAxis, context)) {
      values = repeated(builder, values, axis);
    }
    valueExprs.push_back(own);
  }
  auto result = cast<RankedTensorType>(output.result().getType());
  Value empty = tensor::EmptyOp::create(builder, loc, shape, result.getElementType());
  Value zero =
      arith::ConstantOp::create(builder, loc, builder.getZeroAttr(result.getElementType()));
  Value init = linalg::FillOp::create(builder, loc, zero, empty)->getResult(0);
  AffineMap maps[] = {AffineMap::getMultiDimIdentityMap(rank, context),
                      AffineMap::get(loops, 0, valueExprs, context),
                      AffineMap::get(loops, 0, resultExprs, context)};
  maps[0] = AffineMap::get(loops, 0, maps[0].getResults(), context);
  return linalg::ContractOp::create(builder, loc, TypeRange{init.getType()},
                                    ValueRange{element.tensor, values}, ValueRange{init},
                                    builder.getAffineMapArrayAttr(maps));
}

/// The sum of the terms' results, at the loops that `map` gives, in place of the old result.
void Split::combine(OpBuilder &builder, ArrayRef<Value> results, AffineMap map) {
  Location loc = output.op.getLoc();
  auto type = cast<RankedTensorType>(output.result().getType());
  RegionBuilder region(elements);
  for (const Term &term : terms)
    for (Value factor : term.factors)
      region.plan(factor);
  Value init = output.op.getDpsInits()[0];
  SmallVector<AffineMap> maps(results.size(), map);
  maps.push_back(builder.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> kinds(type.getRank(), utils::IteratorType::parallel);
  auto body = [&](OpBuilder &b, Location loc, ValueRange arguments) {
    IRMapping places;
    for (auto [index, loop] : llvm::zip(indices, output.maps[side].getResults()))
      if (std::optional<unsigned> axis = output.resultMap.getResultPosition(loop))
        places.map(index, linalg::IndexOp::create(b, loc, *axis));
    region.start(b, places, region.captures());
    Type element = type.getElementType();
    Value sum;
    for (auto [term, argument] : llvm::zip(terms, arguments)) {
      Value result = argument;
      Value constant = arith::ConstantOp::create(b, loc, b.getFloatAttr(element, term.factor));
      if (term.factor != 1)
        result = arith::MulFOp::create(b, loc, result, constant);
      for (Value factor : term.factors) {
        Value emitted = region.emit(factor);
        if (emitted.getType().getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth())
          emitted = arith::ExtFOp::create(b, loc, element, emitted);
        else if (emitted.getType() != element)
          emitted = arith::TruncFOp::create(b, loc, element, emitted);
        result = arith::MulFOp::create(b, loc, result, emitted);
      }
      sum = sum ? arith::AddFOp::create(b, loc, sum, result).getResult() : result;
    }
    linalg::YieldOp::create(b, loc, sum);
  };
  Value empty = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, init),
                                        type.getElementType());
  Value sum =
      linalg::GenericOp::create(builder, loc, empty.getType(), results, empty, maps, kinds, body)
          .getResult(0);
  if (sum.getType() != type)
    sum = tensor::CastOp::create(builder, loc, type, sum);
  output.result().replaceAllUsesWith(sum);
}

SmallVector<Operation *> Split::build() {
  OpBuilder builder(output.op);
  Location loc = output.op.getLoc();
  SmallVector<Operation *> products;
  SmallVector<Value> results;
  if (partAxis < 0) {
    for (const Term &term : terms) {
      Operation *product = builder.clone(*output.op);
      product->setOperand(side, term.weights);
      products.push_back(product);
      results.push_back(product->getResult(0));
    }
    int64_t rank = cast<RankedTensorType>(output.result().getType()).getRank();
    combine(builder, results, builder.getMultiDimIdentityMap(rank));
    return products;
  }
  SmallVector<AffineExpr> axes;
  products.push_back(whole(builder, axes));
  Value all = products[0]->getResult(0);
  // The column stands before or behind the axis of the parts.
  ElementOf element = *elements.load(terms[0].load);
  int64_t at =
      partAxis - (llvm::find(element.indices, column) - element.indices.begin() < partAxis);
  int64_t rank = cast<RankedTensorType>(all.getType()).getRank();
  if (joined) {
    SmallVector<ReassociationIndices> groups;
    for (int64_t n = 0; n < rank; ++n) {
      int64_t to = n + (n > at);
      groups.push_back(n == at ? ReassociationIndices{to, to + 1} : ReassociationIndices{to});
    }
    SmallVector<OpFoldResult> shape = tensor::getMixedSizes(builder, loc, all);
    shape[at] = sizes.get(builder, loc, elements.extentOf(joined));
    shape.insert(shape.begin() + at + 1, builder.getIndexAttr(terms.size()));
    SmallVector<int64_t> extents;
    SmallVector<Value> dynamic;
    dispatchIndexOpFoldResults(shape, dynamic, extents);
    auto type = cast<RankedTensorType>(all.getType()).clone(extents);
    all = tensor::ExpandShapeOp::create(builder, loc, type, all, groups, shape);
    axes.insert(axes.begin() + at + 1, AffineExpr());
    ++at;
    ++rank;
  }
  SmallVector<AffineExpr> own;
  for (AffineExpr axis : axes)
    if (axis)
      own.push_back(getAffineDimExpr(*output.resultMap.getResultPosition(axis), axis.getContext()));
  SmallVector<OpFoldResult> shape = tensor::getMixedSizes(builder, loc, all);
  SmallVector<OpFoldResult> start(rank, builder.getIndexAttr(0)),
      step(rank, builder.getIndexAttr(1));
  shape[at] = builder.getIndexAttr(1);
  SmallVector<int64_t> extents(cast<RankedTensorType>(all.getType()).getShape());
  extents.erase(extents.begin() + at);
  auto type = cast<RankedTensorType>(all.getType()).clone(extents);
  for (const Term &term : terms) {
    start[at] = builder.getIndexAttr(term.part);
    results.push_back(tensor::ExtractSliceOp::create(builder, loc, type, all, start, shape, step));
  }
  combine(builder, results, AffineMap::get(own.size(), 0, own, builder.getContext()));
  return products;
}

} // namespace

SmallVector<Operation *> splitProbabilities(func::FuncOp func, const Contraction &output,
                                            unsigned side) {
  Split split(func, output, side);
  if (!split.match())
    return {};
  SmallVector<Operation *> products = split.build();
  // Users that are dead would still count as users of the probabilities.
  SmallVector<Operation *> pending{output.op};
  while (!pending.empty()) {
    Operation *op = pending.pop_back_val();
    llvm::SmallSetVector<Operation *, 4> producers;
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp())
        producers.insert(producer);
    op->erase();
    for (Operation *producer : producers)
      if (isOpTriviallyDead(producer))
        pending.push_back(producer);
  }
  return products;
}

} // namespace attune
