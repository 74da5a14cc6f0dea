#include "attune/search/Expression.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attune::search {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

double Expression::fold(Op op, llvm::ArrayRef<double> elements) {
  Values present;
  for (double value : elements)
    if (!std::isnan(value))
      present.push_back(value);
  auto number = [](double value) { return value != 0; };
  switch (op) {
  case Op::Sum: {
    double sum = 0;
    for (double value : present)
      sum += value;
    return sum;
  }
  case Op::Min:
    return present.empty() ? kAbsent : *std::min_element(present.begin(), present.end());
  case Op::Max:
    return present.empty() ? kAbsent : *std::max_element(present.begin(), present.end());
  case Op::Count:
    return std::count_if(present.begin(), present.end(), number);
  case Op::Any:
    return std::any_of(present.begin(), present.end(), number);
  case Op::All:
    return std::all_of(present.begin(), present.end(), number);
  case Op::Monotone:
    return std::is_sorted(present.begin(), present.end()) ||
           std::is_sorted(present.rbegin(), present.rend());
  default: // Distinct
    std::sort(present.begin(), present.end());
    return std::unique(present.begin(), present.end()) - present.begin();
  }
}

void Expression::compute(unsigned index, llvm::ArrayRef<double> values, unsigned element,
                         Values &out) const {
  const Term &term = terms[index];
  if (term.op == Op::Constant) {
    out.assign(1, term.constant);
    return;
  }
  if (term.op == Op::Load) {
    llvm::ArrayRef<double> range =
        values.slice(term.reference.offset, std::max(1u, term.reference.length));
    if (term.reference.perElement)
      range = range.slice(std::min<size_t>(element, range.size() - 1), 1);
    out.assign(range.begin(), range.end());
    return;
  }
  if (term.op >= Op::Sum) {
    Values elements;
    for (unsigned operand : term.operands) {
      Values part;
      compute(operand, values, element, part);
      elements.append(part);
    }
    out.assign(1, fold(term.op, elements));
    return;
  }
  Values a, b;
  compute(term.operands[0], values, element, a);
  if (term.operands.size() > 1)
    compute(term.operands[1], values, element, b);
  out.resize(std::max<size_t>(1, term.length));
  for (size_t i = 0; i < out.size(); ++i) {
    double x = a[a.size() == 1 ? 0 : i], y = b.empty() ? 0 : b[b.size() == 1 ? 0 : i];
    if (std::isnan(x) || std::isnan(y)) {
      out[i] = kAbsent;
      continue;
    }
    switch (term.op) {
    case Op::Negate:
      out[i] = -x;
      break;
    case Op::Not:
      out[i] = x == 0;
      break;
    case Op::Add:
      out[i] = x + y;
      break;
    case Op::Subtract:
      out[i] = x - y;
      break;
    case Op::Multiply:
      out[i] = x * y;
      break;
    case Op::Divide:
      out[i] = x / y;
      break;
    case Op::Equal:
      out[i] = x == y;
      break;
    case Op::Different:
      out[i] = x != y;
      break;
    case Op::Less:
      out[i] = x < y;
      break;
    case Op::AtMost:
      out[i] = x <= y;
      break;
    case Op::Greater:
      out[i] = x > y;
      break;
    case Op::AtLeast:
      out[i] = x >= y;
      break;
    case Op::And:
      out[i] = x != 0 && y != 0;
      break;
    default: // Or
      out[i] = x != 0 || y != 0;
    }
  }
}

double Expression::evaluate(llvm::ArrayRef<double> values, unsigned element) const {
  Values out;
  compute(terms.size() - 1, values, element, out);
  return out[0];
}

} // namespace attune::search
