#include "attune/passes/Passes.h"
#include "attune/passes/fuse/ConstantData.h"
#include "attune/passes/fuse/Fuse.h"
#include "attune/passes/fuse/KernelBackend.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_PACKFILTERS
#include "attune/passes/Passes.h.inc"

namespace {

/// Output channels of a panel without a back end; convolutions of one input channel and fewer maps
/// are computed plane by plane.
constexpr int64_t kPanel = 4;

/// The filters of a convolution and the axis of their output channels.
struct Filters {
  OpOperand *operand;
  int64_t maps;
};

/// A sum of products of an image, read at sums of loops, and constant filters; the output channels
/// are the one axis of the filters that the image does not have, behind the group if there is one.
std::optional<Filters> matchFilters(linalg::GenericOp op) {
  if (op.getNumReductionLoops() < 2 || op.getNumDpsInputs() != 2 || op->getNumResults() != 1)
    return std::nullopt;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    OpOperand *image = op.getDpsInputOperand(1 - operand->getOperandNumber());
    AffineMap map = op.getMatchingIndexingMap(operand), other = op.getMatchingIndexingMap(image);
    auto type = cast<RankedTensorType>(operand->get().getType());
    if (!map.isProjectedPermutation() || other.isProjectedPermutation() ||
        !type.getElementType().isF32() || !matchPattern(operand->get(), m_Constant()) ||
        type.getNumElements() == 0)
      continue;
    std::optional<int64_t> maps;
    for (auto [axis, expr] : llvm::enumerate(map.getResults()))
      if (!other.isFunctionOfDim(cast<AffineDimExpr>(expr).getPosition())) {
        if (maps)
          return std::nullopt;
        maps = axis;
      }
    // Few output channels of one input channel each are computed plane by plane.
    if (!maps || *maps > 1 || *maps + 1 >= type.getRank() ||
        (type.getDimSize(*maps) < kPanel && type.getDimSize(*maps + 1) == 1))
      return std::nullopt;
    return Filters{operand, *maps};
  }
  return std::nullopt;
}

/// Positions of unknown number are nothing.
std::optional<FilterUse> useOf(linalg::GenericOp op, const Filters &filters) {
  AffineMap image =
      op.getMatchingIndexingMap(op.getDpsInputOperand(1 - filters.operand->getOperandNumber()));
  ArrayRef<int64_t> shape = cast<RankedTensorType>(filters.operand->get().getType()).getShape();
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  auto iterators = op.getIteratorTypesArray();
  SmallVector<FilterUse::Axis> axes;
  for (AffineExpr expr : image.getResults()) {
    if (isa<AffineDimExpr>(expr))
      continue;
    FilterUse::Axis axis;
    for (auto [loop, extent] : llvm::enumerate(ranges)) {
      if (!expr.isFunctionOfDim(loop))
        continue;
      // What the index grows by in one step of the loop.
      SmallVector<AffineExpr> at(ranges.size(), getAffineConstantExpr(0, op.getContext()));
      at[loop] = getAffineConstantExpr(1, op.getContext());
      auto step = dyn_cast<AffineConstantExpr>(expr.replaceDims(at));
      if (!step || extent == ShapedType::kDynamic)
        return std::nullopt;
      bool tap = iterators[loop] == utils::IteratorType::reduction;
      (tap ? axis.taps : axis.out) = extent;
      (tap ? axis.dilation : axis.stride) = step.getValue();
    }
    axes.push_back(axis);
  }
  if (axes.empty() || axes.size() > 2)
    return std::nullopt;
  FilterUse use{shape[filters.maps], shape[filters.maps + 1], {}, axes.back()};
  if (axes.size() == 2)
    use.rows = axes.front();
  return use;
}

struct PackFilters : impl::PackFiltersBase<PackFilters> {
  using PackFiltersBase::PackFiltersBase;
  explicit PackFilters(const KernelBackend &backend) : backend(&backend) {}

  void runOnOperation() override {
    SmallVector<linalg::GenericOp> ops;
    getOperation()->walk([&](linalg::GenericOp op) { ops.push_back(op); });
    for (linalg::GenericOp op : ops)
      if (std::optional<Filters> filters = matchFilters(op))
        numPacked += pack(op, *filters);
  }

private:
  int64_t panelOf(linalg::GenericOp op, const Filters &filters) const {
    std::optional<FilterUse> use = backend ? useOf(op, filters) : std::nullopt;
    return use ? backend->filterPanel(*use) : kPanel;
  }

  bool pack(linalg::GenericOp op, const Filters &filters) {
    Value stored = filters.operand->get();
    ConstantData data(stored);
    if (!data)
      return false;
    auto type = cast<RankedTensorType>(stored.getType());
    ArrayRef<int64_t> shape = type.getShape();
    int64_t groups = filters.maps ? shape[0] : 1, maps = shape[filters.maps];
    int64_t depth = 1;
    for (int64_t extent : shape.drop_front(filters.maps + 1))
      depth *= extent;
    int64_t panel = panelOf(op, filters), panels = llvm::divideCeil(maps, panel);
    SmallVector<int64_t> packedShape(shape);
    packedShape[filters.maps] = panels;
    packedShape.push_back(panel);
    auto packedType = RankedTensorType::get(packedShape, type.getElementType());
    AsmResourceBlob blob =
        HeapAsmResourceBlob::allocate(packedType.getNumElements() * sizeof(float), 64);
    auto *out = reinterpret_cast<float *>(const_cast<char *>(blob.getData().data()));
    ArrayRef<float> in = data.as<float>();
    for (int64_t group = 0; group < groups; ++group)
      for (int64_t first = 0; first < panels * panel; first += panel)
        for (int64_t at = 0; at < depth; ++at)
          for (int64_t lane = 0; lane < panel; ++lane, ++out) {
            int64_t map = first + lane;
            *out = map < maps ? in[data.isSplat() ? 0 : (group * maps + map) * depth + at] : 0;
          }
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto attr = DenseResourceElementsAttr::get(packedType, "filters", std::move(blob));
    Value packed = arith::ConstantOp::create(b, loc, packedType, attr);
    Value empty = tensor::EmptyOp::create(b, loc, shape, type.getElementType());
    filters.operand->set(linalg::UnPackOp::create(b, loc, packed, empty,
                                                  ArrayRef<int64_t>{filters.maps},
                                                  ArrayRef<OpFoldResult>{b.getIndexAttr(panel)})
                             ->getResult(0));
    return true;
  }

  const KernelBackend *backend = nullptr;
};

} // namespace

std::unique_ptr<Pass> createPackFiltersPass(const KernelBackend &backend) {
  return std::make_unique<PackFilters>(backend);
}

} // namespace attune
