//===- Types.h - The scalar types of PTX, and how errors are raised ---------------------------===//
//
// Used by every part of the interpreter. A Fault is what stops a module from loading or a launch
// from finishing; it ends at the boundary of the driver API (driver/), which turns it into a CUDA
// error.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_TYPES_H
#define ATTUNE_TEST_PTXEMU_TYPES_H

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace attune::ptx {

enum class Type : uint8_t {
  None,
  Pred,
  B8,
  B16,
  B32,
  B64,
  U8,
  U16,
  U32,
  U64,
  S8,
  S16,
  S32,
  S64,
  F16,
  F16x2,
  BF16,
  BF16x2,
  TF32,
  F32,
  F64,
  E4M3x2,
  E5M2x2
};

std::optional<Type> parseType(std::string_view name);
const char *name(Type type);
unsigned bitsOf(Type type);
bool isFloat(Type type);
inline bool isSigned(Type type) { return type >= Type::S8 && type <= Type::S64; }
/// Two 16-bit numbers in a 32-bit register.
inline bool isPacked(Type type) { return type == Type::F16x2 || type == Type::BF16x2; }

struct Fault {
  enum Kind {
    Unsupported, ///< a module with an instruction or form that is not interpreted
    Malformed,   ///< a module that is not PTX
    BadLaunch,   ///< a launch whose sizes or arguments do not fit the kernel
    BadAccess,   ///< out of bounds, misaligned, freed
    Misuse,      ///< a race, a missing wait, a broken rule of an instruction
    Stuck        ///< a deadlock, or too many steps
  } kind;
  std::string message;
};

template <class... Parts> std::string text(const Parts &...parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return std::move(stream).str();
}

template <class... Parts> [[noreturn]] void fail(Fault::Kind kind, const Parts &...parts) {
  throw Fault{kind, text(parts...)};
}

} // namespace attune::ptx
#endif
