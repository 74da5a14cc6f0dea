//===- FormCost.h - Prices of an operator's forms ---------------------------------------------===//
//
// The one place where forms meet the cost model: the rewrite stage asks here what a form costs, and
// gets prices as functions of sizes for choices that are left to run time; emitters have such
// prices evaluated here.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_FORMCOST_H
#define ATTUNE_CODEGEN_COST_FORMCOST_H

#include "attune/codegen/cost/Decisions.h"
#include "attune/codegen/cost/Oracle.h"

namespace attune::codegen {

/// Asks an oracle for the work that an operator says it has in a form, on one thread.
class OracleFormPrices final : public FormPrices {
public:
  /// `decisions`: what was measured, and where choices are recorded; may be null.
  explicit OracleFormPrices(const CostOracle &oracle, Decisions *decisions = nullptr)
      : oracle(oracle), decisions(decisions) {}
  double seconds(FormOpInterface op, Form form) const override;
  double seconds(mlir::Operation *op) const override;
  double seconds(const WorkSum &work) const override;
  FormPricesAttr atRunTime(FormOpInterface op, llvm::ArrayRef<Form> forms) const override;
  std::optional<Form> measured(FormOpInterface op) const override;
  void chose(FormOpInterface op, llvm::ArrayRef<Alternative> alternatives) const override;
  std::optional<bool> measuredTogether(const Projections &group) const override;
  void chose(const Projections &group, bool together) const override;

private:
  const CostOracle &oracle;
  Decisions *decisions;
};

/// The value (f64) of one price, with the sizes (index) of this call.
mlir::Value emitPrice(mlir::OpBuilder &builder, mlir::Location loc, mlir::AffineExpr price,
                      mlir::ValueRange sizes);

} // namespace attune::codegen
#endif
