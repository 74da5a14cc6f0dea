// Recursive descent, lowest precedence first: or, and, not, comparison, sum, product, sign, atom.
#include "attune/search/Expression.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>

namespace attune::search {

class ExpressionParser {
public:
  using Op = Expression::Op;
  using Type = Expression::Type;

  ExpressionParser(llvm::StringRef text, Expression::Scope scope) : text(text), scope(scope) {}

  llvm::Expected<Expression> run() {
    if (text.size() > kLongest)
      return llvm::createStringError("an expression has at most " + llvm::Twine(kLongest) +
                                     " characters");
    advance();
    std::optional<unsigned> root = orExpression();
    if (root && !token.empty())
      fail("unexpected `" + token.str() + "`");
    else if (root && isWordAlone(*root))
      fail("`" + words[*root] + "` is no variable");
    if (!message.empty())
      return llvm::createStringError("in \"" + text + "\": " + message);
    result.source = text.str();
    return std::move(result);
  }

private:
  using Result = std::optional<unsigned>;
  static constexpr unsigned kDeepest = 64;
  static constexpr size_t kLongest = 4096;

  std::nullopt_t fail(const llvm::Twine &what) {
    if (message.empty())
      message = (what + " (at character " + llvm::Twine(position + 1) + ")").str();
    return std::nullopt;
  }

  static bool isWord(char c) { return llvm::isAlnum(c) || c == '_' || c == '.'; }

  void advance() {
    size_t i = end;
    while (i < text.size() && llvm::isSpace(text[i]))
      ++i;
    position = i;
    size_t length = 0;
    llvm::StringRef rest = text.substr(i);
    if (rest.empty())
      length = 0;
    else if (isWord(rest[0])) {
      // The exponent's sign belongs to the number.
      bool number = llvm::isDigit(rest[0]) || rest[0] == '.';
      while (length < rest.size() &&
             (isWord(rest[length]) ||
              (number && length && (rest[length] == '+' || rest[length] == '-') &&
               (rest[length - 1] == 'e' || rest[length - 1] == 'E'))))
        ++length;
    } else if (rest[0] == '\'' || rest[0] == '"') {
      size_t close = rest.find(rest[0], 1);
      length = close == llvm::StringRef::npos ? rest.size() : close + 1;
    } else if (rest.starts_with("==") || rest.starts_with("!=") || rest.starts_with("<=") ||
               rest.starts_with(">="))
      length = 2;
    else
      length = 1;
    token = rest.take_front(length);
    end = i + length;
  }

  bool take(llvm::StringRef expected) {
    if (token != expected)
      return false;
    advance();
    return true;
  }

  unsigned add(Expression::Term term) {
    result.terms.push_back(std::move(term));
    return result.terms.size() - 1;
  }

  static llvm::StringRef typeName(Type type) {
    return type == Type::Number ? "a number" : type == Type::Symbol ? "a word" : "a condition";
  }

  bool isWordAlone(unsigned term) const {
    return result.terms[term].op == Op::Constant && result.terms[term].type == Type::Symbol;
  }

  bool expect(unsigned operand, Type type, llvm::StringRef op) {
    if (result.terms[operand].type == type)
      return true;
    if (isWordAlone(operand)) {
      fail("`" + words[operand] + "` is no variable");
      return false;
    }
    fail("`" + op + "` takes " + typeName(type) + ", found " +
         typeName(result.terms[operand].type));
    return false;
  }

  Result binary(Op op, llvm::StringRef name, Type operands, Type type, unsigned a, unsigned b) {
    if (!expect(a, operands, name) || !expect(b, operands, name))
      return std::nullopt;
    unsigned x = result.terms[a].length, y = result.terms[b].length;
    if (x && y && x != y)
      return fail("`" + name + "` of arrays of " + llvm::Twine(x) + " and " + llvm::Twine(y));
    Expression::Term term{op, type, std::max(x, y)};
    term.operands = {a, b};
    return add(std::move(term));
  }

  template <typename Next>
  Result chain(llvm::ArrayRef<std::pair<llvm::StringRef, Op>> ops, Type type, Next next) {
    Result left = next();
    while (left) {
      auto op = llvm::find_if(ops, [&](const auto &entry) { return token == entry.first; });
      if (op == ops.end())
        return left;
      advance();
      Result right = next();
      if (!right)
        return right;
      left = binary(op->second, op->first, type, type, *left, *right);
    }
    return left;
  }

  Result orExpression() {
    if (++depth > kDeepest)
      return fail("nested too deep");
    Result value = chain({{"or", Op::Or}}, Type::Truth, [&] { return andExpression(); });
    --depth;
    return value;
  }

  Result andExpression() {
    return chain({{"and", Op::And}}, Type::Truth, [&] { return notExpression(); });
  }

  Result notExpression() {
    bool inverted = false;
    while (take("not"))
      inverted = !inverted;
    Result value = comparison();
    if (!value || !inverted)
      return value;
    return unary(Op::Not, "not", Type::Truth, *value);
  }

  Result unary(Op op, llvm::StringRef name, Type type, unsigned operand) {
    if (!expect(operand, type, name))
      return std::nullopt;
    Expression::Term term{op, type, result.terms[operand].length};
    term.operands = {operand};
    return add(std::move(term));
  }

  Result comparison() {
    static constexpr std::pair<llvm::StringRef, Op> kOps[] = {
        {"==", Op::Equal},   {"!=", Op::Different}, {"<=", Op::AtMost},
        {">=", Op::AtLeast}, {"<", Op::Less},       {">", Op::Greater}};
    Result left = sum();
    auto op = llvm::find_if(kOps, [&](const auto &entry) { return token == entry.first; });
    if (!left || op == std::end(kOps))
      return left;
    llvm::StringRef name = op->first;
    advance();
    Result right = sum();
    if (!right)
      return right;
    bool equality = op->second == Op::Equal || op->second == Op::Different;
    bool words = result.terms[*left].type == Type::Symbol;
    if (words && !equality && !isWordAlone(*left))
      return fail("words have no order: `" + name + "` takes numbers");
    if (words && !(resolve(*left, *right) && resolve(*right, *left)))
      return std::nullopt;
    Type operands = equality ? result.terms[*left].type : Type::Number;
    return binary(op->second, name, operands, Type::Truth, *left, *right);
  }

  /// Gives a word the value that it has in the variable beside it.
  bool resolve(unsigned word, unsigned other) {
    Expression::Term &term = result.terms[word];
    const Reference &variable = result.terms[other].reference;
    if (!isWordAlone(word))
      return true;
    if (!variable.symbols) {
      fail("`" + words[word] + "` is no variable");
      return false;
    }
    auto found = llvm::find(*variable.symbols, words[word]);
    if (found == variable.symbols->end()) {
      fail("`" + words[word] + "` is neither a variable nor one of " +
           llvm::join(*variable.symbols, ", "));
      return false;
    }
    term.constant = variable.firstSymbol + (found - variable.symbols->begin());
    return true;
  }

  Result sum() {
    return chain({{"+", Op::Add}, {"-", Op::Subtract}}, Type::Number, [&] { return product(); });
  }

  Result product() {
    return chain({{"*", Op::Multiply}, {"/", Op::Divide}}, Type::Number, [&] { return sign(); });
  }

  Result sign() {
    bool negative = false;
    while (take("-"))
      negative = !negative;
    Result value = atom();
    return value && negative ? unary(Op::Negate, "-", Type::Number, *value) : value;
  }

  Result atom() {
    if (take("(")) {
      Result value = orExpression();
      if (value && !take(")"))
        return fail("missing `)`");
      return value;
    }
    llvm::StringRef word = token;
    if (word.empty())
      return fail("ends too early");
    if (word[0] == '\'' || word[0] == '"') {
      if (word.size() < 2 || word.back() != word[0])
        return fail("the quote is not closed");
      advance();
      return constantWord(word.drop_front().drop_back());
    }
    if (!isWord(word[0]))
      return fail("unexpected `" + word + "`");
    double number;
    if (llvm::isDigit(word[0]) || word[0] == '.') {
      if (word.getAsDouble(number) || !std::isfinite(number))
        return fail("`" + word + "` is no number");
      advance();
      Expression::Term term{Op::Constant};
      term.constant = number;
      return add(std::move(term));
    }
    advance();
    if (token == "(")
      return call(word);
    if (std::optional<Reference> reference = scope(word)) {
      if (reference->constant) {
        Expression::Term term{Op::Constant};
        term.constant = *reference->constant;
        return add(std::move(term));
      }
      Expression::Term term{Op::Load, reference->symbols ? Type::Symbol : Type::Number,
                            reference->perElement ? 0 : reference->length};
      term.reference = *reference;
      return add(std::move(term));
    }
    return constantWord(word);
  }

  Result constantWord(llvm::StringRef word) {
    Expression::Term term{Op::Constant, Type::Symbol};
    term.constant = -1;
    unsigned index = add(std::move(term));
    words.resize(index + 1);
    words[index] = word.str();
    return index;
  }

  Result call(llvm::StringRef name) {
    std::optional<Op> op = llvm::StringSwitch<std::optional<Op>>(name)
                               .Case("sum", Op::Sum)
                               .Case("min", Op::Min)
                               .Case("max", Op::Max)
                               .Case("count", Op::Count)
                               .Case("any", Op::Any)
                               .Case("all", Op::All)
                               .Case("monotone", Op::Monotone)
                               .Case("distinct", Op::Distinct)
                               .Default(std::nullopt);
    if (!op)
      return fail("no function `" + name +
                  "`; there are sum, min, max, count, any, all, monotone, distinct");
    bool conditions = *op == Op::Count || *op == Op::Any || *op == Op::All;
    Expression::Term term{
        *op, *op == Op::Any || *op == Op::All || *op == Op::Monotone ? Type::Truth : Type::Number};
    advance();
    do {
      Result operand = orExpression();
      if (!operand)
        return operand;
      if (isWordAlone(*operand))
        return fail("`" + words[*operand] + "` is no variable");
      bool anyType = *op == Op::Distinct;
      if (!anyType && !expect(*operand, conditions ? Type::Truth : Type::Number, name))
        return std::nullopt;
      term.operands.push_back(*operand);
    } while (take(","));
    if (!take(")"))
      return fail("missing `)`");
    return add(std::move(term));
  }

  llvm::StringRef text, token;
  Expression::Scope scope;
  size_t position = 0, end = 0;
  unsigned depth = 0;
  std::string message;
  std::vector<std::string> words; ///< of constants, by term
  Expression result;
};

llvm::Expected<Expression> Expression::parse(llvm::StringRef text, Scope scope) {
  return ExpressionParser(text, scope).run();
}

} // namespace attune::search
