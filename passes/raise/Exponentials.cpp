#include "attune/passes/raise/Exponentials.h"

#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/Region.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;

namespace attune {

/// The factors of a product, nested ones too; sums with 0, as zero-filled accumulators leave them,
/// are looked through.
static void splitProduct(Value scalar, SmallVector<Value> &factors) {
  if (auto sum = scalar.getDefiningOp<arith::AddFOp>())
    for (unsigned side : {0, 1})
      if (asFloat(sum->getOperand(side)) == 0.0)
        return splitProduct(sum->getOperand(1 - side), factors);
  if (auto product = scalar.getDefiningOp<arith::MulFOp>()) {
    splitProduct(product.getLhs(), factors);
    splitProduct(product.getRhs(), factors);
    return;
  }
  factors.push_back(scalar);
}

/// Whether a float is the value of the index: 0, 1, 2, ...
static bool isPosition(Elements &elements, Value scalar, Value position) {
  while (Operation *op = scalar.getDefiningOp()) {
    if (scalar == position)
      return true;
    if (isa<arith::SIToFPOp, arith::UIToFPOp, arith::IndexCastOp, arith::IndexCastUIOp,
            arith::ExtFOp>(op)) {
      scalar = op->getOperand(0);
      continue;
    }
    auto sum = dyn_cast<arith::AddFOp>(op);
    if (sum && (asFloat(sum.getLhs()) == 0.0 || asFloat(sum.getRhs()) == 0.0)) {
      scalar = asFloat(sum.getLhs()) == 0.0 ? sum.getRhs() : sum.getLhs();
      continue;
    }
    // A constant 0.0, 1.0, 2.0, ...
    std::optional<ElementOf> element = elements.load(scalar);
    std::optional<ConstantData> data =
        element && element->tensor ? ConstantData::get(element->tensor) : std::nullopt;
    if (!data || !isa<FloatType>(data->getType().getElementType()))
      return false;
    int64_t size = 1;
    for (auto [index, extent] : llvm::zip(element->indices, data->getType().getShape())) {
      if (index != position && !matchPattern(index, m_Zero()))
        return false;
      if (index != position && extent != 1)
        return false;
      size *= extent;
    }
    for (int64_t n = 0; n < size; ++n)
      if (data->getFloat(n) != double(n))
        return false;
    return llvm::is_contained(element->indices, position);
  }
  return scalar == position;
}

std::optional<Exponentials> matchExponentials(Elements &elements, Sizes &sizes, Value kernel,
                                              Value position) {
  Exponentials law;
  SmallVector<Value> factors;
  splitProduct(kernel, factors);
  // A sum over n, with factors outside.
  for (unsigned number = 0; number < factors.size(); ++number) {
    std::optional<ElementOf> element = elements.load(factors[number]);
    auto op = element && element->tensor ? element->tensor.getDefiningOp<linalg::LinalgOp>()
                                         : linalg::LinalgOp();
    if (!op || op.getNumReductionLoops() != 1 || !elements.depends(factors[number], position))
      continue;
    SmallVector<unsigned> loops;
    op.getReductionDims(loops);
    AffineExpr states;
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<RankedTensorType>(operand.get().getType()))
        continue;
      for (auto [axis, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
        if (expr == getAffineDimExpr(loops[0], op.getContext()))
          states = sizes.of(operand.get(), axis);
    }
    if (!states)
      return std::nullopt;
    law.state = elements.addIndex(states);
    std::optional<Elements::Reduced> reduced = elements.reduced(*element, law.state);
    if (!reduced || !reduced->isSum)
      return std::nullopt;
    factors.erase(factors.begin() + number);
    splitProduct(reduced->element, factors);
    break;
  }
  bool found = false;
  for (Value factor : factors) {
    if (!elements.depends(factor, position)) {
      law.weight.push_back(factor);
      continue;
    }
    if (found)
      return std::nullopt;
    found = true;
    if (auto power = factor.getDefiningOp<math::PowFOp>()) {
      if (elements.depends(power.getLhs(), position) ||
          !isPosition(elements, power.getRhs(), position))
        return std::nullopt;
      law.decay = power.getLhs();
      continue;
    }
    auto exponential = factor.getDefiningOp<math::ExpOp>();
    if (!exponential)
      return std::nullopt;
    SmallVector<Value> exponents;
    splitProduct(exponential.getOperand(), exponents);
    bool hasPosition = false;
    for (Value exponent : exponents) {
      if (!elements.depends(exponent, position)) {
        law.logDecay.push_back(exponent);
        continue;
      }
      if (hasPosition || !isPosition(elements, exponent, position))
        return std::nullopt;
      hasPosition = true;
    }
    if (!hasPosition || law.logDecay.empty())
      return std::nullopt;
    if (law.logDecay.size() == 1)
      if (auto log = law.logDecay[0].getDefiningOp<math::LogOp>()) {
        law.decay = log.getOperand();
        law.logDecay.clear();
      }
  }
  return found ? std::optional(law) : std::nullopt;
}

namespace {
/// Values of scalars whose loads are all of constants.
class Evaluator {
public:
  Evaluator(Elements &elements, ArrayRef<Value> indices) : elements(elements), indices(indices) {}

  std::optional<Cell> get(Value scalar, ArrayRef<int64_t> at) {
    if (auto place = llvm::find(indices, scalar); place != indices.end())
      return Cell{.i = at[place - indices.begin()]};
    if (auto known = cells.find(scalar); known != cells.end())
      return known->second;
    std::optional<Cell> cell = compute(scalar, at);
    cells[scalar] = cell;
    return cell;
  }
  void clear() { cells.clear(); }

private:
  std::optional<Cell> compute(Value scalar, ArrayRef<int64_t> at) {
    Operation *op = scalar.getDefiningOp();
    if (!op)
      return std::nullopt;
    Attribute constant;
    if (matchPattern(scalar, m_Constant(&constant))) {
      if (auto real = dyn_cast<FloatAttr>(constant))
        return Cell{.f = real.getValueAsDouble()};
      auto integer = dyn_cast<IntegerAttr>(constant);
      return integer ? std::optional(Cell{.i = integer.getInt()}) : std::nullopt;
    }
    SmallVector<Cell> operands;
    std::optional<ElementOf> element = elements.load(scalar);
    for (Value operand : element ? ValueRange(element->indices) : op->getOperands()) {
      std::optional<Cell> cell = get(operand, at);
      if (!cell)
        return std::nullopt;
      operands.push_back(*cell);
    }
    if (!element)
      return evaluateScalar(op, operands);
    std::optional<ConstantData> data =
        element->tensor ? ConstantData::get(element->tensor) : std::nullopt;
    if (!data)
      return std::nullopt;
    int64_t position = 0;
    for (auto [index, extent] : llvm::zip(operands, data->getType().getShape())) {
      if (index.i < 0 || index.i >= extent)
        return std::nullopt;
      position = position * extent + index.i;
    }
    return readCell(*data, position);
  }

  Elements &elements;
  SmallVector<Value> indices;
  llvm::DenseMap<Value, std::optional<Cell>> cells;
};
} // namespace

namespace {
/// A scalar that is an element of a constant, at strides of two indices.
struct ConstantView {
  ConstantData data;
  int64_t strides[2] = {0, 0};

  static std::optional<ConstantView> get(Elements &elements, Value scalar, Value row,
                                         Value column) {
    std::optional<ElementOf> element = elements.load(scalar);
    std::optional<ConstantData> data =
        element && element->tensor ? ConstantData::get(element->tensor) : std::nullopt;
    if (!data || !isa<FloatType>(data->getType().getElementType()))
      return std::nullopt;
    ConstantView view{*data};
    int64_t stride = 1;
    for (int64_t axis = data->getType().getRank(); axis-- > 0;) {
      Value index = element->indices[axis];
      int64_t size = data->getType().getDimSize(axis);
      if (!matchPattern(index, m_Zero())) {
        bool isOwn = index == row || index == column;
        if (!isOwn || Sizes::asConstant(elements.extentOf(index)) != size)
          return std::nullopt;
        view.strides[index == row ? 0 : 1] += stride;
      }
      stride *= size;
    }
    return view;
  }
};
} // namespace

/// The products row by row; empty if something is not constant.
static std::vector<Cell> productsOf(Elements &elements, ArrayRef<Value> factors, bool exponential,
                                    Value row, Value column, int64_t rows, int64_t columns) {
  Evaluator evaluator(elements, {row, column});
  SmallVector<std::optional<ConstantView>> views;
  for (Value factor : factors)
    views.push_back(ConstantView::get(elements, factor, row, column));
  std::vector<Cell> cells;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      evaluator.clear();
      double product = 1;
      for (auto [factor, view] : llvm::zip(factors, views)) {
        if (view) {
          product *= view->data.getFloat(i * view->strides[0] + j * view->strides[1]);
          continue;
        }
        std::optional<Cell> cell = evaluator.get(factor, {i, j});
        if (!cell)
          return {};
        product *= cell->f;
      }
      cells.push_back(Cell{.f = exponential ? std::exp(product) : product});
    }
  return cells;
}

Value buildTable(OpBuilder &builder, Location loc, Elements &elements, Sizes &sizes,
                 ArrayRef<Value> factors, bool exponential, Value row, Value column,
                 FloatType element) {
  AffineExpr one = sizes.constant(1);
  AffineExpr extents[2] = {row ? elements.extentOf(row) : one,
                           column ? elements.extentOf(column) : one};
  auto rows = Sizes::asConstant(extents[0]), columns = Sizes::asConstant(extents[1]);
  if (rows && columns) {
    std::vector<Cell> cells =
        productsOf(elements, factors, exponential, row, column, *rows, *columns);
    auto type = RankedTensorType::get({*rows, *columns}, element);
    if (int64_t(cells.size()) == type.getNumElements())
      return arith::ConstantOp::create(builder, loc, makeConstant(type, cells));
  }
  Value scalar;
  for (Value factor : factors)
    scalar = scalar ? elements.make<arith::MulFOp>(scalar, factor) : factor;
  if (!scalar)
    scalar = elements.constantFloat(element, 1);
  if (exponential)
    scalar = elements.make<math::ExpOp>(scalar);
  RegionBuilder region(elements);
  region.plan(scalar);
  SmallVector<OpFoldResult> shape{sizes.get(builder, loc, extents[0]),
                                  sizes.get(builder, loc, extents[1])};
  Value init = tensor::EmptyOp::create(builder, loc, shape, element);
  SmallVector<utils::IteratorType> loops(2, utils::IteratorType::parallel);
  auto body = [&](OpBuilder &b, Location loc, ValueRange) {
    IRMapping map;
    for (auto [axis, index] : llvm::enumerate(ArrayRef<Value>{row, column}))
      if (index)
        map.map(index, linalg::IndexOp::create(b, loc, axis).getResult());
    region.start(b, map, region.captures());
    linalg::YieldOp::create(b, loc, region.emit(scalar));
  };
  return linalg::GenericOp::create(builder, loc, init.getType(), ValueRange(), init,
                                   builder.getMultiDimIdentityMap(2), loops, body)
      .getResult(0);
}

} // namespace attune
