// cp.async.bulk: copies of many bytes or of boxes of a tensor (TMA), by one lane, in the
// asynchronous proxy. Loads land when their mbarrier is asked for, stores when their group is
// waited for.
#include "attune/test/ptxemu/Lanes.h"
#include "attune/test/ptxemu/TensorMap.h"
#include "attune/test/ptxemu/instructions/Async.h"
#include <algorithm>
#include <cstring>

namespace attune::ptx {

static constexpr uint32_t multicast = 1;

namespace {
/// Up to 16 bytes of a box, inside the tensor on every axis but perhaps the first.
struct Chunk {
  uint32_t offset;       ///< in the box, before swizzling
  uint64_t address;      ///< of the first byte in global memory
  unsigned first, count; ///< elements that are inside the tensor
};
} // namespace

static TensorMap tensorMap(Warp &warp, const Instruction &i, unsigned slot, unsigned lane) {
  TensorMap map;
  uint64_t address = warp.address(i.addresses[slot], lane);
  std::memcpy(&map, warp.place(Space::Generic, address, 128, 64, lane).data, sizeof map);
  if (map.magic != TensorMap::valid)
    warp.fault(Fault::Misuse, "no tensor map is at the address");
  if (map.rank != i.count)
    warp.fault(Fault::Misuse, "a tensor map of rank ", unsigned(map.rank), " for ", i.count,
               " coordinates");
  return map;
}

/// The chunks of the box at the coordinates of `lane` that hold anything of the tensor.
static std::vector<Chunk> chunksOf(Warp &warp, const Instruction &i, const TensorMap &map,
                                   unsigned lane) {
  std::array<int64_t, 5> at{};
  for (unsigned axis = 0; axis < map.rank; ++axis)
    at[axis] = int32_t(warp.row<uint32_t>(warp.program.lists[i.list + axis])[lane]);
  const unsigned perChunk = std::max(1u, 16u / map.elementBytes);
  const uint32_t innerBytes = map.box[0] * map.elementBytes;
  uint64_t rows = 1;
  for (unsigned axis = 1; axis < map.rank; ++axis)
    rows *= map.box[axis];
  std::vector<Chunk> chunks;
  for (uint64_t row = 0; row < rows; ++row) {
    uint64_t address = map.base, rest = row;
    bool inside = true;
    for (unsigned axis = 1; axis < map.rank; ++axis) {
      int64_t index = at[axis] + int64_t(rest % map.box[axis]);
      rest /= map.box[axis];
      inside &= index >= 0 && index < int64_t(map.extents[axis]);
      address += uint64_t(index) * map.strides[axis - 1];
    }
    for (uint32_t begin = 0; inside && begin < map.box[0]; begin += perChunk) {
      int64_t index = at[0] + begin, extent = int64_t(map.extents[0]);
      int64_t size = std::min<int64_t>(perChunk, map.box[0] - begin);
      int64_t first = std::clamp<int64_t>(-index, 0, size),
              last = std::clamp<int64_t>(extent - index, first, size);
      if (first < last)
        chunks.push_back({uint32_t(row * innerBytes + begin * map.elementBytes),
                          address + uint64_t(index + first) * map.elementBytes, unsigned(first),
                          unsigned(last - first)});
    }
  }
  return chunks;
}

static uint32_t boxBytes(const TensorMap &map) {
  uint64_t bytes = map.elementBytes;
  for (unsigned axis = 0; axis < map.rank; ++axis)
    bytes *= map.box[axis];
  return uint32_t(bytes);
}

/// Poisons the destination and queues the copy for the blocks that receive it.
static void queueLoad(Warp &warp, const Instruction &i, unsigned lane, std::vector<uint8_t> data) {
  Cluster &cluster = warp.home.cluster;
  auto bytes = unsigned(data.size());
  Place target = warp.sharedPlace(warp.address(i.addresses[0], lane) & ~windowMask, bytes, 16);
  Place signal = warp.sharedPlace(warp.address(i.addresses[2], lane) & ~windowMask, 8, 8);
  uint32_t receivers = 1;
  if (i.flags & multicast)
    receivers = warp.row<uint32_t>(i.rows[0])[lane] & 0xffff;
  for (unsigned rank = 0; receivers >> rank; ++rank) {
    if (!(receivers >> rank & 1))
      continue;
    if (i.flags & multicast) {
      if (rank >= cluster.blocks.size())
        warp.fault(Fault::BadAccess, "multicast to block ", rank, " of ", cluster.blocks.size());
      for (Place *place : {&target, &signal}) {
        place->block = cluster.blocks[rank].get();
        place->data = &place->block->shared[place->offset];
      }
    }
    const unsigned agent = cluster.agents.bulkLoad(warp.mbarrier(signal).slot);
    uint32_t tick = ++cluster.ticks[agent];
    warp.noteEngineWrite(*target.block, target.offset, bytes, agent, tick);
    std::memset(target.data, 0xff, bytes);
    cluster.loads.push_back({target.block, target.offset, data, signal.block, signal.offset, tick});
  }
  ++cluster.events;
}

static void loadTensor(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    const TensorMap map = tensorMap(warp, i, 1, lane);
    auto base = uint32_t(
        warp.sharedPlace(warp.address(i.addresses[0], lane) & ~windowMask, boxBytes(map), 128)
            .offset);
    std::vector<uint8_t> data(boxBytes(map));
    for (size_t e = 0; map.fillsNan && e < data.size(); ++e)
      data[e] = e % map.elementBytes == map.elementBytes - 1u ? 0x7f : 0xff;
    for (const Chunk &chunk : chunksOf(warp, i, map, lane)) {
      unsigned bytes = chunk.count * map.elementBytes, skipped = chunk.first * map.elementBytes;
      Place source = warp.place(Space::Global, chunk.address, bytes, 1, lane);
      uint32_t to = swizzled(base + chunk.offset, map.swizzle) - base;
      std::memcpy(&data[to + skipped], source.data, bytes);
    }
    queueLoad(warp, i, lane, std::move(data));
  });
}

/// Rows: multicast mask (unused without), size.
static void loadBytes(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    uint32_t bytes = warp.row<uint32_t>(i.rows[1])[lane];
    if (bytes % 16 || !bytes)
      warp.fault(Fault::Misuse, "a bulk copy of ", bytes, " bytes, not a multiple of 16");
    Place source = warp.place(Space::Global, warp.address(i.addresses[1], lane), bytes, 16, lane);
    queueLoad(warp, i, lane, {source.data, source.data + bytes});
  });
}

static void queueStore(Warp &warp, unsigned lane, const Place &source, uint32_t bytes,
                       std::vector<std::pair<uint8_t *, uint32_t>> pieces, unsigned pieceBytes) {
  Cluster &cluster = warp.home.cluster;
  if (source.block != &warp.home)
    warp.fault(Fault::Misuse, "a bulk store from another block");
  unsigned agent = cluster.agents.bulkStore(warp.number);
  uint32_t tick = ++cluster.ticks[agent];
  warp.noteEngineRead(warp.home, source.offset, bytes, agent, tick);
  warp.stores.push_back(
      {warp.storeGroup[lane], lane, source.offset, bytes, tick, std::move(pieces), pieceBytes});
}

static void storeTensor(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    const TensorMap map = tensorMap(warp, i, 0, lane);
    Place source =
        warp.sharedPlace(warp.address(i.addresses[1], lane) & ~windowMask, boxBytes(map), 128);
    std::vector<std::pair<uint8_t *, uint32_t>> pieces;
    for (const Chunk &chunk : chunksOf(warp, i, map, lane)) {
      uint32_t from =
          swizzled(source.offset + chunk.offset, map.swizzle) + chunk.first * map.elementBytes;
      Place target =
          warp.place(Space::Global, chunk.address, chunk.count * map.elementBytes, 1, lane);
      for (unsigned e = 0; e < chunk.count; ++e)
        pieces.push_back({target.data + e * map.elementBytes, from + e * map.elementBytes});
    }
    queueStore(warp, lane, source, boxBytes(map), std::move(pieces), map.elementBytes);
  });
}

static void storeBytes(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    uint32_t bytes = warp.row<uint32_t>(i.rows[1])[lane];
    if (bytes % 16 || !bytes)
      warp.fault(Fault::Misuse, "a bulk copy of ", bytes, " bytes, not a multiple of 16");
    Place target = warp.place(Space::Global, warp.address(i.addresses[0], lane), bytes, 16, lane);
    Place source = warp.sharedPlace(warp.address(i.addresses[1], lane) & ~windowMask, bytes, 16);
    queueStore(warp, lane, source, bytes, {{target.data, source.offset}}, bytes);
  });
}

/// Stores happen as late as they may; with .read, too: nobody may rely on an earlier time.
static void waitStores(Warp &warp, const Instruction &i) {
  Cluster &cluster = warp.home.cluster;
  auto ends = [&](const PendingStore &store) {
    return (warp.mask >> store.lane & 1) &&
           store.group + uint64_t(i.flags) < warp.storeGroup[store.lane];
  };
  uint32_t &seen = warp.known.seen[cluster.agents.bulkStore(warp.number)];
  for (const PendingStore &store : warp.stores) {
    if (!ends(store))
      continue;
    for (const auto &[target, offset] : store.pieces)
      std::memcpy(target, &warp.home.shared[offset], store.elementBytes);
    seen = std::max(seen, store.tick);
  }
  std::erase_if(warp.stores, ends);
}

static Run decodeTensor(Decoder &d, bool isLoad, bool isPrefetch) {
  int rank = d.requireOneOf({"1d", "2d", "3d", "4d", "5d"}) + 1;
  d.take("tile");
  d.out.count = uint16_t(rank);
  unsigned mapSlot = isLoad ? 1 : 0;
  if (isLoad && !isPrefetch)
    d.address(0);
  d.address(mapSlot);
  d.out.list = uint32_t(d.program.lists.size());
  if (d.coordinates() != unsigned(rank))
    d.unsupported("the number of coordinates");
  if (isPrefetch)
    return [](Warp &warp, const Instruction &i) {
      forLanes(warp.mask, [&](unsigned lane) { tensorMap(warp, i, 1, lane); });
    };
  if (isLoad)
    d.address(2);
  else
    d.address(1);
  return isLoad ? loadTensor : storeTensor;
}

Run decodeBulk(Decoder &d) {
  if (d.take("commit_group"))
    return [](Warp &warp, const Instruction &) {
      forLanes(warp.mask, [&](unsigned lane) { ++warp.storeGroup[lane]; });
    };
  if (d.take("wait_group")) {
    d.take("read");
    d.out.flags = uint32_t(d.immediate());
    return waitStores;
  }
  bool tensor = d.take("tensor");
  if (d.take("prefetch")) {
    if (!tensor)
      d.unsupported("the form");
    d.requireOneOf({"L2"});
    d.requireOneOf({"global"});
    return decodeTensor(d, true, true);
  }
  bool isLoad = d.take("mbarrier::complete_tx::bytes");
  if (!isLoad)
    d.requireOneOf({"bulk_group"});
  d.requireOneOf({"shared::cluster", "shared::cta"});
  d.requireOneOf({"global"});
  bool policy = d.take("L2::cache_hint");
  if (d.take("multicast::cluster"))
    d.out.flags |= multicast;
  Run run;
  if (tensor) {
    run = decodeTensor(d, isLoad, false);
    d.skipRow();
  } else {
    d.skipRow();
    d.address(0);
    d.address(1);
    d.source(Type::U32);
    if (isLoad)
      d.address(2);
    run = isLoad ? loadBytes : storeBytes;
  }
  if (d.out.flags & multicast) {
    d.out.rows[0] = d.rowOf(d.peek(), Type::B16, false);
    d.pass();
  }
  if (policy)
    d.pass();
  return run;
}

} // namespace attune::ptx
