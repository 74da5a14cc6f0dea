#ifndef ATTUNE_PASSES_PASSES_TD
#define ATTUNE_PASSES_PASSES_TD
include "attune/passes/canonicalize/Passes.td"
include "attune/passes/fuse/Passes.td"
include "attune/passes/lower/Passes.td"
include "attune/passes/raise/Passes.td"
include "attune/passes/rewrite/Passes.td"
include "mlir/Pass/PassBase.td"

def VerifyStage : Pass<"attune-verify-stage"> {
  let summary = "Check that a stage leaves only the dialects of its contract.";
  let description = [{
    A leak is reported where it happens, with the operator and the ONNX node's name, not as a failure
    to legalise many passes later. Regions of `attune.kernel` are not looked into.
  }];
  let options = [
    Option<"stage", "stage", "std::string", /*default=*/"", "name for the message">,
    ListOption<"allowed", "allowed", "std::string", "dialect namespaces or operator names">
  ];
}

#endif
