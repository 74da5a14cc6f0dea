//===- MapMixMatch.h - Mixing of attention maps in the forms that exporters write it ----------===//
//
// Finds (maps, blend with previous maps, convolutions or products over the map axis, biases,
// activations, blend with the input) in front of a softmax, or between a softmax and the values, on
// the scalars of `Elements`. Used by `--attune-raise-map-mix` only.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_MAPMIXMATCH_H
#define ATTUNE_PASSES_RAISE_MAPMIXMATCH_H

#include "attune/dialect/Attune.h"
#include "attune/passes/raise/Match.h"

namespace attune {

class MapMixMatch {
public:
  /// `root` is the input of a softmax, or what is multiplied with the values.
  MapMixMatch(mlir::func::FuncOp func, mlir::Value root)
      : sizes(func), elements(sizes), root(root) {}

  enum class Result { NoMix, Refused, Matched };
  /// After Refused, `reason` is set.
  Result match();
  /// Replaces the mixed maps.
  MapMixOp build(mlir::OpBuilder &builder);
  /// Whether the maps are the probabilities of a softmax over their last axis.
  bool mixesProbabilities() const;
  std::string reason;

private:
  using Value = mlir::Value;
  /// A product with weights: a convolution of maps or a contraction over them.
  struct Product {
    Value maps;   ///< [B,C,N,M]
    Value weight; ///< [O,C/groups,P,Q], [O,C] or (transposed) [C,O]
    bool transposed = false;
    int64_t groups = 1, dilation = 1;
  };
  struct Stage {
    Product product;
    Value bias; ///< of O elements, or null
    MapAct act = MapAct::None;
    double slope = 0;
  };
  struct Term {
    Value scalar;
    double factor;
  };
  using Terms = llvm::SmallVector<Term>;

  bool refuse(const llvm::Twine &why) {
    reason = why.str();
    return false;
  }
  Result matchMixed();
  Value withoutMask(Value score);
  /// The stage that made a tensor, and what is added to it; false (no reason) if none did.
  bool parseStage(Value tensor, Stage &stage, double &factor, Terms &rest);
  bool matchActivation(Value scalar, Value load, Stage &stage, Value &inner);
  /// Maps that a product gives.
  static int64_t channelsOf(const Product &product);
  bool matchBias(Terms &terms, Value load, double factor, Stage &stage);
  std::optional<Product> matchProduct(Value load);
  std::optional<Product> matchConvolution(const ElementOf &element, Value load);
  std::optional<Product> matchHeadProduct(const ElementOf &element);
  bool matchRest(double factor, const Terms &rest);
  void matchBlend();
  void addTerms(Value scalar, double factor, Terms &terms);
  bool isAt(llvm::ArrayRef<Value> indices, llvm::ArrayRef<Value> wanted);
  llvm::SmallVector<Value> indicesOf(Value tensor);
  Value constantOf(mlir::OpBuilder &builder, Value tensor, mlir::RankedTensorType type,
                   bool transposed, double scale);

  Sizes sizes;
  Elements elements;
  Value root;
  llvm::SmallVector<Value> indices; ///< b, h, n, m of the mixed maps
  llvm::SmallVector<Value> at;      ///< of the tensor that is being parsed
  Value mixed, maps, previous;
  std::vector<Stage> stages; ///< last first
  double alpha = 1, beta = 0, scale = 1;
};

} // namespace attune
#endif
