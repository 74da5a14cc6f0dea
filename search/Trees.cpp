#include "attune/search/Trees.h"
#include "attune/search/Permutation.h"

#include <cmath>

namespace attune::search {

Features::Features(const Space &space) : space(space) {
  for (unsigned v = 0; v < space.variables.size(); ++v) {
    const Variable &variable = space.variables[v];
    size_t count = variable.path ? variable.path->length() * variable.path->axes().size()
                   : variable.kind == Variable::Kind::Categorical
                       ? variable.elements * variable.labels.size()
                       : variable.elements;
    variables.insert(variables.end(), count, v);
  }
}

Features::Row Features::row(llvm::ArrayRef<int32_t> genes) const {
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(genes, values, active);
  Row row;
  for (const Variable &variable : space.variables) {
    if (variable.isOrder()) {
      // Where each thing stands.
      Row places(variable.elements, -1);
      if (active[variable.firstGene])
        for (auto [place, thing] : llvm::enumerate(
                 permutation::orderOf(genes.slice(variable.firstGene, variable.geneCount))))
          places[thing] = place;
      llvm::append_range(row, places);
      continue;
    }
    if (variable.path) {
      size_t count = variable.path->length() * variable.path->axes().size();
      for (size_t i = 0; i < count; ++i) {
        double value = values[variable.firstValue + i];
        row.push_back(std::isnan(value)
                          ? -1
                          : value - variable.path->axes()[i / variable.path->length()].low);
      }
      continue;
    }
    for (unsigned i = 0; i < variable.elements; ++i) {
      unsigned gene = variable.firstGene + i;
      if (variable.kind != Variable::Kind::Categorical)
        row.push_back(active[gene] ? genes[gene] : -1);
      else
        for (size_t choice = 0; choice < variable.labels.size(); ++choice)
          row.push_back(active[gene] ? genes[gene] == static_cast<int32_t>(choice) : -1);
    }
  }
  return row;
}

RankTrees RankTrees::fit(llvm::ArrayRef<Features::Row> rows, llvm::ArrayRef<double> goals,
                         Options options, Rng rng) {
  constexpr unsigned kPartners = 24;
  RankTrees result;
  std::vector<double> scores(rows.size(), 0), gradient(rows.size()), curvature(rows.size());
  for (unsigned t = 0; t < options.trees && rows.size() > 1; ++t) {
    gradient.assign(rows.size(), 0);
    curvature.assign(rows.size(), 0);
    auto pair = [&](unsigned i, unsigned j) {
      if (goals[i] == goals[j])
        return;
      if (goals[i] > goals[j])
        std::swap(i, j);
      double wrong = 1 / (1 + std::exp(scores[i] - scores[j]));
      gradient[i] += wrong;
      gradient[j] -= wrong;
      curvature[i] += wrong * (1 - wrong);
      curvature[j] += wrong * (1 - wrong);
    };
    for (unsigned i = 0; i < rows.size(); ++i)
      if (rows.size() <= 2 * kPartners)
        for (unsigned j = 0; j < i; ++j)
          pair(i, j);
      else
        for (unsigned k = 0; k < kPartners; ++k)
          pair(i, rng.below(rows.size()));
    BoostedTree tree = BoostedTree::grow(rows, gradient, curvature, options.rate);
    for (unsigned i = 0; i < rows.size(); ++i)
      scores[i] += tree.value(rows[i]);
    result.trees.push_back(tree);
  }
  return result;
}

double RankTrees::score(llvm::ArrayRef<int16_t> row) const {
  double sum = 0;
  for (const BoostedTree &tree : trees)
    sum += tree.value(row);
  return sum;
}

std::vector<double> RankTrees::importance(size_t features) const {
  std::vector<double> shares(features, 0);
  double total = 0;
  for (const BoostedTree &tree : trees)
    for (unsigned node = 0; node < BoostedTree::kInner; ++node) {
      shares[tree.feature[node]] += tree.gain[node];
      total += tree.gain[node];
    }
  for (double &share : shares)
    share /= total > 0 ? total : 1;
  return shares;
}

} // namespace attune::search
