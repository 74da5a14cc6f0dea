#include "attune/test/ptxemu/Warp.h"
#include <algorithm>

namespace attune::ptx {

Warp::Warp(Block &block, unsigned index, unsigned number)
    : home(block), program(*block.cluster.launch.program), index(index), number(number) {
  const auto &extent = block.cluster.launch.block;
  unsigned threads = extent[0] * extent[1] * extent[2], first = index * 32;
  alive = threads - first >= 32 ? ~0u : (1u << (threads - first)) - 1;
  fragments.push_back({0, alive, -1});
  local.assign(program.localBytes * 32, 0xff);
  known.resize(block.cluster.agents.all());
  known.seen[number] = 1;
  fillRegisters();
}

void Warp::fillRegisters() {
  // What nobody has written is not a number, and not a small integer.
  file.assign(program.words, 0xffdead77);
  for (const Program::Constant &constant : program.constants) {
    if (constant.words == 64)
      std::fill_n(row<uint64_t>(constant.row), 32, constant.value);
    else
      std::fill_n(&file[constant.row], constant.words, uint32_t(constant.value));
  }
  for (const Program::SpecialRow &it : program.specials)
    for (unsigned lane = 0; lane < 32; ++lane)
      file[it.row + lane] = uint32_t(special(it.special, lane));
}

uint64_t Warp::special(Special special, unsigned lane) const {
  const Cluster &cluster = home.cluster;
  const Launch &launch = cluster.launch;
  unsigned thread = index * 32 + lane, kind = unsigned(special);
  const auto &extent = launch.block;
  const std::array<unsigned, 3> tid{thread % extent[0], thread / extent[0] % extent[1],
                                    thread / extent[0] / extent[1]};
  std::array<unsigned, 3> clusters, inCluster;
  for (unsigned d = 0; d < 3; ++d) {
    clusters[d] = launch.grid[d] / launch.cluster[d];
    inCluster[d] = home.id[d] % launch.cluster[d];
  }
  const std::array<unsigned, 3> *const vectors[] = {
      &tid, &extent, &home.id, &launch.grid, &cluster.id, &clusters, &inCluster, &launch.cluster};
  if (special < Special::ClusterCtarank)
    return (*vectors[kind / 3])[kind % 3];
  switch (special) {
  case Special::ClusterCtarank:
    return home.rank;
  case Special::ClusterNctarank:
    return cluster.blocks.size();
  case Special::LaneId:
    return lane;
  case Special::WarpId:
    return index;
  case Special::NwarpId:
    return (extent[0] * extent[1] * extent[2] + 31) / 32;
  case Special::NsmId:
    return 1;
  case Special::DynamicShared:
    return launch.dynamicShared;
  case Special::TotalShared:
    return home.shared.size();
  case Special::MaskEq:
    return 1u << lane;
  case Special::MaskLt:
    return (1u << lane) - 1;
  case Special::MaskLe:
    return (2u << lane) - 1;
  case Special::MaskGt:
    return ~((2u << lane) - 1);
  case Special::MaskGe:
    return ~((1u << lane) - 1);
  default:
    return 0;
  }
}

//===------------------------------------------------------------------------------------------===//
// Control
//===------------------------------------------------------------------------------------------===//

Warp::Turn Warp::run(unsigned quantum, uint64_t &steps) {
  const Instruction *code = program.code.data();
  const uint32_t end = uint32_t(program.code.size());
  Count *counts = home.cluster.counts.data();
  paused = waiting = false;
  while (active || resume()) {
    if (join >= 0 && joins[join].pc == pc) {
      arriveAtJoin();
      continue;
    }
    if (pc == end) {
      exit(active);
      continue;
    }
    if (quantum-- == 0) {
      suspend();
      return Turn::Ran;
    }
    const Instruction &instruction = code[pc];
    current = pc++;
    mask = active;
    if (instruction.guard != none)
      mask &= instruction.guardNegated ? ~file[instruction.guard] : file[instruction.guard];
    ++counts[current].executed;
    ++steps;
    if (mask)
      instruction.run(*this, instruction);
    if (paused) {
      if (active)
        suspend();
      return waiting ? Turn::Waiting : Turn::Ran;
    }
  }
  return alive ? Turn::Blocked : Turn::Done;
}

bool Warp::resume() {
  auto ready = std::find_if(fragments.begin(), fragments.end(),
                            [](const Fragment &fragment) { return fragment.barrier < 0; });
  if (ready == fragments.end())
    return false;
  pc = ready->pc;
  active = ready->lanes;
  join = ready->join;
  fragments.erase(ready);
  return true;
}

void Warp::suspend() {
  fragments.push_back({pc, active, join});
  active = 0;
}

void Warp::yield(bool isWaiting) {
  paused = true;
  waiting = isWaiting;
}

void Warp::branch(uint32_t taken, uint32_t target, uint32_t meet) {
  if (taken == active) {
    pc = target;
    return;
  }
  if (join < 0 || joins[join].pc != meet) {
    int created;
    if (freeJoins.empty()) {
      created = int(joins.size());
      joins.push_back({});
    } else {
      created = freeJoins.back();
      freeJoins.pop_back();
    }
    joins[created] = {meet, active, 0, join};
    join = created;
  }
  fragments.push_back({target, taken, join});
  active &= ~taken;
}

void Warp::arriveAtJoin() {
  Join &here = joins[join];
  here.arrived |= active;
  active = 0;
  if (here.arrived != here.expected)
    return;
  active = here.arrived;
  freeJoins.push_back(join);
  join = here.parent;
}

void Warp::leaveJoins(uint32_t lanes) {
  for (int i = join, parent; i >= 0; i = parent) {
    Join &here = joins[i];
    parent = here.parent;
    here.expected &= ~lanes;
    if (here.expected != here.arrived)
      continue;
    if (here.arrived)
      fragments.push_back({here.pc, here.arrived, here.parent});
    freeJoins.push_back(i);
  }
}

void Warp::exit(uint32_t lanes) {
  leaveJoins(lanes);
  alive &= ~lanes;
  active &= ~lanes;
  if (!alive)
    finish();
  for (unsigned i = 0; i < clusterBarrier; ++i)
    home.releaseBarrier(i);
  home.cluster.releaseClusterBarrier();
  ++home.cluster.events;
}

void Warp::finish() {
  if (!copies.empty())
    fault(Fault::Misuse, "the warp ends while its cp.async are in flight");
  if (!stores.empty())
    fault(Fault::Misuse, "the warp ends while its bulk stores read shared memory");
  if (!products.empty())
    fault(Fault::Misuse, "the warp ends while its wgmma.mma_async are in flight");
}

void Warp::block(unsigned barrier, uint32_t resultRow, uint8_t operation) {
  fragments.push_back({pc, active, join, int(barrier), resultRow, operation});
  active = 0;
}

void Warp::unblock(unsigned barrier, const Barrier &state) {
  for (Fragment &fragment : fragments) {
    if (fragment.barrier != int(barrier))
      continue;
    fragment.barrier = -1;
    acquire(state.knowledge);
    if (fragment.resultRow == none)
      continue;
    if (fragment.operation == 0) { // popc
      forLanes(fragment.lanes,
               [&](unsigned lane) { file[fragment.resultRow + lane] = state.countTrue; });
    } else {
      bool value = fragment.operation == 1 ? state.allTrue : state.anyTrue;
      uint32_t &bits = file[fragment.resultRow];
      bits = value ? bits | fragment.lanes : bits & ~fragment.lanes;
    }
  }
}

void Warp::raise(Fault::Kind kind, const std::string &what) {
  const Program::Source &source = program.sources[current];
  fail(kind, what, "; line ", source.line, " of kernel '", program.name, "': `", source.text,
       "`, block (", home.id[0], ", ", home.id[1], ", ", home.id[2], "), warp ", index);
}

} // namespace attune::ptx
