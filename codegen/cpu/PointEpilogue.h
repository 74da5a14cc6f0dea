//===- PointEpilogue.h - Elementwise operators behind a kernel's main operator ----------------===//
//
// A kernel of one operator may end in elementwise operators on its result: a gate, a residual, an
// activation. They run on the vectors that the operator computes, before these are stored, so that
// the result never goes to memory unfinished.
//
//   std::optional<PointEpilogue> epilogue = PointEpilogue::match(sizes, op.getResult());   //
//   matches epilogue->emit(scope, lanes, vector, {b, t, Lane::linear(channel)});         // emit
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_POINTEPILOGUE_H
#define ATTUNE_CODEGEN_CPU_POINTEPILOGUE_H

#include "attune/codegen/cpu/Lanes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune::codegen {

class PointEpilogue {
public:
  /// Accepts a kernel whose every yielded value is `root`, a value in `others`, or follows from
  /// `root` by elementwise operators over the same indices, whose other operands are views of
  /// kernel inputs. Does not change the IR.
  static std::optional<PointEpilogue> match(const Sizes &sizes, mlir::Value root,
                                            mlir::ValueRange others = {});

  /// Computes and stores the final values at `point`, one coordinate per axis of the root. The
  /// caller restricts `lanes` where a vector is partial.
  mlir::LogicalResult emit(Scope &scope, Lanes &lanes, const Lane &value,
                           llvm::ArrayRef<Lane> point) const;

  /// The output that holds `value`, one of `others`, and where; nothing if it is not yielded.
  std::optional<std::pair<int64_t, Placement>> placeOf(mlir::Value value) const;
  /// Whether the root is stored as it is, and nothing else follows from it.
  bool isPlain() const { return steps.empty(); }

private:
  bool addValue(const Sizes &sizes, mlir::Value value);

  mlir::Value root;
  llvm::SmallVector<mlir::linalg::GenericOp> steps; ///< operands first
  llvm::SmallVector<std::pair<int64_t, Placement>> outputs;
};

} // namespace attune::codegen
#endif
