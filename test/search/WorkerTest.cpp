// Workers of every kind of manners (worker.py).
#include "attune/search/Worker.h"
#include "Tables.h"

using namespace attune::search;

namespace {

constexpr const char *kSmall = R"(
attune-space: 1
vars: [{name: x, kind: int, values: [0, 1, 2], repeat: 2}]
objectives: [{metric: score, goal: max}]
strategy: grid
budget: {evals: 9}
window: 4
)";

struct WorkerTest : testing::Test {
  Space space = makeSpace(kSmall);
  TemporaryFolder folder;
  std::map<std::string, int> reasons;

  WorkerOptions options(const char *manner, unsigned count = 2) {
    WorkerOptions result;
    result.command = {ATTUNE_TEST_PYTHON, "-S", "-E", ATTUNE_TEST_WORKER, manner};
    result.count = count;
    result.timeout = 20;
    result.logFolder = std::string(folder.path);
    return result;
  }

  llvm::Expected<StudyResult> run(WorkerOptions workerOptions) {
    WorkerEvaluator evaluator(space, std::move(workerOptions));
    ClosedFormCost cost(space);
    auto strategy = llvm::cantFail(makeStrategy(space.strategy, space));
    auto result = Study(space, cost, evaluator, *strategy, {.folder = folder.in("study")}).run();
    if (result)
      for (const llvm::json::Object &line : llvm::cantFail(Journal::read(folder.in("study"))).lines)
        if (line.get("tell"))
          ++reasons[line.getString("reason").value_or("").str()];
    return result;
  }

  StudyResult study(WorkerOptions workerOptions) {
    auto result = run(std::move(workerOptions));
    if (!result) {
      ADD_FAILURE() << llvm::toString(result.takeError());
      return {};
    }
    return std::move(*result);
  }
};

TEST_F(WorkerTest, Evaluates) {
  for (unsigned count : {1, 2, 4}) {
    llvm::sys::fs::remove_directories(folder.in("study"));
    StudyResult result = study(options("good", count));
    EXPECT_EQ(result.ok, 9u);
    ASSERT_EQ(result.archive.entries().size(), 1u);
    EXPECT_EQ(result.archive.entries()[0].goals[0], -(1 + 2) * 2);
  }
}

// A crash is a failed candidate; a new worker does the rest.
TEST_F(WorkerTest, Crashes) {
  StudyResult result = study(options("crash"));
  EXPECT_EQ(result.ok, 6u);
  EXPECT_EQ(reasons["the worker was ended by signal 11 (Segmentation fault)"], 3);
}

TEST_F(WorkerTest, Exits) {
  study(options("exit"));
  EXPECT_EQ(reasons["the worker ended with exit code 5"], 3);
}

TEST_F(WorkerTest, TakesTooLong) {
  WorkerOptions slow = options("slow");
  slow.timeout = 0.2;
  StudyResult result = study(slow);
  EXPECT_EQ(result.ok, 6u);
  EXPECT_EQ(reasons["no result within 0.2 s"], 3);
}

TEST_F(WorkerTest, TakesTooMuchMemory) {
  WorkerOptions small = options("memory");
  small.memory = uint64_t{1} << 30;
  StudyResult result = study(small);
  EXPECT_EQ(result.ok, 6u);
  EXPECT_EQ(reasons["the worker ended with exit code 1"], 3);
}

TEST_F(WorkerTest, SaysWhatIsNoMessage) {
  StudyResult result = study(options("babble"));
  EXPECT_EQ(result.ok, 6u);
  EXPECT_EQ(reasons["the worker said what is no message of the protocol: `epoch 1 done`"], 3);
}

// However much it is: the candidate fails, not the study.
TEST_F(WorkerTest, SaysTooMuch) {
  StudyResult result = study(options("flood"));
  EXPECT_EQ(result.ok, 6u);
  EXPECT_EQ(reasons["the worker said what is no message of the protocol: `epoch`"], 3);
}

// The journal stays UTF-8 when a message is cut within a letter.
TEST_F(WorkerTest, SaysLettersOfSeveralBytes) {
  EXPECT_EQ(study(options("cut")).ok, 0u);
  ASSERT_EQ(reasons.size(), 1u);
  EXPECT_EQ(reasons.begin()->first, "the worker said what is no message of the protocol: `" +
                                        std::string(79, 'x') + "\xEF\xBF\xBD`");
}

TEST_F(WorkerTest, QuotesAreReadAsJsonHasThem) {
  EXPECT_EQ(study(options("quotes")).ok, 6u);
  EXPECT_EQ(reasons["NaN"], 3);
}

// A time that is no number is that of the study's own clock: the journal can be read.
TEST_F(WorkerTest, TakesForever) {
  EXPECT_EQ(study(options("endless")).ok, 9u);
  for (const llvm::json::Object &line : llvm::cantFail(Journal::read(folder.in("study"))).lines)
    EXPECT_LT(line.getNumber("seconds").value_or(0), 100);
}

TEST_F(WorkerTest, GivesNoNumber) {
  StudyResult result = study(options("nan"));
  EXPECT_EQ(result.ok, 6u);
  EXPECT_EQ(reasons["the metric `score` is not a finite number"], 3);
}

TEST_F(WorkerTest, ErrorsAreRetriedOnlyIfTheySaySo) {
  EXPECT_EQ(study(options("retry")).ok, 9u);
  llvm::sys::fs::remove_directories(folder.in("study"));
  EXPECT_EQ(study(options("refuse")).ok, 0u);
  EXPECT_EQ(reasons["cannot train this"], 9);
}

TEST_F(WorkerTest, NeverStarts) {
  auto message = [&](WorkerOptions workerOptions) {
    llvm::sys::fs::remove_directories(folder.in("study"));
    auto result = run(std::move(workerOptions));
    return result ? "done" : llvm::toString(result.takeError());
  };
  WorkerOptions missing = options("good", 1);
  missing.command = {"/nonexistent/trainer", "x"};
  EXPECT_EQ(message(missing), "the worker `/nonexistent/trainer x` does not start: it ended with "
                              "exit code 127; see " +
                                  folder.in("worker-0.log"));
  EXPECT_NE(message(options("dead")).find("does not start: it ended with exit code 3"),
            std::string::npos);
  EXPECT_NE(message(options("chatty")).find("it said `Loading data ...` instead of hello"),
            std::string::npos);
  WorkerOptions silent = options("silent");
  silent.startTimeout = 0.2;
  EXPECT_NE(message(silent).find("it did not say hello within 0.2 s"), std::string::npos);
}

TEST_F(WorkerTest, IsStoppedAtRungs) {
  std::string text = kSmall;
  text.replace(text.find("repeat: 2"), 9, "repeat: 3");
  text.replace(text.find("evals: 9"), 8, "evals: 27");
  space = makeSpace(text + "early_stop: {metric: score, rungs: [1, 2], keep: 0.5, after: 6}\n");
  space.strategy.name = "random";
  for (const char *manner : {"good", "obedient"}) {
    llvm::sys::fs::remove_directories(folder.in("study"));
    StudyResult result = study(options(manner));
    EXPECT_EQ(result.told, 27u);
    EXPECT_GT(result.stopped, 3u) << manner;
    EXPECT_EQ(result.failed, 0u);
  }
}

TEST(WorkerOptions, Errors) {
  auto error = [](Spec spec) {
    auto options = workerOptions(spec);
    return options ? "accepted" : llvm::toString(options.takeError());
  };
  EXPECT_EQ(error({.name = "worker"}), "an evaluator `worker` needs `command`, a list of words");
  EXPECT_EQ(error({.name = "worker", .options = {{"time", "1"}}, .command = {"x"}}),
            "the evaluator `worker` has no option `time`; accepted: command, timeout_s, start_s, "
            "memory_mb, retries");
  EXPECT_EQ(error({.name = "worker", .options = {{"timeout_s", "no"}}, .command = {"x"}}),
            "`timeout_s` of the evaluator `worker` is a number from 0.001; found `no`");
}

} // namespace
