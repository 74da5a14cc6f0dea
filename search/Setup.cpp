#include "attune/search/Setup.h"
#include "attune/search/Document.h"
#include "attune/search/Worker.h"

#include <cmath>

namespace attune::search {

using llvm::createStringError;
using llvm::Error;

Error Setup::check(std::initializer_list<llvm::StringRef> accepted) const {
  const Spec &spec = space.evaluator;
  if (!spec.command.empty())
    return createStringError("the evaluator `" + spec.name + "` has no `command`");
  for (const auto &[name, value] : spec.options)
    if (!llvm::is_contained(accepted, llvm::StringRef(name)))
      return createStringError("the evaluator `" + spec.name + "` has no option `" + name +
                               "`; accepted: " + listed(llvm::ArrayRef<llvm::StringRef>(accepted)));
  return Error::success();
}

llvm::Expected<double> Setup::number(llvm::StringRef name, double otherwise, double least,
                                     double most) const {
  auto option = space.evaluator.options.find(name.str());
  if (option == space.evaluator.options.end())
    return otherwise;
  double value;
  if (llvm::StringRef(option->second).getAsDouble(value) || !(value >= least) || !(value <= most))
    return createStringError("`" + name + "` of the evaluator `" + space.evaluator.name +
                             "` is a number from " + spelled(least) + " to " + spelled(most) +
                             "; found `" + option->second + "`");
  return value;
}

llvm::Expected<std::string> Setup::file() const {
  auto option = space.evaluator.options.find("file");
  if (option == space.evaluator.options.end())
    return createStringError("the evaluator `" + space.evaluator.name + "` needs `file`");
  return space.pathOf(option->second);
}

Error Setup::readTable() {
  if (Error error = check({"file"}))
    return error;
  auto path = file();
  if (!path)
    return path.takeError();
  auto read = Table::read(*path, space);
  if (!read)
    return read.takeError();
  table = std::move(*read);
  return Error::success();
}

Error Setup::makeSynthetic() {
  if (Error error = check({"seed", "seeds", "interaction", "noise", "plateaus"}))
    return error;
  SyntheticOptions options;
  auto seed = number("seed", 0, 0, 1e15), seeds = number("seeds", 1, 1, 100),
       interaction = number("interaction", options.interaction, 0, 100),
       noise = number("noise", options.noise, 0, 100), plateaus = number("plateaus", 0, 0, 1e6);
  for (auto *value : {&seed, &seeds, &interaction, &noise, &plateaus})
    if (!*value) {
      Error error = value->takeError();
      for (auto *other : {&seed, &seeds, &interaction, &noise, &plateaus})
        if (other != value)
          llvm::consumeError(other->takeError());
      return error;
    }
  auto made =
      makeSyntheticTable(space, {static_cast<uint64_t>(*seed), static_cast<unsigned>(*seeds),
                                 *interaction, *noise, static_cast<unsigned>(*plateaus)});
  if (!made)
    return made.takeError();
  table = std::move(*made);
  return Error::success();
}

Error Setup::readBench() {
  if (Error error = check({"file", "epochs"}))
    return error;
  if (space.variablesHash() != llvm::cantFail(Space::parse(nasBench101Space(), "")).variablesHash())
    return createStringError("the variables are not those of NAS-Bench-101 (docs/search.md)");
  auto path = file();
  if (!path)
    return path.takeError();
  auto epochs = number("epochs", 108, 1, 108);
  if (!epochs)
    return epochs.takeError();
  auto read = NasBench101::read(*path, *epochs);
  if (!read)
    return read.takeError();
  bench = std::move(*read);
  return Error::success();
}

Error Setup::makeEvaluator(const SetupOptions &options) {
  llvm::StringRef name = space.evaluator.name;
  bool metrics =
      llvm::any_of(space.objectives, [](const Objective &o) { return !o.metric.empty(); });
  if (name.empty() && metrics)
    return createStringError("an objective is a metric, so the space needs an `evaluator`: table, "
                             "synthetic, nasbench101 or worker");
  if (name.empty()) {
    auto nothing = [](const Request &) {
      Outcome outcome;
      outcome.status = Status::Ok;
      return outcome;
    };
    theEvaluator = std::make_unique<CallbackEvaluator>("none", nothing, /*isCheap=*/true);
    return Error::success();
  }
  if (name == "worker") {
    auto workers = workerOptions(space.evaluator);
    if (!workers)
      return workers.takeError();
    workers->count = std::min(options.workers, space.window);
    workers->logFolder = options.logFolder;
    theEvaluator = std::make_unique<WorkerEvaluator>(space, std::move(*workers));
    return Error::success();
  }
  if (name == "nasbench101") {
    if (Error error = readBench())
      return error;
    models.push_back(std::make_unique<NasBench101Cost>(*bench));
    theEvaluator = std::make_unique<NasBench101Evaluator>(*bench);
    return Error::success();
  }
  if (name != "table" && name != "synthetic")
    return createStringError("no evaluator `" + name +
                             "`; there are table, synthetic, nasbench101, worker");
  if (Error error = name == "table" ? readTable() : makeSynthetic())
    return error;
  models.push_back(std::make_unique<TableCost>(*table));
  theEvaluator = std::make_unique<TableEvaluator>(*table);
  return Error::success();
}

llvm::Expected<std::unique_ptr<Setup>> Setup::create(const Space &space, SetupOptions options) {
  std::unique_ptr<Setup> setup(new Setup(space));
  setup->models.push_back(std::make_unique<ClosedFormCost>(space));
  if (!space.templateName.empty()) {
    if (!options.templateCost)
      return createStringError("unsupported: no template `" + space.templateName + "`");
    auto model = options.templateCost(space);
    if (!model)
      return model.takeError();
    setup->models.push_back(std::move(*model));
  }
  if (Error error = setup->makeEvaluator(options))
    return std::move(error);
  std::vector<CostModel *> models;
  for (const std::unique_ptr<CostModel> &model : setup->models)
    models.push_back(model.get());
  setup->combined = std::make_unique<CombinedCost>(std::move(models));
  auto strategy = makeStrategy(space.strategy, space);
  if (!strategy)
    return strategy.takeError();
  setup->theStrategy = std::move(*strategy);
  return std::move(setup);
}

} // namespace attune::search
