//===- Reduce.h - Reductions of linalg generics on vector accumulators ------------------------===//
//
// Recognises bodies of the form `yield combine(accumulator, f(inputs))` with an associative
// combiner, and builds accumulators, their merging and the reduction over lanes. The order of all
// operations is fixed when code is generated.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_REDUCE_H
#define ATTUNE_CODEGEN_CPU_REDUCE_H

#include "attune/codegen/cpu/KernelBuilder.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <optional>

namespace attune::codegen {

struct Reduction {
  mlir::Operation *combiner; ///< the scalar op in the body
  mlir::Value element;       ///< its operand that is not the accumulator
  bool idempotent;           ///< combine(x, x) = x: an accumulator may start from the initial value

  static std::optional<Reduction> match(mlir::linalg::LinalgOp op, unsigned result);
  mlir::Type type() const { return element.getType(); }

  /// What accumulators of `lanes` lanes start from; `initial` is the reduction's scalar init.
  mlir::Value start(KernelBuilder &kb, mlir::Value initial, int64_t lanes) const;
  mlir::Value combine(KernelBuilder &kb, mlir::Value x, mlir::Value y) const;
  /// Pairwise over accumulators, which become one value.
  mlir::Value merge(KernelBuilder &kb, llvm::ArrayRef<mlir::Value> accumulators) const;
  /// Halves a vector until one lane is left.
  mlir::Value acrossLanes(KernelBuilder &kb, mlir::Value vector) const;
};

} // namespace attune::codegen
#endif
