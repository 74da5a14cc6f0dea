#include "attune/test/ptxemu/Shadow.h"
#include <algorithm>
#include <bit>

namespace attune::ptx {

void Knowledge::resize(unsigned agents) {
  seen.assign(agents, 0);
  fenced.assign(agents, 0);
}

void Knowledge::join(const Knowledge &other) {
  for (size_t i = 0; i < seen.size(); ++i) {
    seen[i] = std::max(seen[i], other.seen[i]);
    fenced[i] = std::max(fenced[i], other.fenced[i]);
  }
}

void Shadow::reset(size_t bytes, unsigned granule, const Agents &ofCluster) {
  shift = unsigned(std::countr_zero(granule));
  agents = ofCluster;
  size_t granules = (bytes + granule - 1) / granule;
  writes.assign(granules, {});
  reads.assign(granules * agents.readers(), 0);
}

Shadow::Conflict Shadow::checkWrite(const Write &write, const Knowledge &known, bool engine) const {
  if (write.inFlight)
    return InFlight;
  if (write.clock > known.seen[write.agent])
    return AfterWrite;
  bool byWarp = write.agent < agents.warps;
  return engine && byWarp && write.clock > known.fenced[write.agent] ? Unfenced : Clean;
}

Shadow::Conflict Shadow::read(size_t offset, size_t bytes, unsigned agent, uint32_t clock,
                              const Knowledge &known, bool engine) {
  for (size_t g = offset >> shift; g <= (offset + bytes - 1) >> shift; ++g) {
    if (Conflict conflict = checkWrite(writes[g], known, engine))
      return conflict;
    reads[g * agents.readers() + agent] = clock;
  }
  return Clean;
}

Shadow::Conflict Shadow::write(size_t offset, size_t bytes, unsigned agent, uint32_t clock,
                               const Knowledge &known, bool engine) {
  for (size_t g = offset >> shift; g <= (offset + bytes - 1) >> shift; ++g) {
    if (Conflict conflict = checkWrite(writes[g], known, engine))
      return conflict;
    const uint32_t *row = &reads[g * agents.readers()];
    bool ordered = true;
    for (unsigned reader = 0; reader < agents.readers(); ++reader)
      ordered &= row[reader] <= known.seen[reader];
    if (!ordered)
      return AfterRead;
    writes[g].clock = clock;
    writes[g].agent = uint16_t(agent);
  }
  return Clean;
}

void Shadow::setInFlight(size_t offset, size_t bytes, bool inFlight) {
  for (size_t g = offset >> shift; g <= (offset + bytes - 1) >> shift; ++g)
    writes[g].inFlight = inFlight;
}

} // namespace attune::ptx
