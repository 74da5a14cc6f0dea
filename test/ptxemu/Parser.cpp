#include "attune/test/ptxemu/Syntax.h"
#include "attune/test/ptxemu/Tokens.h"
#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace attune::ptx {

void Section::add(std::string name, Variable variable) {
  bytes = (bytes + variable.align - 1) / variable.align * variable.align;
  variable.offset = bytes;
  bytes += variable.bytes;
  variables.insert_or_assign(std::move(name), std::move(variable));
}

const Variable *Section::find(std::string_view name) const {
  auto found = variables.find(name);
  return found == variables.end() ? nullptr : &found->second;
}

namespace {
class Parser {
public:
  explicit Parser(std::string_view source) : source(source), tokens(tokenize(source)) {}

  Module run() {
    while (peek().kind != Token::End)
      declaration();
    return std::move(module);
  }

private:
  // Tokens.
  const Token &peek() const { return tokens[position]; }
  const Token &next() {
    const Token &token = tokens[position];
    position += token.kind != Token::End;
    return token;
  }
  bool accept(std::string_view sign) {
    bool same = peek().text == sign && peek().kind != Token::End;
    position += same;
    return same;
  }
  void expect(std::string_view sign) {
    if (!accept(sign))
      malformed(text("expected '", sign, "', found '", peek().text, "'"));
  }
  std::string word() {
    if (peek().kind != Token::Word)
      malformed(text("expected a name, found '", peek().text, "'"));
    return std::string(next().text);
  }
  [[noreturn]] void malformed(const std::string &what) const {
    fail(Fault::Malformed, "line ", peek().line, ": ", what);
  }
  [[noreturn]] void unsupported(const std::string &what) const {
    fail(Fault::Unsupported, "line ", peek().line, ": ", what);
  }
  void skipLine() {
    for (unsigned line = peek().line; peek().kind != Token::End && peek().line == line;)
      next();
  }
  void skipBraces() {
    expect("{");
    for (unsigned depth = 1; depth; next()) {
      if (peek().kind == Token::End)
        malformed("'{' without '}'");
      depth += peek().text == "{";
      depth -= peek().text == "}";
    }
  }

  Operand constant() {
    Operand operand;
    operand.kind = Operand::Constant;
    bool minus = accept("-");
    if (peek().kind != Token::Number)
      malformed(text("expected a number, found '", peek().text, "'"));
    std::string digits(next().text);
    if (digits.size() > 2 && digits[0] == '0' && std::strchr("fFdD", digits[1])) {
      bool wide = digits[1] == 'd' || digits[1] == 'D';
      operand.literal = wide ? Type::F64 : Type::F32;
      operand.bits = std::strtoull(digits.c_str() + 2, nullptr, 16) ^
                     (minus ? uint64_t(1) << (wide ? 63 : 31) : 0);
    } else if (digits.find('.') != digits.npos) {
      operand.literal = Type::F64;
      operand.bits =
          std::bit_cast<uint64_t>(std::strtod(digits.c_str(), nullptr) * (minus ? -1 : 1));
    } else {
      char *end;
      operand.bits = std::strtoull(digits.c_str(), &end, 0);
      if (*end && std::strcmp(end, "U"))
        malformed("'" + digits + "' is not a number");
      operand.bits = minus ? 0 - operand.bits : operand.bits;
    }
    return operand;
  }

  unsigned number() { return unsigned(constant().bits); }

  std::array<unsigned, 3> extents() {
    std::array<unsigned, 3> sizes{1, 1, 1};
    unsigned i = 0;
    do
      sizes[std::min(i++, 2u)] = number();
    while (accept(","));
    return sizes;
  }

  // Declarations.
  void declaration() {
    std::string first = word();
    if (first == ".target") {
      module.target = word();
      while (accept(","))
        word();
      return;
    }
    if (first == ".version" || first == ".address_size" || first == ".file")
      return skipLine();
    if (first == ".section") {
      while (peek().text != "{")
        next();
      return skipBraces();
    }
    bool external = false;
    for (; first == ".visible" || first == ".weak" || first == ".common" || first == ".extern";
         first = word())
      external |= first == ".extern";
    if (first == ".entry")
      return entry();
    if (first == ".func")
      return function();
    if (first == ".global" || first == ".const")
      return variable(module.globals, external);
    if (first == ".shared")
      return variable(module.shared, external);
    unsupported("directive '" + first + "'");
  }

  /// Functions can not be called, so that their bodies do not matter.
  void function() {
    while (peek().text != "{" && peek().text != ";" && peek().kind != Token::End)
      next();
    if (!accept(";"))
      skipBraces();
  }

  struct Declared {
    std::string name;
    Variable variable;
  };

  /// Attributes, type, name and extents, up to what follows them.
  Declared declared() {
    Declared result;
    Type type = Type::None;
    uint64_t align = 0;
    bool pointer = false;
    std::string name;
    for (name = word(); name[0] == '.'; name = word()) {
      if (name == ".align") {
        uint64_t bytes = number();
        align = pointer ? align : bytes; // what a pointer points to does not matter
      } else if (name == ".ptr") {
        pointer = true;
      } else if (auto parsed = parseType(name.substr(1))) {
        type = *parsed;
      } else if (name != ".global" && name != ".shared" && name != ".const" && name != ".local") {
        unsupported("attribute '" + name + "' of a variable");
      }
    }
    if (type == Type::None || bitsOf(type) % 8)
      unsupported("type of '" + name + "'");
    Variable &variable = result.variable;
    variable.bytes = bitsOf(type) / 8;
    variable.align = align ? align : variable.bytes;
    elementBytes = variable.bytes;
    while (accept("[")) {
      if (peek().text == "]")
        variable.dynamic = true;
      else
        variable.bytes *= number();
      expect("]");
    }
    result.name = std::move(name);
    return result;
  }

  void variable(Section &section, bool external) {
    Declared it = declared();
    if (it.variable.dynamic && peek().text != "=") {
      if (!external)
        malformed("'" + it.name + "' has no size");
      it.variable.bytes = 0;
    } else {
      it.variable.dynamic = false;
    }
    if (external && !it.variable.dynamic)
      unsupported("external variable '" + it.name + "'");
    if (accept("=")) {
      initializer(it.variable.initial);
      it.variable.bytes = std::max<uint64_t>(it.variable.bytes, it.variable.initial.size());
    }
    expect(";");
    section.add(std::move(it.name), std::move(it.variable));
  }

  void initializer(std::vector<uint8_t> &bytes) {
    if (accept("{")) {
      do
        initializer(bytes);
      while (accept(","));
      return expect("}");
    }
    if (peek().kind == Token::Word)
      unsupported("address in an initial value");
    uint64_t bits = constant().bits;
    for (unsigned i = 0; i < elementBytes; ++i)
      bytes.push_back(uint8_t(bits >> (8 * i)));
  }

  void entry() {
    kernel = &module.kernels.emplace_back();
    kernel->name = word();
    if (accept("(") && !accept(")")) {
      do {
        if (word() != ".param")
          malformed("expected '.param'");
        Declared it = declared();
        kernel->parameterOrder.push_back(it.name);
        kernel->parameters.add(std::move(it.name), std::move(it.variable));
      } while (accept(","));
      expect(")");
    }
    while (!accept("{")) {
      std::string directive = word();
      if (directive == ".maxntid")
        kernel->largestBlock = extents();
      else if (directive == ".reqntid")
        kernel->requiredBlock = extents();
      else if (directive == ".reqnctapercluster")
        kernel->cluster = extents();
      else if (directive == ".minnctapersm" || directive == ".maxnreg" ||
               directive == ".maxclusterrank")
        number();
      else if (directive != ".explicitcluster")
        unsupported("directive '" + directive + "'");
    }
    body();
  }

  // Bodies.
  struct Scope {
    unsigned id;
    size_t firstStatement;
    std::map<std::string, unsigned> registers;
    std::map<std::string, unsigned> labels;
  };

  void body() {
    scopes.clear();
    openScope();
    while (!scopes.empty()) {
      if (peek().kind == Token::End)
        malformed("'{' without '}'");
      if (accept("{"))
        openScope();
      else if (accept("}"))
        closeScope();
      else if (!accept(";"))
        item();
    }
  }

  void openScope() { scopes.push_back({scopeCount++, kernel->statements.size(), {}, {}}); }

  /// Labels of an inner scope are known in it only: they and what names them get a name of their
  /// own.
  void closeScope() {
    Scope &scope = scopes.back();
    for (auto &[label, target] : scope.labels) {
      std::string unique = scopes.size() == 1 ? label : text(label, "@", scope.id);
      kernel->labels[unique] = target;
      for (size_t i = scope.firstStatement; i < kernel->statements.size(); ++i)
        for (Operand &operand : kernel->statements[i].operands)
          if (operand.kind == Operand::Name && operand.name == label)
            operand.name = unique;
    }
    scopes.pop_back();
  }

  void item() {
    if (peek().kind == Token::Word && tokens[position + 1].text == ":") {
      std::string label = word();
      expect(":");
      if (!accept(".branchtargets")) {
        scopes.back().labels[label] = unsigned(kernel->statements.size());
        return;
      }
      do
        kernel->tables[label].push_back(word());
      while (accept(","));
      return expect(";");
    }
    if (peek().kind == Token::Word && peek().text[0] == '.')
      return directive();
    statement();
  }

  void directive() {
    if (peek().text == ".loc" || peek().text == ".file")
      return skipLine();
    std::string name = word();
    if (name == ".reg")
      return registers();
    if (name == ".shared")
      return variable(kernel->shared, false);
    if (name == ".local")
      return variable(kernel->local, false);
    if (name != ".pragma")
      unsupported("directive '" + name + "'");
    while (!accept(";"))
      next();
  }

  void registers() {
    std::string typeName = word();
    auto type = parseType(typeName.substr(1));
    if (!type)
      unsupported("registers of type '" + typeName + "'");
    do {
      std::string name = word();
      auto declare = [&](std::string full) {
        scopes.back().registers[std::move(full)] = unsigned(kernel->registers.size());
        kernel->registers.push_back(*type);
      };
      if (!accept("<")) {
        declare(name);
        continue;
      }
      unsigned count = number();
      if (count > 1u << 20)
        unsupported("more than 2^20 registers");
      for (unsigned i = 0; i < count; ++i)
        declare(text(name, i));
      expect(">");
    } while (accept(","));
    expect(";");
  }

  std::optional<unsigned> lookup(const std::string &name) const {
    for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope)
      if (auto found = scope->registers.find(name); found != scope->registers.end())
        return found->second;
    return std::nullopt;
  }

  Operand named() {
    Operand operand;
    operand.name = word();
    if (operand.name == "_")
      return operand;
    if (auto index = lookup(operand.name)) {
      operand.kind = Operand::Register;
      operand.index = *index;
    } else {
      operand.kind = operand.name[0] == '%' ? Operand::Special : Operand::Name;
    }
    return operand;
  }

  Operand list(Operand::Kind kind, std::string_view end) {
    Operand operand;
    operand.kind = kind;
    do
      operand.parts.push_back(this->operand());
    while (accept(","));
    expect(end);
    return operand;
  }

  Operand address() {
    Operand operand;
    operand.kind = Operand::Address;
    operand.parts.push_back(peek().kind == Token::Word ? named() : constant());
    if (accept("+"))
      operand.offset = int64_t(constant().bits);
    while (accept(","))
      operand.parts.push_back(this->operand());
    expect("]");
    return operand;
  }

  Operand operand() {
    if (accept("{"))
      return list(Operand::Vector, "}");
    if (accept("["))
      return address();
    if (accept("!")) {
      Operand operand = named();
      operand.negated = true;
      return operand;
    }
    if (peek().kind != Token::Word)
      return constant();
    Operand first = named();
    if (first.kind == Operand::Name && accept("+"))
      first.offset = int64_t(constant().bits);
    if (!accept("|"))
      return first;
    Operand pair;
    pair.kind = Operand::Pair;
    pair.parts = {std::move(first), named()};
    return pair;
  }

  void statement() {
    Statement statement;
    statement.line = peek().line;
    const char *begin = peek().text.data();
    if (accept("@")) {
      bool negated = accept("!");
      statement.guard = named();
      statement.guard->negated = negated;
      if (statement.guard->kind != Operand::Register ||
          kernel->registers[statement.guard->index] != Type::Pred)
        malformed("'" + statement.guard->name + "' is not a predicate");
    }
    std::string opcode = word();
    size_t dot = opcode.find('.');
    statement.opcode = opcode.substr(0, dot);
    while (dot != opcode.npos) {
      size_t end = opcode.find('.', dot + 1);
      statement.modifiers.push_back(opcode.substr(dot + 1, end - dot - 1));
      dot = end;
    }
    while (peek().text != ";") {
      if (peek().kind == Token::End)
        malformed("statement without ';'");
      statement.operands.push_back(operand());
      if (!accept(","))
        break;
    }
    std::string_view whole(begin, size_t(peek().text.data() - begin));
    for (char c : whole)
      if (!std::isspace(static_cast<unsigned char>(c)))
        statement.text += c;
      else if (statement.text.back() != ' ')
        statement.text += ' ';
    expect(";");
    kernel->statements.push_back(std::move(statement));
  }

  std::string_view source;
  std::vector<Token> tokens;
  size_t position = 0;
  Module module;
  Kernel *kernel = nullptr;
  std::vector<Scope> scopes;
  unsigned scopeCount = 0;
  uint64_t elementBytes = 1;
};
} // namespace

Module parse(std::string_view source) { return Parser(source).run(); }

} // namespace attune::ptx
