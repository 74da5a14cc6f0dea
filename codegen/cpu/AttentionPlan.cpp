#include "attune/codegen/cpu/AttentionPlan.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune::codegen {

// Scratch grows with it.
static constexpr int64_t kMaxHeadDim = 8192;

static std::optional<double> constantFloat(Value value) {
  FloatAttr attr;
  if (!value || !matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  return attr.getValueAsDouble();
}

bool AttentionPlan::readOperands() {
  // A sink may also be one number for all heads.
  Value sinks = op.getSink();
  if (auto fill = sinks ? sinks.getDefiningOp<linalg::FillOp>() : nullptr)
    constantSink = constantFloat(fill.getInputs()[0]);
  if (!readOperand(sizes, op.getQuery(), query) || !readOperand(sizes, op.getKey(), key) ||
      !readOperand(sizes, op.getValue(), value) || !readOperand(sizes, op.getScores(), scores) ||
      (!constantSink && !readOperand(sizes, sinks, sink)) ||
      !readOperand(sizes, op.getQOffset(), queryOffset) ||
      !readOperand(sizes, op.getKvLen(), keyLength))
    return false;
  for (const auto *operand : {&query, &key, &value, &scores, &sink})
    if (*operand && !isStorage((*operand)->element))
      return false;
  for (const auto *operand : {&queryOffset, &keyLength})
    if (*operand && !(*operand)->element.isIndex() && !(*operand)->element.isInteger(64) &&
        !(*operand)->element.isInteger(32))
      return false;
  if (op.getScale()) {
    scale = constantFloat(op.getScale());
    if (!scale)
      return false;
  }
  Value rows = op.getQuery() ? op.getQuery() : op.getScores();
  for (auto [tensor, axis] :
       {std::pair(rows, 0), {rows, 1}, {op.getValue(), 1}, {rows, 2}, {op.getValue(), 2}}) {
    MaybeSize extent = sizes.extent(tensor, axis);
    if (!extent)
      return false;
    extents.push_back(*extent);
  }
  auto depth = [&](Value tensor) {
    MaybeSize extent = sizes.extent(tensor, 3);
    return extent ? extent->constant().value_or(-1) : -1;
  };
  headDim = op.getQuery() ? depth(op.getQuery()) : 0;
  valueDim = depth(op.getValue());
  return headDim >= (op.getQuery() ? 1 : 0) && headDim <= kMaxHeadDim &&
         valueDim >= (result ? 1 : 0) && valueDim <= kMaxHeadDim;
}

/// Every result of the kernel is one of the operator's, of which `lse` may be the only one.
bool AttentionPlan::readResults() {
  auto slotOf = [&](OpResult value) -> std::optional<AttentionOperand> * {
    auto owner = dyn_cast<AttentionOp>(value.getOwner());
    if (!owner || (op && op != owner))
      return nullptr;
    op = owner;
    return value == op.getResult() ? &result : value == op.getLse() ? &lse : &logits;
  };
  return codegen::readResults(sizes, slotOf) && (result || lse);
}

bool AttentionPlan::readRegion(bool isScore, std::unique_ptr<AttentionRegion> &region) {
  if (isScore ? !op.hasScore() : !op.hasMask())
    return true;
  region = std::make_unique<AttentionRegion>(op, isScore);
  if (!Lanes::supports(region->block, sizes))
    return false;
  for (Operation &inner : region->block)
    if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
      if (isTable(*region, extract, *readView(sizes, extract.getTensor())))
        tables.push_back(extract);
    }
  return true;
}

/// Whether neighbouring keys are neighbours in memory and queries are not.
bool AttentionPlan::isTable(AttentionRegion &region, tensor::ExtractOp extract, const View &view) {
  if (!isStorage(extract.getType()) && !extract.getType().isInteger(1))
    return false;
  int64_t keys = 0;
  bool queries = false;
  for (auto [value, stride] : llvm::zip(extract.getIndices(), view.strides)) {
    std::optional<LinearIndex> index = readLinear(region, value);
    if (!index)
      return false;
    if (stride.is(0))
      continue;
    if (index->j && (!stride.is(1) || index->j != 1 || keys++))
      return false;
    // Lanes along a diagonal (position i - j) are neighbours too.
    queries |= (index->i || index->n) && !(stride.is(1) && std::abs(index->i + index->n) == 1);
  }
  return keys && queries;
}

bool AttentionPlan::read() {
  if (!readResults() || op.getBlockIndex() || !op.getAccumType().isF32() ||
      !op.getWeightType().isF32())
    return false;
  if (!readOperands() || !readRegion(true, score) || !readRegion(false, mask))
    return false;
  if (mask)
    facts = mineMask(*mask);
  return true;
}

} // namespace attune::codegen
