#include "Bench.h"

#include "attune/codegen/cpu/Gemm.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace mlir;
using namespace attune::codegen;

namespace attune::bench {

namespace {

struct Shape {
  int64_t k, n;
  std::string symbol() const { return "gemm_" + std::to_string(k) + "_" + std::to_string(n); }
};

struct Options {
  std::vector<int64_t> rows = {1, 16, 128, 197, 512};
  std::vector<Shape> shapes = {{384, 384}, {384, 1536}, {1536, 384},
                               {768, 768}, {768, 3072}, {3072, 768}};
  bool int8 = false;
  int64_t depth = 0, group = 0, rowBlock = 0, rounds = 11;
};

/// c[i][j] = sum + bias[j]; buffers A, B, bias, C, packedA, work; dims M.
GemmSpec makeSpec(const Options &options, Shape shape) {
  GemmSpec spec;
  spec.columns = options.int8 ? GemmColumns::I8Panels : GemmColumns::F32Panels;
  spec.k = shape.k;
  spec.n = shape.n;
  if (options.depth)
    spec.depthBlock = options.depth;
  if (options.rowBlock)
    spec.rowBlock = options.rowBlock;
  spec.groupTiles = options.group;
  spec.bind = [=](KernelBuilder &kb, const KernelArgs &args) {
    GemmOperands g;
    g.m = kb.dim(args, 0);
    g.n = kb.idx(shape.n);
    g.k = kb.idx(shape.k);
    g.a = kb.buffer(args, 0);
    g.b = kb.buffer(args, 1);
    g.aRows = {{g.m, g.k}};
    g.aDepth = {{g.k, kb.idx(1)}};
    g.packedA = kb.buffer(args, 4);
    g.work = kb.buffer(args, 5);
    Value bias = kb.buffer(args, 2), out = kb.buffer(args, 3);
    g.epilogue = [=](KernelBuilder &kb, const GemmPoint &p) {
      Value sum =
          arith::AddFOp::create(kb.b, kb.loc, p.value, kb.load(kb.vec(p.lanes), bias, p.column));
      kb.store(sum, out, kb.add(kb.mul(p.row, shape.n), p.column));
    };
    return g;
  };
  return spec;
}

Options parse(int argc, char **argv) {
  Options options;
  auto list = [](llvm::StringRef text) {
    std::vector<int64_t> values;
    llvm::SmallVector<llvm::StringRef> parts;
    text.split(parts, ',');
    for (llvm::StringRef part : parts)
      values.push_back(std::stoll(part.str()));
    return values;
  };
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef arg = argv[i];
    if (arg == "--int8")
      options.int8 = true;
    else if (arg.consume_front("--m="))
      options.rows = list(arg);
    else if (arg.consume_front("--kn=")) {
      std::vector<int64_t> sizes = list(arg);
      options.shapes.clear();
      for (size_t s = 0; s + 1 < sizes.size(); s += 2)
        options.shapes.push_back({sizes[s], sizes[s + 1]});
    } else if (arg.consume_front("--depth="))
      arg.getAsInteger(10, options.depth);
    else if (arg.consume_front("--group="))
      arg.getAsInteger(10, options.group);
    else if (arg.consume_front("--row-block="))
      arg.getAsInteger(10, options.rowBlock);
    else if (arg.consume_front("--rounds="))
      arg.getAsInteger(10, options.rounds);
  }
  return options;
}

} // namespace

int benchGemm(const CpuTarget &target, unsigned threads, int argc, char **argv) {
  Options options = parse(argc, argv);
  std::vector<std::string> symbols = {"peak", "roof"};
  for (const Shape &shape : options.shapes)
    symbols.push_back(shape.symbol());
  Library library(
      target,
      [&](KernelBuilder &kb, ModuleOp module) {
        emitRoofs(kb, module);
        for (const Shape &shape : options.shapes)
          emitGemm(kb, module, shape.symbol(), makeSpec(options, shape));
      },
      symbols);
  if (!library.assembly.empty())
    llvm::outs() << library.assembly;
  Pool pool(threads);
  Roofs roofs(library, target, threads);
  llvm::outs() << "cpu " << target.cpu << ", " << threads << " threads, "
               << (options.int8 ? "int8" : "f32") << " weights, "
               << llvm::format("%.2f s to compile %zu kernels\n", library.seconds,
                               options.shapes.size());
  llvm::outs() << "     m     k     n      us   GF/s  of roof    roof   peak   GB/s of B\n";
  bool cpuTime = threads == 1;
  for (const Shape &shape : options.shapes)
    for (int64_t m : options.rows) {
      GemmSpec spec = makeSpec(options, shape);
      std::vector<void *> buffers = {
          allocate(m * shape.k),
          allocate(shape.k * shape.n / (options.int8 ? 4 : 1)),
          allocate(shape.n),
          allocate(m * shape.n),
          allocate(m * (shape.k + 16) + 64),
          allocate(gemmScratch(spec, target).workPerWorker / 4 * threads + 64)};
      attune_kernel_fn kernel = library.get(shape.symbol());
      kernel(&pool, buffers.data(), &m);
      double start = now(cpuTime);
      kernel(&pool, buffers.data(), &m);
      int64_t runs = std::clamp<int64_t>(2e-3 / (now(cpuTime) - start), 1, 1000);
      double flops = 2.0 * m * shape.k * shape.n;
      std::vector<double> seconds, ratios, tops, peaks;
      double before = roofs.roof(pool);
      for (int64_t round = 0; round < options.rounds; ++round) {
        double start = now(cpuTime);
        for (int64_t i = 0; i < runs; ++i)
          kernel(&pool, buffers.data(), &m);
        seconds.push_back((now(cpuTime) - start) / runs);
        double after = roofs.roof(pool);
        ratios.push_back(flops / seconds.back() / 1e9 / ((before + after) / 2));
        tops.push_back(before = after);
        peaks.push_back(roofs.peak(pool));
      }
      double t = median(seconds);
      llvm::outs() << llvm::format("%6lld %5lld %5lld %7.1f %6.1f  %6.1f%% %7.1f %6.1f %8.1f\n",
                                   (long long)m, (long long)shape.k, (long long)shape.n, t * 1e6,
                                   flops / t / 1e9, 100 * median(ratios), median(tops),
                                   median(peaks),
                                   double(shape.k) * shape.n * (options.int8 ? 1 : 4) / t / 1e9);
      llvm::outs().flush();
    }
  return 0;
}

} // namespace attune::bench
