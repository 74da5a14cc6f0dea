//===- Evaluation.h - The sizes of one call ---------------------------------------------------===//
//
// Values of a program's scalars. An instruction that fails (overflow, division by zero) is an error
// only where its result is used: the branch of a `select` that is not taken may be nonsense.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_EVALUATION_H
#define ATTUNE_RUNTIME_EVALUATION_H

#include "attune/runtime/Program.h"
#include <span>

namespace attune::rt {

/// What scalars stand on. Two calls with equal sizes have equal scalars up to the first `load`.
struct CallSizes {
  std::vector<std::vector<int64_t>> dims;           ///< per input
  std::vector<int64_t> inCapacities, outCapacities; ///< along the alias axis; -1: the extent
  int64_t threads = 1;

  bool operator==(const CallSizes &) const = default;
};

class Evaluation {
public:
  void reset(size_t scalars);
  /// Evaluates `list` in order.
  void evaluate(const Program &program, std::span<const uint32_t> list, const CallSizes &sizes);
  void define(uint32_t scalar, int64_t value);

  /// Throws Error if the scalar could not be computed.
  int64_t operator[](uint32_t scalar) const;
  /// As above, for a size: throws Error also if it is negative.
  uint64_t size(uint32_t scalar) const;
  /// Number of elements of a value; throws Error if it overflows.
  uint64_t elements(const Value &value) const;
  /// Bytes that a dense tensor of that shape takes.
  uint64_t bytes(const Value &value) const;
  /// Throws Error if a check that became known in `phase` fails.
  void check(const Program &program, Phase phase) const;

private:
  enum class State : uint8_t { Unknown, Known, Overflow, DivisionByZero };
  std::vector<int64_t> values;
  std::vector<State> states;
};

} // namespace attune::rt
#endif
