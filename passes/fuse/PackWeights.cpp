#include "attune/dialect/Attune.h"
#include "attune/passes/Passes.h"
#include "attune/passes/fuse/ConstantData.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "attune/passes/Passes.h.inc"

namespace {

/// Columns of a panel, on every ISA: an artifact for several ISAs holds its weights once.
constexpr int64_t kPanel = 16;

/// A constant weight matrix, seen as rows (k) times columns (n): value = stored [* scale(n)].
struct Weight {
  Value stored;           ///< constant, rank 2, f32 or i8
  bool transposed;        ///< stored as [n, k]
  Value scale;            ///< constant with one element per column or one in all; null if none
  int64_t scaleAxis = -1; ///< axis of `scale` that follows n, -1 if it has one element
};

bool isConstant(Value value) { return matchPattern(value, m_Constant()); }

/// The tensor that a body value of an elementwise generic is read from, or null.
OpOperand *readFrom(Value value, linalg::GenericOp op) {
  auto arg = dyn_cast<BlockArgument>(value);
  return arg && arg.getOwner() == op.getBody() ? op.getMatchingOpOperand(arg) : nullptr;
}

/// generic(sitofp q [, * scale]) on constants, in one op or two.
std::optional<Weight> matchDequantised(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumParallelLoops() != 2 || op.getNumLoops() != 2 ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  Value result = op.getBody()->getTerminator()->getOperand(0);
  Value scaleArg;
  if (auto mul = result.getDefiningOp<arith::MulFOp>()) {
    bool first = readFrom(mul.getLhs(), op) && !mul.getLhs().getDefiningOp() &&
                 isConstant(readFrom(mul.getLhs(), op)->get());
    scaleArg = first ? mul.getLhs() : mul.getRhs();
    result = first ? mul.getRhs() : mul.getLhs();
  }
  Weight weight;
  if (auto cast = result.getDefiningOp<arith::SIToFPOp>()) {
    OpOperand *stored = readFrom(cast.getIn(), op);
    if (!stored || !isConstant(stored->get()) || !op.getMatchingIndexingMap(stored).isIdentity() ||
        !cast.getIn().getType().isInteger(8) || !cast.getType().isF32())
      return std::nullopt;
    weight.stored = stored->get();
  } else if (OpOperand *inner = readFrom(result, op); inner && scaleArg) {
    std::optional<Weight> nested = matchDequantised(inner->get());
    if (!nested || nested->scale || !op.getMatchingIndexingMap(inner).isIdentity())
      return std::nullopt;
    weight = *nested;
  } else {
    return std::nullopt;
  }
  if (!scaleArg)
    return weight;
  OpOperand *scale = readFrom(scaleArg, op);
  if (!scale || !isConstant(scale->get()))
    return std::nullopt;
  AffineMap map = op.getMatchingIndexingMap(scale);
  weight.scale = scale->get();
  for (auto [axis, expr] : llvm::enumerate(map.getResults())) {
    if (cast<RankedTensorType>(weight.scale.getType()).getDimSize(axis) == 1)
      continue;
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim || weight.scaleAxis >= 0)
      return std::nullopt;
    weight.scaleAxis = axis;
    // Remembered as the loop for now; the caller checks that it is the column.
    weight.transposed = dim.getPosition() == 0;
  }
  return weight;
}

struct Contraction {
  Operation *op; ///< linalg.contract, or attune.contract of distances
  SmallVector<AffineMap> maps;
  unsigned side; ///< operand that is the weight
  unsigned k, n; ///< loops
  bool transposed;
};

/// A contraction with one k and, on the weight's side, one n loop and no batch loop.
std::optional<Contraction> matchContraction(Operation *op) {
  SmallVector<AffineMap> maps;
  if (auto contract = dyn_cast<linalg::ContractOp>(op))
    maps = contract.getIndexingMapsArray();
  else if (auto contract = dyn_cast<ContractOp>(op); contract && !contract.isShift())
    maps = contract.getMaps();
  else
    return std::nullopt;
  FailureOr<linalg::ContractionDimensions> dims = linalg::inferContractionDims(maps);
  if (failed(dims) || !dims->batch.empty() || dims->k.size() != 1)
    return std::nullopt;
  for (unsigned side : {1u, 0u}) {
    auto type = cast<RankedTensorType>(op->getOperand(side).getType());
    ArrayRef<unsigned> columns = side == 1 ? dims->n : dims->m;
    if (type.getRank() != 2 || columns.size() != 1 || !type.hasStaticShape())
      continue;
    AffineMap map = maps[side];
    if (!map.isProjectedPermutation())
      continue;
    bool transposed = map.getDimPosition(0) == columns[0];
    return Contraction{op, maps, side, dims->k[0], columns[0], transposed};
  }
  return std::nullopt;
}

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
    SmallVector<Contraction> contractions;
    getOperation()->walk([&](Operation *op) {
      if (std::optional<Contraction> contraction = matchContraction(op))
        contractions.push_back(*contraction);
    });
    IRRewriter rewriter(&getContext());
    for (const Contraction &contraction : contractions)
      numPacked += pack(contraction, rewriter);
  }

private:
  bool pack(const Contraction &contraction, IRRewriter &rewriter) {
    Operation *op = contraction.op;
    Value operand = op->getOperand(contraction.side);
    Weight weight{operand, contraction.transposed, {}};
    if (!isConstant(operand)) {
      std::optional<Weight> dequantised = matchDequantised(operand);
      if (!dequantised)
        return false;
      // The scale must follow the columns: loop 1 of the stored [k, n], loop 0 of [n, k].
      if (dequantised->scaleAxis >= 0 && dequantised->transposed != contraction.transposed)
        return false;
      weight = *dequantised;
      weight.transposed = contraction.transposed;
    }
    auto type = cast<RankedTensorType>(weight.stored.getType());
    if (!type.getElementType().isF32() && !type.getElementType().isInteger(8))
      return false;
    if (type.getNumElements() == 0)
      return false;

    rewriter.setInsertionPoint(op);
    Location loc = op->getLoc();
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

    SmallVector<AffineMap> maps = contraction.maps;
    unsigned loops = maps[0].getNumDims();
    maps[contraction.side] = AffineMap::get(
        loops, 0,
        {rewriter.getAffineDimExpr(contraction.k), rewriter.getAffineDimExpr(contraction.n)},
        &getContext());
    SmallVector<Value> inputs{op->getOperand(0), op->getOperand(1)};
    inputs[contraction.side] = matrix;
    // The weight is the right operand from here on.
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
    return true;
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
