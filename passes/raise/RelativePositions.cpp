#include "attune/passes/Passes.h"
#include "attune/passes/raise/ConvolutionBuild.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <cmath>

using namespace mlir;

namespace attune {
#define GEN_PASS_DEF_RAISERELATIVEPOSITIONS
#include "attune/passes/Passes.h.inc"

namespace {
/// A flop of a transform takes as long as this many of a matrix product.
constexpr double kTransformPenalty = 8;

/// One contraction of query features with sums over keys that a convolution gives.
class Match {
public:
  Match(func::FuncOp func, Contraction output, unsigned sums)
      : sizes(func), output(output), sums(sums), convolution(sizes, output.operands[sums]) {}

  /// False if this is nothing of the kind, or if `reason` is set.
  bool run();
  LinearAttentionOp build(OpBuilder &builder);

  std::string reason;
  DftOp transform() const { return convolution.inverse; }

private:
  bool readLoops();
  bool readSignal();
  bool findTensors();
  bool transformsAreCheaper();
  std::function<AffineExpr(Value)> extentOf() {
    return [this](Value index) { return convolution.elements.extentOf(index); };
  }

  Sizes sizes;
  Contraction output;
  unsigned sums;
  ConvolutionMatch convolution;
  SmallVector<Value> ofLoop; ///< index of every loop, null for extent 1
  SmallVector<Value> batch, heads, features, values;
  Value position, query, key, value;
  IndexGroups queryGroups, keyGroups, valueGroups, tableGroups;
  std::optional<Layout> queryLayout, keyLayout, valueLayout, tableLayout;
};
} // namespace

bool Match::run() {
  if (!convolution.run()) {
    reason = convolution.reason;
    return false;
  }
  if (!readLoops() || !readSignal() || !findTensors())
    return false;
  if (transformsAreCheaper()) {
    reason = "the transforms cost less than the sums over positions";
    return false;
  }
  return true;
}

/// Which loop of the contraction is what: query position, feature, value column, or batch.
bool Match::readLoops() {
  unsigned loops = output.maps[0].getNumDims();
  ofLoop.resize(loops);
  position = convolution.indices[convolution.timeAxis];
  for (auto [axis, expr] : llvm::enumerate(output.maps[sums].getResults())) {
    Value index = convolution.indices[axis];
    if (convolution.elements.isIndex(index))
      ofLoop[cast<AffineDimExpr>(expr).getPosition()] = index;
  }
  SmallVector<Value> shared = convolution.kernelIndices();
  AffineMap own = output.maps[sums], other = output.maps[1 - sums], result = output.resultMap;
  SmallVector<int64_t> ranges = output.op.getStaticLoopRanges();
  for (unsigned loop = 0; loop < loops; ++loop) {
    Value index = ofLoop[loop];
    bool inOther = other.isFunctionOfDim(loop), inResult = result.isFunctionOfDim(loop);
    // Matrix products have an axis of one row that the sums lack.
    if (!own.isFunctionOfDim(loop) && ranges[loop] != 1)
      return false;
    if (!index)
      continue;
    if (index == position) {
      if (!inOther || !inResult)
        return false;
    } else if (!inResult) {
      features.push_back(index);
    } else if (!inOther) {
      values.push_back(index);
    } else {
      (llvm::is_contained(shared, index) ? heads : batch).push_back(index);
    }
  }
  for (Value index : shared)
    if (!llvm::is_contained(heads, index))
      return false;
  return true;
}

/// The signal as a product of key features and values.
bool Match::readSignal() {
  Value signal = convolution.input.scalar;
  // A product on a zero-filled accumulator.
  if (auto sum = signal.getDefiningOp<arith::AddFOp>())
    for (unsigned side : {0, 1})
      if (asFloat(sum->getOperand(side)) == 0.0)
        signal = sum->getOperand(1 - side);
  auto product = signal.getDefiningOp<arith::MulFOp>();
  if (!product)
    return false;
  auto dependsOnAny = [&](Value scalar, ArrayRef<Value> indices) {
    return llvm::any_of(indices,
                        [&](Value index) { return convolution.elements.depends(scalar, index); });
  };
  for (unsigned side : {0, 1}) {
    key = product->getOperand(side);
    value = product->getOperand(1 - side);
    if (!dependsOnAny(key, values) && !dependsOnAny(value, features))
      return true;
  }
  reason = "the signal is no product of features and values";
  return false;
}

bool Match::findTensors() {
  Elements &elements = convolution.elements;
  SmallVector<Value> at;
  for (AffineExpr expr : output.maps[1 - sums].getResults()) {
    Value index = ofLoop[cast<AffineDimExpr>(expr).getPosition()];
    at.push_back(index ? index : elements.constantIndex(0));
  }
  query = elements.at(output.operands[1 - sums], at);
  Value past = convolution.input.position;
  queryGroups = {batch, heads, {position}, features};
  keyGroups = {batch, heads, {past}, features};
  valueGroups = {batch, heads, {past}, values};
  tableGroups = {{convolution.kernel.position}};
  if (!convolution.kernelIndices().empty())
    tableGroups.push_back(heads);
  auto find = [&](Value scalar, const IndexGroups &groups) {
    return findLayout(elements, sizes, scalar, groups, extentOf());
  };
  queryLayout = find(query, queryGroups);
  keyLayout = find(key, keyGroups);
  valueLayout = find(value, valueGroups);
  tableLayout = find(convolution.kernel.scalar, tableGroups);
  if (!queryLayout || !keyLayout || !valueLayout || !tableLayout) {
    reason = "no tensor holds features, values or coefficients by themselves";
    return false;
  }
  return true;
}

bool Match::transformsAreCheaper() {
  auto product = [&](ArrayRef<Value> indices) -> std::optional<double> {
    double size = 1;
    for (Value index : indices) {
      auto extent = Sizes::asConstant(convolution.elements.extentOf(index));
      if (!extent)
        return std::nullopt;
      size *= *extent;
    }
    return size;
  };
  auto length = Sizes::asConstant(convolution.length);
  auto f = product(features), e = product(values), n = product(position),
       m = product(convolution.input.position);
  if (!length || !f || !e || !n || !m)
    return false;
  double direct = 2 * *n * *m * (*f + *e);
  double transforms = 2 * 2.5 * *length * std::log2(std::max(2.0, double(*length))) * *f * *e;
  return direct > transforms * kTransformPenalty;
}

LinearAttentionOp Match::build(OpBuilder &builder) {
  Location loc = output.op.getLoc();
  auto tensor = [&](const Layout &layout, const IndexGroups &groups) {
    return buildLayout(builder, loc, sizes, layout, groups, extentOf());
  };
  Value q = tensor(*queryLayout, queryGroups), k = tensor(*keyLayout, keyGroups);
  Value v = tensor(*valueLayout, valueGroups), table = tensor(*tableLayout, tableGroups);
  table = buildCoefficients(builder, loc, sizes, convolution, table, /*reversed=*/true);
  auto type = cast<RankedTensorType>(table.getType());
  if (type.getRank() == 2) {
    SmallVector<OpFoldResult> shape;
    for (int64_t axis : {1, 0})
      shape.push_back(tensor::getMixedSize(builder, loc, table, axis));
    Value init = tensor::EmptyOp::create(builder, loc, shape, type.getElementType());
    table = linalg::TransposeOp::create(builder, loc, table, init, ArrayRef<int64_t>{1, 0})
                ->getResult(0);
  }
  SmallVector<int64_t> extents(cast<RankedTensorType>(q.getType()).getShape());
  extents.back() = cast<RankedTensorType>(v.getType()).getShape().back();
  auto resultType = RankedTensorType::get(extents, type.getElementType());
  auto op = LinearAttentionOp::create(builder, loc, resultType, q, k, v,
                                      convolution.isCausal() ? Direction::Causal
                                                             : Direction::Bidirectional);
  op.getToeplitzMutable().assign(table);
  SmallVector<Value> axes;
  for (AffineExpr expr : output.resultMap.getResults())
    axes.push_back(ofLoop[cast<AffineDimExpr>(expr).getPosition()]);
  Value result = ungroup(builder, loc, convolution.elements, sizes, op.getResult(),
                         {batch, heads, {position}, values}, axes);
  Type wanted = output.result().getType();
  if (result.getType() != wanted)
    result = tensor::CastOp::create(builder, loc, wanted, result);
  output.result().replaceAllUsesWith(result);
  return op;
}

namespace {
struct RaiseRelativePositions : impl::RaiseRelativePositionsBase<RaiseRelativePositions> {
  using RaiseRelativePositionsBase::RaiseRelativePositionsBase;

  void runOnOperation() override {
    SmallVector<Contraction> contractions;
    if (getOperation().getOps<DftOp>().empty())
      return;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (std::optional<Contraction> contraction = matchContraction(op))
        contractions.push_back(*contraction);
    });
    for (Contraction &contraction : contractions)
      for (unsigned operand : {0, 1})
        if (raise(contraction, operand))
          break;
    getOperation().walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
      if (isOpTriviallyDead(op))
        op->erase();
    });
  }

private:
  bool raise(Contraction &output, unsigned operand) {
    Type element = getElementTypeOrSelf(output.operands[operand].getType());
    if (!element.isF32() && !element.isF64())
      return false;
    Match match(getOperation(), output, operand);
    if (!match.run()) {
      if (!match.reason.empty()) {
        ++numRefused;
        remark::missed(output.op.getLoc(), options("RelativePositionsNotRaised"))
            << remark::reason("{0}", match.reason)
            << remark::add("nodes {0}", nodeNames(output.op.getLoc()));
      }
      return false;
    }
    OpBuilder builder(output.op);
    LinearAttentionOp op = match.build(builder);
    ++numRaised;
    remark::passed(op.getLoc(), options("RelativePositionsRaised"))
        << remark::add("{0}", "attention by transforms as linear attention with relative positions")
        << remark::add("nodes {0}", nodeNames(op.getLoc()));
    return true;
  }

  remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("attune-raise")
        .function(getOperation().getName());
  }
};
} // namespace
} // namespace attune
