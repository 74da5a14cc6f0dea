//===- Probes.h - What the machine itself can do ----------------------------------------------===//
#ifndef ATTUNE_TOOLS_ATTUNE_CALIBRATE_PROBES_H
#define ATTUNE_TOOLS_ATTUNE_CALIBRATE_PROBES_H

#include <cstdint>
#include <vector>

namespace attune::tools {

/// Bytes of the first, second and third cache level, as the system reports them, or usual sizes.
std::vector<int64_t> cacheSizes();

/// Bytes per second that `threads` threads read together from buffers of `bytes` each: the best of
/// some passes, for what else runs only takes away.
double readBandwidth(int64_t bytes, unsigned threads);

} // namespace attune::tools
#endif
