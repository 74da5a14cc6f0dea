// `attune search compare`: how strategies do on a table of which every result is known.
#include "attune/search/Compare.h"
#include "attune/tools/attune/Options.h"
#include "attune/tools/attune/Search.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

namespace attune::tools {
namespace {

using namespace attune::search;

/// `tiers:initial=20:batch=5`; a bare name that is the space's own has the options of the space.
Spec specOf(llvm::StringRef text, const Spec &own) {
  llvm::SmallVector<llvm::StringRef> parts;
  text.split(parts, ':');
  if (text == own.name)
    return own;
  Spec spec;
  spec.name = parts[0].str();
  for (llvm::StringRef option : llvm::ArrayRef(parts).drop_front()) {
    auto [name, value] = option.split('=');
    spec.options[name.str()] = value.str();
  }
  return spec;
}

template <typename T> T median(std::vector<T> values) {
  llvm::sort(values);
  return values[values.size() / 2];
}

struct Results {
  std::string strategy;
  std::vector<int64_t> untilTop, ranks;
  unsigned missed = 0;
};

class Comparison {
public:
  Comparison(Space space, double share, uint64_t seeds, unsigned samples)
      : space(std::move(space)), own(this->space.strategy), share(share), seeds(seeds),
        samples(samples) {}

  /// Synthetic tables are made anew for every seed: a claim is not about one of them.
  llvm::Error run(llvm::ArrayRef<llvm::StringRef> strategies) {
    for (llvm::StringRef strategy : strategies)
      results.push_back({strategy.str(), {}, {}, 0});
    uint64_t first = space.seed;
    int64_t tableSeed = 0;
    auto option = space.evaluator.options.find("seed");
    if (option != space.evaluator.options.end())
      llvm::StringRef(option->second).getAsInteger(10, tableSeed);
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      space.seed = first + seed;
      bool fresh = seed == 0 || space.evaluator.name == "synthetic";
      if (space.evaluator.name == "synthetic")
        space.evaluator.options["seed"] = std::to_string(tableSeed + static_cast<int64_t>(seed));
      if (fresh)
        if (llvm::Error error = prepare())
          return error;
      if (llvm::Error error = one())
        return error;
    }
    return llvm::Error::success();
  }

  void printText(llvm::raw_ostream &os) const {
    os << ranking->size() << " members, top " << top << ", budget " << space.evals << ", " << seeds
       << " seeds: medians\n"
       << "strategy                    until top  of random  rank in budget\n"
       << llvm::format("%-26s  %9.0f      100 %%  %14.0f  (expected)\n", "random", randomUntil,
                       randomRank);
    for (const Results &result : results) {
      int64_t until = median(result.untilTop);
      os << llvm::format("%-26s  %9lld  %7.0f %%  %14lld", result.strategy.c_str(),
                         static_cast<long long>(until), 100 * until / randomUntil,
                         static_cast<long long>(median(result.ranks)));
      if (result.missed)
        os << "  (" << result.missed << " never found the top)";
      os << "\n";
    }
    os << llvm::format("ranker after %u random members: tau %.3f, worst %.3f\n", samples,
                       median(taus), *llvm::min_element(taus));
  }

  void printJson(llvm::raw_ostream &os) const {
    llvm::json::Array list;
    for (const Results &result : results)
      list.push_back(llvm::json::Object{{"strategy", result.strategy},
                                        {"until_top", result.untilTop},
                                        {"missed", result.missed},
                                        {"rank_in_budget", result.ranks}});
    os << llvm::json::Value(llvm::json::Object{
              {"members", static_cast<int64_t>(ranking->size())},
              {"top", static_cast<int64_t>(top)},
              {"budget", static_cast<int64_t>(space.evals)},
              {"random", llvm::json::Object{{"until_top", randomUntil}, {"rank", randomRank}}},
              {"strategies", std::move(list)},
              {"samples", samples},
              {"tau", taus}})
       << "\n";
  }

private:
  llvm::Error prepare() {
    auto made = Setup::create(space, {});
    if (!made)
      return made.takeError();
    setup = std::move(*made);
    auto ranked = Ranking::create(space, *setup);
    if (!ranked)
      return ranked.takeError();
    ranking = std::move(*ranked);
    limit = ranking->limitOf(static_cast<size_t>(share * ranking->size()));
    top = ranking->noWorseThan(limit);
    randomUntil = ranking->randomUntil(top);
    randomRank = ranking->randomRank(space.evals);
    return llvm::Error::success();
  }

  llvm::Error one() {
    // A search that takes twice as long as random draws has failed.
    auto most = static_cast<uint64_t>(2 * randomUntil);
    for (Results &result : results) {
      space.strategy = specOf(result.strategy, own);
      auto trial = trySearch(space, *setup, *ranking, limit, space.evals, most);
      if (!trial)
        return trial.takeError();
      result.untilTop.push_back(trial->untilTop);
      result.ranks.push_back(trial->rankInBudget);
      result.missed += !trial->found;
    }
    taus.push_back(rankerTau(space, *ranking, samples, space.seed));
    return llvm::Error::success();
  }

  Space space;
  Spec own;
  double share;
  uint64_t seeds;
  unsigned samples;
  std::unique_ptr<Setup> setup;
  std::optional<Ranking> ranking;
  double limit = 0, randomUntil = 0, randomRank = 0;
  size_t top = 0;
  std::vector<Results> results;
  std::vector<double> taus;
};

} // namespace

int searchCompare(Args args) {
  std::string strategies = "evolution,rank,tiers,hat", share = "0.001";
  int64_t seeds = 20, budget = 0, samples = 100;
  bool json = false;
  std::vector<std::string> positional;
  Options parser("search compare", "SPACE.yaml [options]");
  parser.addString("strategies", "LIST",
                   "names with commas between, options behind colons: rank,tiers:initial=20 "
                   "(default: evolution,rank,tiers,hat)",
                   strategies);
  parser.addInteger("seeds", "N", "searches of each strategy (default 20)", 1, seeds);
  parser.addString("top", "SHARE", "share of the members that count as found (default 0.001)",
                   share);
  parser.addInteger("budget", "N",
                    "evaluations after which the best one's rank is noted (default: "
                    "the budget of the space file)",
                    1, budget);
  parser.addInteger("samples", "N", "members that the ranker learns from (default 100)", 4,
                    samples);
  parser.addSwitch("json", "print every seed's numbers as JSON", json);
  if (std::optional<int> code = parser.parse(args, positional))
    return *code;
  double top;
  if (positional.size() != 1 || llvm::StringRef(share).getAsDouble(top) || !(top > 0) ||
      !(top <= 1)) {
    llvm::errs() << "attune search compare: expects one space file, and a share from 0 to 1\n";
    return kUsage;
  }
  auto space = Space::read(positional[0]);
  if (!space)
    return report(space.takeError());
  if (budget)
    space->evals = budget;
  llvm::SmallVector<llvm::StringRef> names;
  llvm::StringRef(strategies).split(names, ',', -1, /*KeepEmpty=*/false);
  Comparison comparison(std::move(*space), top, seeds, samples);
  if (llvm::Error error = comparison.run(names))
    return report(std::move(error));
  if (json)
    comparison.printJson(llvm::outs());
  else
    comparison.printText(llvm::outs());
  return kOk;
}

} // namespace attune::tools
