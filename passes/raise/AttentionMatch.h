//===- AttentionMatch.h - Attention in the form that exporters write it -----------------------===//
//
// Finds (contraction of queries and keys, factors, bias, masks, softmax, guard or any other map of
// single probabilities, contraction with values) in front of a contraction, on the scalars of
// `Elements`, so for any arrangement of transposes, reshapes, factors and masks. Without a softmax,
// the weights are any function of the scores, as they are or divided by their sum
// (AttentionWeights.cpp). Used by `--attune-raise-attention` only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_ATTENTIONMATCH_H
#define ATTUNE_PASSES_RAISE_ATTENTIONMATCH_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Match.h"

namespace attune {

class AttentionMatch {
public:
  /// `keepScores`: others use the scores, so they are computed anyway and given to the attention.
  AttentionMatch(mlir::func::FuncOp func, Contraction output, unsigned weightsOperand,
                 bool keepScores = false)
      : sizes(func), elements(sizes), output(output), side(weightsOperand), keepScores(keepScores) {
  }

  enum class Result { NoAttention, Refused, Matched };
  /// After Refused, `reason` and `getLoc()` are set.
  Result match();
  /// The softmax, or the contraction of the scores.
  mlir::Location getLoc();
  /// Builds the op in front of the output contraction and replaces that contraction's result.
  AttentionOp build(mlir::OpBuilder &builder);

  std::string reason;
  /// It was refused only because others use the scores.
  bool scoresShared = false;
  /// It is none, because the weights read several probabilities.
  bool combinesProbabilities = false;
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
  bool findColumn();
  bool findSoftmax();
  bool matchGuard();
  bool matchSink();
  bool matchSinkLayout();
  bool matchExponentials();
  bool isRowMaximum(Value scalar);
  bool matchScores();
  bool matchContractionRoles();
  bool matchRoles();
  bool matchOperands();
  bool matchGivenScores();
  bool matchKept();
  bool readsOtherScores(mlir::Value scalar);
  bool matchRegions();
  bool onlyUsers();
  /// Whether adding the constant to `kept` gives the constant again, but for rounding.
  bool isNever(double constant, Value kept);

  // Between the softmax and the values.
  Value stripWeightFactors(Value weight);
  bool takeMap();
  bool matchFactors();
  Value scaled(mlir::OpBuilder &builder, mlir::Location loc, Value tensor,
               llvm::ArrayRef<Value> inHeads, Value position, llvm::ArrayRef<Value> factors,
               Value kept = {});
  Value withoutChannels(mlir::OpBuilder &builder, mlir::Location loc, Value values);
  /// Whether all scores of a row may be so great that the logarithm of its sum is lost in rounding,
  /// like those of a row whose every key a mask of -1e9 hides.
  bool mayHideSums();
  AttentionOp addRelativeSums(mlir::OpBuilder &builder, AttentionOp op);
  void addProbabilityRegion(mlir::OpBuilder &builder, AttentionOp op, class RegionBuilder &region,
                            size_t parts);

  // Weights without a softmax.
  bool findWeights();
  bool isWorthwhile();
  bool matchQuotient();
  bool matchTotal(Value quotient, Value weight);
  bool matchWeightRegions();
  bool splitWeightMask();
  bool vanishes(Value scalar, Value part, Value constant);
  bool alwaysKeepsKey(Value condition);
  Value finiteMask(Value score);
  Value buildSink(mlir::OpBuilder &builder, mlir::Location loc, Value rows, mlir::Type type);
  void mapIndices(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<Value> group,
                  Value position, mlir::IRMapping &map);
  void startRegion(mlir::OpBuilder &builder, AttentionOp op, const AttentionOp::RegionArgs &args,
                   class RegionBuilder &region);
  void addRegions(mlir::OpBuilder &builder, AttentionOp op, class RegionBuilder &region);
  Value restoreLayout(mlir::OpBuilder &builder, Value result);

  Sizes sizes;
  Elements elements;
  Contraction output;
  std::optional<Contraction> scores;
  unsigned side, keySide = 1;
  bool keepScores;
  /// The operator whose result the attention replaces: `output`, or a division behind it.
  mlir::Operation *end = nullptr;

  /// Free indices: one per axis of the weights; `column` runs over keys.
  llvm::SmallVector<Value> indices;
  Value column, row;
  llvm::SmallVector<Value> batch, heads, depth, valueDepth;
  /// Indices of the output contraction's loops.
  llvm::SmallVector<Value> outputLoops;
  Value rowShift, keptAfter;
  Value weights, loaded, score, dot, allowed, sink, query, key, value;
  /// An exponential that is added to the sum of the weights, or null.
  Value beside;
  /// Rows for which this does not hold are 0, whatever the attention gives; null: none.
  Value keptRows;
  /// A map of `loaded` that is more than factors, or null.
  Value probability;
  llvm::SmallVector<Value> weightFactors, resultFactors, valueFactors;
  llvm::DenseMap<Value, mlir::AffineExpr> derived;
  /// The tensor that holds `dot`: the result of `scores`, or scores from elsewhere.
  Value source;
  std::optional<Layout> queryLayout, keyLayout, valueLayout, sinkLayout, scoresLayout;
  IndexGroups queryGroups, keyGroups, valueGroups, scoresGroups;
  double scale = 1, eps = 0;
  bool hasSink = false;
  /// Without a softmax: whether the weights are a multiple of the scores.
  bool multiple = false;
  Weighting weighting = Weighting::Softmax;
  EpsMode epsMode = EpsMode::Add;
  EmptyRow emptyRow = EmptyRow::NaN;
};

/// Additive finite masks below this are taken as "never", where a row surely keeps another key.
constexpr double kNever = -1e9;
/// Scores may be this large for that.
constexpr double kOrdinary = 1e4;
/// True if the scalar stays far from the values of finite masks, provided that `dot` does: it holds
/// no constant beyond `most`.
bool isOrdinary(mlir::Value scalar, mlir::Value dot, double most = kOrdinary);

/// The value in another float type.
mlir::Value convertFloat(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value,
                         mlir::Type type);

} // namespace attune
#endif
