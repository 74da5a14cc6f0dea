#include "attune/passes/rewrite/FormPrices.h"

#include "llvm/Support/FormatVariadic.h"

#include <map>

using namespace mlir;

namespace attune {

static double evaluate(AffineExpr price, ArrayRef<double> sizes) {
  if (auto constant = dyn_cast<AffineConstantExpr>(price))
    return constant.getValue();
  if (auto symbol = dyn_cast<AffineSymbolExpr>(price))
    return sizes[symbol.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(price);
  double lhs = evaluate(binary.getLHS(), sizes), rhs = evaluate(binary.getRHS(), sizes);
  return price.getKind() == AffineExprKind::Mul ? lhs * rhs : lhs + rhs;
}

Form cheapestForm(FormPricesAttr prices, ArrayRef<double> sizes) {
  SmallVector<double> costs;
  for (AffineExpr price : prices.getPrices().getResults())
    costs.push_back(evaluate(price, sizes));
  return prices.getForms()[llvm::min_element(costs) - costs.begin()];
}

Form cheapestForm(FormPricesAttr prices, int64_t positions) {
  SmallVector<double> sizes;
  for (size_t i = 0; i < prices.getSizes().size(); i += 2)
    sizes.push_back(prices.getSizes()[i + 1] == 0 ? 1 : positions);
  return cheapestForm(prices, sizes);
}

std::string describeChoice(FormPricesAttr prices) {
  constexpr int64_t kLongest = int64_t(1) << 24;
  Form form = cheapestForm(prices, 1);
  std::string text = stringifyForm(form).str();
  for (int64_t length = 1; length < kLongest; length *= 2) {
    int64_t same = length, other = 2 * length;
    Form next = cheapestForm(prices, other);
    if (next == form)
      continue;
    while (other - same > 1) {
      int64_t middle = (same + other) / 2;
      (cheapestForm(prices, middle) == form ? same : other) = middle;
    }
    text += llvm::formatv(", {0} from {1} positions on", stringifyForm(next), other).str();
    form = next;
  }
  return text;
}

FormPricesAttr withoutDominated(FormPricesAttr prices) {
  using Terms = std::map<SmallVector<unsigned>, int64_t>;
  std::function<void(AffineExpr, Terms &)> read = [&](AffineExpr expr, Terms &terms) {
    auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
    if (binary && expr.getKind() == AffineExprKind::Add) {
      read(binary.getLHS(), terms);
      return read(binary.getRHS(), terms);
    }
    SmallVector<unsigned> symbols;
    int64_t factor = 1;
    std::function<void(AffineExpr)> factors = [&](AffineExpr part) {
      if (auto product = dyn_cast<AffineBinaryOpExpr>(part)) {
        factors(product.getLHS());
        factors(product.getRHS());
      } else if (auto symbol = dyn_cast<AffineSymbolExpr>(part)) {
        symbols.push_back(symbol.getPosition());
      } else {
        factor *= cast<AffineConstantExpr>(part).getValue();
      }
    };
    factors(expr);
    llvm::sort(symbols);
    terms[symbols] += factor;
  };
  SmallVector<Terms> all;
  for (AffineExpr price : prices.getPrices().getResults())
    read(price, all.emplace_back());
  auto isAtMost = [](const Terms &a, const Terms &b) {
    return llvm::all_of(a, [&](const auto &term) {
      auto other = b.find(term.first);
      return term.second <= (other == b.end() ? 0 : other->second);
    });
  };
  SmallVector<Form> forms;
  SmallVector<AffineExpr> kept;
  for (size_t i = 0; i < all.size(); ++i) {
    bool dominated = false;
    for (size_t other = 0; other < all.size(); ++other)
      dominated |= other != i && isAtMost(all[other], all[i]) &&
                   (other < i || !isAtMost(all[i], all[other]));
    if (dominated)
      continue;
    forms.push_back(prices.getForms()[i]);
    kept.push_back(prices.getPrices().getResult(i));
  }
  AffineMap map = AffineMap::get(0, prices.getPrices().getNumSymbols(), kept, prices.getContext());
  return FormPricesAttr::get(prices.getContext(), forms, prices.getSizes(), map);
}

} // namespace attune
