#include "attune/search/Legality.h"
#include "attune/search/Document.h"

#include <cmath>
#include <limits>

namespace attune::search {

constexpr size_t kMostRemembered = 1 << 18;
constexpr double kInfinite = std::numeric_limits<double>::infinity();

std::string keyOf(llvm::ArrayRef<int32_t> genes) {
  return std::string(reinterpret_cast<const char *>(genes.data()), genes.size() * sizeof(int32_t));
}

llvm::Expected<Legality> Legality::create(const Space &space, CostModel &model) {
  Legality legality(space, model);
  std::vector<std::string> known;
  for (const CostName &name : model.names())
    known.push_back(name.str());
  auto find = [&](const CostName &name, std::optional<unsigned> &found) -> llvm::Error {
    found = findCost(model, name);
    if (found)
      return llvm::Error::success();
    return llvm::createStringError("no cost `" + name.str() + "`; " +
                                   (known.empty()
                                        ? "this space has none (see `costs` and `template`)"
                                        : "there are " + listed(known)));
  };
  for (const Constraint &constraint : space.constraints) {
    legality.costOf.emplace_back();
    if (constraint.cost)
      if (llvm::Error error = find(*constraint.cost, legality.costOf.back()))
        return std::move(error);
  }
  std::optional<unsigned> found;
  for (const Objective &objective : space.objectives)
    if (objective.metric.empty())
      if (llvm::Error error = find(objective.cost, found))
        return std::move(error);
  return std::move(legality);
}

/// How far `value` is beyond a limit, relative to the limit.
static double excess(double value, double limit) {
  return value <= limit ? 0 : (value - limit) / std::max(std::fabs(limit), 1e-12);
}

void Legality::judgeCosts(Judgement &judgement) const {
  for (size_t i = 0; i < costOf.size(); ++i) {
    if (!costOf[i])
      continue;
    const Constraint &constraint = space.constraints[i];
    double value = judgement.cost.values[*costOf[i]];
    double margin =
        model.exact(*costOf[i]) ? 0 : constraint.z * judgement.cost.sigma * std::fabs(value);
    double violation = 0;
    judgement.found[i] = value + margin;
    if (constraint.atMost)
      violation += excess(value + margin, *constraint.atMost);
    if (constraint.atLeast) {
      violation += excess(-(value - margin), -*constraint.atLeast);
      if (!constraint.atMost)
        judgement.found[i] = value - margin;
    }
    judgement.violations[i] = violation;
  }
}

const Legality::Judgement &Legality::judge(llvm::ArrayRef<int32_t> genes) {
  ++judged;
  if (memory.size() >= kMostRemembered)
    memory.clear();
  auto [place, isNew] = memory.try_emplace(keyOf(genes));
  Judgement &judgement = place->second;
  if (isNew) {
    size_t count = space.constraints.size();
    judgement.violations.assign(count, 0);
    judgement.found.assign(count, 0);
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(genes, values, active);
    for (size_t i = 0; i < count; ++i)
      if (const auto &condition = space.constraints[i].expression)
        judgement.violations[i] = condition->evaluate(values) == 0;
    if (auto cost = model.estimate(genes)) {
      judgement.cost = std::move(*cost);
      judgeCosts(judgement);
    } else {
      llvm::consumeError(cost.takeError());
      judgement.violation = kInfinite;
    }
    for (double violation : judgement.violations)
      judgement.violation += violation;
    judgement.legal = judgement.violation == 0;
  }
  refused += !judgement.legal;
  return judgement;
}

Genes Legality::descend(Genes from, llvm::function_ref<double(const Judgement &)> measure) {
  double best = measure(judge(from));
  for (bool better = true; better && best > 0;) {
    better = false;
    for (unsigned gene = 0; gene < space.geneCount() && best > 0; ++gene) {
      int32_t old = from[gene];
      for (unsigned choice = 0; choice < space.choices(gene) && choice < 64; ++choice) {
        Genes changed = from;
        changed[gene] = choice;
        changed = space.canonical(changed);
        if (static_cast<int32_t>(choice) == old || !space.contains(changed))
          continue;
        double value = measure(judge(changed));
        if (value < best) {
          best = value;
          from = changed;
          better = true;
          if (best <= 0)
            break;
        }
      }
    }
  }
  return from;
}

llvm::Expected<Genes> Legality::findLegal(uint64_t seed) {
  constexpr uint64_t kSamples = 1000, kStarts = 8;
  Rng rng(seed, 0, Stage::Seed);
  std::vector<std::pair<double, Genes>> samples;
  for (uint64_t i = 0; i < kSamples; ++i) {
    Genes genes = space.sample(rng);
    double violation = judge(genes).violation;
    if (violation == 0)
      return genes;
    samples.push_back({violation, std::move(genes)});
  }
  llvm::sort(samples);
  std::vector<Genes> starts;
  for (uint64_t i = 0; i < kStarts; ++i)
    starts.push_back(samples[i].second);
  Genes best;
  double least = kInfinite;
  for (const Genes &start : starts) {
    Genes end = descend(start, [](const Judgement &j) { return j.violation; });
    double violation = judge(end).violation;
    if (violation == 0)
      return end;
    if (best.empty() || violation < least) {
      best = end;
      least = violation;
    }
  }
  return impossible(starts, best);
}

llvm::Error Legality::impossible(llvm::ArrayRef<Genes> starts, const Genes &best) {
  auto isCost = [&](size_t i) { return space.constraints[i].cost.has_value(); };
  // Each constraint alone: the one that stays furthest from its limit is the tightest.
  std::optional<size_t> tightest;
  double worst = 0, value = 0;
  for (size_t i = 0; i < space.constraints.size(); ++i) {
    double least = kInfinite, found = 0;
    for (const Genes &start : starts) {
      const Judgement &judgement = judge(descend(start, [&](const Judgement &j) {
        return std::isinf(j.violation) ? kInfinite : j.violations[i];
      }));
      if (judgement.violations[i] < least) {
        least = judgement.violations[i];
        found = judgement.found[i];
      }
    }
    if (least > worst) {
      worst = least;
      value = found;
      tightest = i;
    }
  }
  if (tightest)
    return llvm::createStringError(
        "no candidate meets the constraints; the tightest is `" +
        space.constraints[*tightest].text() + "`" +
        (isCost(*tightest) ? ": the best value found is " + spelled(value) : std::string()));
  const Judgement &judgement = judge(best);
  if (std::isinf(judgement.violation)) {
    auto cost = model.estimate(best);
    return llvm::createStringError("no candidate has a price: " +
                                   (cost ? "unknown" : llvm::toString(cost.takeError())));
  }
  for (size_t i = 0; i < judgement.violations.size(); ++i)
    if (!tightest || judgement.violations[i] > judgement.violations[*tightest])
      tightest = i;
  return llvm::createStringError(
      "no candidate meets all constraints together, though each alone can be met; where they come "
      "closest, `" +
      space.constraints[*tightest].text() + "` is missed" +
      (isCost(*tightest) ? " with " + spelled(judgement.found[*tightest]) : std::string()));
}

} // namespace attune::search
