#include "attune/codegen/Program.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <limits>

using namespace attune::codegen;

namespace {

/// Sizes for a plausible call: the plan must fit all sizes, but which values share a slot is
/// decided by what they weigh at typical ones.
std::vector<int64_t> estimateScalars(const Program &program) {
  constexpr int64_t typicalExtent = 128, typicalThreads = 8;
  std::vector<int64_t> values;
  for (const Program::Scalar &scalar : program.scalars) {
    auto operand = [&](size_t i) { return values[scalar.operands[i]]; };
    auto nonZero = [](int64_t x) { return x == 0 ? 1 : x; };
    const std::string &op = scalar.op;
    int64_t value = typicalExtent;
    if (op == "const")
      value = scalar.operands[0];
    else if (op == "threads")
      value = typicalThreads;
    else if (op == "add")
      value = operand(0) + operand(1);
    else if (op == "sub")
      value = operand(0) - operand(1);
    else if (op == "mul")
      value = operand(0) * operand(1);
    else if (op == "floordiv")
      value = operand(0) / nonZero(operand(1));
    else if (op == "ceildiv")
      value = (operand(0) + operand(1) - 1) / nonZero(operand(1));
    else if (op == "mod")
      value = operand(0) % nonZero(operand(1));
    else if (op == "min")
      value = std::min(operand(0), operand(1));
    else if (op == "max")
      value = std::max(operand(0), operand(1));
    else if (op == "select")
      value = operand(1);
    values.push_back(value);
  }
  return values;
}

struct Lifetime {
  int64_t first = std::numeric_limits<int64_t>::max();
  int64_t last = -1;
};

} // namespace

void attune::codegen::planMemory(Program &program) {
  std::vector<int64_t> scalars = estimateScalars(program);
  std::vector<Lifetime> lifetimes(program.values.size());
  for (auto [index, step] : llvm::enumerate(program.steps))
    for (int64_t value : step.buffers) {
      lifetimes[value].first = std::min<int64_t>(lifetimes[value].first, index);
      lifetimes[value].last = std::max<int64_t>(lifetimes[value].last, index);
    }

  std::vector<int64_t> order;
  for (auto [index, value] : llvm::enumerate(program.values))
    if (value.kind == Program::Kind::Arena)
      order.push_back(index);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scalars[program.values[a].bytes] > scalars[program.values[b].bytes];
  });

  // Largest first; each value takes the slot of the closest size that is free all its life.
  struct Slot {
    int64_t bytes;
    std::vector<Lifetime> taken;
  };
  std::vector<Slot> slots;
  program.slots.clear();
  for (int64_t index : order) {
    Program::Value &value = program.values[index];
    Lifetime life = lifetimes[index];
    int64_t bytes = scalars[value.bytes];
    auto isFree = [&](const Slot &slot) {
      return llvm::none_of(slot.taken, [&](const Lifetime &other) {
        return life.first <= other.last && other.first <= life.last;
      });
    };
    int64_t best = -1;
    for (auto [number, slot] : llvm::enumerate(slots))
      if (isFree(slot) && (best < 0 || slot.bytes < slots[best].bytes))
        best = number;
    if (best < 0) {
      best = slots.size();
      slots.push_back({bytes, {}});
      program.slots.emplace_back();
    }
    slots[best].taken.push_back(life);
    value.slot = best;
    std::vector<int64_t> &sizes = program.slots[best];
    if (!llvm::is_contained(sizes, value.bytes))
      sizes.push_back(value.bytes);
  }
}
