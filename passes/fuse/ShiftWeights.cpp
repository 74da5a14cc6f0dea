#include "attune/passes/Passes.h"
#include "attune/passes/fuse/Fuse.h"
#include "attune/passes/fuse/ShiftCodes.h"
#include "attune/passes/raise/Match.h"
#include "attune/passes/rewrite/FormPrices.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_SHIFTWEIGHTS
#include "attune/passes/Passes.h.inc"

namespace {

/// A contraction with a constant weight that has no loop in common with both the other operand and
/// the result.
struct Weighted {
  Operation *op;
  unsigned side; ///< operand that is the weight
  AffineMap other, result;
  SmallVector<unsigned> depth; ///< loops that are summed over, in the order of the other operand
  unsigned column;             ///< loop
  SmallVector<int64_t> depthAxes;
  int64_t columnAxis; ///< of the weight

  Value weight() const { return op->getOperand(side); }
  Value input() const { return op->getOperand(1 - side); }
};

std::optional<Weighted> matchSide(Operation *op, ArrayRef<AffineMap> maps, unsigned side) {
  Weighted w{op, side, maps[1 - side], maps[2], {}, 0, {}, 0};
  AffineMap map = maps[side];
  auto type = cast<RankedTensorType>(w.weight().getType());
  if (!matchPattern(w.weight(), m_Constant()) || type.getNumElements() == 0 ||
      !map.isProjectedPermutation())
    return std::nullopt;
  SmallVector<unsigned> columns;
  for (unsigned loop = 0; loop < map.getNumDims(); ++loop) {
    bool here = map.isFunctionOfDim(loop), there = w.other.isFunctionOfDim(loop);
    if (w.result.isFunctionOfDim(loop) ? here && there : !here || !there)
      return std::nullopt;
    if (here && !there)
      columns.push_back(loop);
  }
  for (AffineExpr expr : w.other.getResults())
    for (unsigned loop = 0; loop < map.getNumDims(); ++loop)
      if (expr.isFunctionOfDim(loop) && !w.result.isFunctionOfDim(loop) &&
          !llvm::is_contained(w.depth, loop))
        w.depth.push_back(loop);
  if (columns.size() != 1 || w.depth.empty())
    return std::nullopt;
  auto axisOf = [&](unsigned loop) {
    return *map.getResultPosition(getAffineDimExpr(loop, op->getContext()));
  };
  w.column = columns[0];
  w.columnAxis = axisOf(w.column);
  for (unsigned loop : w.depth)
    w.depthAxes.push_back(axisOf(loop));
  return w;
}

std::optional<Weighted> matchWeighted(Operation *op) {
  if (auto contract = dyn_cast<ContractOp>(op))
    return contract.isShift() ? matchSide(op, contract.getMaps(), 1) : std::nullopt;
  auto contract = dyn_cast<linalg::ContractOp>(op);
  if (!contract)
    return std::nullopt;
  for (unsigned side : {1u, 0u})
    if (std::optional<Weighted> w = matchSide(op, contract.getIndexingMapsArray(), side))
      return w;
  return std::nullopt;
}

bool isF32(Value tensor) { return getElementTypeOrSelf(tensor.getType()).isF32(); }

/// Prices of a product with the weights as floats and as codes.
class Costs {
public:
  Costs(const Weighted &w, int64_t bits, const FormPrices &prices) : prices(prices), bits(bits) {
    auto weight = cast<RankedTensorType>(w.weight().getType());
    auto result = cast<RankedTensorType>(w.op->getResult(0).getType());
    columns = weight.getDimSize(w.columnAxis);
    depth = weight.getNumElements() / columns;
    for (auto [axis, expr] : llvm::enumerate(w.result.getResults())) {
      if (expr.isFunctionOfDim(w.column))
        continue;
      many *= nominalExtent(result, axis);
      few *= result.isDynamicDim(axis) ? 1 : result.getDimSize(axis);
    }
  }

  /// Where sizes are free, codes must pay for one row and must not cost for many.
  bool prefersCodes() const {
    return codes(few) * kWorth < floats(few) && codes(many) < floats(many) * kTie;
  }

private:
  /// What packed codes must gain, and what is as good.
  static constexpr double kWorth = 1.2, kTie = 1.03;
  /// Up to so many rows codes are decoded in registers, else to memory and back.
  static constexpr double kFewRows = 4;

  double price(double rows, double weightBytes, double decode) const {
    return prices.seconds(
        WorkSum{2 * rows * columns * depth, decode, 0, 4 * rows * (columns + depth) + weightBytes});
  }
  double floats(double rows) const { return price(rows, 4 * columns * depth, 0); }
  double codes(double rows) const {
    double perWord = UnpackCodesOp::codesPerWord(bits);
    return price(rows, 4 * columns * depth / perWord, (rows <= kFewRows ? 2 : 4) * columns * depth);
  }

  const FormPrices &prices;
  int64_t bits;
  double columns, depth, few = 1, many = 1;
};

class ShiftWeights : public impl::ShiftWeightsBase<ShiftWeights> {
public:
  using ShiftWeightsBase::ShiftWeightsBase;
  ShiftWeights(const FormPrices *prices, bool packs) : prices(prices), packs(packs) {}

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<ContractOp, linalg::ContractOp>(op))
        ops.push_back(op);
    });
    getOperation()->walk([&](linalg::GenericOp op) { reportConvolution(op); });
    IRRewriter rewriter(&getContext());
    for (Operation *op : ops) {
      rewriter.setInsertionPoint(op);
      if (packs && pack(op, rewriter))
        ++numPacked;
      else if (auto contract = dyn_cast<ContractOp>(op); contract && isExactShift(contract))
        multiply(contract, rewriter);
    }
  }

private:
  const FormPrices *prices = nullptr;
  bool packs = true;

  static bool isExactShift(ContractOp op) {
    return op.isShift() && !op.shiftsIntegers() && isF32(op.getInput()) && isF32(op.getResult());
  }

  /// Products of f32, and all shifts of i32.
  static bool hasKernel(const Weighted &w, bool integers) {
    if (integers)
      return getElementTypeOrSelf(w.input()).isInteger(32);
    return isF32(w.input()) && isF32(w.op->getResult(0)) && w.other.isProjectedPermutation();
  }

  bool pack(Operation *op, RewriterBase &rewriter) {
    std::optional<Weighted> w = matchWeighted(op);
    auto contract = dyn_cast<ContractOp>(op);
    bool integers = contract && contract.shiftsIntegers();
    if (!w || !hasKernel(*w, integers))
      return false;
    std::optional<int64_t> bias;
    if (contract && contract.hasCodes())
      bias = contract.getExponentBias();
    ShiftValues values(w->weight(), bias, integers);
    if (!values) {
      if (contract)
        refuse(op, "the magnitudes of its weights do not fit 8 bits");
      return false;
    }
    if (!integers && prices && !Costs(*w, values.bits, *prices).prefersCodes()) {
      refuse(op, "the product is bound by arithmetic, not by reading the weights");
      return false;
    }
    Location loc = op->getLoc();
    auto shape = cast<RankedTensorType>(w->weight().getType()).getShape();
    Value codes = packShiftCodes(rewriter, loc, values, shape, w->depthAxes, w->columnAxis);
    SmallVector<unsigned> axes(w->depth);
    axes.push_back(w->column);
    AffineMap maps[] = {
        w->other, AffineMap::getMultiDimMapWithTargets(w->other.getNumDims(), axes, &getContext()),
        w->result};
    remark::passed(loc, options("ShiftCodes"))
        << remark::add("weights are shift codes of {0} bits", values.bits)
        << remark::add("nodes {0}", nodeNames(loc));
    rewriter.replaceOpWithNewOp<ContractOp>(
        op, w->input(), codes, op->getOperand(2), ContractKind::Shift,
        rewriter.getAffineMapArrayAttr(maps), rewriter.getI64IntegerAttr(values.bias),
        contract ? contract.getRounding() : ContractRounding::Exact);
    return true;
  }

  /// A shift of floats is a product.
  void multiply(ContractOp op, RewriterBase &rewriter) {
    if (!op.getMaps()[0].isProjectedPermutation())
      refuse(op, kConvolution);
    if (op.hasCodes()) {
      Value weight = floatsOf(op, rewriter);
      if (!weight)
        return;
      rewriter.modifyOpInPlace(op, [&] {
        op.getWeightMutable().assign(weight);
        op.removeExponentBiasAttr();
      });
    }
    if (!isF32(op.getWeight()))
      return;
    if (llvm::all_of(op.getMaps(), [](AffineMap map) { return map.isProjectedPermutation(); })) {
      rewriter.replaceOpWithNewOp<linalg::ContractOp>(op, op->getResultTypes(),
                                                      ValueRange{op.getInput(), op.getWeight()},
                                                      op.getInit(), op.getIndexingMapsAttr());
      return;
    }
    if (FailureOr<SmallVector<Value>> sums = op.decompose(rewriter); succeeded(sums))
      rewriter.replaceOp(op, *sums);
  }

  /// The weights of constant codes, or null.
  static Value floatsOf(ContractOp op, RewriterBase &rewriter) {
    DenseIntElementsAttr codes;
    if (!matchPattern(op.getWeight(), m_Constant(&codes)))
      return {};
    int64_t bias = *op.getExponentBias();
    SmallVector<float> floats;
    for (const APInt &code : codes) {
      int64_t c = code.getSExtValue();
      float magnitude = c ? std::ldexp(1.0f, std::abs(c) - bias) : 0;
      floats.push_back(c < 0 ? -magnitude : magnitude);
    }
    auto type = codes.getType().clone(rewriter.getF32Type());
    return arith::ConstantOp::create(rewriter, op.getLoc(),
                                     DenseElementsAttr::get(type, ArrayRef(floats)));
  }

  /// A sum of products of an image, read at sums of loops, and constant filters.
  void reportConvolution(linalg::GenericOp op) {
    if (op.getNumReductionLoops() == 0 || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1)
      return;
    auto sum = op.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
    if (!sum || llvm::none_of(sum->getOperands(),
                              [](Value term) { return term.getDefiningOp<arith::MulFOp>(); }))
      return;
    for (OpOperand *filters : op.getDpsInputOperands()) {
      OpOperand *image = op.getDpsInputOperand(1 - filters->getOperandNumber());
      if (!op.getMatchingIndexingMap(image).isProjectedPermutation() &&
          matchPattern(filters->get(), m_Constant()) &&
          ShiftValues(filters->get(), {}, /*integers=*/false))
        refuse(op, kConvolution);
    }
  }

  static constexpr StringLiteral kConvolution =
      "filters are read from the cache, once per block of positions";

  void refuse(Operation *op, StringRef reason) {
    remark::missed(op->getLoc(), options("ShiftCodesNotUsed"))
        << remark::reason("{0}", reason) << remark::add("nodes {0}", nodeNames(op->getLoc()));
  }
  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-fuse")
        .function(getOperation().getName());
  }
};

} // namespace

std::unique_ptr<Pass> createShiftWeights(const FormPrices *prices, bool packs) {
  return std::make_unique<ShiftWeights>(prices, packs);
}

} // namespace attune
