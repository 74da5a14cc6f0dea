// Candidates with results, as strategies keep and save them.
#include "attune/search/Strategy.h"

namespace attune::search {

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
