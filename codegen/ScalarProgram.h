//===- ScalarProgram.h - Index arithmetic as scalar instructions ------------------------------===//
//
// Turns the index values of the host function into the `scalars` of a Program: hash-consed,
// constants folded, in an order in which every operand precedes its user.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_SCALARPROGRAM_H
#define ATTUNE_CODEGEN_SCALARPROGRAM_H

#include "attune/codegen/Program.h"
#include "attune/passes/fuse/Dims.h"

#include <map>
#include <set>

namespace attune::codegen {

class ScalarProgram {
public:
  ScalarProgram(Program &program, mlir::func::FuncOp func);

  /// Whether the host program computes this operator as scalars.
  static bool accepts(mlir::Operation *op);

  int64_t constant(int64_t value);
  int64_t argumentDim(int64_t argument, int64_t axis);
  int64_t instruction(llvm::StringRef op, std::vector<int64_t> operands);
  llvm::FailureOr<int64_t> get(mlir::Value value);
  llvm::FailureOr<int64_t> get(mlir::OpFoldResult value);
  /// A block argument of a kernel has the value of its operand.
  void assume(mlir::Value argument, mlir::Value operand);
  llvm::FailureOr<std::vector<int64_t>> shapeOf(mlir::Value tensor);

  /// The scalar that a `load` step defines for `value`.
  int64_t loaded(mlir::Value value);
  bool dependsOnLoad(mlir::Value value);

  /// An index value of the function that stands for the number of threads.
  mlir::Value threads();

private:
  llvm::FailureOr<int64_t> compute(mlir::Operation *op);
  /// Room along the axis of an output that is the front of a buffer.
  llvm::FailureOr<int64_t> outputCapacity(int64_t output, int64_t axis);
  llvm::FailureOr<int64_t> apply(mlir::AffineExpr expr, llvm::ArrayRef<int64_t> dims,
                                 llvm::ArrayRef<int64_t> symbols);
  int64_t emit(llvm::StringRef op, std::vector<int64_t> operands);

  Program &program;
  mlir::func::FuncOp func;
  DimResolver extents;
  mlir::Value threadsValue;
  llvm::DenseMap<mlir::Value, int64_t> known;
  std::map<std::pair<std::string, std::vector<int64_t>>, int64_t> numbered;
  std::set<int64_t> loads; ///< scalars that depend on a load
};

} // namespace attune::codegen
#endif
