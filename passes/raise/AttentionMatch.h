//===- AttentionMatch.h - Softmax attention in the form that exporters write it
//--------------------===//
//
// Finds (contraction of queries and keys, factors, bias, masks, softmax, guard, contraction with
// values) in front of a contraction, on the scalars of `Elements`, so for any arrangement of
// transposes, reshapes, factors and masks. Used by `--attune-raise-attention` only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_ATTENTIONMATCH_H
#define ATTUNE_PASSES_RAISE_ATTENTIONMATCH_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Match.h"

namespace attune {

class AttentionMatch {
public:
  AttentionMatch(mlir::func::FuncOp func, Contraction output, unsigned weightsOperand)
      : sizes(func), elements(sizes), output(output), side(weightsOperand) {}

  enum class Result { NoAttention, Refused, Matched };
  /// After Refused, `reason` and `softmax` are set.
  Result match();
  /// Builds the op in front of the output contraction and replaces that contraction's result.
  AttentionOp build(mlir::OpBuilder &builder);

  std::string reason;
  mlir::linalg::SoftmaxOp softmax;
  /// Every operator that the raised op stands for.
  llvm::SetVector<mlir::Operation *> replaced;

private:
  using Value = mlir::Value;
  bool refuse(const llvm::Twine &why) {
    reason = why.str();
    return false;
  }
  mlir::AffineExpr extentOf(Value index);
  bool findSoftmax();
  bool matchGuard();
  bool matchSink();
  bool isRowMaximum(Value scalar);
  bool matchScores();
  bool matchRoles();
  bool matchOperands();
  bool matchRegions();
  bool onlyUsers();
  bool alwaysKeepsKey(Value condition);
  Value finiteMask(Value score);
  void addRegions(mlir::OpBuilder &builder, AttentionOp op, class RegionBuilder &region);
  Value restoreLayout(mlir::OpBuilder &builder, Value result);

  Sizes sizes;
  Elements elements;
  Contraction output, scores;
  unsigned side, keySide = 1;

  /// Free indices: one per axis of the weights; `column` runs over keys.
  llvm::SmallVector<Value> indices;
  Value column, row, depth, valueDepth;
  llvm::SmallVector<Value> batch, heads, keyHeads, valueHeads;
  Value rowShift, keptAfter;
  Value weights, loaded, score, dot, allowed, sink, query, key, value;
  llvm::DenseMap<Value, mlir::AffineExpr> derived;
  std::optional<Layout> queryLayout, keyLayout, valueLayout, sinkLayout;
  IndexGroups queryGroups, keyGroups, valueGroups;
  double scale = 1;
  bool hasSink = false;
  EmptyRow emptyRow = EmptyRow::NaN;
};

} // namespace attune
#endif
