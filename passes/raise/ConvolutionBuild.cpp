#include "attune/passes/raise/ConvolutionBuild.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Utils/StructuredOpsUtils.h"

using namespace mlir;

namespace attune {

static bool isView(Operation *op) {
  return isa<tensor::ExtractSliceOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp,
             linalg::TransposeOp>(op);
}

SmallVector<Value> shownBy(DftOp op) {
  SmallVector<Value> shown, pending{op.getResult()};
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    bool used = false;
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      if (isView(user) && use.getOperandNumber() == 0)
        pending.push_back(user->getResult(0));
      else
        used |= !isa<tensor::DimOp>(user);
    }
    if (used)
      shown.push_back(value);
  }
  return shown;
}

Value buildCoefficients(OpBuilder &builder, Location loc, Sizes &sizes, ConvolutionMatch &match,
                        Value kernel, bool reversed) {
  AffineExpr inputs = match.input.extent;
  auto type = cast<RankedTensorType>(kernel.getType());
  SmallVector<OpFoldResult> shape{sizes.get(builder, loc, match.count + inputs - 1)};
  if (type.getRank() == 2)
    shape.push_back(sizes.get(builder, loc, sizes.of(kernel, 1)));
  auto index = [&](AffineExpr expr) {
    return getValueOrCreateConstantIndexOp(builder, loc, sizes.get(builder, loc, expr));
  };
  // Difference d lies at position d + first - before in the transform, counted modulo its length,
  // and at `kernel.before` less in the kernel.
  Value length = index(match.length), taps = index(match.kernel.extent);
  Value start = index(match.first - match.input.before - inputs + 1 + match.length);
  Value before = index(match.kernel.before);
  Value last = index(match.count + inputs - 2);
  Value init = tensor::EmptyOp::create(builder, loc, shape, type.getElementType());
  SmallVector<utils::IteratorType> loops(shape.size(), utils::IteratorType::parallel);
  auto body = [&](OpBuilder &b, Location loc, ValueRange) {
    Value zero = arith::ConstantIndexOp::create(b, loc, 0);
    Value one = arith::ConstantIndexOp::create(b, loc, 1);
    Value u = linalg::IndexOp::create(b, loc, 0);
    if (reversed)
      u = arith::SubIOp::create(b, loc, last, u);
    Value position = arith::AddIOp::create(b, loc, u, start);
    position = arith::RemUIOp::create(b, loc, position, length);
    Value tap = arith::SubIOp::create(b, loc, position, before);
    Value above = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, tap, zero);
    Value below = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, tap, taps);
    Value inside = arith::AndIOp::create(b, loc, above, below);
    Value most = arith::SubIOp::create(b, loc, taps, one);
    SmallVector<Value> at{
        arith::MaxSIOp::create(b, loc, arith::MinSIOp::create(b, loc, tap, most), zero)};
    if (type.getRank() == 2)
      at.push_back(linalg::IndexOp::create(b, loc, 1));
    Value value = tensor::ExtractOp::create(b, loc, kernel, at);
    Value none = arith::ConstantOp::create(b, loc, b.getFloatAttr(type.getElementType(), 0));
    linalg::YieldOp::create(b, loc,
                            arith::SelectOp::create(b, loc, inside, value, none).getResult());
  };
  return linalg::GenericOp::create(builder, loc, init.getType(), ValueRange(), init,
                                   builder.getMultiDimIdentityMap(shape.size()), loops, body)
      .getResult(0);
}

Value ungroup(OpBuilder &builder, Location loc, Elements &elements, Sizes &sizes, Value tensor,
              const IndexGroups &groups, ArrayRef<Value> wanted) {
  auto extentOf = [&](Value index) { return elements.extentOf(index); };
  auto type = cast<RankedTensorType>(tensor.getType());
  SmallVector<ReassociationIndices> reassociation;
  SmallVector<OpFoldResult> shape;
  ElementOf element{tensor, {}};
  for (const auto &group : groups) {
    auto &axes = reassociation.emplace_back();
    for (Value index : group) {
      axes.push_back(shape.size());
      shape.push_back(sizes.get(builder, loc, extentOf(index)));
      element.indices.push_back(index);
    }
    if (group.empty()) {
      axes.push_back(shape.size());
      shape.push_back(builder.getIndexAttr(1));
      element.indices.push_back(elements.constantIndex(0));
    }
  }
  if (int64_t(shape.size()) > type.getRank()) {
    SmallVector<Value> dynamic;
    SmallVector<int64_t> staticShape;
    dispatchIndexOpFoldResults(shape, dynamic, staticShape);
    element.tensor = tensor::ExpandShapeOp::create(
        builder, loc, RankedTensorType::get(staticShape, type.getElementType()), tensor,
        reassociation, shape);
  }
  Layout layout{element, {}};
  IndexGroups axes;
  for (Value index : wanted) {
    axes.emplace_back();
    layout.axes.emplace_back();
    if (!index)
      continue;
    axes.back().push_back(index);
    layout.axes.back().push_back(llvm::find(element.indices, index) - element.indices.begin());
  }
  return buildLayout(builder, loc, sizes, layout, axes, extentOf);
}

namespace {
class Builder {
public:
  Builder(OpBuilder &builder, Sizes &sizes, ConvolutionMatch &match)
      : builder(builder), sizes(sizes), match(match), loc(match.inverse.getLoc()) {}

  bool run();

private:
  void chooseGroups();
  std::optional<Layout> find(const Signal &signal, const IndexGroups &groups) {
    return findLayout(match.elements, sizes, signal.scalar, groups, extentOf());
  }
  std::function<AffineExpr(Value)> extentOf() {
    return [this](Value index) { return match.elements.extentOf(index); };
  }

  OpBuilder &builder;
  Sizes &sizes;
  ConvolutionMatch &match;
  Location loc;
  SmallVector<Value> batch, channels;
};
} // namespace

/// Channels are what the kernel varies with; if it does not, what lies within a step of time.
void Builder::chooseGroups() {
  channels = match.kernelIndices();
  bool shared = channels.empty();
  for (auto [axis, index] : llvm::enumerate(match.indices)) {
    if (int64_t(axis) == match.timeAxis || !match.elements.isIndex(index) ||
        llvm::is_contained(channels, index))
      continue;
    if (shared && int64_t(axis) > match.timeAxis)
      channels.push_back(index);
    else
      batch.push_back(index);
  }
  if (channels.empty())
    std::swap(batch, channels);
}

bool Builder::run() {
  Value view = match.shownView();
  chooseGroups();
  SmallVector<Value> shared = match.kernelIndices();
  IndexGroups inputGroups{batch, {match.input.position}, channels};
  IndexGroups kernelGroups{{match.kernel.position}};
  if (!shared.empty())
    kernelGroups.push_back(channels);
  std::optional<Layout> input = find(match.input, inputGroups);
  std::optional<Layout> kernel = find(match.kernel, kernelGroups);
  if (!input || !kernel)
    return false;
  Value x = buildLayout(builder, loc, sizes, *input, inputGroups, extentOf());
  Value c = buildLayout(builder, loc, sizes, *kernel, kernelGroups, extentOf());
  bool causal = match.isCausal();
  if (!causal)
    c = buildCoefficients(builder, loc, sizes, match, c, /*reversed=*/false);
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape[1] = Sizes::asConstant(match.count).value_or(ShapedType::kDynamic);
  Value product =
      ToeplitzOp::create(builder, loc, type.clone(shape), c, x,
                         causal ? Direction::Causal : Direction::Bidirectional, Form::Auto);
  SmallVector<Value> axes;
  for (Value index : match.indices)
    axes.push_back(match.elements.isIndex(index) ? index : Value());
  Value result = ungroup(builder, loc, match.elements, sizes, product,
                         {batch, {match.indices[match.timeAxis]}, channels}, axes);
  if (result.getType() != view.getType())
    result = tensor::CastOp::create(builder, loc, view.getType(), result);
  Operation *made = result.getDefiningOp();
  view.replaceUsesWithIf(result, [&](OpOperand &use) {
    Operation *user = use.getOwner();
    return user != made && made->isBeforeInBlock(user);
  });
  return true;
}

bool buildToeplitz(OpBuilder &builder, Sizes &sizes, ConvolutionMatch &match) {
  return Builder(builder, sizes, match).run();
}

} // namespace attune
