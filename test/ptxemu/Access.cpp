// Addresses of lanes to memory, the checks on every access, and the counts of memory traffic.
#include "attune/test/ptxemu/Warp.h"
#include <algorithm>
#include <cstring>

namespace attune::ptx {

static std::string hex(uint64_t value) {
  std::ostringstream stream;
  stream << "0x" << std::hex << value;
  return stream.str();
}

Place Warp::sharedPlace(uint64_t address, unsigned bytes, unsigned align) {
  // Blocks of a cluster number their memory from 1 in the bits above its offset; 0 is the own
  // block.
  uint32_t offset = uint32_t(address) & 0xffffff, rank = uint32_t(address) >> 24;
  if (rank > home.cluster.blocks.size())
    fault(Fault::BadAccess, "shared address ", hex(address), " of no block of the cluster");
  Block &block = rank ? *home.cluster.blocks[rank - 1] : home;
  if (offset % align)
    fault(Fault::BadAccess, "shared address ", hex(offset), " is not a multiple of ", align);
  if (offset + uint64_t(bytes) > block.shared.size())
    fault(Fault::BadAccess, "shared address ", hex(offset), " + ", bytes,
          " is out of bounds: ", block.shared.size(), " bytes");
  return {&block.shared[offset], Space::Shared, &block, offset};
}

Place Warp::place(Space space, uint64_t address, unsigned bytes, unsigned align, unsigned lane) {
  uint64_t window = address & windowMask, within = address & ~windowMask;
  if (space == Space::Shared || (space == Space::Generic && window == sharedWindow))
    return sharedPlace(within, bytes, align);
  if (address % align)
    fault(Fault::BadAccess, "address ", hex(address), " is not a multiple of ", align);
  if (space == Space::Local || (space == Space::Generic && window == localWindow)) {
    if (within + bytes > program.localBytes)
      fault(Fault::BadAccess, "local address ", hex(within), " + ", bytes, " is out of bounds");
    return {&local[lane * program.localBytes + within], Space::Local};
  }
  if (space == Space::Parameter || (space == Space::Generic && window == parameterWindow)) {
    const auto &parameters = home.cluster.launch.parameters;
    if (within + bytes > program.parameterBytes)
      fault(Fault::BadAccess, "parameter address ", hex(within), " + ", bytes, " is out of bounds");
    return {const_cast<uint8_t *>(&parameters[within]), Space::Parameter};
  }
  const std::vector<Region> &memory = home.cluster.memory;
  size_t &last = home.cluster.lastRegion;
  if (last >= memory.size() || address < memory[last].begin || address >= memory[last].end) {
    auto after =
        std::upper_bound(memory.begin(), memory.end(), address,
                         [](uint64_t a, const Region &region) { return a < region.begin; });
    if (after == memory.begin())
      fault(Fault::BadAccess, "global address ", hex(address), " is in no allocation");
    last = size_t(after - memory.begin()) - 1;
  }
  const Region &region = memory[last];
  if (address + bytes > region.end)
    fault(Fault::BadAccess, "global address ", hex(address), " + ", bytes, " is ",
          address + bytes - region.end, " bytes past an allocation of ", region.end - region.begin);
  return {region.host + (address - region.begin), Space::Global};
}

void Warp::check(Shadow::Conflict conflict, const char *access, uint32_t offset) {
  switch (conflict) {
  case Shadow::Clean:
    return;
  case Shadow::InFlight:
    fault(Fault::Misuse, access, " of shared ", hex(offset),
          ": an asynchronous copy still writes it");
  case Shadow::AfterWrite:
    fault(Fault::Misuse, "race: ", access, " of shared ", hex(offset),
          " is not ordered after its last write");
  case Shadow::AfterRead:
    fault(Fault::Misuse, "race: ", access, " of shared ", hex(offset),
          " is not ordered after its reads");
  case Shadow::Unfenced:
    fault(Fault::Misuse, access, " of shared ", hex(offset),
          " by an asynchronous engine without fence.proxy.async after the last write");
  }
}

void Warp::noteRead(const Place &place, unsigned bytes) {
  if (home.cluster.launch.settings.races)
    check(place.block->shadow.read(place.offset, bytes, number, clock(), known, false), "read",
          place.offset);
}

void Warp::noteWrite(const Place &place, unsigned bytes) {
  if (home.cluster.launch.settings.races)
    check(place.block->shadow.write(place.offset, bytes, number, clock(), known, false), "write",
          place.offset);
}

void Warp::noteStrong(const Place &place, bool loads, bool stores) {
  if (!home.cluster.launch.settings.races)
    return;
  auto [flag, isNew] = place.block->flags.try_emplace(place.offset);
  if (isNew)
    flag->second.resize(home.cluster.agents.all());
  if (loads)
    acquire(flag->second);
  if (stores)
    release(flag->second);
}

void Warp::noteEngineRead(Block &block, uint32_t offset, unsigned bytes, unsigned agent,
                          uint32_t tick) {
  if (home.cluster.launch.settings.races)
    check(block.shadow.read(offset, bytes, agent, tick, known, true), "read", offset);
}

void Warp::noteEngineWrite(Block &block, uint32_t offset, unsigned bytes, unsigned agent,
                           uint32_t tick) {
  if (!home.cluster.launch.settings.races)
    return;
  check(block.shadow.write(offset, bytes, agent, tick, known, true), "write", offset);
  block.shadow.setInFlight(offset, bytes, true);
}

void Warp::release(Knowledge &to) {
  to.join(known);
  ++known.seen[number];
}

Mbarrier &Warp::mbarrier(const Place &place) {
  auto found = place.block->mbarriers.find(place.offset);
  if (found == place.block->mbarriers.end())
    fault(Fault::Misuse, "no mbarrier was initialised at shared ", hex(place.offset));
  if (std::memcmp(place.data, &Mbarrier::pattern, sizeof Mbarrier::pattern))
    fault(Fault::Misuse, "the mbarrier at shared ", hex(place.offset), " was overwritten");
  Mbarrier &result = found->second;
  if (home.cluster.launch.settings.races && result.initialized > known.seen[result.initializer])
    fault(Fault::Misuse, "race: use of an mbarrier is not ordered after its initialisation");
  return result;
}

/// Wavefronts that `lanes` accesses of at most 32 words take together: the most distinct words of a
/// bank.
static void countPhase(Count &count, const uint32_t *offsets, unsigned lanes, unsigned words) {
  std::array<uint8_t, 32> used{};
  std::array<std::array<uint32_t, 32>, 32> seen;
  unsigned most = 0, distinct = 0;
  for (unsigned lane = 0; lane < lanes; ++lane)
    for (unsigned i = 0; i < words; ++i) {
      uint32_t word = offsets[lane] / 4 + i, bank = word % 32;
      auto begin = seen[bank].begin(), end = begin + used[bank];
      if (std::find(begin, end, word) != end)
        continue;
      *end = word;
      ++distinct;
      most = std::max<unsigned>(most, ++used[bank]);
    }
  count.wavefronts += most;
  count.idealWavefronts += (distinct + 31) / 32;
}

void Warp::countShared(const uint32_t *offsets, unsigned lanes, unsigned bytes) {
  unsigned words = std::max(1u, bytes / 4), perPhase = 32 / words;
  for (unsigned lane = 0; lane < lanes; lane += perPhase)
    countPhase(count(), offsets + lane, std::min(perPhase, lanes - lane), words);
}

void Warp::countGlobal(const uint64_t *addresses, unsigned lanes, unsigned bytes) {
  constexpr unsigned sector = 32;
  std::array<uint64_t, 64> sectors;
  unsigned used = 0;
  for (unsigned lane = 0; lane < lanes; ++lane)
    for (uint64_t s = addresses[lane] / sector; s <= (addresses[lane] + bytes - 1) / sector; ++s)
      if (!used || sectors[used - 1] != s)
        sectors[used++] = s;
  if (!std::is_sorted(sectors.begin(), sectors.begin() + used))
    std::sort(sectors.begin(), sectors.begin() + used);
  count().sectors +=
      unsigned(std::unique(sectors.begin(), sectors.begin() + used) - sectors.begin());
  count().idealSectors += (lanes * bytes + sector - 1) / sector;
}

} // namespace attune::ptx
