#include "attune/codegen/gpu/GemmResults.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

/// So many more columns of a row in shared memory, against bank conflicts.
static constexpr int64_t kPadding = 8;
/// Sums of 16 bytes.
static constexpr int64_t kLanes = 4;
/// Buffers are aligned to it, as operands of asynchronous copies are.
static constexpr int64_t kBufferAlignment = 16;

int64_t GemmResults::bytes(int64_t rows, int64_t columns) {
  return rows * (columns + kPadding) * kSumBytes;
}

int64_t GemmResults::lanesOf(const GemmKernel &kernel) {
  return kernel.g.n.multipleOf(kLanes) ? kLanes : 1;
}

GemmResults::GemmResults(DeviceBuilder &kb, Scope &scope, const GemmKernel &kernel, int64_t columns)
    : kb(kb), scope(scope), kernel(kernel), columns(columns), lanes(scope, lanesOf(kernel)),
      epilogue(kernel.g.epilogue, scope, lanes) {
  if (lanes.count == 1)
    return;
  // LLVM makes vectors of accesses from what it knows about addresses.
  auto aligned = [&](Value buffer) {
    scope.atEntry([&] {
      Value yes = kb.constI(1, kb.b.getI1Type());
      Value alignment = kb.constI(kBufferAlignment, kb.b.getI64Type());
      LLVM::AssumeOp::create(kb.b, kb.loc, yes, LLVM::AssumeAlignTag(), buffer, alignment);
      return buffer;
    });
  };
  KernelOp op = kernel.op;
  for (unsigned i = 0; i < op.getInputs().size(); ++i)
    aligned(scope.input(i));
  for (unsigned i = 0; i < op.getNumResults(); ++i)
    aligned(scope.output(i));
}

bool GemmResults::valid() { return !epilogue.broken && isConstantIntValue(lanes.error(), 0); }

Value GemmResults::address(Value memory, Value row, Value column) {
  Value element = kb.add(kb.mul(row, columns + kPadding), column);
  return kb.sharedAt(memory, kb.mul(element, kSumBytes));
}

void GemmResults::put(Value memory, Value row, Value column, ValueRange sums) {
  int64_t count = sums.size();
  Value vector =
      vector::FromElementsOp::create(kb.b, kb.loc, kb.vec(count, kernel.sumType()), sums);
  LLVM::StoreOp::create(kb.b, kb.loc, vector, address(memory, row, column), count * kSumBytes);
}

Value GemmResults::load(Value address) {
  Type sum = kernel.sumType(), type = lanes.count == 1 ? sum : Type(kb.vec(lanes.count, sum));
  return LLVM::LoadOp::create(kb.b, kb.loc, type, address, lanes.count * kSumBytes);
}

Value GemmResults::partOffset(Value part, Value batch, Value row, Value column) {
  GemmExtents extents = kernel.extents(scope);
  Value index = kb.add(kb.mul(part, extents.batch), batch);
  index = kb.add(kb.mul(index, extents.m), row);
  return kb.add(kb.mul(index, extents.n), column);
}

void GemmResults::finish(Value memory, Value thread, int64_t threads, int64_t rows,
                         const GemmBlock &block, bool partial,
                         llvm::function_ref<Value(Value)> rowOf) {
  GemmExtents extents = kernel.extents(scope);
  int64_t perRow = columns / lanes.count, atOnce = threads / perRow;
  assert(atOnce && "a row has a thread for each of its vectors");
  Value inRow = kb.mul(kb.rem(thread, kb.idx(perRow)), lanes.count);
  Value column = kb.add(block.column, inRow);
  kb.forLoop(kb.div(thread, perRow), kb.idx(rows), atOnce, [&](Value position) {
    Value row = rowOf(position);
    Value exists =
        arith::AndIOp::create(kb.b, kb.loc, kb.lt(row, extents.m), kb.lt(column, extents.n));
    kb.ifThen(exists, [&] {
      Value sums = load(address(memory, position, inRow));
      if (partial) {
        Value offset = partOffset(block.part, block.batch, row, column);
        Value to = kb.gep(scope.scratch(0), offset, kernel.sumType());
        LLVM::StoreOp::create(kb.b, kb.loc, sums, to, lanes.count * kSumBytes);
        return;
      }
      GemmPoint point{sums, block.batch, row, column, lanes.count, /*partial=*/{}};
      epilogue.run(point, kernel.g.product.result, [&] { return Lane(sums); });
    });
  });
}

void GemmResults::finishParts(Value number, Value parts) {
  GemmExtents extents = kernel.extents(scope);
  Value column = kb.rem(number, extents.n), rows = kb.div(number, extents.n);
  Value row = kb.rem(rows, extents.m), batch = kb.div(rows, extents.m);
  Value apart = kb.mul(kb.mul(extents.batch, extents.m), extents.n);
  auto sumsOf = [&](Value part) {
    Value offset = kb.add(kb.mul(part, apart), number);
    return load(kb.gep(scope.scratch(0), offset, kernel.sumType()));
  };
  Value sums = kb.forLoop(kb.idx(1), parts, 1, sumsOf(kb.idx(0)), [&](Value part, ValueRange sum) {
    Value own = sumsOf(part);
    if (kernel.sumType().isInteger())
      return Values{arith::AddIOp::create(kb.b, kb.loc, sum[0], own)};
    return Values{arith::AddFOp::create(kb.b, kb.loc, sum[0], own)};
  })[0];
  GemmPoint point{sums, batch, row, column, lanes.count, /*partial=*/{}};
  epilogue.run(point, kernel.g.product.result, [&] { return Lane(sums); });
}

} // namespace attune::codegen
