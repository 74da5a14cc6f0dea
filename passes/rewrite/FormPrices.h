//===- FormPrices.h - What the rewrite stage asks of the cost model ---------------------------===//
//
// The rewrite stage sees the cost model through this interface only: what an operator costs in a
// form, what a kernel costs that is not there yet, and how prices depend on sizes of a call.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_PASSES_REWRITE_FORMPRICES_H
#define ATTUNE_PASSES_REWRITE_FORMPRICES_H

#include "attune/dialect/Attune.h"

namespace attune {

/// Work with numbers for sizes: operations of each class (of 32 bits; narrower integers take as
/// many times fewer), and bytes of operands and results.
struct WorkSum {
  double fma = 0, arithmetic = 0, transcendental = 0, bytes = 0;
  double multiply = 0, shift = 0, distance = 0;
  double operations() const {
    return fma + arithmetic + transcendental + multiply + shift + distance;
  }
  void add(const WorkSum &other) {
    fma += other.fma;
    arithmetic += other.arithmetic;
    transcendental += other.transcendental;
    bytes += other.bytes;
    multiply += other.multiply;
    shift += other.shift;
    distance += other.distance;
  }
};

/// What a size that is not static counts as: a batch of 1 (first axes), 512 positions (others).
inline int64_t nominalExtent(mlir::RankedTensorType type, int64_t axis) {
  if (type.isDynamicDim(axis))
    return axis == 0 ? 1 : 512;
  return type.getDimSize(axis);
}

/// All prices are seconds on one core.
class FormPrices {
public:
  virtual ~FormPrices() = default;
  /// An operator in one of its forms, at nominal sizes.
  virtual double seconds(FormOpInterface op, Form form) const = 0;
  /// Any operator on tensors as a kernel of its own, at nominal sizes.
  virtual double seconds(mlir::Operation *op) const = 0;
  /// A kernel with this work.
  virtual double seconds(const WorkSum &work) const = 0;
  /// The prices of forms as functions of the sizes that are not static.
  virtual FormPricesAttr atRunTime(FormOpInterface op, llvm::ArrayRef<Form> forms) const = 0;

  /// The form that was the fastest when this operator was measured at its sizes, if it was.
  virtual std::optional<Form> measured(FormOpInterface op) const { return std::nullopt; }
  /// Told of every choice of an operator's form, with the seconds of its forms.
  struct Alternative {
    Form form;
    double seconds;
  };
  virtual void chose(FormOpInterface op, llvm::ArrayRef<Alternative> alternatives) const {}

  /// Products of one operand, with what follows them, that may be computed as one.
  struct Projections {
    llvm::SmallVector<mlir::Operation *> ops;
    mlir::Type weight;      ///< of an element as it is stored
    double together, apart; ///< seconds
  };
  /// Whether they were faster as one when they were measured at their sizes, if they were.
  virtual std::optional<bool> measuredTogether(const Projections &group) const {
    return std::nullopt;
  }
  /// Told of every choice before the operators change.
  virtual void chose(const Projections &group, bool together) const {}
};

/// The cheapest form at a batch of 1 (first axes) and so many positions (other axes).
Form cheapestForm(FormPricesAttr prices, int64_t positions);
/// The cheapest form where the sizes of the prices have these values.
Form cheapestForm(FormPricesAttr prices, llvm::ArrayRef<double> sizes);
/// As "quadratic, linear from 128 positions on".
std::string describeChoice(FormPricesAttr prices);
/// Without forms that cost at least as much as another one at all sizes.
FormPricesAttr withoutDominated(FormPricesAttr prices);

} // namespace attune
#endif
