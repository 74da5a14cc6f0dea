#include "attune/search/Compare.h"
#include "attune/search/Study.h"
#include "attune/search/Trees.h"

#include <cmath>

namespace attune::search {

llvm::Expected<Ranking> Ranking::create(const Space &space, Setup &setup) {
  if (!setup.storedTable())
    return llvm::createStringError(
        "strategies are compared on a table: the evaluator is `table` or `synthetic`");
  auto legality = Legality::create(space, setup.cost());
  if (!legality)
    return legality.takeError();
  TableEvaluator evaluator(*setup.storedTable());
  std::vector<std::pair<double, Genes>> sorted;
  for (const TableRow &row : setup.storedTable()->rows()) {
    Candidate candidate;
    candidate.genes = row.genes;
    Legality::Judgement judgement = legality->judge(row.genes);
    if (!judgement.legal)
      continue;
    candidate.cost = judgement.cost;
    llvm::cantFail(evaluator.start({.id = 0, .genes = row.genes}));
    Outcome outcome =
        judged(space, setup.cost(), candidate, llvm::cantFail(evaluator.wait()).front());
    if (outcome.status == Status::Ok)
      sorted.push_back({outcome.goals[0], row.genes});
  }
  if (sorted.empty())
    return llvm::createStringError("the table has no member that meets the constraints");
  llvm::sort(sorted);
  Ranking ranking;
  for (auto &[goal, genes] : sorted) {
    ranking.goals.push_back(goal);
    ranking.members.push_back(std::move(genes));
  }
  return std::move(ranking);
}

size_t Ranking::rankOf(double goal) const {
  return std::lower_bound(goals.begin(), goals.end(), goal) - goals.begin() + 1;
}

double Ranking::limitOf(size_t count) const {
  return goals[std::min(std::max<size_t>(count, 1), size()) - 1];
}

size_t Ranking::noWorseThan(double goal) const {
  return std::upper_bound(goals.begin(), goals.end(), goal) - goals.begin();
}

double Ranking::randomUntil(size_t count) const {
  double missed = 1;
  for (size_t drawn = 0; drawn < size(); ++drawn) {
    double left = size() - drawn;
    missed *= std::max(0.0, 1 - count / left);
    if (missed <= 0.5)
      return drawn + 1;
  }
  return size();
}

double Ranking::randomRank(size_t budget) const {
  // The best of `budget` draws is beyond rank r if all of them miss the first r.
  double missed = 1;
  for (size_t rank = 1; rank <= size(); ++rank) {
    missed *= std::max(0.0, 1 - double(budget) / (size() - rank + 1));
    if (missed <= 0.5)
      return rank;
  }
  return size();
}

llvm::Expected<SearchTrial> trySearch(const Space &space, Setup &setup, const Ranking &ranking,
                                      double limit, uint64_t budget, uint64_t most) {
  auto strategy = makeStrategy(space.strategy, space);
  if (!strategy)
    return strategy.takeError();
  Space limited = space;
  limited.evals = std::max(budget, most);
  // What an interrupted study has started stays in its evaluator: each has its own.
  TableEvaluator evaluator(*setup.storedTable());
  SearchTrial trial;
  uint64_t told = 0;
  StudyOptions options;
  options.onProgress = [&](const Progress &progress) {
    told = progress.told;
    double best = INFINITY;
    for (const Archive::Entry &entry : progress.archive->entries())
      best = std::min(best, entry.goals[0]);
    if (!trial.found) {
      trial.untilTop = told;
      trial.found = best <= limit;
    }
    if (told <= budget)
      trial.rankInBudget = ranking.rankOf(best);
  };
  options.interrupted = [&] { return told >= budget && (trial.found || told >= most); };
  auto result = Study(limited, setup.cost(), evaluator, **strategy, std::move(options)).run();
  if (!result)
    return result.takeError();
  return trial;
}

static double kendallTau(llvm::ArrayRef<double> scores, llvm::ArrayRef<double> goals) {
  double agreed = 0, scored = 0, ranked = 0;
  for (size_t i = 0; i < scores.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      int score = (scores[i] > scores[j]) - (scores[i] < scores[j]);
      int goal = (goals[i] < goals[j]) - (goals[i] > goals[j]);
      agreed += score * goal;
      scored += score != 0;
      ranked += goal != 0;
    }
  return scored > 0 && ranked > 0 ? agreed / std::sqrt(scored * ranked) : 0;
}

double rankerTau(const Space &space, const Ranking &ranking, unsigned samples, uint64_t seed) {
  constexpr size_t kMostUnseen = 2000;
  std::vector<size_t> order(ranking.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  Rng rng(seed, 0, Stage::Propose);
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[rng.below(i)]);
  Features features(space);
  std::vector<Features::Row> rows;
  std::vector<double> goals, scores, unseen;
  size_t known = std::min<size_t>(samples, order.size());
  for (size_t i = 0; i < known; ++i) {
    rows.push_back(features.row(ranking.members[order[i]]));
    goals.push_back(ranking.goals[order[i]]);
  }
  RankTrees trees = RankTrees::fit(rows, goals, {}, Rng(seed, 1, Stage::Model));
  for (size_t i = known; i < std::min(order.size(), known + kMostUnseen); ++i) {
    scores.push_back(trees.score(features.row(ranking.members[order[i]])));
    unseen.push_back(ranking.goals[order[i]]);
  }
  return kendallTau(scores, unseen);
}

} // namespace attune::search
