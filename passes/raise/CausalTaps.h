//===- CausalTaps.h - Depthwise convolutions over the past ------------------------------------===//
//
// A depthwise convolution along one axis whose padding lies in front, so that output t sees input t
// and the taps - 1 before it, as an attune.toeplitz.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_CAUSALTAPS_H
#define ATTUNE_PASSES_RAISE_CAUSALTAPS_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Match.h"

namespace attune {

class CausalTaps {
public:
  CausalTaps(mlir::func::FuncOp func, mlir::linalg::GenericOp op)
      : sizes(func), elements(sizes), op(op) {}

  /// False if the operator is no depthwise convolution along one axis, or if `reason` is set.
  bool match();
  /// Replaces the operator's uses.
  ToeplitzOp build(mlir::OpBuilder &builder);

  std::string reason;

private:
  bool readMaps();
  bool readSignal();

  Sizes sizes;
  Elements elements;
  mlir::linalg::GenericOp op;
  mlir::OpOperand *input = nullptr, *weights = nullptr;
  unsigned time = 0, tap = 0; ///< loops
  llvm::SmallVector<mlir::Value> ofLoop;
  mlir::Value position, difference, coefficient, channel;
  llvm::SmallVector<mlir::Value> batch;
  IndexGroups groups; ///< of the input
  std::optional<Layout> layout;
};

} // namespace attune
#endif
