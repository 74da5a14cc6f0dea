#include "TestJit.h"

#include "attune/codegen/cpu/Gemm.h"

#include <cmath>
#include <random>

using namespace mlir;
using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

struct Case {
  GemmColumns columns = GemmColumns::F32Panels;
  int64_t m, n, k, batch = 1;
  bool fixed = true;        ///< N and K known when emitting
  bool transposedA = false; ///< [K][M] instead of [M][K]
  bool transposedB = false; ///< strided B: [N][K] instead of [K][N]
  bool splitDepth = false;  ///< A as [2][M][K / 2]
  int64_t depthBlock = 768;
  int64_t bits = 0; ///< B is as codes of so many bits give it, whatever `columns` says

  std::string text() const {
    return "m=" + std::to_string(m) + " n=" + std::to_string(n) + " k=" + std::to_string(k) +
           " batch=" + std::to_string(batch) + " columns=" + std::to_string(int(columns)) +
           (fixed ? "" : " dynamic") + (transposedA ? " A'" : "") + (transposedB ? " B'" : "") +
           (splitDepth ? " split" : "") + (bits ? " bits=" + std::to_string(bits) : "");
  }
};

enum Buffer { kA, kB, kBias, kC, kWork };

constexpr int64_t kExponentBias = 12;

/// c = a * b + bias[column], C dense [batch][M][N].
GemmSpec makeSpec(const Case &c) {
  GemmSpec spec;
  spec.columns = c.columns;
  spec.depthBlock = c.depthBlock;
  spec.codes = {c.bits, kExponentBias};
  if (c.fixed) {
    spec.n = c.n;
    spec.k = c.k;
  }
  spec.bind = [c](KernelBuilder &kb, const KernelArgs &args) {
    GemmOperands g;
    g.m = kb.dim(args, 0);
    g.n = c.fixed ? kb.idx(c.n) : kb.dim(args, 1);
    g.k = c.fixed ? kb.idx(c.k) : kb.dim(args, 2);
    g.batch = kb.dim(args, 3);
    g.a = kb.buffer(args, kA);
    g.b = kb.buffer(args, kB);
    Value one = kb.idx(1), aSize = kb.mul(g.m, g.k), bSize = kb.mul(g.k, g.n);
    if (c.splitDepth) {
      Value half = kb.div(g.k, 2);
      g.aRows = {{g.m, half}};
      g.aDepth = {{kb.idx(2), kb.mul(g.m, half)}, {half, one}};
    } else if (c.transposedA) {
      g.aRows = {{g.m, one}};
      g.aDepth = {{g.k, g.m}};
    } else {
      g.aRows = {{g.m, g.k}};
      g.aDepth = {{g.k, one}};
    }
    g.aOffset = [&kb, aSize](Value batch) { return kb.mul(batch, aSize); };
    if (c.columns == GemmColumns::Strided) {
      g.bDepth = {{g.k, c.transposedB ? one : g.n}};
      g.bColumns = {{g.n, c.transposedB ? g.k : one}};
      g.bOffset = [&kb, bSize](Value batch) { return kb.mul(batch, bSize); };
    }
    g.work = kb.buffer(args, kWork);
    Value bias = kb.buffer(args, kBias), out = kb.buffer(args, kC), n = g.n, m = g.m;
    g.epilogue = [=](KernelBuilder &kb, const GemmPoint &p) {
      Value row = kb.add(kb.mul(p.batch, m), p.row);
      Value offset = kb.add(kb.mul(row, n), p.column);
      auto type = kb.vec(p.lanes);
      Value b = p.partial ? kb.loadPartial(type, bias, p.column, p.partial)
                          : kb.load(type, bias, p.column);
      Value sum = arith::AddFOp::create(kb.b, kb.loc, p.value, b);
      if (p.partial)
        kb.storePartial(sum, out, offset, p.partial);
      else
        kb.store(sum, out, offset);
    };
    return g;
  };
  return spec;
}

struct Data {
  std::vector<float> a, b, bias, expected;
  std::vector<char> panels;
};

/// Sign and magnitude of a code, 0 with either sign among them.
uint32_t field(const Case &c, int64_t k, int64_t j) {
  uint32_t random = uint32_t(k * c.n + j) * 2654435761u, sign = 1u << (c.bits - 1);
  return (random >> 31) * sign | (random >> 8) % std::min(sign, 16u);
}

float value(int64_t i) { return float((i * 7919 + 13) % 201 - 100) / 64; }

Data makeData(const Case &c) {
  Data d;
  bool int8 = c.columns == GemmColumns::I8Panels, strided = c.columns == GemmColumns::Strided;
  int64_t batches = strided ? c.batch : 1;
  auto logicalA = [&](int64_t z, int64_t i, int64_t k) { return value(z * 31 + i * c.k + k); };
  auto logicalB = [&](int64_t z, int64_t k, int64_t j) {
    if (c.bits) {
      int sign = field(c, k, j) >> (c.bits - 1), magnitude = field(c, k, j) % (1 << (c.bits - 1));
      float v = magnitude ? std::ldexp(1.0f, magnitude - int(kExponentBias)) : 0.0f;
      return sign ? -v : v;
    }
    float v = value(z * 17 + (k * c.n + j) * 3);
    return int8 ? std::round(v * 60) : v;
  };
  d.a.resize(c.batch * c.m * c.k);
  for (int64_t z = 0; z < c.batch; ++z)
    for (int64_t i = 0; i < c.m; ++i)
      for (int64_t k = 0; k < c.k; ++k) {
        int64_t half = c.k / 2;
        int64_t at = c.splitDepth    ? (k / half * c.m + i) * half + k % half
                     : c.transposedA ? k * c.m + i
                                     : i * c.k + k;
        d.a[z * c.m * c.k + at] = logicalA(z, i, k);
      }
  if (strided) {
    d.b.resize(batches * c.k * c.n);
    for (int64_t z = 0; z < batches; ++z)
      for (int64_t k = 0; k < c.k; ++k)
        for (int64_t j = 0; j < c.n; ++j)
          d.b[z * c.k * c.n + (c.transposedB ? j * c.k + k : k * c.n + j)] = logicalB(z, k, j);
  } else {
    int64_t panels = (c.n + 15) / 16, perWord = c.bits ? 32 / c.bits : 1;
    int64_t lines = (c.k + perWord - 1) / perWord;
    if (c.columns == GemmColumns::Codes)
      d.panels.resize(panels * lines * 16 * 4);
    else
      d.panels.resize(panels * c.k * 16 * (int8 ? 1 : 4));
    for (int64_t k = 0; k < c.k; ++k)
      for (int64_t j = 0; j < c.n; ++j) {
        int64_t at = (j / 16 * c.k + k) * 16 + j % 16;
        if (c.columns == GemmColumns::Codes)
          reinterpret_cast<uint32_t *>(
              d.panels.data())[(j / 16 * lines + k / perWord) * 16 + j % 16] |=
              field(c, k, j) << (k % perWord * c.bits);
        else if (int8)
          reinterpret_cast<int8_t *>(d.panels.data())[at] = logicalB(0, k, j);
        else
          reinterpret_cast<float *>(d.panels.data())[at] = logicalB(0, k, j);
      }
  }
  d.bias.resize(c.n);
  for (int64_t j = 0; j < c.n; ++j)
    d.bias[j] = value(j + 5);
  d.expected.resize(c.batch * c.m * c.n);
  for (int64_t z = 0; z < c.batch; ++z)
    for (int64_t i = 0; i < c.m; ++i)
      for (int64_t j = 0; j < c.n; ++j) {
        double sum = d.bias[j];
        for (int64_t k = 0; k < c.k; ++k)
          sum += double(logicalA(z, i, k)) * logicalB(strided ? z : 0, k, j);
        d.expected[(z * c.m + i) * c.n + j] = sum;
      }
  return d;
}

std::vector<float> run(attune_kernel_fn fn, const Case &c, Data &d, const CpuTarget &target,
                       unsigned threads) {
  TestContext ctx(threads);
  // One guard element past everything that may be written.
  std::vector<float> out(c.batch * c.m * c.n + 1, -7777.0f);
  auto guarded = [](int64_t bytes) {
    std::vector<char> memory(bytes + 64, 0x5a);
    return memory;
  };
  auto intact = [](const std::vector<char> &memory) {
    return std::all_of(memory.end() - 64, memory.end(), [](char byte) { return byte == 0x5a; });
  };
  auto work = guarded(gemmScratch(makeSpec(c), target).bytes(c.m, c.k, threads));
  void *b = c.columns == GemmColumns::Strided ? static_cast<void *>(d.b.data()) : d.panels.data();
  void *buffers[] = {d.a.data(), b, d.bias.data(), out.data(), work.data()};
  int64_t dims[] = {c.m, c.n, c.k, c.batch};
  EXPECT_EQ(fn(&ctx, buffers, dims), 0);
  EXPECT_EQ(out.back(), -7777.0f) << c.text();
  EXPECT_TRUE(intact(work)) << c.text();
  out.pop_back();
  return out;
}

/// Compiles the kernels that differ in what is static, then runs every case on 1 and 2 threads.
/// Gives the results of all cases on all targets.
std::vector<std::vector<float>> check(llvm::ArrayRef<Case> cases) {
  auto context = makeContext();
  std::vector<std::vector<float>> results;
  for (const CpuTarget &target : runnableTargets()) {
    OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(context.get()));
    KernelBuilder kb(module->getLoc(), target);
    std::vector<std::string> names;
    for (const Case &c : cases) {
      names.push_back("gemm" + std::to_string(names.size()));
      GemmSpec spec = makeSpec(c);
      emitGemm(kb, *module, names.back(), spec);
    }
    std::vector<llvm::StringRef> symbols(names.begin(), names.end());
    Library library(*module, target, symbols);
    for (auto [c, name] : llvm::zip(cases, names)) {
      Data d = makeData(c);
      std::vector<float> one = run(library[name.c_str()], c, d, target, 1);
      std::vector<float> two = run(library[name.c_str()], c, d, target, 2);
      EXPECT_EQ(one, two) << target.cpu << ": " << c.text();
      double scale = c.columns == GemmColumns::I8Panels ? 100 : c.bits ? 16 : 2;
      double tolerance = 3e-6 * scale * (1 + std::sqrt(double(c.k)) + c.k / 64.0);
      double worst = 0;
      for (size_t i = 0; i < one.size(); ++i) {
        double error = std::abs(one[i] - d.expected[i]);
        worst = std::isnan(one[i]) ? 1e30 : std::max(worst, error);
      }
      EXPECT_LE(worst, tolerance) << target.cpu << ": " << c.text();
      results.push_back(one);
    }
  }
  return results;
}

} // namespace

TEST(Gemm, Shapes) {
  std::vector<Case> cases;
  for (bool fixed : {true, false})
    for (auto [n, k] : {std::pair<int64_t, int64_t>{1, 1},
                        {15, 7},
                        {16, 16},
                        {17, 33},
                        {32, 64},
                        {33, 1},
                        {97, 31},
                        {384, 48},
                        {48, 100}})
      cases.push_back({.m = 29, .n = n, .k = k, .fixed = fixed});
  check(cases);
}

TEST(Gemm, Rows) {
  std::vector<Case> cases;
  for (int64_t m : {0, 1, 2, 3, 5, 6, 7, 13, 14, 15, 27, 28, 29, 197})
    cases.push_back({.m = m, .n = 72, .k = 40});
  check(cases);
}

TEST(Gemm, PassesOverDepth) {
  std::vector<Case> cases;
  for (int64_t k : {0, 1, 63, 64, 65, 200})
    for (bool fixed : {true, false})
      cases.push_back({.m = 37, .n = 70, .k = k, .fixed = fixed, .depthBlock = 64});
  cases.push_back({.m = 1100, .n = 35, .k = 130, .depthBlock = 64});
  check(cases);
}

TEST(Gemm, Int8) {
  std::vector<Case> cases;
  for (int64_t m : {0, 1, 6, 7, 14, 15, 40})
    for (int64_t k : {31, 150})
      cases.push_back(
          {.columns = GemmColumns::I8Panels, .m = m, .n = 80, .k = k, .depthBlock = 64});
  check(cases);
}

/// Codes give what the floats that they stand for give, to the bit.
TEST(Gemm, Codes) {
  std::vector<Case> coded;
  // Few rows read codes, more read panels that were decoded; words end within K, and so do passes.
  for (int64_t bits : {4, 5})
    for (int64_t m : {1, 3, 5, 31})
      for (int64_t k : {23, 150})
        coded.push_back({.m = m, .n = 80, .k = k, .depthBlock = 96, .bits = bits});
  for (int64_t m : {2, 31})
    coded.push_back({.m = m, .n = 33, .k = 61, .bits = 8});
  for (int64_t n : {1, 17})
    coded.push_back({.m = 1, .n = n, .k = 61, .fixed = false, .bits = 5});
  coded.push_back({.m = 6, .n = 47, .k = 0, .bits = 4});
  coded.push_back({.m = 3, .n = 35, .k = 29, .fixed = false, .transposedA = true, .bits = 4});
  std::vector<Case> floats = coded;
  for (Case &c : coded)
    c.columns = GemmColumns::Codes;
  EXPECT_EQ(check(coded), check(floats));
}

TEST(Gemm, Strided) {
  std::vector<Case> cases;
  for (bool transposedB : {false, true})
    for (bool fixed : {true, false})
      for (int64_t n : {5, 16, 33, 64})
        cases.push_back({.columns = GemmColumns::Strided,
                         .m = 19,
                         .n = n,
                         .k = 37,
                         .batch = 3,
                         .fixed = fixed,
                         .transposedB = transposedB});
  check(cases);
}

TEST(Gemm, LayoutsOfA) {
  std::vector<Case> cases;
  for (int64_t m : {1, 4, 23}) {
    cases.push_back({.m = m, .n = 33, .k = 38, .batch = 2, .transposedA = true});
    cases.push_back({.m = m, .n = 33, .k = 38, .batch = 2, .splitDepth = true});
  }
  check(cases);
}

namespace {

/// The instructions of a function between its label and its end.
std::string functionText(const std::string &assembly, const std::string &name) {
  size_t start = assembly.find("\n" + name + ":");
  size_t end = assembly.find(".Lfunc_end", start);
  return start == std::string::npos ? "" : assembly.substr(start, end - start);
}

int64_t count(const std::string &text, const std::string &word) {
  int64_t found = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
    ++found;
  return found;
}

/// Instructions that move vectors to or from the stack.
int64_t spills(const std::string &text) {
  llvm::SmallVector<llvm::StringRef> lines;
  llvm::StringRef(text).split(lines, '\n');
  return llvm::count_if(lines, [](llvm::StringRef line) {
    return line.contains("mm") && (line.contains("%rsp") || line.contains("%rbp"));
  });
}

/// The largest micro-kernel of a CPU.
std::string microText(const char *cpu, GemmTerm term) {
  auto context = makeContext();
  auto target = llvm::cantFail(CpuTarget::parse(cpu));
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(context.get()));
  KernelBuilder kb(module->getLoc(), target);
  func::FuncOp micro = gemmMicro(kb, *module, GemmTile::of(target, term).rows, term);
  std::string name = micro.getName().str();
  micro.setPublic();
  llvm::cantFail(lowerToLLVM(*module, target));
  return functionText(llvm::cantFail(emitAssembly(*module, target)), name);
}

} // namespace

// Every accumulator stays in a register, and in the loops there is nothing but one multiply-add per
// accumulator and step (two steps unrolled, one for the rest).
TEST(GemmAssembly, Avx512) {
  for (GemmTerm term : {GemmTerm::Product, GemmTerm::ProductI8}) {
    std::string text = microText("x86-64-v4", term);
    EXPECT_EQ(count(text, "vfmadd"), 28 * 3) << text;
    EXPECT_EQ(spills(text), 0) << text;
    EXPECT_EQ(count(text, "vbroadcastss"), 14 * 3) << text;
  }
}

TEST(GemmAssembly, Avx2) {
  std::string text = microText("x86-64-v3", GemmTerm::Product);
  EXPECT_EQ(count(text, "vfmadd"), 12 * 5) << text;
  EXPECT_EQ(spills(text), 0) << text;
}

TEST(GemmAssembly, Portable) {
  std::string text = microText("x86-64", GemmTerm::Product);
  EXPECT_EQ(count(text, "mulps"), 8 * 5) << text;
  EXPECT_EQ(count(text, "addps"), 8 * 5) << text;
  EXPECT_EQ(count(text, "call"), 0) << text;
  EXPECT_EQ(spills(text), 0) << text;
}

/// One or two registers of 16 values hold all codes of 4 or 5 bits: a code takes a shift, which the
/// first of a word does without, and a look-up; with 8 lanes two shifts, a mask and the scale.
TEST(GemmAssembly, Codes) {
  // Whole words, half words in step with the sets of sums, single codes.
  for (auto [cpu, term, steps, rows, instruction, each] :
       {std::tuple("x86-64-v4", GemmTerm::Product4, 8 + 4 + 1, 4, "vperm", 2),
        {"x86-64-v4", GemmTerm::Product5, 12 + 4 + 1, 4, "vperm", 2},
        {"x86-64-v3", GemmTerm::Product4, 8 + 4 + 1, 2, "vpsrad", 2},
        {"x86-64-v3", GemmTerm::Product8, 4 + 1, 2, "vpsrad", 2}}) {
    std::string text = microText(cpu, term);
    EXPECT_EQ(count(text, instruction), each * steps) << text;
    EXPECT_EQ(count(text, "vfmadd"), 2 * rows * steps) << text;
    // The tables of 5 bits leave too few registers for the half words.
    EXPECT_LE(spills(text), term == GemmTerm::Product5 ? 8 : 0) << text;
  }
}

/// A shifted integer is looked up and added; with 8 lanes its sign is applied in between.
TEST(GemmAssembly, Shifts) {
  std::string text = microText("x86-64-v4", GemmTerm::Shift5);
  EXPECT_EQ(count(text, "2d\t"), 16 * (6 + 1)) << text;
  EXPECT_EQ(count(text, "vpaddd"), 16 * (6 + 1)) << text;
  EXPECT_EQ(spills(text), 0) << text;
  text = microText("x86-64-v3", GemmTerm::Shift4);
  EXPECT_EQ(count(text, "vpermd"), 6 * (8 + 1)) << text;
  EXPECT_EQ(count(text, "vpsignd"), 6 * (8 + 1)) << text;
  EXPECT_EQ(count(text, "vpaddd"), 6 * (8 + 1)) << text;
  EXPECT_EQ(spills(text), 0) << text;
}

/// A multiply-add, a magnitude and a subtraction for each accumulator and step, all in registers.
TEST(GemmAssembly, Distances) {
  for (auto [cpu, terms] :
       {std::pair("x86-64-v4", 16 * 5), {"znver4", 10 * 5}, {"x86-64-v3", 10 * 5}}) {
    std::string text = microText(cpu, GemmTerm::Distance);
    EXPECT_EQ(count(text, "vfm"), terms) << text;
    EXPECT_EQ(count(text, "vsubps"), terms) << text;
    EXPECT_EQ(count(text, "vandps"), terms) << text;
    EXPECT_EQ(spills(text), 0) << text;
  }
  std::string text = microText("x86-64", GemmTerm::Distance);
  EXPECT_EQ(count(text, "subps"), 2 * 8 * 5) << text;
  EXPECT_EQ(count(text, "call"), 0) << text;
}
