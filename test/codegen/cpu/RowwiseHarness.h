//===- RowwiseHarness.h - Row-wise kernels against functions of an index ----------------------===//
//
// What the tests of the row-wise emitter share.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_CODEGEN_CPU_ROWWISEHARNESS_H
#define ATTUNE_TEST_CODEGEN_CPU_ROWWISEHARNESS_H

#include "KernelHarness.h"

#include <functional>

namespace attune::test {

/// A kernel whose region is `body`; inputs are `a0`, `a1`, ..., sizes `d0`, `d1`, ...
std::string kernelText(std::vector<std::string> inputs, std::vector<int> inputDims, int numDims,
                       std::vector<std::string> results, std::vector<int> resultDims,
                       const std::string &body);

/// Runs on every target with one and two threads, expects the same bits from both, and gives the
/// results of each target to `check`.
void runAll(const std::string &text, std::vector<Array> inputs, std::vector<int64_t> sizes,
            std::function<void(const KernelRun &)> check);

/// `tolerance` is relative to 1 + |expected|; NaN where NaN is expected.
void expectNear(const Array &got, const std::vector<int64_t> &shape,
                std::function<double(const std::vector<int64_t> &)> expected, double tolerance);

/// Around tails of vectors of every width.
inline const std::vector<int64_t> kLengths = {0,  1,  2,  3,  4,  5,  7,  8,  9,
                                              15, 16, 17, 31, 33, 64, 67, 131};

} // namespace attune::test
#endif
