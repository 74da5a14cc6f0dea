// bra, brx.idx, ret, exit, trap, nanosleep, setmaxnreg, griddepcontrol.
#include "attune/test/ptxemu/Lanes.h"

namespace attune::ptx {

static uint32_t labelOf(Decoder &d, const std::string &name) {
  auto found = d.kernel.labels.find(name);
  if (found == d.kernel.labels.end())
    d.unsupported("the label '", name, "'");
  return found->second;
}

static Run decodeBranch(Decoder &d) {
  d.take("uni");
  d.out.target = labelOf(d, d.peek().name);
  d.pass();
  return [](Warp &warp, const Instruction &i) { warp.branch(warp.mask, i.target, i.join); };
}

/// Lanes part by their index, one target after the other.
static Run decodeTable(Decoder &d) {
  if (!d.take("idx"))
    d.unsupported("the form without .idx");
  d.take("uni");
  d.source(Type::U32);
  auto table = d.kernel.tables.find(d.peek().name);
  if (table == d.kernel.tables.end() || table->second.size() > 0xffff)
    d.unsupported("the table '", d.peek().name, "'");
  d.pass();
  if (d.out.guard != none)
    d.unsupported("the guard");
  d.out.list = uint32_t(d.program.lists.size());
  d.out.count = uint16_t(table->second.size());
  for (const std::string &label : table->second)
    d.program.lists.push_back(labelOf(d, label));
  d.out.target = d.program.lists[d.out.list];
  return [](Warp &warp, const Instruction &i) {
    const uint32_t *index = warp.row<uint32_t>(i.rows[0]);
    std::vector<uint32_t> lanesOf(i.count);
    forLanes(warp.mask, [&](unsigned lane) {
      if (index[lane] >= i.count)
        warp.fault(Fault::Misuse, "index ", index[lane], " in a table of ", i.count);
      lanesOf[index[lane]] |= 1u << lane;
    });
    for (unsigned entry = 0; entry < i.count; ++entry)
      if (lanesOf[entry])
        warp.branch(lanesOf[entry], warp.program.lists[i.list + entry], i.join);
  };
}

static Run decodeExit(Decoder &d) {
  d.take("uni");
  d.out.ends = true;
  return [](Warp &warp, const Instruction &) { warp.exit(warp.mask); };
}

static Run decodeTrap(Decoder &d) {
  d.out.ends = true;
  return [](Warp &warp, const Instruction &) { warp.fault(Fault::Misuse, "trap"); };
}

static Run decodeSleep(Decoder &d) {
  d.type();
  d.source(Type::U32);
  return [](Warp &warp, const Instruction &) { warp.yield(false); };
}

/// Registers are not counted, and launches do not overlap.
static Run decodeNothing(Decoder &d) {
  if (d.statement->opcode == "setmaxnreg") {
    d.requireOneOf({"inc", "dec"});
    d.take("sync");
    d.take("aligned");
    d.type();
    d.immediate();
  } else {
    d.requireOneOf({"launch_dependents", "wait"});
  }
  return [](Warp &, const Instruction &) {};
}

void addControl(InstructionSet &set) {
  set.emplace("bra", decodeBranch);
  set.emplace("brx", decodeTable);
  set.emplace("ret", decodeExit);
  set.emplace("exit", decodeExit);
  set.emplace("trap", decodeTrap);
  set.emplace("nanosleep", decodeSleep);
  set.emplace("setmaxnreg", decodeNothing);
  set.emplace("griddepcontrol", decodeNothing);
}

} // namespace attune::ptx
