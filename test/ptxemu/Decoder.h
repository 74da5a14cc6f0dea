//===- Decoder.h - Statements to instructions -------------------------------------------------===//
//
// `decode` makes the Program of a kernel. Every instruction belongs to a family (instructions/),
// which takes the modifiers and operands that it knows from a Decoder and returns the function that
// runs the instruction; what is left over is an error, so that nothing is ignored. A Fault names
// the line.
//
//   static Run decodeNot(Decoder &d) {          // not.type d, a;
//     Type type = d.type();
//     d.destination(type);
//     d.source(type);
//     return integers(d, type, []<class T>(T) { return lanes<T, T>([](T a) { return T(~a); }); });
//   }
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_DECODER_H
#define ATTUNE_TEST_PTXEMU_DECODER_H

#include "attune/test/ptxemu/Numbers.h"
#include "attune/test/ptxemu/Program.h"
#include <initializer_list>

namespace attune::ptx {

/// Device addresses of a module's variables.
using Globals = std::map<std::string, uint64_t, std::less<>>;

Program decode(const Module &module, const Kernel &kernel, const Globals &globals);

class Decoder {
public:
  Decoder(const Module &module, const Kernel &kernel, const Globals &globals, Program &program);

  void begin(const Statement &statement);
  /// Fails if a modifier or an operand is left.
  void finish();

  // Modifiers.
  bool take(std::string_view modifier);
  /// The position of the one that is there, or -1.
  int oneOf(std::initializer_list<std::string_view> modifiers);
  int requireOneOf(std::initializer_list<std::string_view> modifiers);
  /// The next type among the modifiers.
  Type type();
  Type typeOr(Type otherwise);
  /// The first type, without taking it; None if there is none.
  Type firstType() const;
  Rounding rounding(Rounding otherwise);
  /// The first modifier that is left, removed; empty if there is none.
  std::string next() { return takePrefix(""); }
  /// A modifier whose name begins so, removed; empty if there is none.
  std::string takePrefix(std::string_view prefix);

  // Operands, in their order. Rows go to the next place of Instruction::rows.
  bool more() const { return position < statement->operands.size(); }
  const Operand &peek() const;
  uint32_t destination(Type type);
  uint32_t source(Type type);
  /// Leaves a place of Instruction::rows to the family.
  void skipRow() { ++rowCount; }
  /// `p` or `!p`: the row, with `flag` set in Instruction::flags if negated.
  uint32_t predicate(uint32_t flag);
  /// A destination that may be wider than the type; its bits.
  unsigned wideDestination(Type type);
  unsigned wideSource(Type type);
  /// `a|b`: true if there was a second destination; its row follows the first.
  bool pairDestination(Type first, Type second);
  /// [address], with the space that belongs to it; further parts stay for `coordinates`.
  void address(unsigned slot);
  /// {a, b, …}: rows appended to Program::lists; the count.
  unsigned vector(Type type, bool destination);
  /// Coordinates of a tensor in the address last taken.
  unsigned coordinates();
  uint64_t immediate();
  void pass() { ++position; }

  uint32_t constantRow(uint64_t value, Type type);
  uint32_t scratchRow(Type type);
  /// Row of a single operand, as part of a vector or of its own.
  uint32_t rowOf(const Operand &operand, Type type, bool destination, unsigned *bits = nullptr);

  template <class... Parts> [[noreturn]] void unsupported(const Parts &...parts) const {
    raise(text(parts...));
  }

  const Module &module;
  const Kernel &kernel;
  Program &program;
  const Statement *statement = nullptr;
  Instruction out;

private:
  [[noreturn]] void raise(const std::string &what) const;
  uint32_t addRow(uint32_t row);
  uint64_t addressOf(std::string_view name) const;
  std::optional<uint32_t> specialRow(std::string_view name);

  const Globals &globals;
  std::vector<std::string> modifiers; ///< not yet taken
  size_t position = 0;                ///< operand
  const Operand *lastAddress = nullptr;
  unsigned rowCount = 0;
  std::vector<uint32_t> registerRows;
  std::map<std::pair<uint32_t, uint64_t>, uint32_t> constantRows;
  std::map<Special, uint32_t> specialRows;
};

/// Returns null for forms that another family decodes.
using Decode = Run (*)(Decoder &);
using InstructionSet = std::multimap<std::string, Decode, std::less<>>;

void addArithmetic(InstructionSet &set);
void addAsyncCopies(InstructionSet &set);
void addAtomics(InstructionSet &set);
void addBarriers(InstructionSet &set);
void addBits(InstructionSet &set);
void addComparisons(InstructionSet &set);
void addControl(InstructionSet &set);
void addConversions(InstructionSet &set);
void addFloats(InstructionSet &set);
void addHalves(InstructionSet &set);
void addMatrices(InstructionSet &set);
void addMbarriers(InstructionSet &set);
void addMemory(InstructionSet &set);
void addMoves(InstructionSet &set);
void addProducts(InstructionSet &set);
void addWarpProducts(InstructionSet &set);
void addWarps(InstructionSet &set);

/// Fills Instruction::join of branches: the immediate post-dominators.
void findJoins(Program &program);

} // namespace attune::ptx
#endif
