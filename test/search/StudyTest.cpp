#include "Tables.h"

#include "llvm/Support/MemoryBuffer.h"

#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace attune::search;

namespace {

constexpr const char *kTwoGoals = R"(
attune-space: 1
vars:
  - {name: kind, kind: cat, values: [softmax, linear, conv, local], repeat: 3}
  - {name: ffn, kind: int, values: [1, 2, 4], repeat: 3}
constraints:
  - {cost: size, le: 14}
objectives:
  - {metric: score, goal: max}
  - {cost: size, goal: min}
budget: {evals: 200}
seed: 3
)";

/// Looks results up, and ends them in another order than they were started, several at a time.
class Shuffling final : public Evaluator {
public:
  Shuffling(const Table &table, unsigned count) : table(table), count(count) {}
  std::string identity() const override { return "table"; }
  unsigned slots() const override { return count; }
  bool cheap() const override { return true; }
  llvm::Error start(const Request &request) override {
    started.push_back(request);
    return llvm::Error::success();
  }
  llvm::Expected<std::vector<Outcome>> wait() override {
    size_t pick = started.size() * 2 / 3;
    TableEvaluator one(table);
    llvm::cantFail(one.start(started[pick]));
    started.erase(started.begin() + pick);
    return one.wait();
  }

private:
  const Table &table;
  unsigned count;
  std::vector<Request> started;
};

struct StudyTest : testing::Test {
  Space space = makeSpace(kTwoGoals);
  Table table = llvm::cantFail(makeSyntheticTable(space, {.seed = 9}));
  TemporaryFolder folder;

  std::string error(StudyOptions options) {
    TableEvaluator evaluator(table);
    TableCost cost(table);
    auto strategy = llvm::cantFail(makeStrategy(space.strategy, space));
    auto result = Study(space, cost, evaluator, *strategy, std::move(options)).run();
    return result ? "done" : llvm::toString(result.takeError());
  }
};

TEST_F(StudyTest, SameArchiveForAnyNumberOfWorkers) {
  for (const StrategyKind &kind : strategyKinds()) {
    space.strategy = quick(kind.name);
    std::string first;
    for (unsigned workers : {1, 2, 5}) {
      Shuffling evaluator(table, workers);
      StudyResult result = runStudy(space, table, evaluator);
      EXPECT_EQ(result.told, 200u);
      if (first.empty())
        first = describe(result.archive);
      EXPECT_EQ(first, describe(result.archive)) << kind.name.str();
    }
  }
}

TEST_F(StudyTest, NothingIllegalIsEvaluated) {
  TableCost cost(table);
  bool all = true;
  CallbackEvaluator evaluator("check", [&](const Request &request) {
    all &= llvm::cantFail(cost.estimate(request.genes)).values[0] <= 14;
    Outcome outcome;
    outcome.status = Status::Ok;
    outcome.metrics["score"] = 1;
    return outcome;
  });
  StudyResult result = runStudy(space, table, evaluator);
  EXPECT_TRUE(all);
  EXPECT_GT(result.refused, 0u);
}

/// The journal of a whole study, cut anywhere, goes on to the same archive.
TEST_F(StudyTest, ResumesFromAnyCut) {
  space.evals = 100;
  for (const StrategyKind &kind : strategyKinds()) {
    space.strategy = quick(kind.name);
    TemporaryFolder whole;
    Shuffling evaluator(table, 3);
    StudyOptions options{.folder = whole.in("s")};
    options.checkpointEvery = 16;
    std::string expected = describe(runStudy(space, table, evaluator, options).archive);
    auto journal = llvm::MemoryBuffer::getFile(Journal::pathIn(whole.in("s")));
    ASSERT_TRUE(bool(journal));
    llvm::StringRef text = (*journal)->getBuffer();
    Rng rng(1, 0, Stage::Propose);
    for (int cut = 0; cut < 5; ++cut) {
      TemporaryFolder part;
      llvm::sys::fs::create_directories(part.in("s"));
      std::error_code code;
      llvm::raw_fd_ostream(Journal::pathIn(part.in("s")), code)
          << text.take_front(cut ? rng.below(text.size()) : 0);
      StudyOptions again{.folder = part.in("s"), .resume = true};
      again.checkpointEvery = 16;
      Shuffling other(table, 1 + cut % 2);
      EXPECT_EQ(expected, describe(runStudy(space, table, other, again).archive))
          << kind.name.str() << ", cut " << cut;
    }
  }
}

// A process that works on the study is killed at random moments, again and again.
TEST_F(StudyTest, SurvivesKills) {
  space.strategy = {.name = "nsga2", .options = {{"population", "20"}}};
  auto slow = [&] {
    return CallbackEvaluator("slow", [&](const Request &request) {
      ::usleep(300);
      TableEvaluator one(table);
      llvm::cantFail(one.start(request));
      return llvm::cantFail(one.wait())[0];
    });
  };
  CallbackEvaluator undisturbed = slow();
  std::string expected = describe(runStudy(space, table, undisturbed).archive);
  StudyOptions options{.folder = folder.in("s")};
  Rng rng(2, 0, Stage::Propose);
  // Until it has been killed twenty times, unless it is done before.
  int killed = 0;
  for (bool isDone = false; killed < 20 && !isDone;) {
    options.resume = llvm::sys::fs::exists(Journal::pathIn(options.folder));
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      CallbackEvaluator evaluator = slow();
      runStudy(space, table, evaluator, options);
      ::_exit(0);
    }
    ::usleep(rng.below(6000));
    ::kill(child, SIGKILL);
    int status;
    ::waitpid(child, &status, 0);
    killed += WIFSIGNALED(status);
    isDone = !WIFSIGNALED(status);
  }
  printf("killed %d times\n", killed);
  EXPECT_GT(killed, 0);
  options.resume = llvm::sys::fs::exists(Journal::pathIn(options.folder));
  CallbackEvaluator evaluator = slow();
  EXPECT_EQ(expected, describe(runStudy(space, table, evaluator, options).archive));
}

TEST_F(StudyTest, GoesOnWithALargerBudget) {
  TableEvaluator evaluator(table);
  space.evals = 50;
  runStudy(space, table, evaluator, {.folder = folder.in("s")});
  space.evals = 200;
  std::string longer = describe(
      runStudy(space, table, evaluator, {.folder = folder.in("s"), .resume = true}).archive);
  EXPECT_EQ(longer, describe(runStudy(space, table, evaluator).archive));
}

TEST_F(StudyTest, RefusesAnotherStudy) {
  StudyOptions options{.folder = folder.in("s")};
  EXPECT_EQ(error(options), "done");
  EXPECT_NE(error(options).find("study.jsonl exists; `--resume` goes on with it"),
            std::string::npos);
  options.resume = true;
  EXPECT_EQ(error(options), "done");
  space.seed = 4;
  EXPECT_NE(error(options).find("has another seed: \"3\", here it is \"4\"; nothing was changed"),
            std::string::npos);
  space = makeSpace(std::string(kTwoGoals).replace(std::string(kTwoGoals).find("14"), 2, "13"));
  EXPECT_NE(error(options).find("has another space: "), std::string::npos);
  options.folder = folder.in("none");
  EXPECT_NE(error(options).find("there is no study in"), std::string::npos);
}

// Whatever is changed in a journal, going on with it ends well or with a message.
TEST_F(StudyTest, DamagedJournals) {
  for (const char *strategy : {"nsga2", "rank"}) {
    space.strategy = quick(strategy);
    space.evals = 40;
    TemporaryFolder whole;
    TableEvaluator evaluator(table);
    StudyOptions options{.folder = whole.in("s")};
    options.checkpointEvery = 8;
    runStudy(space, table, evaluator, options);
    auto journal = llvm::MemoryBuffer::getFile(Journal::pathIn(options.folder));
    Rng rng(8, 0, Stage::Propose);
    for (int round = 0; round < 60; ++round) {
      std::string text = (*journal)->getBuffer().str();
      for (int change = 0; change < 3; ++change)
        text[rng.below(text.size())] = "0123456789-,\"[]{}:na\n"[rng.below(22)];
      TemporaryFolder part;
      llvm::sys::fs::create_directories(part.in("s"));
      std::error_code code;
      llvm::raw_fd_ostream(Journal::pathIn(part.in("s")), code) << text;
      EXPECT_NE(error({.folder = part.in("s"), .resume = true}), "");
    }
  }
}

TEST_F(StudyTest, OneProcessAtATime) {
  auto journal = Journal::create(folder.in("s"));
  ASSERT_TRUE(bool(journal));
  EXPECT_NE(error({.folder = folder.in("s"), .resume = true}).find("another process works on"),
            std::string::npos);
}

TEST_F(StudyTest, FullDisk) {
  StudyOptions options{.folder = folder.in("s")};
  std::string expected;
  {
    TableEvaluator evaluator(table);
    expected = describe(runStudy(space, table, evaluator).archive);
  }
  // In a child, because a limit on file sizes cannot be taken back.
  pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{10000, 10000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::string message = error(options);
    bool good = message.find("cannot write") == 0 &&
                message.find("File too large") != std::string::npos &&
                message.find("What was written before is safe") != std::string::npos;
    ::_exit(good ? 7 : 1);
  }
  int status;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  auto content = Journal::read(folder.in("s"));
  ASSERT_TRUE(bool(content));
  EXPECT_GT(content->lines.size(), 10u);
  options.resume = true;
  TableEvaluator evaluator(table);
  EXPECT_EQ(expected, describe(runStudy(space, table, evaluator, options).archive));
}

TEST_F(StudyTest, FailuresAndMetricsThatAreNoNumbers) {
  unsigned calls = 0;
  CallbackEvaluator evaluator("bad", [&](const Request &request) {
    Outcome outcome;
    if (++calls % 4 == 0) {
      outcome.reason = "crashed";
      return outcome;
    }
    outcome.status = Status::Ok;
    if (calls % 4 == 1)
      outcome.metrics["score"] = std::nan("");
    if (calls % 4 == 2)
      outcome.metrics["other"] = 1;
    if (calls % 4 == 3)
      outcome.metrics["score"] = 0.5;
    return outcome;
  });
  StudyResult result = runStudy(space, table, evaluator, {.folder = folder.in("s")});
  EXPECT_EQ(result.told, 200u);
  EXPECT_EQ(result.ok, 50u);
  EXPECT_EQ(result.failed, 150u);
  auto content = Journal::read(folder.in("s"));
  ASSERT_TRUE(bool(content));
  std::map<std::string, int> reasons;
  for (const llvm::json::Object &line : content->lines)
    if (line.get("tell"))
      ++reasons[line.getString("reason").value_or("").str()];
  EXPECT_EQ(reasons["crashed"], 50);
  EXPECT_EQ(reasons["the metric `score` is not a finite number"], 50);
  EXPECT_EQ(reasons["the metric `score` is missing"], 50);
}

TEST_F(StudyTest, ImpossibleConstraints) {
  std::string text = kTwoGoals;
  space = makeSpace(text.replace(text.find("le: 14"), 6, "le: 0.5"));
  EXPECT_NE(error({}).find("no candidate meets the constraints; the tightest is `size <= 0.5`: the "
                           "best value found is "),
            std::string::npos)
      << error({});
  text = kTwoGoals;
  space = makeSpace(text.replace(text.find("{cost: size, le: 14}"), 20,
                                 "{expr: \"sum(ffn) > 12\"}\n  - {cost: size, le: 14}"));
  EXPECT_EQ(error({}), "no candidate meets the constraints; the tightest is `sum(ffn) > 12`");
  text = kTwoGoals;
  space = makeSpace(text.replace(text.find("{cost: size, le: 14}"), 20,
                                 "{expr: \"sum(ffn) >= 12\"}\n  - {expr: \"sum(ffn) <= 3\"}"));
  EXPECT_NE(
      error({}).find("no candidate meets all constraints together, though each alone can be met"),
      std::string::npos)
      << error({});
  text = kTwoGoals;
  space = makeSpace(text.replace(text.find("cost: size, le"), 14, "cost: latency_ms, le"));
  EXPECT_EQ(error({}), "no cost `latency_ms`; there are size");
}

// Of 1.7 million members 9 are legal: random draws do not find them, changing genes does.
TEST_F(StudyTest, FindsRareLegalCandidates) {
  space = makeSpace(R"yaml(
attune-space: 1
vars: [{name: x, kind: int, range: [1, 6], repeat: 8}]
costs: [{name: total, expr: "sum(x)"}]
constraints: [{cost: total, le: 9}]
objectives: [{metric: score, goal: max}]
budget: {evals: 9}
)yaml");
  CallbackEvaluator evaluator("one", [](const Request &) {
    Outcome outcome;
    outcome.status = Status::Ok;
    outcome.metrics["score"] = 1;
    return outcome;
  });
  StudyResult result = runStudy(space, Table(), evaluator);
  EXPECT_EQ(result.told, 9u);
}

TEST_F(StudyTest, EarlyStopping) {
  space = makeSpace(R"(
attune-space: 1
vars: [{name: x, kind: int, range: [1, 1000]}]
objectives: [{metric: score, goal: max}]
early_stop: {metric: score, rungs: [1, 2], keep: 0.5, after: 8}
budget: {evals: 200}
)");
  unsigned steps = 0;
  auto grow = [&](const Request &request) {
    Outcome outcome;
    outcome.status = Status::Ok;
    for (size_t rung = 0; rung < 2; ++rung) {
      double value = request.genes[0] * (rung + 1);
      ++steps;
      outcome.rungs.push_back(value);
      if (rung < request.thresholds.size() && isTooBad(space, value, request.thresholds[rung])) {
        outcome.status = Status::Stopped;
        return outcome;
      }
    }
    outcome.metrics["score"] = request.genes[0] * 3;
    ++steps;
    return outcome;
  };
  space.strategy = {.name = "random"};
  CallbackEvaluator evaluator("grow", grow);
  StudyOptions options{.folder = folder.in("s")};
  options.checkpointEvery = 8;
  StudyResult result = runStudy(space, Table(), evaluator, options);
  EXPECT_GT(result.stopped, 80u);
  EXPECT_GT(result.ok, 20u);
  EXPECT_LT(steps, 450u); // of 600
  // Resumed in the middle: the limits are those of the journal.
  auto journal = llvm::MemoryBuffer::getFile(Journal::pathIn(options.folder));
  TemporaryFolder part;
  llvm::sys::fs::create_directories(part.in("s"));
  std::error_code code;
  llvm::raw_fd_ostream(Journal::pathIn(part.in("s")), code)
      << (*journal)->getBuffer().take_front((*journal)->getBufferSize() / 2);
  CallbackEvaluator other("grow", grow);
  StudyResult again = runStudy(space, Table(), other, {.folder = part.in("s"), .resume = true});
  EXPECT_EQ(again.stopped, result.stopped);
  EXPECT_EQ(describe(again.archive), describe(result.archive));
}

TEST_F(StudyTest, ConfidenceLeavesAMargin) {
  struct Estimate final : CostModel {
    std::vector<CostName> costNames = {{"latency_ms", 2}};
    llvm::ArrayRef<CostName> names() const override { return costNames; }
    llvm::Expected<CostVector> estimate(llvm::ArrayRef<int32_t> genes) override {
      CostVector cost;
      cost.values = {genes[0] + 1.0};
      cost.sigma = 0.1;
      return cost;
    }
    bool exact(unsigned) const override { return false; }
  } model;
  space = makeSpace(R"(
attune-space: 1
vars: [{name: x, kind: int, range: [1, 100]}]
constraints: [{cost: latency_ms, le: 50, target: cpu, threads: 2, confidence: 0.9}]
objectives: [{metric: score, goal: max}]
)");
  auto legality = llvm::cantFail(Legality::create(space, model));
  // 1.2816 standard deviations: x * 1.12816 <= 50
  EXPECT_TRUE(legality.legal({43}));
  EXPECT_FALSE(legality.legal({44}));
}

} // namespace
