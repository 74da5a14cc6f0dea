//===- GlobalMemory.h - Allocations of the device ---------------------------------------------===//
//
// Device addresses are not host addresses: following one on the host faults, as it would with a
// GPU. Gaps between allocations are never mapped and addresses are not used twice, so that every
// access past an end and after a free is found. New memory is poisoned (0xff: NaN as f16, bf16,
// f32, f64). Pinned host memory has the same address on both sides. Thread-safe.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_GLOBALMEMORY_H
#define ATTUNE_TEST_PTXEMU_GLOBALMEMORY_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace attune::ptx {

struct Region {
  uint64_t begin, end;
  uint8_t *host;
};

class GlobalMemory {
public:
  /// 0 if there is no memory left.
  uint64_t allocate(size_t bytes);
  void *allocatePinned(size_t bytes);
  /// False if `address` is not the begin of an allocation.
  bool release(uint64_t address);

  /// The host's view of `bytes` at `address`, or null.
  uint8_t *find(uint64_t address, size_t bytes) const;
  bool isPinned(const void *host, size_t bytes) const;
  /// The allocation that holds `address`, empty if none does.
  Region region(uint64_t address) const;
  size_t used() const;

  /// The regions in the order of addresses, as of now.
  std::vector<Region> regions() const;

private:
  struct Allocation {
    Region region;
    std::unique_ptr<uint8_t[]> storage;
    bool pinned;
  };
  const Allocation *locate(uint64_t address) const;
  uint64_t insert(Allocation allocation);

  mutable std::mutex mutex;
  std::vector<Allocation> allocations; ///< in the order of addresses
  uint64_t next = uint64_t(0x7100) << 32;
  size_t bytesUsed = 0;
};

GlobalMemory &globalMemory();

} // namespace attune::ptx
#endif
