// On 40 finalists that `attune search finalists` compiled, measured on one thread of a calibrated
// machine (Zen 4, AVX-512) and kept: finalists.json. No time is taken here.
#include "attune/search/templates/MeasuredLatency.h"
#include "Spaces.h"
#include "attune/search/Legality.h"
#include "attune/search/templates/TemplateCost.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace attune;
using namespace attune::search;

namespace {

using Point = MeasuredLatency::Point;

constexpr const char *kStored = ATTUNE_TEST_FINALISTS;

std::vector<Point> stored() {
  auto text = llvm::cantFail(llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(kStored)));
  auto document = llvm::cantFail(llvm::json::parse(text->getBuffer()));
  std::string prices = document.getAsObject()->getString("prices")->str();
  return llvm::cantFail(MeasuredLatency::read(kStored, prices)).points();
}

struct TemporaryFile {
  llvm::SmallString<128> path;
  TemporaryFile() {
    llvm::cantFail(llvm::errorCodeToError(
        llvm::sys::fs::createTemporaryFile("attune-finalists", "json", path)));
  }
  ~TemporaryFile() { llvm::sys::fs::remove(path); }
  void write(llvm::StringRef text) const {
    std::error_code code;
    llvm::raw_fd_ostream(path, code) << text;
  }
};

/// Of what is expected of points against what they took.
double error(const MeasuredLatency &known, llvm::ArrayRef<Point> points) {
  double sum = 0;
  for (const Point &point : points)
    sum += std::fabs(std::log(known.expect(point.predicted, point.threads).ms / point.measuredMs));
  return sum / points.size();
}

// Measured finalists bring the predictions of the others nearer to what those take.
TEST(MeasuredLatency, PredictionsMoveTowardsMeasurements) {
  std::vector<Point> points = stored();
  ASSERT_EQ(points.size(), 40u);
  for (size_t parity : {0, 1}) {
    MeasuredLatency none, some;
    std::vector<Point> others;
    for (auto [i, point] : llvm::enumerate(points))
      if (i % 2 == parity)
        some.set(point);
      else
        others.push_back(point);
    EXPECT_LT(error(some, others), 0.5 * error(none, others));
    for (const Point &point : others) {
      EXPECT_EQ(none.expect(point.predicted, 1).ms, point.predicted.ms);
      EXPECT_DOUBLE_EQ(none.expect(point.predicted, 1).sigma, point.predicted.sigma());
      EXPECT_LT(some.expect(point.predicted, 1).sigma, point.predicted.sigma());
      // What was measured on another number of threads says nothing.
      EXPECT_EQ(some.expect(point.predicted, 2).ms, point.predicted.ms);
    }
  }
}

// Each further measurement counts, and only of kernels that the candidate has.
TEST(MeasuredLatency, PointsAddUp) {
  MeasuredLatency measured;
  LatencyPrediction products{2, {{"gemm", 0.2}}}, rows{2, {{"rowwise", 0.2}}};
  double last = products.ms;
  for (uint64_t id = 0; id < 5; ++id) {
    measured.set({id, 1, products, 3});
    MeasuredLatency::Expected expected = measured.expect(products, 1);
    EXPECT_GT(expected.ms, last);
    EXPECT_LT(expected.ms, 3);
    last = expected.ms;
  }
  EXPECT_DOUBLE_EQ(measured.expect(rows, 1).ms, 2);
  EXPECT_DOUBLE_EQ(measured.expect(rows, 1).sigma, rows.sigma());
  // A candidate that is measured again is still one point.
  measured.set({4, 1, products, 1.5});
  EXPECT_EQ(measured.points().size(), 5u);
  EXPECT_LT(measured.expect(products, 1).ms, last);
}

/// Latencies as predicted for stored finalists; the gene is the number of the finalist.
class StoredCost final : public CostModel {
public:
  explicit StoredCost(llvm::ArrayRef<Point> points) : points(points) {}
  llvm::ArrayRef<CostName> names() const override { return name; }
  llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override {
    const LatencyPrediction &predicted = points[genes[0]].predicted;
    return CostVector{{predicted.ms}, predicted.sigma()};
  }
  bool exact(unsigned) const override { return false; }

private:
  llvm::ArrayRef<Point> points;
  CostName name[1] = {{"latency_ms", 1}};
};

// Of finalists under a limit at 90 % confidence, nine of ten meet it when measured, where the limit
// is the tightest that a finalist passes. Without the margin they do not.
TEST(MeasuredLatency, FinalistsMeetTheLimit) {
  std::vector<Point> points = stored();
  StoredCost cost(points);
  auto share = [&](double z, llvm::StringRef margin) {
    double chosen = 0, met = 0;
    for (const Point &tightest : points) {
      double limit = tightest.predicted.ms * (1 + z * tightest.predicted.sigma());
      Space space = makeSpace(llvm::formatv(R"(
attune-space: 1
vars: [{{name: finalist, kind: int, range: [0, {0}, 1]}]
constraints: [{{cost: latency_ms, le: {1:f9}{2}}]
objectives: [{{cost: latency_ms, goal: min}]
)",
                                            points.size() - 1, limit + 1e-8, margin)
                                  .str());
      auto legality = llvm::cantFail(Legality::create(space, cost));
      for (auto [i, point] : llvm::enumerate(points))
        // Those far below the limit prove nothing.
        if (point.predicted.ms >= 0.98 * tightest.predicted.ms &&
            legality.judge({static_cast<int32_t>(i)}).legal) {
          ++chosen;
          met += point.measuredMs <= limit;
        }
    }
    EXPECT_GE(chosen, points.size());
    return met / chosen;
  };
  EXPECT_GE(share(1.2817, ", confidence: 0.9"), 0.9);
  EXPECT_LT(share(0, ""), 0.9);
}

TEST(MeasuredLatency, IsKept) {
  TemporaryFile file;
  llvm::sys::fs::remove(file.path);
  std::string path(file.path);
  auto measured = llvm::cantFail(MeasuredLatency::read(path, "these"));
  EXPECT_TRUE(measured.points().empty());
  measured.set({7, 2, {1.5, {{"gemm", 0.1}, {"rowwise", 0.02}}}, 1.75});
  llvm::cantFail(measured.write(path));
  auto again = llvm::cantFail(MeasuredLatency::read(path, "these"));
  ASSERT_EQ(again.points().size(), 1u);
  const Point &point = again.points().front();
  EXPECT_EQ(point.id, 7u);
  EXPECT_EQ(point.threads, 2u);
  EXPECT_EQ(point.predicted.ms, 1.5);
  EXPECT_EQ(point.predicted.deviations, measured.points().front().predicted.deviations);
  EXPECT_EQ(point.measuredMs, 1.75);
  // Predictions by other prices are not comparable.
  EXPECT_TRUE(llvm::cantFail(MeasuredLatency::read(path, "others")).points().empty());
}

TEST(MeasuredLatency, DamagedFilesAreRefused) {
  TemporaryFile file;
  auto refusal = [&](llvm::StringRef text) {
    file.write(text);
    auto measured = MeasuredLatency::read(std::string(file.path), "p");
    return measured ? "accepted" : llvm::toString(measured.takeError());
  };
  auto finalist = [&](llvm::StringRef fields) {
    return refusal((R"({"format": 1, "prices": "p", "finalists": [{)" + fields + "}]}").str());
  };
  for (const char *text : {"", "[]", "{}", R"({"format": 2, "prices": "p", "finalists": []})",
                           R"({"format": 1, "prices": "p"})"})
    EXPECT_NE(refusal(text).find("holds no measurements of finalists"), std::string::npos) << text;
  const std::string whole =
      R"("id": 1, "threads": 1, "predicted_ms": 1, "deviations": {"a": 0.1}, "measured_ms": 2)";
  EXPECT_EQ(finalist(whole), "accepted");
  for (auto [from, to] : {std::pair(R"("threads": 1)", R"("threads": -1)"),
                          {R"("measured_ms": 2)", R"("measured_ms": 0)"},
                          {R"("predicted_ms": 1)", R"("predicted_ms": -1)"},
                          {R"("id": 1)", R"("id": "x")"},
                          {R"("a": 0.1)", R"("a": null)"},
                          {R"("deviations")", R"("others")"}}) {
    std::string text = whole;
    text.replace(text.find(from), std::strlen(from), to);
    EXPECT_NE(finalist(text).find("holds no measurements"), std::string::npos) << text;
  }
}

// What a candidate may be wrong in is what the study takes it to be.
TEST(MeasuredLatency, PredictionsAreThoseOfTheStudy) {
  ::setenv("ATTUNE_CALIBRATION", "none", 1);
  ::setenv("ATTUNE_TUNING", "none", 1);
  Space space = makeSpace(R"(
attune-space: 1
template: enc_classifier
fixed: {seq: 32, d: 32}
vars:
  - {name: attn, kind: cat, values: [softmax, linear], repeat: 2}
objectives: [{cost: latency_ms, goal: min, threads: 2}]
)");
  auto cost = llvm::cantFail(TemplateCost::create(space));
  for (const Genes &genes : {Genes{0, 0}, Genes{0, 1}, Genes{1, 1}}) {
    CostVector whole = llvm::cantFail(cost->estimate(genes));
    LatencyPrediction predicted = llvm::cantFail(cost->predict(genes, 2));
    EXPECT_DOUBLE_EQ(predicted.ms, whole.values[0]);
    EXPECT_DOUBLE_EQ(predicted.sigma(), whole.sigma);
    EXPECT_GT(llvm::cantFail(cost->predict(genes, 1)).ms, 0);
  }
}

} // namespace
