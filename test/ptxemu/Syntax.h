//===- Syntax.h - A PTX module as text has it -------------------------------------------------===//
//
// What the parser makes and the decoder reads: declarations with their sizes, statements with their
// operands, names resolved to registers and nothing else. `parse` throws a Fault (Malformed, or
// Unsupported for functions that are not kernels, 128-bit registers and the like) naming the line.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_SYNTAX_H
#define ATTUNE_TEST_PTXEMU_SYNTAX_H

#include "attune/test/ptxemu/Types.h"
#include <array>
#include <map>
#include <vector>

namespace attune::ptx {

struct Operand {
  enum Kind { Register, Constant, Name, Special, Vector, Address, Pair, Sink } kind = Sink;
  unsigned index = 0;         ///< Register: into Kernel::registers
  uint64_t bits = 0;          ///< Constant
  Type literal = Type::None;  ///< Constant: F32 or F64 where it is written as such
  std::string name;           ///< Name (variable or label) and Special
  int64_t offset = 0;         ///< Address: added to the base, parts[0]; Name: to the variable
  std::vector<Operand> parts; ///< Vector, Pair (a|b), Address (base, then coordinates)
  bool negated = false;       ///< !p
};

struct Statement {
  unsigned line = 0;
  std::string text;
  std::string opcode;                 ///< up to the first dot
  std::vector<std::string> modifiers; ///< what follows, without dots
  std::optional<Operand> guard;
  std::vector<Operand> operands;
};

struct Variable {
  uint64_t offset = 0, bytes = 0, align = 1;
  bool dynamic = false; ///< .extern .shared: its size comes with the launch
  std::vector<uint8_t> initial;
};

/// Variables of one space, laid out one after the other.
struct Section {
  std::map<std::string, Variable, std::less<>> variables;
  uint64_t bytes = 0;

  void add(std::string name, Variable variable);
  const Variable *find(std::string_view name) const;
};

struct Kernel {
  std::string name;
  Section parameters, shared, local;
  std::vector<std::string> parameterOrder;
  std::vector<Type> registers;
  std::vector<Statement> statements;
  std::map<std::string, unsigned> labels; ///< statement that follows
  std::map<std::string, std::vector<std::string>> tables;
  std::array<unsigned, 3> requiredBlock{}, largestBlock{}, cluster{};
};

struct Module {
  std::string target; ///< sm_80, sm_90a, …
  std::vector<Kernel> kernels;
  Section globals, shared;
};

Module parse(std::string_view source);

} // namespace attune::ptx
#endif
