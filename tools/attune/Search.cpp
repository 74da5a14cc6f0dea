#include "attune/tools/attune/Search.h"
#include "attune/search/Setup.h"
#include "attune/search/Study.h"
#include "attune/search/templates/TemplateCost.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/SearchProgress.h"

#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>

namespace attune::tools {
namespace {

using namespace attune::search;

volatile std::sig_atomic_t interrupted = 0;
void onSignal(int) { interrupted = 1; }

/// The first signal ends the study after what is written is safe; a second one ends the process.
void catchSignals() {
  struct sigaction action = {};
  action.sa_handler = onSignal;
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int summarise(const StudyResult &result, const std::string &folder) {
  auto report = Report::read(folder);
  if (!report)
    return tools::report(report.takeError());
  constexpr size_t kShown = 10;
  report->printText(llvm::outs(), kShown);
  if (result.judged)
    llvm::outs() << result.judged << " proposals checked, " << result.refused
                 << " refused by constraints\n";
  if (result.end == StudyResult::End::Interrupted) {
    llvm::errs() << "attune search: interrupted; `--resume` goes on\n";
    return kUserError;
  }
  if (result.end == StudyResult::End::Exhausted)
    llvm::outs() << "the space is exhausted: no new candidate is left\n";
  if (result.ok == 0)
    return tools::report(llvm::createStringError(
        "no candidate could be evaluated" +
        (result.lastFailure.empty() ? "" : "; the last failure: " + result.lastFailure)));
  return kOk;
}

} // namespace

int searchCommand(Args args) {
  if (!args.empty() && args[0] == "report")
    return searchReport(args.drop_front());
  if (!args.empty() && args[0] == "build")
    return searchBuild(args.drop_front());
  if (!args.empty() && args[0] == "finalists")
    return searchFinalists(args.drop_front());
  if (!args.empty() && args[0] == "costs")
    return searchCosts(args.drop_front());
  if (!args.empty() && args[0] == "export")
    return searchExport(args.drop_front());
  if (!args.empty() && args[0] == "compare")
    return searchCompare(args.drop_front());
  if (!args.empty() && args[0] == "space")
    return searchSpace(args.drop_front());
  if (!args.empty() && args[0] == "table")
    return searchTable(args.drop_front());

  std::string folder, strategy;
  int64_t workers = 1, evals = 0, seed = -1;
  bool resume = false, progress = false;
  std::vector<std::string> positional;
  Options parser("search", "SPACE.yaml -o STUDY [options] | report|export|finalists|build STUDY | "
                           "compare|costs|table SPACE.yaml");
  parser.addString("o", "STUDY", "folder of the study", folder);
  parser.addSwitch("resume", "go on with a study that was interrupted, or has a larger budget now",
                   resume);
  parser.addInteger("workers", "N",
                    "processes that evaluate (default 1; results do not depend on it)", 1, workers);
  parser.addInteger("evals", "N", "evaluations (default: the budget of the space file)", 1, evals);
  parser.addInteger("seed", "N", "seed (default: of the space file)", 0, seed);
  parser.addString("strategy", "NAME",
                   "strategy with its default options (default: of the space file)", strategy);
  parser.addSwitch("progress", "show progress also when not on a terminal", progress);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  if (positional.size() != 1 || folder.empty()) {
    llvm::errs() << "attune search: expects one space file and -o STUDY\n";
    return kUsage;
  }
  auto space = Space::read(positional[0]);
  if (!space)
    return report(space.takeError());
  if (evals)
    space->evals = evals;
  if (seed >= 0)
    space->seed = seed;
  if (!strategy.empty() && strategy != space->strategy.name)
    space->strategy = {.name = strategy};

  StudyOptions options;
  if (!space->templateName.empty()) {
    auto files = calibrationOf(folder, resume);
    if (!files)
      return report(files.takeError());
    options.files = std::move(*files);
  }
  auto setup =
      Setup::create(*space, {static_cast<unsigned>(workers), folder, TemplateCost::create});
  if (!setup)
    return report(setup.takeError());
  auto text = llvm::MemoryBuffer::getFile(positional[0], /*IsText=*/true);
  if (!text)
    return report(llvm::createStringError("cannot read " + positional[0]));
  catchSignals();
  options.folder = folder;
  options.resume = resume;
  options.spaceText = (*text)->getBuffer().str();
  options.interrupted = [] { return interrupted != 0; };
  auto result = [&] {
    ProgressLine line(*space, progress);
    options.onProgress = [&](const Progress &state) { line.show(state); };
    return Study(*space, (*setup)->cost(), (*setup)->evaluator(), (*setup)->strategy(), options)
        .run();
  }();
  if (!result)
    return report(result.takeError());
  return summarise(*result, folder);
}

} // namespace attune::tools
