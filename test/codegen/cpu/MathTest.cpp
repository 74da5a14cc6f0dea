#include "TestJit.h"

#include "attune/codegen/cpu/Math.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <bit>
#include <cmath>
#include <limits>

using namespace mlir;
using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

using Build = Value (*)(KernelBuilder &, Value, Value);
template <typename Op> Value unary(KernelBuilder &kb, Value x, Value) {
  return Op::create(kb.b, kb.loc, x);
}
template <typename Op> Value binary(KernelBuilder &kb, Value x, Value y) {
  return Op::create(kb.b, kb.loc, x, y);
}

struct Function {
  const char *name;
  Build build;
  double (*reference)(double);
  double ulp;
};

double rsqrt(double x) { return 1 / std::sqrt(x); }

const Function kFunctions[] = {
    {"exp", unary<math::ExpOp>, std::exp, 2},       {"exp2", unary<math::Exp2Op>, std::exp2, 2},
    {"expm1", unary<math::ExpM1Op>, std::expm1, 2}, {"log", unary<math::LogOp>, std::log, 2},
    {"log2", unary<math::Log2Op>, std::log2, 2},    {"log10", unary<math::Log10Op>, std::log10, 2},
    {"log1p", unary<math::Log1pOp>, std::log1p, 2}, {"tanh", unary<math::TanhOp>, std::tanh, 5},
    {"erf", unary<math::ErfOp>, std::erf, 7},       {"sin", unary<math::SinOp>, std::sin, 2},
    {"cos", unary<math::CosOp>, std::cos, 2},       {"rsqrt", unary<math::RsqrtOp>, rsqrt, 1.6},
    {"sqrt", unary<math::SqrtOp>, std::sqrt, 0.6},  {"floor", unary<math::FloorOp>, std::floor, 0},
};

/// Distance from the exact value in units of the last place of the f32 near it.
double ulpError(float got, double exact) {
  if (std::isnan(exact) || std::isnan(got))
    return std::isnan(exact) && std::isnan(got) ? 0 : kInf;
  float rounded = static_cast<float>(exact);
  if (std::isinf(rounded) || std::isinf(got))
    return rounded == got || std::abs(exact) > 3.402822e38 ? 0 : kInf;
  int exponent;
  std::frexp(rounded == 0 ? 1e-45f : rounded, &exponent);
  return std::abs(got - exact) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

/// y = f(x, z) over n floats, a multiple of 16, by vectors of `lanes` (1: scalars).
void buildMap(ModuleOp module, const CpuTarget &target, llvm::StringRef name, Build build,
              int64_t lanes) {
  KernelBuilder kb(module.getLoc(), target);
  kb.kernel(module, name, [&](const KernelArgs &args) -> Value {
    Value x = kb.buffer(args, 0), z = kb.buffer(args, 1), y = kb.buffer(args, 2);
    Type type = lanes == 1 ? kb.f32() : Type(kb.vec(lanes));
    kb.forLoop(kb.idx(0), kb.dim(args, 0), lanes, [&](Value i) {
      kb.store(build(kb, kb.load(type, x, i), kb.load(type, z, i)), y, i);
    });
    return {};
  });
}

std::vector<float> run(attune_kernel_fn fn, std::vector<float> x, std::vector<float> z = {}) {
  size_t n = x.size();
  x.resize((n + 15) / 16 * 16, 1.0f);
  z.resize(x.size(), 1.0f);
  std::vector<float> y(x.size());
  void *buffers[] = {x.data(), z.data(), y.data()};
  int64_t dims[] = {static_cast<int64_t>(x.size())};
  TestContext ctx;
  EXPECT_EQ(fn(&ctx, buffers, dims), 0);
  y.resize(n);
  return y;
}

/// Every exponent and both signs, a few thousand mantissas each, and what lies at the edges.
std::vector<float> inputs() {
  std::vector<float> values = {
      0.0f,      -0.0f,       kInf,        -kInf,      kNaN,    1.0f,    -1.0f,   88.7228f,
      88.72284f, -87.33655f,  -103.97f,    -104.1f,    -149.0f, -149.5f, -150.5f, 127.99999f,
      128.0f,    0.70710678f, 1.41421356f, 7.9053111f, 4.0f,    -4.0f,   9.1f};
  for (uint64_t bits = 0; bits < (uint64_t(1) << 32); bits += 4003)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  for (float x = -20; x < 20; x += 3e-4f)
    values.push_back(x);
  return values;
}

class MathTest : public testing::Test {
protected:
  std::unique_ptr<MLIRContext> context = makeContext();
  OwningOpRef<ModuleOp> makeModule() { return ModuleOp::create(UnknownLoc::get(context.get())); }
};

} // namespace

TEST_F(MathTest, UlpOverAllExponents) {
  std::vector<float> x = inputs();
  for (const CpuTarget &target : runnableTargets()) {
    auto module = makeModule();
    std::vector<std::string> names;
    for (const Function &f : kFunctions)
      for (int64_t lanes : {int64_t(1), target.lanes()}) {
        names.push_back(std::string(f.name) + std::to_string(lanes));
        buildMap(*module, target, names.back(), f.build, lanes);
      }
    std::vector<llvm::StringRef> symbols(names.begin(), names.end());
    Library library(*module, target, symbols);
    for (auto [index, name] : llvm::enumerate(names)) {
      const Function &f = kFunctions[index / 2];
      std::vector<float> y = run(library[name.c_str()], x);
      double worst = 0;
      float at = 0;
      for (size_t i = 0; i < x.size(); ++i)
        if (double error = ulpError(y[i], f.reference(x[i])); error > worst) {
          worst = error;
          at = x[i];
        }
      EXPECT_LE(worst, target.fma ? f.ulp : f.ulp * 1.2) << target.cpu << " " << name << "(" << at << ")";
      if (getenv("ATTUNE_PRINT_ULP"))
        printf("%-10s %-8s %.2f ulp at %g\n", target.cpu.c_str(), name.c_str(), worst, at);
    }
  }
}

TEST_F(MathTest, NoLibmCallsInVectorCode) {
  for (const char *cpu : {"x86-64", "x86-64-v3", "x86-64-v4"}) {
    auto target = llvm::cantFail(CpuTarget::parse(cpu));
    auto module = makeModule();
    for (const Function &f : kFunctions)
      if (std::string(f.name) != "sin" && std::string(f.name) != "cos" &&
          std::string(f.name) != "floor")
        buildMap(*module, target, f.name, f.build, target.lanes());
    llvm::cantFail(lowerToLLVM(*module, target));
    std::string text = llvm::cantFail(emitAssembly(*module, target));
    EXPECT_EQ(text.find("call"), std::string::npos) << cpu;
    EXPECT_EQ(text.find("jmpq"), std::string::npos) << cpu;
  }
}

TEST_F(MathTest, Pow) {
  std::vector<float> x, y;
  auto add = [&](float a, float b) {
    x.push_back(a);
    y.push_back(b);
  };
  std::vector<float> special = {0.0f,  -0.0f,      1.0f,        -1.0f,  kInf,  -kInf,
                                kNaN,  2.0f,       -2.0f,       0.5f,   -0.5f, 3.0f,
                                -3.0f, 8388609.0f, 16777216.0f, 1e-40f, 3e38f, -7.5f};
  for (float a : special)
    for (float b : special)
      add(a, b);
  for (float a = 0.01f; a < 40; a *= 1.013f)
    for (float b = -30; b < 30; b += 0.37f)
      add(a, b);
  for (const CpuTarget &target : runnableTargets()) {
    auto module = makeModule();
    buildMap(*module, target, "pow", binary<math::PowFOp>, target.lanes());
    Library library(*module, target, {"pow"});
    std::vector<float> result = run(library["pow"], x, y);
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_LE(ulpError(result[i], std::pow(double(x[i]), double(y[i]))), 1)
          << target.cpu << " pow(" << x[i] << ", " << y[i] << ") = " << result[i];
  }
}

TEST_F(MathTest, MinMaxAndNaN) {
  std::vector<float> values = {kNaN, 1.0f, -2.0f, kInf, -kInf, 0.5f}, x, y;
  for (float a : values)
    for (float b : values) {
      x.push_back(a);
      y.push_back(b);
    }
  for (const CpuTarget &target : runnableTargets()) {
    auto module = makeModule();
    buildMap(*module, target, "maximum", binary<arith::MaximumFOp>, target.lanes());
    buildMap(*module, target, "minimum", binary<arith::MinimumFOp>, target.lanes());
    buildMap(*module, target, "maxnum", binary<arith::MaxNumFOp>, target.lanes());
    buildMap(*module, target, "minnum", binary<arith::MinNumFOp>, 1);
    Library library(*module, target, {"maximum", "minimum", "maxnum", "minnum"});
    auto check = [&](const char *name, auto expected) {
      std::vector<float> result = run(library[name], x, y);
      for (size_t i = 0; i < x.size(); ++i) {
        float want = expected(x[i], y[i]);
        EXPECT_TRUE(result[i] == want || (std::isnan(result[i]) && std::isnan(want)))
            << target.cpu << " " << name << "(" << x[i] << ", " << y[i] << ") = " << result[i];
      }
    };
    auto either = [](float a, float b) { return std::isnan(a) || std::isnan(b); };
    check("maximum", [&](float a, float b) { return either(a, b) ? kNaN : std::fmax(a, b); });
    check("minimum", [&](float a, float b) { return either(a, b) ? kNaN : std::fmin(a, b); });
    check("maxnum", [](float a, float b) { return std::fmax(a, b); });
    check("minnum", [](float a, float b) { return std::fmin(a, b); });
  }
}

TEST_F(MathTest, HalfAndDoubleStillLower) {
  auto target = llvm::cantFail(CpuTarget::parse("x86-64"));
  auto module = makeModule();
  KernelBuilder kb(module->getLoc(), target);
  kb.kernel(*module, "f", [&](const KernelArgs &args) -> Value {
    Value memory = kb.buffer(args, 0);
    Value x = kb.load(kb.b.getF64Type(), memory);
    kb.store(math::ErfOp::create(kb.b, kb.loc, x), memory);
    Value h = kb.load(kb.b.getF16Type(), memory, kb.idx(4));
    kb.store(math::ExpOp::create(kb.b, kb.loc, h), memory, kb.idx(4));
    return {};
  });
  Library library(*module, target, {"f"});
  struct {
    double x = 0.5;
    _Float16 h = 1;
  } data;
  void *buffers[] = {&data};
  TestContext ctx;
  library["f"](&ctx, buffers, nullptr);
  EXPECT_NEAR(data.x, std::erf(0.5), 1e-15);
  EXPECT_NEAR(float(data.h), std::exp(1.0), 2e-3);
}
