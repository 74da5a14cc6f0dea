// Products of attention by wgmma (sm_90a): four warps have 64 rows of queries, which stay in shared
// memory, as keys and values do; weights are operands in registers.
#include "attune/codegen/gpu/AttentionBlock.h"
#include "attune/codegen/gpu/WarpGroups.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace attune::codegen {

void AttentionBlock::publishCopies() {
  // Threads have copied what another engine reads.
  if (shape.warpGroups)
    NVVM::FenceProxyOp::create(
        kb.b, kb.loc, NVVM::ProxyKindAttr::get(kb.b.getContext(), NVVM::ProxyKind::async_shared),
        NVVM::SharedSpaceAttr::get(kb.b.getContext(), NVVM::SharedSpace::shared_cta));
}

Values AttentionBlock::scoresOfGroup(Value keysAt) {
  WarpGroups groups(kb, plan.query->element);
  Value first =
      kb.mul(kb.div(kb.thread(), WarpGroups::kThreads), WarpGroups::kRows * WarpGroups::kRowBytes);
  Value queriesAt = kb.sharedAt(kb.sharedAt(memory, kb.idx(layout.queryOffset())), first);
  Value sums = groups.noSums(shape.keys);
  groups.fence();
  for (int64_t panel = 0; panel < layout.keyPanels; ++panel) {
    auto descriptor = [&](Value at, const TileLayout &tile) {
      return groups.descriptor(kb.sharedAt(at, kb.idx(panel * tile.bytes())), true, 0);
    };
    Value q = descriptor(queriesAt, layout.query), k = descriptor(keysAt, layout.key);
    for (int64_t step = 0; step < layout.key.columns / WarpGroups::kDepth; ++step)
      sums = groups.multiply(groups.atDepth(q, true, step), true, groups.atDepth(k, true, step),
                             true, sums, shape.keys, /*accumulate=*/panel + step > 0);
  }
  groups.commit();
  groups.waitForProducts();
  Values all;
  for (int64_t i = 0; i < shape.keys / 2; ++i)
    all.push_back(groups.sum(sums, i));
  return all;
}

void AttentionBlock::accumulateByGroup(Values &outputs, ValueRange weights, Value valuesAt) {
  WarpGroups groups(kb, plan.query->element);
  Value values = groups.descriptor(valuesAt, false, layout.value.bytes());
  // One text, so that nothing writes a register of an operand behind the fence.
  Values operands(outputs);
  int64_t count = outputs.size(), steps = shape.keys / WarpGroups::kDepth, next = 2 * count;
  StringRef type = plan.query->element.isF16() ? "f16" : "bf16";
  auto registers = [](int64_t first, int64_t count) {
    std::string list;
    for (int64_t i = 0; i < count; ++i)
      list += (i ? ", $" : "$") + std::to_string(first + i);
    return "{" + list + "}";
  };
  std::string text = "wgmma.fence.sync.aligned;\n", inputs, results;
  for (int64_t i = 0; i < count; ++i) {
    results += i ? ",=f" : "=f";
    inputs += "," + std::to_string(i);
  }
  for (int64_t step = 0; step < steps; ++step, next += 5) {
    llvm::append_range(operands, fragments.weights(weights, step).high);
    operands.push_back(groups.atDepth(values, false, step));
    inputs += ",r,r,r,r,l";
    text += llvm::formatv("wgmma.mma_async.sync.aligned.m64n{0}k16.f32.{1}.{1} {2}, {3}, ${4}, 1, "
                          "1, 1, 1;\n",
                          2 * count, type, registers(0, count), registers(next, 4), next + 4)
                .str();
  }
  text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;";
  auto sums =
      LLVM::LLVMStructType::getLiteral(kb.b.getContext(), SmallVector<Type>(count, kb.f32()));
  Value all =
      LLVM::InlineAsmOp::create(
          kb.b, kb.loc, sums, operands, text, results + inputs, /*has_side_effects=*/true,
          /*is_align_stack=*/false, LLVM::TailCallKind::None,
          LLVM::AsmDialectAttr::get(kb.b.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr())
          .getResult(0);
  for (auto [i, output] : llvm::enumerate(outputs))
    output = LLVM::ExtractValueOp::create(kb.b, kb.loc, all, int64_t(i));
}

} // namespace attune::codegen
