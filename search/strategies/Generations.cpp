#include "attune/search/strategies/Generations.h"

namespace attune::search {

Proposal Generations::ask(SearchContext &context) {
  if (asked == (generation ? size() : firstSize())) {
    if (told < asked)
      return Proposal::wait();
    select();
    children.clear();
    asked = told = 0;
    ++generation;
  }
  Rng rng = context.rng();
  Proposal proposal = generation && !parents.empty()
                          ? propose(context, asked)
                          : Proposal::of(context.acceptRandom(rng), "random");
  if (proposal.kind == Proposal::Kind::Try)
    ++asked;
  return proposal;
}

void Generations::tell(const Candidate &candidate, const Outcome &outcome) {
  ++told;
  if (outcome.status == Status::Ok)
    children.push_back({candidate.id, candidate.genes, outcome.goals});
}

llvm::json::Value Generations::save() const {
  return llvm::json::Object{{"generation", generation},
                            {"asked", asked},
                            {"told", told},
                            {"parents", toJson(parents)},
                            {"children", toJson(children)}};
}

bool Generations::load(const llvm::json::Value &state, const Space &space) {
  size_t goals = space.objectives.size();
  const llvm::json::Object *object = state.getAsObject();
  if (!object || !fromJson(object->get("parents"), space, goals, parents) ||
      !fromJson(object->get("children"), space, goals, children))
    return false;
  for (auto [name, value] :
       {std::pair("generation", &generation), {"asked", &asked}, {"told", &told}}) {
    std::optional<int64_t> number = object->getInteger(name);
    if (!number)
      return false;
    *value = *number;
  }
  return true;
}

} // namespace attune::search
