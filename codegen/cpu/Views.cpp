#include "attune/codegen/cpu/Views.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

using Strides = SmallVector<Size>;

/// The stride of the axis that a group of axes becomes, if their elements are evenly spaced.
static MaybeSize collapsedStride(ArrayRef<Size> strides, ArrayRef<Size> extents) {
  MaybeSize stride;
  Size span;
  for (int64_t axis = static_cast<int64_t>(strides.size()) - 1; axis >= 0; --axis) {
    if (extents[axis].is(1))
      continue;
    if (!stride)
      stride = strides[axis];
    else if (strides[axis] != span)
      return std::nullopt;
    span = strides[axis] * extents[axis];
  }
  return stride ? stride : Size(0);
}

/// Strides of the axes that an axis of stride `stride` is split into.
static void appendExpanded(Strides &strides, const Size &stride, ArrayRef<Size> extents) {
  for (const Size &inner : rowMajorStrides(extents))
    strides.push_back(inner * stride);
}

bool isCopy(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumDpsInputs() != 1 || generic.getNumDpsInits() != 1 ||
      generic.getNumReductionLoops() != 0)
    return false;
  auto yield = cast<linalg::YieldOp>(generic.getBody()->getTerminator());
  return yield.getOperand(0) == generic.getBody()->getArgument(0) &&
         generic.getIndexingMapsArray()[1].isPermutation();
}

/// The view of the result of a copying generic, given the view of its input.
static std::optional<View> copied(linalg::GenericOp generic, View source) {
  AffineMap in = generic.getIndexingMapsArray()[0], out = generic.getIndexingMapsArray()[1];
  Strides byLoop(generic.getNumLoops(), Size(0));
  for (auto [axis, expr] : llvm::enumerate(in.getResults())) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      byLoop[dim.getPosition()] = byLoop[dim.getPosition()] + source.strides[axis];
    else if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      source.offset = source.offset + source.strides[axis] * Size(constant.getValue());
    else
      return std::nullopt;
  }
  View view{source.root, source.offset, {}};
  for (AffineExpr expr : out.getResults())
    view.strides.push_back(byLoop[cast<AffineDimExpr>(expr).getPosition()]);
  return view;
}

static std::optional<View> viewThrough(const Sizes &sizes, Operation *op,
                                       llvm::function_ref<bool(Value)> stop) {
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return readView(sizes, cast.getSource(), stop);
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    std::optional<View> view = readView(sizes, transpose.getInput(), stop);
    if (!view)
      return std::nullopt;
    Strides strides;
    for (int64_t axis : transpose.getPermutation())
      strides.push_back(view->strides[axis]);
    view->strides = strides;
    return view;
  }
  if (auto broadcast = dyn_cast<linalg::BroadcastOp>(op)) {
    std::optional<View> view = readView(sizes, broadcast.getInput(), stop);
    if (!view)
      return std::nullopt;
    Strides strides;
    unsigned next = 0;
    int64_t rank = cast<RankedTensorType>(broadcast->getResult(0).getType()).getRank();
    for (int64_t axis = 0; axis < rank; ++axis)
      strides.push_back(
          llvm::is_contained(broadcast.getDimensions(), axis) ? Size(0) : view->strides[next++]);
    view->strides = strides;
    return view;
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    std::optional<View> view = readView(sizes, expand.getSrc(), stop);
    std::optional<Strides> extents = sizes.extents(expand.getResult());
    if (!view || !extents)
      return std::nullopt;
    Strides strides;
    for (auto [axis, group] : llvm::enumerate(expand.getReassociationIndices()))
      appendExpanded(strides, view->strides[axis],
                     ArrayRef<Size>(*extents).slice(group.front(), group.size()));
    view->strides = strides;
    return view;
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    std::optional<View> view = readView(sizes, collapse.getSrc(), stop);
    std::optional<Strides> extents = sizes.extents(collapse.getSrc());
    if (!view || !extents)
      return std::nullopt;
    Strides strides;
    for (const auto &group : collapse.getReassociationIndices()) {
      MaybeSize stride =
          collapsedStride(ArrayRef<Size>(view->strides).slice(group.front(), group.size()),
                          ArrayRef<Size>(*extents).slice(group.front(), group.size()));
      if (!stride)
        return std::nullopt;
      strides.push_back(*stride);
    }
    view->strides = strides;
    return view;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    std::optional<View> view = readView(sizes, slice.getSource(), stop);
    if (!view)
      return std::nullopt;
    Strides strides;
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    for (unsigned axis = 0; axis < dropped.size(); ++axis) {
      MaybeSize start = sizes.of(slice.getMixedOffsets()[axis]);
      MaybeSize step = sizes.of(slice.getMixedStrides()[axis]);
      if (!start || !step)
        return std::nullopt;
      view->offset = view->offset + *start * view->strides[axis];
      if (!dropped[axis])
        strides.push_back(view->strides[axis] * *step);
    }
    view->strides = strides;
    return view;
  }
  if (isCopy(op)) {
    auto generic = cast<linalg::GenericOp>(op);
    std::optional<View> view = readView(sizes, generic.getDpsInputs()[0], stop);
    return view ? copied(generic, *view) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<View> readView(const Sizes &sizes, Value tensor,
                             llvm::function_ref<bool(Value)> stop) {
  if (Operation *op = tensor.getDefiningOp(); op && !(stop && stop(tensor)))
    if (std::optional<View> view = viewThrough(sizes, op, stop))
      return view;
  std::optional<Strides> strides = sizes.rowMajor(tensor);
  if (!strides)
    return std::nullopt;
  return View{tensor, Size(0), *strides};
}

bool isInputView(const Sizes &sizes, Value tensor) {
  std::optional<View> view = readView(sizes, tensor);
  return view && sizes.inputNumber(view->root);
}

std::optional<double> splatValue(Value tensor) {
  DenseElementsAttr elements;
  if (!matchPattern(tensor, m_Constant(&elements)) || !elements.isSplat() ||
      !isa<FloatType>(elements.getElementType()))
    return std::nullopt;
  return elements.getSplatValue<APFloat>().convertToDouble();
}

bool isReadableF32(const Sizes &sizes, Value operand) {
  return getElementTypeOrSelf(operand.getType()).isF32() &&
         (isInputView(sizes, operand) || splatValue(operand));
}

bool isSameLayout(const Sizes &sizes, Value operand, const Placement &place) {
  std::optional<View> view = readView(sizes, operand);
  if (!view || !sizes.inputNumber(view->root) || view->offset != place.offset ||
      view->strides != place.strides || operand.getType() != place.value.getType())
    return false;
  for (Value value = operand;; value = value.getDefiningOp()->getOperand(0)) {
    if (!value.hasOneUse())
      return false;
    if (value == view->root)
      return true;
  }
}

std::optional<SmallVector<Placement>> writeViews(const Sizes &sizes, Value yielded) {
  std::optional<Strides> strides = sizes.rowMajor(yielded);
  if (!strides)
    return std::nullopt;
  SmallVector<Placement> open{{yielded, Size(0), *strides}}, done;
  while (!open.empty()) {
    Placement place = open.pop_back_val();
    Operation *op = place.value.getDefiningOp();
    Strides next;
    if (auto cast = dyn_cast_or_null<tensor::CastOp>(op)) {
      open.push_back({cast.getSource(), place.offset, place.strides});
      continue;
    }
    if (auto transpose = dyn_cast_or_null<linalg::TransposeOp>(op)) {
      next.resize(place.strides.size());
      for (auto [axis, source] : llvm::enumerate(transpose.getPermutation()))
        next[source] = place.strides[axis];
      open.push_back({transpose.getInput(), place.offset, next});
      continue;
    }
    if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(op)) {
      std::optional<Strides> extents = sizes.extents(collapse.getSrc());
      if (!extents)
        return std::nullopt;
      for (auto [axis, group] : llvm::enumerate(collapse.getReassociationIndices()))
        appendExpanded(next, place.strides[axis],
                       ArrayRef<Size>(*extents).slice(group.front(), group.size()));
      open.push_back({collapse.getSrc(), place.offset, next});
      continue;
    }
    if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op)) {
      std::optional<Strides> extents = sizes.extents(expand.getResult());
      if (!extents)
        return std::nullopt;
      bool even = true;
      for (const auto &group : expand.getReassociationIndices()) {
        MaybeSize stride =
            collapsedStride(ArrayRef<Size>(place.strides).slice(group.front(), group.size()),
                            ArrayRef<Size>(*extents).slice(group.front(), group.size()));
        even &= stride.has_value();
        next.push_back(stride.value_or(Size(0)));
      }
      if (even) {
        open.push_back({expand.getSrc(), place.offset, next});
        continue;
      }
    }
    if (auto insert = dyn_cast_or_null<tensor::InsertSliceOp>(op);
        insert && insert.getDest().getDefiningOp<tensor::EmptyOp>() &&
        insert.getSourceType().getRank() == insert.getDestType().getRank()) {
      for (auto [axis, stride] : llvm::enumerate(place.strides)) {
        MaybeSize start = sizes.of(insert.getMixedOffsets()[axis]);
        MaybeSize step = sizes.of(insert.getMixedStrides()[axis]);
        if (!start || !step)
          return std::nullopt;
        place.offset = place.offset + *start * stride;
        next.push_back(stride * *step);
      }
      open.push_back({insert.getSource(), place.offset, next});
      continue;
    }
    if (auto concat = dyn_cast_or_null<tensor::ConcatOp>(op)) {
      Size start(0);
      for (Value input : concat.getInputs()) {
        MaybeSize extent = sizes.extent(input, concat.getDim());
        if (!extent)
          return std::nullopt;
        open.push_back(
            {input, place.offset + start * place.strides[concat.getDim()], place.strides});
        start = start + *extent;
      }
      continue;
    }
    done.push_back(place);
  }
  return done;
}

} // namespace attune::codegen
