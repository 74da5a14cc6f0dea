//===- Strategy.h - Who decides what is tried next --------------------------------------------===//
//
// A strategy proposes candidates (ask) and learns their outcomes (tell). The study calls both in an
// order that depends on nothing but the strategy's own answers: candidate k is asked when the
// outcomes of all candidates up to k - window are told, in the order of their ids. Random numbers
// come from the context, keyed by the candidate. So one seed gives one search, however many workers
// there are.
//
// A new strategy is one file in `strategies/` with a class and a row in `Strategy.cpp`, or a shared
// library of its own (strategy_plugin.h).
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_STRATEGY_H
#define ATTUNE_SEARCH_STRATEGY_H

#include "attune/search/Candidate.h"
#include "attune/search/Legality.h"

#include <unordered_set>

namespace attune::search {

/// What a strategy may ask while it proposes the next candidate.
class SearchContext {
public:
  SearchContext(const Space &space, Legality &legality, uint64_t seed, Genes legalSeed)
      : space(space), legality(legality), seed(seed), legalSeed(std::move(legalSeed)) {}

  Rng rng(Stage stage = Stage::Propose) const { return Rng(seed, nextId, stage); }
  bool seen(llvm::ArrayRef<int32_t> genes) const { return asked.count(keyOf(genes)); }
  bool legal(llvm::ArrayRef<int32_t> genes) { return legality.legal(genes); }

  /// Draws until a proposal is legal and new. After many refusals walks away from a legal
  /// candidate; in a small space finally looks at every member. None: there is nothing new left.
  std::optional<Genes> accept(Rng &rng, llvm::function_ref<Genes(Rng &)> propose);
  std::optional<Genes> acceptRandom(Rng &rng);

  const Space &space;
  Legality &legality;
  uint64_t nextId = 0;
  std::unordered_set<std::string> asked; ///< keys of genes; kept by the study

private:
  std::optional<Genes> walk(Rng &rng);
  std::optional<Genes> scan(Rng &rng);

  uint64_t seed;
  Genes legalSeed;
};

struct Proposal {
  enum class Kind { Try, Wait, Done, Failed };
  Kind kind = Kind::Done;
  Genes genes;
  int64_t parent = -1;
  std::string origin; ///< or why the strategy cannot go on

  static Proposal wait() { return {Kind::Wait, {}, -1, {}}; }
  static Proposal done() { return {Kind::Done, {}, -1, {}}; }
  static Proposal failed(std::string why) { return {Kind::Failed, {}, -1, std::move(why)}; }
  /// Done if there are no genes.
  static Proposal of(std::optional<Genes> genes, llvm::StringRef origin, int64_t parent = -1);
};

class Strategy {
public:
  virtual ~Strategy() = default;
  /// The next candidate; or that outcomes must be told first (only while some are missing); or that
  /// there is nothing left to try.
  virtual Proposal ask(SearchContext &context) = 0;
  virtual void tell(const Candidate &candidate, const Outcome &outcome) = 0;
  /// The state, from which `load` goes on exactly; null if it cannot be saved. False if it is none
  /// of this space.
  virtual llvm::json::Value save() const = 0;
  virtual bool load(const llvm::json::Value &state, const Space &space) = 0;
};

/// Options of a strategy: whole numbers or shares, with what is accepted.
struct StrategyOption {
  llvm::StringRef name;
  double value, least, most;
  llvm::StringRef help;
};
using OptionValues = std::map<std::string, double>;

struct StrategyKind {
  llvm::StringRef name, help;
  std::vector<StrategyOption> options;
  std::unique_ptr<Strategy> (*create)(const Space &space, const OptionValues &options);
};
const std::vector<StrategyKind> &strategyKinds();

/// Fails on unknown names and options, saying which there are.
llvm::Expected<std::unique_ptr<Strategy>> makeStrategy(const Spec &spec, const Space &space);

/// The strategy `plugin`: of the shared library `file`.
llvm::Expected<std::unique_ptr<Strategy>> loadStrategy(const Spec &spec, const Space &space);

/// A candidate with a result, as strategies keep it.
struct Member {
  uint64_t id = 0;
  Genes genes;
  Goals goals;
};
/// The best first; of equal ones the earlier.
void sortByFirstGoal(std::vector<Member> &members);
llvm::json::Value toJson(llvm::ArrayRef<Member> members);
/// `goals`: how many each member has. False if the members are none of this space.
bool fromJson(const llvm::json::Value *value, const Space &space, size_t goals,
              std::vector<Member> &members);

std::unique_ptr<Strategy> createRandom(const Space &, const OptionValues &);
std::unique_ptr<Strategy> createGrid(const Space &, const OptionValues &);
std::unique_ptr<Strategy> createEvolution(const Space &, const OptionValues &);
std::unique_ptr<Strategy> createNsga2(const Space &, const OptionValues &);
std::unique_ptr<Strategy> createHat(const Space &, const OptionValues &);
std::unique_ptr<Strategy> createRank(const Space &, const OptionValues &);
std::unique_ptr<Strategy> createTiers(const Space &, const OptionValues &);

} // namespace attune::search
#endif
