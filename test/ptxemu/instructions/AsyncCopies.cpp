// cp.async: copies of 4, 8 or 16 bytes per lane, whose destination is poisoned until a wait.
#include "attune/test/ptxemu/Lanes.h"
#include "attune/test/ptxemu/instructions/Async.h"
#include <algorithm>
#include <cstring>

namespace attune::ptx {

static constexpr uint32_t sized = 1, ignorable = 2, noIncrement = 4;

/// Rows: source bytes, or whether to ignore the source.
static void copy(Warp &warp, const Instruction &i) {
  std::array<uint32_t, 32> targets;
  std::array<uint64_t, 32> sources;
  unsigned lanesHere = 0;
  forLanes(warp.mask, [&](unsigned lane) {
    PendingCopy pending{lane, warp.copyGroup[lane], {}, i.bytes, {}};
    pending.target = warp.sharedPlace(warp.address(i.addresses[0], lane), i.bytes, i.bytes);
    uint32_t bytes = i.flags & sized ? warp.row<uint32_t>(i.rows[0])[lane] : i.bytes;
    if (bytes > i.bytes)
      warp.fault(Fault::Misuse, bytes, " source bytes for a copy of ", unsigned(i.bytes));
    if ((i.flags & ignorable) && (warp.predicate(i.rows[0]) >> lane & 1))
      bytes = 0;
    uint64_t source = warp.address(i.addresses[1], lane);
    if (bytes)
      std::memcpy(pending.data.data(), warp.place(Space::Global, source, bytes, i.bytes, lane).data,
                  bytes);
    warp.noteWrite(pending.target, i.bytes);
    if (warp.home.cluster.launch.settings.races)
      pending.target.block->shadow.setInFlight(pending.target.offset, i.bytes, true);
    std::memset(pending.target.data, 0xff, i.bytes);
    targets[lanesHere] = pending.target.offset;
    sources[lanesHere++] = source;
    warp.copies.push_back(pending);
  });
  warp.countShared(targets.data(), lanesHere, i.bytes);
  warp.countGlobal(sources.data(), lanesHere, i.bytes);
}

/// Lands the copies of executing lanes whose group is older than the last `keep`.
static void landCopies(Warp &warp, uint32_t keep, bool all) {
  auto lands = [&](const PendingCopy &copy) {
    bool here = warp.mask >> copy.lane & 1;
    return here && (all || copy.group + uint64_t(keep) < warp.copyGroup[copy.lane]);
  };
  for (const PendingCopy &copy : warp.copies) {
    if (!lands(copy))
      continue;
    std::memcpy(copy.target.data, copy.data.data(), copy.bytes);
    if (warp.home.cluster.launch.settings.races)
      copy.target.block->shadow.setInFlight(copy.target.offset, copy.bytes, false);
    warp.noteWrite(copy.target, copy.bytes);
  }
  std::erase_if(warp.copies, lands);
}

static Run decodeCopy(Decoder &d) {
  bool global = d.requireOneOf({"ca", "cg"}) == 1;
  d.requireOneOf({"shared", "shared::cta"});
  d.requireOneOf({"global"});
  d.oneOf({"L2::64B", "L2::128B", "L2::256B"});
  bool policy = d.take("L2::cache_hint");
  d.address(0);
  d.address(1);
  uint64_t bytes = d.immediate();
  if (bytes != 16 && (global || (bytes != 4 && bytes != 8)))
    d.unsupported("a copy of ", bytes, " bytes");
  d.out.bytes = uint8_t(bytes);
  size_t left = d.statement->operands.size() - 3 - policy;
  if (left) {
    const Operand &operand = d.peek();
    bool isPredicate =
        operand.kind == Operand::Register && d.kernel.registers[operand.index] == Type::Pred;
    d.source(isPredicate ? Type::Pred : Type::U32);
    d.out.flags = isPredicate ? ignorable : sized;
  }
  if (policy)
    d.pass();
  return copy;
}

/// An arrival once the copies of the lane have landed: they land now.
static void arriveAfterCopies(Warp &warp, const Instruction &i) {
  landCopies(warp, 0, true);
  forLanes(warp.mask, [&](unsigned lane) {
    Mbarrier &barrier =
        warp.mbarrier(warp.place(i.space, warp.address(i.addresses[0], lane), 8, 8, lane));
    if (!(i.flags & noIncrement))
      ++barrier.pending;
    arriveAt(warp, barrier, 1, false);
    warp.home.cluster.settle(barrier);
  });
  endArrivals(warp);
}

static Run decodeAsyncCopy(Decoder &d) {
  if (d.take("reduce") || !d.take("async"))
    d.unsupported("the form");
  if (d.take("bulk"))
    return decodeBulk(d);
  if (d.take("mbarrier")) {
    d.requireOneOf({"arrive"});
    d.out.flags = d.take("noinc") ? noIncrement : 0;
    d.oneOf({"shared", "shared::cta"});
    d.out.space = Space::Shared;
    d.requireOneOf({"b64"});
    d.address(0);
    return arriveAfterCopies;
  }
  if (d.take("commit_group"))
    return [](Warp &warp, const Instruction &) {
      forLanes(warp.mask, [&](unsigned lane) { ++warp.copyGroup[lane]; });
    };
  if (d.take("wait_all"))
    return [](Warp &warp, const Instruction &) { landCopies(warp, 0, true); };
  if (d.take("wait_group")) {
    d.out.flags = uint32_t(d.immediate());
    return [](Warp &warp, const Instruction &i) { landCopies(warp, i.flags, false); };
  }
  return decodeCopy(d);
}

void addAsyncCopies(InstructionSet &set) { set.emplace("cp", decodeAsyncCopy); }

} // namespace attune::ptx
