//===- Speed.h - How fast the machine is now, against when it was calibrated ------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_SPEED_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_SPEED_H

#include "attune/codegen/cpu/Target.h"

namespace attune::tools {

/// `attune calibrate --check`: times the reference products again and compares with what they took
/// for the calibration that is in use; warns of a difference that predictions suffer from. The exit
/// code.
int checkSpeed(const codegen::CpuTarget &target, bool json);

} // namespace attune::tools
#endif
