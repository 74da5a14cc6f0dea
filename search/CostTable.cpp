#include "attune/search/CostTable.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>

namespace attune::search {

using Values = llvm::SmallVector<double, 6>;

/// The variable's gene that an element has; one that is not repeated is its own element.
static unsigned geneOf(const Variable &variable, unsigned element) {
  return variable.firstGene + (variable.repeated ? element : 0);
}

static void add(Values &sum, llvm::ArrayRef<double> values, double factor = 1) {
  for (auto [total, value] : llvm::zip_equal(sum, values))
    total += factor * value;
}

//===- Evaluation
//---------------------------------------------------------------------------------===//

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

/// What an affine term multiplies.
static double factorOf(const Space &space, const CostTable::Term &term,
                       llvm::ArrayRef<int32_t> genes, const llvm::BitVector &active) {
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
    if (double factor = factorOf(space, term, genes, active))
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

//===- Construction
//---------------------------------------------------------------------------------===//

class CostTableBuilder {
public:
  CostTableBuilder(const Space &space, CostModel &model, const CostTableOptions &options)
      : space(space), model(model), options(options), table(space) {}

  llvm::Expected<CostTable> run() {
    for (const Variable &variable : space.variables)
      if (variable.path || variable.isOrder())
        return llvm::createStringError("unsupported: the costs of `" + variable.name +
                                       "`, a variable of kind " +
                                       (variable.path ? "path" : "perm") + ", as a sum");
    for (const CostName &name : model.names())
      table.costs.push_back(name.str());
    if (table.costs.empty())
      return llvm::createStringError("this space has no costs (see `costs` and `template`)");
    setReference();
    table.base = price(reference);
    makeUnits();
    makeTransitions();
    sample();
    if (failure)
      return llvm::createStringError(*failure);
    return std::move(table);
  }

private:
  /// Differences that rounding makes, relative to the cost.
  static constexpr double kRounding = 1e-9;
  static constexpr size_t kMostChoices = 65536, kMostLooked = 12, kMostPairs = 4096;

  Values price(llvm::ArrayRef<int32_t> genes) {
    return take(model.estimate(space.canonical(genes)));
  }

  Values take(llvm::Expected<CostVector> cost) {
    if (cost)
      return cost->values;
    failure = llvm::toString(cost.takeError());
    return Values(table.costs.size(), 0);
  }

  /// As many elements as there can be, everything else the first value.
  void setReference() {
    reference.assign(space.geneCount(), 0);
    for (const Variable &variable : space.variables)
      if (variable.repeat) {
        const Variable &count = space.variables[*variable.repeat];
        reference[count.firstGene] =
            std::max_element(count.numbers.begin(), count.numbers.end()) - count.numbers.begin();
      }
  }

  unsigned choicesOf(unsigned v) const { return space.variables[v].labels.size(); }
  unsigned elementsOf(unsigned v) const {
    return space.variables[v].repeated ? space.variables[v].elements : 1;
  }
  static bool areTogether(const Variable &a, const Variable &b) {
    return a.repeated == b.repeated && a.repeat == b.repeat && a.elements == b.elements;
  }

  /// Some choices of a variable, first and last among them.
  std::vector<int32_t> looked(unsigned v) const {
    std::vector<int32_t> list;
    size_t count = choicesOf(v), steps = std::min(count, kMostLooked);
    for (size_t i = 0; i < steps; ++i)
      list.push_back(steps < 2 ? 0 : i * (count - 1) / (steps - 1));
    return list;
  }

  bool differs(double a, double b, double scale) const {
    return std::fabs(a - b) > kRounding * std::max(std::fabs(scale), 1e-300);
  }

  /// Whether choices of two variables of one element matter to each other.
  bool interact(unsigned v, unsigned w) {
    unsigned a = geneOf(space.variables[v], 0), b = geneOf(space.variables[w], 0);
    for (int32_t i : looked(v))
      for (int32_t j : looked(w)) {
        Genes first = reference, second = reference, both = reference;
        first[a] = both[a] = i;
        second[b] = both[b] = j;
        Values x = price(first), y = price(second), z = price(both);
        for (size_t k = 0; k < z.size(); ++k)
          if (differs(z[k] - x[k], y[k] - table.base[k], z[k]))
            return true;
      }
    return false;
  }

  void makeUnits() {
    std::vector<std::vector<unsigned>> groups;
    for (unsigned v = 0; v < space.variables.size(); ++v) {
      std::vector<unsigned> group{v};
      size_t size = choicesOf(v);
      // A count of elements stays alone: its elements come and go with it.
      bool counts = llvm::any_of(space.variables, [&](const Variable &other) {
        return other.repeat && *other.repeat == v;
      });
      for (size_t g = 0; g < groups.size() && !counts;) {
        size_t product = size;
        for (unsigned w : groups[g])
          product *= choicesOf(w);
        bool joined = areTogether(space.variables[groups[g][0]], space.variables[v]) &&
                      product <= kMostChoices &&
                      llvm::any_of(groups[g], [&](unsigned w) { return interact(w, v); });
        if (!joined) {
          ++g;
          continue;
        }
        group.insert(group.begin(), groups[g].begin(), groups[g].end());
        size = product;
        groups.erase(groups.begin() + g);
      }
      llvm::sort(group);
      groups.push_back(std::move(group));
    }
    for (const std::vector<unsigned> &group : groups)
      for (unsigned element = 0; element < elementsOf(group[0]); ++element)
        addUnit(group, element);
  }

  void addUnit(const std::vector<unsigned> &group, unsigned element) {
    CostTable::Unit unit{group, element, {}};
    llvm::SmallVector<int32_t, 4> genes(group.size(), 0);
    while (true) {
      Genes candidate = with(reference, unit, genes);
      // Choices that are the same candidate in other words are listed once.
      if (isCanonical(candidate, unit)) {
        unsigned gene = geneOf(space.variables[group[0]], element);
        Values deltas = group.size() == 1 ? take(model.delta(space, reference, gene, genes[0]))
                                          : price(candidate);
        add(deltas, table.base, -1);
        unit.choices.push_back({genes, deltas});
      }
      size_t digit = 0;
      while (digit < genes.size() &&
             ++genes[digit] == static_cast<int32_t>(choicesOf(group[digit])))
        genes[digit++] = 0;
      if (digit == genes.size())
        break;
    }
    table.units.push_back(std::move(unit));
  }

  Genes with(const Genes &from, const CostTable::Unit &unit, llvm::ArrayRef<int32_t> genes) const {
    Genes candidate = from;
    for (auto [v, gene] : llvm::zip_equal(unit.variables, genes))
      candidate[geneOf(space.variables[v], unit.element)] = gene;
    return candidate;
  }

  bool isCanonical(const Genes &candidate, const CostTable::Unit &unit) const {
    Genes clean = space.canonical(candidate);
    return llvm::all_of(unit.variables, [&](unsigned v) {
      unsigned gene = geneOf(space.variables[v], unit.element);
      return clean[gene] == candidate[gene];
    });
  }

  void makeTransitions() {
    for (unsigned u = 0; u < table.units.size(); ++u) {
      const CostTable::Unit &unit = table.units[u];
      auto next = llvm::find_if(table.units, [&](const CostTable::Unit &other) {
        return other.variables == unit.variables && other.element == unit.element + 1;
      });
      if (next == table.units.end() || unit.choices.size() * next->choices.size() > kMostPairs)
        continue;
      for (auto [i, from] : llvm::enumerate(unit.choices))
        for (auto [j, to] : llvm::enumerate(next->choices)) {
          Genes candidate = with(with(reference, unit, from.genes), *next, to.genes);
          Values found = price(candidate), deltas = found;
          add(deltas, table.base, -1);
          add(deltas, from.deltas, -1);
          add(deltas, to.deltas, -1);
          bool any = false;
          for (size_t k = 0; k < deltas.size(); ++k)
            any |= differs(deltas[k], 0, found[k]);
          if (any)
            table.transitions.push_back({u, static_cast<unsigned>(i),
                                         static_cast<unsigned>(next - table.units.begin()),
                                         static_cast<unsigned>(j), deltas});
        }
    }
  }

  /// Holds the sums against random candidates, and fits the affine form to them.
  void sample() {
    std::vector<Genes> candidates;
    std::vector<Values> costs;
    for (unsigned id = 0; id < options.samples; ++id) {
      Rng rng(options.seed, id, Stage::Propose);
      candidates.push_back(space.sample(rng));
      costs.push_back(price(candidates.back()));
    }
    if (failure || candidates.empty())
      return;
    auto errorsOf = [&](auto evaluate) {
      std::vector<CostTable::Error> errors(table.costs.size());
      for (auto [genes, cost] : llvm::zip_equal(candidates, costs)) {
        Values predicted = evaluate(genes);
        for (size_t k = 0; k < errors.size(); ++k) {
          double error = std::fabs(predicted[k] - cost[k]) / std::max(std::fabs(cost[k]), 1e-300);
          errors[k].most = std::max(errors[k].most, error);
          errors[k].mean += error / candidates.size();
        }
      }
      return errors;
    };
    table.tableErrors = errorsOf([&](const Genes &genes) { return table.evaluate(genes); });
    fit(candidates, costs);
    table.affineErrors = errorsOf([&](const Genes &genes) { return table.evaluateAffine(genes); });
  }

  void fit(llvm::ArrayRef<Genes> candidates, llvm::ArrayRef<Values> costs) {
    for (unsigned v = 0; v < space.variables.size(); ++v) {
      const Variable &variable = space.variables[v];
      for (unsigned element = 0; element < elementsOf(v); ++element)
        if (variable.words)
          for (size_t choice = 0; choice < variable.labels.size(); ++choice)
            table.terms.push_back({v, element, static_cast<int32_t>(choice), {}});
        else
          table.terms.push_back({v, element, -1, {}});
    }
    size_t count = table.terms.size() + 1, outputs = table.costs.size();
    std::vector<double> scale(count, 1e-300), squares(count * count, 0);
    std::vector<std::vector<double>> rows, right(outputs, std::vector<double>(count, 0));
    for (const Genes &genes : candidates) {
      llvm::SmallVector<double> values;
      llvm::BitVector active;
      space.decode(genes, values, active);
      std::vector<double> &row = rows.emplace_back(1, 1.0);
      for (const CostTable::Term &term : table.terms)
        row.push_back(factorOf(space, term, genes, active));
      for (size_t i = 0; i < count; ++i)
        scale[i] = std::max(scale[i], std::fabs(row[i]));
    }
    for (size_t n = 0; n < rows.size(); ++n)
      for (size_t i = 0; i < count; ++i) {
        double x = rows[n][i] / scale[i];
        if (x == 0)
          continue;
        for (size_t k = 0; k < outputs; ++k)
          right[k][i] += x * costs[n][k];
        for (size_t j = 0; j < count; ++j)
          squares[i * count + j] += x * rows[n][j] / scale[j];
      }
    for (size_t k = 0; k < outputs; ++k) {
      std::vector<double> solution = solve(squares, right[k], count, rows.size());
      table.intercept.push_back(solution[0]);
      for (size_t i = 1; i < count; ++i)
        table.terms[i - 1].coefficients.push_back(solution[i] / scale[i]);
    }
  }

  /// Least squares by Cholesky. The choices of a word add up to a constant: a little damping keeps
  /// the system solvable and its solution small.
  static std::vector<double> solve(std::vector<double> a, std::vector<double> b, size_t n,
                                   double samples) {
    constexpr double kDamping = 1e-9;
    for (size_t i = 0; i < n; ++i)
      a[i * n + i] += kDamping * samples;
    for (size_t j = 0; j < n; ++j) {
      for (size_t k = 0; k < j; ++k)
        for (size_t i = j; i < n; ++i)
          a[i * n + j] -= a[i * n + k] * a[j * n + k];
      double pivot = std::sqrt(a[j * n + j]);
      for (size_t i = j; i < n; ++i)
        a[i * n + j] /= pivot;
    }
    for (size_t i = 0; i < n; ++i) {
      for (size_t k = 0; k < i; ++k)
        b[i] -= a[i * n + k] * b[k];
      b[i] /= a[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
      for (size_t k = i + 1; k < n; ++k)
        b[i] -= a[k * n + i] * b[k];
      b[i] /= a[i * n + i];
    }
    return b;
  }

  const Space &space;
  CostModel &model;
  CostTableOptions options;
  CostTable table;
  Genes reference;
  std::optional<std::string> failure; ///< why a candidate has no price
};

llvm::Expected<CostTable> CostTable::make(const Space &space, CostModel &model,
                                          const CostTableOptions &options) {
  return CostTableBuilder(space, model, options).run();
}

} // namespace attune::search
