//===- LinearAttentionProblem.h - Linear attention kernels and their results in double --------===//
//
//   LinearCase what;
//   what.update = "gated";
//   Kernel kernel(what.text(), *createLinearAttentionEmitter(), target);
//   LinearProblem problem(what, {.batch = 1, .queries = 65, .keys = 65});
//   EXPECT_LE(problem.error(kernel.run(problem.inputs, problem.sizes())), 1e-5);
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_CODEGEN_CPU_LINEARATTENTIONPROBLEM_H
#define ATTUNE_TEST_CODEGEN_CPU_LINEARATTENTIONPROBLEM_H

#include "KernelHarness.h"

#include <optional>

namespace attune::test {

/// A kernel with dynamic batch, queries and keys.
struct LinearCase {
  int64_t heads = 2, kvHeads = 2, keyDim = 16, valueDim = 16;
  int64_t terms = 0; ///< of the position tables; 0: none
  bool causal = true;
  std::string update = "sum", norm = "none", epsMode = "add", den = "weighted", form = "auto";
  std::string prices; ///< of forms, if not empty
  double eps = 0;
  bool features = true;  ///< phi(x) = max(x, 0) + 0.25, else identity
  bool stateMap = false; ///< max(s, 0.5)
  std::string dtype = "f32";
  bool interleaved = false; ///< operands are [B, N, H * D] in memory, and so is the result
  bool featureGates = false, keyMask = false, initState = false, initNorm = false,
       finalState = false, finalNorm = false;
  int64_t toeplitz = 0; ///< rank of the coefficients

  bool gated() const { return update == "gated" || update == "gated_delta"; }
  bool delta() const { return update == "delta" || update == "gated_delta"; }
  bool momentum() const { return update == "momentum" || update == "adaptive_momentum"; }
  int64_t totalFeatures() const { return keyDim * std::max<int64_t>(terms, 1); }
  std::string text() const;
};

struct LinearShape {
  int64_t batch, queries, keys;
};

struct LinearProblem {
  LinearProblem(const LinearCase &what, LinearShape shape, unsigned seed = 1);
  std::vector<Array> inputs; ///< in the order of the kernel's
  std::vector<int64_t> sizes() const { return {shape.batch, shape.queries, shape.keys}; }
  Array &input(const std::string &name);
  /// Results in double: output, final state, final norm.
  void solve();
  /// Largest error of all outputs relative to the largest value of their row.
  double error(const KernelRun &run);

  LinearCase what;
  LinearShape shape;
  std::vector<std::string> names;
  std::vector<double> result, state, normaliser;
};

} // namespace attune::test
#endif
