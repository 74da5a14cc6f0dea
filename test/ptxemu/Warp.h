//===- Warp.h - 32 lanes, their registers, and what instructions do with them -----------------===//
//
// Lanes run in lockstep. Where a branch splits them, both parts go on as fragments that meet again
// at the immediate post-dominator of the branch; a fragment that waits lets the others run, so that
// lanes may wait for each other. Instructions see `mask`, the lanes for which their guard holds.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_WARP_H
#define ATTUNE_TEST_PTXEMU_WARP_H

#include "attune/test/ptxemu/Machine.h"
#include <bit>
#include <type_traits>

namespace attune::ptx {

/// Calls f(lane) for every lane of `mask`.
template <class F> inline void forLanes(uint32_t mask, F f) {
  if (mask == ~0u) {
    for (unsigned lane = 0; lane < 32; ++lane)
      f(lane);
    return;
  }
  for (; mask; mask &= mask - 1)
    f(unsigned(std::countr_zero(mask)));
}

/// What a register holds a T in: 32-bit words, zero above narrower values, or 64-bit words.
template <class T> using Slot = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T> inline T fromSlot(Slot<T> slot) {
  if constexpr (std::is_floating_point_v<T>)
    return std::bit_cast<T>(slot);
  else
    return T(slot);
}

template <class T> inline Slot<T> toSlot(T value) {
  if constexpr (std::is_floating_point_v<T>)
    return std::bit_cast<Slot<T>>(value);
  else
    return std::make_unsigned_t<T>(value);
}

/// A place in memory that an address of one lane names.
struct Place {
  uint8_t *data;
  Space space;            ///< never Generic
  Block *block = nullptr; ///< of shared memory
  uint32_t offset = 0;    ///< in shared memory
};

/// cp.async of one lane, before a wait.
struct PendingCopy {
  unsigned lane, group;
  Place target;
  unsigned bytes;
  std::array<uint8_t, 16> data;
};

/// A bulk store before its wait: what it will do then.
struct PendingStore {
  unsigned group, lane;
  uint32_t offset, bytes, tick;
  std::vector<std::pair<uint8_t *, uint32_t>>
      pieces; ///< elements inside the tensor, source offsets
  unsigned elementBytes;
};

/// wgmma.mma_async of this warp's rows, before a wait.
struct PendingProduct {
  const Instruction *instruction;
  unsigned group;
  uint64_t a, b; ///< descriptors
  std::vector<uint32_t> aRegisters;
  bool accumulate;
  uint32_t tick;
};

class Warp {
public:
  Warp(Block &block, unsigned index, unsigned number);

  enum class Turn { Ran, Waiting, Blocked, Done };
  /// At most `quantum` instructions; `steps` counts them.
  Turn run(unsigned quantum, uint64_t &steps);

  // Registers.
  template <class T> Slot<T> *row(uint32_t row) { return reinterpret_cast<Slot<T> *>(&file[row]); }
  uint32_t &predicate(uint32_t row) { return file[row]; }
  uint64_t word(uint32_t row, bool wide, unsigned lane) {
    return wide ? this->row<uint64_t>(row)[lane] : this->row<uint32_t>(row)[lane];
  }
  uint64_t address(const Address &address, unsigned lane) {
    return word(address.row, address.wide, lane) + uint64_t(address.offset);
  }

  // Control.
  void branch(uint32_t taken, uint32_t target, uint32_t join);
  void exit(uint32_t lanes);
  /// Ends the turn; `waiting` if nothing but another warp or engine can let this one go on.
  void yield(bool waiting);
  /// The fragment waits for the barrier; `result` is a row or predicate that the release fills.
  void block(unsigned barrier, uint32_t resultRow = none, uint8_t operation = 0);
  void unblock(unsigned barrier, const Barrier &state);
  static constexpr unsigned clusterBarrier = 16;

  // Memory.
  Place place(Space space, uint64_t address, unsigned bytes, unsigned align, unsigned lane);
  Place sharedPlace(uint64_t address, unsigned bytes, unsigned align);
  void noteRead(const Place &place, unsigned bytes);
  void noteWrite(const Place &place, unsigned bytes);
  /// A strong access or atomic to shared memory: no race, and what happened before the stores to a
  /// place is known to those who load from it.
  void noteStrong(const Place &place, bool loads, bool stores);
  void noteEngineRead(Block &block, uint32_t offset, unsigned bytes, unsigned agent, uint32_t tick);
  void noteEngineWrite(Block &block, uint32_t offset, unsigned bytes, unsigned agent,
                       uint32_t tick);
  /// Shared addresses of the lanes, `bytes` each, to wavefronts.
  void countShared(const uint32_t *offsets, unsigned lanes, unsigned bytes);
  void countGlobal(const uint64_t *addresses, unsigned lanes, unsigned bytes);

  Mbarrier &mbarrier(const Place &place);

  // Knowledge of what happened before (Shadow.h).
  uint32_t clock() const { return known.seen[number]; }
  void release(Knowledge &to);
  void acquire(const Knowledge &from) { known.join(from); }

  template <class... Parts> [[noreturn]] void fault(Fault::Kind kind, const Parts &...parts) {
    raise(kind, text(parts...));
  }

  Count &count() { return home.cluster.counts[current]; }
  Block &home; ///< the block of this warp
  const Program &program;
  unsigned index, number; ///< in the block, in the cluster
  uint32_t mask = 0;      ///< lanes that run the current instruction
  uint32_t active = 0;    ///< lanes of the running fragment
  uint32_t alive = 0;     ///< lanes that have not exited
  uint32_t current = 0;   ///< the current instruction
  Knowledge known;

  std::vector<PendingCopy> copies;
  std::array<unsigned, 32> copyGroup{};
  std::vector<PendingStore> stores;
  std::array<unsigned, 32> storeGroup{};
  std::vector<PendingProduct> products;
  unsigned productGroup = 0;
  std::map<uint32_t, std::array<uint32_t, 32>> accumulators; ///< by row, while products are pending
  std::map<uint32_t, std::array<uint32_t, 32>> retired;      ///< sums as products left them
  bool fenced = false;                                       ///< wgmma.fence since the last wait
  unsigned clusterArrivals = 0;

private:
  struct Fragment {
    uint32_t pc, lanes;
    int join;
    int barrier = -1; ///< that it waits for
    uint32_t resultRow = none;
    uint8_t operation = 0;
  };
  struct Join {
    uint32_t pc, expected, arrived;
    int parent;
  };

  void fillRegisters();
  uint64_t special(Special special, unsigned lane) const;
  bool resume();
  void suspend();
  void arriveAtJoin();
  void leaveJoins(uint32_t lanes);
  void finish();
  [[noreturn]] void raise(Fault::Kind kind, const std::string &what);
  void check(Shadow::Conflict conflict, const char *access, uint32_t offset);

  std::vector<uint32_t> file;
  std::vector<uint8_t> local;
  std::vector<Fragment> fragments; ///< that do not run
  std::vector<Join> joins;
  std::vector<int> freeJoins;
  uint32_t pc = 0;
  int join = -1;
  bool paused = false, waiting = false;
};

} // namespace attune::ptx
#endif
