//===- EmaSteps.h - Moving averages that are written step by step -----------------------------===//
//
// A concatenation of steps `h_t = a h_{t-1} + b x_t`, read as `y_t = sum_n c h_t` with tables a, b
// and c of channels and states, perhaps plus a table of channels times x_t. Used by
// `--attune-raise-ema` only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_EMASTEPS_H
#define ATTUNE_PASSES_RAISE_EMASTEPS_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Unrolled.h"

namespace attune {

class EmaSteps {
public:
  EmaSteps(mlir::func::FuncOp func, mlir::tensor::ConcatOp steps)
      : sizes(func), elements(sizes), products(sizes, elements),
        unrolled(sizes, elements, products), steps(steps) {
    elements.setBudget(20000);
  }

  /// False if the steps are no moving average, with a reason if they are a recurrence.
  bool match();
  /// The op, and the tensor that replaces the steps.
  std::pair<EmaOp, mlir::Value> build(mlir::OpBuilder &builder);
  std::string reason;

private:
  using Value = mlir::Value;
  bool refuse(const char *why) {
    reason = why;
    return false;
  }
  bool matchAverage(Value scalar);
  bool matchSkip(Value scalar);
  bool matchAxes();
  bool split(llvm::ArrayRef<Value> factors, llvm::SmallVector<Value> &table);

  Sizes sizes;
  Elements elements;
  Products products;
  Unrolled unrolled;
  mlir::tensor::ConcatOp steps;
  llvm::SmallVector<Value> indices; ///< of the steps; null for unit axes
  Value channel, state, signal;
  llvm::SmallVector<Value> decay, input, output, skip, data;
  IndexGroups groups;
  std::optional<Layout> layout;
};

} // namespace attune
#endif
