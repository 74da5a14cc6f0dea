#include "attune/search/Cost.h"

#include <cmath>

namespace attune::search {

llvm::Expected<CostVector> CostModel::delta(const Space &space, llvm::ArrayRef<int32_t> genes,
                                            unsigned gene, int32_t choice) {
  Genes changed(genes.begin(), genes.end());
  changed[gene] = choice;
  return estimate(space.canonical(changed));
}

ClosedFormCost::ClosedFormCost(const Space &space) : space(space) {
  for (const ClosedForm &form : space.costs)
    costNames.push_back({form.name});
}

llvm::Expected<CostVector> ClosedFormCost::estimate(llvm::ArrayRef<int32_t> genes) {
  llvm::SmallVector<double> values;
  llvm::BitVector active;
  space.decode(genes, values, active);
  CostVector cost;
  for (const ClosedForm &form : space.costs) {
    cost.values.push_back(form.expression.evaluate(values));
    if (!std::isfinite(cost.values.back()))
      return llvm::createStringError("the cost `" + form.name + "` has no value");
  }
  return cost;
}

CombinedCost::CombinedCost(std::vector<CostModel *> models) : models(std::move(models)) {
  for (unsigned m = 0; m < this->models.size(); ++m)
    for (unsigned i = 0; i < this->models[m]->names().size(); ++i) {
      const CostName &name = this->models[m]->names()[i];
      if (llvm::any_of(costNames, [&](const CostName &other) { return other.str() == name.str(); }))
        continue;
      costNames.push_back(name);
      sources.push_back({m, i});
    }
}

llvm::Expected<CostVector> CombinedCost::estimate(llvm::ArrayRef<int32_t> genes) {
  llvm::SmallVector<CostVector, 3> parts;
  CostVector cost;
  for (CostModel *model : models) {
    auto part = model->estimate(genes);
    if (!part)
      return part.takeError();
    cost.sigma = std::max(cost.sigma, part->sigma);
    parts.push_back(std::move(*part));
  }
  for (auto [model, index] : sources)
    cost.values.push_back(parts[model].values[index]);
  return cost;
}

std::string CombinedCost::identity() const {
  std::string text;
  for (const CostModel *model : models)
    if (std::string part = model->identity(); !part.empty())
      text += (text.empty() ? "" : ", ") + part;
  return text;
}

bool CombinedCost::exact(unsigned cost) const {
  return models[sources[cost].first]->exact(sources[cost].second);
}

std::optional<unsigned> findCost(const CostModel &model, const CostName &name) {
  for (unsigned i = 0; i < model.names().size(); ++i) {
    const CostName &candidate = model.names()[i];
    if (candidate.name == name.name &&
        (!candidate.threads || !name.threads || candidate.threads == name.threads))
      return i;
  }
  return std::nullopt;
}

} // namespace attune::search
