#include "attune/search/Strategy.h"
#include "attune/search/Document.h"

#include <cmath>

namespace attune::search {

/// Of strategies that rank a pool of samples by what they learnt from a random start.
static std::vector<StrategyOption> ranked(double initial, double least, double batch, double pool,
                                          std::vector<StrategyOption> more) {
  std::vector<StrategyOption> options{{"initial", initial, least, 1e6, "random candidates first"},
                                      {"batch", batch, 1, 1e5, "candidates between two fits"},
                                      {"pool", pool, 10, 1e6, "samples to choose from"},
                                      {"trees", 100, 1, 1e4, "trees"}};
  llvm::append_range(options, more);
  return options;
}

const std::vector<StrategyKind> &strategyKinds() {
  static const std::vector<StrategyKind> kinds = {
      {"random", "uniform samples", {}, createRandom},
      {"grid", "every member, in the order of the space file", {}, createGrid},
      {"evolution",
       "regularised evolution: the best of a random few is mutated, the oldest dies",
       {{"population", 50, 2, 1e6, "members"},
        {"sample", 10, 1, 1e6, "members that compete to be the parent"}},
       createEvolution},
      {"nsga2",
       "several objectives: non-dominated sorting and crowding",
       {{"population", 48, 4, 1e5, "members"},
        {"crossover", 0.9, 0, 1, "share of children with two parents"},
        {"mutation", 0, 0, 1, "probability per gene; 0: one gene on average"}},
       createNsga2},
      {"hat",
       "evolution of generations, as in hardware-aware transformers",
       {{"parents", 25, 1, 1e5, "members that stay"},
        {"mutants", 50, 0, 1e5, "children by mutation"},
        {"crossovers", 50, 0, 1e5, "children of two parents"},
        {"mutation", 0.3, 0, 1, "probability per gene"}},
       createHat},
      {"rank",
       "a ranker of pairs (boosted trees) chooses among many samples of a space that it prunes",
       ranked(50, 4, 10, 2000,
              {{"prune", 0.02, 0, 1,
                "variables with a smaller share of the gain keep to the best values"}}),
       createRank},
      {"tiers", "tiers of quality: statistics of the best fifth steer the samples, a ranker picks",
       ranked(100, 10, 5, 256,
              {{"noise", 0.5, 0, 1, "share of uniform samples"},
               {"divergence", 0.1, 0, 100,
                "how different the best and worst tier must be in a gene"}}),
       createTiers},
  };
  return kinds;
}

static llvm::Expected<OptionValues> readOptions(const StrategyKind &kind, const Spec &spec) {
  OptionValues values;
  std::vector<std::string> accepted;
  for (const StrategyOption &option : kind.options) {
    values[option.name.str()] = option.value;
    accepted.push_back(option.name.str());
  }
  for (const auto &[name, text] : spec.options) {
    auto option =
        llvm::find_if(kind.options, [&](const auto &option) { return option.name == name; });
    if (option == kind.options.end())
      return llvm::createStringError(
          "the strategy `" + spec.name + "` has no option `" + name +
          "`; accepted: " + (accepted.empty() ? "none" : listed(accepted)));
    double value;
    bool whole = option->most > 100 || option->least > 1;
    if (llvm::StringRef(text).getAsDouble(value) || !(value >= option->least) ||
        !(value <= option->most) || (whole && value != std::floor(value)))
      return llvm::createStringError("`" + name + "` of the strategy `" + spec.name + "` is a " +
                                     (whole ? "whole " : "") + "number from " +
                                     spelled(option->least) + " to " + spelled(option->most) +
                                     "; found `" + text + "`");
    values[name] = value;
  }
  return values;
}

llvm::Expected<std::unique_ptr<Strategy>> makeStrategy(const Spec &spec, const Space &space) {
  if (spec.name == "plugin")
    return loadStrategy(spec, space);
  std::vector<std::string> names;
  for (const StrategyKind &kind : strategyKinds()) {
    names.push_back(kind.name.str());
    if (kind.name != spec.name)
      continue;
    auto options = readOptions(kind, spec);
    if (!options)
      return options.takeError();
    return kind.create(space, *options);
  }
  names.push_back("plugin");
  return llvm::createStringError("no strategy `" + spec.name + "`; there are " + listed(names));
}

} // namespace attune::search
