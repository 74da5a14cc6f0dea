// Weights that depend on queries and keys by a sum of few products, or that an export holds as a
// constant table: by distance or of low rank.
#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/LinearMatch.h"
#include "attune/passes/raise/LowRank.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune {

/// Larger tables would take seconds.
static constexpr int64_t kMaxElements = 1 << 24;
/// Sums within sums.
static constexpr unsigned kMaxDepth = 24;
/// More terms cost as much as the table.
static constexpr int64_t kMaxTerms = 16;
/// Positions for every term, so that the sum over terms is cheaper than the table.
static constexpr int64_t kPositionsPerTerm = 3;

/// Adds a product to the tables as a sum of products, each of a function of the row and one of the
/// column.
bool LinearMatch::separate(Product product, unsigned depth) {
  if (!product.conditions.empty())
    return false;
  const Value *mixed = llvm::find_if(product.factors, [&](Value factor) {
    return elements.depends(factor, row) && elements.depends(factor, column);
  });
  if (mixed == product.factors.end()) {
    SmallVector<Value> sides[2];
    for (Value factor : product.factors)
      sides[elements.depends(factor, column) ? 1 : 0].push_back(factor);
    sides[0].push_back(elements.constantFloat(getElementTypeOrSelf(root), product.factor));
    for (auto [side, table, index] : {std::tuple(0, &queryTable, row), {1, &keyTable, column}}) {
      Value scalar = sides[side].empty() ? elements.constantFloat(getElementTypeOrSelf(root), 1)
                                         : products.multiply(sides[side]);
      for (Value free : elements.freeIndices(scalar))
        if (free != index)
          return false;
      table->push_back(scalar);
    }
    return int64_t(keyTable.size()) <= kMaxTerms;
  }
  if (depth == kMaxDepth)
    return false;
  unsigned place = mixed - product.factors.begin();
  Value scalar = *mixed;
  Product rest = product;
  rest.factors.erase(rest.factors.begin() + place);
  // A product with one term of the sum instead.
  auto withTerm = [&](const Product &term, double sign) {
    Product whole = rest;
    whole.factor *= sign * term.factor;
    llvm::append_range(whole.factors, term.factors);
    llvm::append_range(whole.conditions, term.conditions);
    return separate(whole, depth + 1);
  };
  Operation *op = scalar.getDefiningOp();
  if (isa_and_nonnull<arith::AddFOp, arith::SubFOp>(op))
    return withTerm(products.flatten(op->getOperand(0)), 1) &&
           withTerm(products.flatten(op->getOperand(1)), isa<arith::AddFOp>(op) ? 1 : -1);
  auto extents = products.summed(scalar);
  if (!extents || extents->size() > 1)
    return false;
  std::optional<int64_t> count = extents->empty() ? 1 : Sizes::asConstant(extents->front());
  if (!count || *count > kMaxTerms)
    return false;
  for (int64_t n = 0; n < *count; ++n) {
    SmallVector<Value> inner;
    if (!extents->empty())
      inner.push_back(elements.constantIndex(n));
    Product single;
    single.factors.push_back(scalar);
    std::optional<Product> term = products.expand(single, 0, inner);
    if (!term || !withTerm(*term, 1))
      return false;
  }
  return true;
}

/// Whether a scalar grows with positions: sums of such terms would round what their exact
/// difference does not.
static bool isPosition(Value scalar) {
  SmallVector<Value> pending{scalar};
  while (!pending.empty()) {
    Operation *op = pending.pop_back_val().getDefiningOp();
    if (!op || isa<tensor::ExtractOp, math::CosOp, math::SinOp, math::TanhOp>(op))
      continue;
    if (isa<arith::SIToFPOp, arith::UIToFPOp>(op))
      return true;
    llvm::append_range(pending, op->getOperands());
  }
  return false;
}

/// Position tables for a factor of the weights.
bool LinearMatch::splitWeight(Value factor) {
  if (!row || !keyTable.empty() || !keyTableValues.empty())
    return false;
  auto rows = Sizes::asConstant(elements.extentOf(row));
  auto columns = Sizes::asConstant(elements.extentOf(column));
  int64_t most =
      rows && columns
          ? std::min({*rows / kPositionsPerTerm, *columns / kPositionsPerTerm, kMaxTerms})
          : kMaxTerms;
  if (separate(products.flatten(factor), 0) && int64_t(keyTable.size()) <= most &&
      (keyTable.size() == 1 ||
       llvm::none_of(llvm::concat<Value>(queryTable, keyTable), isPosition)))
    return true;
  queryTable.clear();
  keyTable.clear();
  return false;
}

std::optional<LinearMatch::Table> LinearMatch::readTable(Value factor) {
  std::optional<ElementOf> element = elements.load(factor);
  std::optional<ConstantData> data =
      element && element->tensor ? ConstantData::get(element->tensor) : std::nullopt;
  if (!data || data->isSplat() || !isa<Float32Type, Float64Type>(factor.getType()) ||
      data->size() > kMaxElements)
    return std::nullopt;
  Table table;
  int64_t strides[3] = {0, 0, 0}, stride = 1, offset = 0;
  Value axes[3] = {heads.empty() ? Value() : heads[0], row, column};
  for (int64_t axis = data->getType().getRank(); axis-- > 0;) {
    Value index = element->indices[axis];
    int64_t extent = data->getType().getDimSize(axis);
    const Value *own = llvm::find(axes, index);
    if (std::optional<int64_t> constant = getConstantIntValue(index)) {
      offset += *constant * stride;
    } else if (own != std::end(axes) && strides[own - axes] == 0) {
      strides[own - axes] = stride;
      table.extents[own - axes] = extent;
    } else {
      return std::nullopt;
    }
    stride *= extent;
  }
  if (table.extents[1] != Sizes::asConstant(elements.extentOf(row)) ||
      table.extents[2] != Sizes::asConstant(elements.extentOf(column)))
    return std::nullopt;
  table.byHead = strides[0] != 0;
  table.isSingle = factor.getType().isF32();
  for (int64_t h = 0; h < table.extents[0]; ++h)
    for (int64_t i = 0; i < table.extents[1]; ++i)
      for (int64_t j = 0; j < table.extents[2]; ++j)
        table.values.push_back(
            data->getFloat(offset + h * strides[0] + i * strides[1] + j * strides[2]));
  return table;
}

/// The table as an element at `offset`, if equal distances have equal values.
Value LinearMatch::constantOfDistance(const Table &table) {
  auto [numHeads, rows, columns] = table.extents;
  auto type = cast<FloatType>(getElementTypeOrSelf(root));
  std::vector<Cell> cells;
  for (int64_t h = 0; h < numHeads; ++h) {
    auto at = [&](int64_t i, int64_t j) { return table.values[(h * rows + i) * columns + j]; };
    for (int64_t i = 1; i < rows; ++i)
      for (int64_t j = 1; j < columns; ++j)
        if (at(i, j) != at(i - 1, j - 1))
          return {};
    for (int64_t i = rows; i-- > 0;)
      cells.push_back(Cell{.f = at(i, 0)});
    for (int64_t j = 1; j < columns; ++j)
      cells.push_back(Cell{.f = at(0, j)});
  }
  OpBuilder builder(root.getContext());
  builder.setInsertionPoint(root.getDefiningOp());
  SmallVector<int64_t> shape{rows + columns - 1};
  SmallVector<Value> indices{offset};
  if (table.byHead) {
    shape.insert(shape.begin(), numHeads);
    indices.insert(indices.begin(), heads[0]);
  }
  Value constant = arith::ConstantOp::create(
      builder, root.getLoc(), makeConstant(RankedTensorType::get(shape, type), cells));
  return elements.at(constant, indices);
}

bool LinearMatch::splitTable(const Table &table) {
  auto [numHeads, rows, columns] = table.extents;
  if (table.byHead || !table.isSingle || !keyTableValues.empty() || !keyTable.empty())
    return false;
  int64_t most = std::min({kMaxTerms, rows / kPositionsPerTerm, columns / kPositionsPerTerm});
  std::optional<LowRank> terms = factorise(table.values, rows, columns, most);
  if (!terms)
    return false;
  queryTableValues = std::move(terms->left);
  keyTableValues = std::move(terms->right);
  return true;
}

/// [R, N] of constants.
Value LinearMatch::buildTable(OpBuilder &builder, Location loc, ArrayRef<double> values,
                              Value position) {
  int64_t extent = *Sizes::asConstant(elements.extentOf(position));
  auto cells = llvm::map_to_vector(values, [](double value) { return Cell{.f = value}; });
  auto type = RankedTensorType::get({int64_t(values.size()) / extent, extent},
                                    cast<FloatType>(getElementTypeOrSelf(root)));
  return arith::ConstantOp::create(builder, loc, makeConstant(type, cells));
}

} // namespace attune
