//===- Attune.h - The attune dialect ----------------------------------------------------------===//
//
// The dialect of attention variants, helper operators and fused kernels. Every component of the
// compiler includes this header; `registerAllDialects` gives a context everything that Attune's
// passes read or create.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_DIALECT_ATTUNE_H
#define ATTUNE_DIALECT_ATTUNE_H

#include "attune/dialect/Work.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "attune/dialect/AttuneDialect.h.inc"
#include "attune/dialect/AttuneEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "attune/dialect/AttuneAttrs.h.inc"
#include "attune/dialect/AttuneInterfaces.h.inc"
#define GET_OP_CLASSES
#include "attune/dialect/AttuneOps.h.inc"

namespace attune {

/// Names of attributes on the arguments and results of an imported `func.func`.
inline constexpr llvm::StringLiteral kNameAttr = "attune.name"; ///< ONNX value name
inline constexpr llvm::StringLiteral kDimsAttr =
    "attune.dims"; ///< one symbol per axis, "" if static
inline constexpr llvm::StringLiteral kDtypeAttr =
    "attune.dtype"; ///< if the element type hides it (u8)

/// Registers every dialect and interface implementation that Attune's passes use.
void registerAllDialects(mlir::DialectRegistry &registry);

} // namespace attune
#endif
