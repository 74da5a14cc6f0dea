#include "attune/codegen/cost/Residual.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace attune::codegen {

/// Measurements below which a fit is not tried. Trees take the place of products of inputs.
static constexpr size_t kForConstant = 3, kForInputs = 12, kForProducts = 30, kForTrees = 90;
/// Deviations count with their square up to here, then in proportion: some measurements are wrong.
static constexpr double kLarge = 0.2;

static double lossOf(double deviation) {
  double size = std::abs(deviation);
  return size <= kLarge ? size * size : kLarge * (2 * size - kLarge);
}

std::vector<double> solveRidge(std::vector<double> a, std::vector<double> b, double lambda) {
  size_t n = b.size();
  for (size_t i = 1; i < n; ++i)
    a[i * n + i] += lambda;
  // A = L L^T in place, then two triangular systems.
  std::vector<bool> dead(n);
  for (size_t j = 0; j < n; ++j) {
    double pivot = a[j * n + j];
    for (size_t k = 0; k < j; ++k)
      pivot -= a[j * n + k] * a[j * n + k];
    dead[j] = pivot <= 1e-12 * std::max(1.0, a[j * n + j]);
    a[j * n + j] = dead[j] ? 1 : std::sqrt(pivot);
    for (size_t i = j + 1; i < n; ++i) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k)
        sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = dead[j] ? 0 : sum / a[j * n + j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k)
      b[i] -= a[i * n + k] * b[k];
    b[i] = dead[i] ? 0 : b[i] / a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k)
      b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

/// The value that half of the weight lies below.
static double median(llvm::ArrayRef<Residual::Sample> samples) {
  std::vector<std::pair<double, double>> values;
  double half = 0;
  for (const Residual::Sample &sample : samples) {
    values.emplace_back(sample.value, sample.weight);
    half += sample.weight / 2;
  }
  std::sort(values.begin(), values.end());
  for (auto [value, weight] : values)
    if ((half -= weight) <= 0)
      return value;
  return 0;
}

std::vector<double> Residual::terms(llvm::ArrayRef<double> inputs) const {
  std::vector<double> terms{1}, x;
  if (order == 0)
    return terms;
  for (auto [i, input] : llvm::enumerate(inputs))
    x.push_back((std::clamp(input, least[i], most[i]) - mean[i]) / scale[i]);
  terms.insert(terms.end(), x.begin(), x.end());
  if (order == 2)
    for (size_t i = 0; i < x.size(); ++i)
      for (size_t j = i; j < x.size(); ++j)
        terms.push_back(x[i] * x[j]);
  return terms;
}

double Residual::smooth(llvm::ArrayRef<double> inputs) const {
  double sum = 0;
  for (auto [weight, term] : llvm::zip(weights, terms(inputs)))
    sum += weight * term;
  return sum;
}

/// The bins that the inputs fall into.
BoostedTree::Row Residual::row(llvm::ArrayRef<double> inputs) const {
  BoostedTree::Row row;
  for (auto [input, of] : llvm::zip(inputs, edges))
    row.push_back(std::upper_bound(of.begin(), of.end(), input) - of.begin());
  return row;
}

double Residual::value(llvm::ArrayRef<double> inputs) const {
  if (order > 0 && inputs.size() != mean.size())
    return weights.front();
  double sum = smooth(inputs);
  if (!trees.empty() && inputs.size() == edges.size()) {
    BoostedTree::Row bins = row(inputs);
    for (const BoostedTree &tree : trees)
      sum += tree.value(bins);
  }
  return range.size() == 2 ? std::clamp(sum, range[0], range[1]) : sum;
}

void Residual::findEdges(llvm::ArrayRef<Sample> samples) {
  constexpr size_t kBins = 24;
  edges.assign(samples.front().inputs.size(), {});
  for (auto [i, of] : llvm::enumerate(edges)) {
    std::vector<double> values;
    for (const Sample &sample : samples)
      values.push_back(sample.inputs[i]);
    llvm::sort(values);
    for (size_t bin = 1; bin < kBins; ++bin)
      of.push_back(values[bin * values.size() / kBins]);
    of.erase(std::unique(of.begin(), of.end()), of.end());
  }
}

/// `grown` is called after every tree.
void Residual::growTrees(llvm::ArrayRef<Sample> samples, unsigned count,
                         llvm::function_ref<void()> grown) {
  constexpr double kRate = 0.1;
  constexpr unsigned kLeastRows = 3;
  std::vector<BoostedTree::Row> rows;
  std::vector<double> left;
  for (const Sample &sample : samples) {
    rows.push_back(row(sample.inputs));
    left.push_back(sample.value - smooth(sample.inputs));
  }
  trees.clear();
  // Every tree sees another half: no single measurement shapes all of them.
  std::mt19937 random(7);
  while (trees.size() < count) {
    std::vector<BoostedTree::Row> some;
    std::vector<double> gradient, weight;
    for (size_t i = 0; i < samples.size(); ++i)
      if (random() % 2) {
        some.push_back(rows[i]);
        gradient.push_back(std::clamp(left[i], -kLarge, kLarge) * samples[i].weight);
        weight.push_back(samples[i].weight);
      }
    if (some.empty())
      continue;
    trees.push_back(BoostedTree::grow(some, gradient, weight, kRate, kLeastRows));
    for (size_t i = 0; i < samples.size(); ++i)
      left[i] -= trees.back().value(rows[i]);
    grown();
  }
}

void Residual::setRange(llvm::ArrayRef<Sample> samples) {
  range = {INFINITY, -INFINITY};
  for (const Sample &sample : samples)
    range = {std::min(range[0], sample.value), std::max(range[1], sample.value)};
}

/// Makes the inputs comparable.
void Residual::standardise(llvm::ArrayRef<Sample> samples) {
  size_t count = samples.front().inputs.size();
  setRange(samples);
  least.assign(count, INFINITY), most.assign(count, -INFINITY);
  mean.assign(count, 0), scale.assign(count, 0);
  for (const Sample &sample : samples)
    for (size_t i = 0; i < count; ++i) {
      least[i] = std::min(least[i], sample.inputs[i]);
      most[i] = std::max(most[i], sample.inputs[i]);
      mean[i] += sample.inputs[i] / samples.size();
    }
  for (const Sample &sample : samples)
    for (size_t i = 0; i < count; ++i)
      scale[i] += std::pow(sample.inputs[i] - mean[i], 2) / samples.size();
  for (double &x : scale)
    x = x > 1e-12 ? std::sqrt(x) : 1;
}

Residual::Normal &Residual::Normal::operator-=(const Normal &part) {
  for (auto [x, y] : llvm::zip(a, part.a))
    x -= y;
  for (auto [x, y] : llvm::zip(b, part.b))
    x -= y;
  return *this;
}

Residual::Normal Residual::normalOf(llvm::ArrayRef<Sample> samples) const {
  size_t size = terms(samples.front().inputs).size();
  Normal normal(size);
  for (const Sample &sample : samples) {
    std::vector<double> row = terms(sample.inputs);
    for (size_t i = 0; i < size; ++i) {
      double weighted = sample.weight * row[i];
      normal.b[i] += weighted * sample.value;
      for (size_t j = 0; j < size; ++j)
        normal.a[i * size + j] += weighted * row[j];
    }
  }
  return normal;
}

Residual Residual::fit(llvm::ArrayRef<Sample> samples) {
  Residual best;
  if (samples.size() < kForConstant)
    return best;
  std::map<unsigned, std::vector<Sample>> groups, others; // what is left out, what is left
  double weight = 0;
  for (const Sample &sample : samples) {
    groups[sample.group].push_back(sample);
    weight += sample.weight;
  }
  for (auto &[group, own] : groups)
    for (const Sample &sample : samples)
      if (sample.group != group || groups.size() == 1)
        others[group].push_back(sample);
  struct Error {
    double loss = 0, squares = 0;
    bool operator<(const Error &other) const { return loss < other.loss; }
  };
  auto addError = [](Error &error, const Residual &residual, llvm::ArrayRef<Sample> own) {
    for (const Sample &sample : own) {
      double deviation = residual.value(sample.inputs) - sample.value;
      error.loss += sample.weight * lossOf(deviation);
      error.squares += sample.weight * deviation * deviation;
    }
  };
  Error bestError;
  for (auto &[group, own] : groups) {
    best.weights = {median(others[group])};
    addError(bestError, best, own);
  }
  best.weights = {median(samples)};
  const Residual constant = best;

  for (unsigned order : {1u, 2u}) {
    if (samples.size() < (order == 1 ? kForInputs : kForProducts) ||
        (order == 2 && samples.size() >= kForTrees))
      break;
    Residual candidate;
    candidate.order = order;
    candidate.standardise(samples);
    Normal all = candidate.normalOf(samples);
    std::map<unsigned, Normal> without;
    for (auto &[group, own] : groups) {
      Normal &rest = without.try_emplace(group, all).first->second;
      if (groups.size() > 1)
        rest -= candidate.normalOf(own);
    }
    for (double lambda : {1.0, 10.0, 100.0, 1000.0}) {
      Error error;
      for (auto &[group, own] : groups) {
        const Normal &rest = without.at(group);
        candidate.weights = solveRidge(rest.a, rest.b, lambda);
        addError(error, candidate, own);
      }
      if (!(error < bestError))
        continue;
      bestError = error;
      candidate.weights = solveRidge(all.a, all.b, lambda);
      best = candidate;
    }
  }

  if (samples.size() >= kForTrees) {
    constexpr unsigned kMost = 150, kStep = 10;
    std::vector<Error> errors(kMost / kStep);
    Residual candidate = constant;
    candidate.setRange(samples);
    candidate.findEdges(samples);
    for (auto &[group, own] : groups) {
      candidate.weights = {median(others[group])};
      candidate.growTrees(others[group], kMost, [&] {
        if (candidate.trees.size() % kStep == 0)
          addError(errors[candidate.trees.size() / kStep - 1], candidate, own);
      });
    }
    auto least = llvm::min_element(errors);
    if (*least < bestError) {
      bestError = *least;
      best = constant;
      best.range = candidate.range;
      best.findEdges(samples);
      best.growTrees(samples, (least - errors.begin() + 1) * kStep);
    }
  }
  best.deviation = std::max(0.03, std::sqrt(bestError.squares / weight));
  return best;
}

namespace json = llvm::json;

static json::Array numbers(llvm::ArrayRef<double> values) {
  json::Array array;
  for (double value : values)
    array.push_back(value);
  return array;
}

json::Value Residual::toJson() const {
  json::Object object{{"order", order},          {"weights", numbers(weights)},
                      {"least", numbers(least)}, {"most", numbers(most)},
                      {"mean", numbers(mean)},   {"scale", numbers(scale)},
                      {"deviation", deviation}};
  if (!range.empty())
    object["range"] = numbers(range);
  if (trees.empty())
    return object;
  json::Array bins, list;
  for (const std::vector<double> &of : edges)
    bins.push_back(numbers(of));
  for (const BoostedTree &tree : trees)
    list.push_back(json::Object{{"feature", json::Array(tree.feature)},
                                {"threshold", json::Array(tree.threshold)},
                                {"leaf", numbers(tree.leaf)}});
  object["edges"] = std::move(bins);
  object["trees"] = std::move(list);
  return object;
}

static bool fromJson(const json::Value &value, BoostedTree &tree, json::Path path) {
  json::ObjectMapper map(value, path);
  std::vector<int64_t> feature, threshold;
  std::vector<double> leaf;
  if (!map || !map.map("feature", feature) || !map.map("threshold", threshold) ||
      !map.map("leaf", leaf))
    return false;
  if (feature.size() != tree.feature.size() || threshold.size() != tree.threshold.size() ||
      leaf.size() != tree.leaf.size()) {
    path.report("a tree of another size");
    return false;
  }
  llvm::copy(feature, tree.feature.begin());
  llvm::copy(threshold, tree.threshold.begin());
  llvm::copy(leaf, tree.leaf.begin());
  return true;
}

llvm::Expected<Residual> Residual::fromJson(const json::Value &value) {
  Residual residual;
  json::Path::Root root("residual");
  json::ObjectMapper map(value, root);
  if (!map || !map.map("order", residual.order) || !map.map("weights", residual.weights) ||
      !map.map("least", residual.least) || !map.map("most", residual.most) ||
      !map.map("mean", residual.mean) || !map.map("scale", residual.scale) ||
      !map.map("deviation", residual.deviation) || !map.mapOptional("range", residual.range) ||
      !map.mapOptional("edges", residual.edges))
    return root.getError();
  if (const json::Array *trees = value.getAsObject()->getArray("trees"))
    for (const json::Value &entry : *trees)
      if (!codegen::fromJson(entry, residual.trees.emplace_back(), root))
        return root.getError();
  size_t n = residual.mean.size(), products = residual.order == 2 ? n * (n + 1) / 2 : 0;
  bool consistent = residual.order <= 2 && residual.weights.size() == 1 + n + products &&
                    residual.least.size() == n && residual.most.size() == n &&
                    residual.scale.size() == n && (residual.order == 0) == (n == 0) &&
                    !llvm::is_contained(residual.scale, 0.0);
  for (const BoostedTree &tree : residual.trees)
    consistent &= llvm::all_of(tree.feature, [&](int16_t feature) {
      return feature >= 0 && static_cast<size_t>(feature) < residual.edges.size();
    });
  consistent &= residual.range.empty() ||
                (residual.range.size() == 2 && residual.range[0] <= residual.range[1]);
  for (const std::vector<double> &of : residual.edges)
    consistent &= llvm::is_sorted(of);
  if (!consistent)
    return llvm::createStringError("a residual of inconsistent sizes");
  return residual;
}

} // namespace attune::codegen
