#include "attune/codegen/cpu/Scope.h"

using namespace mlir;

namespace attune::codegen {

/// Block arguments by number, then results in program order: the same for every run.
bool Size::Order::operator()(const Value &x, const Value &y) const {
  if (x == y)
    return false;
  auto argX = dyn_cast<BlockArgument>(x), argY = dyn_cast<BlockArgument>(y);
  if (argX && argY)
    return argX.getArgNumber() < argY.getArgNumber();
  if (argX || argY)
    return static_cast<bool>(argX);
  Operation *opX = x.getDefiningOp(), *opY = y.getDefiningOp();
  if (opX == opY)
    return cast<OpResult>(x).getResultNumber() < cast<OpResult>(y).getResultNumber();
  if (opX->getBlock() == opY->getBlock())
    return opX->isBeforeInBlock(opY);
  return x.getAsOpaquePointer() < y.getAsOpaquePointer();
}

bool Size::Order::operator()(const Product &x, const Product &y) const {
  return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end(),
                                      [&](Value a, Value b) { return (*this)(a, b); });
}

Size::Size(int64_t constant) {
  if (constant != 0)
    terms[{}] = constant;
}

Size Size::atom(Value value) {
  Size size;
  size.terms[{value}] = 1;
  return size;
}

Size Size::operator+(const Size &other) const {
  Size sum = *this;
  for (const auto &[product, factor] : other.terms)
    if ((sum.terms[product] += factor) == 0)
      sum.terms.erase(product);
  return sum;
}

Size Size::operator-(const Size &other) const { return *this + other * Size(-1); }

Size Size::operator*(const Size &other) const {
  Size result;
  for (const auto &[x, fx] : terms)
    for (const auto &[y, fy] : other.terms) {
      Product product = x;
      product.append(y);
      llvm::sort(product, [](Value a, Value b) { return Order()(a, b); });
      if ((result.terms[product] += fx * fy) == 0)
        result.terms.erase(product);
    }
  return result;
}

std::optional<int64_t> Size::constant() const {
  if (terms.empty())
    return 0;
  if (terms.size() == 1 && terms.begin()->first.empty())
    return terms.begin()->second;
  return std::nullopt;
}

bool Size::multipleOf(int64_t factor) const {
  return llvm::all_of(terms, [&](auto &term) { return term.second % factor == 0; });
}

int64_t Size::at(llvm::function_ref<int64_t(Value)> valueOf) const {
  int64_t sum = 0;
  for (const auto &[product, factor] : terms) {
    int64_t term = factor;
    for (Value atom : product)
      term *= valueOf(atom);
    sum += term;
  }
  return sum;
}

std::optional<Size> Size::dividedBy(const Size &divisor) const {
  if (divisor.terms.size() != 1)
    return std::nullopt;
  const auto &[below, factor] = *divisor.terms.begin();
  Size quotient;
  for (const auto &[product, coefficient] : terms) {
    Product rest = product;
    for (Value atom : below) {
      auto *it = llvm::find(rest, atom);
      if (it == rest.end())
        return std::nullopt;
      rest.erase(it);
    }
    if (coefficient % factor != 0)
      return std::nullopt;
    quotient.terms[rest] = coefficient / factor;
  }
  return quotient;
}

SmallVector<Size> rowMajorStrides(ArrayRef<Size> extents) {
  SmallVector<Size> strides(extents.size());
  Size stride(1);
  for (int64_t axis = static_cast<int64_t>(extents.size()) - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride = stride * extents[axis];
  }
  return strides;
}

Size product(ArrayRef<Size> sizes) {
  Size result(1);
  for (const Size &size : sizes)
    result = result * size;
  return result;
}

} // namespace attune::codegen
