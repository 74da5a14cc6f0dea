//===- LinearAttention.cpp - Times linear attention -------------------------------------------===//
//
//   attune-kernel-bench linear [--cpu=host] [--threads=1] [--dim=64] [--heads=8] [--update=sum]
//       [--form=auto] [--bidirectional] [--sizes=1,1024,1,4096] [--rounds=30]
//
// `sizes` are batch, positions. Flops are those of the chunked form with chunks of 64, the causal
// half of the square counted: B H (2 N T D + 4 N D^2) with D features and columns, and 4 B H N D^2
// for the bidirectional form.
//
//===--------------------------------------------------------------------------------------------===//
#include "attune/codegen/cpu/LinearAttention.h"
#include "Bench.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>

using namespace mlir;
using namespace attune::codegen;

namespace attune::bench {

namespace {

struct Options {
  int64_t dim = 64, heads = 8, rounds = 30;
  bool causal = true;
  Update update = Update::Sum;
  Form form = Form::Auto;
  std::vector<int64_t> sizes = {1, 1, 1, 1024, 1, 2048, 1, 4096, 1, 8192, 1, 16384};
};

Options parse(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef arg = argv[i];
    if (arg.consume_front("--dim="))
      arg.getAsInteger(10, options.dim);
    else if (arg.consume_front("--heads="))
      arg.getAsInteger(10, options.heads);
    else if (arg.consume_front("--rounds="))
      arg.getAsInteger(10, options.rounds);
    else if (arg.consume_front("--update="))
      options.update = symbolizeUpdate(arg).value_or(options.update);
    else if (arg.consume_front("--form="))
      options.form = symbolizeForm(arg).value_or(options.form);
    else if (arg == "--bidirectional")
      options.causal = false;
    else if (arg.consume_front("--sizes=")) {
      options.sizes.clear();
      llvm::SmallVector<llvm::StringRef> parts;
      arg.split(parts, ',');
      for (llvm::StringRef part : parts)
        part.getAsInteger(10, options.sizes.emplace_back());
    }
  }
  return options;
}

LinearAttentionSpec makeSpec(const Options &options) {
  LinearAttentionSpec spec;
  spec.keyDim = spec.valueDim = options.dim;
  spec.causal = options.causal;
  spec.update = options.update;
  spec.form = options.form;
  spec.values = [options](KernelBuilder &kb, const KernelArgs &args) {
    LinearAttentionValues v;
    v.batch = kb.dim(args, 0);
    v.heads = v.kvHeads = kb.idx(options.heads);
    v.queries = v.keys = kb.dim(args, 1);
    auto tensor = [&](int64_t buffer, int64_t width) {
      AttentionTensor t;
      t.base = kb.buffer(args, buffer);
      t.offset = kb.idx(0);
      t.element = kb.f32();
      t.strides = {kb.mul(v.queries, width * options.heads), kb.mul(v.queries, width),
                   kb.idx(width), kb.idx(1)};
      return t;
    };
    v.query = tensor(0, options.dim);
    v.key = tensor(1, options.dim);
    v.value = tensor(2, options.dim);
    v.result = tensor(3, options.dim);
    // All gates are 0: they cost the same.
    if (options.update == Update::Gated || options.update == Update::GatedDelta)
      v.decay = tensor(4, 1);
    if (options.update == Update::Delta || options.update == Update::GatedDelta)
      v.beta = tensor(4, 1);
    v.mu = kb.constF(0.5);
    v.step = kb.constF(0.5);
    return v;
  };
  return spec;
}

} // namespace

int benchLinearAttention(const CpuTarget &target, unsigned threads, int argc, char **argv) {
  Options options = parse(argc, argv);
  LinearAttentionScratch scratch;
  LinearAttentionSpec spec = makeSpec(options);
  Library library(target,
                  [&](KernelBuilder &kb, ModuleOp module) {
                    emitRoofs(kb, module);
                    scratch = emitLinearAttention(kb, module, "linear", spec, 5);
                  },
                  {"peak", "roof", "read", "linear"});
  if (!library.assembly.empty())
    llvm::outs() << library.assembly;
  Pool pool(threads);
  Roofs roofs(library, target, threads);
  llvm::outs() << "cpu " << target.cpu << ", " << threads << " threads, " << options.heads
               << " heads of " << options.dim << ", " << stringifyUpdate(options.update) << ", "
               << (options.causal ? "causal" : "bidirectional") << ", form "
               << stringifyForm(options.form)
               << llvm::format(", %.2f s to compile, %lld bytes of scratch a worker\n",
                               library.seconds, (long long)scratch.perWorker);
  llvm::outs() << "batch positions       us   best us   GF/s  of roof  of peak\n";
  attune_kernel_fn kernel = library.get("linear");
  bool cpuTime = threads == 1;
  double width = options.dim;
  for (size_t s = 0; s + 1 < options.sizes.size(); s += 2) {
    int64_t dims[] = {options.sizes[s], options.sizes[s + 1]};
    int64_t rows = dims[0] * dims[1] * options.heads, floats = rows * options.dim;
    std::vector<void *> buffers = {
        allocate(floats),
        allocate(floats),
        allocate(floats),
        allocate(floats),
        allocate(rows + 1),
        allocate(scratch.perWorker * threads / 4 + 16),
        allocate((dims[0] * options.heads + scratch.heads) * scratch.perHead / 4 + 16)};
    kernel(&pool, buffers.data(), dims);
    double start = now(cpuTime);
    kernel(&pool, buffers.data(), dims);
    int64_t runs = std::clamp<int64_t>(2e-3 / (now(cpuTime) - start), 1, 1000);
    double flops = rows * (4 * width * width + (options.causal ? 2 * 64 * width : 0));
    std::vector<double> seconds, ratios, peaks;
    double before = roofs.roof(pool);
    for (int64_t round = 0; round < options.rounds; ++round) {
      start = now(cpuTime);
      for (int64_t i = 0; i < runs; ++i)
        kernel(&pool, buffers.data(), dims);
      seconds.push_back((now(cpuTime) - start) / runs);
      double after = roofs.roof(pool), rate = flops / seconds.back() / 1e9;
      ratios.push_back(rate / ((before + after) / 2));
      peaks.push_back(rate / roofs.peak(pool));
      before = after;
    }
    double t = median(seconds), best = *std::min_element(seconds.begin(), seconds.end());
    llvm::outs() << llvm::format("%5lld %9lld %8.1f  %8.1f %6.1f   %5.1f%%   %5.1f%%\n",
                                 (long long)dims[0], (long long)dims[1], t * 1e6, best * 1e6,
                                 flops / t / 1e9, 100 * median(ratios), 100 * median(peaks));
    llvm::outs().flush();
  }
  return 0;
}

} // namespace attune::bench
