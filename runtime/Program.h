//===- Program.h - The host program of an artifact --------------------------------------------===//
//
// The metadata of docs/artifact.md, parsed and checked: every position, phase and name in a Program
// is valid, so that the executor need not look again. What depends on a call's sizes is checked by
// the call.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_PROGRAM_H
#define ATTUNE_RUNTIME_PROGRAM_H

#include "attune/runtime/attune.h"
#include <cstdint>
#include <string>
#include <vector>

namespace attune::rt {

enum class ScalarOp : uint8_t {
  Const,
  Dim,
  Threads,
  InCapacity,
  OutCapacity,
  Add,
  Sub,
  Mul,
  FloorDiv,
  CeilDiv,
  Mod,
  Min,
  Max,
  Eq,
  Ne,
  Lt,
  Le,
  And,
  Or,
  Not,
  Select,
  Loaded
};

/// Positions in Program::steps; what needs no `load` step has phase kStart.
using Phase = int32_t;
inline constexpr Phase kStart = -1;

struct Scalar {
  ScalarOp op = ScalarOp::Const;
  Phase phase = kStart;        ///< the `load` step after which it is known
  int64_t a = 0, b = 0, c = 0; ///< operands: value, positions or axis
};

struct Check {
  uint32_t scalar = 0;
  std::string message;
};

enum class ValueKind : uint8_t { Input, Output, Weight, Arena, Dynamic };

struct Value {
  ValueKind kind = ValueKind::Input;
  attune_dtype dtype = 0;
  Phase phase = kStart;        ///< when shape and bytes are known
  uint32_t index = 0;          ///< of the input or output, or the slot
  std::vector<uint32_t> shape; ///< scalars
  uint32_t bytes = 0;          ///< scalar, of Arena and Dynamic
  uint64_t offset = 0, weightBytes = 0;
  int32_t firstUse = -1, lastUse = -1; ///< steps
};

/// Calls a kernel, loads an element or copies; kind is ATTUNE_STEP_*.
struct Step {
  uint32_t kind = ATTUNE_STEP_KERNEL;
  uint32_t kernel = 0;
  std::vector<uint32_t> buffers;   ///< values; of a copy: from, to; of a load: the tensor
  std::vector<uint32_t> dims;      ///< scalars
  int32_t flops = -1, bytes = -1;  ///< scalars; -1: not given. A copy's `bytes` is always given.
  int64_t element = 0;             ///< of a load
  uint32_t scalar = 0;             ///< defined by a load
  std::vector<uint32_t> evaluates; ///< scalars that a load makes known, `scalar` excluded
};

struct Port {
  std::string name;
  attune_dtype dtype = 0;
  uint32_t value = 0;
  std::vector<int64_t> shape;       ///< -1 where not fixed
  std::vector<std::string> symbols; ///< empty where there is none
};

struct Alias {
  uint32_t input, output, axis;
};

struct Kernel {
  std::string symbol, name, emitter, backend, hash;
  std::vector<std::string> nodes;
};

enum class Target : uint8_t { Cpu, OpenCl, Cuda };

struct Program {
  std::string model, compiler, cpu;
  Target target = Target::Cpu;
  std::vector<Port> inputs, outputs;
  std::vector<Alias> aliases;
  std::vector<Scalar> scalars;
  std::vector<uint32_t> evaluatedAtStart;
  std::vector<Check> checks;
  std::vector<Value> values;
  std::vector<std::vector<uint32_t>> slots;
  std::vector<Kernel> kernels;
  std::vector<Step> steps;
  /// Inputs whose kernels take the capacity of an alias axis (scalar `in_capacity`).
  std::vector<bool> stridedInputs, stridedOutputs;

  /// Parses and checks; throws Error.
  static Program parse(const std::string &metadata, uint64_t weightsSize);
};

} // namespace attune::rt
#endif
