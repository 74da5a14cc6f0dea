//===- LinearAttentionMatch.h - Which kernels are linear attention, and of what ---------------===//
//
// What the emitters for CPUs (LinearAttentionEmitter.cpp) and GPUs (codegen/gpu) read from the
// region of a kernel, without changing it.
//
//   LinearAttentionMatch match(kernel);
//   if (!match.read()) return false;
//   ...
//   LinearAttentionValues v = match.values(scope);   // in a function of the kernel
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_LINEARATTENTIONMATCH_H
#define ATTUNE_CODEGEN_CPU_LINEARATTENTIONMATCH_H

#include "attune/codegen/cpu/AttentionOperand.h"
#include "attune/codegen/cpu/LinearAttention.h"

namespace attune::codegen {

struct LinearAttentionMatch {
  using Operand = AttentionOperand;
  /// A number that is the same in the whole kernel: a constant, or an element of an operand.
  struct Scalar {
    std::optional<double> constant;
    std::optional<Operand> operand; ///< its offset is the element's
  };

  explicit LinearAttentionMatch(KernelOp kernel) : sizes(kernel) {}

  Sizes sizes;
  LinearAttentionOp op;
  llvm::SmallVector<Size> extents; ///< batch, heads, kv heads, queries, keys
  llvm::SmallVector<Size> priceSizes;
  LinearAttentionSpec spec; ///< without its functions
  std::optional<Operand> query, key, value, queryPos, keyPos, toeplitz, decay, beta, keyMask,
      initState, initNorm, result, finalState, finalNorm;
  std::optional<Scalar> mu, step;

  /// Fills all of it; whether the kernel is one linear attention and views around it.
  bool read();
  /// Sizes, addresses and numbers in a function of the kernel.
  LinearAttentionValues values(Scope &scope) const;

private:
  bool readStored(mlir::Value tensor, std::optional<Operand> &operand);
  bool readScalar(mlir::Value value, std::optional<Scalar> &scalar);
  bool readOperands();
  bool readResults();
  bool readShape();
  bool readRegions();
  bool readPrices();
};

} // namespace attune::codegen
#endif
