//===- LinearMatch.h - Linear attention in the forms that exporters write it ------------------===//
//
// Finds sum_j sum_f u(i,f) y(j,f) v(j,e), causal or not, divided by the same sum without v or by
// the number of keys, behind one tensor (the result of a sum or of elementwise operators after
// it), whatever the order of multiplication. Used by `--attune-raise-linear-attention` only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_LINEARMATCH_H
#define ATTUNE_PASSES_RAISE_LINEARMATCH_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/LinearChunks.h"
#include "attune/passes/raise/Unrolled.h"

namespace attune {

class LinearMatch {
public:
  LinearMatch(mlir::func::FuncOp func, mlir::Value root)
      : sizes(func), elements(sizes), products(sizes, elements),
        unrolled(sizes, elements, products), root(root) {
    elements.setBudget(20000);
  }

  enum class Kind {
    Normalised, ///< a denominator belongs to the attention
    Sum,        ///< no denominator, or one that stands elsewhere
    ChunkedSum, ///< the same, in terms for the own chunk and for earlier chunks
    Steps,      ///< a concatenation of steps, with or without denominators
  };
  bool match(Kind kind);
  /// Builds the op in front of the root's operator; returns the root's new value.
  LinearAttentionOp build(mlir::OpBuilder &builder);
  mlir::Value getReplacement() const { return replacement; }

  /// Whether there are steps, written one by one, that carry a state.
  bool hasState() const { return unrolled.foundState(); }

  /// Why something that looked like attention does not match; empty if nothing did.
  std::string reason;
  /// The sums that the op stands for.
  llvm::ArrayRef<mlir::Operation *> sums() const { return replaced.getArrayRef(); }

private:
  using Value = mlir::Value;
  bool refuse(const llvm::Twine &why) {
    reason = why.str();
    return false;
  }
  mlir::AffineExpr extentOf(Value index) {
    if (index == headGroup)
      return headGroups;
    return chunks ? chunks->extentOf(index) : elements.extentOf(index);
  }
  bool isLoad(Value scalar) const { return elements.load(scalar).has_value(); }
  bool rollSteps(Value scalar, Product &product);
  bool joinChunks(Product &product);
  bool joinSplitRows(Product &product);
  bool search(const Product &product, unsigned depth);
  bool prefersFirstAsKey(const Product &product);
  bool searchState(const Product &product);
  bool assignRoles(const Product &product, Value keyIndex, Value featureIndex);
  bool looksLikeAttention();
  bool isNestedSoftmax();
  bool onlyUsers(const Product &product);
  bool matchConditions(const Product &product);
  bool matchDivisors(const Product &product);
  bool matchWeightSum(Value divisor, const Product &product);
  bool matchSum(const Product &sum, const Product &whole, unsigned depth, Product &found);
  bool isCount(Value divisor);
  llvm::SmallVector<Value> weightFactors();
  bool matchRelative();
  std::optional<double> momentumOf(Value scalar);
  Value ofDistance(Value scalar, Value distance);
  Value buildToeplitz(mlir::OpBuilder &builder, mlir::Location loc);

  /// A constant of heads, queries and keys; extent 1 where it does not vary.
  struct Table {
    std::array<int64_t, 3> extents{1, 1, 1};
    bool byHead = false, isSingle = false;
    std::vector<double> values;
  };
  std::optional<Table> readTable(Value factor);
  Value constantOfDistance(const Table &table);
  bool splitTable(const Table &table);
  bool separate(Product product, unsigned depth);
  bool splitWeight(Value factor);
  void matchPositions();
  std::optional<ElementOf> featureTensor(llvm::ArrayRef<Value> factors);
  std::optional<int64_t> termWidth(const ElementOf &element);
  bool splitTerms(llvm::SmallVector<Value> &factors, Value position, Value inner, int64_t numTerms,
                  int64_t width, llvm::SmallVector<Value> &table);
  bool findHeadGroups();
  bool matchOperands();

  /// A tensor operand, and the scalar map that gives the feature of its elements.
  struct Operand {
    Value scalar, base;
    double factor = 1;
    IndexGroups groups;
    std::optional<Layout> layout;
  };
  void matchOperand(Operand &operand, llvm::ArrayRef<Value> factors, bool withMap);
  Value buildOperand(mlir::OpBuilder &builder, mlir::Location loc, const Operand &operand);
  Value buildTable(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<Value> table,
                   Value position);
  Value buildTable(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<double> values,
                   Value position);
  void addMap(mlir::OpBuilder &builder, LinearAttentionOp op, mlir::Region &region,
              const Operand &operand);
  /// Of all values of `indices`, with checks.
  Value materialize(mlir::OpBuilder &builder, mlir::Location loc, Value scalar,
                    llvm::ArrayRef<Value> indices,
                    llvm::ArrayRef<std::pair<Value, mlir::StringAttr>> checks = {});
  Value restoreLayout(mlir::OpBuilder &builder, Value result);

  Sizes sizes;
  Elements elements;
  Products products;
  Unrolled unrolled;
  /// If the queries are cut into chunks.
  std::optional<ChunkJoin> chunks;
  Value root, replacement;
  bool needsNorm = false, decided = false;

  /// Free indices, one per axis of the root; null for unit axes. `splitAxis` of the root and the
  /// next share an index.
  llvm::SmallVector<Value> indices;
  std::optional<unsigned> splitAxis;
  Value row, column, feature, valueDepth;
  /// Position in the Toeplitz coefficients.
  Value offset;
  /// Conditions, on that position, that the coefficients' computation checks.
  llvm::SmallVector<std::pair<Value, mlir::StringAttr>> checks;
  llvm::SmallVector<Value> batch, heads;
  /// The quotient of the head that keys and values depend on, if they are shared by groups of
  /// heads.
  Value headGroup;
  mlir::AffineExpr headGroups;
  llvm::SmallVector<Value> queryFactors, keyFactors, valueFactors, keyScale, keyMasks, relative;
  /// Per term, a scalar of the position.
  llvm::SmallVector<Value> queryTable, keyTable;
  /// Term by term, where the weights are a constant table instead.
  std::vector<double> queryTableValues, keyTableValues;
  Operand query, key, value, mask;
  /// A map of the state, between the sums over keys and over features.
  Operand state;
  bool causal = false, plainDenominator = false;
  std::optional<double> mu;
  Weighting norm = Weighting::None;
  EpsMode epsMode = EpsMode::Add;
  double scale = 1, keyFactor = 1, eps = 0, step = 0;
  llvm::SetVector<mlir::Operation *> replaced;
};

} // namespace attune
#endif
