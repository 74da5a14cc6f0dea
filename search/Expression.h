//===- Expression.h - Conditions and closed forms of a space file -----------------------------===//
//
// A tiny language over the variables of a space: numbers, words, `+ - * /`, comparisons, `and`,
// `or`, `not`, and functions of arrays (sum, min, max, count, any, all, monotone, distinct). No
// assignment, no loops, no calls of anything else: a space file runs no code.
//
//   attn != local16            count(attn == softmax) <= 2            sum(ffn) * 128 / 1000
//
// A repeated variable is an array. Operators work element by element, scalars are spread. In a
// condition of a repeated variable, arrays of the same repeat, and paths with as many points, mean
// their element at that place.
// What is not active is absent: operators on it give absent, functions of arrays skip it. Names are
// resolved and types checked when parsed, so evaluation cannot fail.
//
//===--------------------------------------------------------------------------------------------===//
#ifndef ATTUNE_SEARCH_EXPRESSION_H
#define ATTUNE_SEARCH_EXPRESSION_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace attune::search {

/// What a name means: a range of the decoded values.
struct Reference {
  unsigned offset = 0;
  unsigned length = 0;     ///< 0: a scalar
  bool perElement = false; ///< an array of which the condition sees one element
  /// Of a categorical variable: its words, whose values are their positions plus `firstSymbol`.
  const std::vector<std::string> *symbols = nullptr;
  unsigned firstSymbol = 0;
  std::optional<double> constant = {}; ///< a name for a number
};

class Expression {
public:
  using Scope = llvm::function_ref<std::optional<Reference>(llvm::StringRef name)>;

  static llvm::Expected<Expression> parse(llvm::StringRef text, Scope scope);

  /// The value, NaN where absent. Only of an expression that is not an array.
  double evaluate(llvm::ArrayRef<double> values, unsigned element = 0) const;

  bool isArray() const { return terms.back().length > 0; }
  bool isTruth() const { return terms.back().type == Type::Truth; }
  bool isNumber() const { return terms.back().type == Type::Number; }
  llvm::StringRef text() const { return source; }

private:
  friend class ExpressionParser;
  enum class Type : uint8_t { Number, Symbol, Truth };
  enum class Op : uint8_t {
    Constant,
    Load,
    Negate,
    Not,
    Add,
    Subtract,
    Multiply,
    Divide,
    Equal,
    Different,
    Less,
    AtMost,
    Greater,
    AtLeast,
    And,
    Or,
    Sum,
    Min,
    Max,
    Count,
    Any,
    All,
    Monotone,
    Distinct
  };
  struct Term {
    Op op;
    Type type = Type::Number;
    unsigned length = 0; ///< 0: a scalar
    double constant = 0;
    Reference reference = {};
    llvm::SmallVector<unsigned, 2> operands = {};
  };
  using Values = llvm::SmallVector<double, 16>;
  void compute(unsigned term, llvm::ArrayRef<double> values, unsigned element, Values &out) const;
  static double fold(Op op, llvm::ArrayRef<double> elements);

  std::vector<Term> terms; ///< operands before their users; the last one is the result
  std::string source;
};

} // namespace attune::search
#endif
