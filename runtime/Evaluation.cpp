#include "attune/runtime/Evaluation.h"
#include "attune/runtime/DType.h"
#include "attune/runtime/Error.h"
#include <algorithm>

namespace attune::rt {

void Evaluation::reset(size_t scalars) {
  values.assign(scalars, 0);
  states.assign(scalars, State::Unknown);
}

void Evaluation::define(uint32_t scalar, int64_t value) {
  values[scalar] = value;
  states[scalar] = State::Known;
}

void Evaluation::evaluate(const Program &program, std::span<const uint32_t> list,
                          const CallSizes &sizes) {
  for (uint32_t number : list) {
    const Scalar &scalar = program.scalars[number];
    State state = State::Known;
    auto operand = [&](int64_t i) {
      if (states[i] != State::Known)
        state = states[i];
      return values[i];
    };
    auto capacity = [&](const std::vector<int64_t> &capacities) {
      int64_t given = capacities[scalar.a];
      return given >= 0 ? given : operand(scalar.b);
    };
    // The quotient's rounding: -1 down, 1 up.
    auto divide = [&](int64_t x, int64_t y, int rounding) -> int64_t {
      if (y == 0 || (x == INT64_MIN && y == -1)) {
        state = state != State::Known ? state : y ? State::Overflow : State::DivisionByZero;
        return 0;
      }
      int64_t quotient = x / y, sign = (x < 0) == (y < 0) ? 1 : -1;
      return quotient + (x % y != 0 && sign == rounding ? rounding : 0);
    };
    auto checked = [&](bool overflows, int64_t value) {
      if (overflows && state == State::Known)
        state = State::Overflow;
      return value;
    };
    bool binary = scalar.op >= ScalarOp::Add && scalar.op <= ScalarOp::Or;
    int64_t x = binary ? operand(scalar.a) : 0, y = binary ? operand(scalar.b) : 0, value = 0;
    switch (scalar.op) {
    case ScalarOp::Const:
      value = scalar.a;
      break;
    case ScalarOp::Dim:
      value = sizes.dims[scalar.a][scalar.b];
      break;
    case ScalarOp::Threads:
      value = sizes.threads;
      break;
    case ScalarOp::InCapacity:
      value = capacity(sizes.inCapacities);
      break;
    case ScalarOp::OutCapacity:
      value = capacity(sizes.outCapacities);
      break;
    case ScalarOp::Add:
      value = checked(__builtin_add_overflow(x, y, &value), value);
      break;
    case ScalarOp::Sub:
      value = checked(__builtin_sub_overflow(x, y, &value), value);
      break;
    case ScalarOp::Mul:
      value = checked(__builtin_mul_overflow(x, y, &value), value);
      break;
    case ScalarOp::FloorDiv:
      value = divide(x, y, -1);
      break;
    case ScalarOp::CeilDiv:
      value = divide(x, y, 1);
      break;
    case ScalarOp::Mod:
      value = y == -1 ? 0 : x - divide(x, y, -1) * y;
      break;
    case ScalarOp::Min:
      value = std::min(x, y);
      break;
    case ScalarOp::Max:
      value = std::max(x, y);
      break;
    case ScalarOp::Eq:
      value = x == y;
      break;
    case ScalarOp::Ne:
      value = x != y;
      break;
    case ScalarOp::Lt:
      value = x < y;
      break;
    case ScalarOp::Le:
      value = x <= y;
      break;
    case ScalarOp::And:
      value = x && y;
      break;
    case ScalarOp::Or:
      value = x || y;
      break;
    case ScalarOp::Not:
      value = !operand(scalar.a);
      break;
    case ScalarOp::Select: {
      bool first = operand(scalar.a) != 0;
      value = operand(first ? scalar.b : scalar.c);
      break;
    }
    case ScalarOp::Loaded: // by `define`
      continue;
    }
    values[number] = value;
    states[number] = state;
  }
}

int64_t Evaluation::operator[](uint32_t scalar) const {
  switch (states[scalar]) {
  case State::Known:
    return values[scalar];
  case State::Overflow:
    fail(ATTUNE_ERROR_ARGUMENT, "these input sizes are too large: size arithmetic overflows");
  case State::DivisionByZero:
    fail(ATTUNE_ERROR_ARGUMENT, "these input sizes lead to a division by zero in size arithmetic");
  case State::Unknown:
    break;
  }
  fail(ATTUNE_ERROR_INTERNAL, "size ", scalar, " is used before it is known");
}

uint64_t Evaluation::size(uint32_t scalar) const {
  int64_t value = (*this)[scalar];
  if (value < 0)
    fail(ATTUNE_ERROR_ARGUMENT, "these inputs lead to a negative size (", value, ")");
  return uint64_t(value);
}

uint64_t Evaluation::elements(const Value &value) const {
  uint64_t count = 1;
  bool overflow = false, empty = false;
  for (uint32_t extent : value.shape) {
    uint64_t size = this->size(extent);
    empty |= size == 0;
    overflow |= __builtin_mul_overflow(count, size, &count);
  }
  if (empty)
    return 0;
  if (overflow)
    fail(ATTUNE_ERROR_ARGUMENT, "these input sizes are too large: a tensor has 2^64 elements");
  return count;
}

uint64_t Evaluation::bytes(const Value &value) const {
  uint64_t bytes = dtypeBytes(value.dtype, elements(value));
  if (bytes > uint64_t(INT64_MAX))
    fail(ATTUNE_ERROR_ARGUMENT, "these input sizes are too large: a tensor has 2^63 bytes");
  return bytes;
}

void Evaluation::check(const Program &program, Phase phase) const {
  for (const Check &check : program.checks)
    if (program.scalars[check.scalar].phase == phase && !(*this)[check.scalar])
      fail(ATTUNE_ERROR_ARGUMENT, check.message);
}

} // namespace attune::rt
