// Weights that an export holds as a constant table of queries and keys: by distance or of low rank.
#include "attune/passes/canonicalize/ConstantEval.h"
#include "attune/passes/raise/LinearMatch.h"
#include "attune/passes/raise/LowRank.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune {

/// Larger tables would take seconds.
static constexpr int64_t kMaxElements = 1 << 24;
/// More terms cost as much as the table.
static constexpr int64_t kMaxTerms = 16;
/// Positions for every term, so that the sum over terms is cheaper than the table.
static constexpr int64_t kPositionsPerTerm = 3;

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
  if (table.byHead || !table.isSingle || !keyTableValues.empty())
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
