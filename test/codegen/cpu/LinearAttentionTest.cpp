#include "LinearAttentionProblem.h"

#include <cmath>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

/// Relative to the largest value of a row.
constexpr double kTolerance = 5e-5;

/// Around the chunk of 64 and the register tiles.
const LinearShape kShapes[] = {{1, 1, 1},   {2, 5, 7},     {1, 63, 63}, {1, 64, 65},
                               {1, 65, 64}, {1, 131, 137}, {0, 3, 3},   {1, 0, 5}};

template <typename Body> void forTargets(const LinearCase &what, Body body) {
  auto emitter = createLinearAttentionEmitter();
  for (const CpuTarget &target : runnableTargets()) {
    SCOPED_TRACE(target.cpu);
    Kernel kernel(what.text(), *emitter, target);
    ASSERT_TRUE(kernel.matched());
    body(kernel);
  }
}

void expectRight(const LinearCase &what, llvm::ArrayRef<LinearShape> shapes = kShapes,
                 double tolerance = kTolerance) {
  SCOPED_TRACE(what.update + " " + what.form);
  std::vector<LinearProblem> problems;
  for (LinearShape shape : shapes)
    problems.emplace_back(what, shape);
  forTargets(what, [&](Kernel &kernel) {
    for (LinearProblem &problem : problems)
      EXPECT_LE(problem.error(kernel.run(problem.inputs, problem.sizes())), tolerance)
          << problem.shape.batch << " x " << problem.shape.queries << " x " << problem.shape.keys;
  });
}

} // namespace

TEST(LinearAttention, CausalSum) {
  LinearCase what;
  what.norm = "sum";
  what.eps = 1e-3;
  what.finalState = what.finalNorm = true;
  expectRight(what);
  what.norm = "count";
  what.finalNorm = false;
  what.epsMode = "add";
  what.heads = 4;
  expectRight(what);
}

TEST(LinearAttention, EveryFormOfACausalSum) {
  LinearCase what;
  what.norm = "sum";
  what.eps = 0.5;
  what.epsMode = "clamp";
  for (const char *form : {"chunked", "recurrent", "quadratic"}) {
    what.form = form;
    expectRight(what);
  }
}

TEST(LinearAttention, EveryFormOfABidirectionalSum) {
  LinearCase what;
  what.causal = false;
  what.norm = "sum";
  for (const char *form : {"linear", "quadratic", "auto"}) {
    what.form = form;
    expectRight(what);
  }
}

/// The bits of a forced form, of which no two agree on random values.
static void expectSameBits(LinearCase what, llvm::StringRef form, int64_t length) {
  LinearCase forced = what;
  forced.prices = "";
  forced.form = form.str();
  LinearProblem problem(what, {1, length, length});
  auto emitter = createLinearAttentionEmitter();
  for (const CpuTarget &target : runnableTargets()) {
    Kernel free(what.text(), *emitter, target), fixed(forced.text(), *emitter, target);
    ASSERT_TRUE(free.matched() && fixed.matched());
    KernelRun got = free.run(problem.inputs, problem.sizes());
    KernelRun want = fixed.run(problem.inputs, problem.sizes());
    EXPECT_TRUE(got.outputs[0].bytes == want.outputs[0].bytes)
        << "not " << form.str() << " at " << length;
  }
}

TEST(LinearAttention, PricesChooseTheFormOfACall) {
  LinearCase what;
  what.causal = false;
  what.norm = "sum";
  what.prices = "[linear, quadratic] of [0, 2, 1, 2] : ()[s0, s1] -> (s0 * 35 + s1 * 35, s0 * s1)";
  expectRight(what, {{1, 69, 69}, {1, 70, 70}, {1, 0, 5}});
  expectSameBits(what, "quadratic", 69);
  expectSameBits(what, "linear", 70);
  what.causal = true;
  what.prices = "[recurrent, chunked, quadratic] of [0, 2] : ()[s0] -> "
                "(s0 * 9 + 3000, s0 * 39, s0 * s0 + 1)";
  expectRight(what, {{1, 38, 38}, {1, 99, 99}, {1, 130, 130}});
  expectSameBits(what, "quadratic", 38);
  expectSameBits(what, "chunked", 99);
  expectSameBits(what, "recurrent", 130);
}

TEST(LinearAttention, StateMap) {
  LinearCase what;
  what.causal = false;
  what.stateMap = true;
  what.norm = "count";
  expectRight(what, {{1, 1, 1}, {1, 70, 601}});
}

TEST(LinearAttention, HeadDims) {
  for (auto [d, e] : {std::pair<int64_t, int64_t>{1, 1}, {20, 3}, {33, 80}})
    for (bool causal : {true, false}) {
      LinearCase what;
      what.keyDim = d;
      what.valueDim = e;
      what.causal = causal;
      what.norm = "sum";
      what.heads = 4;
      what.interleaved = d != e;
      what.form = causal ? "chunked" : "linear";
      expectRight(what, {{1, 70, 67}, {2, 1, 1}});
    }
}

TEST(LinearAttention, ManyColumnsByTheRecurrence) {
  LinearCase what;
  what.keyDim = 33;
  what.valueDim = 80;
  what.heads = 4;
  what.interleaved = true;
  what.norm = "sum";
  expectRight(what, {{1, 70, 70}, {2, 1, 1}});
  what.keyDim = 300;
  what.valueDim = 520;
  expectRight(what, {{1, 9, 9}});
}

TEST(LinearAttention, Gated) {
  LinearCase what;
  what.update = "gated";
  what.initState = what.finalState = true;
  for (const char *form : {"chunked", "recurrent"}) {
    what.form = form;
    expectRight(what);
  }
  what.norm = "sum";
  what.initNorm = what.finalNorm = true;
  for (const char *den : {"weighted", "plain"}) {
    what.den = den;
    what.form = "auto";
    expectRight(what);
  }
}

TEST(LinearAttention, GatesThatForget) {
  LinearCase what;
  what.update = "gated";
  what.finalState = true;
  for (const char *form : {"chunked", "recurrent"}) {
    what.form = form;
    forTargets(what, [&](Kernel &kernel) {
      LinearProblem problem(what, {1, 130, 130});
      Array &gates = problem.input("g");
      for (int64_t i = 0; i < gates.size(); ++i)
        if (i % 17 == 3)
          gates.set(i, i % 2 ? -INFINITY : -90);
        else if (i % 5 == 0)
          gates.set(i, 0);
      EXPECT_LE(problem.error(kernel.run(problem.inputs, problem.sizes())), kTolerance);
    });
  }
}

TEST(LinearAttention, GatesPerFeature) {
  LinearCase what;
  what.update = "gated";
  what.featureGates = what.initState = what.finalState = true;
  what.valueDim = 40;
  expectRight(what);
  what.norm = "sum";
  what.finalNorm = true;
  what.heads = 4;
  expectRight(what, {{1, 1, 1}, {2, 131, 131}});
}

TEST(LinearAttention, Delta) {
  for (const char *update : {"delta", "gated_delta"}) {
    LinearCase what;
    what.update = update;
    what.features = false;
    what.initState = what.finalState = true;
    expectRight(what);
    what.heads = 4;
    what.valueDim = 70;
    what.featureGates = true;
    expectRight(what, {{1, 1, 1}, {2, 65, 65}});
  }
}

TEST(LinearAttention, Momentum) {
  LinearCase what;
  what.update = "momentum";
  what.norm = "sum";
  for (const char *den : {"weighted", "plain"})
    for (const char *form : {"chunked", "recurrent"}) {
      what.den = den;
      what.form = form;
      expectRight(what, {{1, 1, 1}, {2, 64, 64}, {1, 131, 131}});
    }
  what.update = "adaptive_momentum";
  what.form = "auto";
  expectRight(what, {{1, 1, 1}, {2, 40, 40}});
}

TEST(LinearAttention, Toeplitz) {
  LinearCase what;
  what.norm = "sum";
  for (bool causal : {true, false}) {
    what.causal = causal;
    what.toeplitz = causal ? 1 : 2;
    expectRight(what, {{1, 1, 1}, {2, 5, 7}, {1, 64, 65}, {1, 131, 137}});
  }
}

TEST(LinearAttention, TablesAndMasks) {
  LinearCase what;
  what.terms = 3;
  what.keyDim = 7;
  what.norm = "sum";
  what.keyMask = true;
  for (bool causal : {true, false})
    for (const char *form : {causal ? "chunked" : "linear", causal ? "recurrent" : "quadratic"}) {
      what.causal = causal;
      what.form = form;
      expectRight(what, {{1, 2, 2}, {2, 65, 65}, {1, 131, 129}});
    }
}

TEST(LinearAttention, HalfFloats) {
  for (const char *dtype : {"f16", "bf16"})
    for (const char *form : {"chunked", "recurrent", "linear"}) {
      LinearCase what;
      what.dtype = dtype;
      what.form = form;
      what.causal = what.form != "linear";
      what.norm = "sum";
      what.valueDim = 20;
      what.finalState = what.causal;
      expectRight(what, {{1, 1, 1}, {1, 67, 70}}, what.dtype == "f16" ? 2e-3 : 1e-2);
    }
}

/// A number that is not finite changes its own row and, if causal, later ones only.
TEST(LinearAttention, NotANumberStaysBehind) {
  LinearCase what;
  what.features = false;
  for (const char *form : {"chunked", "recurrent", "quadratic"}) {
    what.form = form;
    forTargets(what, [&](Kernel &kernel) {
      LinearProblem clean(what, {1, 100, 100}), problem(what, {1, 100, 100});
      problem.input("v").set(70 * 16, NAN);
      problem.input("q").set(20 * 16, INFINITY);
      KernelRun expected = kernel.run(clean.inputs, clean.sizes());
      KernelRun run = kernel.run(problem.inputs, problem.sizes());
      for (int64_t n = 0; n < 70; ++n)
        if (n != 20)
          EXPECT_EQ(run.outputs[0][n * 16], expected.outputs[0][n * 16]) << n;
      EXPECT_TRUE(std::isnan(run.outputs[0][70 * 16]));
    });
  }
}

TEST(LinearAttention, SplitSequence) {
  LinearCase what;
  what.update = "gated";
  what.norm = "sum";
  what.initState = what.initNorm = what.finalState = what.finalNorm = true;
  forTargets(what, [&](Kernel &kernel) {
    LinearProblem whole(what, {1, 90, 90});
    Array state = whole.input("s0"), norm = whole.input("z0");
    whole.solve();
    for (auto [first, end] : {std::pair<int64_t, int64_t>{0, 70}, {70, 71}, {71, 90}}) {
      LinearProblem part(what, {1, end - first, end - first});
      for (const char *name : {"q", "k", "v", "g"}) {
        Array &to = part.input(name), &from = whole.input(name);
        int64_t depth = from.size() / 2 / 90, rows = end - first;
        for (int64_t h = 0; h < 2; ++h)
          for (int64_t i = 0; i < rows * depth; ++i)
            to.set(h * rows * depth + i, from[(h * 90 + first) * depth + i]);
      }
      part.input("s0") = state;
      part.input("z0") = norm;
      KernelRun run = kernel.run(part.inputs, part.sizes());
      for (int64_t h = 0; h < 2; ++h)
        for (int64_t i = 0; i < (end - first) * 16; ++i)
          EXPECT_NEAR(run.outputs[0][h * (end - first) * 16 + i],
                      whole.result[(h * 90 + first) * 16 + i], 1e-4);
      state = run.outputs[1];
      norm = run.outputs[2];
    }
  });
}

TEST(LinearAttention, ThreadsGiveTheSameBits) {
  for (const char *form : {"chunked", "linear", "quadratic", "recurrent"}) {
    LinearCase what;
    what.form = form;
    what.causal = what.form != "linear";
    what.norm = "sum";
    what.heads = what.kvHeads = 1;
    forTargets(what, [&](Kernel &kernel) {
      LinearProblem problem(what, {3, 600, 600});
      KernelRun one = kernel.run(problem.inputs, problem.sizes(), 1);
      KernelRun two = kernel.run(problem.inputs, problem.sizes(), 2);
      EXPECT_LE(problem.error(one), kTolerance);
      EXPECT_TRUE(one.outputs[0] == two.outputs[0]);
    });
  }
}

TEST(LinearAttention, RefusesFormsThatDoNotExist) {
  LinearCase what;
  what.update = "delta";
  auto emitter = createLinearAttentionEmitter();
  for (const char *form : {"chunked", "quadratic", "linear", "fft"}) {
    what.form = form;
    Kernel kernel(what.text(), *emitter, runnableTargets().front());
    EXPECT_FALSE(kernel.matched()) << form;
  }
}
