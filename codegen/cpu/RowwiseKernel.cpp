#include "attune/codegen/cpu/RowwiseCode.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

//===--------------------------------------------------------------------------------------------===//
// Rows and tasks
//===--------------------------------------------------------------------------------------------===//

RowwiseCode::Limits RowwiseCode::limits(Scope &scope) {
  Value rows = scope.get(plan.rowCount());
  if (plan.laneBlock)
    rows = kb.mul(rows, kb.ceilDiv(scope.get(plan.extents.at(plan.lane)), plan.laneBlock));
  Value perTask =
      kb.add(kb.div(kb.idx(16 * RowwisePlan::kTaskCycles), scope.get(plan.rowCost())), 1);
  return {rows, perTask};
}

void RowwiseCode::buildKernel(ModuleOp module, StringRef name, func::FuncOp task) {
  kb.kernel(module, name, [&](const KernelArgs &args) {
    Scope scope(*plan.sizes, kb, args);
    Limits limit = limits(scope);
    Value tasks =
        kb.div(kb.sub(kb.add(limit.rows, limit.rowsPerTask), kb.idx(1)), limit.rowsPerTask);
    return kb.parallelFor(args, tasks, task);
  });
}

static constexpr int64_t kAlign = 64;

Size RowwiseCode::scratchBytes() const {
  Size bytes(0);
  for (auto &[value, inner] : plan.kept)
    bytes = bytes + plan.keptElements(value) * Size(storageBytes(getElementTypeOrSelf(value))) +
            Size(kAlign);
  return bytes.is(0) ? bytes : bytes + Size(kAlign);
}

void RowwiseCode::buildRow(ArrayRef<Value> index, Value block) {
  at.clear();
  ready.clear();
  for (auto [axisClass, value] : llvm::zip(plan.rows, index))
    at[axisClass] = Lane(value);
  if (plan.laneBlock) {
    blockStart = kb.mul(block, plan.laneBlock);
    blockEnd = kb.min(kb.add(blockStart, plan.laneBlock), scope->get(plan.extents.at(plan.lane)));
  }
  scoped([&] {
    for (Stage &stage : plan.stages)
      buildStage(stage);
  });
}

/// The numbers of each row class, outermost first, and of blocks of the lane class: behind them, or
/// before the last.
Values RowwiseCode::radices() {
  Values radix;
  for (int axisClass : plan.rows)
    radix.push_back(scope->get(plan.extents.at(axisClass)));
  if (plan.laneBlock)
    radix.insert(radix.end() - plan.blocksOutside,
                 kb.ceilDiv(scope->get(plan.extents.at(plan.lane)), plan.laneBlock));
  return radix;
}

/// Leaves the digits of row classes; null if there are no blocks.
Value RowwiseCode::takeBlock(Values &digits) {
  if (!plan.laneBlock)
    return {};
  auto block = digits.end() - 1 - plan.blocksOutside;
  Value number = *block;
  digits.erase(block);
  return number;
}

Values RowwiseCode::digitsOf(Value number, ValueRange radix) {
  Values digits(radix.size());
  for (int64_t digit = static_cast<int64_t>(radix.size()) - 1; digit >= 0; --digit) {
    digits[digit] = digit == 0 ? number : kb.rem(number, radix[digit]);
    if (digit > 0)
      number = kb.div(number, radix[digit]);
  }
  return digits;
}

Value RowwiseCode::buildShared(Scope &rowScope, const RowGroup &rowGroup, Value number) {
  Lanes rowLanes(rowScope, plan.lanes);
  scope = &rowScope;
  lanes = &rowLanes;
  group = &rowGroup;
  zero = scope->atEntry([&] { return kb.idx(0); });
  for (auto &[value, inner] : plan.kept)
    buffers[value] = rowGroup.buffer(value);
  Values index = digitsOf(number, radices());
  Value block = takeBlock(index);
  buildRow(index, block);
  Value code = lanes->error();
  scope = nullptr;
  lanes = nullptr;
  group = nullptr;
  return code;
}

func::FuncOp RowwiseCode::buildTask(ModuleOp module, StringRef name) {
  return kb.task(module, name, [&](const KernelArgs &args) -> Value {
    Scope taskScope(*plan.sizes, kb, args);
    Lanes taskLanes(taskScope, plan.lanes);
    scope = &taskScope;
    lanes = &taskLanes;
    zero = scope->atEntry([&] { return kb.idx(0); });
    if (!plan.kept.empty()) {
      Value mine = kb.mul(args.worker, scope->get(scratchBytes()));
      auto aligned = [&](Value bytes) {
        return kb.mul(kb.div(kb.add(bytes, kAlign - 1), kAlign), kAlign);
      };
      Value position = aligned(mine);
      for (auto &[value, inner] : plan.kept) {
        buffers[value] = kb.gep(scope->scratch(0), position, kb.b.getI8Type());
        Size bytes = plan.keptElements(value) * Size(storageBytes(getElementTypeOrSelf(value)));
        position = aligned(kb.add(position, scope->get(bytes)));
      }
    }
    Limits limit = limits(*scope);
    Value first = kb.mul(args.task, limit.rowsPerTask);
    Value last = kb.min(limit.rows, kb.add(first, limit.rowsPerTask));

    // Counted up row by row.
    Values radix = radices(), start = digitsOf(first, radix);
    auto row = [&](ValueRange digits) {
      Values index(digits);
      Value block = takeBlock(index);
      buildRow(index, block);
      Values next(digits);
      Value carry = kb.idx(1);
      for (int64_t digit = static_cast<int64_t>(radix.size()) - 1; digit >= 0; --digit) {
        Value up = kb.add(next[digit], carry);
        if (digit == 0) {
          next[digit] = up;
          break;
        }
        Value wraps = kb.eq(up, radix[digit]);
        next[digit] = kb.select(wraps, zero, up);
        carry = kb.select(wraps, kb.idx(1), zero);
      }
      return next;
    };
    if (start.empty())
      kb.forLoop(first, last, 1, [&](Value) { row({}); });
    else
      kb.forLoop(first, last, 1, start, [&](Value, ValueRange digits) { return row(digits); });
    Value code = lanes->error();
    scope = nullptr;
    lanes = nullptr;
    return code;
  });
}

} // namespace attune::codegen
