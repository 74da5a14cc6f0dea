// Which variables share a unit, and what their choices add.
#include "attune/search/CostTable.h"

#include <cmath>

namespace attune::search {

using Values = llvm::SmallVector<double, 6>;

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
    unsigned a = CostTable::geneOf(space.variables[v], 0),
             b = CostTable::geneOf(space.variables[w], 0);
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
        unsigned gene = CostTable::geneOf(space.variables[group[0]], element);
        Values deltas = group.size() == 1 ? take(model.delta(space, reference, gene, genes[0]))
                                          : price(candidate);
        CostTable::add(deltas, table.base, -1);
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
      candidate[CostTable::geneOf(space.variables[v], unit.element)] = gene;
    return candidate;
  }

  bool isCanonical(const Genes &candidate, const CostTable::Unit &unit) const {
    Genes clean = space.canonical(candidate);
    return llvm::all_of(unit.variables, [&](unsigned v) {
      unsigned gene = CostTable::geneOf(space.variables[v], unit.element);
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
          CostTable::add(deltas, table.base, -1);
          CostTable::add(deltas, from.deltas, -1);
          CostTable::add(deltas, to.deltas, -1);
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
    table.fitAffine(candidates, costs);
    table.affineErrors = errorsOf([&](const Genes &genes) { return table.evaluateAffine(genes); });
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
