//===- Rewrite.h - The rewrite stage's use of the cost model ----------------------------------===//
#ifndef ATTUNE_PASSES_REWRITE_REWRITE_H
#define ATTUNE_PASSES_REWRITE_REWRITE_H

#include "attune/passes/Passes.h"
#include "attune/passes/rewrite/FormPrices.h"

namespace attune {

/// Passes with prices, or null; they must outlive the pass.
std::unique_ptr<mlir::Pass> createChooseForms(ChooseFormsOptions options, const FormPrices *prices);
std::unique_ptr<mlir::Pass> createMergeProjections(const FormPrices *prices);
std::unique_ptr<mlir::Pass> createRowDemand(const FormPrices *prices);

} // namespace attune
#endif
