//===- Passes.h - Every pass of Attune --------------------------------------------------------===//
#ifndef ATTUNE_PASSES_PASSES_H
#define ATTUNE_PASSES_PASSES_H

#include "attune/dialect/Attune.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"

namespace attune {
#define GEN_PASS_DECL
#include "attune/passes/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "attune/passes/Passes.h.inc"
} // namespace attune
#endif
