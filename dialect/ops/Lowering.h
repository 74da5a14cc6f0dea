//===- Lowering.h - Vocabulary of reference lowerings -----------------------------------------===//
//
// A thin layer over `linalg.generic` for the `decompose` methods. Extents are `OpFoldResult`s, so
// static and dynamic shapes take the same path. Internal to `dialect/`.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_DIALECT_OPS_LOWERING_H
#define ATTUNE_DIALECT_OPS_LOWERING_H

#include "attune/dialect/ops/Support.h"

namespace attune {

class Lowering {
public:
  using Shape = llvm::SmallVector<mlir::OpFoldResult>;
  using Body = llvm::function_ref<mlir::Value(mlir::ValueRange)>;

  Lowering(mlir::OpBuilder &builder, mlir::Location loc) : builder(builder), loc(loc) {}

  mlir::OpBuilder &builder;
  mlir::Location loc;

  /// Scalars.
  mlir::Value constant(mlir::Type type, double value);
  mlir::Value index(int64_t value) { return constant(builder.getIndexType(), value); }
  mlir::Value index(mlir::OpFoldResult value);
  /// Between float types, of any widths.
  mlir::Value cast(mlir::Value value, mlir::FloatType type);
  /// An integer or index as a float.
  mlir::Value toFloat(mlir::Value index, mlir::FloatType type);
  mlir::Value toIndex(mlir::Value integer);
  template <class Op, class... Args> mlir::Value op(Args &&...args) {
    return Op::create(builder, loc, std::forward<Args>(args)...);
  }
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, mlir::Value lhs, mlir::Value rhs);
  mlir::Value isMinusInfinity(mlir::Value value);
  mlir::Value select(mlir::Value condition, mlir::Value yes, mlir::Value no);

  /// Tensors.
  Shape sizes(mlir::Value tensor) { return mlir::tensor::getMixedSizes(builder, loc, tensor); }
  mlir::Value fill(llvm::ArrayRef<mlir::OpFoldResult> shape, mlir::Value scalar);
  mlir::Value castTo(mlir::Value tensor, mlir::Type type);
  mlir::AffineExpr d(int64_t loop) { return builder.getAffineDimExpr(loop); }
  mlir::AffineMap map(int64_t loops, llvm::ArrayRef<mlir::AffineExpr> exprs) {
    return mlir::AffineMap::get(loops, 0, exprs, builder.getContext());
  }
  /// The first `results` of `loops` loops.
  mlir::AffineMap prefix(int64_t loops, int64_t results);

  /// A new tensor: `body` of the elements of `inputs` at `maps`, for each point of `shape`.
  mlir::Value elementwise(mlir::ValueRange inputs, llvm::ArrayRef<mlir::AffineMap> maps,
                          llvm::ArrayRef<mlir::OpFoldResult> shape, mlir::Type element, Body body);
  /// `init` updated by `body`, whose last argument is the old element. Loops that `outMap` does not
  /// use are reductions.
  mlir::Value accumulate(mlir::ValueRange inputs, llvm::ArrayRef<mlir::AffineMap> maps,
                         mlir::Value init, mlir::AffineMap outMap, Body body);
  /// Inside a body: the number of the current iteration.
  mlir::Value loop(int64_t number);
};

} // namespace attune
#endif
