//===- Support.h - What the implementations of the ops share ----------------------------------===//
//
// Internal to `dialect/`: custom syntax that the generated op definitions call, and the vocabulary
// of reference lowerings.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_DIALECT_OPS_SUPPORT_H
#define ATTUNE_DIALECT_OPS_SUPPORT_H

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/TypeUtilities.h"

namespace attune {

mlir::ParseResult parseAttentionInputs(
    mlir::OpAsmParser &parser, std::optional<mlir::OpAsmParser::UnresolvedOperand> &query,
    mlir::Type &queryType, std::optional<mlir::OpAsmParser::UnresolvedOperand> &key,
    mlir::Type &keyType, mlir::OpAsmParser::UnresolvedOperand &value, mlir::Type &valueType);
void printAttentionInputs(mlir::OpAsmPrinter &printer, AttentionOp op, mlir::Value query,
                          mlir::Type queryType, mlir::Value key, mlir::Type keyType,
                          mlir::Value value, mlir::Type valueType);

/// Type in which values like `value` accumulate: f64 for f64, else f32.
mlir::FloatType getDefaultAccum(mlir::Value value);

/// Replaces the extents that the result types know by constants, as `reifyResultShapes` promises.
void refineShapes(mlir::OpBuilder &builder, mlir::Operation *op,
                  mlir::ReifiedRankedShapedTypeDims &dims);

} // namespace attune
#endif
