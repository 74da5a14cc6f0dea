//===- Attention.cpp - Times fused attention --------------------------------------------------===//
//
//   attune-kernel-bench attention [--cpu=host] [--threads=1] [--head-dim=64] [--heads=12]
//   [--kv-heads=12] [--causal]
//       [--interleaved] [--sizes=1,128,128,1,512,512] [--tile=V,K,E,B,P] [--rounds=30]
//
// `sizes` are batch, queries, keys; `interleaved` is [B, N, H, D] instead of [B, H, N, D]; flops
// are 4 B H N M D, with a causal mask too. Few queries, as in decoding, are bound by memory: the
// last columns compare the rate at which keys and values are read with that of a plain sum.
//
//===--------------------------------------------------------------------------------------------===//
#include "attune/codegen/cpu/Attention.h"
#include "Bench.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace attune::codegen;

namespace attune::bench {

namespace {

struct Options {
  int64_t headDim = 64, heads = 12, kvHeads = 0, rounds = 30;
  bool causal = false, interleaved = false;
  std::vector<int64_t> sizes = {1, 128, 128, 1, 512, 512, 1, 1024, 1024, 1, 1, 1024};
  std::vector<int64_t> tile;
};

Options parse(int argc, char **argv) {
  Options options;
  auto list = [](llvm::StringRef text) {
    std::vector<int64_t> numbers;
    for (; !text.empty();) {
      auto [head, tail] = text.split(',');
      head.getAsInteger(10, numbers.emplace_back());
      text = tail;
    }
    return numbers;
  };
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef arg = argv[i];
    if (arg.consume_front("--head-dim="))
      arg.getAsInteger(10, options.headDim);
    else if (arg.consume_front("--heads="))
      arg.getAsInteger(10, options.heads);
    else if (arg.consume_front("--kv-heads="))
      arg.getAsInteger(10, options.kvHeads);
    else if (arg.consume_front("--rounds="))
      arg.getAsInteger(10, options.rounds);
    else if (arg.consume_front("--sizes="))
      options.sizes = list(arg);
    else if (arg.consume_front("--tile="))
      options.tile = list(arg);
    else if (arg == "--causal")
      options.causal = true;
    else if (arg == "--interleaved")
      options.interleaved = true;
  }
  if (options.kvHeads == 0)
    options.kvHeads = options.heads;
  return options;
}

AttentionSpec makeSpec(const Options &options) {
  AttentionSpec spec;
  spec.headDim = spec.valueDim = options.headDim;
  if (options.tile.size() == 5)
    spec.tile = AttentionTile{options.tile[0], options.tile[1], options.tile[2], options.tile[3],
                              options.tile[4]};
  spec.values = [options](KernelBuilder &kb, const KernelArgs &args) {
    AttentionValues v;
    v.batch = kb.dim(args, 0);
    v.heads = kb.idx(options.heads);
    v.kvHeads = options.kvHeads == options.heads ? v.heads : kb.idx(options.kvHeads);
    v.queries = kb.dim(args, 1);
    v.keys = kb.dim(args, 2);
    auto tensor = [&](int64_t buffer, Value rows, int64_t heads) {
      AttentionTensor t;
      t.base = kb.buffer(args, buffer);
      t.element = kb.f32();
      int64_t width = options.headDim, row = width * heads;
      if (options.interleaved)
        t.strides = {kb.mul(rows, row), kb.idx(width), kb.idx(row), kb.idx(1)};
      else
        t.strides = {kb.mul(rows, row), kb.mul(rows, width), kb.idx(width), kb.idx(1)};
      return t;
    };
    v.query = tensor(0, v.queries, options.heads);
    v.key = tensor(1, v.keys, options.kvHeads);
    v.value = tensor(2, v.keys, options.kvHeads);
    v.result = tensor(3, v.queries, options.heads);
    v.scale = kb.constF(1 / std::sqrt(static_cast<double>(options.headDim)));
    return v;
  };
  if (!options.causal)
    return spec;
  spec.mask = [](KernelBuilder &kb, const AttentionPoint &p) -> Value {
    Type i32 = kb.b.getI32Type();
    // Lane l: j + l <= i, or j <= i + l.
    Value room = p.lanesAreKeys ? kb.sub(p.i, p.j) : kb.sub(p.j, p.i);
    room = arith::IndexCastOp::create(kb.b, kb.loc, i32, room);
    Value ids = kb.laneIds(kb.vec(p.lanes, i32));
    return arith::CmpIOp::create(
        kb.b, kb.loc, p.lanesAreKeys ? arith::CmpIPredicate::sle : arith::CmpIPredicate::sge, ids,
        kb.splat(room, p.lanes));
  };
  spec.range = [](KernelBuilder &kb, Value, Value, Value first, Value last, Value keys) {
    return KeyRange{kb.idx(0), kb.min(keys, kb.add(last, 1)), kb.idx(0),
                    kb.min(keys, kb.add(first, 1))};
  };
  return spec;
}

} // namespace

int benchAttention(const CpuTarget &target, unsigned threads, int argc, char **argv) {
  Options options = parse(argc, argv);
  AttentionScratch scratch;
  Library library(target,
                  [&](KernelBuilder &kb, ModuleOp module) {
                    emitRoofs(kb, module);
                    scratch = emitAttention(kb, module, "attention", makeSpec(options), 4);
                  },
                  {"peak", "roof", "read", "attention"});
  if (!library.assembly.empty())
    llvm::outs() << library.assembly;
  Pool pool(threads);
  Roofs roofs(library, target, threads);
  llvm::outs() << "cpu " << target.cpu << ", " << threads << " threads, " << options.heads
               << " heads (" << options.kvHeads << " of keys) of " << options.headDim
               << (options.causal ? ", causal" : "") << (options.interleaved ? ", interleaved" : "")
               << llvm::format(", %.2f s to compile\n", library.seconds);
  llvm::outs() << "batch queries  keys       us   GF/s  of roof   best    roof  GB/s of read\n";
  attune_kernel_fn kernel = library.get("attention");
  bool cpuTime = threads == 1;
  for (size_t s = 0; s + 2 < options.sizes.size(); s += 3) {
    int64_t dims[] = {options.sizes[s], options.sizes[s + 1], options.sizes[s + 2]};
    int64_t row = options.heads * options.headDim;
    int64_t cache = dims[0] * dims[2] * options.kvHeads * options.headDim;
    std::vector<void *> buffers = {
        allocate(dims[0] * dims[1] * row), allocate(cache), allocate(cache),
        allocate(dims[0] * dims[1] * row),
        allocate((scratch.perWorker * threads + scratch.shared) / 4 + 1)};
    kernel(&pool, buffers.data(), dims);
    double start = now(cpuTime);
    kernel(&pool, buffers.data(), dims);
    int64_t runs = std::clamp<int64_t>(2e-3 / (now(cpuTime) - start), 1, 1000);
    double flops = 4.0 * dims[0] * dims[1] * dims[2] * row;
    std::vector<double> seconds, ratios, tops, reads;
    double before = roofs.roof(pool);
    for (int64_t round = 0; round < options.rounds; ++round) {
      start = now(cpuTime);
      for (int64_t i = 0; i < runs; ++i)
        kernel(&pool, buffers.data(), dims);
      seconds.push_back((now(cpuTime) - start) / runs);
      double after = roofs.roof(pool);
      ratios.push_back(flops / seconds.back() / 1e9 / ((before + after) / 2));
      tops.push_back(before = after);
      reads.push_back(8.0 * cache / seconds.back() / 1e9 / roofs.read(pool));
    }
    double t = median(seconds), best = *std::min_element(seconds.begin(), seconds.end());
    llvm::outs() << llvm::format(
        "%5lld %7lld %5lld %8.1f %6.1f  %6.1f%% %5.1f%% %7.1f %5.1f  %5.1f%%\n", (long long)dims[0],
        (long long)dims[1], (long long)dims[2], t * 1e6, flops / t / 1e9, 100 * median(ratios),
        100 * flops / best / 1e9 / *std::max_element(tops.begin(), tops.end()), median(tops),
        8.0 * cache / t / 1e9, 100 * median(reads));
    llvm::outs().flush();
  }
  return 0;
}

} // namespace attune::bench
