#include "AttentionProblem.h"

#include <cmath>

using namespace mlir;
using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

constexpr double kTolerance = 1e-5;

/// One case, compiled for one target.
struct Compiled {
  Compiled(const AttentionCase &what, const CpuTarget &target)
      : context(makeContext()), module(ModuleOp::create(UnknownLoc::get(context.get()))),
        scratch(emitCase(*module, target, what, "attention")),
        library(*module, target, {"attention"}) {}
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  AttentionScratch scratch;
  Library library;
  attune_kernel_fn kernel() { return library["attention"]; }
};

/// Runs `body(target, compiled)` for all targets.
template <typename Body> void forTargets(const AttentionCase &what, Body body) {
  for (const CpuTarget &target : runnableTargets()) {
    SCOPED_TRACE(target.cpu);
    Compiled compiled(what, target);
    body(target, compiled);
  }
}

void expectRight(AttentionProblem &problem, Compiled &compiled, double tolerance = kTolerance) {
  const AttentionShape &s = problem.shape;
  SCOPED_TRACE(testing::Message() << "b " << s.batch << " h " << s.heads << "/" << s.kvHeads
                                  << " n " << s.queries << " m " << s.keys);
  problem.run(compiled.kernel(), compiled.scratch, 1);
  EXPECT_LE(problem.error(), tolerance);
}

void expectRight(const AttentionCase &what, ArrayRef<AttentionShape> shapes,
                 double tolerance = kTolerance) {
  forTargets(what, [&](const CpuTarget &, Compiled &compiled) {
    for (const AttentionShape &shape : shapes) {
      AttentionProblem problem(what, shape);
      expectRight(problem, compiled, tolerance);
    }
  });
}

/// Few and many queries around the sizes of tiles and blocks; both forms of the kernel.
const AttentionShape kShapes[] = {
    {1, 2, 2, 1, 1}, {1, 1, 1, 1, 300}, {2, 4, 2, 3, 70}, {3, 4, 4, 37, 41}, {1, 2, 1, 70, 131}};

} // namespace

TEST(Attention, Shapes) {
  AttentionCase what;
  what.headDim = 16;
  what.valueDim = 24;
  forTargets(what, [&](const CpuTarget &target, Compiled &compiled) {
    AttentionTile tile = AttentionTile::choose(target, 16, 24);
    int64_t width = tile.vectors * target.lanes();
    for (int64_t queries : {int64_t(1), target.lanes() / 2, target.lanes() / 2 + 1, width - 1,
                            width, width + 1, 2 * width + target.lanes() + 1})
      for (int64_t keys : {int64_t(1), tile.keyRows - 1, tile.keyRows + 1, tile.keys - 1, tile.keys,
                           tile.keys + 1, int64_t(2 * tile.keys + 17)}) {
        AttentionProblem problem(what, {1, 2, 1, queries, keys});
        expectRight(problem, compiled);
      }
  });
}

TEST(Attention, Empty) {
  AttentionCase what;
  expectRight(what, {{1, 2, 2, 5, 0}, {1, 2, 2, 40, 0}, {1, 2, 2, 0, 5}, {0, 2, 2, 5, 5}});
  what.emptyRow = EmptyRow::NaN;
  expectRight(what, {{1, 2, 2, 1, 0}, {1, 2, 2, 40, 0}});
}

TEST(Attention, HeadDims) {
  for (auto [d, e] : {std::pair<int64_t, int64_t>{1, 1}, {7, 32}, {32, 7}, {64, 64}, {80, 80}}) {
    AttentionCase what;
    what.headDim = d;
    what.valueDim = e;
    what.interleaved = d == e;
    expectRight(what, {{2, 2, 2, 3, 29}, {1, 2, 1, 37, 53}});
  }
}

TEST(Attention, WideHead) {
  AttentionCase what;
  what.headDim = what.valueDim = 256;
  expectRight(what, {{1, 1, 1, 2, 67}, {1, 2, 1, 33, 67}});
  // An axis of an image: few rows, all columns and channels in one head. Scores are sums of 1100
  // products, around 50 in size, rounded in f32 before the exponential.
  what.headDim = 1100;
  what.valueDim = 700;
  expectRight(what, {{1, 1, 1, 2, 5}, {1, 2, 2, 37, 35}}, 5e-5);
}

TEST(Attention, Masks) {
  for (MaskKind kind : {MaskKind::AllFalse, MaskKind::OneKey, MaskKind::Tail, MaskKind::Causal,
                        MaskKind::Window, MaskKind::OneRow}) {
    SCOPED_TRACE(static_cast<int>(kind));
    AttentionCase what;
    what.mask = kind;
    expectRight(what, kShapes);
  }
}

TEST(Attention, MaskNotMined) {
  AttentionCase what;
  what.mask = MaskKind::Causal;
  what.mined = false;
  what.emptyRow = EmptyRow::NaN;
  what.queryOffset = true; // empty leading rows in one batch element
  expectRight(what, kShapes);
}

TEST(Attention, QueryOffsetAndKeyLength) {
  AttentionCase what;
  what.mask = MaskKind::Window;
  what.queryOffset = what.keyLength = what.lse = true;
  expectRight(what, kShapes);
}

TEST(Attention, Scores) {
  for (ScoresKind kind : {ScoresKind::Full, ScoresKind::Keys, ScoresKind::Rows}) {
    AttentionCase what;
    what.scores = kind;
    what.keyLength = true;
    expectRight(what, kShapes);
  }
}

TEST(Attention, ScoresOnly) {
  AttentionCase what;
  what.headDim = 0;
  what.scores = ScoresKind::Full;
  expectRight(what, kShapes);
}

TEST(Attention, InfiniteScores) {
  AttentionCase what;
  what.scores = ScoresKind::Full;
  what.lse = true;
  forTargets(what, [&](const CpuTarget &, Compiled &compiled) {
    for (int64_t queries : {2, 20}) {
      AttentionProblem problem(what, {1, 1, 1, queries, 33});
      for (int64_t m = 0; m < 33; ++m) {
        problem.scores[m] = -INFINITY; // a row without a key
        if (m != 32)
          problem.scores[33 + m] = -INFINITY; // a row with the last one only
      }
      expectRight(problem, compiled);
      EXPECT_EQ(problem.result[0], 0);
    }
  });
}

TEST(Attention, ScoreRegionLogitsAndLse) {
  AttentionCase what;
  what.score = what.lse = what.logits = what.keyLength = true;
  what.mask = MaskKind::Causal;
  expectRight(what, kShapes);
  what.logits = false;
  expectRight(what, kShapes);
}

TEST(Attention, Sink) {
  AttentionCase what;
  what.sink = what.lse = true;
  what.mask = MaskKind::OneRow;
  forTargets(what, [&](const CpuTarget &, Compiled &compiled) {
    for (const AttentionShape &shape : kShapes) {
      AttentionProblem problem(what, shape);
      expectRight(problem, compiled);
      problem.sink.assign(problem.sink.size(), -INFINITY); // no sink at all
      expectRight(problem, compiled);
    }
  });
}

TEST(Attention, Weightings) {
  for (Weighting weighting : {Weighting::None, Weighting::Sum, Weighting::Count})
    for (MaskKind mask : {MaskKind::None, MaskKind::Window}) {
      AttentionCase what;
      what.weighting = weighting;
      what.mask = mask;
      what.epsMode = mask == MaskKind::None ? EpsMode::Add : EpsMode::Clamp;
      forTargets(what, [&](const CpuTarget &, Compiled &compiled) {
        for (const AttentionShape &shape : kShapes) {
          AttentionProblem problem(what, shape);
          for (float &x : problem.query) // weights of one sign: their sum is not near 0
            x = std::fabs(x);
          for (float &x : problem.key)
            x = std::fabs(x);
          expectRight(problem, compiled);
        }
      });
    }
}

TEST(Attention, LargeLogits) {
  AttentionCase what;
  what.headDim = 1;
  forTargets(what, [&](const CpuTarget &, Compiled &compiled) {
    for (int64_t queries : {2, 20}) {
      AttentionProblem problem(what, {1, 1, 1, queries, 200});
      for (float &q : problem.query)
        q = q > 0 ? 2 : -2;
      for (int64_t m = 0; m < 200; ++m) // exact logits: +-10000, some of them 1/4 apart
        problem.key[m] = (m % 2 ? 10000.f : -10000.f) + (m % 7) * 0.25f;
      expectRight(problem, compiled);
      problem.key.assign(200, 0);
      expectRight(problem, compiled);
      problem.key.back() = 50; // the maximum comes last
      expectRight(problem, compiled);
    }
  });
}

TEST(Attention, NonFiniteValuesStayInTheirRows) {
  AttentionCase what;
  forTargets(what, [&](const CpuTarget &, Compiled &compiled) {
    for (int64_t queries : {3, 40})
      for (float bad : {NAN, INFINITY, -INFINITY}) {
        AttentionProblem problem(what, {1, 2, 2, queries, 130});
        problem.query[8] = bad; // row 1 of head 0
        problem.run(compiled.kernel(), compiled.scratch, 1);
        for (size_t i = 0; i < problem.result.size(); ++i)
          EXPECT_EQ(std::isnan(problem.result[i]), i / 8 == 1) << i << " " << bad;
        AttentionProblem values(what, {1, 2, 2, queries, 130});
        values.value[8 * 77 + 3] = bad; // a column of head 0
        values.run(compiled.kernel(), compiled.scratch, 1);
        for (size_t i = 0; i < values.result.size(); ++i)
          EXPECT_EQ(std::isfinite(values.result[i]), i / 8 >= size_t(queries) || i % 8 != 3)
              << i << " " << bad;
      }
    // An unusual NaN stays one.
    AttentionProblem problem(what, {1, 1, 1, 20, 20});
    uint32_t bits = 0x7f800001;
    std::memcpy(&problem.query[0], &bits, 4);
    expectRight(problem, compiled);
  });
}

TEST(Attention, HalfStorage) {
  for (Storage storage : {Storage::F16, Storage::BF16}) {
    AttentionCase what;
    what.headDim = 20;
    what.valueDim = 24;
    what.storage = storage;
    what.mask = MaskKind::Causal;
    expectRight(what, {{1, 2, 1, 3, 70}, {2, 4, 2, 37, 111}},
                storage == Storage::F16 ? 2e-3 : 1e-2);
  }
}

TEST(Attention, SameBitsForAnyNumberOfThreads) {
  AttentionCase what;
  what.headDim = what.valueDim = 32;
  what.mask = MaskKind::Causal;
  what.queryOffset = true;
  forTargets(what, [&](const CpuTarget &, Compiled &compiled) {
    for (AttentionShape shape : {AttentionShape{3, 4, 2, 2, 1500}, {3, 4, 2, 90, 170}}) {
      AttentionProblem one(what, shape), two(what, shape), five(what, shape);
      one.run(compiled.kernel(), compiled.scratch, 1);
      two.run(compiled.kernel(), compiled.scratch, 2);
      five.run(compiled.kernel(), compiled.scratch, 5);
      EXPECT_LE(one.error(), kTolerance);
      EXPECT_EQ(one.result, two.result);
      EXPECT_EQ(one.result, five.result);
    }
  });
}

TEST(Attention, AnyTile) {
  for (AttentionTile tile : {AttentionTile{1, 5, 3, 10, 1}, {2, 4, 8, 8, 3}, {4, 3, 5, 33, 2}}) {
    AttentionCase what;
    what.headDim = 9;
    what.valueDim = 17;
    what.tile = tile;
    what.mask = MaskKind::Window;
    expectRight(what, {{1, 2, 1, 75, 130}, {2, 70, 70, 70, 11}});
  }
}
