//===- FormCost.h - Prices of an operator's forms ---------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_COST_FORMCOST_H
#define ATTUNE_CODEGEN_COST_FORMCOST_H

#include "attune/codegen/cost/Oracle.h"
#include "attune/passes/rewrite/FormPrices.h"

namespace attune::codegen {

/// Asks an oracle for the work that an operator says it has in a form, on one thread.
class OracleFormPrices final : public FormPrices {
public:
  explicit OracleFormPrices(const CostOracle &oracle) : oracle(oracle) {}
  double seconds(FormOpInterface op, Form form) const override;

private:
  const CostOracle &oracle;
};

} // namespace attune::codegen
#endif
