#include "attune/test/ptxemu/GlobalMemory.h"
#include <algorithm>
#include <cstring>
#include <new>

namespace attune::ptx {

static constexpr uint64_t alignment = 512, gap = 4096;
static constexpr size_t capacity = size_t(8) << 30;

uint64_t GlobalMemory::insert(Allocation allocation) {
  uint64_t begin = allocation.region.begin;
  bytesUsed += allocation.region.end - begin;
  auto place = std::lower_bound(
      allocations.begin(), allocations.end(), begin,
      [](const Allocation &a, uint64_t address) { return a.region.begin < address; });
  allocations.insert(place, std::move(allocation));
  return begin;
}

uint64_t GlobalMemory::allocate(size_t bytes) {
  std::lock_guard lock(mutex);
  if (bytes > capacity - std::min(capacity, bytesUsed))
    return 0;
  std::unique_ptr<uint8_t[]> storage(new (std::nothrow) uint8_t[bytes + alignment]);
  if (!storage)
    return 0;
  auto host = reinterpret_cast<uint8_t *>((uintptr_t(storage.get()) + alignment - 1) / alignment *
                                          alignment);
  std::memset(host, 0xff, bytes);
  uint64_t begin = next;
  next = (next + bytes + gap + alignment - 1) / alignment * alignment;
  return insert({{begin, begin + bytes, host}, std::move(storage), false});
}

void *GlobalMemory::allocatePinned(size_t bytes) {
  std::lock_guard lock(mutex);
  std::unique_ptr<uint8_t[]> storage(new (std::nothrow) uint8_t[bytes + alignment]);
  if (!storage)
    return nullptr;
  uint64_t begin = (uintptr_t(storage.get()) + alignment - 1) / alignment * alignment;
  auto host = reinterpret_cast<uint8_t *>(begin);
  std::memset(host, 0xff, bytes);
  insert({{begin, begin + bytes, host}, std::move(storage), true});
  return host;
}

const GlobalMemory::Allocation *GlobalMemory::locate(uint64_t address) const {
  auto after = std::upper_bound(
      allocations.begin(), allocations.end(), address,
      [](uint64_t address, const Allocation &a) { return address < a.region.begin; });
  if (after == allocations.begin() || address >= std::prev(after)->region.end)
    return nullptr;
  return &*std::prev(after);
}

bool GlobalMemory::release(uint64_t address) {
  std::lock_guard lock(mutex);
  const Allocation *found = locate(address);
  if (!found || found->region.begin != address)
    return false;
  bytesUsed -= found->region.end - found->region.begin;
  allocations.erase(allocations.begin() + (found - allocations.data()));
  return true;
}

uint8_t *GlobalMemory::find(uint64_t address, size_t bytes) const {
  std::lock_guard lock(mutex);
  const Allocation *found = locate(address);
  if (!found || bytes > found->region.end - address)
    return nullptr;
  return found->region.host + (address - found->region.begin);
}

bool GlobalMemory::isPinned(const void *host, size_t bytes) const {
  std::lock_guard lock(mutex);
  const Allocation *found = locate(uintptr_t(host));
  return found && found->pinned && bytes <= found->region.end - uintptr_t(host);
}

Region GlobalMemory::region(uint64_t address) const {
  std::lock_guard lock(mutex);
  const Allocation *found = locate(address);
  return found ? found->region : Region{};
}

size_t GlobalMemory::used() const {
  std::lock_guard lock(mutex);
  return bytesUsed;
}

std::vector<Region> GlobalMemory::regions() const {
  std::lock_guard lock(mutex);
  std::vector<Region> result;
  for (const Allocation &allocation : allocations)
    result.push_back(allocation.region);
  return result;
}

// Never destroyed: programs free device memory in destructors of globals, too.
GlobalMemory &globalMemory() {
  static auto *memory = new GlobalMemory;
  return *memory;
}

} // namespace attune::ptx
