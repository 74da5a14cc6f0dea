// mbarrier: init, inval, arrive, arrive_drop, expect_tx, complete_tx, test_wait, try_wait; and
// cp.async.mbarrier.arrive, in AsyncCopies.cpp.
#include "attune/test/ptxemu/Lanes.h"
#include "attune/test/ptxemu/instructions/Async.h"
#include <cstring>

namespace attune::ptx {

static constexpr uint32_t expects = 1, drops = 2, counted = 4, parity = 8, hasState = 16;

static Place barrierPlace(Warp &warp, const Instruction &i, unsigned lane) {
  Place place = warp.place(i.space, warp.address(i.addresses[0], lane), 8, 8, lane);
  if (place.space != Space::Shared)
    warp.fault(Fault::BadAccess, "an mbarrier is not in shared memory");
  return place;
}

static void initialize(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    Place place = barrierPlace(warp, i, lane);
    uint32_t count = warp.row<uint32_t>(i.rows[0])[lane];
    if (!count || count >= 1u << 20)
      warp.fault(Fault::Misuse, "an mbarrier for ", count, " arrivals");
    warp.noteWrite(place, 8);
    std::memcpy(place.data, &Mbarrier::pattern, 8);
    auto [found, isNew] = place.block->mbarriers.try_emplace(place.offset);
    Mbarrier &barrier = found->second;
    unsigned slot = isNew ? unsigned(place.block->mbarriers.size()) : barrier.slot;
    barrier = {};
    barrier.slot = slot;
    barrier.expected = barrier.pending = count;
    barrier.arriving.resize(warp.home.cluster.agents.all());
    barrier.completed.resize(warp.home.cluster.agents.all());
    barrier.initializer = warp.number;
    barrier.initialized = warp.clock();
  });
}

static void invalidate(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    Place place = barrierPlace(warp, i, lane);
    warp.mbarrier(place);
    place.block->mbarriers.erase(place.offset);
  });
}

void arriveAt(Warp &warp, Mbarrier &barrier, uint32_t count, bool drop) {
  if (count > barrier.pending)
    warp.fault(Fault::Misuse, count, " arrivals at an mbarrier that expects ", barrier.pending,
               " more");
  barrier.pending -= count;
  if (drop)
    barrier.expected -= count;
  barrier.arriving.join(warp.known);
}

/// What a warp does after its arrivals is not known to those who wait.
void endArrivals(Warp &warp) {
  ++warp.known.seen[warp.number];
  ++warp.home.cluster.events;
}

/// Rows: state, count or bytes.
static void arrive(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    Mbarrier &barrier = warp.mbarrier(barrierPlace(warp, i, lane));
    uint32_t operand = i.flags & (counted | expects) ? warp.row<uint32_t>(i.rows[1])[lane] : 1;
    if (i.flags & hasState)
      warp.row<uint64_t>(i.rows[0])[lane] = barrier.phase;
    if (i.flags & expects)
      barrier.transactions += operand;
    arriveAt(warp, barrier, i.flags & expects ? 1 : operand, i.flags & drops);
    warp.home.cluster.settle(barrier);
  });
  endArrivals(warp);
}

static void transact(Warp &warp, const Instruction &i) {
  forLanes(warp.mask, [&](unsigned lane) {
    Mbarrier &barrier = warp.mbarrier(barrierPlace(warp, i, lane));
    int64_t bytes = warp.row<uint32_t>(i.rows[0])[lane];
    barrier.transactions += i.flags & expects ? bytes : -bytes;
    if (!(i.flags & expects))
      warp.home.cluster.settle(barrier);
  });
  ++warp.home.cluster.events;
}

/// Rows: result, state or parity.
static void wait(Warp &warp, const Instruction &i) {
  uint32_t done = 0;
  std::vector<Place> missing;
  forLanes(warp.mask, [&](unsigned lane) {
    Place place = barrierPlace(warp, i, lane);
    Mbarrier &barrier = warp.mbarrier(place);
    uint32_t phase = i.flags & parity ? warp.row<uint32_t>(i.rows[1])[lane]
                                      : uint32_t(warp.row<uint64_t>(i.rows[1])[lane]);
    if (phase > 1)
      warp.fault(Fault::Misuse, "phase ", phase, " of an mbarrier");
    if (barrier.phase != phase) {
      warp.acquire(barrier.completed);
      done |= 1u << lane;
    } else {
      missing.push_back(place);
    }
  });
  // A copy lands after the question: the next one may find it.
  if (!missing.empty())
    warp.home.cluster.land(*missing.front().block, missing.front().offset);
  uint32_t &result = warp.predicate(i.rows[0]);
  result = (result & ~warp.mask) | done;
  if (done != warp.mask)
    warp.yield(true);
}

static void takeScope(Decoder &d) {
  d.oneOf({"release", "acquire", "relaxed"});
  d.oneOf({"cta", "cluster"});
  if (d.oneOf({"shared", "shared::cta", "shared::cluster"}) >= 0)
    d.out.space = Space::Shared;
  if (d.typeOr(Type::B64) != Type::B64)
    d.unsupported("the type");
}

static Run decodeArrive(Decoder &d, bool drop) {
  if (d.take("expect_tx"))
    d.out.flags |= expects;
  d.take("noComplete");
  takeScope(d);
  if (drop)
    d.out.flags |= drops;
  if (d.peek().kind == Operand::Address) {
    d.skipRow();
  } else {
    bool sink = d.peek().kind == Operand::Sink;
    d.destination(Type::B64);
    d.out.flags |= sink ? 0 : hasState;
  }
  d.address(0);
  if (d.more()) {
    d.source(Type::U32);
    d.out.flags |= d.out.flags & expects ? 0 : counted;
  } else if (d.out.flags & expects) {
    d.unsupported("the form without bytes");
  }
  return arrive;
}

static Run decodeWait(Decoder &d, bool isTry) {
  if (d.take("parity"))
    d.out.flags |= parity;
  takeScope(d);
  d.destination(Type::Pred);
  d.address(0);
  d.source(d.out.flags & parity ? Type::U32 : Type::B64);
  if (isTry && d.more())
    d.source(Type::U32); // how long to sleep
  return wait;
}

static Run decodeMbarrier(Decoder &d) {
  int operation = d.requireOneOf({"init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait",
                                  "expect_tx", "complete_tx"});
  switch (operation) {
  case 0:
    takeScope(d);
    d.address(0);
    d.source(Type::U32);
    return initialize;
  case 1:
    takeScope(d);
    d.address(0);
    return invalidate;
  case 2:
  case 3:
    return decodeArrive(d, operation == 3);
  case 4:
  case 5:
    return decodeWait(d, operation == 5);
  default:
    takeScope(d);
    d.out.flags = operation == 6 ? expects : 0;
    d.address(0);
    d.source(Type::U32);
    return transact;
  }
}

void addMbarriers(InstructionSet &set) { set.emplace("mbarrier", decodeMbarrier); }

} // namespace attune::ptx
