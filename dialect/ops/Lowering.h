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
  /// A copy of `tensor` with the type of `like`: elements cast, extents as known there.
  mlir::Value castElements(mlir::Value tensor, mlir::Value like);
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
  /// As `accumulate` of `lhs` and `grouped` [B,Hk,...], with query heads in groups: at loops (b, h)
  /// of `heads` heads, the element of head `h div (heads / Hk)` and of the loops `inner`.
  mlir::Value accumulateGrouped(mlir::Value lhs, mlir::AffineMap lhsMap, mlir::Value grouped,
                                llvm::ArrayRef<int64_t> inner, mlir::OpFoldResult heads,
                                mlir::Value init, mlir::AffineMap outMap, Body body);
  /// The extent that these axes of operands and results of `op` share, static if any type knows it.
  mlir::OpFoldResult extent(mlir::Operation *op,
                            llvm::ArrayRef<std::pair<mlir::Value, int64_t>> candidates);
  /// `tensor` at position `at` of `axis`, which goes away.
  mlir::Value sliceAt(mlir::Value tensor, int64_t axis, mlir::OpFoldResult at);
  /// `tensor` with `slice` at position `at` of `axis`.
  mlir::Value insertAt(mlir::Value slice, mlir::Value tensor, int64_t axis, mlir::OpFoldResult at);
  /// The value that a region of one block yields for `args`.
  mlir::Value inlineBody(mlir::Region &region, mlir::ValueRange args);
  /// Inside a body: the number of the current iteration.
  mlir::Value loop(int64_t number);
};

} // namespace attune
#endif
