//===- Shadow.h - Who touched shared memory, and whether that was ordered ---------------------===//
//
// Happens-before with vector clocks. An agent is a warp, or one of the asynchronous engines that
// read and write for it: matrix products of a warp group, bulk stores, bulk loads. Barriers and
// mbarriers hand knowledge from warp to warp; a granule of shared memory remembers its last write
// and the last read of every agent. The asynchronous engines see writes of warps only behind a
// proxy fence.
//
// Bytes that a copy still writes are in flight: nobody may touch them.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_SHADOW_H
#define ATTUNE_TEST_PTXEMU_SHADOW_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace attune::ptx {

/// Numbering of the agents of a cluster with `warps` warps.
struct Agents {
  unsigned warps;
  unsigned warp(unsigned w) const { return w; }
  unsigned product(unsigned w) const { return warps + w; }
  unsigned bulkStore(unsigned w) const { return 2 * warps + w; }
  /// Loads are told apart by their mbarrier: having waited for one says nothing of the others.
  static constexpr unsigned loadSlots = 16;
  unsigned bulkLoad(unsigned slot) const { return 3 * warps + slot % loadSlots; }
  unsigned readers() const { return 3 * warps; }
  unsigned all() const { return 3 * warps + loadSlots; }
};

/// What happened before, per agent; `fenced` is the part that asynchronous engines see.
struct Knowledge {
  std::vector<uint32_t> seen, fenced;

  void resize(unsigned agents);
  void join(const Knowledge &other);
};

class Shadow {
public:
  enum Conflict { Clean, InFlight, AfterWrite, AfterRead, Unfenced };

  void reset(size_t bytes, unsigned granule, const Agents &agents);

  /// `engine`: the access is one of an asynchronous engine that the knowing warp has started.
  Conflict read(size_t offset, size_t bytes, unsigned agent, uint32_t clock, const Knowledge &known,
                bool engine);
  Conflict write(size_t offset, size_t bytes, unsigned agent, uint32_t clock,
                 const Knowledge &known, bool engine);
  void setInFlight(size_t offset, size_t bytes, bool inFlight);

private:
  struct Write {
    uint32_t clock = 0;
    uint16_t agent = 0;
    bool inFlight = false;
  };
  Conflict checkWrite(const Write &write, const Knowledge &known, bool engine) const;

  unsigned shift = 2;
  Agents agents{0};
  std::vector<Write> writes;
  std::vector<uint32_t> reads; ///< [granule][reader]: clock of the last one
};

} // namespace attune::ptx
#endif
