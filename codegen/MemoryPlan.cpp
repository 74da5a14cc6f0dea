#include "attune/codegen/Program.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

#include <algorithm>
#include <functional>
#include <limits>

using namespace attune::codegen;

/// Of a size that is known only in a call.
static constexpr int64_t kTypicalExtent = 128;

std::vector<int64_t> attune::codegen::evaluateScalars(
    const Program &program, llvm::function_ref<int64_t(int64_t, int64_t)> dimOf, int64_t threads) {
  using Binary = int64_t (*)(int64_t, int64_t);
  auto wrapped = [](auto operation) -> Binary { return operation; };
  auto binary = [&](llvm::StringRef op) {
    return llvm::StringSwitch<Binary>(op)
        .Case("add", wrapped([](int64_t x, int64_t y) -> int64_t { return uint64_t(x) + y; }))
        .Case("sub", wrapped([](int64_t x, int64_t y) -> int64_t { return uint64_t(x) - y; }))
        .Case("mul", wrapped([](int64_t x, int64_t y) -> int64_t { return uint64_t(x) * y; }))
        .Case("floordiv",
              wrapped([](int64_t x, int64_t y) { return llvm::divideFloorSigned(x, y); }))
        .Case("ceildiv", wrapped([](int64_t x, int64_t y) { return llvm::divideCeilSigned(x, y); }))
        .Case("mod", wrapped([](int64_t x, int64_t y) { return llvm::mod(x, y < 0 ? -y : y); }))
        .Case("min", wrapped([](int64_t x, int64_t y) { return std::min(x, y); }))
        .Case("max", wrapped([](int64_t x, int64_t y) { return std::max(x, y); }))
        .Case("eq", wrapped([](int64_t x, int64_t y) -> int64_t { return x == y; }))
        .Case("ne", wrapped([](int64_t x, int64_t y) -> int64_t { return x != y; }))
        .Case("lt", wrapped([](int64_t x, int64_t y) -> int64_t { return x < y; }))
        .Case("le", wrapped([](int64_t x, int64_t y) -> int64_t { return x <= y; }))
        .Case("and", wrapped([](int64_t x, int64_t y) { return x & y; }))
        .Case("or", wrapped([](int64_t x, int64_t y) { return x | y; }))
        .Default(nullptr);
  };
  std::vector<int64_t> values;
  for (const Program::Scalar &scalar : program.scalars) {
    auto operand = [&](size_t i) { return values[scalar.operands[i]]; };
    llvm::StringRef op = scalar.op;
    int64_t value = kTypicalExtent;
    if (op == "const")
      value = scalar.operands[0];
    else if (op == "dim")
      value = dimOf(scalar.operands[0], scalar.operands[1]);
    else if (op == "threads")
      value = threads;
    else if (op.ends_with("_capacity"))
      value = operand(1);
    else if (op == "not")
      value = !operand(0);
    else if (op == "select")
      value = operand(operand(0) ? 1 : 2);
    else if (Binary function = binary(op)) {
      int64_t divisor = op.contains("div") || op == "mod" ? 1 : 0;
      value = function(operand(0), operand(1) == 0 ? divisor : operand(1));
    }
    values.push_back(value);
  }
  return values;
}

namespace {

/// Sizes for a plausible call: the plan must fit all sizes, but which values share a slot is
/// decided by what they weigh at typical ones.
std::vector<int64_t> estimateScalars(const Program &program) {
  constexpr int64_t typicalThreads = 8;
  return evaluateScalars(program, [](int64_t, int64_t) { return kTypicalExtent; }, typicalThreads);
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
