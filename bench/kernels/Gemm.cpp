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
};

/// Tuning parameters; 0 leaves the default.
struct Variant {
  int64_t depth = 0, group = 0, rowBlock = 0;
  std::string text() const {
    return std::to_string(depth) + "/" + std::to_string(group) + "/" + std::to_string(rowBlock);
  }
};

struct Options {
  std::vector<int64_t> rows = {1, 16, 128, 197, 512};
  std::vector<Shape> shapes = {{384, 384}, {384, 1536}, {1536, 384},
                               {768, 768}, {768, 3072}, {3072, 768}};
  std::vector<Variant> variants;
  bool int8 = false;
  int64_t bits = 0; ///< of shift codes; 0: none

  int64_t weightBytes(const Shape &shape) const {
    int64_t lines = bits ? llvm::divideCeil(shape.k, 32 / bits) * 4 : shape.k * (int8 ? 1 : 4);
    return lines * llvm::alignTo(shape.n, 16);
  }
  std::string weights() const {
    return bits ? std::to_string(bits) + "-bit codes" : int8 ? "int8" : "f32";
  }
  int64_t rounds = 11;
};

std::string symbolOf(const Shape &shape, size_t variant) {
  return "gemm_" + std::to_string(shape.k) + "_" + std::to_string(shape.n) + "_" +
         std::to_string(variant);
}

/// c[i][j] = sum + bias[j]; buffers A, B, bias, C, work; dims M.
GemmSpec makeSpec(const Options &options, Shape shape, const Variant &variant) {
  GemmSpec spec;
  spec.columns = options.bits   ? GemmColumns::Codes
                 : options.int8 ? GemmColumns::I8Panels
                                : GemmColumns::F32Panels;
  spec.codes = {options.bits, /*bias=*/8};
  spec.k = shape.k;
  spec.n = shape.n;
  if (variant.depth)
    spec.depthBlock = variant.depth;
  if (variant.rowBlock)
    spec.rowBlock = variant.rowBlock;
  spec.groupTiles = variant.group;
  spec.bind = [=](KernelBuilder &kb, const KernelArgs &args) {
    GemmOperands g;
    g.m = kb.dim(args, 0);
    g.n = kb.idx(shape.n);
    g.k = kb.idx(shape.k);
    g.a = kb.buffer(args, 0);
    g.b = kb.buffer(args, 1);
    g.aRows = {{g.m, g.k}};
    g.aDepth = {{g.k, kb.idx(1)}};
    g.work = kb.buffer(args, 4);
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
    else if (arg.consume_front("--codes="))
      arg.getAsInteger(10, options.bits);
    else if (arg.consume_front("--m="))
      options.rows = list(arg);
    else if (arg.consume_front("--kn=")) {
      std::vector<int64_t> sizes = list(arg);
      options.shapes.clear();
      for (size_t s = 0; s + 1 < sizes.size(); s += 2)
        options.shapes.push_back({sizes[s], sizes[s + 1]});
    } else if (arg.consume_front("--try=")) {
      // K per pass / column tiles per task / rows per task
      llvm::SmallVector<llvm::StringRef> parts;
      arg.split(parts, '/');
      Variant variant;
      int64_t *fields[] = {&variant.depth, &variant.group, &variant.rowBlock};
      for (auto [part, field] : llvm::zip(parts, fields))
        part.getAsInteger(10, *field);
      options.variants.push_back(variant);
    } else if (arg.consume_front("--rounds="))
      arg.getAsInteger(10, options.rounds);
  }
  if (options.variants.empty())
    options.variants.emplace_back();
  return options;
}

/// One kernel on one M, with its measurements.
struct Candidate {
  std::string name;
  attune_kernel_fn kernel;
  std::vector<void *> buffers;
  int64_t runs;
  std::vector<double> seconds, ratios;
};

} // namespace

int benchGemm(const CpuTarget &target, unsigned threads, int argc, char **argv) {
  Options options = parse(argc, argv);
  std::vector<std::string> symbols = {"peak", "roof", "read"};
  for (const Shape &shape : options.shapes)
    for (size_t v = 0; v < options.variants.size(); ++v)
      symbols.push_back(symbolOf(shape, v));
  Library library(
      target,
      [&](KernelBuilder &kb, ModuleOp module) {
        emitRoofs(kb, module);
        for (const Shape &shape : options.shapes)
          for (auto [v, variant] : llvm::enumerate(options.variants))
            emitGemm(kb, module, symbolOf(shape, v), makeSpec(options, shape, variant));
      },
      symbols);
  llvm::outs() << library.assembly;
  Pool pool(threads);
  Roofs roofs(library, target, threads);
  llvm::outs() << "cpu " << target.cpu << ", " << threads << " threads, " << options.weights()
               << " weights, "
               << llvm::format("%.2f s to compile %zu kernels\n", library.seconds,
                               symbols.size() - 2);
  llvm::outs() << "     m     k     n      us   GF/s  of roof   best    roof   peak   GB/s of B\n";
  bool cpuTime = threads == 1;
  auto time = [&](const Candidate &c, int64_t m, int64_t runs) {
    double start = now(cpuTime);
    for (int64_t i = 0; i < runs; ++i)
      c.kernel(&pool, c.buffers.data(), &m);
    return (now(cpuTime) - start) / runs;
  };
  for (const Shape &shape : options.shapes)
    for (int64_t m : options.rows) {
      std::vector<Candidate> candidates;
      for (auto [v, variant] : llvm::enumerate(options.variants)) {
        GemmSpec spec = makeSpec(options, shape, variant);
        Candidate c{variant.text(), library.get(symbolOf(shape, v)), {}, 1, {}, {}};
        size_t work = gemmScratch(spec, target).bytes(m, shape.k, threads) / 4 + 64;
        if (candidates.empty())
          c.buffers = {allocate(m * shape.k), allocate(options.weightBytes(shape) / 4),
                       allocate(shape.n), allocate(m * shape.n), nullptr};
        else
          c.buffers = candidates.front().buffers;
        c.buffers[4] = allocate(work);
        time(c, m, 1);
        c.runs = std::clamp<int64_t>(1e-3 / time(c, m, 1), 1, 1000);
        candidates.push_back(c);
      }
      double flops = 2.0 * m * shape.k * shape.n;
      std::vector<double> tops{roofs.roof(pool)}, peaks;
      for (int64_t round = 0; round < options.rounds; ++round)
        for (Candidate &c : candidates) {
          c.seconds.push_back(time(c, m, c.runs));
          double before = tops.back();
          tops.push_back(roofs.roof(pool));
          c.ratios.push_back(flops / c.seconds.back() / 1e9 / ((before + tops.back()) / 2));
          peaks.push_back(roofs.peak(pool));
        }
      for (const Candidate &c : candidates) {
        double t = median(c.seconds);
        // Of the fastest runs: what a quiet machine would show.
        double least = *std::min_element(c.seconds.begin(), c.seconds.end());
        double most = *std::max_element(tops.begin(), tops.end());
        llvm::outs() << llvm::format(
            "%6lld %5lld %5lld %7.1f %6.1f  %6.1f%% %5.1f%% %7.1f %6.1f %8.1f", (long long)m,
            (long long)shape.k, (long long)shape.n, t * 1e6, flops / t / 1e9,
            100 * median(c.ratios), 100 * flops / least / 1e9 / most, median(tops), median(peaks),
            options.weightBytes(shape) / t / 1e9);
        llvm::outs() << (candidates.size() > 1 ? "  " + c.name : "") << "\n";
        llvm::outs().flush();
      }
    }
  return 0;
}

} // namespace attune::bench
