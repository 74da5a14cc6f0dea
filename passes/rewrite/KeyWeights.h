//===- KeyWeights.h - Scores and masks that are weights of keys -------------------------------===//
//
// A softmax multiplies the weight of a key by exp(c) where its score has an addend c, and by 0
// where a mask hides it. If that depends on the batch and the key only, other attentions can carry
// it, as a factor per key; so can they a mask that hides the future.
//
//   std::optional<KeyWeights> weights = KeyWeights::read(attention, reason);
//   Value factors = weights->build(builder, loc, key, captures, f32);   // [B, M], null: all are 1
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_REWRITE_KEYWEIGHTS_H
#define ATTUNE_PASSES_REWRITE_KEYWEIGHTS_H

#include "attune/dialect/Attune.h"

namespace attune {

class KeyWeights {
public:
  /// Nothing, with the reason, where score or mask say more than that.
  static std::optional<KeyWeights> read(AttentionOp op, std::string &reason);

  /// Whether keys behind the query (by position in the call) are hidden.
  bool isCausal() const { return causal; }
  /// `key` and `captures` are what the operands are where the factors are needed.
  mlir::Value build(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value key,
                    mlir::ValueRange captures, mlir::FloatType type);

private:
  explicit KeyWeights(AttentionOp op) : op(op) {}
  bool readScore(mlir::Value value, unsigned &dots);
  bool readAddend(mlir::Value value);
  bool readCondition(mlir::Value value, bool negated);
  bool isPast(mlir::Value condition, bool negated);
  /// Whether a scalar of a region depends on more than batch, key and captures.
  bool dependsOnQuery(mlir::Value value);

  struct Condition {
    mlir::Value value;
    bool negated;
  };
  AttentionOp op;
  bool causal = false;
  llvm::SmallVector<Condition> conditions; ///< of keys that are seen
  llvm::SmallVector<mlir::Value> addends;
};

} // namespace attune
#endif
