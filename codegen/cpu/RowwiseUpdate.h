//===- RowwiseUpdate.h - Results that are an input with some elements replaced ----------------===//
//
// A cache of fixed size with new entries (ONNX TensorScatter) is `select(is new, new, old)` for
// every element. If the result lies in the memory of the input, only new elements need be stored.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_CPU_ROWWISEUPDATE_H
#define ATTUNE_CODEGEN_CPU_ROWWISEUPDATE_H

#include "attune/codegen/cpu/Views.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attune::codegen {

struct RowwiseUpdate {
  mlir::linalg::GenericOp op;
  mlir::Value condition; ///< in the op's body (i1)
  bool isNew;            ///< its value where the element is new
  int64_t input;         ///< whose elements the others are
  /// They lie at the same offsets if `extent` and `grown`, those of input and result along `axis`,
  /// are equal: the input may be padded at its end.
  int64_t axis = 0;
  Size extent = {}, grown = {};

  /// Nothing if `place` is something else.
  static std::optional<RowwiseUpdate> match(const Sizes &sizes, const Placement &place);
};

} // namespace attune::codegen
#endif
