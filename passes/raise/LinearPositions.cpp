// Features that are position tables times common features: cosFormer, vicinity attention.
#include "attune/passes/raise/LinearMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

/// The tensor element with this product, if the feature index is one of its axes.
std::optional<ElementOf> LinearMatch::featureTensor(ArrayRef<Value> factors) {
  std::optional<std::pair<Value, double>> whole = products.whole(factors);
  if (!whole || whole->second != 1)
    return std::nullopt;
  SmallVector<ElementOf> candidates(elements.sources(whole->first));
  if (std::optional<ElementOf> load = elements.load(whole->first))
    candidates.push_back(*load);
  for (const ElementOf &candidate : candidates)
    if (candidate.tensor && llvm::is_contained(candidate.indices, feature))
      return candidate;
  return std::nullopt;
}

/// How many features lie side by side in a tensor that is a concatenation, or joins two axes.
std::optional<int64_t> LinearMatch::termWidth(const ElementOf &element) {
  if (auto concat = element.tensor.getDefiningOp<tensor::ConcatOp>())
    if (element.indices[concat.getDim()] == feature)
      return Sizes::asConstant(sizes.of(concat.getInputs()[0], concat.getDim()));
  SmallVector<Value> pending{elements.at(element.tensor, element.indices)};
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op)
      continue;
    if (isa<arith::DivUIOp>(op) && op->getOperand(0) == feature)
      return getConstantIntValue(op->getOperand(1));
    llvm::append_range(pending, op->getOperands());
  }
  return std::nullopt;
}

/// Splits features (r, d) into a factor of r and position, and a factor of d and what else there
/// is.
bool LinearMatch::splitTerms(SmallVector<Value> &factors, Value position, Value inner,
                             int64_t numTerms, int64_t width, SmallVector<Value> &table) {
  std::optional<ElementOf> element = featureTensor(factors);
  if (!element)
    return false;
  SmallVector<Product, 1> terms;
  for (int64_t r = 0; r < numTerms; ++r) {
    Value index = elements.make<arith::AddIOp>(inner, elements.constantIndex(r * width));
    SmallVector<Value> indices(element->indices);
    llvm::replace(indices, feature, index);
    terms.push_back(products.flatten(elements.at(element->tensor, indices)));
    if (!terms.back().conditions.empty())
      return false;
  }
  SmallVector<Value> common;
  for (Value factor : terms[0].factors)
    if (elements.depends(factor, inner))
      common.push_back(factor);
  table.clear();
  for (Product &term : terms) {
    if (!removeAll(term.factors, common))
      return false;
    Type type = getElementTypeOrSelf(element->tensor.getType());
    term.factors.push_back(elements.constantFloat(type, term.factor));
    table.push_back(products.multiply(term.factors));
    for (Value index : elements.freeIndices(table.back()))
      if (index != position)
        return false;
  }
  factors = common;
  return !common.empty();
}

void LinearMatch::matchPositions() {
  if (!row || !keyTable.empty() || !keyTableValues.empty())
    return;
  std::optional<ElementOf> element = featureTensor(keyFactors);
  std::optional<int64_t> width = element ? termWidth(*element) : std::nullopt;
  std::optional<int64_t> count = Sizes::asConstant(elements.extentOf(feature));
  if (!width || !count || *width <= 0 || *count % *width != 0 || *count == *width)
    return;
  Value inner = elements.addIndex(sizes.constant(*width));
  SmallVector<Value> queries(queryFactors), keys(keyFactors), tables[2];
  if (!splitTerms(queries, row, inner, *count / *width, *width, tables[0]) ||
      !splitTerms(keys, column, inner, *count / *width, *width, tables[1]))
    return;
  queryFactors = queries;
  keyFactors = keys;
  queryTable = tables[0];
  keyTable = tables[1];
  feature = inner;
}

Value LinearMatch::buildTable(OpBuilder &builder, Location loc, ArrayRef<Value> table,
                              Value position) {
  SmallVector<Value> rows;
  for (Value scalar : table) {
    Operand operand;
    operand.groups = {{}, {position}};
    matchOperand(operand, scalar, false);
    rows.push_back(buildOperand(builder, loc, operand));
  }
  return tensor::ConcatOp::create(builder, loc, 0, rows);
}

} // namespace attune
