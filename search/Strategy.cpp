#include "attune/search/Strategy.h"
#include "attune/search/Document.h"

#include <cmath>

namespace attune::search {

constexpr unsigned kMostRefusals = 1000, kMostRepeats = 50, kWalk = 200;
constexpr double kScannable = 1 << 20;

std::optional<Genes> SearchContext::accept(Rng &rng, llvm::function_ref<Genes(Rng &)> propose) {
  unsigned refusals = 0, repeats = 0;
  while (refusals < kMostRefusals && repeats < kMostRepeats) {
    Genes genes = propose(rng);
    if (seen(genes))
      ++repeats;
    else if (legal(genes))
      return genes;
    else
      ++refusals;
  }
  if (std::optional<Genes> genes = walk(rng))
    return genes;
  return scan(rng);
}

std::optional<Genes> SearchContext::acceptRandom(Rng &rng) {
  return accept(rng, [&](Rng &rng) { return space.sample(rng); });
}

std::optional<Genes> SearchContext::walk(Rng &rng) {
  Genes at = legalSeed;
  for (unsigned step = 0; step < kWalk; ++step) {
    if (!seen(at))
      return at;
    Genes next = space.mutateOne(rng, at);
    if (legal(next))
      at = std::move(next);
  }
  return std::nullopt;
}

std::optional<Genes> SearchContext::scan(Rng &rng) {
  if (space.size() > kScannable)
    return std::nullopt;
  auto size = static_cast<uint64_t>(space.size());
  uint64_t start = rng.below(size);
  for (uint64_t i = 0; i < size; ++i) {
    Genes genes = space.canonical(space.fromIndex((start + i) % size));
    if (!seen(genes) && legal(genes))
      return genes;
  }
  return std::nullopt;
}

Proposal Proposal::of(std::optional<Genes> genes, llvm::StringRef origin, int64_t parent) {
  if (!genes)
    return done();
  return {Kind::Try, std::move(*genes), parent, origin.str()};
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
       {{"initial", 50, 4, 1e6, "random candidates first"},
        {"batch", 10, 1, 1e5, "candidates between two fits"},
        {"pool", 2000, 10, 1e6, "samples to choose from"},
        {"trees", 100, 1, 1e4, "trees"},
        {"prune", 0.02, 0, 1,
         "variables with a smaller share of the gain keep to the best values"}},
       createRank},
      {"tiers",
       "tiers of quality: statistics of the best fifth steer the samples, a ranker picks",
       {{"initial", 100, 10, 1e6, "random candidates first"},
        {"batch", 5, 1, 1e5, "candidates between two fits"},
        {"pool", 256, 10, 1e6, "samples to choose from"},
        {"trees", 100, 1, 1e4, "trees"},
        {"noise", 0.5, 0, 1, "share of uniform samples"},
        {"divergence", 0.1, 0, 100, "how different the best and worst tier must be in a gene"}},
       createTiers},
  };
  return kinds;
}

llvm::Expected<std::unique_ptr<Strategy>> makeStrategy(const Spec &spec, const Space &space) {
  std::vector<std::string> names;
  for (const StrategyKind &kind : strategyKinds()) {
    names.push_back(kind.name.str());
    if (kind.name != spec.name)
      continue;
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
    return kind.create(space, values);
  }
  return llvm::createStringError("no strategy `" + spec.name + "`; there are " + listed(names));
}

void sortByFirstGoal(std::vector<Member> &members) {
  llvm::sort(members, [](const Member &a, const Member &b) {
    return std::pair(a.goals[0], a.id) < std::pair(b.goals[0], b.id);
  });
}

llvm::json::Value toJson(llvm::ArrayRef<Member> members) {
  llvm::json::Array list;
  for (const Member &member : members)
    list.push_back(llvm::json::Array{static_cast<int64_t>(member.id),
                                     llvm::json::Array(member.genes),
                                     llvm::json::Array(member.goals)});
  return list;
}

bool fromJson(const llvm::json::Value *value, const Space &space, size_t goals,
              std::vector<Member> &members) {
  const llvm::json::Array *list = value ? value->getAsArray() : nullptr;
  if (!list)
    return false;
  members.clear();
  for (const llvm::json::Value &entry : *list) {
    const llvm::json::Array *parts = entry.getAsArray();
    if (!parts || parts->size() != 3 || !(*parts)[0].getAsInteger() || !(*parts)[1].getAsArray() ||
        !(*parts)[2].getAsArray())
      return false;
    Member member;
    member.id = *(*parts)[0].getAsInteger();
    for (const llvm::json::Value &gene : *(*parts)[1].getAsArray())
      member.genes.push_back(gene.getAsInteger().value_or(-1));
    for (const llvm::json::Value &goal : *(*parts)[2].getAsArray())
      member.goals.push_back(goal.getAsNumber().value_or(0));
    if (!space.contains(member.genes) || member.goals.size() != goals)
      return false;
    members.push_back(std::move(member));
  }
  return true;
}

} // namespace attune::search
