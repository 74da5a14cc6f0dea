#include "attune/search/templates/BlockCost.h"

namespace attune::search {

llvm::Expected<BlockCost> costOf(const Model &model) {
  CompileReport report;
  if (llvm::Error error = compile(model, "", /*onlyPredict=*/true, &report))
    return std::move(error);
  BlockCost result;
  const ModelCost &cost = report.predictions.front();
  for (const ModelCost::Call &call : cost.calls)
    result.kernels.push_back({call.features});
  result.flops = cost.flops;
  result.storedBytes = cost.storedBytes;
  result.arenaBytes = cost.arenaBytes;
  result.ioBytes = cost.ioBytes;
  result.params = model.params;
  return result;
}

/// What else is touched by a kernel on one thread that writes its result.
static double bytesBeside(const codegen::KernelFeatures &kernel) {
  double bytes = 0;
  for (const codegen::BufferUse &use : kernel.uses)
    bytes += use.written ? 0 : use.bytes;
  for (const codegen::KernelPlan::Scratch &scratch : kernel.plan.scratch)
    bytes += scratch.shared + scratch.perThread;
  return bytes;
}

BlockCost amongOthers(BlockCost block, bool first, bool last) {
  using Kind = codegen::BufferUse::Kind;
  bool fresh = true; // what the block before has just written
  for (BlockCost::Kernel &kernel : block.kernels) {
    codegen::KernelFeatures &features = kernel.features;
    for (codegen::BufferUse &use : features.uses) {
      if (use.kind != Kind::Distant || (use.written ? last : first))
        continue;
      use.kind = Kind::Exchanged;
      features.distantBytes -= use.bytes;
      if (fresh && !use.written)
        use.distance = features.work.bytes + bytesBeside(block.kernels.back().features);
      fresh &= use.written;
    }
  }
  return block;
}

/// Whether the cost model knows no difference.
static bool same(const codegen::KernelFeatures &a, const codegen::KernelFeatures &b) {
  auto numbers = [](const codegen::KernelFeatures &f) {
    const WorkSum &w = f.work;
    const codegen::KernelPlan &p = f.plan;
    return std::array{w.fma,      w.arithmetic,   w.transcendental, w.bytes,
                      w.multiply, w.shift,        w.distance,       f.weightBytes,
                      p.tasks,    f.stridedBytes, p.padding,        p.visited,
                      p.copied,   p.rows,         p.columns,        p.instructions};
  };
  auto equal = [](const codegen::OpCount &a, const codegen::OpCount &b) {
    return a.kind == b.kind && a.bits == b.bits && a.count == b.count;
  };
  return a.emitter == b.emitter && a.form == b.form && llvm::equal(a.counts, b.counts, equal) &&
         numbers(a) == numbers(b);
}

BlockCost operator-(BlockCost whole, const BlockCost &part) {
  std::vector<BlockCost::Kernel> added;
  std::vector<bool> common(part.kernels.size());
  for (BlockCost::Kernel &kernel : whole.kernels) {
    size_t i = 0;
    while (i < common.size() && (common[i] || !same(part.kernels[i].features, kernel.features)))
      ++i;
    if (i < common.size())
      common[i] = true;
    else
      added.push_back(std::move(kernel));
  }
  for (size_t i = 0; i < common.size(); ++i)
    if (!common[i])
      added.push_back({part.kernels[i].features, -1});
  whole.kernels = std::move(added);
  whole.flops -= part.flops;
  whole.storedBytes -= part.storedBytes;
  whole.params -= part.params;
  return whole;
}

} // namespace attune::search
