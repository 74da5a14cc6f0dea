//===- Support.h - What the implementations of the ops share ----------------------------------===//
//
// Internal to `dialect/`: custom syntax that the generated op definitions call, and what verifiers
// share.
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
#include "llvm/ADT/DenseMap.h"

namespace attune {

mlir::ParseResult parseAttentionInputs(
    mlir::OpAsmParser &parser, std::optional<mlir::OpAsmParser::UnresolvedOperand> &query,
    mlir::Type &queryType, std::optional<mlir::OpAsmParser::UnresolvedOperand> &key,
    mlir::Type &keyType, mlir::OpAsmParser::UnresolvedOperand &value, mlir::Type &valueType);
void printAttentionInputs(mlir::OpAsmPrinter &printer, AttentionOp op, mlir::Value query,
                          mlir::Type queryType, mlir::Value key, mlir::Type keyType,
                          mlir::Value value, mlir::Type valueType);

/// Operands of a momentum update: `%mu, %step : types`, or `%step : type` where mu is computed.
mlir::ParseResult parseMomentum(mlir::OpAsmParser &parser,
                                std::optional<mlir::OpAsmParser::UnresolvedOperand> &mu,
                                mlir::Type &muType,
                                std::optional<mlir::OpAsmParser::UnresolvedOperand> &step,
                                mlir::Type &stepType);
void printMomentum(mlir::OpAsmPrinter &printer, mlir::Operation *op, mlir::Value mu,
                   mlir::Type muType, mlir::Value step, mlir::Type stepType);

mlir::ParseResult
parseAlternatives(mlir::OpAsmParser &parser, mlir::ArrayAttr &names,
                  llvm::SmallVectorImpl<std::unique_ptr<mlir::Region>> &alternatives);
void printAlternatives(mlir::OpAsmPrinter &printer, mlir::Operation *op, mlir::ArrayAttr names,
                       mlir::RegionRange alternatives);

/// Type in which values like `value` accumulate: f64 for f64, else f32.
mlir::FloatType getDefaultAccum(mlir::Value value);

/// Replaces the extents that the result types know by constants, as `reifyResultShapes` promises.
void refineShapes(mlir::OpBuilder &builder, mlir::Operation *op,
                  mlir::ReifiedRankedShapedTypeDims &dims);

/// `count` positions of one axis, from `offset` on.
mlir::Value sliceAxis(mlir::OpBuilder &builder, mlir::Value tensor, int64_t axis,
                      mlir::OpFoldResult offset, mlir::OpFoldResult count);
/// The type with `count` positions on one axis.
mlir::RankedTensorType withExtent(mlir::Type type, int64_t axis, mlir::OpFoldResult count);

/// Adds the product of `input` [B,L,C] with `taps` coefficients that begin at every position, of
/// `kernels` channels: transforms for `Form::Fft` of constant lengths, else one multiply-add per
/// element and coefficient that it meets.
void addConvolutionWork(llvm::SmallVector<WorkTerm> &terms, Form form,
                        llvm::ArrayRef<mlir::OpFoldResult> input, mlir::OpFoldResult taps,
                        mlir::OpFoldResult kernels);

/// Checks shapes against the extents seen so far; the first value that fixes an extent names it.
/// An axis is one letter: equal letters are equal extents.
class ShapeChecker {
public:
  explicit ShapeChecker(mlir::Operation *op) : op(op) {}

  /// `symbols` has one letter per axis. Null values are fine.
  mlir::LogicalResult check(llvm::StringRef name, mlir::Value value, llvm::StringRef symbols);
  /// The extent of `symbol` must be `extent`, which follows from `name`.
  mlir::LogicalResult require(char symbol, int64_t extent, llvm::StringRef name,
                              llvm::StringRef from);
  std::optional<int64_t> get(char symbol);

private:
  mlir::Operation *op;
  llvm::SmallDenseMap<char, std::pair<int64_t, llvm::StringRef>> extents;
};

using NamedValue = std::pair<llvm::StringRef, mlir::Value>;

/// Values (null ones are fine) must have float types or float elements.
mlir::LogicalResult verifyFloats(mlir::Operation *op, llvm::ArrayRef<NamedValue> values);

/// Query heads must be a multiple of key heads, where both are known.
mlir::LogicalResult verifyHeadGroups(mlir::Operation *op, std::optional<int64_t> heads,
                                     std::optional<int64_t> kvHeads);

/// A region that loops can inline anywhere: empty, or one block with arguments of types `args` and
/// pure scalar computation that yields one value of type `yielded`.
mlir::LogicalResult verifyScalarRegion(mlir::Operation *op, llvm::StringRef name,
                                       mlir::Region &region, mlir::TypeRange args,
                                       mlir::Type yielded);

} // namespace attune
#endif
