//===- Program.h - A kernel in the flat form that the machine runs ----------------------------===//
//
// The decoder makes it once per module. An operand is a row: the position, in 32-bit words, of 32
// lanes' values in a warp's register file (64-bit registers take two words per lane, a predicate
// one word in all). Constants and special registers are rows too, filled when a warp starts, so
// that instructions never ask what an operand is.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_PROGRAM_H
#define ATTUNE_TEST_PTXEMU_PROGRAM_H

#include "attune/test/ptxemu/Syntax.h"

namespace attune::ptx {

class Warp;
struct Instruction;
using Run = void (*)(Warp &, const Instruction &);

inline constexpr uint32_t none = ~0u;

enum class Space : uint8_t { Generic, Global, Shared, Local, Parameter };

// Addresses of the generic space: the top byte tells the window.
inline constexpr uint64_t sharedWindow = uint64_t(1) << 56, localWindow = uint64_t(2) << 56,
                          parameterWindow = uint64_t(3) << 56, windowMask = uint64_t(0xff) << 56;

/// A base register or constant, and what is added to it.
struct Address {
  uint32_t row = none;
  bool wide = false; ///< the row has 64-bit words
  int64_t offset = 0;
};

struct Instruction {
  Run run = nullptr;
  uint32_t guard = none; ///< row of a predicate
  bool guardNegated = false;
  Space space = Space::Generic;
  bool ends = false;              ///< no lane goes on
  uint16_t count = 0;             ///< the family's: elements of a vector, matrices
  uint8_t bytes = 0;              ///< the family's: of an element
  uint32_t flags = 0;             ///< the family's
  std::array<uint32_t, 6> rows{}; ///< operands, destination first
  std::array<Address, 3> addresses{};
  uint32_t list = 0;      ///< further rows: Program::lists from here on
  uint32_t target = none; ///< of a branch
  uint32_t join = none;   ///< where the two ways of a branch meet again
};

enum class Special : uint8_t {
  TidX,
  TidY,
  TidZ,
  NtidX,
  NtidY,
  NtidZ,
  CtaidX,
  CtaidY,
  CtaidZ,
  NctaidX,
  NctaidY,
  NctaidZ,
  ClusterIdX,
  ClusterIdY,
  ClusterIdZ,
  NclusterIdX,
  NclusterIdY,
  NclusterIdZ,
  ClusterCtaidX,
  ClusterCtaidY,
  ClusterCtaidZ,
  ClusterNctaidX,
  ClusterNctaidY,
  ClusterNctaidZ,
  ClusterCtarank,
  ClusterNctarank,
  LaneId,
  WarpId,
  NwarpId,
  SmId,
  NsmId,
  DynamicShared,
  TotalShared,
  MaskEq,
  MaskLt,
  MaskLe,
  MaskGt,
  MaskGe
};

struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<uint32_t> lists;
  struct Source {
    unsigned line;
    std::string text;
  };
  std::vector<Source> sources; ///< per instruction

  uint32_t words = 0; ///< of a warp's register file
  struct Constant {
    uint32_t row, words; ///< 1 (a predicate), 32 or 64
    uint64_t value;
  };
  std::vector<Constant> constants;
  struct SpecialRow {
    uint32_t row;
    Special special;
  };
  std::vector<SpecialRow> specials;

  std::vector<Variable> parameters;
  uint64_t parameterBytes = 0, sharedBytes = 0, localBytes = 0;
  uint64_t dynamicBase = 0; ///< where shared memory of the launch begins
  unsigned granule = 4;     ///< bytes that races are told apart by
  std::array<unsigned, 3> requiredBlock{}, largestBlock{}, cluster{};
};

} // namespace attune::ptx
#endif
