#ifndef ATTUNE_PASSES_PASSES_TD
#define ATTUNE_PASSES_PASSES_TD
include "mlir/Pass/PassBase.td"

def Decompose : Pass<"attune-decompose"> {
  let summary = "Replace every attune op by its reference lowering.";
  let description = [{
    Calls `DecomposeOpInterface::decompose` until no such op is left: the always-correct path, the
    oracle of every numeric test and the fall-back of code generation.
  }];
  let dependentDialects = ["::attune::AttuneDialect"];
}

#endif
