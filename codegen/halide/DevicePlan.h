//===- DevicePlan.h - Where the values of a region are computed on a device -------------------===//
//
// The plan of a kernel for an OpenCL device. There are two places only: a root is computed by a
// launch of its own into a buffer of the device, everything else where it is used. Work items take
// one element of a root each; a sum that only the root's own elements read runs in the work item
// (the root hosts it), contractions as a tile of a few rows and columns in its registers.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_CODEGEN_HALIDE_DEVICEPLAN_H
#define ATTUNE_CODEGEN_HALIDE_DEVICEPLAN_H

#include "attune/codegen/halide/Plan.h"

namespace attune::codegen::halide {

/// A plan, or why the region cannot be translated.
llvm::Expected<Plan> makeDevicePlan(const Region &region);

} // namespace attune::codegen::halide
#endif
