#include "attune/passes/Passes.h"
#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/Match.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <cmath>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_FOLDAFFINE
#include "attune/passes/Passes.h.inc"

namespace {

/// Weights with more elements are not rewritten.
constexpr int64_t kMaxWeights = int64_t(1) << 26;

/// A product of an input and constant weights, summed from 0: contraction or convolution.
struct WeightedSum {
  linalg::LinalgOp op;
  unsigned weights;
  ConstantData data;
};

std::optional<WeightedSum> matchWeightedSum(Operation *op) {
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!linalgOp || !linalgOp.hasPureTensorSemantics() || linalgOp.getNumDpsInputs() != 2 ||
      linalgOp.getNumDpsInits() != 1 || !isZeroTensor(linalgOp.getDpsInits()[0]) ||
      linalgOp.getNumReductionLoops() == 0)
    return std::nullopt;
  Block &body = *linalgOp.getBlock();
  Operation *sum = body.getTerminator()->getOperand(0).getDefiningOp();
  Operation *product = nullptr;
  if (isa_and_nonnull<arith::AddFOp>(sum))
    for (Value operand : sum->getOperands())
      if (auto mul = operand.getDefiningOp<arith::MulFOp>())
        product = mul;
  if (!product || llvm::range_size(body.without_terminator()) != 2)
    return std::nullopt;
  for (unsigned n : {0, 1}) {
    std::optional<ConstantData> data = ConstantData::get(linalgOp.getDpsInputs()[n]);
    AffineMap map = linalgOp.getIndexingMapsArray()[n];
    if (data && map.isProjectedPermutation() && data->size() <= kMaxWeights &&
        isa<FloatType>(data->getType().getElementType()))
      return WeightedSum{linalgOp, n, *data};
  }
  return std::nullopt;
}

/// The value of a scalar where `load` is `at` and the channel index is `channel`.
class ChannelValue {
public:
  ChannelValue(Elements &elements, Value load, Value index)
      : elements(elements), load(load), index(index) {}

  std::optional<double> run(Value scalar, double at, int64_t channel) {
    this->at = at;
    this->channel = channel;
    known.clear();
    std::optional<Cell> cell = evaluate(scalar);
    return cell ? std::optional(cell->f) : std::nullopt;
  }

private:
  std::optional<Cell> evaluate(Value scalar) {
    if (scalar == load)
      return Cell{.f = at};
    if (scalar == index)
      return Cell{.i = channel};
    if (auto entry = known.find(scalar); entry != known.end())
      return entry->second;
    std::optional<Cell> cell = compute(scalar);
    if (cell)
      known[scalar] = *cell;
    return cell;
  }

  std::optional<Cell> compute(Value scalar) {
    if (std::optional<double> constant = asFloat(scalar))
      return Cell{.f = *constant};
    APInt integer;
    if (matchPattern(scalar, m_ConstantInt(&integer)))
      return Cell{.i = integer.getSExtValue()};
    Operation *op = scalar.getDefiningOp();
    if (!op)
      return std::nullopt;
    if (std::optional<ElementOf> element = elements.load(scalar)) {
      std::optional<ConstantData> data = ConstantData::get(element->tensor);
      if (!data)
        return std::nullopt;
      int64_t position = 0;
      for (auto [axis, value] : llvm::enumerate(element->indices)) {
        std::optional<Cell> at = evaluate(value);
        if (!at || at->i < 0 || at->i >= data->getType().getDimSize(axis))
          return std::nullopt;
        position = position * data->getType().getDimSize(axis) + at->i;
      }
      return readCell(*data, position);
    }
    SmallVector<Cell> operands;
    for (Value operand : op->getOperands()) {
      operands.push_back(Cell{.i = 0});
      std::optional<Cell> cell = evaluate(operand);
      if (!cell)
        return std::nullopt;
      operands.back() = *cell;
    }
    // Not rounded to the tensors' type: the folded weights are rounded once.
    if (isa<arith::AddFOp>(op))
      return Cell{.f = operands[0].f + operands[1].f};
    if (isa<arith::SubFOp>(op))
      return Cell{.f = operands[0].f - operands[1].f};
    if (isa<arith::MulFOp>(op))
      return Cell{.f = operands[0].f * operands[1].f};
    if (isa<arith::DivFOp>(op))
      return Cell{.f = operands[0].f / operands[1].f};
    if (auto divide = dyn_cast<arith::DivUIOp>(op); divide && operands[1].i > 0)
      return Cell{.i = operands[0].i / operands[1].i};
    if (auto rest = dyn_cast<arith::RemUIOp>(op); rest && operands[1].i > 0)
      return Cell{.i = operands[0].i % operands[1].i};
    return evaluateScalar(op, operands);
  }

  Elements &elements;
  Value load, index;
  double at = 0;
  int64_t channel = 0;
  llvm::DenseMap<Value, Cell> known;
};

/// True if the load enters the scalar only through sums, factors and casts.
bool isAffineIn(Elements &elements, Value scalar, Value load) {
  if (scalar == load || !elements.depends(scalar, load))
    return true;
  Operation *op = scalar.getDefiningOp();
  auto both = [&](Value a, Value b) {
    return isAffineIn(elements, a, load) && isAffineIn(elements, b, load);
  };
  if (isa<arith::AddFOp, arith::SubFOp>(op))
    return both(op->getOperand(0), op->getOperand(1));
  if (isa<arith::MulFOp>(op))
    return both(op->getOperand(0), op->getOperand(1)) &&
           !(elements.depends(op->getOperand(0), load) &&
             elements.depends(op->getOperand(1), load));
  if (isa<arith::DivFOp>(op))
    return isAffineIn(elements, op->getOperand(0), load) &&
           !elements.depends(op->getOperand(1), load);
  return isa<arith::NegFOp>(op) && isAffineIn(elements, op->getOperand(0), load);
}

struct FoldAffine : impl::FoldAffineBase<FoldAffine> {
  using FoldAffineBase::FoldAffineBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> candidates;
    getOperation().walk([&](linalg::LinalgOp op) {
      auto isFactor = [](Operation &inner) { return isa<arith::MulFOp, arith::DivFOp>(inner); };
      auto isSum = [](Operation &inner) { return isa<arith::AddFOp, arith::SubFOp>(inner); };
      if (op.getNumLoops() == op.getNumParallelLoops() && op->getNumResults() == 1 &&
          op.hasPureTensorSemantics() &&
          (llvm::any_of(*op.getBlock(), isFactor) || llvm::any_of(*op.getBlock(), isSum)))
        candidates.push_back(op);
    });
    Sizes sizes(getOperation());
    // The last operator of a chain has all of it.
    for (linalg::LinalgOp op : llvm::reverse(candidates))
      if (!op->use_empty() && fold(op, sizes))
        ++numFolded;
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  bool fold(linalg::LinalgOp op, Sizes &sizes) {
    Value result = op->getResult(0);
    Elements elements(sizes);
    elements.setBudget(128);
    SmallVector<Value> indices = elements.addIndices(result);
    Value scalar = elements.at(result, indices);
    // One weighted sum, and constants that vary with one axis of the result.
    Value load;
    std::optional<WeightedSum> sum;
    std::optional<int64_t> channel;
    bool scales = false;
    for (Value other : elements.loads(scalar)) {
      std::optional<ElementOf> element = elements.load(other);
      if (auto found = matchWeightedSum(element->tensor.getDefiningOp()); found && !load) {
        load = other;
        sum = found;
        continue;
      }
      if (!ConstantData::get(element->tensor))
        return false;
      for (Value index : elements.freeIndices(other)) {
        int64_t axis = llvm::find(indices, index) - indices.begin();
        if (channel && *channel != axis)
          return false;
        channel = axis;
      }
    }
    Type element = getElementTypeOrSelf(result);
    if (!load || !channel || (!element.isF32() && !element.isF64()) ||
        !isAffineIn(elements, scalar, load))
      return false;
    std::optional<int64_t> count = Sizes::asConstant(elements.extentOf(indices[*channel]));
    if (!count || !hasOneUser(elements, load, sum->op))
      return false;
    std::vector<double> factors, shifts;
    ChannelValue value(elements, load, indices[*channel]);
    for (int64_t c = 0; c < *count; ++c) {
      std::optional<double> zero = value.run(scalar, 0, c), one = value.run(scalar, 1, c);
      if (!zero || !one || !std::isfinite(*zero) || !std::isfinite(*one))
        return false;
      shifts.push_back(*zero);
      factors.push_back(*one - *zero);
      scales |= factors.back() != 1;
    }
    if (!scales)
      return false;
    Value input = elements.tensorAt(load, indices, cast<RankedTensorType>(result.getType()));
    return input &&
           scaleWeights(elements, *sum, *elements.load(load), indices[*channel], factors) &&
           addShift(op, input, *channel, shifts);
  }

  /// Every operator between the sum and the result is used once.
  static bool hasOneUser(Elements &elements, Value load, linalg::LinalgOp sum) {
    auto usedOnce = [](Operation *op) {
      return llvm::count_if(op->getUsers(), [](Operation *user) {
               return !isa<tensor::DimOp>(user) && !isOpTriviallyDead(user);
             }) == 1;
    };
    for (auto [op, scalar] : elements.inlined())
      if (elements.depends(scalar, load) && op != elements.inlined().back().first && !usedOnce(op))
        return false;
    return usedOnce(sum);
  }

  static bool scaleWeights(Elements &elements, WeightedSum &sum, const ElementOf &element,
                           Value channel, ArrayRef<double> factors) {
    // The axes of the sum that vary with the channel must be axes of the weights.
    SmallVector<AffineMap> maps = sum.op.getIndexingMapsArray();
    AffineMap weightMap = maps[sum.weights], outMap = maps.back();
    SmallVector<std::pair<unsigned, Value>> axes; // axis of the weights, index by the channel
    for (auto [axis, index] : llvm::enumerate(element.indices)) {
      if (!elements.depends(index, channel))
        continue;
      AffineExpr loop = outMap.getResult(axis);
      std::optional<unsigned> position = weightMap.getResultPosition(loop);
      if (!position)
        return false;
      axes.push_back({*position, index});
    }
    if (axes.empty())
      return false;
    ArrayRef<int64_t> shape = sum.data.getType().getShape();
    // Where each channel's weights are.
    std::vector<int64_t> strides(shape.size(), 1);
    for (int64_t axis = int64_t(shape.size()) - 1; axis-- > 0;)
      strides[axis] = strides[axis + 1] * shape[axis + 1];
    std::map<std::vector<int64_t>, int64_t> channelAt;
    for (int64_t c = 0; c < int64_t(factors.size()); ++c) {
      std::vector<int64_t> key;
      for (auto [axis, index] : axes) {
        std::optional<int64_t> at = indexAt(index, channel, c);
        if (!at)
          return false;
        key.push_back(*at);
      }
      channelAt[key] = c;
    }
    std::vector<Cell> cells(sum.data.size());
    for (int64_t n = 0; n < sum.data.size(); ++n) {
      std::vector<int64_t> key;
      for (auto [axis, index] : axes)
        key.push_back(n / strides[axis] % shape[axis]);
      auto found = channelAt.find(key);
      if (found == channelAt.end())
        return false;
      cells[n].f = sum.data.getFloat(n) * factors[found->second];
    }
    OpBuilder builder(sum.op);
    Value weights = arith::ConstantOp::create(builder, sum.op.getLoc(),
                                              makeConstant(sum.data.getType(), cells));
    sum.op->setOperand(sum.op.getDpsInputOperand(sum.weights)->getOperandNumber(), weights);
    return true;
  }

  static std::optional<int64_t> indexAt(Value index, Value channel, int64_t c) {
    if (index == channel)
      return c;
    APInt constant;
    if (matchPattern(index, m_ConstantInt(&constant)))
      return constant.getSExtValue();
    Operation *op = index.getDefiningOp();
    if (!op || !isa<arith::DivUIOp, arith::RemUIOp>(op))
      return std::nullopt;
    std::optional<int64_t> a = indexAt(op->getOperand(0), channel, c);
    std::optional<int64_t> b = indexAt(op->getOperand(1), channel, c);
    if (!a || !b || *b <= 0)
      return std::nullopt;
    return isa<arith::DivUIOp>(op) ? *a / *b : *a % *b;
  }

  /// The result as the (reshaped) sum plus one constant per channel.
  static bool addShift(linalg::LinalgOp op, Value input, int64_t channel, ArrayRef<double> shifts) {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    OpBuilder builder(op);
    std::vector<Cell> cells;
    for (double shift : shifts)
      cells.push_back(Cell{.f = shift});
    auto vectorType = RankedTensorType::get({int64_t(shifts.size())}, type.getElementType());
    Value vector = arith::ConstantOp::create(builder, op.getLoc(), makeConstant(vectorType, cells));
    AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
    AffineMap byChannel =
        AffineMap::get(type.getRank(), 0, builder.getAffineDimExpr(channel), op->getContext());
    SmallVector<utils::IteratorType> parallel(type.getRank(), utils::IteratorType::parallel);
    auto shifted = linalg::GenericOp::create(
        builder, op.getLoc(), TypeRange{type}, ValueRange{input, vector},
        ValueRange{op.getDpsInits()[0]}, ArrayRef<AffineMap>{identity, byChannel, identity},
        parallel, [](OpBuilder &b, Location loc, ValueRange args) {
          Value sum = arith::AddFOp::create(b, loc, args[0], args[1]);
          linalg::YieldOp::create(b, loc, sum);
        });
    op->getResult(0).replaceAllUsesWith(shifted.getResult(0));
    return true;
  }
};
} // namespace
} // namespace attune
