#include "attune/search/CostTable.h"

#include <cmath>

namespace attune::search {

using Values = llvm::SmallVector<double, 6>;

Values CostTable::evaluate(llvm::ArrayRef<int32_t> genes) const {
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(genes, values, active);
  Values sum = base;
  std::vector<int64_t> chosen;
  for (const Unit &unit : units) {
    auto geneAt = [&](unsigned v) { return geneOf(space.variables[v], unit.element); };
    auto found = unit.choices.end();
    if (llvm::any_of(unit.variables, [&](unsigned v) { return active[geneAt(v)]; }))
      found = llvm::find_if(unit.choices, [&](const Choice &choice) {
        return llvm::all_of(llvm::zip_equal(unit.variables, choice.genes), [&](auto pair) {
          return genes[geneAt(std::get<0>(pair))] == std::get<1>(pair);
        });
      });
    chosen.push_back(found == unit.choices.end() ? -1 : found - unit.choices.begin());
    if (found != unit.choices.end())
      add(sum, found->deltas);
  }
  for (const Transition &transition : transitions)
    if (chosen[transition.unit] == transition.from && chosen[transition.next] == transition.to)
      add(sum, transition.deltas);
  return sum;
}

double CostTable::factorOf(const Term &term, llvm::ArrayRef<int32_t> genes,
                           const llvm::BitVector &active) const {
  const Variable &variable = space.variables[term.variable];
  unsigned gene = geneOf(variable, term.element);
  if (!active[gene])
    return 0;
  return term.choice < 0 ? variable.numbers[genes[gene]] : genes[gene] == term.choice;
}

Values CostTable::evaluateAffine(llvm::ArrayRef<int32_t> genes) const {
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(genes, values, active);
  Values sum = intercept;
  for (const Term &term : terms)
    if (double factor = factorOf(term, genes, active))
      add(sum, term.coefficients, factor);
  return sum;
}

//===- JSON
//---------------------------------------------------------------------------------------------===//

static llvm::json::Value valueOf(const Variable &variable, int32_t choice) {
  if (variable.words)
    return variable.labels[choice];
  if (variable.kind == Variable::Kind::Boolean)
    return choice != 0;
  return variable.numbers[choice];
}

static llvm::json::Array toJson(llvm::ArrayRef<CostTable::Error> errors) {
  llvm::json::Array list;
  for (const CostTable::Error &error : errors)
    list.push_back(llvm::json::Object{{"max", error.most}, {"mean", error.mean}});
  return list;
}

/// For a variable of numbers: the values upwards, and costs that never fall on the way.
static llvm::json::Array steps(const Variable &variable, const CostTable::Unit &unit) {
  std::vector<const CostTable::Choice *> sorted;
  for (const CostTable::Choice &choice : unit.choices)
    sorted.push_back(&choice);
  llvm::sort(sorted, [&](const auto *a, const auto *b) {
    return variable.numbers[a->genes[0]] < variable.numbers[b->genes[0]];
  });
  llvm::json::Array list;
  Values most;
  for (const CostTable::Choice *choice : sorted) {
    if (most.empty())
      most = choice->deltas;
    for (auto [highest, delta] : llvm::zip_equal(most, choice->deltas))
      highest = std::max(highest, delta);
    list.push_back(llvm::json::Object{{"value", variable.numbers[choice->genes[0]]},
                                      {"deltas", llvm::json::Array(most)}});
  }
  return list;
}

llvm::json::Object CostTable::toJson() const {
  llvm::json::Array unitList, transitionList, termList;
  for (const Unit &unit : units) {
    llvm::json::Array names, choices;
    for (unsigned v : unit.variables)
      names.push_back(space.variables[v].name);
    for (const Choice &choice : unit.choices) {
      llvm::json::Object named;
      for (auto [v, gene] : llvm::zip_equal(unit.variables, choice.genes))
        named[space.variables[v].name] = valueOf(space.variables[v], gene);
      choices.push_back(llvm::json::Object{{"values", std::move(named)},
                                           {"deltas", llvm::json::Array(choice.deltas)}});
    }
    llvm::json::Object entry{{"variables", std::move(names)},
                             {"element", unit.element},
                             {"choices", std::move(choices)}};
    const Variable &first = space.variables[unit.variables[0]];
    if (unit.variables.size() == 1 && !first.words && first.kind != Variable::Kind::Boolean)
      entry["monotone"] = steps(first, unit);
    unitList.push_back(std::move(entry));
  }
  for (const Transition &transition : transitions)
    transitionList.push_back(llvm::json::Object{{"unit", transition.unit},
                                                {"choice", transition.from},
                                                {"next_unit", transition.next},
                                                {"next_choice", transition.to},
                                                {"deltas", llvm::json::Array(transition.deltas)}});
  for (const Term &term : terms) {
    const Variable &variable = space.variables[term.variable];
    llvm::json::Object entry{{"variable", variable.name},
                             {"element", term.element},
                             {"coefficients", llvm::json::Array(term.coefficients)}};
    if (term.choice >= 0)
      entry["choice"] = variable.labels[term.choice];
    termList.push_back(std::move(entry));
  }
  return llvm::json::Object{
      {"attune-costs", 1},
      {"space", space.variablesHash()},
      {"costs", llvm::json::Array(costs)},
      {"base", llvm::json::Array(base)},
      {"units", std::move(unitList)},
      {"transitions", std::move(transitionList)},
      {"error", search::toJson(tableErrors)},
      {"affine", llvm::json::Object{{"intercept", llvm::json::Array(intercept)},
                                    {"terms", std::move(termList)},
                                    {"error", search::toJson(affineErrors)}}}};
}

} // namespace attune::search
