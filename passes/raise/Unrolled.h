//===- Unrolled.h - Recurrences whose steps an exporter wrote one by one ----------------------===//
//
// An element of a concatenation of steps, as one scalar with the step as a free index. Steps are
// compared operator by operator; where they differ by their number alone, that becomes the index.
// What steps take over from earlier ones must be linear: a sum of what each step so far adds, with
// weights that depend on the distance alone. Such a sum, and a reduction over one axis of a product
// with it, stands in the scalar as an unknown. Linear in the number of steps but for the weights.
//
//   Unrolled unrolled(sizes, elements, products);
//   Value y = unrolled.roll(elements.at(concat, {b, i, e}));  // e.g. unknown / (unknown + eps)
//   unrolled.sum(unknown);       // sum_f q(i,f) sum_{j <= i} weight(i-j) k(j,f) v(j,e)
//
// Used by the raises of linear attention and of moving averages.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_RAISE_UNROLLED_H
#define ATTUNE_PASSES_RAISE_UNROLLED_H

#include "attune/passes/raise/LinearProduct.h"

namespace attune {

/// sum over j <= i of weights[i - j] * decay^(i - j) * unit, where `unit` depends on the step j.
struct StepHistory {
  mlir::Value unit;
  std::vector<double> weights;
  mlir::Value decay; ///< null for 1
};

class Unrolled {
public:
  Unrolled(Sizes &sizes, Elements &elements, Products &products)
      : sizes(sizes), elements(elements), products(products) {}

  /// The scalar with every element of a concatenation of steps rolled; null if there is none, or
  /// one that cannot be.
  mlir::Value roll(mlir::Value scalar);
  /// The free index of steps, and the one of steps that are summed.
  mlir::Value step, earlier;
  bool isUnknown(mlir::Value scalar) const { return sums.contains(scalar); }
  bool hasUnknown(mlir::Value scalar);

  /// What an unknown stands for: a sum over `inner` (null: no sum) of factor * prod(factors) times
  /// a history, whose unit has `earlier` as step.
  struct Sum {
    mlir::Value inner;
    double factor = 1;
    llvm::SmallVector<mlir::Value> factors;
    StepHistory history;
  };
  std::optional<Sum> sum(mlir::Value unknown);
  /// The sum as a product over `earlier` and `inner`, if its weights are constant or follow
  /// momentum.
  std::optional<Product> product(mlir::Value unknown);
  /// Whether steps take something over from earlier ones.
  bool foundState() const { return state; }
  std::string reason;

private:
  using Value = mlir::Value;
  /// Steps with coefficients: scale * decay^power.
  struct Share {
    unsigned unit;
    double scale;
    int64_t power;
  };
  using Shares = std::vector<Share>;

  Value rollSteps(llvm::ArrayRef<Value> steps);
  Value rollNumbers(llvm::ArrayRef<Value> steps);
  Value rollSources(llvm::ArrayRef<Value> steps);
  Value rollOperands(llvm::ArrayRef<Value> steps);
  unsigned likeness(Value a, Value b);
  Value rollReductions(llvm::ArrayRef<Value> steps);
  Value rollHistory(llvm::ArrayRef<Value> steps);
  Value innerIndex(mlir::AffineExpr extent);

  /// Of the scalars of one history: which step made them, and what steps share.
  struct Steps {
    llvm::DenseMap<Value, unsigned> first, used;
    llvm::DenseSet<Value> shared;
    llvm::DenseMap<Value, bool> carries;
    llvm::DenseMap<Value, Shares> shares;
    llvm::SmallVector<Value> units;
    Value decay;
  };
  Steps follow(llvm::ArrayRef<Value> steps);
  bool isCarried(Steps &steps, Value scalar, unsigned step);
  bool carries(Steps &steps, Value scalar);
  std::optional<Shares> sharesOf(Steps &steps, Value scalar);

  Sizes &sizes;
  Elements &elements;
  Products &products;
  llvm::DenseMap<Value, StepHistory> histories;
  /// The reduced scalar and its index.
  llvm::DenseMap<Value, std::pair<Value, Value>> sums;
  llvm::SmallVector<Value> inner;
  bool state = false;
};

} // namespace attune
#endif
