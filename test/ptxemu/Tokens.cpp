#include "attune/test/ptxemu/Tokens.h"
#include <cctype>

namespace attune::ptx {

static bool startsWord(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' ||
         c == '.';
}

static bool continuesWord(char c) {
  return startsWord(c) || std::isdigit(static_cast<unsigned char>(c));
}

namespace {
class Scanner {
public:
  explicit Scanner(std::string_view source) : source(source) {}

  std::vector<Token> run() {
    while (skip())
      next();
    tokens.push_back({Token::End, {}, line});
    return std::move(tokens);
  }

private:
  char at(size_t i) const { return i < source.size() ? source[i] : '\0'; }

  /// To the next token; false at the end.
  bool skip() {
    for (; position < source.size(); ++position) {
      char c = source[position];
      if (c == '\n') {
        ++line;
      } else if (c == '/' && at(position + 1) == '/') {
        while (at(position + 1) && at(position + 1) != '\n')
          ++position;
      } else if (c == '/' && at(position + 1) == '*') {
        size_t end = source.find("*/", position + 2);
        if (end == source.npos)
          fail(Fault::Malformed, "line ", line, ": comment without end");
        for (; position < end; ++position)
          line += source[position] == '\n';
        ++position;
      } else if (!std::isspace(static_cast<unsigned char>(c))) {
        return true;
      }
    }
    return false;
  }

  void next() {
    size_t begin = position;
    char c = source[begin];
    Token::Kind kind = Token::Sign;
    if (startsWord(c)) {
      kind = Token::Word;
      // `::` belongs to a word (shared::cta), `:` ends a label.
      while (continuesWord(at(position)) ||
             (at(position) == ':' && at(position + 1) == ':' && startsWord(at(position + 2))))
        position += at(position) == ':' ? 2 : 1;
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      kind = Token::Number;
      while (std::isalnum(static_cast<unsigned char>(at(position))) || at(position) == '.')
        ++position;
    } else if (c == '"') {
      kind = Token::String;
      size_t end = source.find('"', begin + 1);
      if (end == source.npos)
        fail(Fault::Malformed, "line ", line, ": string without end");
      position = end + 1;
    } else {
      ++position;
    }
    tokens.push_back({kind, source.substr(begin, position - begin), line});
  }

  std::string_view source;
  size_t position = 0;
  unsigned line = 1;
  std::vector<Token> tokens;
};
} // namespace

std::vector<Token> tokenize(std::string_view source) { return Scanner(source).run(); }

} // namespace attune::ptx
