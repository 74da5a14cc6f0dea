//===- Tokens.h - Words, numbers and signs of PTX text ----------------------------------------===//
//
// The first step of the parser. Opcodes with their modifiers, directives, registers and labels are
// one word each; comments are left out.
//
//===------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_TOKENS_H
#define ATTUNE_TEST_PTXEMU_TOKENS_H

#include "attune/test/ptxemu/Types.h"
#include <vector>

namespace attune::ptx {

struct Token {
  enum Kind { Word, Number, Sign, String, End } kind;
  std::string_view text;
  unsigned line;
};

std::vector<Token> tokenize(std::string_view source);

} // namespace attune::ptx
#endif
