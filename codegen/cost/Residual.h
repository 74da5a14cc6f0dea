//===- Residual.h - What measured kernels add to the analytic model ---------------------------===//
//
// log(measured / analytic) of the kernels of one emitter as a function of a few numbers: a constant
// where there are few measurements, a ridge regression on the numbers, one on their products as
// well, boosted trees where there are many; by leave-one-group-out, each only if it predicts better
// than those before. Measurements that deviate much count little.
//
//   Residual residual = Residual::fit(samples);
//   double seconds = analytic * std::exp(residual.value(inputs));
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_RESIDUAL_H
#define ATTUNE_CODEGEN_COST_RESIDUAL_H

#include "attune/support/BoostedTree.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <vector>

namespace attune::codegen {

/// The solution of (A + lambda I) x = b for a symmetric positive semi-definite A, row-major; the
/// first unknown is not damped. By Cholesky; zeros where a pivot vanishes.
std::vector<double> solveRidge(std::vector<double> a, std::vector<double> b, double lambda);

class Residual {
public:
  struct Sample {
    std::vector<double> inputs;
    double value;   ///< log(measured / analytic)
    unsigned group; ///< measurements that resemble each other, as those of one model
    double weight = 1;
  };
  explicit Residual(double constant = 0, double deviation = 0.5)
      : weights{constant}, deviation(deviation) {}
  static Residual fit(llvm::ArrayRef<Sample> samples);

  /// Inputs and values beyond what was measured count as the nearest that was.
  double value(llvm::ArrayRef<double> inputs) const;
  /// Standard deviation of `value`, where what is asked for was not measured itself.
  double sigma() const { return deviation; }

  llvm::json::Value toJson() const;
  static llvm::Expected<Residual> fromJson(const llvm::json::Value &json);

private:
  /// Sums of products of terms, and of terms and values: what a regression needs of samples.
  struct Normal {
    std::vector<double> a, b;
    Normal(size_t size) : a(size * size), b(size) {}
    Normal &operator-=(const Normal &part);
  };
  std::vector<double> terms(llvm::ArrayRef<double> inputs) const;
  double smooth(llvm::ArrayRef<double> inputs) const;
  BoostedTree::Row row(llvm::ArrayRef<double> inputs) const;
  void setRange(llvm::ArrayRef<Sample> samples);
  void standardise(llvm::ArrayRef<Sample> samples);
  Normal normalOf(llvm::ArrayRef<Sample> samples) const;
  void findEdges(llvm::ArrayRef<Sample> samples);
  void growTrees(
      llvm::ArrayRef<Sample> samples, unsigned count, llvm::function_ref<void()> grown = [] {});

  unsigned order = 0; ///< 0: a constant, 1: the inputs, 2: also their products
  std::vector<double> weights, least, most, mean, scale;
  std::vector<double> range;              ///< least and largest value that was measured
  std::vector<std::vector<double>> edges; ///< of the bins of every input
  std::vector<BoostedTree> trees;
  double deviation;
};

} // namespace attune::codegen
#endif
