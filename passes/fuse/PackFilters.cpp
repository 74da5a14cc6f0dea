#include "attune/passes/Passes.h"
#include "attune/passes/fuse/ConstantData.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_PACKFILTERS
#include "attune/passes/Passes.h.inc"

namespace {

/// Output channels of a panel, on every ISA.
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

struct PackFilters : impl::PackFiltersBase<PackFilters> {
  using PackFiltersBase::PackFiltersBase;

  void runOnOperation() override {
    SmallVector<linalg::GenericOp> ops;
    getOperation()->walk([&](linalg::GenericOp op) { ops.push_back(op); });
    for (linalg::GenericOp op : ops)
      if (std::optional<Filters> filters = matchFilters(op))
        numPacked += pack(op, *filters);
  }

private:
  static bool pack(linalg::GenericOp op, const Filters &filters) {
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
    int64_t panels = llvm::divideCeil(maps, kPanel);
    SmallVector<int64_t> packedShape(shape);
    packedShape[filters.maps] = panels;
    packedShape.push_back(kPanel);
    auto packedType = RankedTensorType::get(packedShape, type.getElementType());
    AsmResourceBlob blob =
        HeapAsmResourceBlob::allocate(packedType.getNumElements() * sizeof(float), 64);
    auto *out = reinterpret_cast<float *>(const_cast<char *>(blob.getData().data()));
    ArrayRef<float> in = data.as<float>();
    for (int64_t group = 0; group < groups; ++group)
      for (int64_t panel = 0; panel < panels; ++panel)
        for (int64_t at = 0; at < depth; ++at)
          for (int64_t lane = 0; lane < kPanel; ++lane, ++out) {
            int64_t map = panel * kPanel + lane;
            *out = map < maps ? in[data.isSplat() ? 0 : (group * maps + map) * depth + at] : 0;
          }
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto attr = DenseResourceElementsAttr::get(packedType, "filters", std::move(blob));
    Value packed = arith::ConstantOp::create(b, loc, packedType, attr);
    Value empty = tensor::EmptyOp::create(b, loc, shape, type.getElementType());
    filters.operand->set(linalg::UnPackOp::create(b, loc, packed, empty,
                                                  ArrayRef<int64_t>{filters.maps},
                                                  ArrayRef<OpFoldResult>{b.getIndexAttr(kPanel)})
                             ->getResult(0));
    return true;
  }
};

} // namespace
} // namespace attune
