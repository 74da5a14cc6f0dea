#include "attune/passes/Passes.h"
#include "attune/passes/canonicalize/ConstantEval.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_FOLDCONSTANTS
#include "attune/passes/Passes.h.inc"

namespace {

/// Scalar operators that one fold may run: about a second.
constexpr int64_t kMaxSteps = int64_t(1) << 26;
/// Results up to this size may be larger than the constants that they come from.
constexpr int64_t kSmallBytes = 1 << 16;

int64_t bytesOf(Type type) {
  auto shaped = cast<RankedTensorType>(type);
  Type element = shaped.getElementType();
  int64_t bits = element.isIndex() ? 64 : element.getIntOrFloatBitWidth();
  return shaped.getNumElements() * ((bits + 7) / 8);
}

/// The same elements in another shape.
TypedAttr reshaped(Attribute value, RankedTensorType type) {
  if (auto dense = dyn_cast<DenseElementsAttr>(value))
    return dense.reshape(type);
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(value))
    return cast<TypedAttr>(
        Attribute(DenseResourceElementsAttr::get(type, resource.getRawHandle())));
  return {};
}

struct FoldConstants : impl::FoldConstantsBase<FoldConstants> {
  using FoldConstantsBase::FoldConstantsBase;

  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      TypedAttr value = fold(op);
      if (!value)
        return;
      OpBuilder builder(op);
      Value constant = arith::ConstantOp::create(builder, op->getLoc(), value);
      op->getResult(0).replaceAllUsesWith(constant);
      ++numFolded;
    });
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  TypedAttr fold(Operation *op) {
    if (op->getNumResults() != 1 || op->use_empty())
      return {};
    auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
    if (!type || !type.hasStaticShape() || !type.getElementType().isIntOrIndexOrFloat())
      return {};
    return llvm::TypeSwitch<Operation *, TypedAttr>(op)
        .Case<linalg::FillOp, linalg::SoftmaxOp>([](auto) { return TypedAttr(); })
        .Case<linalg::LinalgOp>([&](auto linalgOp) { return foldLinalg(linalgOp, type); })
        .Case<tensor::ExpandShapeOp, tensor::CollapseShapeOp>([&](auto view) {
          Attribute value;
          return matchPattern(view.getSrc(), m_Constant(&value)) ? reshaped(value, type)
                                                                 : TypedAttr();
        })
        .Case<tensor::ExtractSliceOp>([&](auto slice) { return foldSlice(slice, type); })
        .Case<tensor::ConcatOp>([&](auto concat) { return foldConcat(concat, type); })
        .Default([](Operation *) { return TypedAttr(); });
  }

  TypedAttr foldLinalg(linalg::LinalgOp op, RankedTensorType type) {
    int64_t inputBytes = 0;
    for (Value input : op.getDpsInputs()) {
      std::optional<ConstantData> data = ConstantData::get(input);
      if (!data)
        return {};
      inputBytes += data->isSplat() ? 0 : bytesOf(input.getType());
    }
    if (op.getNumDpsInputs() == 0)
      return {};
    // Weights that are stored small stay small: their elements are computed where they are used.
    if (bytesOf(type) > std::max(inputBytes, kSmallBytes))
      return {};
    std::optional<std::vector<Cell>> cells = evaluate(op, kMaxSteps);
    if (!cells) {
      ++numSkipped;
      return {};
    }
    return makeConstant(type, *cells);
  }

  TypedAttr foldSlice(tensor::ExtractSliceOp op, RankedTensorType type) {
    std::optional<ConstantData> data = ConstantData::get(op.getSource());
    auto offsets = getConstantIntValues(op.getMixedOffsets());
    auto strides = getConstantIntValues(op.getMixedStrides());
    auto extents = getConstantIntValues(op.getMixedSizes());
    if (!data || !offsets || !strides || !extents)
      return {};
    ArrayRef<int64_t> shape = op.getSourceType().getShape();
    std::vector<Cell> cells;
    cells.reserve(type.getNumElements());
    SmallVector<int64_t> at(shape.size(), 0);
    for (int64_t n = 0; n < type.getNumElements(); ++n) {
      int64_t position = 0;
      for (size_t axis = 0; axis < shape.size(); ++axis)
        position = position * shape[axis] + (*offsets)[axis] + at[axis] * (*strides)[axis];
      if (position < 0 || position >= data->size())
        return {};
      cells.push_back(readCell(*data, position));
      for (int64_t axis = shape.size(); axis-- > 0;) {
        if (++at[axis] < (*extents)[axis])
          break;
        at[axis] = 0;
      }
    }
    return makeConstant(type, cells);
  }

  TypedAttr foldConcat(tensor::ConcatOp op, RankedTensorType type) {
    SmallVector<ConstantData> inputs;
    for (Value input : op.getInputs()) {
      std::optional<ConstantData> data = ConstantData::get(input);
      if (!data)
        return {};
      inputs.push_back(*data);
    }
    int64_t outer = 1, inner = 1;
    for (auto [axis, extent] : llvm::enumerate(type.getShape()))
      (axis < op.getDim() ? outer : inner) *= axis == op.getDim() ? 1 : extent;
    std::vector<Cell> cells;
    cells.reserve(type.getNumElements());
    for (int64_t row = 0; row < outer; ++row)
      for (const ConstantData &data : inputs) {
        int64_t length = data.getType().getDimSize(op.getDim()) * inner;
        for (int64_t n = 0; n < length; ++n)
          cells.push_back(readCell(data, row * length + n));
      }
    return makeConstant(type, cells);
  }
};
} // namespace
} // namespace attune
