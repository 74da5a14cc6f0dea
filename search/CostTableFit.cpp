// The affine form of a table, by least squares over random candidates.
#include "attune/search/CostTable.h"

#include <cmath>

namespace attune::search {

using Values = llvm::SmallVector<double, 6>;

/// By Cholesky. The choices of a word add up to a constant: a little damping keeps
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

void CostTable::fitAffine(llvm::ArrayRef<Genes> candidates, llvm::ArrayRef<Values> samples) {
  for (unsigned v = 0; v < space.variables.size(); ++v) {
    const Variable &variable = space.variables[v];
    for (unsigned element = 0; element < (variable.repeated ? variable.elements : 1); ++element)
      if (variable.words)
        for (size_t choice = 0; choice < variable.labels.size(); ++choice)
          terms.push_back({v, element, static_cast<int32_t>(choice), {}});
      else
        terms.push_back({v, element, -1, {}});
  }
  size_t count = terms.size() + 1, outputs = costs.size();
  std::vector<double> scale(count, 1e-300), squares(count * count, 0);
  std::vector<std::vector<double>> rows, right(outputs, std::vector<double>(count, 0));
  for (const Genes &genes : candidates) {
    llvm::SmallVector<double> values;
    llvm::BitVector active;
    space.decode(genes, values, active);
    std::vector<double> &row = rows.emplace_back(1, 1.0);
    for (const Term &term : terms)
      row.push_back(factorOf(term, genes, active));
    for (size_t i = 0; i < count; ++i)
      scale[i] = std::max(scale[i], std::fabs(row[i]));
  }
  for (size_t n = 0; n < rows.size(); ++n)
    for (size_t i = 0; i < count; ++i) {
      double x = rows[n][i] / scale[i];
      if (x == 0)
        continue;
      for (size_t k = 0; k < outputs; ++k)
        right[k][i] += x * samples[n][k];
      for (size_t j = 0; j < count; ++j)
        squares[i * count + j] += x * rows[n][j] / scale[j];
    }
  for (size_t k = 0; k < outputs; ++k) {
    std::vector<double> solution = solve(squares, right[k], count, rows.size());
    intercept.push_back(solution[0]);
    for (size_t i = 1; i < count; ++i)
      terms[i - 1].coefficients.push_back(solution[i] / scale[i]);
  }
}

} // namespace attune::search
