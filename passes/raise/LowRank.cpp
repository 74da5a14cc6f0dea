#include "attune/passes/raise/LowRank.h"

#include "llvm/ADT/STLExtras.h"
#include <cmath>

namespace attune {

static constexpr double kTolerance = 16 * 0x1p-24;
/// Terms that cancel would lose digits where they are added up.
static constexpr double kMaxGrowth = 16;

using Vector = std::vector<double>;

static double dot(const Vector &a, const Vector &b) {
  double sum = 0;
  for (size_t n = 0; n < a.size(); ++n)
    sum += a[n] * b[n];
  return sum;
}

/// Gram-Schmidt, twice; false if the vectors are dependent.
static bool orthonormalise(std::vector<Vector> &vectors) {
  for (size_t n = 0; n < vectors.size(); ++n) {
    double before = std::sqrt(dot(vectors[n], vectors[n]));
    for (unsigned pass = 0; pass < 2; ++pass)
      for (size_t other = 0; other < n; ++other) {
        double along = dot(vectors[n], vectors[other]);
        for (size_t i = 0; i < vectors[n].size(); ++i)
          vectors[n][i] -= along * vectors[other][i];
      }
    double norm = std::sqrt(dot(vectors[n], vectors[n]));
    if (!(norm > 1e-12 * before))
      return false;
    for (double &x : vectors[n])
      x /= norm;
  }
  return true;
}

std::optional<LowRank> factorise(llvm::ArrayRef<double> matrix, int64_t rows, int64_t columns,
                                 int64_t maxRank) {
  // Rows are scaled to a largest element of 1.
  Vector scale(rows, 0), columnScale(columns, 0), rest(matrix.begin(), matrix.end());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      if (!std::isfinite(rest[i * columns + j]))
        return std::nullopt;
      scale[i] = std::max(scale[i], std::abs(rest[i * columns + j]));
    }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns && scale[i] > 0; ++j) {
      rest[i * columns + j] /= scale[i];
      columnScale[j] = std::max(columnScale[j], std::abs(rest[i * columns + j]));
    }
  const Vector scaled = rest;
  auto tolerated = [&](int64_t j) { return kTolerance * columnScale[j]; };
  // Crosses through the largest rest: their rows span those of the matrix.
  std::vector<Vector> basis;
  while (true) {
    int64_t pivotRow = 0, pivotColumn = 0;
    double largest = 0;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        if (double x = std::abs(rest[i * columns + j]); x > tolerated(j) && x > largest) {
          largest = x;
          pivotRow = i;
          pivotColumn = j;
        }
    if (largest == 0)
      break;
    if (int64_t(basis.size()) == maxRank)
      return std::nullopt;
    Vector row(rest.begin() + pivotRow * columns, rest.begin() + (pivotRow + 1) * columns);
    double pivot = row[pivotColumn];
    for (int64_t i = 0; i < rows; ++i) {
      double factor = rest[i * columns + pivotColumn] / pivot;
      for (int64_t j = 0; j < columns; ++j)
        rest[i * columns + j] -= factor * row[j];
    }
    basis.push_back(std::move(row));
  }
  if (basis.empty() || !orthonormalise(basis))
    return std::nullopt;
  // One step of subspace iteration takes the noise of the chosen rows out of the basis.
  int64_t rank = basis.size();
  std::vector<Vector> left(rank, Vector(rows, 0)), right(rank, Vector(columns, 0));
  auto project = [&](const std::vector<Vector> &onto) {
    for (int64_t r = 0; r < rank; ++r)
      for (int64_t i = 0; i < rows; ++i) {
        left[r][i] = 0;
        for (int64_t j = 0; j < columns; ++j)
          left[r][i] += scaled[i * columns + j] * onto[r][j];
      }
  };
  project(basis);
  if (!orthonormalise(left))
    return std::nullopt;
  for (int64_t r = 0; r < rank; ++r)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        right[r][j] += left[r][i] * scaled[i * columns + j];
  if (!orthonormalise(right))
    return std::nullopt;
  project(right);
  LowRank result{rank, {}, {}};
  for (int64_t r = 0; r < rank; ++r) {
    for (int64_t i = 0; i < rows; ++i)
      result.left.push_back(float(left[r][i] * scale[i]));
    for (double x : right[r])
      result.right.push_back(float(x));
  }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0, growth = 0;
      for (int64_t r = 0; r < rank; ++r) {
        double term = result.left[r * rows + i] * result.right[r * columns + j];
        sum += term;
        growth += std::abs(term);
      }
      double allowed = tolerated(j) * scale[i];
      if (!(std::abs(sum - matrix[i * columns + j]) <= allowed) ||
          !(growth * kTolerance <= kMaxGrowth * allowed))
        return std::nullopt;
    }
  return result;
}

} // namespace attune
