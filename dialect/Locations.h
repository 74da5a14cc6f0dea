//===- Locations.h - ONNX node names in locations ---------------------------------------------===//
#ifndef ATTUNE_DIALECT_LOCATIONS_H
#define ATTUNE_DIALECT_LOCATIONS_H

#include "mlir/IR/Location.h"

#include <string>
#include <vector>

namespace attune {

/// Appends the ONNX node names that a (fused) location carries, each once, in order.
void collectNodeNames(mlir::Location loc, std::vector<std::string> &names);

} // namespace attune
#endif
