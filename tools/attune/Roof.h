//===- Roof.h - What this machine can do, measured now ----------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_ROOF_H
#define ATTUNE_TOOLS_ATTUNE_ROOF_H

#include <cstdint>

namespace attune::tools {

/// f32 fused multiply-adds in registers, GFLOP/s over `threads` threads: the best of a few bursts
/// of some milliseconds.
double measureFmaPeak(int64_t threads);

} // namespace attune::tools
#endif
