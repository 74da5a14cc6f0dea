#include "attune/passes/raise/Polynomial.h"

#include "llvm/ADT/STLExtras.h"
#include <algorithm>

using namespace mlir;

namespace attune {

void Polynomial::add(Variables variables, int64_t factor) {
  auto *same = llvm::find_if(terms, [&](const Term &term) {
    return term.variables.size() == variables.size() &&
           std::is_permutation(term.variables.begin(), term.variables.end(), variables.begin());
  });
  if (same == terms.end()) {
    if (factor != 0)
      terms.push_back({std::move(variables), factor});
  } else if ((same->factor += factor) == 0) {
    terms.erase(same);
  }
}

/// Adds factor * with * expr.
void Polynomial::add(AffineExpr expr, const Variables &with, int64_t factor) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return add(with, factor * constant.getValue());
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (binary && binary.getKind() == AffineExprKind::Add) {
    add(binary.getLHS(), with, factor);
    return add(binary.getRHS(), with, factor);
  }
  if (binary && binary.getKind() == AffineExprKind::Mul) {
    for (const Term &term : Polynomial(binary.getRHS()).terms) {
      Variables both(with);
      llvm::append_range(both, term.variables);
      add(binary.getLHS(), both, factor * term.factor);
    }
    return;
  }
  Variables all(with);
  all.push_back(expr);
  add(std::move(all), factor);
}

Polynomial Polynomial::operator+(const Polynomial &other) const {
  Polynomial result(*this);
  for (const Term &term : other.terms)
    result.add(term.variables, term.factor);
  return result;
}

Polynomial Polynomial::operator-(const Polynomial &other) const { return *this + other * -1; }

Polynomial Polynomial::operator*(int64_t factor) const {
  Polynomial result;
  for (const Term &term : terms)
    result.add(term.variables, factor * term.factor);
  return result;
}

Polynomial Polynomial::times(AffineExpr variable) const {
  Polynomial result(*this);
  for (Term &term : result.terms)
    term.variables.push_back(variable);
  return result;
}

std::optional<int64_t> Polynomial::asConstant() const {
  if (terms.empty())
    return 0;
  return terms.size() == 1 && terms[0].variables.empty() ? std::optional(terms[0].factor)
                                                         : std::nullopt;
}

std::optional<std::pair<AffineExpr, int64_t>> Polynomial::asVariable() const {
  AffineExpr variable;
  int64_t constant = 0;
  for (const Term &term : terms) {
    if (term.variables.empty()) {
      constant = term.factor;
      continue;
    }
    if (variable || term.variables.size() != 1 || term.factor != 1)
      return std::nullopt;
    variable = term.variables[0];
  }
  return variable ? std::optional(std::pair(variable, constant)) : std::nullopt;
}

bool Polynomial::has(AffineExpr variable) const {
  return llvm::any_of(terms, [&](const Term &term) {
    return llvm::any_of(term.variables, [&](AffineExpr own) {
      bool found = false;
      own.walk([&](AffineExpr part) { found |= part == variable; });
      return found;
    });
  });
}

std::optional<Polynomial> Polynomial::slope(AffineExpr variable) const {
  Polynomial result;
  for (const Term &term : terms) {
    Term rest = term;
    auto *own = llvm::find(rest.variables, variable);
    if (own == rest.variables.end())
      continue;
    rest.variables.erase(own);
    result.add(rest.variables, rest.factor);
  }
  return result.has(variable) || (*this - result.times(variable)).has(variable)
             ? std::nullopt
             : std::optional(result);
}

AffineExpr Polynomial::toExpr(MLIRContext *context) const {
  AffineExpr sum = getAffineConstantExpr(0, context);
  for (const Term &term : terms) {
    // Products with dims need the other factor symbolic: dims come first, of which there is one.
    AffineExpr product;
    for (AffineExpr variable : term.variables)
      product = !product                          ? variable
                : variable.isSymbolicOrConstant() ? product * variable
                                                  : variable * product;
    sum = sum + (product ? product * term.factor : getAffineConstantExpr(term.factor, context));
  }
  return sum;
}

} // namespace attune
