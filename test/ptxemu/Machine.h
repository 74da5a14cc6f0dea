//===- Machine.h - A launch, its clusters of blocks, and what they share ----------------------===//
//
// `execute` runs a launch: clusters (of one block, unless the launch says otherwise) one after the
// other on each of a few host threads; within a cluster, warps in turns. The order of turns is
// fixed, or drawn from `Settings::seed`, so that a missing barrier shows. A Fault of any block ends
// the launch.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_MACHINE_H
#define ATTUNE_TEST_PTXEMU_MACHINE_H

#include "attune/test/ptxemu/GlobalMemory.h"
#include "attune/test/ptxemu/Program.h"
#include "attune/test/ptxemu/Shadow.h"
#include <list>
#include <memory>
#include <random>

namespace attune::ptx {

struct Settings {
  bool races = true;                  ///< whether races in shared memory end the launch
  unsigned seed = 0;                  ///< of the order of warps; 0: in turn
  unsigned threads = 1;               ///< of the host
  uint64_t steps = uint64_t(1) << 33; ///< warp instructions of a cluster, before it counts as stuck

  /// From ATTUNE_PTX_RACES, ATTUNE_PTX_SEED, ATTUNE_PTX_THREADS and ATTUNE_PTX_STEPS.
  static Settings fromEnvironment();
};

/// What one instruction of a program did in a launch.
struct Count {
  uint64_t executed = 0; ///< by warps
  uint64_t wavefronts = 0,
           idealWavefronts = 0;           ///< of shared memory; more than ideal: bank conflicts
  uint64_t sectors = 0, idealSectors = 0; ///< of 32 bytes, of global memory
};

struct Launch {
  const Program *program;
  std::array<unsigned, 3> grid{1, 1, 1}, block{1, 1, 1}, cluster{1, 1, 1};
  size_t dynamicShared = 0;
  std::vector<uint8_t> parameters;
  Settings settings;
};

std::vector<Count> execute(const Launch &launch);

class Block;
class Cluster;
class Warp;

/// Arrivals at a barrier of a block (`bar`, `barrier`) or of a cluster.
struct Barrier {
  unsigned arrived = 0;  ///< lanes
  unsigned expected = 0; ///< 0: all lanes that have not exited
  Knowledge knowledge;
  unsigned allTrue = 0, anyTrue = 0, countTrue = 0; ///< of bar.red
};

/// The state of an mbarrier object; its memory holds a pattern that must stay.
struct Mbarrier {
  static constexpr uint64_t pattern = 0x6d62617272696572;
  unsigned expected = 0, pending = 0;
  int64_t transactions = 0; ///< bytes that are still to come
  uint32_t phase = 0;
  Knowledge arriving, completed;
  unsigned slot = 0;        ///< of its bulk loads, among the agents
  unsigned initializer = 0; ///< agent
  uint32_t initialized = 0; ///< its clock then
};

/// A bulk copy into shared memory that has not landed.
struct BulkLoad {
  Block *target;
  uint32_t offset;
  std::vector<uint8_t> data;
  Block *signalled;
  uint32_t mbarrier;
  uint32_t tick;
};

class Block {
public:
  Block(Cluster &cluster, unsigned rank, std::array<unsigned, 3> id);

  Barrier &barrier(unsigned index) { return barriers[index]; }
  /// Lets those who wait go on, if enough lanes have arrived.
  void releaseBarrier(unsigned index);
  unsigned aliveLanes() const;

  Cluster &cluster;
  unsigned rank;
  std::array<unsigned, 3> id;
  std::vector<uint8_t> shared;
  Shadow shadow;
  std::map<uint32_t, Mbarrier> mbarriers; ///< by address
  std::map<uint32_t, Knowledge> flags;    ///< what strong stores and atomics have released there
  std::vector<std::unique_ptr<Warp>> warps;

private:
  std::array<Barrier, 16> barriers;
};

class Cluster {
public:
  Cluster(const Launch &launch, const std::vector<Region> &memory, std::vector<Count> &counts,
          std::array<unsigned, 3> id);
  ~Cluster();
  void run();

  /// Completes the phase of `mbarrier` if nothing is missing any more.
  void settle(Mbarrier &mbarrier);
  /// Lands one copy that `mbarrier` waits for.
  void land(Block &block, uint32_t mbarrier);
  void releaseClusterBarrier();

  const Launch &launch;
  const std::vector<Region> &memory;
  std::vector<Count> &counts;
  std::array<unsigned, 3> id;
  Agents agents{0};
  std::vector<uint32_t> ticks; ///< of asynchronous engines, by agent
  std::vector<std::unique_ptr<Block>> blocks;
  std::list<BulkLoad> loads;
  Barrier clusterBarrier;
  unsigned clusterPhase = 0;
  uint64_t events = 0; ///< what may let a waiting warp go on
  size_t lastRegion = 0;

private:
  void checkProgress(bool allBlocked);

  std::vector<Warp *> warps;
  std::minstd_rand random;
  uint64_t steps = 0, lastEvents = 0;
  unsigned idleRounds = 0;
};

} // namespace attune::ptx
#endif
