#include "attune/codegen/cpu/ConvMatch.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// `position * stride + tap * dilation`, or one of the two alone.
struct Access {
  std::optional<unsigned> position, tap;
  int64_t stride = 1, dilation = 1;
};

class Matcher {
public:
  Matcher(KernelOp op, const Sizes &sizes) : kernel(op), sizes(sizes) {}

  std::optional<ConvMatch> run() {
    for (Operation &inner : kernel.getBody().front())
      if (auto generic = dyn_cast<linalg::GenericOp>(inner); generic && reduces(generic)) {
        if (c.op)
          return std::nullopt;
        c.op = generic;
      }
    if (!c.op || !matchBody() || !matchLoops() || !matchInput() || !matchFilters())
      return std::nullopt;
    std::optional<Epilogue> epilogue = matchEpilogue(kernel, sizes, c.op->getResult(0), point());
    if (!epilogue)
      return std::nullopt;
    c.epilogue = *epilogue;
    return c;
  }

private:
  static bool reduces(linalg::GenericOp op) { return op.getNumReductionLoops() != 0; }
  bool isPooling() const { return c.kind == ConvMatch::Max || c.kind == ConvMatch::Sum; }

  /// total + x * w, or total combined with x, in f32.
  bool matchBody() {
    if (c.op.getNumDpsInputs() != 2 || c.op.getNumDpsInits() != 1 || c.op.hasIndexSemantics())
      return false;
    auto fill = c.op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
    Block &body = *c.op.getBody();
    if (!fill || !body.getArgument(2).getType().isF32() || !body.getArgument(0).getType().isF32())
      return false;
    Operation *sum = body.getTerminator()->getOperand(0).getDefiningOp();
    if (!sum || sum->getNumOperands() != 2 || !llvm::is_contained(sum->getOperands(), total()))
      return false;
    Value term = sum->getOperand(sum->getOperand(0) == total() ? 1 : 0);
    int64_t ops = llvm::range_size(body.without_terminator());
    if (auto product = term.getDefiningOp<arith::MulFOp>()) {
      if (ops != 2 || !isa<arith::AddFOp>(sum) || !matchPattern(fill.value(), m_PosZeroFloat()) ||
          product.getLhs() == product.getRhs() ||
          !llvm::all_of(product->getOperands(), [](Value v) { return isa<BlockArgument>(v); }))
        return false;
      // The image is the operand that is read at sums of loops.
      AffineMap first = c.op.getIndexingMapsArray()[0];
      x = first.isProjectedPermutation() ? 1 : 0;
      return body.getArgument(1).getType().isF32();
    }
    auto arg = dyn_cast<BlockArgument>(term);
    if (ops != 1 || !arg || arg == total() || arg.getOwner() != &body)
      return false;
    x = arg.getArgNumber();
    c.combine = sum;
    c.kind = isa<arith::AddFOp>(sum) ? ConvMatch::Sum : ConvMatch::Max;
    FloatAttr start;
    if (!matchPattern(fill.value(), m_Constant(&start)))
      return false;
    return c.kind == ConvMatch::Sum
               ? start.getValue().isPosZero()
               : isa<arith::MaximumFOp>(sum) && start.getValue().isInfinity() &&
                     start.getValue().isNegative();
  }

  Value total() { return c.op.getBody()->getArgument(2); }

  std::optional<Access> parse(AffineExpr expr) {
    Access access;
    auto term = [&](AffineExpr part) {
      int64_t factor = 1;
      if (auto product = dyn_cast<AffineBinaryOpExpr>(part)) {
        auto constant = dyn_cast<AffineConstantExpr>(product.getRHS());
        if (product.getKind() != AffineExprKind::Mul || !constant || constant.getValue() <= 0)
          return false;
        factor = constant.getValue();
        part = product.getLHS();
      }
      auto dim = dyn_cast<AffineDimExpr>(part);
      if (!dim)
        return false;
      bool reduced =
          c.op.getIteratorTypesArray()[dim.getPosition()] == utils::IteratorType::reduction;
      std::optional<unsigned> &slot = reduced ? access.tap : access.position;
      if (slot)
        return false;
      slot = dim.getPosition();
      (reduced ? access.dilation : access.stride) = factor;
      return true;
    };
    auto sum = dyn_cast<AffineBinaryOpExpr>(expr);
    bool both = sum && sum.getKind() == AffineExprKind::Add;
    if (both ? !term(sum.getLHS()) || !term(sum.getRHS()) : !term(expr))
      return std::nullopt;
    return access;
  }

  /// The axis of operand `number` that is exactly this loop.
  std::optional<unsigned> axisOf(unsigned number, unsigned loop) {
    return c.op.getIndexingMapsArray()[number].getResultPosition(
        getAffineDimExpr(loop, kernel.getContext()));
  }

  /// Finds what every loop is from where the operands are read.
  bool matchLoops() {
    unsigned w = 1 - x;
    AffineMap map = c.op.getIndexingMapsArray()[x], out = c.op.getIndexingMapsArray()[2];
    if (!c.op.getIndexingMapsArray()[w].isProjectedPermutation() || !out.isProjectedPermutation())
      return false;
    SmallVector<unsigned> spatial;
    for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
      std::optional<Access> access = parse(expr);
      if (!access)
        return false;
      accesses.push_back(*access);
      if (access->position && access->tap) {
        if (!axisOf(w, *access->tap) || !axisOf(2, *access->position) ||
            axisOf(w, *access->position))
          return false;
        spatial.push_back(axis);
        continue;
      }
      if (access->stride != 1 || access->dilation != 1)
        return false;
      std::optional<unsigned> *role = nullptr;
      if (access->tap)
        role = axisOf(w, *access->tap) ? &channelAxis : nullptr;
      else if (axisOf(w, *access->position) || (isPooling() && batchAxis))
        role = &groupAxis;
      else
        role = &batchAxis;
      if (!role || *role)
        return false;
      *role = axis;
    }
    if (spatial.empty() || spatial.size() > 2 || (isPooling() && channelAxis))
      return false;
    if (spatial.size() == 2)
      rowAxis = spatial[0];
    columnAxis = spatial.back();
    // The one loop that is left are the maps that are written.
    unsigned known = map.getNumResults() + spatial.size();
    for (unsigned loop = 0; loop < map.getNumDims(); ++loop) {
      bool used = llvm::any_of(
          accesses, [&](const Access &a) { return a.position == loop || a.tap == loop; });
      if (used)
        continue;
      if (mapLoop || isPooling() || !axisOf(w, loop) || !axisOf(2, loop))
        return false;
      mapLoop = loop;
      ++known;
    }
    return known == map.getNumDims();
  }

  bool readAxis(std::optional<unsigned> axis, ConvAxis &to) {
    if (!axis)
      return true;
    const Access &access = accesses[*axis];
    Value filters = c.op.getDpsInputs()[1 - x];
    MaybeSize taps = sizes.extent(filters, *axisOf(1 - x, *access.tap));
    MaybeSize out = sizes.extent(c.op->getResult(0), *axisOf(2, *access.position));
    if (!taps || !taps->constant() || *taps->constant() < 1 || !out)
      return false;
    to.taps = *taps->constant();
    to.stride = access.stride;
    to.dilation = access.dilation;
    to.out = *out;
    return true;
  }

  bool matchInput() {
    if (!readAxis(rowAxis, c.rows) || !readAxis(columnAxis, c.columns))
      return false;
    Value image = c.op.getDpsInputs()[x];
    int64_t rank = cast<RankedTensorType>(image.getType()).getRank();
    SmallVector<int64_t> source = llvm::to_vector(llvm::seq<int64_t>(0, rank));
    while (auto cast = image.getDefiningOp<tensor::CastOp>())
      image = cast.getSource();
    bool split = false;
    if (auto expand = image.getDefiningOp<tensor::ExpandShapeOp>()) {
      for (auto [axis, group] : llvm::enumerate(expand.getReassociationIndices())) {
        for (int64_t part : group)
          source[part] = axis;
        if (group.size() == 1)
          continue;
        // Groups times channels of a group.
        if (group.size() != 2 || !groupAxis || !channelAxis || group[0] != *groupAxis ||
            group[1] != *channelAxis)
          return false;
        split = true;
      }
      image = expand.getSrc();
    }
    tensor::PadOp pad = image.getDefiningOp<tensor::PadOp>();
    SmallVector<OpFoldResult> low;
    if (pad) {
      Value fill = pad.getConstantPaddingValue();
      FloatAttr constant;
      if (!fill || !matchPattern(fill, m_Constant(&constant)) || pad.getNofold())
        return false;
      c.fill = constant.getValueAsDouble();
      low = pad.getMixedLowPad();
      SmallVector<OpFoldResult> high = pad.getMixedHighPad();
      for (auto [axis, from] : llvm::enumerate(source))
        if (axis != rowAxis && axis != columnAxis &&
            (!isConstantIntValue(low[from], 0) || !isConstantIntValue(high[from], 0)))
          return false;
      image = pad.getSource();
    }
    std::optional<View> view = readView(sizes, image);
    std::optional<int64_t> number = view ? sizes.inputNumber(view->root) : std::nullopt;
    std::optional<SmallVector<Size>> extents = sizes.extents(image);
    if (!number || !extents)
      return false;
    c.input = *number;
    c.offset = view->offset;
    auto spatial = [&](std::optional<unsigned> axis, ConvAxis &to) {
      if (!axis)
        return true;
      to.in = (*extents)[source[*axis]];
      to.step = view->strides[source[*axis]];
      MaybeSize before = pad ? sizes.of(low[source[*axis]]) : MaybeSize(Size(0));
      if (before)
        to.before = *before;
      return before.has_value();
    };
    if (!spatial(rowAxis, c.rows) || !spatial(columnAxis, c.columns))
      return false;
    Value whole = c.op.getDpsInputs()[x];
    auto step = [&](std::optional<unsigned> axis) {
      return axis ? view->strides[source[*axis]] : Size(0);
    };
    if (batchAxis) {
      c.batch = *sizes.extent(whole, *batchAxis);
      c.batchStep = step(batchAxis);
    }
    if (groupAxis)
      c.groups = *sizes.extent(whole, *groupAxis);
    if (channelAxis) {
      MaybeSize channels = sizes.extent(whole, *channelAxis);
      if (!channels || !channels->constant())
        return false;
      c.channels = *channels->constant();
    }
    c.channelStep = channelAxis ? step(channelAxis) : step(groupAxis);
    // A group's channels lie side by side.
    return !groupAxis || !channelAxis || split ||
           step(groupAxis) == c.channelStep * Size(c.channels);
  }

  bool matchFilters() {
    if (isPooling())
      return true;
    Value value = c.op.getDpsInputs()[1 - x];
    auto type = cast<RankedTensorType>(value.getType());
    if (!type.hasStaticShape() || type.getNumElements() == 0)
      return false;
    if (mapLoop)
      c.maps = type.getDimSize(*axisOf(1 - x, *mapLoop));
    if (c.channels == 1 && c.maps < kFilterPanel)
      c.kind = ConvMatch::PerPlane;
    // Axes of the filters in the order group, map, channel, row, column.
    SmallVector<std::optional<unsigned>> order(5);
    auto loopOf = [&](std::optional<unsigned> axis, bool tap) -> std::optional<unsigned> {
      return !axis ? std::nullopt : tap ? accesses[*axis].tap : accesses[*axis].position;
    };
    std::optional<unsigned> loops[] = {loopOf(groupAxis, false), mapLoop, loopOf(channelAxis, true),
                                       loopOf(rowAxis, true), loopOf(columnAxis, true)};
    for (auto [slot, loop] : llvm::zip(order, loops))
      if (loop)
        slot = axisOf(1 - x, *loop);
    if (auto unpack = value.getDefiningOp<linalg::UnPackOp>()) {
      int64_t last = -1;
      for (std::optional<unsigned> axis : order)
        if (axis && std::exchange(last, *axis) >= int64_t(*axis))
          return false;
      std::optional<int64_t> number = sizes.inputNumber(unpack.getSource());
      if (!number || !order[1] || c.kind != ConvMatch::Dense ||
          unpack.getInnerDimsPos() != ArrayRef<int64_t>{*order[1]} ||
          (unpack.getStaticInnerTiles() != ArrayRef<int64_t>{kFilterPanel} &&
           unpack.getStaticInnerTiles() != ArrayRef<int64_t>{kPanelColumns}) ||
          !llvm::equal(unpack.getOuterDimsPerm(),
                       llvm::seq<int64_t>(0, unpack.getOuterDimsPerm().size())))
        return false;
      c.filters = *number;
      c.packed = true;
      c.acrossChannels = unpack.getStaticInnerTiles().front() == kPanelColumns;
      return true;
    }
    std::optional<View> view = readView(sizes, value);
    std::optional<int64_t> number = view ? sizes.inputNumber(view->root) : std::nullopt;
    if (!number)
      return false;
    c.filters = *number;
    c.filterView = View{view->root, view->offset, {}};
    for (std::optional<unsigned> axis : order)
      c.filterView.strides.push_back(axis ? view->strides[*axis] : Size(0));
    return true;
  }

  /// Where the axes of the result are on the grid.
  GemmCoords point() {
    SmallVector<GemmCoord> byLoop(c.op.getNumLoops());
    auto set = [&](std::optional<unsigned> loop, GemmCoord::Base base, Size divisor, Size extent,
                   bool outermost) {
      if (loop && !extent.is(1))
        byLoop[*loop] = {base, divisor, extent, outermost};
    };
    auto position = [&](std::optional<unsigned> axis) {
      return axis ? accesses[*axis].position : std::nullopt;
    };
    bool oneRow = c.rows.out.is(1), oneGroup = c.groups.is(1);
    set(position(batchAxis), GemmCoord::Batch, 1, c.batch, true);
    set(position(groupAxis), GemmCoord::Row, c.maps, c.groups, true);
    set(mapLoop, GemmCoord::Row, 1, c.maps, oneGroup);
    set(position(rowAxis), GemmCoord::Column, c.columns.out, c.rows.out, true);
    set(position(columnAxis), GemmCoord::Column, 1, c.columns.out, oneRow);
    return *mapCoords(c.op.getIndexingMapsArray()[2], byLoop);
  }

  KernelOp kernel;
  const Sizes &sizes;
  ConvMatch c;
  unsigned x = 0; ///< operand that is the image
  SmallVector<Access> accesses;
  std::optional<unsigned> batchAxis, groupAxis, channelAxis, rowAxis, columnAxis;
  std::optional<unsigned> mapLoop;
};

} // namespace

std::optional<ConvMatch> matchConv(KernelOp op, const Sizes &sizes) {
  return Matcher(op, sizes).run();
}

} // namespace attune::codegen
