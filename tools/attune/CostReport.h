//===- CostReport.h - A predicted call, kernel by kernel, as text and JSON --------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_COSTREPORT_H
#define ATTUNE_TOOLS_ATTUNE_COSTREPORT_H

#include "attune/codegen/Compiler.h"
#include "attune/tools/attune/EnergyChoice.h"
#include "llvm/Support/JSON.h"

namespace attune::tools {

/// The sizes of `--shape` and `--dim` become those of a call; the model keeps its free sizes.
CostRequest takeSizes(CompileOptions &options, unsigned threads);

class CostReport {
public:
  CostReport(const CompileReport &compiled, const ModelCost &cost, EnergyChoice &energy);

  llvm::json::Value toJson() const;
  void print(llvm::raw_ostream &os) const;

private:
  llvm::json::Object callJson(const ModelCost::Call &call, const codegen::Energy &energy) const;
  llvm::json::Value arrayJson() const;

  const CompileReport &compiled;
  const ModelCost &cost;
  const EnergyChoice &choice;
  std::vector<codegen::Energy> energies; ///< by call
  codegen::Energy total;
};

} // namespace attune::tools
#endif
