#include "attune/search/strategies/Ranked.h"

namespace attune::search {

Ranked::Ranked(const Space &space, const OptionValues &options)
    : space(space), features(space), initial(options.at("initial")), batch(options.at("batch")),
      pool(options.at("pool")), trees(options.at("trees")) {}

Proposal Ranked::ask(SearchContext &context) {
  Rng rng = context.rng();
  constexpr size_t kLeastData = 4;
  if (context.nextId < initial || data.size() < kLeastData)
    return Proposal::of(context.acceptRandom(rng), "random");
  if (queue.empty())
    refill(context);
  if (queue.empty())
    return Proposal::of(context.acceptRandom(rng), "random");
  Genes genes = std::move(queue.back().genes);
  queue.pop_back();
  return Proposal::of(std::move(genes), "ranked");
}

void Ranked::refill(SearchContext &context) {
  std::vector<Member> sorted = data;
  sortByFirstGoal(sorted);
  std::vector<Features::Row> rows;
  std::vector<double> goals;
  for (const Member &member : sorted) {
    rows.push_back(features.row(member.genes));
    goals.push_back(member.goals[0]);
  }
  Rng rng = context.rng(Stage::Model);
  RankTrees ranker = RankTrees::fit(rows, goals, {trees}, rng);
  study(sorted, ranker);

  std::vector<std::pair<double, Genes>> ranked;
  std::unordered_set<std::string> known;
  // Draws that are refused cost little; four for each place keep a pool from running on for ever.
  for (unsigned draws = 0; draws < 4 * pool && ranked.size() < pool; ++draws) {
    Genes genes = draw(rng, context);
    if (context.seen(genes) || !known.insert(keyOf(genes)).second || !context.legal(genes))
      continue;
    ranked.push_back({-ranker.score(features.row(genes)), std::move(genes)});
  }
  llvm::sort(ranked);
  if (ranked.size() > batch)
    ranked.resize(batch);
  for (auto &[score, genes] : llvm::reverse(ranked))
    queue.push_back({0, std::move(genes), {}});
}

void Ranked::tell(const Candidate &candidate, const Outcome &outcome) {
  if (outcome.status == Status::Ok)
    data.push_back({candidate.id, candidate.genes, outcome.goals});
}

llvm::json::Value Ranked::save() const {
  return llvm::json::Object{{"data", toJson(data)}, {"queue", toJson(queue)}};
}

bool Ranked::load(const llvm::json::Value &state, const Space &space) {
  const llvm::json::Object *object = state.getAsObject();
  return object && fromJson(object->get("data"), space, space.objectives.size(), data) &&
         fromJson(object->get("queue"), space, 0, queue);
}

} // namespace attune::search
