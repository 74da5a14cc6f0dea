//===- Report.h - What a launch did, for tests and for people ---------------------------------===//
//
// `attune_ptx_count` gives a number of the last launch: "instructions" (of warps),
// "shared_wavefronts" and "shared_ideal_wavefronts" (their difference is bank conflicts),
// "global_sectors" and "global_ideal_sectors", or "opcode:mma" and the like; "call:cuLaunchKernel"
// and the like are how often the process has called that so far. ATTUNE_PTX_REPORT names a file to
// which every launch adds a line of JSON, with the instructions that conflict.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_REPORT_H
#define ATTUNE_TEST_PTXEMU_REPORT_H

#include "attune/test/ptxemu/Machine.h"

namespace attune::ptx {

/// Called with the lock of the driver.
void report(const Launch &launch, const std::vector<Count> &counts);
/// Likewise.
void countCall(const char *function);

} // namespace attune::ptx

extern "C" uint64_t attune_ptx_count(const char *what);

#endif
