#include "attune/search/Report.h"
#include "Tables.h"

#include <fstream>

using namespace attune::search;

namespace {

constexpr const char *kSpace = R"(
attune-space: 1
vars:
  - {name: kind, kind: cat, values: [softmax, "<b>&"], repeat: 3}
  - {name: wide, kind: bool}
objectives:
  - {metric: score, goal: max}
  - {cost: size, goal: min}
budget: {evals: 12}
strategy: grid
)";

struct ReportTest : testing::Test {
  Space space = makeSpace(kSpace);
  Table table = llvm::cantFail(makeSyntheticTable(space, {.seed = 4}));
  TemporaryFolder folder;
  StudyResult result;

  void SetUp() override {
    unsigned calls = 0;
    CallbackEvaluator evaluator("some", [&](const Request &request) {
      Outcome outcome;
      outcome.reason = "a \"reason\", with comma";
      if (++calls % 5 == 0)
        return outcome;
      TableEvaluator one(table);
      llvm::cantFail(one.start(request));
      return llvm::cantFail(one.wait())[0];
    });
    StudyOptions options{.folder = folder.in("s")};
    options.spaceText = kSpace;
    result = runStudy(space, table, evaluator, options);
  }
  static std::string print(llvm::function_ref<void(llvm::raw_ostream &)> write) {
    std::string text;
    llvm::raw_string_ostream os(text);
    write(os);
    return text;
  }
};

TEST_F(ReportTest, AgreesWithTheStudy) {
  Report report = llvm::cantFail(Report::read(folder.in("s")));
  EXPECT_EQ(report.ok, 10u);
  EXPECT_EQ(report.failed, 2u);
  EXPECT_EQ(describe(report.archive), describe(result.archive));
  EXPECT_EQ(report.history.size(), 10u);
  EXPECT_TRUE(std::is_sorted(report.history.begin(), report.history.end()));
  std::vector<Goals> points;
  for (const Archive::Entry &entry : result.archive.entries())
    points.push_back(entry.goals);
  EXPECT_EQ(report.history.back(), hypervolume(points, report.reference));
}

TEST_F(ReportTest, Text) {
  Report report = llvm::cantFail(Report::read(folder.in("s")));
  std::string text = print([&](llvm::raw_ostream &os) { report.printText(os, 1); });
  EXPECT_NE(text.find(": 10 results, 2 failed (last: a \"reason\", with comma); grid, seed 0"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("score          size  candidate"), std::string::npos) << text;
}

TEST_F(ReportTest, HtmlIsEscapedAndComplete) {
  Report report = llvm::cantFail(Report::read(folder.in("s")));
  std::string html = print([&](llvm::raw_ostream &os) { report.printHtml(os); });
  EXPECT_EQ(html.find("<b>"), std::string::npos);
  EXPECT_NE(html.find("&lt;b&gt;&amp;"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_NE(html.find("</html>"), std::string::npos);
  size_t circles = 0;
  for (size_t at = 0; (at = html.find("<circle", at)) != std::string::npos; ++at)
    ++circles;
  EXPECT_EQ(circles, 10u);
}

TEST_F(ReportTest, MeasuredPointsAreShownBesidePredictedOnes) {
  Report report = llvm::cantFail(Report::read(folder.in("s")));
  auto count = [&](const char *text) {
    std::string html = print([&](llvm::raw_ostream &os) { report.printHtml(os); });
    size_t found = 0;
    for (size_t at = 0; (at = html.find(text, at)) != std::string::npos; ++at)
      ++found;
    return found;
  };
  EXPECT_EQ(count("class='measured'"), 0u);
  EXPECT_EQ(count("<h2>Latency"), 0u);
  uint64_t best = report.front()[0].id;
  report.latencies = {{best, 1, 2.0, 3.0, {{"gemm", 1.5}, {"row", 0.5}}},
                      {best, 2, 1.0, 0.5},
                      {best + 1, 1, 2.5},
                      {1000, 1, 2.0, 3.0}};
  // No axis is a latency: no ring, but the breakdown.
  EXPECT_EQ(count("class='measured'"), 0u);
  EXPECT_EQ(count("<td>2</td><td>3</td><td>1.5</td><td>1.5</td><td>0.5</td>"), 1u);
  EXPECT_EQ(count("<td>2.5</td><td></td><td></td><td></td><td></td>"), 1u);
  EXPECT_EQ(count("<h2>Latency, 1 thread<"), 1u);
  EXPECT_EQ(count("<h2>Latency, 2 threads<"), 1u);
  EXPECT_EQ(count("<tr><td>1000</td>"), 0u);
  // Only what was measured on as many threads as the axis is of.
  report.costs[0] = "latency_ms@2";
  report.space.objectives[1].cost = {"latency_ms"};
  EXPECT_EQ(count("class='measured'"), 1u);
  EXPECT_EQ(count("class='change'"), 1u);
  report.costs[0] = "latency_ms@1";
  report.latencies.erase(report.latencies.begin());
  EXPECT_EQ(count("class='measured'"), 0u);
}

TEST_F(ReportTest, LatenciesAreToldApartByThreads) {
  Report report = llvm::cantFail(Report::read(folder.in("s")));
  report.costs = {"latency_ms@1", "latency_ms@2", "params"};
  auto threads = [&](CostName cost, const char *metric = "") {
    return report.latencyThreads({.metric = metric, .cost = std::move(cost)});
  };
  EXPECT_EQ(threads({"latency_ms", 2}), 2u);
  EXPECT_EQ(threads({"latency_ms", 1}), 1u);
  EXPECT_EQ(threads({"latency_ms"}), 1u);
  EXPECT_EQ(threads({"latency_ms", 4}), std::nullopt);
  EXPECT_EQ(threads({"params"}), std::nullopt);
  EXPECT_EQ(threads({"latency_ms"}, "score"), std::nullopt);
}

TEST_F(ReportTest, Csv) {
  Report report = llvm::cantFail(Report::read(folder.in("s")));
  std::string csv = print([&](llvm::raw_ostream &os) { report.printCsv(os); });
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "id,status,origin,parent,seconds,front,kind.0,kind.1,kind.2,wide,size,score,reason");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 13);
  EXPECT_NE(csv.find("\"a \"\"reason\"\", with comma\""), std::string::npos);
}

TEST_F(ReportTest, RunningAndDamagedStudies) {
  std::ofstream file(Journal::pathIn(folder.in("s")), std::ios::app);
  file << "{\"ask\": 12, \"genes\": [0, 0, 0, 0]}\n{\"ask\": 13, \"gen";
  file.flush();
  EXPECT_EQ(llvm::cantFail(Report::read(folder.in("s"))).pending, 1u);
  file << "es\": [9]}\n";
  file.flush();
  auto damaged = Report::read(folder.in("s"));
  ASSERT_FALSE(bool(damaged));
  EXPECT_NE(llvm::toString(damaged.takeError()).find("candidate 13 has no genes of its space"),
            std::string::npos);
  std::ofstream other(Journal::pathIn(folder.in("s")));
  other << "{\"attune-study\": 2, \"text\": \"\"}\n";
  other.flush();
  auto newer = Report::read(folder.in("s"));
  ASSERT_FALSE(bool(newer));
  EXPECT_NE(llvm::toString(newer.takeError()).find("is not of an attune-study of version 1"),
            std::string::npos);
  auto none = Report::read(folder.in("none"));
  ASSERT_FALSE(bool(none));
  EXPECT_NE(llvm::toString(none.takeError()).find("cannot read"), std::string::npos);
}

} // namespace
