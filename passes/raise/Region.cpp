#include "attune/passes/raise/Region.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace attune {

/// A computation on positions alone is repeated for every element up to this many operators.
static constexpr unsigned kMaxPositionOps = 16;

/// Whether a constant is read at a place that takes more than integers to find, like a logarithmic
/// bucket of the distance.
static bool isLookedUp(Elements &elements, const ElementOf &element) {
  if (!matchPattern(element.tensor, m_Constant()))
    return false;
  SmallVector<Value> pending(element.indices);
  llvm::SmallDenseSet<Value> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || !seen.insert(value).second)
      continue;
    if (isa<FloatType>(value.getType()) && !matchPattern(value, m_Constant()))
      return true;
    llvm::append_range(pending, op->getOperands());
  }
  return false;
}

const ElementOf *RegionBuilder::loadInstead(Value scalar) {
  auto seen = loads.find(scalar);
  if (seen != loads.end())
    return &seen->second;
  for (Value given : givenScalars)
    if (elements.depends(scalar, given))
      return nullptr;
  // Of the tensors that hold the scalar, the one that varies with the fewest indices.
  SmallVector<ElementOf> candidates(elements.sources(scalar));
  if (std::optional<ElementOf> load = elements.load(scalar))
    candidates.insert(candidates.begin(), *load);
  auto varies = [&](const ElementOf &element) {
    unsigned own = llvm::count_if(element.indices,
                                  [](Value index) { return !matchPattern(index, m_Constant()); });
    // The look-up is done once for all batches and layers instead.
    return isLookedUp(elements, element) ? 1 + elements.freeIndices(scalar).size() : own;
  };
  // What was looked up is read in the order in which it was last arranged, that of its use.
  bool lookedUp = llvm::any_of(
      candidates, [&](const ElementOf &element) { return isLookedUp(elements, element); });
  const ElementOf *best = nullptr;
  for (const ElementOf &candidate : candidates)
    if (!best || varies(candidate) < varies(*best) + lookedUp)
      best = &candidate;
  if (!best)
    return nullptr;
  bool isLoad = elements.load(scalar).has_value();
  if (!isLoad) {
    llvm::SetVector<Value> below = elements.loads(scalar);
    size_t own = elements.freeIndices(scalar).size();
    bool heldByInput =
        llvm::any_of(below, [&](Value load) { return elements.freeIndices(load).size() >= own; });
    if (below.empty() ? elements.cost(scalar) <= kMaxPositionOps
                      : !heldByInput || varies(*best) > own)
      return nullptr;
  }
  return &(loads[scalar] = *best);
}

void RegionBuilder::plan(Value scalar) {
  if (givenScalars.contains(scalar) || elements.isIndex(scalar) || !planned.insert(scalar).second)
    return;
  Operation *op = scalar.getDefiningOp();
  if (!op) {
    captured.insert(elements.outside(scalar));
    return;
  }
  if (const ElementOf *element = loadInstead(scalar)) {
    captured.insert(element->tensor);
    for (Value index : SmallVector<Value>(element->indices))
      plan(index);
    return;
  }
  for (Value operand : op->getOperands())
    plan(operand);
}

void RegionBuilder::start(OpBuilder &into, const IRMapping &arguments,
                          ValueRange captureArguments) {
  builder = &into;
  values = arguments;
  for (auto [value, argument] : llvm::zip(captured, captureArguments))
    values.map(value, argument);
}

Value RegionBuilder::emit(Value scalar) {
  if (Value value = values.lookupOrNull(scalar))
    return value;
  Operation *op = scalar.getDefiningOp();
  if (!op) {
    Value captured = values.lookup(elements.outside(scalar));
    values.map(scalar, captured);
    return captured;
  }
  Value result;
  if (auto load = loads.find(scalar); load != loads.end()) {
    ElementOf element = load->second;
    SmallVector<Value> indices;
    for (Value index : element.indices)
      indices.push_back(emit(index));
    result = tensor::ExtractOp::create(*builder, builder->getUnknownLoc(),
                                       values.lookup(element.tensor), indices);
  } else {
    for (Value operand : op->getOperands())
      emit(operand);
    result = builder->clone(*op, values)->getResult(0);
  }
  values.map(scalar, result);
  return result;
}

} // namespace attune
