#include "attune/test/ptxemu/Machine.h"
#include "attune/test/ptxemu/Warp.h"
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

namespace attune::ptx {

Settings Settings::fromEnvironment() {
  auto number = [](const char *name, uint64_t otherwise) -> uint64_t {
    const char *value = std::getenv(name);
    return value && *value ? std::strtoull(value, nullptr, 0) : otherwise;
  };
  Settings settings;
  settings.races = number("ATTUNE_PTX_RACES", 1);
  settings.seed = unsigned(number("ATTUNE_PTX_SEED", 0));
  settings.threads = unsigned(number("ATTUNE_PTX_THREADS", std::thread::hardware_concurrency()));
  settings.steps = number("ATTUNE_PTX_STEPS", settings.steps);
  return settings;
}

//===------------------------------------------------------------------------------------------===//
// Blocks
//===------------------------------------------------------------------------------------------===//

Block::Block(Cluster &cluster, unsigned rank, std::array<unsigned, 3> id)
    : cluster(cluster), rank(rank), id(id) {
  const Launch &launch = cluster.launch;
  const Program &program = *launch.program;
  size_t bytes =
      launch.dynamicShared ? program.dynamicBase + launch.dynamicShared : program.sharedBytes;
  shared.assign(bytes, 0xff);
  if (launch.settings.races)
    shadow.reset(bytes, program.granule, cluster.agents);
  for (Barrier &barrier : barriers)
    barrier.knowledge.resize(cluster.agents.all());
}

unsigned Block::aliveLanes() const {
  unsigned lanes = 0;
  for (const auto &warp : warps)
    lanes += unsigned(std::popcount(warp->alive));
  return lanes;
}

void Block::releaseBarrier(unsigned index) {
  Barrier &barrier = barriers[index];
  if (!barrier.arrived || barrier.arrived < (barrier.expected ? barrier.expected : aliveLanes()))
    return;
  for (const auto &warp : warps)
    warp->unblock(index, barrier);
  barrier.arrived = barrier.expected = barrier.anyTrue = barrier.countTrue = 0;
  barrier.allTrue = 1;
  ++cluster.events;
}

//===------------------------------------------------------------------------------------------===//
// Clusters
//===------------------------------------------------------------------------------------------===//

Cluster::Cluster(const Launch &launch, const std::vector<Region> &memory,
                 std::vector<Count> &counts, std::array<unsigned, 3> id)
    : launch(launch), memory(memory), counts(counts), id(id),
      random(launch.settings.seed + id[0] * 7919) {
  const auto &extent = launch.cluster;
  unsigned blockWarps = (launch.block[0] * launch.block[1] * launch.block[2] + 31) / 32;
  unsigned blockCount = extent[0] * extent[1] * extent[2];
  agents.warps = blockWarps * blockCount;
  ticks.assign(agents.all(), 0);
  clusterBarrier.knowledge.resize(agents.all());
  for (unsigned rank = 0; rank < blockCount; ++rank) {
    std::array<unsigned, 3> within{rank % extent[0], rank / extent[0] % extent[1],
                                   rank / extent[0] / extent[1]};
    for (unsigned d = 0; d < 3; ++d)
      within[d] += id[d] * extent[d];
    blocks.push_back(std::make_unique<Block>(*this, rank, within));
  }
  for (auto &block : blocks)
    for (unsigned index = 0; index < blockWarps; ++index) {
      block->warps.push_back(std::make_unique<Warp>(*block, index, unsigned(warps.size())));
      warps.push_back(block->warps.back().get());
    }
}

Cluster::~Cluster() = default;

void Cluster::run() {
  constexpr unsigned longTurn = 4096;
  unsigned seed = launch.settings.seed;
  for (bool allDone = false; !allDone;) {
    allDone = true;
    bool allBlocked = true, anyRan = false;
    size_t first = seed ? random() % warps.size() : 0;
    for (size_t i = 0; i < warps.size(); ++i) {
      Warp &warp = *warps[(first + i) % warps.size()];
      Warp::Turn turn = warp.run(seed ? 1u << random() % 13 : longTurn, steps);
      allDone &= turn == Warp::Turn::Done;
      allBlocked &= turn == Warp::Turn::Blocked || turn == Warp::Turn::Done;
      anyRan |= turn == Warp::Turn::Ran;
    }
    if (!allDone && !anyRan)
      checkProgress(allBlocked);
    if (steps > launch.settings.steps)
      warps[0]->fault(Fault::Stuck, "more than ", launch.settings.steps,
                      " warp instructions in a cluster (ATTUNE_PTX_STEPS)");
  }
  if (!loads.empty())
    warps[0]->fault(Fault::Misuse,
                    "the block ends while a bulk copy into its shared memory is in flight");
}

/// All wait: for barriers, or for mbarriers that they ask again and again.
void Cluster::checkProgress(bool allBlocked) {
  constexpr unsigned patience = 1000; // asking may be counted by the program, and end
  if (events != lastEvents) {
    lastEvents = events;
    idleRounds = 0;
    return;
  }
  if (++idleRounds < (allBlocked ? 2 : patience))
    return;
  auto stuck =
      std::find_if(warps.begin(), warps.end(), [](const Warp *warp) { return warp->alive; });
  (*stuck)->fault(Fault::Stuck, "deadlock: every warp waits");
}

void Cluster::settle(Mbarrier &mbarrier) {
  if (mbarrier.pending || mbarrier.transactions)
    return;
  mbarrier.phase ^= 1;
  mbarrier.pending = mbarrier.expected;
  mbarrier.completed.join(mbarrier.arriving);
  ++events;
}

void Cluster::land(Block &block, uint32_t address) {
  auto load = std::find_if(loads.begin(), loads.end(), [&](const BulkLoad &load) {
    return load.signalled == &block && load.mbarrier == address;
  });
  if (load == loads.end())
    return;
  std::memcpy(&load->target->shared[load->offset], load->data.data(), load->data.size());
  if (launch.settings.races)
    load->target->shadow.setInFlight(load->offset, load->data.size(), false);
  Mbarrier &mbarrier = block.mbarriers.at(address);
  mbarrier.transactions -= int64_t(load->data.size());
  uint32_t &seen = mbarrier.arriving.seen[agents.bulkLoad(mbarrier.slot)];
  seen = std::max(seen, load->tick);
  loads.erase(load);
  ++events;
  settle(mbarrier);
}

void Cluster::releaseClusterBarrier() {
  unsigned lanes = 0;
  for (const auto &block : blocks)
    lanes += block->aliveLanes();
  if (!clusterBarrier.arrived || clusterBarrier.arrived < lanes)
    return;
  clusterBarrier.arrived = 0;
  ++clusterPhase;
  ++events;
  for (Warp *warp : warps)
    warp->unblock(Warp::clusterBarrier, clusterBarrier);
}

//===------------------------------------------------------------------------------------------===//
// Launches
//===------------------------------------------------------------------------------------------===//

std::vector<Count> execute(const Launch &launch) {
  const std::vector<Region> memory = globalMemory().regions();
  std::array<unsigned, 3> clusters;
  for (unsigned d = 0; d < 3; ++d)
    clusters[d] = launch.grid[d] / launch.cluster[d];
  const uint64_t total = uint64_t(clusters[0]) * clusters[1] * clusters[2];
  std::vector<Count> counts(launch.program->code.size());
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::optional<Fault> fault;
  std::mutex mutex;

  auto work = [&] {
    std::vector<Count> own(counts.size());
    for (uint64_t i; (i = next++) < total && !failed;) {
      try {
        Cluster cluster(launch, memory, own,
                        {unsigned(i % clusters[0]), unsigned(i / clusters[0] % clusters[1]),
                         unsigned(i / clusters[0] / clusters[1])});
        cluster.run();
      } catch (const Fault &found) {
        std::lock_guard lock(mutex);
        failed = true;
        if (!fault)
          fault = found;
      }
    }
    std::lock_guard lock(mutex);
    for (size_t i = 0; i < counts.size(); ++i) {
      counts[i].executed += own[i].executed;
      counts[i].wavefronts += own[i].wavefronts;
      counts[i].idealWavefronts += own[i].idealWavefronts;
      counts[i].sectors += own[i].sectors;
      counts[i].idealSectors += own[i].idealSectors;
    }
  };
  std::vector<std::thread> helpers;
  for (uint64_t i = 1; i < std::min<uint64_t>(launch.settings.threads, total); ++i)
    helpers.emplace_back(work);
  work();
  for (std::thread &helper : helpers)
    helper.join();
  if (fault)
    throw *fault;
  return counts;
}

} // namespace attune::ptx
