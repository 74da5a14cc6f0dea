// bar, barrier, barrier.cluster, membar, fence.
#include "attune/test/ptxemu/Lanes.h"

namespace attune::ptx {

namespace {
enum Kind { Sync, Arrive, Reduce };
constexpr uint32_t aligned = 1, counted = 2, negated = 4;
} // namespace

static uint32_t uniform(Warp &warp, uint32_t row, const char *what) {
  const uint32_t *values = warp.row<uint32_t>(row);
  uint32_t value = values[std::countr_zero(warp.mask)];
  forLanes(warp.mask, [&](unsigned lane) {
    if (values[lane] != value)
      warp.fault(Fault::Misuse, "lanes differ in ", what);
  });
  return value;
}

/// Rows: barrier, threads, destination and predicate of a reduction.
static void arrive(Warp &warp, const Instruction &i) {
  if ((i.flags & aligned) && warp.mask != warp.alive)
    warp.fault(Fault::Misuse, "divergent lanes at an aligned barrier");
  uint32_t index = uniform(warp, i.rows[0], "the barrier");
  if (index > 15)
    warp.fault(Fault::Misuse, "barrier ", index, " of 16");
  Barrier &barrier = warp.home.barrier(index);
  uint32_t expected = i.flags & counted ? uniform(warp, i.rows[1], "the number of threads") : 0;
  if (expected % 32 || ((i.flags & counted) && !expected))
    warp.fault(Fault::Misuse, expected, " threads at a barrier are not a multiple of 32");
  if (barrier.arrived && barrier.expected != expected)
    warp.fault(Fault::Misuse, "warps expect different numbers of threads at barrier ", index);
  if (!barrier.arrived)
    barrier.allTrue = 1;
  barrier.expected = expected;
  // Aligned arrivals with a number count whole warps.
  barrier.arrived += expected && (i.flags & aligned) ? 32 : unsigned(std::popcount(warp.mask));
  if (expected && barrier.arrived > expected)
    warp.fault(Fault::Misuse, "more threads than ", expected, " arrive at barrier ", index);
  warp.release(barrier.knowledge);
  ++warp.home.cluster.events;
  const int kind = i.count & 3;
  if (kind == Reduce) {
    uint32_t votes = (warp.predicate(i.rows[3]) ^ (i.flags & negated ? ~0u : 0)) & warp.mask;
    barrier.allTrue &= votes == warp.mask;
    barrier.anyTrue |= votes != 0;
    barrier.countTrue += unsigned(std::popcount(votes));
  }
  if (kind != Arrive)
    warp.block(index, kind == Reduce ? i.rows[2] : none, uint8_t(i.count >> 2));
  warp.home.releaseBarrier(index);
}

/// Members wait for each other; in lockstep they are together, or never will be.
static Run decodeWarpBarrier(Decoder &d) {
  d.take("sync");
  d.source(Type::B32);
  return [](Warp &warp, const Instruction &i) {
    if (uniform(warp, i.rows[0], "the member mask") & warp.alive & ~warp.mask)
      warp.fault(Fault::Misuse, "lanes of the member mask do not take part: they are elsewhere");
  };
}

static Run decodeClusterBarrier(Decoder &d) {
  bool wait = d.requireOneOf({"arrive", "wait"}) == 1;
  d.oneOf({"release", "relaxed", "acquire"});
  d.take("aligned");
  if (!wait)
    return [](Warp &warp, const Instruction &) {
      Cluster &cluster = warp.home.cluster;
      if (warp.mask != warp.alive)
        warp.fault(Fault::Misuse, "divergent lanes at the barrier of a cluster");
      warp.clusterArrivals = cluster.clusterPhase + 1;
      cluster.clusterBarrier.arrived += unsigned(std::popcount(warp.mask));
      warp.release(cluster.clusterBarrier.knowledge);
      ++cluster.events;
      cluster.releaseClusterBarrier();
    };
  return [](Warp &warp, const Instruction &) {
    Cluster &cluster = warp.home.cluster;
    if (!warp.clusterArrivals)
      warp.fault(Fault::Misuse, "wait for the barrier of a cluster without arrival");
    if (cluster.clusterPhase < warp.clusterArrivals)
      warp.block(Warp::clusterBarrier);
    else
      warp.acquire(cluster.clusterBarrier.knowledge);
  };
}

static Run decodeBarrier(Decoder &d) {
  if (d.take("cluster"))
    return decodeClusterBarrier(d);
  if (d.take("warp"))
    return decodeWarpBarrier(d);
  d.take("cta");
  int kind = d.requireOneOf({"sync", "arrive", "red"}), operation = 0;
  // `bar` is the aligned form of `barrier`.
  d.out.flags = d.take("aligned") || d.statement->opcode == "bar" ? aligned : 0;
  if (kind == Reduce) {
    operation = d.requireOneOf({"popc", "and", "or"});
    Type type = d.type();
    d.out.rows[2] = d.rowOf(d.peek(), type, true);
    d.pass();
  }
  d.source(Type::B32);
  size_t left = d.statement->operands.size() - (kind == Reduce ? 3 : 1);
  if (left) {
    d.source(Type::B32);
    d.out.flags |= counted;
  } else if (kind == Arrive) {
    d.unsupported("the form without a number of threads");
  } else {
    d.skipRow();
  }
  if (kind == Reduce) {
    d.skipRow();
    d.predicate(negated);
  }
  d.out.count = uint16_t(kind | operation << 2);
  return arrive;
}

/// Only the proxy fence has an effect of its own: what the warp knows becomes visible to
/// asynchronous engines. Memory is sequential otherwise.
static Run decodeFence(Decoder &d) {
  if (!d.take("proxy")) {
    d.take("mbarrier_init");
    d.oneOf({"sc", "acq_rel", "acquire", "release"});
    d.oneOf({"cta", "cluster", "gpu", "sys", "gl"});
    return [](Warp &, const Instruction &) {};
  }
  d.requireOneOf({"async"});
  d.oneOf({"global", "shared::cta", "shared::cluster"});
  return [](Warp &warp, const Instruction &) { warp.known.fenced = warp.known.seen; };
}

void addBarriers(InstructionSet &set) {
  set.emplace("bar", decodeBarrier);
  set.emplace("barrier", decodeBarrier);
  set.emplace("membar", decodeFence);
  set.emplace("fence", decodeFence);
}

} // namespace attune::ptx
