#include "attune/dialect/Attune.h"
#include "attune/passes/Passes.h"
#include "attune/passes/fuse/ConstantData.h"
#include "attune/passes/fuse/ConstantWeight.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "attune/passes/Passes.h.inc"

namespace {

/// Columns of a panel, on every ISA: an artifact for several ISAs holds its weights once.
constexpr int64_t kPanel = 16;
/// Bytes of depth that stay together where distances of bytes are summed.
constexpr int64_t kGroup = 8;

/// A constant weight matrix, seen as rows (k) times columns (n): value = stored [* scale(n)].
struct Weight : ConstantWeight {
  bool transposed; ///< stored as [n, k]
};

template <typename T>
Value packedConstant(OpBuilder &b, Location loc, ArrayRef<T> data, bool splat, int64_t k, int64_t n,
                     bool transposed, Type element) {
  int64_t panels = llvm::divideCeil(n, kPanel);
  auto type = RankedTensorType::get({panels, k, kPanel}, element);
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(type.getNumElements() * sizeof(T), 64);
  auto *out = reinterpret_cast<T *>(const_cast<char *>(blob.getData().data()));
  for (int64_t panel = 0; panel < panels; ++panel)
    for (int64_t row = 0; row < k; ++row)
      for (int64_t lane = 0; lane < kPanel; ++lane, ++out) {
        int64_t column = panel * kPanel + lane;
        int64_t at = splat ? 0 : transposed ? column * k + row : row * n + column;
        *out = column < n ? data[at] : T(0);
      }
  auto attr = DenseResourceElementsAttr::get(type, "packed", std::move(blob));
  return arith::ConstantOp::create(b, loc, type, attr);
}

/// Bytes in groups of eight along k, of sixteen columns: [n / 16][k / 8][16][8].
Value packedGroups(OpBuilder &b, Location loc, Value stored, bool transposed) {
  auto matrix = cast<RankedTensorType>(stored.getType());
  int64_t k = matrix.getDimSize(transposed ? 1 : 0), n = matrix.getDimSize(transposed ? 0 : 1);
  ConstantData data(stored);
  if (!data)
    return {};
  int64_t panels = llvm::divideCeil(n, kPanel), groups = llvm::divideCeil(k, kGroup);
  auto type = RankedTensorType::get({panels, groups, kPanel, kGroup}, matrix.getElementType());
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(type.getNumElements(), 64);
  auto *out = const_cast<char *>(blob.getData().data());
  std::fill_n(out, type.getNumElements(), 0);
  for (int64_t row = 0; row < k; ++row)
    for (int64_t column = 0; column < n; ++column) {
      int64_t at = data.isSplat() ? 0 : transposed ? column * k + row : row * n + column;
      int64_t place = (column / kPanel * groups + row / kGroup) * kPanel + column % kPanel;
      out[place * kGroup + row % kGroup] = data.bytes()[at];
    }
  auto attr = DenseResourceElementsAttr::get(type, "packed", std::move(blob));
  return arith::ConstantOp::create(b, loc, type, attr);
}

Value packedConstant(OpBuilder &b, Location loc, Value stored, bool transposed) {
  auto type = cast<RankedTensorType>(stored.getType());
  int64_t k = type.getDimSize(transposed ? 1 : 0), n = type.getDimSize(transposed ? 0 : 1);
  ConstantData data(stored);
  if (!data)
    return {};
  if (type.getElementType().isF32())
    return packedConstant(b, loc, data.as<float>(), data.isSplat(), k, n, transposed,
                          type.getElementType());
  return packedConstant(b, loc, data.as<int8_t>(), data.isSplat(), k, n, transposed,
                        type.getElementType());
}

struct PackWeights : impl::PackWeightsBase<PackWeights> {
  using PackWeightsBase::PackWeightsBase;

  void runOnOperation() override {
    SmallVector<WeightedContraction> contractions;
    getOperation()->walk([&](Operation *op) {
      if (std::optional<WeightedContraction> contraction = matchWeightedContraction(op))
        contractions.push_back(*contraction);
    });
    IRRewriter rewriter(&getContext());
    for (const WeightedContraction &contraction : contractions)
      numPacked += pack(contraction, rewriter);
  }

private:
  bool pack(const WeightedContraction &contraction, IRRewriter &rewriter) {
    Operation *op = contraction.op;
    Weight weight{contraction.weight, contraction.transposed};
    auto type = cast<RankedTensorType>(weight.stored.getType());
    if (!type.getElementType().isF32() && !type.getElementType().isInteger(8))
      return false;
    if (type.getNumElements() == 0)
      return false;

    rewriter.setInsertionPoint(op);
    Location loc = op->getLoc();
    if (isa<ContractOp>(op) && type.getElementType().isInteger(8))
      return packGroups(contraction, rewriter);
    Value packed = packedConstant(rewriter, loc, weight.stored, weight.transposed);
    if (!packed)
      return false;
    int64_t k = type.getDimSize(weight.transposed ? 1 : 0);
    int64_t n = type.getDimSize(weight.transposed ? 0 : 1);
    Value empty = tensor::EmptyOp::create(rewriter, loc, {k, n}, type.getElementType());
    Value matrix = linalg::UnPackOp::create(rewriter, loc, packed, empty, ArrayRef<int64_t>{1},
                                            ArrayRef<OpFoldResult>{rewriter.getIndexAttr(kPanel)},
                                            ArrayRef<int64_t>{1, 0})
                       ->getResult(0);
    if (type.getElementType().isInteger(8)) {
      matrix = dequantise(rewriter, loc, matrix, weight);
      if (!matrix)
        return false;
    }

    replaceWeight(contraction, rewriter, matrix, {contraction.k, contraction.n});
    return true;
  }

  bool packGroups(const WeightedContraction &contraction, IRRewriter &rewriter) {
    Value stored = contraction.weight.stored;
    auto type = cast<RankedTensorType>(stored.getType());
    Location loc = contraction.op->getLoc();
    Value packed = packedGroups(rewriter, loc, stored, contraction.transposed);
    if (contraction.weight.scale || !packed)
      return false;
    int64_t k = type.getDimSize(contraction.transposed ? 1 : 0);
    int64_t n = type.getDimSize(contraction.transposed ? 0 : 1);
    Value empty = tensor::EmptyOp::create(rewriter, loc, {n, k}, type.getElementType());
    OpFoldResult tiles[] = {rewriter.getIndexAttr(kPanel), rewriter.getIndexAttr(kGroup)};
    Value matrix =
        linalg::UnPackOp::create(rewriter, loc, packed, empty, ArrayRef<int64_t>{0, 1}, tiles)
            ->getResult(0);
    replaceWeight(contraction, rewriter, matrix, {contraction.n, contraction.k});
    return true;
  }

  /// The contraction with a weight whose axes are these loops, as the right operand.
  void replaceWeight(const WeightedContraction &contraction, IRRewriter &rewriter, Value matrix,
                     ArrayRef<unsigned> axes) {
    Operation *op = contraction.op;
    SmallVector<AffineMap> maps = contraction.maps;
    maps[contraction.side] =
        AffineMap::getMultiDimMapWithTargets(maps[0].getNumDims(), axes, &getContext());
    SmallVector<Value> inputs{op->getOperand(0), op->getOperand(1)};
    inputs[contraction.side] = matrix;
    if (contraction.side == 0) {
      std::swap(inputs[0], inputs[1]);
      std::swap(maps[0], maps[1]);
    }
    ArrayAttr attr = rewriter.getAffineMapArrayAttr(maps);
    if (auto contract = dyn_cast<ContractOp>(op))
      rewriter.replaceOpWithNewOp<ContractOp>(op, inputs[0], inputs[1], contract.getInit(),
                                              contract.getKind(), attr, IntegerAttr());
    else
      rewriter.replaceOpWithNewOp<linalg::ContractOp>(op, op->getResultTypes(), inputs,
                                                      ValueRange(op->getOperand(2)), attr);
  }

  /// f32 matrix = i8 matrix [* scale of its column].
  Value dequantise(IRRewriter &b, Location loc, Value matrix, const Weight &weight) {
    auto type = cast<RankedTensorType>(matrix.getType());
    auto result = RankedTensorType::get(type.getShape(), b.getF32Type());
    Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), b.getF32Type());
    SmallVector<Value> inputs{matrix};
    SmallVector<AffineMap> maps{b.getMultiDimIdentityMap(2)};
    std::optional<float> uniform;
    if (weight.scale) {
      ConstantData data(weight.scale);
      if (!data || !cast<RankedTensorType>(weight.scale.getType()).getElementType().isF32())
        return {};
      ArrayRef<float> scales = data.as<float>();
      if (scales.size() == 1) {
        uniform = scales[0];
      } else {
        auto perColumn = RankedTensorType::get({type.getDimSize(1)}, b.getF32Type());
        inputs.push_back(
            arith::ConstantOp::create(b, loc, DenseElementsAttr::get(perColumn, scales)));
        maps.push_back(AffineMap::get(2, 0, b.getAffineDimExpr(1)));
      }
    }
    maps.push_back(b.getMultiDimIdentityMap(2));
    SmallVector<utils::IteratorType> parallel(2, utils::IteratorType::parallel);
    return linalg::GenericOp::create(
               b, loc, result, inputs, ValueRange{empty}, maps, parallel,
               [&](OpBuilder &nested, Location at, ValueRange args) {
                 Value value = arith::SIToFPOp::create(nested, at, b.getF32Type(), args[0]);
                 if (uniform)
                   value = arith::MulFOp::create(
                       nested, at, value,
                       arith::ConstantOp::create(nested, at, nested.getF32FloatAttr(*uniform)));
                 else if (weight.scale)
                   value = arith::MulFOp::create(nested, at, value, args[1]);
                 linalg::YieldOp::create(nested, at, value);
               })
        .getResult(0);
  }
};

} // namespace
} // namespace attune
