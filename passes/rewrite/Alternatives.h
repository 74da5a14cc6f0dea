//===- Alternatives.h - What may stand in place of an operator of a model ---------------------===//
//
// A kind of operators, such as attention, of which an architecture search may put one in place of
// another: same results by type, other functions. `attune-make-choices` sees kinds only through
// `OperatorKind`; a new kind is a file of its own and a line in `operatorKinds`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_REWRITE_ALTERNATIVES_H
#define ATTUNE_PASSES_REWRITE_ALTERNATIVES_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Sizes.h"
#include "mlir/IR/IRMapping.h"

namespace attune {

class OperatorKind {
public:
  /// Where an alternative is built.
  struct Place {
    mlir::OpBuilder &builder; ///< behind everything in the alternative
    mlir::IRMapping &inside;  ///< from operands of the operator to what they are in there
    Sizes &sizes;             ///< of the function around the operator
  };

  virtual ~OperatorKind() = default;
  virtual llvm::StringRef name() const = 0;
  /// The name of what stands in the model, or "" if it is not of this kind.
  virtual llvm::StringRef current(mlir::Operation *op) const = 0;
  virtual bool knows(llvm::StringRef alternative) const = 0;
  /// The names that `knows` accepts, for messages.
  virtual llvm::StringRef accepted() const = 0;
  /// Builds an alternative and returns what it has for the first result of `op`, the only one that
  /// is used; null with a reason, and nothing built, where it cannot stand for this operator.
  virtual mlir::Value build(mlir::Operation *op, llvm::StringRef alternative, const Place &place,
                            std::string &reason) const = 0;
};

const OperatorKind &attentionKind();
llvm::ArrayRef<const OperatorKind *> operatorKinds();

} // namespace attune
#endif
