#include "attune/codegen/cost/Residual.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace attune::codegen {

/// Measurements below which a fit is not tried.
static constexpr size_t kForConstant = 3, kForInputs = 12, kForProducts = 30;

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

double Residual::value(llvm::ArrayRef<double> inputs) const {
  if (order > 0 && inputs.size() != mean.size())
    return weights.front();
  double sum = 0;
  for (auto [weight, term] : llvm::zip(weights, terms(inputs)))
    sum += weight * term;
  return sum;
}

void Residual::solve(llvm::ArrayRef<Sample> samples, double lambda) {
  if (order == 0) {
    weights = {median(samples)};
    return;
  }
  size_t count = samples.front().inputs.size();
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
  size_t size = terms(samples.front().inputs).size();
  std::vector<double> a(size * size), b(size);
  for (const Sample &sample : samples) {
    std::vector<double> row = terms(sample.inputs);
    for (size_t i = 0; i < size; ++i) {
      b[i] += sample.weight * row[i] * sample.value;
      for (size_t j = 0; j < size; ++j)
        a[i * size + j] += sample.weight * row[i] * row[j];
    }
  }
  weights = solveRidge(std::move(a), std::move(b), lambda);
}

Residual Residual::fit(llvm::ArrayRef<Sample> samples) {
  Residual best;
  if (samples.size() < kForConstant)
    return best;
  std::set<unsigned> groups;
  double weight = 0;
  for (const Sample &sample : samples) {
    groups.insert(sample.group);
    weight += sample.weight;
  }
  double bestError = INFINITY;
  auto consider = [&](unsigned order, double lambda) {
    Residual candidate;
    candidate.order = order;
    double error = 0;
    for (unsigned group : groups) {
      std::vector<Sample> others;
      llvm::copy_if(samples, std::back_inserter(others),
                    [&](const Sample &s) { return s.group != group || groups.size() == 1; });
      candidate.solve(others, lambda);
      for (const Sample &sample : samples)
        if (sample.group == group)
          error += sample.weight * std::pow(candidate.value(sample.inputs) - sample.value, 2);
    }
    if (error >= bestError)
      return;
    bestError = error;
    candidate.solve(samples, lambda);
    candidate.deviation = std::max(0.03, std::sqrt(error / weight));
    best = candidate;
  };
  consider(0, 0);
  for (double lambda : {0.1, 1.0, 10.0, 100.0, 1000.0}) {
    if (samples.size() >= kForInputs)
      consider(1, lambda);
    if (samples.size() >= kForProducts)
      consider(2, lambda);
  }
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
  return json::Object{{"order", order},          {"weights", numbers(weights)},
                      {"least", numbers(least)}, {"most", numbers(most)},
                      {"mean", numbers(mean)},   {"scale", numbers(scale)},
                      {"deviation", deviation}};
}

llvm::Expected<Residual> Residual::fromJson(const json::Value &value) {
  Residual residual;
  json::Path::Root root("residual");
  json::ObjectMapper map(value, root);
  if (!map || !map.map("order", residual.order) || !map.map("weights", residual.weights) ||
      !map.map("least", residual.least) || !map.map("most", residual.most) ||
      !map.map("mean", residual.mean) || !map.map("scale", residual.scale) ||
      !map.map("deviation", residual.deviation))
    return root.getError();
  size_t n = residual.mean.size(), products = residual.order == 2 ? n * (n + 1) / 2 : 0;
  if (residual.order > 2 || residual.weights.size() != 1 + n + products ||
      residual.least.size() != n || residual.most.size() != n || residual.scale.size() != n ||
      (residual.order == 0) != (n == 0) || llvm::is_contained(residual.scale, 0.0))
    return llvm::createStringError("a residual of inconsistent sizes");
  return residual;
}

} // namespace attune::codegen
